"""What is published about SimVP: parameters of both translators, its shapes, frames encoded alone."""

import pytest
import torch
from networks import count, drifting_batch, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.simvp import GSTA, ConvBlock, SimVP

TINY = find("simvp").variants["tiny"]
TINY_S = find("simvp-s").variants["tiny"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return SimVP(**TINY).eval()


@pytest.mark.parametrize("name", ["simvp", "simvp-s"])
def test_parameters_are_those_of_the_catalogue(name):
    row = find(name)
    with torch.device("meta"):
        assert count(SimVP(**row.variants[row.default])) == row.params
        assert count(SimVP(**row.variants["tiny"])) < 300_000


@pytest.mark.parametrize(("kind", "millions"), [("gsta", 46.8), ("convmixer", 3.9)])
def test_parameters_are_the_published_ones(kind, millions):
    with torch.device("meta"):
        assert count(SimVP(kind=kind)) / 1e6 == pytest.approx(millions, abs=0.05)


def test_multiply_adds_are_the_published_ones():
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        SimVP()._make(torch.empty(1, 10, 1, 64, 64))
    assert counter.get_total_flops() / 2e9 == pytest.approx(16.5, rel=0.03)


def test_sizes_halve_at_every_second_step_and_come_back(net):
    x = net.first(torch.rand(6, 1, 32, 48))
    assert x.shape == (6, 4, 32, 48)
    assert net.encoder(x).shape == (6, 4, 8, 12)
    assert net.decoder(net.encoder(x)).shape == x.shape


def test_enlarging_is_a_pixel_shuffle_before_the_norm():
    block = ConvBlock(4, 4, enlarge=True)
    x = torch.rand(1, 4, 5, 6)
    wanted = torch.nn.functional.silu(block.norm(torch.pixel_shuffle(block.conv(x), 2)))
    assert torch.equal(block(x), wanted)


def test_a_fresh_gsta_block_changes_little():
    torch.manual_seed(0)
    x = torch.randn(2, 8, 12, 12)
    assert (GSTA(8).eval()(x) - x).abs().max() < 0.1


def test_gsta_reaches_eleven_pixels():
    """5×5, then 7×7 at every third pixel: 2 + 9 pixels on either side, and one more by the mixing's 3×3."""
    torch.manual_seed(0)
    block = GSTA(4).eval()
    x = torch.zeros(1, 4, 41, 41, requires_grad=True)
    block(x)[0, :, 20, 20].sum().backward()
    reached = x.grad[0].abs().sum(0)
    assert reached[20, 20 - 12] > 0 and reached[20, : 20 - 12].abs().max() == 0


def test_a_frame_keeps_its_own_detail(net):
    """Frame k of the future is decoded from what was kept of frame k of the past, beside the translator's answer."""
    for layer in net.decoder[-1].parameters():
        torch.nn.init.zeros_(layer)  # nothing comes from the translator
    frames = torch.rand(1, 3, 1, 16, 16)
    other = frames.clone()
    other[:, 1] = torch.rand(1, 1, 16, 16)
    one, two = net.prepare(frames)["made"], net.prepare(other)["made"]
    assert torch.equal(one[0], two[0]) and torch.equal(one[2], two[2]) and not torch.equal(one[1], two[1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["gsta", "convmixer"])
def test_shapes_of_grey_and_of_colour(channels, kind):
    net = SimVP(**{**TINY, "channels": channels, "kind": kind}).eval()
    assert net(torch.rand(2, 3, channels, 16, 24), 3).shape == (2, channels, 16, 24)


def test_the_loss_is_that_of_what_is_rendered(net):
    batch = drifting_batch()
    state = net.prepare(batch.frames)
    errors = torch.stack([net.render(state, t) for t in (1, 2)], 1) - batch.targets
    parts = net.loss(batch)
    assert torch.allclose(parts["loss"], errors.square().mean())
    assert torch.allclose(parts["mse"], errors.square().sum((2, 3, 4)).mean())


@pytest.mark.parametrize(("settings", "channels"), [(TINY, 1), (TINY_S, 3)], ids=["simvp", "simvp-s"])
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(settings, channels, bf16):
    torch.manual_seed(0)
    losses = train_a_little(SimVP(**settings), drifting_batch(channels), steps=25, rate=5e-3, bf16=bf16)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(("settings", "channels"), [(TINY, 1), (TINY_S, 3)], ids=["simvp", "simvp-s"])
def test_every_parameter_gets_a_finite_gradient(settings, channels):
    torch.manual_seed(0)
    model = SimVP(**settings)
    model.loss(drifting_batch(channels, targets=3))["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


def test_what_does_not_fit_is_refused(net):
    state = net.prepare(torch.rand(1, 3, 1, 16, 16))
    for t in (0, 4, 0.5):
        with pytest.raises(ContractError, match="renders only t = 1, 2, 3"):
            net.render(state, t)
    with pytest.raises(ContractError, match="reads 3 frames of 1 channels"):
        net.prepare(torch.rand(1, 4, 1, 16, 16))
    with pytest.raises(ContractError, match="multiples of 4"):
        net.prepare(torch.rand(1, 3, 1, 18, 16))
    with pytest.raises(ContractError, match="looks 3 frames ahead"):
        net.loss(drifting_batch(targets=4))
    for wrong in ({"width": 3}, {"steps": 3}, {"blocks": 1}, {"kind": "unet"}, {"frames": 0}):
        with pytest.raises(UsageError):
            SimVP(**{**TINY, **wrong})
