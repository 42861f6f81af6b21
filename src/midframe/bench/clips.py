"""Quality on short clips: leave frames out, make them again, compare. For the trainer's validation and for `bench`.

    clips = ValidationClips("val", long_side=448, limit=2)
    scores = clips.score(model, "cuda")        # again and again; the clips are decoded once
    scores.psnr, scores.of(4).psnr, scores.worst[0].made

Factor n keeps every n-th frame and makes the n − 1 between: 2 drops every second frame, 4 three of four. Compared are
8-bit RGB pictures. Every file is taken as one continuous shot.
"""

import heapq
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray

from midframe.bench.between import as_8bit, as_tensor, for_factor, render_times
from midframe.data.pack import Clip, find_clips, read_image, reduce
from midframe.errors import InputError, UsageError
from midframe.metrics.psnr import psnr
from midframe.metrics.sharpness import sharpness
from midframe.ops.perception import Network, lpips_distance
from midframe.types import Synthesizer
from midframe.video.pixel import to_rgb, working_format
from midframe.video.probe import probe, scan
from midframe.video.reader import Reader

FACTORS = (2, 4)
CEILING = 100.0  # dB, in place of the infinite PSNR of a frame made exactly


@dataclass(frozen=True, slots=True)
class Window:
    """Two kept frames of a clip, H W 3 uint8 RGB, and those between, which are to be made.

    first  index in the clip of frame 0; target k (0 …) is frame first + k + 1, at t = (k + 1) / factor
    outer  the kept frames before frame 0 and after frame 1, for models that read four, at a clip's ends the nearest
           once more; None if they are not known
    """

    clip: str
    factor: int
    first: int
    frame0: UInt8[np.ndarray, "h w 3"]
    frame1: UInt8[np.ndarray, "h w 3"]
    targets: tuple[UInt8[np.ndarray, "h w 3"], ...]
    outer: tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]] | None = None

    @property
    def times(self) -> tuple[Fraction, ...]:
        return tuple(Fraction(k, self.factor) for k in range(1, self.factor))


