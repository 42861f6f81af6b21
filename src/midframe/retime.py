"""Each region of a picture on its own time: curves, regions, and the map of times that a model is asked for.

Zhong, Krishnan, Sun, Qiao, Ma, Wang: "Clearer Frames, Anytime: Resolving Velocity Ambiguity in Video Frame
Interpolation", ECCV 2024, arXiv 2311.08007, "manipulated interpolation": a thing in front may hurry while what is
behind stands still. Edges of regions are smoothed as the authors do, over 9 pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float

from midframe.errors import UsageError

EDGE = 9  # pixels that the edge of a region is spread over


@dataclass(frozen=True, slots=True)
class Curve:
    """Time as a function of progress, both 0…1: straight lines between `points` (progress, time), held outside them.

    Raises UsageError unless progress rises from point to point and all lies in 0…1. Time may go back.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not self.points:
            raise UsageError("a curve needs at least one point.")
        if any(not 0 <= value <= 1 for point in self.points for value in point):
            raise UsageError(f"a curve runs from 0 to 1, in progress and in time; got {self}.")
        if any(after[0] <= before[0] for before, after in pairwise(self.points)):
            raise UsageError(f"progress must rise from point to point of a curve; got {self}.")

    def __str__(self) -> str:
        return ",".join(f"{progress:g}:{time:g}" for progress, time in self.points)

    def __call__(self, progress: float) -> float:
        given, times = zip(*self.points, strict=True)
        return float(np.interp(progress, np.array(given), np.array(times)))


EVEN = Curve(((0.0, 0.0), (1.0, 1.0)))


def read_curve(text: str) -> Curve:
    """ "0:0,0.5:0.2,1:1" (progress:time) or "0,0.2,1" (times at equal steps; one number: that time, always).

    Raises UsageError for anything else.
    """
    parts = [part.strip() for part in text.split(",")]
    try:
        pairs = [tuple(float(number) for number in part.split(":")) for part in parts]
    except ValueError:
        pairs = [()]
    if {len(pair) for pair in pairs} == {1}:
        last = max(1, len(pairs) - 1)
        return Curve(tuple((k / last, pair[0]) for k, pair in enumerate(pairs)))
    if {len(pair) for pair in pairs} == {2}:
        return Curve(tuple((pair[0], pair[1]) for pair in pairs))
    raise UsageError(
        f"{text!r} is not a curve: give progress:time pairs as in 0:0,0.5:0.2,1:1, or times as in 0,0.2,1."
    )


@dataclass(frozen=True, slots=True)
class Region:
    """Pixels of the first frame, and the curve of their time."""

    mask: Bool[np.ndarray, "h w"]
    curve: Curve


def map_times(
    size: tuple[int, int], progress: float, regions: Sequence[Region], *, base: Curve = EVEN
) -> Float[np.ndarray, "h w"]:
    """The time of each pixel at `progress` (0…1), float32: that of the last region that holds it, else `base`'s.

    Raises UsageError for a mask of another (height, width) than `size`.
    """
    times = np.full(size, base(progress), np.float32)
    for region in regions:
        if region.mask.shape != tuple(size):
            raise UsageError(
                f"a mask of {region.mask.shape[1]}x{region.mask.shape[0]} does not fit frames of {size[1]}x{size[0]}."
            )
        times[region.mask] = region.curve(progress)
    smooth: Float[np.ndarray, "h w"] = cv2.GaussianBlur(times, (EDGE, EDGE), 0, borderType=cv2.BORDER_REPLICATE)
    return smooth.clip(0, 1)
