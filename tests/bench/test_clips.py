import math
from fractions import Fraction

import clips as films
import numpy as np
import pytest
import torch
from stand_ins import Fade
from tiny_networks import tiny_network

from midframe.bench.between import as_tensor, for_factor, render_times
from midframe.bench.clips import ValidationClips, cut_windows, make, perceived
from midframe.errors import ContractError, InputError, UsageError
from midframe.metrics.psnr import psnr
from midframe.types import Contract


def ramp(count, size=(32, 48), step=3):
    """Pictures that brighten by `step` codes a frame, so that a cross-fade makes them exactly."""
    first = np.random.default_rng(0).integers(0, 100, (*size, 3)).astype(np.uint8)
    return [first + np.uint8(step * k) for k in range(count)]


def write_images(folder, frames):
    import cv2

    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / f"{index:03d}.png"), frame[..., ::-1])
    return folder


def test_a_model_that_is_right_scores_full_marks(tmp_path):
    scores = ValidationClips(write_images(tmp_path / "ramp", ramp(9))).score(Fade())
    assert scores.psnr == 100 and scores.lpips is None
    assert [(s.factor, s.index) for s in scores.frames] == [
        *((2, index) for index in (1, 3, 5, 7)),
        *((4, index) for index in (1, 2, 3, 5, 6, 7)),
    ]


def test_figures_are_means_over_the_frames_of_a_factor_and_a_clip(tmp_path):
    for name, step in (("a", 3), ("b", 1)):
        films.write_clip(tmp_path / f"{name}.mkv", films.moving(9, (48, 64)), 25 * step, codec="ffv1")
    scores = ValidationClips(tmp_path).score(Fade(8 / 255))
    assert list(scores.clips) == ["a.mkv", "b.mkv"] and len(scores.frames) == 2 * 10
    assert scores.of(2).psnr == pytest.approx(np.mean([s.psnr for s in scores.frames if s.factor == 2]))
    one = scores.of(4, clip="b.mkv")
    assert len(one.frames) == 6 and {(s.clip, s.factor) for s in one.frames} == {("b.mkv", 4)}
    assert scores.psnr < 20 * math.log10(255 / 8) + 1
    with pytest.raises(UsageError, match="factor 3"):
        scores.of(3)


def test_clips_are_decoded_once(tmp_path, monkeypatch):
    from midframe.bench import clips

    calls = []
    monkeypatch.setattr(clips, "read_frames", lambda clip, side: calls.append(clip.name) or ramp(5))
    judge = ValidationClips(write_images(tmp_path / "ramp", ramp(2)))
    assert calls == []
    assert judge.score(Fade()).psnr == judge.score(Fade()).psnr == 100
    assert calls == ["ramp"]


def test_a_window_is_prepared_once_for_all_its_times():
    model, window = Fade(), cut_windows("x", ramp(9), 8)[0]
    made = make(model, window)
    assert model.prepared == 1 and len(made) == 7
    assert window.times == tuple(Fraction(k, 8) for k in range(1, 8))
    assert all(np.array_equal(one, truth) for one, truth in zip(made, window.targets, strict=True))


def test_a_model_of_the_middle_is_asked_again():
    window = cut_windows("x", ramp(5, step=4), 4)[0]
    middle = Fade(times=(Fraction(1, 2),))
    for one, truth in zip(make(for_factor(middle, 4), window), window.targets, strict=True):
        assert np.array_equal(one, truth)
    assert for_factor(middle, 2) is middle
    with pytest.raises(ContractError, match="not 3 times"):
        for_factor(middle, 3)
    with pytest.raises(ContractError, match="renders only"):
        render_times(middle, *(as_tensor(x) for x in (window.frame0, window.frame1)), [Fraction(1, 4)])


def test_windows_lie_side_by_side_and_a_limit_spreads_them():
    frames = ramp(18)
    assert [w.first for w in cut_windows("x", frames, 4)] == [0, 4, 8, 12]
    assert [w.first for w in cut_windows("x", frames, 2, limit=2)] == [4, 12]
    assert [w.first for w in cut_windows("x", frames, 4, limit=9)] == [0, 4, 8, 12]
    assert len(cut_windows("x", frames[:5], 4)) == 1 and cut_windows("x", frames[:4], 4) == []


def test_a_model_of_four_frames_gets_those_beside_and_at_the_ends_the_nearest_again():
    class Outer(Fade):
        def __init__(self):
            super().__init__()
            self.contract = Contract(inputs=(-1, 0, 1, 2))

        def prepare(self, frames, generator=None):
            self.seen = [round(float(frame.mean() * 255)) for frame in frames[0]]
            return frames[:, 1:3]

    model, frames = Outer(), [np.full((8, 8, 3), 10 * k, np.uint8) for k in range(9)]
    seen = []
    for window in cut_windows("x", frames, 2):
        make(model, window)
        seen.append(model.seen)
    assert seen == [[0, 0, 20, 40], [0, 20, 40, 60], [20, 40, 60, 80], [40, 60, 80, 80]]


def test_the_worst_pictures_come_worst_first_one_of_a_window(tmp_path):
    frames = ramp(9)
    frames[3] = 255 - frames[3]
    frames[5] = frames[5] + np.uint8(9)
    judge = ValidationClips(write_images(tmp_path / "ramp", frames), factors=(2,))
    scores = judge.score(Fade(), worst=2)
    assert [picture.score.index for picture in scores.worst] == [3, 5]
    worst = scores.worst[0]
    assert worst.score.psnr == pytest.approx(psnr(worst.made, worst.truth, peak=255))
    assert np.array_equal(worst.truth, frames[3])
    assert judge.score(Fade(), worst=0).worst == ()


def test_pictures_are_reduced_to_the_long_side(tmp_path):
    judge = ValidationClips(write_images(tmp_path / "ramp", ramp(5)), long_side=24)
    assert {window.frame0.shape for window in judge.windows()} == {(16, 24, 3)}


def test_lpips_is_the_mean_over_frames(tmp_path):
    frames, network = ramp(3), tiny_network("vgg")
    scores = ValidationClips(write_images(tmp_path / "ramp", frames)).score(Fade(0.2), lpips=network)
    made = (as_tensor(frames[1]) + 0.2).clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    assert scores.lpips == pytest.approx(perceived(network, made, frames[1])) and scores.lpips > 0
    assert perceived(network, made, made) == 0


def test_nothing_a_model_keeps_is_spoilt_for_training():
    kept = []
    model = Fade()
    model.prepare = lambda frames, generator=None: kept.append(torch.zeros(1)) or frames
    make(model, cut_windows("x", ramp(3), 2)[0])
    weight = torch.ones(1, requires_grad=True)
    (weight * kept[0]).sum().backward()  # refused for tensors of inference mode


def test_folders_and_settings_that_cannot_be_meant_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such"):
        ValidationClips(tmp_path / "nowhere")
    folder = write_images(tmp_path / "short", ramp(2))
    with pytest.raises(InputError, match="2 frames, one more than 2"):
        ValidationClips(folder).windows()
    for wrong in ({"factors": ()}, {"factors": (1,)}, {"factors": (2, 2)}, {"limit": 0}, {"long_side": 3}):
        with pytest.raises(UsageError):
            ValidationClips(folder, **wrong)
