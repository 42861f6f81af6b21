"""Letterbox bars and static overlays: pixels that stand still while the picture around them moves."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from midframe.analysis.glance import CONTEXT, Glance, Pairs

RUN = 6  # gaps in a row, the asked one among them, over which a pixel must stand still
TOLERANCE = 3  # 8-bit codes


def overlay_mask(glances: Sequence[Glance], gap: int) -> NDArray[np.bool_] | None:
    """Pixels to keep from the source in the gap between frames `gap` and `gap` + 1: H W, True = keep; None if none."""
    return find_overlay(Pairs(glances.__getitem__), gap, 0, len(glances))


def find_overlay(pairs: Pairs, gap: int, first: int, stop: int) -> NDArray[np.bool_] | None:
    """`overlay_mask` of a film of frames [first, stop)."""
    return None


def measure_stillness(a: Glance, b: Glance) -> NDArray[np.uint8]:
    """Bits of the pixels whose luma agrees, packed along the width."""
    return np.packbits(cv2.absdiff(a.luma, b.luma) <= TOLERANCE * a.unit, axis=1)
