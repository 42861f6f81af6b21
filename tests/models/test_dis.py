import concurrent.futures

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from midframe.errors import ContractError, UsageError
from midframe.models import dis
from midframe.models.dis import DIS

PRESETS = ["best", "balanced", "fast"]


def texture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """3 H W in [0, 1]: detail at several sizes."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.zeros(1, 3, height, width)
    for size, weight in ((6, 0.5), (14, 0.3), (40, 0.2)):
        coarse = torch.rand(1, 3, size, size, generator=generator)
        picture += weight * F.interpolate(coarse, (height, width), mode="bicubic")
    return picture[0].clamp(0, 1)


def shifted(dx: int, dy: int, height: int = 144, width: int = 192) -> tuple[torch.Tensor, torch.Tensor]:
    """A pair whose content moves by (2·dx, 2·dy) pixels, and the frame half-way."""
    wide = texture(height + 4 * abs(dy), width + 4 * abs(dx))
    y, x = 2 * abs(dy), 2 * abs(dx)
    first, middle, last = (
        wide[:, y + k * dy : y + k * dy + height, x + k * dx : x + k * dx + width] for k in (1, 0, -1)
    )
    return torch.stack([first, last])[None].contiguous(), middle


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(-10 * torch.log10((one - other).square().mean()))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("motion", [(0, 1), (3, -2), (8, 5)])
def test_shift_is_followed(preset, motion):
    frames, middle = shifted(*motion)
    model = DIS(preset=preset)
    made = model.render(model.prepare(frames), 0.5)[0]
    inner = (..., slice(24, -24), slice(24, -24))
    assert psnr(made[inner], middle[inner]) > 36
    assert psnr(made[inner], middle[inner]) > psnr(frames[0].mean(0)[inner], middle[inner]) + 6


@pytest.mark.parametrize("preset", PRESETS)
def test_flow_points_from_frame_to_frame_in_pixels(preset):
    frames, _ = shifted(4, -3)
    model = DIS(preset=preset)
    flows = model.prepare(frames)["flows"] * 2**model.settings.grid
    for flow, sign in ((flows[0, 0], 1), (flows[0, 1], -1)):
        inner = flow[flow.shape[0] // 4 : -flow.shape[0] // 4, flow.shape[1] // 4 : -flow.shape[1] // 4]
        assert float(inner[..., 0].median()) == pytest.approx(sign * 8, abs=0.3)
        assert float(inner[..., 1].median()) == pytest.approx(sign * -6, abs=0.3)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("preset", PRESETS)
def test_uncovered_background_comes_from_the_frame_that_shows_it(preset, t):
    background, patch = texture(240, 320), texture(120, 120, seed=5)

    def scene(left: int) -> torch.Tensor:
        frame = background.clone()
        frame[:, 60:180, left : left + 120] = patch
        return frame

    frames = torch.stack([scene(100), scene(116)])
    model = DIS(preset=preset)
    made = model.render(model.prepare(frames[None]), t)[0]
    truth = scene(round(100 + 16 * t))
    blend = torch.lerp(frames[0], frames[1], t)
    for strip in (slice(100, 116), slice(220, 236)):  # uncovered on the left, covered on the right
        inside = (..., slice(76, 164), strip)
        assert (made - truth)[inside].abs().mean() < 0.6 * (blend - truth)[inside].abs().mean()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3), (16, 16), (15, 100), (33, 47), (127, 95)])
def test_still_pair_of_any_size_returns_itself(preset, size):
    frame = 1.6 * torch.rand(3, *size, generator=torch.Generator().manual_seed(4)) - 0.3  # super-whites and below black
    model = DIS(preset=preset)
    made = model.render(model.prepare(torch.stack([frame, frame])[None]), 0.3)[0]
    assert made.shape == frame.shape
    assert (made - frame).abs().max() < 1e-6


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (17, 31), (65, 66), (127, 95)])
def test_unlike_frames_of_any_size_stay_between_sensible_bounds(preset, size):
    frames = torch.rand(1, 2, 3, *size, generator=torch.Generator().manual_seed(6))
    model = DIS(preset=preset)
    made = model.render(model.prepare(frames), 0.5)
    assert made.shape[-2:] == size
    assert torch.isfinite(made).all()
    assert made.min() > -0.5 and made.max() < 1.5  # the cubic may overshoot noise, no more


@pytest.mark.parametrize("preset", PRESETS)
def test_swapped_pair_at_the_mirrored_time_is_the_same(preset):
    frames, _ = shifted(5, 3)
    model = DIS(preset=preset)
    there = model.render(model.prepare(frames), 0.3)
    back = model.render(model.prepare(frames.flip(1).contiguous()), 0.7)
    assert (there - back).abs().max() < 1e-3


@pytest.mark.parametrize("preset", PRESETS)
def test_lettering_over_a_panning_picture_stands_still(preset):
    frames, middle = shifted(8, 0, 180, 320)
    banner = np.zeros((40, 200, 3), np.uint8)
    cv2.putText(banner, "SCORE 3:2", (6, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 3)
    lettering = torch.from_numpy(banner).permute(2, 0, 1) / 255
    frames[..., 70:110, 60:260] = lettering
    model = DIS(preset=preset)
    made = model.render(model.prepare(frames), 0.5)[0]
    assert (made[:, 74:106, 72:248] - lettering[:, 4:36, 12:188]).abs().mean() < 0.03
    assert psnr(made[:, 24:60, 48:-48], middle[:, 24:60, 48:-48]) > 30  # the picture still moves


def test_ends_of_the_gap_approach_the_frames():
    frames, _ = shifted(3, 2)
    model = DIS()
    state = model.prepare(frames)
    assert psnr(model.render(state, 1e-4)[0], frames[0, 0]) > 45
    assert psnr(model.render(state, 1 - 1e-4)[0], frames[0, 1]) > 45


def test_large_motion_is_followed():
    frames, middle = shifted(40, 0, 270, 480)
    model = DIS(preset="fast")
    made = model.render(model.prepare(frames), 0.5)[0]
    inner = (..., slice(60, -60), slice(120, -120))
    assert psnr(made[inner], middle[inner]) > 30


def test_result_does_not_depend_on_threads():
    frames, _ = shifted(3, 2)
    model = DIS(preset="fast")
    cv2.setNumThreads(4)
    alone = model.prepare(frames)["flows"]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda _: model.prepare(frames)["flows"], range(6)))
    assert all(torch.equal(alone, one) for one in together)
    assert cv2.getNumThreads() == 1


def test_contiguous_frames_are_not_copied():
    frames = torch.rand(1, 2, 3, 16, 16)
    assert dis._arrays(frames).ctypes.data == frames.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_answer_has_the_frames_dtype(dtype):
    frames = shifted(2, 1)[0]
    model = DIS(preset="tiny")
    made = model.render(model.prepare(frames.to(dtype)), 0.5)
    assert made.dtype == dtype
    assert (made.float() - model.render(model.prepare(frames), 0.5)).abs().mean() < 1e-3


@pytest.mark.parametrize(("factor", "length"), [(1, 5), (2, 1), (2, 7), (4, 1), (4, 6)])
def test_stretch_is_bilinear_enlargement(factor, length):
    line = np.random.default_rng(1).random(length).astype(np.float32)
    wide = np.empty(factor * length, np.float32)
    dis._stretch(line, wide, factor)
    expected = F.interpolate(torch.from_numpy(line)[None, None], scale_factor=factor, mode="linear")[0, 0]
    np.testing.assert_allclose(wide, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 3, 3, 8, 8), (1, 2, 1, 8, 8), (1, 2, 3, 0, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ContractError, match="B 2 3 H W"):
        DIS().prepare(torch.zeros(shape))


def test_other_sizes_and_presets_are_refused():
    model = DIS(preset="tiny")
    state = model.prepare(torch.zeros(1, 2, 3, 16, 16))
    with pytest.raises(ContractError, match="keeps the size"):
        model.render(state, 0.5, (32, 32))
    with pytest.raises(UsageError, match="best, balanced, fast, tiny"):
        DIS(preset="quick")
