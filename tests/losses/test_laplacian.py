import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from midframe.errors import ContractError
from midframe.losses.laplacian import laplacian_pyramid

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def pictures(shape=(2, 3, 64, 96), seed=0):
    noise = np.random.default_rng(seed)
    return noise.random(shape), noise.random(shape)


def written_out(a, b, weights):
    """Both pyramids of planes (h, w) apart, with SciPy's filter ("mirror" reflects without repeating the edge)."""
    total = 0.0
    for weight in weights:
        details = []
        small = []
        for plane in (a, b):
            down = correlate(plane, KERNEL, mode="mirror")[::2, ::2]
            spread = np.zeros((2 * down.shape[0], 2 * down.shape[1]))
            spread[::2, ::2] = down
            details.append(plane - correlate(spread, 4 * KERNEL, mode="mirror")[: plane.shape[0], : plane.shape[1]])
            small.append(down)
        total += weight * np.abs(details[0] - details[1]).mean()
        a, b = small
    return total


@pytest.mark.parametrize("shape", [(2, 3, 64, 96), (1, 2, 33, 47)], ids=["even", "odd"])
@pytest.mark.parametrize(("weighting", "weights"), [("doubling", [1, 2, 4, 8, 16]), ("equal", [1] * 5)])
def test_laplacian_equals_two_pyramids_built_with_scipy(shape, weighting, weights):
    a, b = pictures(shape)
    planes = [written_out(x, y, weights) for x, y in zip(*(z.reshape(-1, *shape[2:]) for z in (a, b)), strict=True)]
    value = laplacian_pyramid(torch.tensor(a), torch.tensor(b), weighting=weighting)
    assert value.item() == pytest.approx(np.mean(planes), rel=1e-12)


def test_the_pyramid_is_the_one_of_opencv():
    # Inside, where borders do not reach: cv2.pyrDown and pyrUp are the same kernel.
    plane = pictures((1, 1, 64, 64))[0][0, 0]
    up = cv2.pyrUp(cv2.pyrDown(plane))
    value = laplacian_pyramid(torch.tensor(plane)[None, None], torch.zeros(1, 1, 64, 64).double(), levels=1)
    assert value.item() == pytest.approx(np.abs(plane - up).mean(), rel=2e-2)


def test_a_constant_difference_costs_nothing_inside():
    a, _ = pictures()
    wide = torch.tensor(a)
    # zero insertion with reflected borders keeps constants to the last bit of rounding
    assert laplacian_pyramid(wide, wide + 0.5).item() == pytest.approx(0, abs=1e-12)
    assert laplacian_pyramid(wide, wide) == 0


def test_coarse_errors_cost_more_when_weights_double():
    x = np.mgrid[0:64, 0:64][1]
    coarse, fine = (torch.tensor(0.1 * np.cos(2 * np.pi * x / period))[None, None] for period in (48, 2.5))
    nothing = torch.zeros_like(coarse)
    ratios = [
        laplacian_pyramid(coarse, nothing, weighting=weighting) / laplacian_pyramid(fine, nothing, weighting=weighting)
        for weighting in ("doubling", "equal")
    ]
    assert ratios[0] > 2 * ratios[1]


def test_gradients_are_right_where_it_is_smooth():
    a, b = (torch.tensor(x, requires_grad=True) for x in pictures((1, 1, 6, 7)))
    assert torch.autograd.gradcheck(lambda x, y: laplacian_pyramid(x, y, levels=2), (a, b))


def test_autocast_changes_nothing():
    a, b = (torch.tensor(x, dtype=torch.float32) for x in pictures())
    with torch.autocast("cpu", torch.bfloat16):
        value = laplacian_pyramid(a, b)
    assert torch.equal(value, laplacian_pyramid(a, b))


@pytest.mark.parametrize(
    ("size", "options", "complaint"),
    [
        ((32, 64), {}, "more than 32"),
        ((64, 64), {"levels": 0}, "levels"),
        ((64, 64), {"weighting": "half"}, "doubling"),
    ],
)
def test_laplacian_refuses_what_it_cannot_do(size, options, complaint):
    with pytest.raises(ContractError, match=complaint):
        laplacian_pyramid(torch.zeros(1, 3, *size), torch.zeros(1, 3, *size), **options)


def test_laplacian_refuses_pictures_of_two_sizes():
    with pytest.raises(ContractError, match="differ"):
        laplacian_pyramid(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 66))
