"""The time contract as pure functions on numbers: which output frames there are, when, and what each is made of.

Words. A *slot* is an output frame: its number n, its time, its *position* on the source's index axis (2.5 = half-way
between source frames 2 and 3). An *action* is what fills a slot: a copy of a source frame, a frame rendered between two
source frames, or a mix of two (only across a cut, when asked for).

Slots. With N kept source frames, the first at time s, the last shown until e:

  --factor k        position(n) = n/k. Even in index, so a variable rate stays variable: the slot's time is interpolated
                    between the real stamps on either side. Count: ceil(N·k), or floor((N−1)·k)+1 with --end drop.
  --fps f           time(n) = s + n/f, constant. Count: ceil((e−s)·f), or floor((last−s)·f)+1 with --end drop.
  --slow m          as --factor m, with the time axis stretched by m; with --fps f the grid lies on the stretched axis.

  a Grid            slots at given places and times, for what none of these says: some frames of a film (condense), or
                    what lay between them (expand).

A slot whose position is a whole number is that source frame. What follows the last source frame is a repeat of it
(hold), nothing (drop) or the way back to the first frame (loop). All arithmetic is rational: there is no drift.

At another size nothing can be copied: an action then says which source frame is shown, and `choose_pair` what that
frame is made from.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from midframe.engine.job import CutPolicy, EndPolicy, InterpolateJob
from midframe.errors import UsageError
from midframe.video.timeline import Timeline

MAX_FACTOR = 1000
MAX_RATE = 100_000
UNEVEN = Fraction(1, 4)  # part of a gap by which the next one may differ and still count as even
# Containers store the time base in 32 bits; 2^24 leaves room and is finer than a microsecond's tenth at usual rates.
MAX_TICKS_PER_SECOND = 1 << 24
NTSC = {
    f"{n * 1000 / 1001:.{d}f}": Fraction(n * 1000, 1001) for n in (12, 15, 24, 30, 48, 60, 120, 240) for d in (2, 3)
}


@dataclass(frozen=True, slots=True)
class Copy:
    """The slot is source frame `index`, untouched."""

    index: int


@dataclass(frozen=True, slots=True)
class Render:
    """The slot is made between source frames `left` and `right` at 0 < t < 1."""

    left: int
    right: int
    t: Fraction


@dataclass(frozen=True, slots=True)
class Mix:
    """The slot is a cross-fade of two source frames of different shots."""

    left: int
    right: int
    t: Fraction


Action = Copy | Render | Mix


@dataclass(frozen=True, slots=True)
class Grid:
    """Slots at given places: slot n is shown at `times[n]` and lies at `positions[n]` on the source's index axis.

    positions  strictly rising, from 0 to the last source frame
    times      output seconds, strictly rising; the last slot is shown until `finish`
    rate       the constant rate of `times`, or None
    origin     source time that is output time zero, for sound and the other streams
    """

    positions: tuple[Fraction, ...]
    times: tuple[Fraction, ...]
    finish: Fraction
    rate: Fraction | None = None
    origin: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Plan:
    """All slots of a job, computed on demand. `first` and `stop` bound the kept source frames.

    Exactly one of `step` (source positions per slot), `rate` (slots per output second) and `grid` rules the slots.
    Source time `origin` becomes `out_start`: output time = out_start + stretch·(time − origin).
    """

    timeline: Timeline
    first: int
    stop: int
    end_time: Fraction
    step: Fraction | None
    rate: Fraction | None
    stretch: Fraction
    origin: Fraction
    out_start: Fraction
    end: EndPolicy
    time_base: Fraction
    count: int
    grid: Grid | None = None

    def time(self, n: int) -> Fraction:
        """Output time of slot `n` in seconds, exact."""
        if self.grid is not None:
            return self.grid.times[n]
        if self.rate is not None:
            return self._to_output(self.timeline.pts(self.first)) + Fraction(n) / self.rate
        position = self.position(n)
        i = math.floor(position)
        here = self.timeline.pts(i)
        return self._to_output(here + (position - i) * (self._shown_until(i) - here))

    def position(self, n: int) -> Fraction:
        """Where slot `n` lies on the source's index axis, `first` ≤ position < `stop`."""
        if self.grid is not None:
            return self.grid.positions[n]
        if self.step is not None:
            return self.first + n * self.step
        assert self.rate is not None
        time = self.timeline.pts(self.first) + Fraction(n) / self.rate / self.stretch
        i = self._frame_at(time)
        here = self.timeline.pts(i)
        return i + (time - here) / (self._shown_until(i) - here)

    def stamp(self, n: int) -> int:
        """Output time of slot `n` in ticks of `time_base`; strictly increasing. `stamp(count)`: where the film ends."""
        if n >= self.count:
            return max(self._ticks(self.finish), self._ticks(self.time(self.count - 1)) + 1)
        return self._ticks(self.time(n))

    @property
    def finish(self) -> Fraction:
        """Output time at which the last slot stops being shown."""
        if self.grid is not None:
            return self.grid.finish
        if self.rate is not None:
            return self._to_output(self.timeline.pts(self.first)) + Fraction(self.count) / self.rate
        if self.end == "drop":
            last = self.time(self.count - 1)
            return last + (last - self.time(self.count - 2) if self.count > 1 else self._last_duration())
        return self._to_output(self.end_time)

    @property
    def duration(self) -> Fraction:
        """Seconds from the first slot's time to `finish`."""
        return self.finish - self.time(0)

    def first_slot(self, i: int) -> int:
        """Number of the first slot at or after source frame `i`; `count` for `i` = `stop`."""
        if i >= self.stop:
            return self.count
        if self.grid is not None:
            return bisect_left(self.grid.positions, i)
        if self.step is not None:
            n = math.ceil((i - self.first) / self.step)
        else:
            assert self.rate is not None
            n = math.ceil((self.timeline.pts(i) - self.timeline.pts(self.first)) * self.stretch * self.rate)
        return min(n, self.count)

    def slots_per_frame(self) -> Fraction:
        """Mean number of slots for one source frame."""
        return Fraction(self.count, self.stop - self.first)

    def _to_output(self, time: Fraction) -> Fraction:
        return self.out_start + self.stretch * (time - self.origin)

    def _ticks(self, time: Fraction) -> int:
        return round(time / self.time_base)

    def _shown_until(self, i: int) -> Fraction:
        return self.timeline.pts(i + 1) if i + 1 < self.stop else self.end_time

    def _last_duration(self) -> Fraction:
        return self._to_output(self.end_time) - self._to_output(self.timeline.pts(self.stop - 1))

    def _frame_at(self, time: Fraction) -> int:
        """Index of the kept frame shown at `time`. Starts from the even guess and walks: the guess is off by little."""
        if self.timeline.rate is not None:
            i = math.floor((time - self.timeline.pts(0)) * self.timeline.rate)
        else:
            ticks = time / self.timeline.time_base
            i = bisect_right(self.timeline.ticks, math.floor(ticks)) - 1
        return max(self.first, min(i, self.stop - 1))


