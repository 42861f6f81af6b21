"""Space-time figures: which frames are made from what, what they are compared by, what is refused."""

import numpy as np
import pytest
import torch
from test_clips import ramp, write_images
from tiny_networks import tiny_network

from midframe.bench.space_time import Scores, SpaceTimeClips, compare, format_table
from midframe.errors import InputError, UsageError
from midframe.nn.space_time import blend
from midframe.ops.resize import resize_cubic
from midframe.types import Contract


class Enlarge:
    """A cross-fade of its inputs, enlarged; `asked` remembers times and sizes."""

    contract = Contract(scale=(1.0, 8.0))

    def __init__(self):
        self.asked = []

    def prepare(self, frames, generator=None):
        return {"frames": frames}

    def render(self, state, t, size=None):
        self.asked.append((float(t), size))
        return blend(resize_cubic(state["frames"], size), torch.tensor([t]).view(1, 1, 1, 1))


def flat(count, size=(33, 50)):
    """Grey pictures, 2 codes brighter each frame: shrinking and fading lose nothing."""
    return [np.full((*size, 3), 40 + 2 * k, np.uint8) for k in range(count)]


def test_every_frame_of_a_window_is_made_from_each_nth_shrunk(tmp_path):
    clips = SpaceTimeClips(write_images(tmp_path / "flat", flat(9)), scale=4, factor=4)
    windows = clips.windows()
    assert len(windows) == 2 and windows[0].times == [0, 0.25, 0.5, 0.75, 1]
    assert windows[0].inputs.shape == (1, 2, 3, 8, 12) and windows[0].size == (32, 48)
    model = Enlarge()
    scores = clips.score(model)
    assert model.asked == [(t, (32, 48)) for t in (0, 0.25, 0.5, 0.75, 1)] * 2
    assert scores.psnr == 100 and len(scores.frames) == 10
    assert len(scores.kept.frames) == 4 and len(scores.between.frames) == 6
    assert clips.score_blend().psnr == 100


def test_the_blend_is_what_a_model_that_fades_makes(tmp_path):
    clips = SpaceTimeClips(write_images(tmp_path / "ramp", ramp(7)), inputs=4, scale=2.5, factor=2)
    (window,) = clips.windows()
    assert window.inputs.shape == (1, 4, 3, 12, 16) and window.size == (30, 40)
    assert window.times == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert clips.score(Enlarge()).frames == clips.score_blend().frames


def test_windows_are_spread_and_a_factor_of_one_leaves_none_out(tmp_path):
    folder = write_images(tmp_path / "flat", flat(9))
    assert len(SpaceTimeClips(folder, factor=2, limit=2).windows()) == 2
    scores = SpaceTimeClips(folder, factor=1, limit=3).score(Enlarge())
    assert len(scores.kept.frames) == 6 and scores.between.frames == ()


def test_figures_are_those_of_luma():
    truth = np.zeros((16, 16, 3), np.uint8)
    grey = compare(np.full_like(truth, 10), truth)
    assert grey[0] == pytest.approx(20 * np.log10(255 / (10 * 219 / 255)))
    blue = truth.copy()
    blue[..., 2] = 10
    assert compare(blue, truth)[0] == pytest.approx(20 * np.log10(255 / (10 * 24.966 / 255)))
    assert compare(truth, truth) == (100.0, 1.0)


def test_the_worst_are_kept_and_lpips_is_measured_if_asked_for(tmp_path):
    clips = SpaceTimeClips(write_images(tmp_path / "ramp", ramp(5, (64, 80))), factor=2)
    scores = clips.score(Enlarge(), worst=1, lpips=tiny_network("alex").to(torch.float32))
    assert len(scores.worst) == 1 and scores.worst[0].score.psnr == min(score.psnr for score in scores.frames)
    assert scores.lpips is not None and scores.lpips > 0
    assert "LPIPS" in format_table([("it", scores)])


def test_a_table_has_a_row_each_and_a_dash_for_none(tmp_path):
    scores = SpaceTimeClips(write_images(tmp_path / "flat", flat(3)), factor=1).score(Enlarge())
    lines = format_table([("it", scores), ("the other", Scores(scores.frames))]).splitlines()
    assert lines[0].split() == ["all", "kept", "left", "out"]
    assert lines[1].split() == ["it", "100.00", "/", "1.0000", "100.00", "/", "1.0000", "–"]


def test_clips_that_are_too_short_or_too_small_are_one_line(tmp_path):
    folder = write_images(tmp_path / "flat", flat(4))
    for options in ({"factor": 4}, {"scale": 12}):
        with pytest.raises(InputError, match="no clip has") as caught:
            SpaceTimeClips(folder, **options).windows()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"scale": 1.0}, {"factor": 0}, {"inputs": 0}, {"limit": 0}])
def test_numbers_that_cannot_be_meant_are_refused(tmp_path, options):
    with pytest.raises(UsageError, match="space-time clips"):
        SpaceTimeClips(write_images(tmp_path / "flat", flat(4)), **options)
