"""How good larger and more frames are: clips made smaller and thinned out, then made again, and compared.

Every n-th frame of a clip is kept, cut at the right and below so that the model can read it shrunk, shrunk by a scale
(bicubic with anti-aliasing, rounded to 8 bits), and all frames from the first kept one of a window to the last are made
again, the kept ones, too. As the tables of Zooming SlowMo and VideoINR have it: PSNR and SSIM of Y (BT.601, 16 … 235),
white at 255, pictures rounded to 8 bits, no border left out; SSIM with a Gaussian of 11×11 inside the picture
("gaussian2d" of `metrics.ssim`). Means are over frames; frames where two windows meet count in both.

    clips = SpaceTimeClips("val", inputs=2, scale=4, factor=2)
    scores = clips.score(model, "cuda")
    scores.psnr, scores.between.psnr, clips.score_blend().psnr
"""

import heapq
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from midframe.bench.ahead import spread
from midframe.bench.between import as_8bit
from midframe.bench.clips import CEILING, perceived, read_frames
from midframe.data.pack import find_clips
from midframe.errors import InputError, UsageError
from midframe.metrics.psnr import psnr
from midframe.metrics.ssim import ssim
from midframe.nn.space_time import MULTIPLE, blend
from midframe.ops.perception import Network
from midframe.ops.resize import resize_cubic
from midframe.types import Synthesizer

Y_601 = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # of 8-bit RGB, plus 16


