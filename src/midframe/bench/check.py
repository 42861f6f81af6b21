"""How good will a model be on this clip: drop every second frame, make it again, compare.

The gap bridged is twice what it will be in use, so the result will look better than the figures say. Memory is three
frames and the worst pictures kept, whatever the length of the clip.
"""

import heapq
import statistics
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from midframe.bench.between import as_8bit, render_between, side_by_side
from midframe.errors import InputError, OutputError
from midframe.metrics.psnr import psnr
from midframe.metrics.ssim import ssim
from midframe.types import Synthesizer

CEILING = 100.0  # dB, drawn and averaged in place of the infinite PSNR of a frame made exactly


@dataclass(frozen=True, slots=True)
class Score:
    """One dropped frame and how well it was made: source index, its time in seconds, where it lay in the gap."""

    index: int
    pts: Fraction
    t: Fraction
    psnr: float
    ssim: float


@dataclass(frozen=True, slots=True)
class Worst:
    """A frame made badly, H W 3 uint8 RGB beside what it should have been."""

    score: Score
    made: NDArray[np.uint8]
    truth: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All scores in order of time, the worst frames first by PSNR, and how many frames were not judged (at cuts)."""

    scores: tuple[Score, ...]
    worst: tuple[Worst, ...]
    skipped: int

    @property
    def psnr(self) -> float:
        """Mean in dB; a frame made exactly counts as 100. NaN without scores."""
        return statistics.fmean(min(s.psnr, CEILING) for s in self.scores) if self.scores else float("nan")

    @property
    def ssim(self) -> float:
        """Mean of scikit-image's SSIM ("uniform2d"). NaN without scores."""
        return statistics.fmean(s.ssim for s in self.scores) if self.scores else float("nan")


def check_clip(
    frames: Iterable[tuple[Fraction, Float[Tensor, "3 h w"]]],
    synthesizer: Synthesizer,
    *,
    cuts: Collection[int] = frozenset(),
    worst: int = 6,
    on_score: Callable[[Score], None] | None = None,
) -> CheckResult:
    """Make every frame of odd index from its two neighbours and compare both as 8-bit RGB.

    frames    time in seconds and picture, RGB in [0, 1]; read once, in order, never held longer than needed
    cuts      i for a cut between frames i and i + 1; a frame beside a cut cannot be made and is only counted
    worst     how many of the worst frames to keep as pictures
    on_score  called after each frame, for progress

    The time of a frame between its neighbours is used as it is, so variable frame rates are judged rightly.
    Raises InputError if there are fewer than three frames, times do not increase or sizes change; ContractError if
    the model cannot render between two frames at those times.
    """
    scores: list[Score] = []
    kept: list[tuple[float, int, Worst]] = []  # a heap whose smallest entry is the best frame kept: (−PSNR, −index, …)
    skipped = 0
    count = 0
    before: tuple[Fraction, Tensor] | None = None
    middle: tuple[Fraction, Tensor] | None = None
    for index, (pts, frame) in enumerate(frames):
        count += 1
        previous = middle or before
        if previous is not None:
            _compare_neighbours(index, previous, pts, frame)
        if index % 2:
            middle = (pts, frame)
            continue
        if before is not None and middle is not None:
            if index - 2 in cuts or index - 1 in cuts:
                skipped += 1
            else:
                found = _judge(synthesizer, index - 1, before, middle, (pts, frame))
                scores.append(found.score)
                entry = (-found.score.psnr, -found.score.index, found)
                if len(kept) < worst:
                    heapq.heappush(kept, entry)
                elif worst:
                    heapq.heappushpop(kept, entry)
                if on_score:
                    on_score(found.score)
        before, middle = (pts, frame), None
    if count < 3:
        raise InputError(f"The check needs at least three frames, this clip has {count}.")
    return CheckResult(tuple(scores), tuple(item[2] for item in sorted(kept, reverse=True)), skipped)


def plot_scores(scores: Mapping[str, Sequence[Score]], path: str | PathLike[str], *, title: str = "") -> None:
    """PSNR over time, a line for each name, as a PNG (or what the path's ending says).

    Raises OutputError if it cannot be written.
    """
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display, whatever backend the user has set
    axes = figure.add_subplot()
    for name, found in scores.items():
        values = [min(score.psnr, CEILING) for score in found]
        if not values:
            continue
        mean = statistics.fmean(values)
        times = [float(score.pts) for score in found]
        label = f"{name}: mean {mean:.2f} dB"
        (line,) = axes.plot(times, values, linewidth=1.2, marker="." if len(found) < 200 else "", label=label)
        axes.axhline(mean, color=line.get_color(), linewidth=0.8, linestyle="--")
    if axes.lines:
        axes.legend(loc="best")
    axes.set(xlabel="time (s)", ylabel="PSNR (dB)")
    axes.set_title(title, parse_math=False)  # a file name may hold dollars
    axes.grid(alpha=0.3)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script the font lacks
            figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:  # ValueError: an ending matplotlib does not know
        raise OutputError(f"{path}: the plot cannot be written ({error}); use a name ending in .png.") from error


def join_worst(worst: Worst) -> NDArray[np.uint8]:
    """`side_by_side` of a frame made badly, H 3W 3 uint8 RGB."""
    return side_by_side(worst.made, worst.truth)


def _judge(
    synthesizer: Synthesizer,
    index: int,
    before: tuple[Fraction, Tensor],
    middle: tuple[Fraction, Tensor],
    after: tuple[Fraction, Tensor],
) -> Worst:
    t = (middle[0] - before[0]) / (after[0] - before[0])
    made = as_8bit(render_between(synthesizer, before[1], after[1], t))
    truth = as_8bit(middle[1])
    score = Score(index, middle[0], t, psnr(made, truth, peak=255), ssim(made, truth, "uniform2d", peak=255))
    return Worst(score, made, truth)


def _compare_neighbours(index: int, previous: tuple[Fraction, Tensor], pts: Fraction, frame: Tensor) -> None:
    if pts <= previous[0]:
        raise InputError(
            f"Frame {index} at {float(pts):.6f} s is not after the one before; the time stamps are damaged."
        )
    if frame.shape != previous[1].shape:
        sizes = f"{tuple(previous[1].shape)} to {tuple(frame.shape)}"
        raise InputError(f"Frame {index} changes size, from {sizes}; cut the clip there.")
