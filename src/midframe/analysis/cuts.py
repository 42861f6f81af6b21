"""Where one shot ends and the next begins, and the list of cuts as a file.

A gap is a cut if no small motion explains it, nothing like the earlier picture comes back within three frames (as it
does after a flash), and the change stands out of what happens around it (a fade, a dissolve, a shaking camera do not).
The change between two frames is what is left of the thumbnail's difference after the best displacement of each block;
a pan leaves little. All numbers were chosen with benchmarks/analysis.py.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from os import PathLike
from pathlib import Path

import numba
import numpy as np

from midframe.analysis.glance import Glance, Pairs
from midframe.errors import InputError

THRESHOLD = 9.0  # 8-bit codes left after compensation, below which nothing is a cut
RATIO = 3.0  # times the neighbourhood's median change
FLOOR = 0.5  # 8-bit codes added to the neighbourhood's change, so that noise after a still does not count
BESIDE = 5  # gaps on either side that make the neighbourhood
STILL = 0.5  # 8-bit codes, below which a frame repeats the one before as far as cuts are concerned
RETURN = 3  # frames within which a flash is over
RETURNED = 0.5  # of the change: what is nearer than this to the picture before the gap is that picture come back


def find_cuts(glances: Sequence[Glance]) -> list[bool]:
    """For each gap i between frames i and i+1 of `glances`: is it a cut?"""
    pairs = Pairs(glances.__getitem__)
    return [is_cut(pairs, gap, 0, len(glances)) for gap in range(len(glances) - 1)]


def is_cut(pairs: Pairs, gap: int, first: int, stop: int) -> bool:
    """Is the gap between frames `gap` and `gap` + 1 a cut? The film is frames [first, stop)."""
    here = pairs.measure(measure_change, gap, gap + 1)
    if here < THRESHOLD:
        return False
    near = range(max(gap - BESIDE, first), min(gap + BESIDE + 1, stop - 1))
    changes = [pairs.measure(measure_change, g, g + 1) for g in near if g != gap]
    beside = [change for change in changes if change >= STILL]  # in animation most gaps are repeats: not its level
    if beside and here < RATIO * (float(np.median(beside)) + FLOOR):
        return False
    before = range(max(gap - RETURN + 1, first), gap + 1)
    after = range(gap + 1, min(gap + RETURN + 1, stop))
    least = max(THRESHOLD, RETURNED * here)
    return all(pairs.measure(measure_change, i, j) >= least for i in before for j in after)


def measure_change(a: Glance, b: Glance) -> float:
    """Mean absolute difference of two thumbnails in 8-bit codes after each block's best displacement."""
    return float(_compensated(a.thumb, b.thumb))


def read_cut_list(path: str | PathLike[str]) -> list[Fraction]:
    """Times of the first frame of each new shot, ascending, without repeats."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cut list {path}: cannot be read ({error}).") from error
    rows = csv.reader(text.splitlines())
    column = 0
    times: set[Fraction] = set()
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        names = [cell.lower() for cell in cells]
        if not times and "time" in names:
            column = names.index("time")
            continue
        value = _seconds(cells[column]) if column < len(cells) else None
        if value is None:
            raise InputError(f"{path}:{number}: expected a time in seconds or hh:mm:ss.fff, found {','.join(row)!r}.")
        times.add(value)
    return sorted(times)


def write_cut_list(path: str | PathLike[str], times: Iterable[Fraction]) -> None:
    """Write `times`, exact: a decimal where one exists, else a fraction."""
    lines = ["time", *(_text(time) for time in sorted(set(times)))]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _seconds(text: str) -> Fraction | None:
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", text)
    if match:
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    return Fraction(int(match[1]), int(match[2])) if match and int(match[2]) else None


def _text(time: Fraction) -> str:
    rest, twos, fives = time.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{time.numerator}/{time.denominator}"
    digits = max(twos, fives)
    whole = time.numerator * 10**digits // time.denominator
    return f"{whole // 10**digits}.{whole % 10**digits:0{digits}d}" if digits else str(whole)


@numba.njit(nogil=True, cache=True, fastmath=True)
def _compensated(a, b):  # type: ignore[no-untyped-def]
    height, width, _ = a.shape
    block, reach = 8, 10
    total, count = np.float32(0), 0
    for y in range(0, height - block + 1, block):
        for x in range(0, width - block + 1, block):
            best = np.float32(1e9)
            for dy in range(max(-reach, -y), min(reach, height - block - y) + 1):
                for dx in range(max(-reach, -x), min(reach, width - block - x) + 1):
                    s = np.float32(0)
                    for i in range(block):
                        for j in range(block):
                            for c in range(3):
                                s += abs(a[y + dy + i, x + dx + j, c] - b[y + i, x + j, c])
                    if s < best:
                        best = s
            total += best / np.float32(block * block)
            count += 1
    return total / count