def make_plan(job: InterpolateJob, timeline: Timeline) -> Plan:
    """Turn the options of a job and the stamps of its source into a plan.

    Raises UsageError for options that cannot be meant together, numbers out of range, and an empty part.
    """
    start = parse_time(job.start_time, "--start") if job.start_time is not None else None
    stop = parse_time(job.end_time, "--end-time") if job.end_time is not None else None
    first, after, end_time = _kept(timeline, start, stop)
    slow = parse_factor(job.slow, "--slow") if job.slow is not None else Fraction(1)
    if job.factor is not None and job.fps is not None:
        raise UsageError("--factor and --fps both set the output rate: give one of them.")
    step: Fraction | None = None
    rate: Fraction | None = None
    source_rate = timeline.rate or _average_rate(timeline, first, after, end_time)
    if job.fps is not None:
        rate = parse_rate(job.fps, source_rate)
    else:
        factor = slow if job.factor is None and job.slow is not None else _factor(job)
        if timeline.rate is None and job.vfr == "constant":
            rate = _even(source_rate * factor / slow)
        else:
            step = 1 / factor
    # Without a trim, time zero stays time zero, so every stream keeps its distance to every other.
    # Only a film that begins before zero is moved, whole, because containers disagree on negative stamps.
    origin = start if start is not None else Fraction(0)
    out_start = max(Fraction(0), -timeline.start * slow) if start is None else Fraction(0)
    kept = after - first
    head = timeline.pts(first)
    if rate is not None:
        span = ((end_time if job.end != "drop" else timeline.pts(after - 1)) - head) * slow * rate
        count = math.floor(span) + 1 if job.end == "drop" else math.ceil(span)
    else:
        assert step is not None
        count = math.floor((kept - 1) / step) + 1 if job.end == "drop" else math.ceil(kept / step)
    plan = Plan(
        timeline=timeline,
        first=first,
        stop=after,
        end_time=end_time,
        step=step,
        rate=rate,
        stretch=slow,
        origin=origin,
        out_start=out_start,
        end=job.end,
        time_base=Fraction(1),
        count=max(count, 1),
    )
    return replace(plan, time_base=_time_base(plan))  # which depends on the finished grid


