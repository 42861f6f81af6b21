import math
from pathlib import Path

import pytest
import torch

from midframe.errors import ContractError, UsageError
from midframe.metrics.psnr import psnr
from midframe.models.phase import Phase
from midframe.testing import check_synthesizer

HALF_CODE = 0.5 / 255


def texture(height=64, width=80, seed=0, batch=1):
    """Smooth random RGB pictures in 0.1…0.9, which wrap around without a seam if at least 8 pixels wide and high."""
    size = (max(height, 8), max(width, 8))
    noise = torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(noise, (3, 3, 3, 3), mode="circular"), 7, 1)
    low, high = smooth.amin(), smooth.amax()
    return (0.1 + 0.8 * (smooth - low) / (high - low))[..., :height, :width]


def waves(shift, *, slope=0.0, size=(64, 96)):
    """Grey sinusoids of three octaves that fit the frame, together moved to the right by `shift` pixels.

    One alone would leave the coarse levels empty, and their phase, which guides the finer ones, to chance.
    """
    y = torch.arange(size[0], dtype=torch.float64)[:, None]
    x = torch.arange(size[1], dtype=torch.float64)[None, :] - shift
    tones = [
        torch.cos(2 * math.pi * (c * x / size[1] + round(c * slope) * y / size[0]) + c * c) / c
        for c in (2, 3, 4, 6, 8, 12, 16)
    ]
    return (0.5 + 0.15 * sum(tones)).float().expand(1, 3, *size)


def between(model, frame0, frame1, t):
    return model.render(model.prepare(torch.stack((frame0, frame1), 1)), t)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("slope", [0.0, 0.5])
@pytest.mark.parametrize("shift", [0.5, -1.0, 2.0])
def test_small_shifts_of_sinusoids_are_interpolated_at_any_time(shift, slope, t):
    frame0, truth, frame1 = (waves(s, slope=slope) for s in (0, shift * t, shift))
    made = between(Phase(), frame0, frame1, t)
    # What is left comes from the low-pass residual, which is only blended.
    assert psnr(made[0], truth[0]) > max(50, psnr(torch.lerp(frame0, frame1, t)[0], truth[0]) + 8)


def test_a_shifted_texture_is_better_than_a_crossfade():
    whole = texture(96, 128)
    frame0, truth, frame1 = (torch.roll(whole, s, dims=-1) for s in (0, 1, 2))
    made = between(Phase(), frame0, frame1, 0.5)
    assert psnr(made[0], truth[0]) > psnr(torch.lerp(frame0, frame1, 0.5)[0], truth[0]) + 2


@pytest.mark.parametrize("size", [(64, 64), (37, 51), (95, 127), (15, 40), (4, 9), (1, 1)])
@pytest.mark.parametrize("t", [0.1, 0.5])
def test_a_still_pair_stays_itself(size, t):
    frame = texture(*size) * 1.3 - 0.1  # beyond [0, 1] on both sides
    assert (between(Phase(), frame, frame, t) - frame).abs().max() < HALF_CODE


@pytest.mark.parametrize("t", [0.2, 0.4])
def test_swapped_frames_give_the_same_picture_at_the_mirrored_time(t):
    frame0, frame1 = texture(seed=1), torch.roll(texture(seed=1), (1, 2), dims=(-2, -1))
    forward = between(Phase(), frame0, frame1, t)
    backward = between(Phase(), frame1, frame0, 1 - t)
    # Equal but for coefficients half a turn apart, where either way round is right.
    assert psnr(forward[0], backward[0]) > 60


def test_the_frames_are_the_limits_of_time():
    frame0, frame1 = texture(seed=2), torch.roll(texture(seed=2), 2, dims=-1)
    model = Phase()
    state = model.prepare(torch.stack((frame0, frame1), 1))
    assert (model.render(state, 1e-4) - frame0).abs().max() < HALF_CODE
    assert (model.render(state, 1 - 1e-4) - frame1).abs().max() < HALF_CODE


