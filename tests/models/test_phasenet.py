"""What the paper and its re-implementations fix about PhaseNet: sizes, names, the pyramid, the phase's circle."""

import math
from fractions import Fraction

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.metrics.psnr import psnr
from midframe.models.catalogue import find
from midframe.models.phasenet import (
    Block,
    PhaseNet,
    filters_for,
    from_unit_lab,
    phase_difference,
    to_unit_lab,
)
from midframe.ops.steerable import collapse, extract_level, extract_low, invert, transform
from midframe.types import Batch

TINY = {"width": 8, "grow": 0}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return PhaseNet(**TINY)


def picture(shift=0.0, size=(64, 96)):
    """A smooth picture without seams, with frequencies up to a third of the Nyquist frequency, moved to the right."""
    y = torch.arange(size[0], dtype=torch.float64)[:, None] / size[0]
    x = (torch.arange(size[1], dtype=torch.float64)[None, :] - shift) / size[1]
    waves = [(3, 1, 0.3), (5, -2, 1.1), (9, 4, 2.0), (1, 6, 0.7), (14, 3, 4.0)]
    channels = [sum(torch.cos(2 * math.pi * (a * x + b * y) + c * k) / 12 for a, b, c in waves) for k in (1, 2, 3)]
    return (0.5 + torch.stack(channels)).float()


@pytest.mark.parametrize("name", ["phasenet", "phasenet-s"])
def test_parameters_are_the_published_ones(name):
    row = find(name)
    with torch.device("meta"):
        assert count(PhaseNet(**row.variants["base"])) == row.params
        assert count(PhaseNet()) == 466_745
        assert count(PhaseNet(blocks=11)) == 731_729  # nothing shared at 256×256


def test_names_and_shapes_are_those_of_the_public_file():
    with torch.device("meta"):
        state = PhaseNet().state_dict()
    assert len(state) == 88
    sample = {
        "layers.0.feature_map.0.weight": (64, 2, 1, 1),
        "layers.0.feature_map.1.running_mean": (64,),
        "layers.0.prediction_map.0.weight": (1, 64, 1, 1),
        "layers.1.feature_map.0.weight": (64, 81, 1, 1),
        "layers.2.feature_map.0.weight": (64, 88, 1, 1),
        "layers.2.feature_map.3.weight": (64, 64, 1, 1),
        "layers.3.feature_map.0.weight": (64, 88, 3, 3),
        "layers.7.feature_map.3.weight": (64, 64, 3, 3),
        "layers.7.prediction_map.0.weight": (8, 64, 1, 1),
    }
    assert {name: tuple(state[name].shape) for name in sample} == sample


def test_the_pyramid_of_256_has_ten_levels_and_a_low_pass_of_eight_pixels():
    filters = filters_for(torch.empty(3, 256, 256))
    assert [size[0] for size in filters.sizes] == [256, 181, 128, 91, 64, 45, 32, 23, 16, 11, 8]


@pytest.mark.parametrize(("size", "levels"), [((720, 1280), 13), ((448, 252), 10), ((128, 128), 8), ((16, 16), 2)])
def test_levels_grow_with_the_shorter_side(size, levels):
    filters = filters_for(torch.empty(3, *size))
    assert len(filters.radial) == levels
    assert 5 < min(filters.sizes[-1]) <= 8


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (63, 33), (49, 130)])
def test_any_size_is_answered(net, size):
    frames = torch.rand(1, 2, 3, *size)
    made = net.eval()(frames, 0.5)
    assert made.shape == (1, 3, *size) and bool(made.isfinite().all())