def plan_grid(grid: Grid, timeline: Timeline) -> Plan:
    """The plan whose slots `grid` gives, of all frames of a source."""
    plan = Plan(
        timeline=timeline,
        first=0,
        stop=len(timeline),
        end_time=timeline.end,
        step=None,
        rate=None,
        stretch=Fraction(1),
        origin=grid.origin,
        out_start=Fraction(0),
        end="hold",
        time_base=Fraction(1),
        count=len(grid.times),
        grid=grid,
    )
    return replace(plan, time_base=_time_base(plan))


def output_rate(plan: Plan) -> Fraction | None:
    """The constant rate of the output, or None if it is variable."""
    if plan.grid is not None:
        return plan.grid.rate
    if plan.rate is not None:
        return plan.rate
    assert plan.step is not None
    if plan.timeline.rate is None:
        return None
    return plan.timeline.rate / plan.step / plan.stretch


def decide(plan: Plan, n: int, *, cuts: "CutSet", keys: "KeySet", policy: CutPolicy) -> Action:
    """What fills slot `n`, given the cuts and the key frames (frames that are not bridged repeats) around it."""
    position = plan.position(n)
    i = math.floor(position)
    fraction = position - i
    if fraction == 0 and keys.is_key(i):
        return Copy(i)
    left = keys.before(i, plan.first)
    if i + 1 >= plan.stop or (right := keys.after(i, plan.stop)) >= plan.stop:
        if plan.end == "loop" and fraction != 0 and i + 1 >= plan.stop and plan.stop - plan.first > 1:
            return _across(plan.stop - 1, plan.first, fraction, cuts.is_cut(plan.stop - 1), policy)
        return Copy(i)
    if any(cuts.is_cut(gap) for gap in range(left, right)) and policy != "ignore":
        if fraction == 0 or not cuts.is_cut(i):
            return Copy(i)
        return _across(i, i + 1, fraction, True, policy)
    span = plan.timeline.pts(right) - plan.timeline.pts(left)
    here = plan.timeline.pts(i)
    time = here + fraction * (plan.timeline.pts(i + 1) - here)
    return Render(left, right, (time - plan.timeline.pts(left)) / span)


def choose_taps(plan: Plan, pair: Render, inputs: Sequence[int], is_cut: Callable[[int], bool]) -> list[int]:
    """Source frames for a model's window of `inputs` around the gap 0…1 that `pair` says.

    A model takes its frames for evenly spaced: the neighbour of a pair is as many frames away as the pair is wide
    (more than one where repeats are bridged). Where that is not as far in time, to UNEVEN of the gap, or beyond a cut
    or an end, the nearest frame is there once more, which models take for "nothing known".
    """
    if pair.right < pair.left:  # the loop's closing pair has no neighbours
        return [pair.left if k <= 0 else pair.right for k in inputs]
    step = pair.right - pair.left
    gap = plan.timeline.pts(pair.right) - plan.timeline.pts(pair.left)

    def beside(near: int, far: int) -> int:
        low, high = min(near, far), max(near, far)
        if low < plan.first or high >= plan.stop or any(is_cut(k) for k in range(low, high)):
            return near
        apart = plan.timeline.pts(high) - plan.timeline.pts(low)
        return far if abs(apart - gap) <= UNEVEN * gap else near

    taps = {0: pair.left, 1: pair.right}
    for k in range(-1, min(inputs) - 1, -1):
        taps[k] = beside(taps[k + 1], taps[k + 1] - step)
    for k in range(2, max(inputs) + 1):
        taps[k] = beside(taps[k - 1], taps[k - 1] + step)
    return [taps[k] for k in inputs]


def choose_pair(plan: Plan, i: int, *, cuts: "CutSet", keys: "KeySet") -> Render:
    """The pair of frames, none of another shot, that source frame `i` is made from where it is made at all.

    It is the pair that the slots after it are made from, so that they and it are of one piece; at the end of a shot
    that before it; of a shot of one frame, this frame twice.
    """
    right = keys.after(i, plan.stop)
    if right < plan.stop and not any(cuts.is_cut(gap) for gap in range(i, right)):
        return Render(i, right, Fraction(0))
    left = keys.before(i - 1, plan.first) if i > plan.first else i
    if any(cuts.is_cut(gap) for gap in range(left, i)):
        left = i
    return Render(left, i, Fraction(0) if left == i else Fraction(1))