@dataclass(frozen=True, slots=True)
class Score:
    """One frame made: which clip's, its time in the window, PSNR and SSIM of Y, LPIPS of RGB if asked for."""

    clip: str
    time: float
    psnr: float
    ssim: float
    lpips: float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame made and what it should have been, H W 3 uint8 RGB."""

    score: Score
    made: NDArray[np.uint8]
    truth: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scores:
    """All frames made; the worst of them as pictures, worst first."""

    frames: tuple[Score, ...]
    worst: tuple[Picture, ...] = ()

    @property
    def psnr(self) -> float:
        return statistics.fmean(score.psnr for score in self.frames)

    @property
    def ssim(self) -> float:
        return statistics.fmean(score.ssim for score in self.frames)

    @property
    def lpips(self) -> float | None:
        values = [score.lpips for score in self.frames if score.lpips is not None]
        return statistics.fmean(values) if values else None

    @property
    def kept(self) -> "Scores":
        """Frames that were read, smaller."""
        return Scores(tuple(score for score in self.frames if score.time == round(score.time)))

    @property
    def between(self) -> "Scores":
        """Frames that were left out. Empty for a factor of 1."""
        return Scores(tuple(score for score in self.frames if score.time != round(score.time)))

    @property
    def clips(self) -> dict[str, "Scores"]:
        """Clip by clip, in order."""
        names = dict.fromkeys(score.clip for score in self.frames)
        return {name: Scores(tuple(score for score in self.frames if score.clip == name)) for name in names}


@dataclass(frozen=True, slots=True)
class Window:
    """Frames of a clip, all of them to be made, from each factor-th of them, shrunk: 1 N 3 h w in [0, 1]."""

    clip: str
    inputs: Float[Tensor, "1 n 3 h w"]
    truth: tuple[UInt8[np.ndarray, "hh ww 3"], ...]
    factor: int

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.truth[0].shape[:2]
        return height, width

    @property
    def times(self) -> list[float]:
        return [k / self.factor for k in range(len(self.truth))]


class SpaceTimeClips:
    """Windows of the clips of a folder, side by side, decoded at the first use and kept in memory.

    inputs     frames that the model reads
    scale      how many times smaller they are, any number above 1
    factor     every how many-th frame is kept; 1 keeps all
    long_side  larger pictures are reduced to this first, by area
    limit      at most this many windows of each clip, spread evenly; None: all

    Raises UsageError for numbers that cannot be meant, InputError if there are no clips, and at the first use if one
    cannot be read or none is long and large enough.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        inputs: int = 2,
        scale: float = 4.0,
        factor: int = 2,
        long_side: int | None = None,
        limit: int | None = None,
    ) -> None:
        if min(inputs, factor) < 1 or not scale > 1 or (limit is not None and limit < 1):
            raise UsageError(
                f"space-time clips: at least 1 input, a factor of 1 and 1 window, and a scale above 1; got {inputs}, "
                f"{factor}, {limit} and {scale:g}."
            )
        self.folder, self.sources = folder, find_clips([str(folder)])
        self.inputs, self.scale, self.factor = inputs, scale, factor
        self.long_side, self.limit = long_side, limit
        self._windows: list[Window] | None = None

    def windows(self) -> list[Window]:
        if self._windows is None:
            self._windows = list(self._cut())
            if not self._windows:
                raise InputError(
                    f"{self.folder}: no clip has {self._length} frames of at least {MULTIPLE * self.scale:g} pixels "
                    f"either way, which {self.inputs} inputs {self.factor} apart at a scale of {self.scale:g} take."
                )
        return self._windows

    def score(
        self,
        model: Synthesizer,
        device: torch.device | str = "cpu",
        *,
        lpips: Network | None = None,
        worst: int = 0,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Scores:
        """Make all frames with `model`, whose networks are on `device`, and compare.

        lpips        `midframe.ops.perception.load_network("alex")` to have LPIPS, too
        worst        how many pictures to keep, no two of the same window
        on_progress  called with windows done and windows in all

        Raises ContractError if the model cannot render at these times or this size.
        """

        def make(window: Window) -> Iterator[Tensor]:
            state = model.prepare(window.inputs.to(device), torch.Generator().manual_seed(0))
            return (model.render(state, t, window.size) for t in window.times)

        return self._compare(make, device, lpips, worst, on_progress)

    def score_blend(self, *, lpips: Network | None = None) -> Scores:
        """The same of the cross-fade of neighbouring inputs, enlarged (bicubic)."""

        def make(window: Window) -> Iterator[Tensor]:
            large = resize_cubic(window.inputs, window.size)
            return (blend(large, torch.tensor([t]).view(1, 1, 1, 1)) for t in window.times)

        return self._compare(make, "cpu", lpips, 0, None)

    def _compare(
        self,
        make: Callable[[Window], Iterator[Tensor]],
        device: torch.device | str,
        lpips: Network | None,
        worst: int,
        on_progress: Callable[[int, int], None] | None,
    ) -> Scores:
        network = lpips.to(torch.device(device)) if lpips is not None else None
        scores: list[Score] = []
        kept: list[tuple[float, int, Picture]] = []  # a heap whose smallest entry is the best of the worst
        windows = self.windows()
        for number, window in enumerate(windows):
            pictures = []
            with torch.no_grad():
                for made, truth, time in zip(make(window), window.truth, window.times, strict=True):
                    shown = as_8bit(made[0])
                    likeness = perceived(network, shown, truth) if network is not None else None
                    pictures.append(Picture(Score(window.clip, time, *compare(shown, truth), likeness), shown, truth))
            scores += [picture.score for picture in pictures]
            if worst:
                picture = min(pictures, key=lambda picture: picture.score.psnr)
                heapq.heappush(kept, (-picture.score.psnr, -number, picture))
                if len(kept) > worst:
                    heapq.heappop(kept)
            if on_progress:
                on_progress(number + 1, len(windows))
        return Scores(tuple(scores), tuple(entry[2] for entry in sorted(kept, reverse=True)))

    @property
    def _length(self) -> int:
        return (self.inputs - 1) * self.factor + 1

    def _cut(self) -> Iterator[Window]:
        for source in self.sources:
            frames = read_frames(source, self.long_side)
            height, width = (int(side / self.scale) // MULTIPLE * MULTIPLE for side in frames[0].shape[:2])
            if min(height, width) < MULTIPLE:
                continue
            tall, wide = round(height * self.scale), round(width * self.scale)
            starts = list(range(0, len(frames) - self._length + 1, max(self._length - 1, 1)))
            for start in spread(starts, self.limit):
                truth = tuple(frame[:tall, :wide] for frame in frames[start : start + self._length])
                read = torch.from_numpy(np.stack(truth[:: self.factor])).permute(0, 3, 1, 2)[None].float()
                shrunk = resize_cubic(read, (height, width)).round().clamp(0, 255) / 255
                yield Window(source.name, shrunk, truth, self.factor)


def compare(made: UInt8[np.ndarray, "h w 3"], truth: UInt8[np.ndarray, "h w 3"]) -> tuple[float, float]:
    """PSNR (at most 100 dB) and SSIM of Y of two 8-bit pictures."""
    first, second = (picture @ np.array(Y_601) + 16 for picture in (made, truth))
    return min(psnr(first, second, peak=255), CEILING), ssim(first, second, "gaussian2d", peak=255)


def format_table(rows: Sequence[tuple[str, Scores]]) -> str:
    """Lines for a terminal: all frames, those that were read, smaller, and those that were left out."""
    wide = max(len(name) for name, _ in rows)
    lines = [f"{'':<{wide}}{'all':>18}{'kept':>18}{'left out':>18}"]
    for name, scores in rows:
        parts = (scores, scores.kept, scores.between)
        told = "".join(f"{part.psnr:>9.2f} / {part.ssim:.4f}" if part.frames else f"{'–':>18}" for part in parts)
        lines.append(f"{name:<{wide}}{told}" + ("" if scores.lpips is None else f"   LPIPS {scores.lpips:.4f}"))
    return "\n".join(lines)
