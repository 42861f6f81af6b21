"""Letterbox bars and static overlays: pixels that stand still while the picture around them moves.

1. A pixel is still if its luma agrees in each of RUN gaps in a row, the asked one among them.
2. Bars: rows and columns at the border that are still throughout and largely black.
3. Overlays: still pixels of strong contrast (letters, the edges of a logo) are gathered into blobs; a blob is an
   overlay if a good part of what borders on it moves. A still background touches mostly still or flat pixels, or
   fills the frame; the flat inside of a moving object has no still edges. What a blob covers is kept where it is still.

Blobs are found at a quarter of the size; the mask is exact to the pixel.
"""

from collections.abc import Sequence
from functools import reduce

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from midframe.analysis.glance import Glance, Pairs

RUN = 6  # gaps in a row over which a pixel must stand still
SHORTEST = 3  # of a film that has fewer
TOLERANCE = (
    5  # 8-bit codes; more than the encoder's noise on a still letter, less than motion makes of an edge in RUN gaps
)
CONTRAST = 40  # 8-bit codes between a pixel's neighbours on either side that make an edge
CELL = 4  # pixels, the side of the cells in which blobs are found
MOVING_RING = 0.3  # part of an overlay's border that must move; the rest may be flat
SOLID = 0.3  # part of the contrast inside a blob that must stand still
LARGEST = 0.12  # of the frame; larger still regions are background
LARGEST_HOLE = 0.01  # of the frame, that a blob encloses and is taken for a part of it
FEWEST = 24  # still edge pixels that make a blob
DARK = 40  # 8-bit codes; black is 16, or 0 in full range
BLACK_PART = 0.4  # of a bar's row; the rest may be subtitles
BAR_LIMIT = 0.36  # of the side: 9:16 in 16:9 leaves 0.342


def overlay_mask(glances: Sequence[Glance], gap: int) -> NDArray[np.bool_] | None:
    """Pixels to keep from the source in the gap between frames `gap` and `gap` + 1: H W, True = keep; None if none."""
    return find_overlay(Pairs(glances.__getitem__), gap, 0, len(glances))


def find_overlay(pairs: Pairs, gap: int, first: int, stop: int) -> NDArray[np.bool_] | None:
    """`overlay_mask` of a film of frames [first, stop)."""
    run = min(RUN, stop - 1 - first)
    if run < SHORTEST:
        return None
    here = pairs.look(gap)
    width = here.luma.shape[1]
    still = np.unpackbits(_still_for(pairs, gap, first, stop, run), axis=1, count=width)
    mask = _bars(here, still)
    _add_overlays(here, still, mask)
    return mask.view(np.bool_) if mask.any() else None


def measure_stillness(a: Glance, b: Glance) -> NDArray[np.uint8]:
    """Bits of the pixels whose luma agrees, packed along the width: H ceil(W/8)."""
    apart = cv2.absdiff(a.luma, b.luma)
    return np.packbits(apart <= TOLERANCE * a.unit, axis=1)


def _still_for(pairs: Pairs, gap: int, first: int, stop: int, run: int) -> NDArray[np.uint8]:
    """Packed bits of the pixels that are still in `run` gaps in a row that hold `gap`."""
    low, high = max(gap - run + 1, first), min(gap + run, stop - 1)  # gaps [low, high)
    bits = {g: pairs.measure(measure_stillness, g, g + 1) for g in range(low, high)}
    back, ahead = {gap: bits[gap]}, {gap: bits[gap]}
    for g in range(gap - 1, low - 1, -1):
        back[g] = back[g + 1] & bits[g]
    for g in range(gap + 1, high):
        ahead[g] = ahead[g - 1] & bits[g]
    runs = [back[g] & ahead[g + run - 1] for g in back if g + run - 1 in ahead]
    return reduce(np.bitwise_or, runs)


