import math
import weakref
from fractions import Fraction

import numpy as np
import pytest
import torch

from midframe.bench.check import check_clip, join_worst, plot_scores
from midframe.errors import InputError, OutputError
from midframe.types import Contract


class Lerp:
    contract = Contract()

    def __init__(self):
        self.times = []

    def prepare(self, frames, generator=None):
        return frames

    def render(self, state, t, size=None):
        self.times.append(t)
        return torch.lerp(state[:, 0], state[:, 1], t)


def fade(count, *, wrong=None, size=(9, 11), pts=None):
    """A clip that brightens evenly in time, so that a cross-fade is right, with errors of so many codes at `wrong`."""
    for i in range(count):
        when = Fraction(i, 25) if pts is None else pts[i]
        yield when, torch.full((3, *size), float(when) / 10 + (wrong or {}).get(i, 0) / 255)


def test_every_second_frame_is_made_again():
    seen = []
    result = check_clip(fade(8), Lerp(), on_score=seen.append)
    assert [score.index for score in result.scores] == [1, 3, 5]  # frame 7 has no neighbour after it
    assert seen == list(result.scores)
    assert [score.pts for score in result.scores] == [Fraction(i, 25) for i in (1, 3, 5)]
    assert result.psnr > 48 and result.ssim > 0.99 and result.skipped == 0


def test_the_worst_frames_are_kept_worst_first():
    wrong = {1: 3, 3: 20, 5: 1, 7: 40, 9: 10}
    result = check_clip(fade(11, wrong=wrong), Lerp(), worst=3)
    assert [item.score.index for item in result.worst] == [7, 3, 9]
    worst = result.worst[0]
    assert worst.truth.dtype == np.uint8 and worst.truth.shape == (9, 11, 3)
    assert int(worst.truth[0, 0, 0]) - int(worst.made[0, 0, 0]) == pytest.approx(40, abs=1)
    assert worst.score.psnr == pytest.approx(20 * math.log10(255 / 40), abs=0.3)
    assert join_worst(worst).shape == (9, 33, 3)
    assert join_worst(worst)[0, 25, 0] == 0  # 4 · 40 codes too dark
    assert check_clip(fade(5), Lerp(), worst=0).worst == ()


def test_variable_rate_is_judged_at_the_true_time():
    pts = [Fraction(0), Fraction(1, 10), Fraction(4, 10), Fraction(5, 10), Fraction(1)]
    model = Lerp()
    result = check_clip(fade(5, pts=pts), model)
    assert [score.t for score in result.scores] == [Fraction(1, 4), Fraction(1, 6)]
    assert model.times == [0.25, pytest.approx(1 / 6)]
    assert result.psnr > 48


@pytest.mark.parametrize(("cuts", "left"), [({1}, [3, 5]), ({2}, [1, 5]), ({3}, [1, 5]), ({6}, [1, 3, 5])])
def test_frames_beside_a_cut_are_not_judged(cuts, left):
    result = check_clip(fade(7), Lerp(), cuts=cuts)
    assert [score.index for score in result.scores] == left
    assert result.skipped == 3 - len(left)


def test_a_clip_of_cuts_only_has_no_mean():
    result = check_clip(fade(3), Lerp(), cuts={0})
    assert math.isnan(result.psnr) and math.isnan(result.ssim) and result.skipped == 1


def test_only_a_few_frames_are_alive_at_a_time():
    alive = weakref.WeakSet()
    most = 0

    def watched(frames):
        nonlocal most
        for pts, frame in frames:
            alive.add(frame)
            most = max(most, len(alive))
            yield pts, frame

    result = check_clip(watched(fade(100)), Lerp(), worst=2)
    assert len(result.scores) == 49 and len(result.worst) == 2
    assert most <= 5  # three in use, and the two variables of the generators


def test_a_clip_that_cannot_be_checked_is_refused():
    with pytest.raises(InputError, match="three frames"):
        check_clip(fade(2), Lerp())
    with pytest.raises(InputError, match="not after"):
        check_clip(fade(3, pts=[Fraction(0), Fraction(1), Fraction(1)]), Lerp())
    frames = [(Fraction(i), torch.zeros(3, 8 + i // 2, 9)) for i in range(4)]
    with pytest.raises(InputError, match="changes size"):
        check_clip(frames, Lerp())


def test_the_plot_is_a_picture(tmp_path):
    scores = {"dis": check_clip(fade(9, wrong={3: 5}), Lerp()).scores, "none": ()}
    plot_scores(scores, tmp_path / "psnr.png", title="cost $5 to $9: 映画.mp4")
    assert (tmp_path / "psnr.png").read_bytes().startswith(b"\x89PNG")
    plot_scores({}, tmp_path / "none.png")
    with pytest.raises(OutputError):
        plot_scores(scores, tmp_path / "psnr.nonsense")
    with pytest.raises(OutputError):
        plot_scores(scores, tmp_path / "nowhere" / "psnr.png")
