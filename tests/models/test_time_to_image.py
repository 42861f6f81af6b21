"""One network for one clip: published sizes, the embedding's limit, what the penalty does, and the file."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from networks import count

from midframe.errors import ContractError, ModelError, UsageError
from midframe.models.catalogue import find
from midframe.models.fitted import Fit, load_fit, quantise, restore, save_fit
from midframe.models.load import load
from midframe.models.time_to_image import TimeToImage, nyquist
from midframe.types import Batch

ROW = find("time-to-image")
TINY = ROW.variants["tiny"]
FRAMES, SIDE = 32, 32


def blob(times):
    """A Gaussian spot on a curve: N 3 H W at any times, counted in frames."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    along = torch.as_tensor(times, dtype=torch.float32)[:, None, None] / (FRAMES - 1)
    x0, y0 = SIDE * (0.25 + 0.5 * along), SIDE * (0.5 + 0.25 * torch.sin(2 * math.pi * along))
    spot = torch.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * (SIDE / 10) ** 2))
    return torch.stack((spot, 0.5 * spot + 0.2, 0.8 - 0.8 * spot), 1)


def psnr(made, truth):
    return float(-10 * (made - truth).square().mean((1, 2, 3)).log10().mean())


def fitted(steps=200, **settings):
    """A network that learnt every second frame of the blob; (network, PSNR of those, PSNR of the others)."""
    torch.manual_seed(0)
    model = TimeToImage(
        frames=FRAMES, size=(SIDE, SIDE), learnt=FRAMES // 2, stem=64, width=16, strides=(2, 2, 2), **settings
    )
    optimiser = torch.optim.Adam(model.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    seen = torch.arange(0.0, FRAMES, 2)
    batch = Batch(torch.zeros(16, 0, 3, 1, 1), torch.zeros(16, 0), blob(seen)[:, None], seen[:, None])
    for _ in range(steps):
        chance = {"chance": torch.rand(6)}
        loss = model.loss(Batch(batch.frames, batch.times, batch.targets, batch.target_times, chance))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    others = torch.arange(1.0, FRAMES - 1, 2)
    with torch.no_grad():
        return model, psnr(model(seen), blob(seen)), psnr(model(others), blob(others))


@pytest.fixture(scope="module")
def smooth():  # by its frequencies alone
    return fitted(penalty="none")


@pytest.mark.parametrize(
    ("variant", "parameters"), [("base", ROW.params), ("plain", 491_153), ("nerv-s", 3_201_905), ("nerv-m", 6_282_001),
                                ("nerv-l", 12_524_563)],
)  # fmt: skip
def test_parameters_are_the_published_ones(variant, parameters):
    """NeRV's table 1: 3.2, 6.3 and 12.5 million; the 0.49 million of our own comparison."""
    with torch.device("meta"):
        assert count(TimeToImage(**ROW.variants[variant])) == parameters
        assert count(TimeToImage(**TINY)) < 300_000


def test_the_grid_of_nerv_is_that_of_its_clips():
    with torch.device("meta"):
        model = TimeToImage(**ROW.variants["nerv-s"])
        assert model.grid == (9, 16) and model(torch.zeros(1, device="meta")).shape == (1, 3, 720, 1280)


@pytest.mark.parametrize(("frames", "expected"), [(66, 19), (132, 22), (5, 8)])
def test_no_frequency_is_above_what_the_frames_can_tell(frames, expected):
    assert nyquist(1.25, frames) == expected
    assert 1.25 ** (expected - 1) <= frames < 1.25**expected
    assert len(TimeToImage(frames=2 * frames, learnt=frames, size=(8, 8), strides=(2,)).angles) == expected


@pytest.mark.parametrize("size", [(30, 34), (16, 16), (1, 50)])
def test_any_size_comes_out_in_zero_to_one(size):
    made = TimeToImage(**{**TINY, "size": size})(torch.tensor([0.0, 3.3, 99.0]))
    assert made.shape == (3, 3, *size) and made.min() >= 0 and made.max() <= 1


def test_the_exact_velocity_is_the_limit_of_differences():
    torch.manual_seed(0)
    model = TimeToImage(**TINY).double()
    t = torch.tensor([2.2, 7.9], dtype=torch.float64)
    step = 1e-5
    difference = (model(t + step) - model(t - step)) / (2 * step)
    assert torch.allclose(model.velocity(t), difference, atol=1e-8)


def test_penalties_are_what_they_are_called(monkeypatch):
    model = TimeToImage(**TINY)
    chance = torch.rand(7, generator=torch.Generator().manual_seed(0))

    def line(t):  # changes by 0.01 a frame
        return (0.01 * t)[:, None, None, None].expand(-1, 3, 4, 4)

    def parabola(t):  # bends by 2 · 0.01
        return (0.01 * t**2)[:, None, None, None].expand(-1, 3, 4, 4)

    monkeypatch.setattr(model, "forward", line)
    for penalty, value in [("slope", 1e-4), ("variation", 1e-2), ("curvature", 0.0)]:
        model.penalty = penalty
        assert model.roughness(chance).item() == pytest.approx(value, abs=1e-6)
    monkeypatch.setattr(model, "forward", parabola)
    assert model.roughness(chance).item() == pytest.approx(4e-4, rel=1e-3)


def test_the_penalty_makes_unseen_frames_better_by_more_than_a_decibel():
    """The acceptance test of the idea, with NeRV's 40 frequencies."""
    _, seen, unseen = fitted(frequencies=40, penalty="none")
    _, kept, better = fitted(frequencies=40, penalty="curvature", strength=1.0)
    assert better >= unseen + 1
    assert kept > 24 and seen > 24  # both have learnt the frames themselves


def test_few_frequencies_meet_frames_they_have_not_seen(smooth):
    _, seen, unseen = smooth
    assert seen > 24 and abs(seen - unseen) < 0.5


def test_eight_bits_cost_little_and_the_file_is_the_network(smooth, tmp_path):
    model, seen, _ = smooth
    settings = {"frames": FRAMES, "size": (SIDE, SIDE), "learnt": 16, "stem": 64, "width": 16, "strides": (2, 2, 2)}
    fit = Fit(settings, Fraction(1, 3), Fraction(24000, 1001), "blob.mp4", {"seen": seen})
    times = torch.arange(0.0, FRAMES, 2)
    for bits, loss in [(8, 0.3), (16, 0.02), (32, 1e-6)]:
        path = tmp_path / f"{bits}.safetensors"
        save_fit(path, model, fit, bits=bits)
        again, about = load_fit(path)
        assert (about.start, about.rate, about.source) == (fit.start, fit.rate, fit.source)
        with torch.no_grad():
            assert abs(psnr(again(times), blob(times)) - seen) <= loss
    assert (tmp_path / "8.safetensors").stat().st_size < 0.4 * (tmp_path / "32.safetensors").stat().st_size


def test_quantising_is_exact_to_half_a_step():
    weight = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    weight[2] = 0.25  # of no range at all
    codes, low, step = quantise(weight)
    assert codes.dtype == torch.uint8 and codes.shape == weight.shape
    assert bool(((restore(codes, low, step) - weight).abs() <= step.view(-1, 1, 1) * 0.501 + 1e-7).all())


def test_files_that_are_no_fits_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        load_fit(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="no clip that"):
        load_fit(path)
    save_fit(path, TimeToImage(**TINY), Fit({**TINY, "width": 8}, Fraction(0), Fraction(25), "x", {}))
    with pytest.raises(ModelError, match="does not fit together"):
        load_fit(path)


def batch_of(model, times, **labels):
    height, width = model.size
    shape = (len(times), 1, 3, height, width)
    targets = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return Batch(targets[:, :0], torch.zeros(len(times), 0), targets, torch.tensor(times)[:, None], labels)


@pytest.mark.parametrize("error", ["l2", "l1-ssim"])
@pytest.mark.parametrize("penalty", ["none", "slope", "curvature", "variation"])
def test_every_parameter_gets_a_finite_gradient(penalty, error):
    torch.manual_seed(0)
    model = TimeToImage(**{**TINY, "penalty": penalty, "error": error})
    parts = model.loss(batch_of(model, [0.0, 4.0], chance=torch.tensor([0.1, 0.8])))
    parts["loss"].backward()
    assert set(parts) == {"loss", "error"} | ({penalty} - {"none"})
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


def test_what_does_not_fit_is_refused():
    model = TimeToImage(**TINY)
    with pytest.raises(ContractError, match="chance"):
        model.loss(batch_of(model, [0.0]))
    other = TimeToImage(**{**TINY, "size": (16, 16)})
    with pytest.raises(ContractError, match="makes"):
        model.loss(batch_of(other, [0.0], chance=torch.rand(1)))
    with pytest.raises(UsageError, match="fitted to one clip"):
        load("time-to-image")
    for wrong in ({"frames": 2}, {"base": 1.0}, {"strides": (2, 0)}, {"penalty": "much"}, {"strength": -1.0}):
        with pytest.raises(UsageError, match="TimeToImage"):
            TimeToImage(**{**TINY, **wrong})


def test_a_batch_is_its_members():
    model = TimeToImage(**TINY)
    t = torch.tensor([1.5, 9.0])
    assert torch.allclose(model(t), torch.cat([model(t[:1]), model(t[1:])]), atol=1e-6)


def test_its_ssim_is_that_of_the_metrics():
    from midframe.losses.ssim import ssim
    from midframe.metrics import ssim as metric

    a, b = torch.rand(2, 1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    made = 0.7 * a + 0.3 * b
    assert ssim(made, a).item() == pytest.approx(metric.ssim(made[0], a[0], "gaussian2d"), abs=1e-5)
    assert ssim(a, a).item() == pytest.approx(1)
    assert np.isfinite(ssim(a[..., :5, :5], b[..., :5, :5]).item())
    with pytest.raises(ContractError, match="differ"):
        ssim(a, b[..., :5])