def test_a_change_of_brightness_is_interpolated():
    frame = texture()
    made = between(Phase(), frame, frame * 0.8, 0.5)
    assert psnr(made[0], 0.9 * frame[0]) > 45


def test_kept_and_recomputed_bands_agree():
    pair = torch.stack((texture(seed=3), torch.roll(texture(seed=3), 1, dims=-2)), 1)
    kept, again = Phase(), Phase(keep_bytes=0)
    one, other = kept.prepare(pair), again.prepare(pair)
    assert one["bands"][0] and not other["bands"][0]
    assert other["turns"][0][0][0].dtype == torch.int8
    torch.testing.assert_close(kept.render(one, 0.3), again.render(other, 0.3), atol=1e-6, rtol=0)


def test_a_batch_is_its_frames_and_each_has_its_time():
    frames0, frames1 = texture(seed=4, batch=2), texture(seed=5, batch=2)
    model = Phase()
    together = model.render(model.prepare(torch.stack((frames0, frames1), 1)), torch.tensor([0.3, 0.7]))
    for i, t in enumerate((0.3, 0.7)):
        alone = between(model, frames0[i : i + 1], frames1[i : i + 1], t)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=0)


def test_rendering_twice_gives_the_same_bits():
    model = Phase()
    state = model.prepare(torch.stack((texture(seed=6), texture(seed=7)), 1))
    first = model.render(state, 0.4)
    model.render(state, 0.8)
    assert torch.equal(model.render(state, 0.4), first)


def test_eight_bit_lab_is_off_by_rounding_only():
    frame0, frame1 = texture(seed=8), torch.roll(texture(seed=8), 1, dims=-1)
    plain, rounded = (between(Phase(lab_8bit=on), frame0, frame1, 0.5) for on in (False, True))
    assert 0 < (plain - rounded).abs().mean() < 3 / 255


def test_the_tiny_variant_works_with_few_levels_and_orientations():
    frame = texture()
    model = Phase(levels=3, orientations=4)
    assert (between(model, frame, frame, 0.5) - frame).abs().max() < HALF_CODE
    state = model.prepare(torch.stack((frame, frame), 1))
    assert len(state["turns"][0]) == 4 and len(state["turns"][0][0]) == 3


@pytest.mark.parametrize("t", [0.0, 1.0, -0.5, 1.5, math.nan, torch.tensor([0.2, 0.4, 0.6])])
def test_times_outside_the_gap_are_refused(t):
    model = Phase(levels=2)
    state = model.prepare(texture()[:, None].expand(1, 2, 3, 64, 80))
    with pytest.raises(ContractError):
        model.render(state, t)


def test_other_sizes_and_other_windows_are_refused():
    model = Phase(levels=2)
    state = model.prepare(texture()[:, None].expand(1, 2, 3, 64, 80))
    with pytest.raises(ContractError, match="64×80"):
        model.render(state, 0.5, size=(128, 160))
    with pytest.raises(ContractError, match="two RGB frames"):
        model.prepare(torch.zeros(1, 4, 3, 8, 8))


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"scale": 1}, {"orientations": 1}, {"smallest": 2}, {"levels": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UsageError):
        Phase(**wrong)


@pytest.mark.parametrize("settings", [{}, {"levels": 3}], ids=["base", "tiny"])
def test_the_contract_is_kept(settings):
    check_synthesizer(Phase(**settings), still=1e-4)  # what a Fourier transform in float32 leaves, and Lab


MIDDLEBURY = Path(__file__).parents[3] / "shared/data/eval/middlebury_other"


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not MIDDLEBURY.is_dir(), reason="the evaluation data is not part of the project")
@pytest.mark.parametrize(("lab_8bit", "least", "most"), [(True, 31.112, 31.119), (False, 31.18, 31.21)])
def test_the_published_row_is_met(lab_8bit, least, most):
    from midframe.bench.suite import run_triplets

    row = run_triplets(MIDDLEBURY, ["phase"], load=lambda name: Phase(lab_8bit=lab_8bit))[0]
    assert least < row["psnr"] < most
    assert row["ssim_gaussian3d"] > 0.9325