def test_the_true_phase_and_mixed_amplitudes_give_the_true_middle():
    """A translation changes phases and keeps amplitudes, but for what changes within a band's reach."""
    lab = to_unit_lab(torch.stack([picture(s) for s in (-1.0, 0.0, 1.0)])).transpose(0, 1)  # channels, frames
    spectra = transform(lab)
    filters = filters_for(lab)
    first, truth, second = (spectra[:, k] for k in range(3))
    bands = []
    for level in range(len(filters.radial)):
        ends = [extract_level(spectrum, filters, level).abs() for spectrum in (first, second)]
        bands.append(torch.polar((ends[0] + ends[1]) / 2, extract_level(truth, filters, level).angle()))
    low = (extract_low(first, filters) + extract_low(second, filters)) / 2
    made = from_unit_lab(invert(collapse(bands, low, filters) + truth * filters.high**2).real)
    faded = (picture(-1.0) + picture(1.0)) / 2
    assert psnr(made, picture()) > 40 > psnr(faded, picture()) + 5


def test_a_still_pair_with_its_own_phase_loses_the_high_pass_only(net, monkeypatch):
    frames = torch.rand(1, 1, 3, 40, 48).expand(1, 2, 3, 40, 48) * 1.3  # super-whites survive
    filters = filters_for(frames)

    def know(spectra, filters, levels):
        found = [extract_level(spectra[:, 0], filters, k) for k in reversed(range(levels))]
        return extract_low(spectra[:, 0], filters), [(band.angle(), band.abs()) for band in found]

    monkeypatch.setattr(net, "predict", know)
    spectrum = transform(to_unit_lab(frames[:, 0]))
    without = from_unit_lab(invert(spectrum * (1 - filters.high**2)).real)
    torch.testing.assert_close(net(frames), without, atol=1e-4, rtol=0)
    monkeypatch.setattr(net, "high", 1.0)
    torch.testing.assert_close(net(frames), frames[:, 0], atol=1e-4, rtol=0)


def test_the_low_pass_follows_a_change_of_light(net):
    """A dark frame and a bright one: α mixes their low-pass residuals, whatever the phases are."""
    dark, bright = 0.2, 0.8
    frames = torch.stack([torch.full((1, 3, 32, 32), value) for value in (dark, bright)], 1)
    last = net.eval().layers[0].prediction_map[0]
    torch.nn.init.zeros_(last.weight)
    means = []
    for alpha in (-9.0, 0.0, 9.0):
        torch.nn.init.constant_(last.bias, alpha)
        means.append(to_unit_lab(net(frames)).mean((0, 2, 3))[0])
    light = to_unit_lab(frames[0]).mean((2, 3))[:, 0]
    torch.testing.assert_close(torch.stack(means), torch.stack([light[1], light.mean(), light[0]]), atol=1e-3, rtol=0)


def test_phases_that_differ_by_a_turn_are_equal():
    phase = torch.linspace(-math.pi, math.pi, 33, dtype=torch.float64)
    assert phase_difference(phase, phase + 2 * math.pi).abs().max() < 1e-12
    assert phase_difference(torch.tensor(math.pi), torch.tensor(-math.pi)).abs() < 1e-6
    other = phase.flip(0) * 0.9
    wrapped = torch.atan2(torch.sin(phase - other), torch.cos(phase - other))
    inside = wrapped.abs() < math.pi - 1e-6
    torch.testing.assert_close(phase_difference(phase, other)[inside], wrapped[inside])
    near = torch.tensor(3.0, requires_grad=True)
    phase_difference(near, torch.tensor(-3.0)).abs().backward()
    assert near.grad == -1  # onwards to π, not back through 0


def test_the_colours_go_in_about_0_to_1_and_come_back():
    rgb = torch.rand(2, 3, 9, 9) * 1.4 - 0.2
    torch.testing.assert_close(from_unit_lab(to_unit_lab(rgb)), rgb, atol=2e-5, rtol=0)
    plain = to_unit_lab(rgb.clamp(0, 1))
    assert plain.min() >= 0 and plain.max() <= 1.001


def test_finer_levels_sleep_until_their_turn():
    torch.manual_seed(0)
    net = PhaseNet(width=8, grow=2)
    batch = moving_batch(64)  # six levels
    awake = []
    for _ in range(6):
        net.zero_grad()
        net.loss(batch)["loss"].backward()
        awake.append(sum(bool(layer.prediction_map[0].weight.grad.any()) for layer in net.layers) - 1)
    assert awake == [1, 1, 2, 2, 3, 3]
    assert net.state_dict()["layers.0.feature_map.1.num_batches_tracked"] == 6


