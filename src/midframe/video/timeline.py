"""When each source frame is shown, in exact rational seconds.

Stamps come from the packets, never from a declared rate. Containers round them (Matroska to milliseconds), so a film of
constant rate is recognised by its stamps, each within one tick of start + i/rate, and then gets its exact times back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from midframe.errors import InputError

COMMON_RATES = tuple(
    Fraction(n * 1000, d)
    for d in (1001, 1000)
    for n in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 240)
)
LONG_HOLD = Fraction(1, 4)  # seconds beyond its turn that the last frame may stay before that counts as a pause


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The stamps of a film's frames, in presentation order.

    ticks      strictly increasing, in units of `time_base` seconds
    end_tick   where the last frame stops being shown
    rate       the exact constant rate, or None if the rate varies
    stamped    decoded pictures carry these very ticks; if not, frames are known only by counting from the first
    """

    ticks: NDArray[np.int64]
    time_base: Fraction
    end_tick: int
    rate: Fraction | None
    stamped: bool = True

    def __len__(self) -> int:
        return len(self.ticks)

    def pts(self, i: int) -> Fraction:
        """Seconds at which frame `i` appears, exact."""
        if self.rate is not None:
            return int(self.ticks[0]) * self.time_base + Fraction(i) / self.rate
        return int(self.ticks[i]) * self.time_base

    @property
    def start(self) -> Fraction:
        return self.pts(0)

    @property
    def last(self) -> Fraction:
        """When the last frame appears."""
        return self.pts(len(self) - 1)

    @property
    def end(self) -> Fraction:
        """When the last frame stops being shown."""
        return self.pts(len(self)) if self.rate is not None else self.end_tick * self.time_base

    @property
    def duration(self) -> Fraction:
        return self.end - self.start

    @property
    def average_rate(self) -> Fraction:
        return len(self) / self.duration

    def position(self, time: Fraction) -> Fraction:
        """`time` on the index axis: 2.5 is half-way between frames 2 and 3. Extends past both ends."""
        if self.rate is not None:
            return (time - self.start) * self.rate
        i = int(np.searchsorted(self.ticks, time // self.time_base, side="right")) - 1
        i = max(0, min(i, len(self) - 1))
        following = self.pts(i + 1) if i + 1 < len(self) else self.end
        return i + (time - self.pts(i)) / (following - self.pts(i))

    def index_of(self, tick: int) -> int | None:
        """The frame stamped `tick`, or None."""
        i = int(np.searchsorted(self.ticks, tick))
        return i if i < len(self.ticks) and int(self.ticks[i]) == tick else None


def timeline_from_ticks(
    ticks: Sequence[int] | NDArray[np.int64],
    time_base: Fraction,
    *,
    last_duration: int | None,
    rate_hints: Sequence[Fraction],
    stamped: bool = True,
    rounded_steps: bool = False,
) -> Timeline:
    """A timeline from presentation stamps in any order.

    last_duration  ticks the last frame is shown, or None: then as long as the frames before it on average
    rate_hints     rates that the file declares; the usual ones and the mean of the stamps are tried too
    rounded_steps  each stamp is the one before plus a rounded duration (APNG), so that the rounding adds up

    Raises InputError if two frames have the same stamp, or there is none.
    """
    stamps = np.sort(np.asarray(ticks, dtype=np.int64))
    if len(stamps) == 0:
        raise InputError("the video stream holds no frames.")
    if np.any(np.diff(stamps) == 0):
        twice = int(stamps[:-1][np.diff(stamps) == 0][0])
        raise InputError(
            f"two frames carry the same time stamp ({float(twice * time_base):.3f} s); remux the file first."
        )
    last_duration = last_duration if last_duration and last_duration > 0 else None
    if len(stamps) == 1:
        rate = _only_rate(time_base, last_duration, rate_hints)
    else:
        rate = _constant_rate(stamps, time_base, rate_hints, rounded_steps)
        if rate is not None and last_duration is not None and last_duration * time_base - 1 / rate > LONG_HOLD:
            rate = None  # a picture that is held at the end is a part of the film's rhythm
    if last_duration is None:
        if rate is not None:
            last_duration = max(1, round(1 / rate / time_base))
        else:
            last_duration = max(1, round((stamps[-1] - stamps[0]) / (len(stamps) - 1))) if len(stamps) > 1 else 1
    stamps.flags.writeable = False
    return Timeline(stamps, time_base, int(stamps[-1]) + last_duration, rate, stamped)


def counted_timeline(count: int, rate: Fraction) -> Timeline:
    """`count` frames at a constant rate from time 0, of a source without stamps."""
    return timeline_from_ticks(range(count), 1 / rate, last_duration=1, rate_hints=[rate], stamped=False)


def repaired_timeline(
    ticks: Sequence[int | None],
    time_base: Fraction,
    *,
    last_duration: int | None,
    rate_hints: Sequence[Fraction],
) -> Timeline:
    """A timeline from the stamps of decoded pictures, in the order they came out, where some are missing or go back.

    If the good stamps lie within 2½ frames of an even grid at the declared rate, that is the timeline. Else they
    stay, and the others are put evenly between them, or follow at the declared rate after the last good one. Where the
    clock jumps back by ten frames or more, as in streams put end to end, it goes on from there.
    `stamped` is False if any stamp was changed.
    """
    rate = next(iter(rate_hints), Fraction(25))
    usual_step = max(1, round(1 / rate / time_base))
    known: list[int] = []  # places of the good stamps
    clock: list[int] = []  # and the stamps there
    offset = 0
    for i, tick in enumerate(ticks):
        if tick is None:
            continue
        if clock and tick + offset < clock[-1] - 10 * usual_step:
            offset = clock[-1] + usual_step * (i - known[-1]) - tick
        if not clock or tick + offset > clock[-1]:
            known.append(i)
            clock.append(tick + offset)
    if len(known) == len(ticks) and offset == 0:
        return timeline_from_ticks(clock, time_base, last_duration=last_duration, rate_hints=rate_hints)
    if len(known) < 2:
        return counted_timeline(len(ticks), rate)
    step = 1 / rate / time_base
    begin = clock[0] - known[0] * step
    if all(abs(begin + i * step - tick) <= step * 5 / 2 for i, tick in zip(known, clock, strict=True)):
        even = [round(begin + i * step) for i in range(len(ticks))]
        return timeline_from_ticks(even, time_base, last_duration=None, rate_hints=[rate], stamped=False)
    # A finer tick leaves room for every missing stamp between two neighbouring ones.
    finer = max(b - a for a, b in pairwise(known))
    fine_step = max(1, round(finer * step))
    filled = np.zeros(len(ticks), np.int64)
    values = [tick * finer for tick in clock]
    for (a, first), (b, second) in pairwise(zip(known, values, strict=True)):
        filled[a:b] = first + (second - first) * np.arange(b - a) // (b - a)
    filled[known[-1] :] = values[-1] + fine_step * np.arange(len(ticks) - known[-1])
    filled[: known[0]] = values[0] - fine_step * np.arange(known[0], 0, -1)
    return timeline_from_ticks(
        filled,
        time_base / finer,
        last_duration=last_duration * finer if last_duration is not None and known[-1] == len(ticks) - 1 else None,
        rate_hints=rate_hints,
        stamped=False,
    )


def _only_rate(time_base: Fraction, last_duration: int | None, hints: Sequence[Fraction]) -> Fraction | None:
    """Of a film of one frame: its duration decides; a declared rate is its exact form if they agree to a tick."""
    if last_duration is None:
        return next(iter(hints), None)
    length = last_duration * time_base
    return next((rate for rate in hints if rate > 0 and abs(1 / rate - length) <= time_base), 1 / length)


def _constant_rate(
    stamps: NDArray[np.int64], time_base: Fraction, hints: Sequence[Fraction], rounded_steps: bool
) -> Fraction | None:
    """The rate whose even grid every stamp lies on, within one tick.

    A short film of coarse stamps lies on many grids. A declared rate that is a usual one is believed first, then the
    usual rate that fits best, then the other declared ones, which FFmpeg may have guessed from these very stamps.
    """
    mean = Fraction(len(stamps) - 1) / (int(stamps[-1] - stamps[0]) * time_base)
    declared = [rate for rate in dict.fromkeys(hints) if rate > 0]
    usual = set(COMMON_RATES)
    for rates in ([r for r in declared if r in usual], list(_near(mean)), declared, [mean]):
        fits = []
        for rate in rates:
            low, high = _deviation(stamps, time_base, rate, rounded_steps)
            if max(-low, high) <= 1:
                fits.append((high - low, rate))
        if fits:
            return fits[0][1] if rates is declared else min(fits, key=lambda fit: fit[0])[1]
    return None


def _near(mean: Fraction) -> Iterator[Fraction]:
    """Usual rates within 2 % of `mean`, then whole and half ones and those over 1001."""
    yield from (rate for rate in COMMON_RATES if abs(rate / mean - 1) < Fraction(1, 50))
    whole = round(mean)
    if 0 < whole <= 1000 and Fraction(whole) not in COMMON_RATES:
        yield Fraction(whole)
    half = Fraction(round(2 * mean), 2)
    if half.denominator == 2 and half <= 60:
        yield half
    over = Fraction(round(mean * Fraction(1001, 1000)) * 1000, 1001)
    if over > 0 and over not in COMMON_RATES:
        yield over


def _deviation(
    stamps: NDArray[np.int64], time_base: Fraction, rate: Fraction, rounded_steps: bool
) -> tuple[Fraction, Fraction]:
    """Least and greatest of stamp − (start + i/rate), in ticks; with `rounded_steps` of step − 1/rate."""
    step = 1 / rate / time_base  # ticks per frame
    if rounded_steps:
        steps = np.diff(stamps)
        return int(steps.min()) - step, int(steps.max()) - step
    rise = stamps - stamps[0]
    if max(len(stamps) * step.numerator, int(rise[-1]) * step.denominator) < 1 << 62:  # exact in integers
        error = rise * step.denominator - np.arange(len(stamps), dtype=np.int64) * step.numerator
        return Fraction(int(error.min()), step.denominator), Fraction(int(error.max()), step.denominator)
    errors = [int(value) - i * step for i, value in enumerate(rise)]
    return min(errors), max(errors)
