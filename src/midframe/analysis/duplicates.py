"""Frames that repeat the one before, and which of the repeats are bridged.

A repeat is a frame whose difference from the one before is nothing, or noise that is small beside the change around it.
Bridging a run of repeats means interpolating from the frame before the run to the frame after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np

from midframe.analysis.glance import CONTEXT, Glance, Pairs

MAX_RUN = 3  # repeats in a row that are still bridged: one drawn frame shown four times
BESIDE = 3  # gaps on either side that a repeat is compared with
CADENCE = CONTEXT - BESIDE  # frames on either side in which a cadence must show
SAME = 0.02  # 8-bit codes in the worst block: nothing moves
NOISE = 8.0  # the encoder's, at most
RATIO = 0.25  # of the movement beside, below which a difference is noise


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean and worst-block absolute luma difference of two frames, in 8-bit codes."""

    mean: float
    worst: float


def find_duplicates(glances: Sequence[Glance]) -> list[bool]:
    """For each frame i: does it repeat frame i-1? The first never does."""
    pairs = Pairs(glances.__getitem__)
    return [is_repeat(pairs, frame, 0, len(glances)) for frame in range(len(glances))]


def is_repeat(pairs: Pairs, frame: int, first: int, stop: int) -> bool:
    """Does `frame` repeat the one before? The film is frames [first, stop)."""
    if frame <= first:
        return False
    here = pairs.measure(measure_difference, frame - 1, frame)
    if here.worst <= SAME:
        return True
    if here.worst > NOISE:
        return False
    sides = (range(max(frame - BESIDE, first + 1), frame), range(frame + 1, min(frame + BESIDE + 1, stop)))
    # A side that the film's end cuts short may hold repeats only; it counts if there is no better one.
    whole = [side for side in sides if len(side) == BESIDE] or [side for side in sides if side]
    moved = [[pairs.measure(measure_difference, f - 1, f) for f in side] for side in whole]
    # Movement must show on both sides: between two drawings it does, where a movement slows down it does not.
    return bool(moved) and all(
        here.worst < RATIO * max(d.worst for d in side) and here.mean < RATIO * max(d.mean for d in side)
        for side in moved
    )


def is_bridged(pairs: Pairs, frame: int, first: int, stop: int, *, cadence: bool) -> bool:
    """Is `frame` a repeat to bridge? `cadence` as in `bridge_keys`; the film is frames [first, stop)."""
    if not is_repeat(pairs, frame, first, stop):
        return False
    low, high = max(frame - CADENCE, first), min(frame + CADENCE + 1, stop)
    return bridge_keys([is_repeat(pairs, f, first, stop) for f in range(low, high)], cadence=cadence)[frame - low]


def bridge_keys(dups: Sequence[bool], max_run: int = MAX_RUN, *, cadence: bool) -> list[bool]:
    """Which repeats to bridge: all runs of at most `max_run`, or, with `cadence`, only those in a steady rhythm.

    A rhythm is three frames in a row each shown about equally often (at least twice, at most max_run + 1 times).
    """
    count = len(dups)
    keys = [i for i in range(count) if not dups[i]]
    shown = [b - a for a, b in pairwise(keys)]
    bridged = [False] * count
    for k, times in enumerate(shown):
        if not 2 <= times <= max_run + 1:
            continue
        if cadence:
            low = k
            while low > 0 and shown[low - 1] >= 2 and abs(shown[low - 1] - times) <= 1:
                low -= 1
            high = k
            while high + 1 < len(shown) and shown[high + 1] >= 2 and abs(shown[high + 1] - times) <= 1:
                high += 1
            if high - low < 2:
                continue
        for i in range(keys[k] + 1, keys[k + 1]):
            bridged[i] = True
    return bridged


def measure_difference(a: Glance, b: Glance) -> Difference:
    """How far two frames lie apart; 16x16 blocks."""
    mean, worst = _blocks(a.luma, b.luma)
    return Difference(float(mean) / a.unit, float(worst) / a.unit)


@numba.njit(nogil=True, cache=True)
def _blocks(a, b):  # type: ignore[no-untyped-def]
    height, width = a.shape
    total, worst = 0, 0.0
    sums = np.zeros(width // 16 + 1, np.int32)
    for y in range(0, height, 16):
        rows = min(16, height - y)
        sums[:] = 0
        for i in range(y, y + rows):
            for k in range(width // 16):
                s = np.int32(0)
                for j in range(16 * k, 16 * k + 16):
                    s += abs(np.int32(a[i, j]) - np.int32(b[i, j]))
                sums[k] += s
        for k in range(width // 16):
            total += sums[k]
            worst = max(worst, sums[k] / (16.0 * rows))
    return total / (height * width), worst