def choose_window(
    plan: Plan, pair: Render, inputs: Sequence[int], span: int, is_cut: Callable[[int], bool]
) -> tuple[tuple[int, ...], int]:
    """(source frames for a model's window of `inputs` that answers for `span` gaps, where `pair.left` lies in it).

    A model that answers for several gaps gets windows that follow each other, from the first frame on, each beginning
    where the one before ends. Where a cut or an end is nearer, the window reaches back instead, and in a shot that is
    shorter than a window the last frame is repeated. A pair that spans bridged repeats has a window of its own.
    """
    if pair.left == pair.right:
        return (pair.left,) * len(inputs), 0
    if span == 1 or pair.right != pair.left + 1:
        return tuple(choose_taps(plan, pair, inputs, is_cut)), 0
    start = pair.left - (pair.left - plan.first) % span
    low, high = pair.left, pair.right
    while low > start and not is_cut(low - 1):
        low -= 1
    while high - low < span and high + 1 < plan.stop and not is_cut(high):
        high += 1
    while high - low < span and low > plan.first and not is_cut(low - 1):
        low -= 1
    return tuple(min(low + k, high) for k in inputs), pair.left - low


def _across(left: int, right: int, t: Fraction, is_cut: bool, policy: CutPolicy) -> Action:
    if not is_cut or policy == "ignore":
        return Render(left, right, t)
    if policy == "hold":
        return Copy(left)
    if policy == "nearest":
        return Copy(left if t < Fraction(1, 2) else right)
    return Mix(left, right, t)


@dataclass(frozen=True, slots=True)
class CutSet:
    """Gaps that are cuts: gap i lies between source frames i and i+1; the gap after the last frame closes a loop."""

    gaps: frozenset[int] = frozenset()

    def is_cut(self, gap: int) -> bool:
        return gap in self.gaps


@dataclass(frozen=True, slots=True)
class KeySet:
    """Frames that repeat the one before and are bridged; everything else is a key frame."""

    repeats: frozenset[int] = frozenset()

    def is_key(self, i: int) -> bool:
        return i not in self.repeats

    def before(self, i: int, first: int) -> int:
        """The key frame at or before `i` (the frame `first` always counts as one)."""
        while i > first and i in self.repeats:
            i -= 1
        return i

    def after(self, i: int, stop: int) -> int:
        """The first key frame after `i`, or `stop`."""
        i += 1
        while i < stop and i in self.repeats:
            i += 1
        return i


@dataclass(frozen=True, slots=True)
class Segment:
    """Source frames [start, stop) and the slots [first_slot, stop_slot) that begin in them."""

    number: int
    start: int
    stop: int
    first_slot: int
    stop_slot: int


def make_segments(plan: Plan, frames_per_segment: int = 0) -> list[Segment]:
    """Cut a plan into segments of equally many source frames; pure, so resume and workers agree."""
    per = frames_per_segment or max(8, round(240 / plan.slots_per_frame()))
    borders = [*range(plan.first, plan.stop, per), plan.stop]
    if len(borders) > 2 and borders[-1] - borders[-2] < per // 4:
        del borders[-2]
    segments: list[Segment] = []
    for start, stop in pairwise(borders):
        a, b = plan.first_slot(start), plan.first_slot(stop)
        if b > a:
            segments.append(Segment(len(segments), start, stop, a, b))
    return segments


def _factor(job: InterpolateJob) -> Fraction:
    return parse_factor(job.factor or ("1" if job.keeps_times else "2"), "--factor")


def parse_factor(text: str, flag: str) -> Fraction:
    """'2', '2.5' or '5/2' → Fraction; within 1/MAX_FACTOR and MAX_FACTOR."""
    value = _number(text, flag)
    if not Fraction(1, MAX_FACTOR) <= value <= MAX_FACTOR:
        raise UsageError(f"{flag} {text}: must lie between 1/{MAX_FACTOR} and {MAX_FACTOR}.")
    return value