@dataclass(frozen=True, slots=True)
class Score:
    """One frame made: which, and how well.

    psnr in dB, at most 100; lpips None unless asked for; sharpness of the true frame is 1 (`metrics.sharpness`), None
    where it was not measured.
    """

    clip: str
    factor: int
    index: int
    psnr: float
    lpips: float | None
    sharpness: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame made badly and what it should have been, H W 3 uint8 RGB."""

    score: Score
    made: NDArray[np.uint8]
    truth: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scores:
    """All frames made, in order; the worst of them by PSNR, worst first, as pictures."""

    frames: tuple[Score, ...]
    worst: tuple[Picture, ...] = ()

    @property
    def psnr(self) -> float:
        """Mean over all frames made, dB."""
        return statistics.fmean(score.psnr for score in self.frames)

    @property
    def lpips(self) -> float | None:
        """Mean over all frames made; None if it was not asked for."""
        found = [score.lpips for score in self.frames if score.lpips is not None]
        return statistics.fmean(found) if found else None

    @property
    def sharpness(self) -> float | None:
        """Mean over all frames made that have a finite one; None if there are none."""
        found = [s.sharpness for s in self.frames if s.sharpness is not None and math.isfinite(s.sharpness)]
        return statistics.fmean(found) if found else None

    def of(self, factor: int | None = None, *, clip: str | None = None) -> "Scores":
        """The frames of one factor, of one clip, or of both. Raises UsageError if there are none."""
        kept = tuple(s for s in self.frames if factor in (None, s.factor) and clip in (None, s.clip))
        if not kept:
            raise UsageError(f"No frames of factor {factor or 'any'} and clip {clip or 'any'} were made.")
        return Scores(kept, tuple(picture for picture in self.worst if picture.score in kept))

    @property
    def clips(self) -> dict[str, "Scores"]:
        """Clip by clip, in order."""
        return {name: self.of(clip=name) for name in dict.fromkeys(score.clip for score in self.frames)}


class ValidationClips:
    """Clips of a folder, decoded at the first use and kept in memory as 8-bit RGB.

    folder     videos, or images of one clip (see `midframe.data.pack.find_clips`), or a single file
    long_side  larger pictures are reduced to this, by area; None keeps the size
    factors    how many times the frames: 2 leaves out every second frame, 4 three of four
    limit      at most this many windows of each clip and factor, spread evenly; None: all

    Raises InputError if there are no clips, and at the first use if one cannot be read or is too short for any of the
    factors; UsageError for a factor or a limit that cannot be meant.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        long_side: int | None = None,
        factors: Sequence[int] = FACTORS,
        limit: int | None = None,
    ) -> None:
        if not factors or min(factors) < 2 or len(set(factors)) < len(factors):
            raise UsageError(f"Factors {tuple(factors)}: give different numbers of 2 or more.")
        if (limit is not None and limit < 1) or (long_side is not None and long_side < 16):
            raise UsageError(f"limit {limit} and long side {long_side}: at least 1 window and 16 pixels, or None.")
        self.sources = find_clips([str(folder)])
        self.long_side, self.factors, self.limit = long_side, tuple(factors), limit
        self._windows: list[Window] | None = None

    def windows(self) -> list[Window]:
        """All windows, clip by clip, factor by factor, in order of time."""
        if self._windows is None:
            self._windows = [window for source in self.sources for window in self._cut(source)]
        return self._windows

    def score(
        self,
        synthesizer: Synthesizer,
        device: torch.device | str = "cpu",
        *,
        lpips: Network | None = None,
        worst: int = 4,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Scores:
        """Make all frames with `synthesizer`, whose networks are on `device`, and compare.

        lpips        `midframe.ops.perception.load_network("alex")` to have LPIPS, too
        worst        how many pictures to keep, no two of the same window
        on_progress  called with windows done and windows in all

        Raises ContractError if the model cannot render between two frames at these times.
        """
        network = lpips.to(torch.device(device)) if lpips is not None else None
        models = {factor: for_factor(synthesizer, factor) for factor in self.factors}
        scores: list[Score] = []
        kept: list[tuple[float, int, Picture]] = []  # a heap whose smallest entry is the best of the worst
        windows = self.windows()
        for number, window in enumerate(windows):
            pictures = [
                Picture(
                    Score(
                        window.clip,
                        window.factor,
                        window.first + k,
                        min(psnr(made, truth, peak=255), CEILING),
                        perceived(network, made, truth) if network is not None else None,
                        sharpness(made, truth, peak=255),
                    ),
                    made,
                    truth,
                )
                for k, (made, truth) in enumerate(
                    zip(make(models[window.factor], window, device), window.targets, strict=True), start=1
                )
            ]
            scores += [picture.score for picture in pictures]
            if worst:
                picture = min(pictures, key=lambda picture: picture.score.psnr)
                heapq.heappush(kept, (-picture.score.psnr, -number, picture))
                if len(kept) > worst:
                    heapq.heappop(kept)
            if on_progress:
                on_progress(number + 1, len(windows))
        return Scores(tuple(scores), tuple(entry[2] for entry in sorted(kept, reverse=True)))

    def _cut(self, source: Clip) -> Iterator[Window]:
        frames = read_frames(source, self.long_side)
        if len(frames) <= min(self.factors):
            raise InputError(f"{source.name}: {len(frames)} frames, one more than {min(self.factors)} is the least.")
        for factor in self.factors:
            yield from cut_windows(source.name, frames, factor, self.limit)


def make(synthesizer: Synthesizer, window: Window, device: torch.device | str = "cpu") -> list[NDArray[np.uint8]]:
    """The frames of a window as the model makes them, H W 3 uint8 RGB."""
    ends = as_tensor(window.frame0, device), as_tensor(window.frame1, device)
    outer = window.outer and (as_tensor(window.outer[0], device), as_tensor(window.outer[1], device))
    return [as_8bit(frame) for frame in render_times(synthesizer, *ends, window.times, outer=outer)]


def perceived(network: Network, made: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """LPIPS of two 8-bit pictures, computed where the network lies."""
    place = network.heads[0]
    with torch.no_grad():
        pair = [as_tensor(picture, place.device)[None].to(place.dtype) for picture in (made, truth)]
        return float(lpips_distance(network, pair[0], pair[1]))


def cut_windows(
    name: str, frames: Sequence[UInt8[np.ndarray, "h w 3"]], factor: int, limit: int | None = None
) -> list[Window]:
    """The windows of a clip for a factor, side by side; `limit` of them, spread evenly."""
    starts = list(range(0, len(frames) - factor, factor))
    if limit is not None and len(starts) > limit:
        starts = [starts[round((k + 0.5) * len(starts) / limit - 0.5)] for k in range(limit)]
    windows = []
    for i in starts:
        after = i + factor
        before = i - factor if i >= factor else i
        behind = after + factor if after + factor < len(frames) else after
        between = tuple(frames[i + 1 : after])
        windows.append(Window(name, factor, i, frames[i], frames[after], between, (frames[before], frames[behind])))
    return windows


def read_frames(clip: Clip, long_side: int | None = None) -> list[UInt8[np.ndarray, "h w 3"]]:
    """All frames of a video or of images, upright, 8-bit RGB. Raises InputError or DamagedError if one cannot be read,
    InputError if sizes change."""
    side = long_side or 1 << 30
    if clip.images:
        frames = [reduce(read_image(path), side) for path in clip.images]
    else:
        assert clip.path is not None
        info = probe(clip.path)
        turns = info.rotation // 90 % 4
        with Reader(info, scan(info), pix_fmt=working_format(info.pix_fmt), threads=1) as reader:
            frames = [
                reduce(np.rot90(to_rgb(frame.picture, info.colour)[:3].permute(1, 2, 0).numpy(), turns), side)
                for frame in reader.frames()
            ]
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(f"{clip.name}: its frames differ in size; split it or scale them alike.")
    return frames
