"""What the detectors look at: a thumbnail and the full luma of each source frame, and a memory for pairs of frames.

Nothing here decides anything. A `Glance` is made once a frame; what is computed from two frames is kept in a `Pairs`,
so that a gap's neighbourhood is measured once and not once for each gap that looks at it. Every decision built on these
looks at no more than CONTEXT frames on either side of its gap: the answer is the same whoever asks, and in what order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from midframe.video.pixel import chroma, luma

CONTEXT = 10  # source frames before and after a gap that its cut, repeat and overlay may depend on
THUMB = 64  # pixels, the thumbnail's longer side

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """thumb: H W 3 float32 with both sides at most THUMB, the three planes (grey: only the first) in 8-bit codes.
    luma: the first plane, H W, uint8 or uint16, a view of the picture. unit: codes of `luma` per 8-bit code."""

    thumb: NDArray[np.float32]
    luma: NDArray
    unit: int


def glance(picture: av.VideoFrame) -> Glance:
    """Look at a picture in a working format (see `video.pixel.working_format`)."""
    plane = luma(picture)
    unit = 1 << (picture.format.components[0].bits - 8)
    height, width = plane.shape
    scale = THUMB / max(height, width)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    thumb = np.empty((size[1], size[0], 3), np.float32)
    for k, channel in enumerate((plane, *(chroma(picture) or ()))):
        thumb[..., k] = shrink(channel, size)
    if thumb.shape[2] > 1 + k:
        thumb[..., k + 1 :] = 128 * unit
    thumb /= np.float32(unit)
    return Glance(thumb, plane, unit)


def shrink(plane: NDArray, size: tuple[int, int]) -> NDArray[np.float32]:
    """Area-average `plane` to `size` (width, height). Of a large plane only every k-th row is looked at."""
    thin = max(1, plane.shape[0] // (size[1] * 4))
    small = cv2.resize(plane[::thin], size, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


class Pairs:
    """Remembers functions of two frames. Owns nothing but its results; `look` gives the glance of a frame."""

    def __init__(self, look: Callable[[int], Glance]) -> None:
        self._look = look
        self._known: dict[Callable[[Glance, Glance], object], dict[tuple[int, int], object]] = {}

    def measure(self, function: Callable[[Glance, Glance], T], i: int, j: int) -> T:
        """`function` of frames i and j, computed at the first asking."""
        known = self._known.setdefault(function, {})
        if (i, j) not in known:
            known[i, j] = function(self._look(i), self._look(j))
        return known[i, j]  # type: ignore[return-value]

    def look(self, i: int) -> Glance:
        return self._look(i)

    def forget(self, low: int) -> None:
        """Let go what concerns frames before `low`."""
        for known in self._known.values():
            for pair in [pair for pair in known if pair[0] < low]:
                del known[pair]