def parse_rate(text: str, source: Fraction | None = None) -> Fraction:
    """'60', '60000/1001', '59.94' (read as 60000/1001), 'source*2', 'source/2' → frames per second."""
    body = text.strip().lower()
    if body.startswith("source"):
        if source is None:
            raise UsageError(f"--fps {text}: the rate of this source is not known; give a number, e.g. --fps 60.")
        rest = body.removeprefix("source").strip()
        if rest == "":
            value = source
        elif rest[0] in "*x":
            value = source * _number(rest[1:], "--fps source*")
        elif rest[0] == "/":
            divisor = _number(rest[1:], "--fps source/")
            if divisor == 0:
                raise UsageError(f"--fps {text}: cannot divide by zero.")
            value = source / divisor
        else:
            raise UsageError(f"--fps {text}: after 'source' comes *NUMBER or /NUMBER, e.g. source*2.")
    else:
        value = NTSC.get(body) or _number(body, "--fps")
    if not Fraction(1, 1000) <= value <= MAX_RATE:
        raise UsageError(f"--fps {text}: must lie between 1/1000 and {MAX_RATE} frames per second.")
    return value


def parse_time(text: str, flag: str) -> Fraction:
    """'12.5', '1:02.5' or '1:02:03.25' → seconds."""
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)s?", text.strip())
    if match is None:
        raise UsageError(f"{flag} {text}: give seconds (12.5) or [hh:]mm:ss.fff (1:02:03.25).")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def _number(text: str, flag: str) -> Fraction:
    body = text.strip()
    if not re.fullmatch(r"[+-]?\d+(\.\d+)?(e[+-]?\d{1,2})?(/\d+)?", body, re.IGNORECASE) or body.endswith("/0"):
        raise UsageError(f"{flag} {text}: give a number such as 2, 2.5 or 5/2.")
    if "/" in body:
        above, below = body.split("/")
        if int(below) == 0:
            raise UsageError(f"{flag} {text}: cannot divide by zero.")
        return Fraction(above) / int(below)
    return Fraction(body)


def _kept(timeline: Timeline, start: Fraction | None, stop: Fraction | None) -> tuple[int, int, Fraction]:
    """Indices [first, after) of the frames whose stamps lie in [start, stop), and where the last of them ends."""
    count = len(timeline)
    if start is not None and stop is not None and stop <= start:
        raise UsageError(f"--end-time {float(stop):g} s does not lie after --start {float(start):g} s.")
    first = 0 if start is None else _first_at_or_after(timeline, start)
    after = count if stop is None else _first_at_or_after(timeline, stop)
    if first >= after:
        raise UsageError(
            f"no frame lies between --start and --end-time; the source runs from {float(timeline.start):.3f} s "
            f"to {float(timeline.end):.3f} s."
        )
    end = timeline.end if after == count else timeline.pts(after)
    return first, after, end if stop is None else min(end, max(stop, timeline.pts(after - 1) + Fraction(1, 1_000_000)))


def _first_at_or_after(timeline: Timeline, time: Fraction) -> int:
    low, high = 0, len(timeline)
    while low < high:
        middle = (low + high) // 2
        if timeline.pts(middle) < time:
            low = middle + 1
        else:
            high = middle
    return low


def _average_rate(timeline: Timeline, first: int, after: int, end: Fraction) -> Fraction:
    return (after - first) / (end - timeline.pts(first))


def _even(rate: Fraction) -> Fraction:
    """A measured mean rate as the nearby rate a person would name: a multiple of 1/100, or an NTSC rate."""
    whole = round(rate)
    for candidate in (Fraction(whole), Fraction(whole * 1000, 1001)):
        if whole and abs(rate / candidate - 1) < Fraction(1, 2000):
            return candidate
    return max(rate.limit_denominator(100), Fraction(1, 100))


def _time_base(plan: Plan) -> Fraction:
    """The coarsest tick that makes every stamp exact if one of at most MAX_TICKS_PER_SECOND does; else a fine one."""
    rate = output_rate(plan)
    if rate is not None:
        tick = _common_measure(1 / rate, plan.time(0), plan.finish)
    elif plan.grid is not None:
        tick = _common_measure(*plan.grid.times, plan.grid.finish)
    else:
        assert plan.step is not None
        source = plan.timeline.time_base * plan.stretch / plan.step.denominator
        tick = _common_measure(source, plan.out_start, plan.stretch * plan.origin, plan.finish)
    # Not exact: a tick of a fourteenth of a microsecond, a multiple of the usual clocks.
    return tick if 1 / tick <= MAX_TICKS_PER_SECOND else Fraction(1, 90_000 * 160)


def _common_measure(*times: Fraction) -> Fraction:
    """The largest duration that all `times` are whole multiples of."""
    below = math.lcm(*(time.denominator for time in times))
    return Fraction(math.gcd(*(int(time * below) for time in times)), below)


def slot_times(plan: Plan) -> Sequence[Fraction]:
    """Every slot's output time; for tests and small films."""
    return [plan.time(n) for n in range(plan.count)]