def _bars(here: Glance, still: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 on the still pixels of bars at the four sides."""
    mask = np.zeros_like(still)
    height, width = still.shape
    for axis, side in ((1, height), (0, width)):
        limit = int(BAR_LIMIT * side)
        for end in (False, True):
            strip = slice(side - limit, side) if end else slice(0, limit)
            where = (strip, slice(None)) if axis == 1 else (slice(None), strip)
            edge = (-1 if end else 0,)
            line = here.luma[edge[0]] if axis == 1 else here.luma[:, edge[0]]
            if (line > DARK * here.unit).mean() > 1 - BLACK_PART:
                continue  # most sides of most films end here
            dark = (here.luma[where] <= DARK * here.unit).mean(axis=axis)
            steady = still[where].mean(axis=axis)
            bar = (dark >= BLACK_PART) & (steady >= 0.995)
            if end:
                bar = bar[::-1]
            depth = int(np.argmin(bar)) if not bar.all() else 0  # no edge: a dark picture, not a bar
            if depth:
                strip = slice(side - depth, side) if end else slice(0, depth)
                where = (strip, slice(None)) if axis == 1 else (slice(None), strip)
                mask[where] = still[where]
    return mask


def _add_overlays(here: Glance, still: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    """Set `mask` on still overlays."""
    height = still.shape[0]
    held, contrast, moving, bars = _cells(here.luma, still, mask, CONTRAST * here.unit)
    held[bars > 0] = 0
    if int(held.sum()) < FEWEST:
        return
    reach = max(3, height // (60 * CELL)) | 1
    near = cv2.morphologyEx((held > 0).view(np.uint8), cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    blobs = np.asarray(near, np.uint8) | _holes(np.asarray(near, np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(blobs, connectivity=8, ltype=cv2.CV_16U)
    if count < 2:
        return
    ring = cv2.dilate(labels, np.ones((5, 5), np.uint8))
    around, moved, inside, contrast_inside = _tally(labels, ring, held, contrast, moving, bars, count)
    good = (
        (inside >= FEWEST)
        & (inside >= SOLID * contrast_inside)
        & (moved >= MOVING_RING * np.maximum(around, 1))
        & (stats[:, cv2.CC_STAT_AREA] <= LARGEST * labels.size)
    )
    good[0] = False
    if not good.any():
        return
    _keep(good[labels].view(np.uint8), still, mask)


def _holes(blobs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 on the small areas that blobs enclose: the flat inside of a logo, of a large letter."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - blobs, connectivity=4, ltype=cv2.CV_16U)
    height, width = blobs.shape
    x, y, w, h, area = stats.T
    inner = (x > 0) & (y > 0) & (x + w < width) & (y + h < height) & (area <= LARGEST_HOLE * labels.size)
    inner[0] = False  # the blobs themselves
    return inner[labels].view(np.uint8)


@numba.njit(nogil=True, cache=True)
def _cells(luma, still, mask, threshold):  # type: ignore[no-untyped-def]
    """Pixels in each cell: still edges, edges, moving, in bars. An edge is a central difference over `threshold`."""
    height, width = luma.shape
    rows, columns = (height + CELL - 1) // CELL, (width + CELL - 1) // CELL
    out = np.zeros((4, rows, columns), np.uint8)
    sums = np.zeros((4, columns * CELL), np.uint8)  # down the cells first, then across: it vectorises
    held, edges, moving, bars = sums[0], sums[1], sums[2], sums[3]
    for k in range(rows):
        sums[:] = 0
        for y in range(k * CELL, min(k * CELL + CELL, height)):
            above, here, below = luma[max(y - 1, 0)], luma[y], luma[min(y + 1, height - 1)]
            calm, bar = still[y], mask[y]
            for x in range(1, width - 1):
                across = abs(np.int32(here[x + 1]) - np.int32(here[x - 1]))
                down = abs(np.int32(below[x]) - np.int32(above[x]))
                edge = np.uint8(max(across, down) > threshold)
                edges[x] += edge
                held[x] += edge & calm[x]
            for x in range(width):
                moving[x] += np.uint8(1) - calm[x]
                bars[x] += bar[x]
        for p in range(4):
            for c in range(columns):
                x = CELL * c
                out[p, k, c] = sums[p, x] + sums[p, x + 1] + sums[p, x + 2] + sums[p, x + 3]
    return out


@numba.njit(nogil=True, cache=True)
def _tally(labels, ring, held, contrast, moving, bars, count):  # type: ignore[no-untyped-def]
    """For each blob: cells around it, those of them that move, its still edge pixels, its edge pixels."""
    out = np.zeros((4, count), np.int64)
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            label, outside = labels[y, x], ring[y, x]
            if label:
                out[2, label] += held[y, x]
                out[3, label] += contrast[y, x]
            elif outside and bars[y, x] == 0:
                out[0, outside] += 1
                out[1, outside] += moving[y, x] > CELL * CELL // 2
    return out


@numba.njit(nogil=True, cache=True)
def _keep(good, still, mask):  # type: ignore[no-untyped-def]
    """Set `mask` on still pixels of good cells."""
    for y in range(good.shape[0]):
        for x in range(good.shape[1]):
            if good[y, x]:
                for i in range(CELL * y, min(CELL * y + CELL, mask.shape[0])):
                    for j in range(CELL * x, min(CELL * x + CELL, mask.shape[1])):
                        mask[i, j] |= still[i, j]