def test_levels_that_sleep_are_those_of_the_truth():
    """The loss compares what a pyramid with the truth's finer levels and high-pass residual would make."""
    torch.manual_seed(0)
    net = PhaseNet(width=8, grow=1)
    batch = moving_batch(64)
    made = net.loss(batch)["reconstruction"].detach()  # the first: one level of six
    pictures = torch.cat([batch.frames, batch.targets], 1)
    spectra = transform(to_unit_lab(pictures).transpose(1, 2)).flatten(0, 1)
    filters = filters_for(pictures)
    with torch.no_grad():
        low, said = net.predict(spectra[:, :2], filters, 1)
    truth = spectra[:, 2]
    bands = [extract_level(truth, filters, level) for level in range(6)]
    bands[5] = torch.polar(*said[0][::-1])
    answer = invert(collapse(bands, low, filters) + truth * filters.high**2).real
    torch.testing.assert_close((answer - invert(truth).real).abs().mean(), made, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(net, bf16):
    losses = train_a_little(net, moving_batch(32), steps=6, rate=5e-3, bf16=bf16)
    assert losses[-1] < 0.9 * losses[0]


def test_every_parameter_learns(net):
    net.loss(moving_batch(96))["loss"].backward()
    wrong = [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all()
    ]
    assert wrong == []
    # a bias before a batch norm has no effect
    still = {name for name, parameter in net.named_parameters() if not parameter.grad.abs().max() > 1e-9}
    assert all(name.endswith("feature_map.0.bias") for name in still)


def test_a_batch_is_its_members(net):
    net.eval()
    frames = torch.rand(2, 2, 3, 32, 48)
    torch.testing.assert_close(net(frames), torch.cat([net(frames[:1]), net(frames[1:])]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rows", [30, 64, 65, 66, 67, 128, 150])
def test_strips_are_the_whole(rows):
    torch.manual_seed(0)
    block = Block(5, 8, 8, 3).eval()
    x = torch.rand(1, 5, rows, 9)
    for strips, whole in zip(block(x), block._look(x), strict=True):
        torch.testing.assert_close(strips, whole, atol=1e-6, rtol=0)


def test_untrained_an_offset_is_the_phase_of_a_cross_fade():
    torch.manual_seed(0)
    net = PhaseNet(width=8, phase="offset", high=1.0).eval()
    frame = picture()
    still = torch.stack([frame, frame])[None]
    torch.testing.assert_close(net(still)[0], frame, atol=1e-4, rtol=0)
    pair = torch.stack([picture(-1.0), picture(1.0)])[None]
    assert psnr(net(pair)[0], frame) > psnr(pair[0].mean(0), frame) + 5


def test_the_answer_is_the_callers(net):
    state = net.eval().prepare(torch.rand(1, 2, 3, 32, 32))
    first = net.render(state, Fraction(1, 2))
    kept = first.clone()
    first.zero_()
    assert torch.equal(net.render(state, 0.5), kept)


def test_wrong_settings_and_frames_are_refused(net):
    with pytest.raises(UsageError, match="high is a part"):
        PhaseNet(high=1.5)
    with pytest.raises(UsageError, match='"absolute" or "offset"'):
        PhaseNet(phase="residual")
    with pytest.raises(UsageError, match="needs blocks > 3"):
        PhaseNet(blocks=3)
    with pytest.raises(ContractError, match="at least 16"):
        net.prepare(torch.rand(1, 2, 3, 15, 64))
    batch = moving_batch(32)
    with pytest.raises(ContractError, match="one target"):
        net.loss(Batch(batch.frames, batch.times, batch.targets[..., :16], batch.target_times))
    with pytest.raises(ContractError, match="only t = 1/2"):
        net.loss(Batch(batch.frames, batch.times, batch.targets, batch.target_times / 2))
