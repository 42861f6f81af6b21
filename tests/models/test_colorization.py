"""Tracking by colorization: what the paper and its re-implementation fix."""

import pytest
import torch
import torch.nn.functional as F
from networks import count, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.colorization import Colorization
from midframe.nn.colours import CENTRES, classify, one_hot
from midframe.types import Batch

TINY = find("colorization").variants["tiny"]


def batch(size=32):
    generator = torch.Generator().manual_seed(3)
    wide = F.interpolate(torch.rand(2, 3, 8, 12, generator=generator), (size, size + 32), mode="bicubic").clamp(0, 1)
    frames = torch.stack([wide[..., 8 * k : 8 * k + size] for k in range(4)], 1)
    times = torch.arange(-2.0, 2.0).expand(2, 4)
    return Batch(frames[:, :3], times[:, :3], frames[:, 3:], times[:, 3:])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Colorization(**TINY).eval()


@pytest.mark.parametrize("name", ["colorization", "colorization-s"])
def test_parameters_are_those_of_the_catalogue(name):
    row = find(name)
    with torch.device("meta"):
        assert count(Colorization(**row.variants[row.default])) == row.params
        assert count(Colorization(**row.variants["tiny"])) < 300_000


def test_features_are_64_at_an_eighth():
    with torch.device("meta"):
        net = Colorization()
        seen = net._look(torch.empty(1, 3, 256, 256))
        assert seen.shape == (1, 258, 32, 32)
        assert net.embed(torch.stack([seen] * 4, 2)).shape == (1, 64, 4, 32, 32)


def test_it_sees_no_colour(net):
    frames = torch.rand(1, 3, 32, 32)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    grey = (frames * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(net._look(frames), net._look(grey), atol=1e-4)


def test_the_loss_is_that_of_the_paper(net):
    """Each place of frame 3 points at all of frames 0 to 2, at temperature 1; NLL of its own class."""
    b = batch()
    frames = torch.cat([b.frames, b.targets], 1)
    features = net.embed(torch.stack([net._look(frames[:, k]) for k in range(4)], 2))
    classes = torch.stack([classify(F.avg_pool2d(frames[:, k], 8), net.centres) for k in range(4)], 1)
    matches = torch.einsum("bcn,bcm->bnm", features[:, :, 3].flatten(2), features[:, :, :3].flatten(2))
    colours = F.one_hot(classes[:, :3].flatten(1), 16).float()
    p = matches.softmax(2) @ colours
    wanted = -(p.gather(2, classes[:, 3].flatten(1)[..., None]) + 1e-8).log().mean()
    assert torch.allclose(net.loss(b)["loss"], wanted, atol=1e-5)


def test_references_are_the_last_three_frames(net):
    frames = torch.rand(5, 1, 3, 32, 32)
    labels = torch.rand(1, 2, 32, 32).softmax(1)
    memory = net.start(frames[0], labels)
    assert all(torch.equal(seen, memory["seen"][0]) for seen in memory["seen"])
    for frame in frames[1:]:
        found, memory = net.step(memory, frame)
        assert found.shape == labels.shape and torch.allclose(found.sum(1), torch.ones(1, 32, 32), atol=1e-5)
    for seen, frame in zip(memory["seen"], frames[2:], strict=True):
        assert torch.equal(seen, net._look(frame))


def test_propagation_is_sharper_than_training(net):
    """τ is halved: weights are those of twice the products."""
    frames = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    labels = F.avg_pool2d(torch.rand(1, 2, 32, 32).softmax(1), 8)  # on the grid: comes back as it is
    found, _ = net.step(net.start(frames[0], labels), frames[1])
    seen = [net._look(frames[0])] * 3 + [net._look(frames[1])]
    features = net.embed(torch.stack(seen, 2))
    matches = torch.einsum("bcn,bcm->bnm", features[:, :, 3].flatten(2), features[:, :, :3].flatten(2))
    values = torch.cat([labels.flatten(2)] * 3, 2).transpose(1, 2)
    wanted = ((matches / 0.5).softmax(2) @ values).transpose(1, 2).reshape(1, 2, 4, 4)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_nearest_colour_is_its_class():
    centres = torch.tensor(CENTRES["ours"])
    assert centres.shape == (16, 2) and len(CENTRES["original"]) == 16
    grey = torch.full((3, 2, 2), 0.5)
    assert (classify(grey, centres) == centres.square().sum(1).argmin()).all()
    blue = torch.tensor([0.1, 0.3, 0.9]).view(3, 1, 1)
    assert centres[classify(blue, centres)][0, 0].tolist() == pytest.approx([4.06, -37.47])
    assert one_hot(torch.tensor([[0, 2]]), 3).tolist() == [[[1, 0]], [[0, 0]], [[0, 1]]]


def test_the_loss_falls():
    torch.manual_seed(0)
    losses = train_a_little(Colorization(**TINY), batch(), steps=40, rate=5e-3)
    assert losses[-1] < 0.6 * losses[0]


def test_every_parameter_gets_a_finite_gradient():
    torch.manual_seed(0)
    net = Colorization(**TINY)
    net.loss(batch())["loss"].backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


def test_what_does_not_fit_is_refused(net):
    frame = torch.rand(1, 3, 32, 32)
    with pytest.raises(ContractError, match="multiples of 8"):
        net.start(torch.rand(1, 3, 36, 32), torch.rand(1, 2, 36, 32))
    with pytest.raises(ContractError, match="does not follow"):
        net.step(net.start(frame, torch.rand(1, 2, 32, 32)), torch.rand(1, 3, 40, 32))
    with pytest.raises(ContractError, match="reads 3 frames"):
        b = batch()
        net.loss(Batch(b.frames[:, :2], b.times[:, :2], b.targets, b.target_times))
    for wrong in ({"features": 0}, {"centres": "theirs"}):
        with pytest.raises(UsageError):
            Colorization(**{**TINY, **wrong})
