"""The time contract: counts follow the formula, stamps rise, nothing drifts, source frames stay themselves."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midframe.engine.job import InterpolateJob
from midframe.engine.plan import (
    Copy,
    CutSet,
    KeySet,
    Mix,
    Plan,
    Render,
    choose_taps,
    decide,
    make_plan,
    make_segments,
    output_rate,
    parse_factor,
    parse_rate,
    parse_time,
    slot_times,
)
from midframe.errors import UsageError
from midframe.video.timeline import Timeline, timeline_from_ticks

RATES = [
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(60),
    Fraction(11),
    Fraction(12, 5),
]


def constant(rate: Fraction, count: int, start: int = 0) -> Timeline:
    ticks = np.arange(count, dtype=np.int64) + start
    return timeline_from_ticks(ticks, 1 / rate, last_duration=1, rate_hints=[rate])


def variable(gaps: list[int], time_base: Fraction = Fraction(1, 1000), start: int = 0) -> Timeline:
    ticks = start + np.concatenate(([0], np.cumsum(gaps[:-1]))).astype(np.int64)
    return timeline_from_ticks(ticks, time_base, last_duration=gaps[-1], rate_hints=[])


def plan_of(timeline: Timeline, **options: object) -> Plan:
    return make_plan(InterpolateJob(input="x.mp4", **options), timeline)  # type: ignore[arg-type]


def actions(plan: Plan, cuts: set[int] = frozenset(), repeats: set[int] = frozenset(), policy: str = "hold") -> list:  # type: ignore[assignment]
    return [
        decide(plan, n, cuts=CutSet(frozenset(cuts)), keys=KeySet(frozenset(repeats)), policy=policy)  # type: ignore[arg-type]
        for n in range(plan.count)
    ]


rates = st.sampled_from(RATES)
counts = st.integers(1, 40)
factors = st.fractions(min_value=Fraction(1, 3), max_value=9, max_denominator=7)
ends = st.sampled_from(["hold", "drop", "loop"])
timelines = st.one_of(
    st.builds(constant, rates, counts, st.integers(0, 100)),
    st.builds(variable, st.lists(st.integers(1, 900), min_size=1, max_size=30), start=st.integers(0, 5000)),
)
modes = st.one_of(
    st.builds(lambda f: {"factor": str(f)}, factors),
    st.builds(lambda f: {"fps": str(f)}, st.fractions(min_value=1, max_value=150, max_denominator=1001)),
    st.builds(lambda f: {"slow": str(f)}, factors),
    st.builds(lambda f, g: {"slow": str(f), "fps": str(g)}, factors, st.integers(5, 120)),
)


@given(timelines, modes, ends, st.sampled_from(["keep", "constant"]))
def test_stamps_rise_and_slots_stay_inside_the_source(timeline: Timeline, mode: dict, end: str, vfr: str) -> None:
    plan = plan_of(timeline, **mode, end=end, vfr=vfr)
    times = slot_times(plan)
    assert len(times) == plan.count >= 1
    assert all(a < b for a, b in itertools.pairwise(times))
    stamps = [plan.stamp(n) for n in range(plan.count + 1)]
    assert all(a < b for a, b in itertools.pairwise(stamps))
    positions = [plan.position(n) for n in range(plan.count)]
    assert positions[0] == plan.first
    assert all(plan.first <= p < plan.stop for p in positions)


@given(timelines, factors, ends)
def test_the_number_of_slots_follows_the_formula_for_factors(timeline: Timeline, factor: Fraction, end: str) -> None:
    count = len(timeline)
    plan = plan_of(timeline, factor=str(factor), end=end)
    expected = math.floor((count - 1) * factor) + 1 if end == "drop" else math.ceil(count * factor)
    assert plan.count == expected


@given(timelines, st.fractions(min_value=1, max_value=150, max_denominator=1001), ends)
def test_the_number_of_slots_follows_the_formula_for_rates(timeline: Timeline, rate: Fraction, end: str) -> None:
    plan = plan_of(timeline, fps=str(rate), end=end)
    if end == "drop":
        expected = math.floor((timeline.last - timeline.start) * rate) + 1
    else:
        expected = math.ceil((timeline.end - timeline.start) * rate)
    assert plan.count == expected
    assert output_rate(plan) == rate


@given(timelines, modes, ends)
def test_every_stamp_is_within_half_a_tick_of_the_exact_time(timeline: Timeline, mode: dict, end: str) -> None:
    plan = plan_of(timeline, **mode, end=end)
    for n in range(plan.count):
        assert abs(plan.stamp(n) * plan.time_base - plan.time(n)) <= plan.time_base / 2


@given(timelines, modes)
def test_a_slot_on_a_source_time_is_that_source_frame(timeline: Timeline, mode: dict) -> None:
    plan = plan_of(timeline, **mode)
    for n, action in enumerate(actions(plan)):
        position = plan.position(n)
        if position.denominator == 1:
            assert action == Copy(int(position))
        else:
            i = math.floor(position)
            assert action == (Copy(i) if i + 1 == plan.stop else Render(i, i + 1, action.t))


def test_nothing_drifts_in_ten_hours_of_24000_1001() -> None:
    rate = Fraction(24000, 1001)
    count = 10 * 3600 * 24000 // 1001
    timeline = constant(rate, count)
    plan = plan_of(timeline, fps="60000/1001")
    assert plan.count == math.ceil(Fraction(count * 5, 2))
    assert plan.time(plan.count - 1) == Fraction((plan.count - 1) * 1001, 60000)
    assert plan.stamp(plan.count - 1) * plan.time_base == plan.time(plan.count - 1)
    n = plan.first_slot(count - 2)
    assert plan.position(n) == count - 2 or plan.position(n) - (count - 2) < Fraction(2, 5)
    assert plan_of(timeline, factor="2").finish == timeline.end == Fraction(count * 1001, 24000)


def test_ten_hours_of_millisecond_stamps_do_not_drift_either() -> None:
    rate = Fraction(24000, 1001)
    count = 10 * 3600 * 24000 // 1001
    ticks = np.round(np.arange(count) * (1001 / 24)).astype(np.int64)
    timeline = timeline_from_ticks(ticks, Fraction(1, 1000), last_duration=42, rate_hints=[rate])
    assert timeline.rate == rate
    assert plan_of(timeline, factor="5/2").finish == Fraction(count * 1001, 24000)


@given(st.lists(st.integers(1, 900), min_size=2, max_size=30), st.integers(2, 5))
def test_variable_stamps_are_interpolated_between_the_real_ones(gaps: list[int], factor: int) -> None:
    timeline = variable(gaps)
    plan = plan_of(timeline, factor=str(factor))
    for i in range(len(timeline) - 1):
        times = [plan.time(i * factor + k) for k in range(factor + 1)]
        assert times[0] == timeline.pts(i)
        assert times[-1] == timeline.pts(i + 1)
        assert len({b - a for a, b in itertools.pairwise(times)}) == 1


@given(timelines, factors)
def test_slow_motion_keeps_the_rate_and_stretches_the_time(timeline: Timeline, factor: Fraction) -> None:
    plan = plan_of(timeline, slow=str(factor))
    assert plan.finish - plan.time(0) == timeline.duration * factor
    if timeline.rate is not None:
        assert output_rate(plan) == timeline.rate


@given(timelines, modes, st.integers(1, 12))
def test_segments_hold_every_slot_once(timeline: Timeline, mode: dict, per: int) -> None:
    plan = plan_of(timeline, **mode)
    segments = make_segments(plan, per)
    slots = [n for s in segments for n in range(s.first_slot, s.stop_slot)]
    assert slots == list(range(plan.count))
    for s in segments:
        assert all(s.start <= plan.position(n) < s.stop for n in range(s.first_slot, s.stop_slot))


@given(timelines, modes, st.sets(st.integers(0, 30)), st.sampled_from(["hold", "nearest", "blend"]), ends)
def test_nothing_is_rendered_across_a_cut(timeline: Timeline, mode: dict, cuts: set, policy: str, end: str) -> None:
    plan = plan_of(timeline, **mode, end=end)
    for n, action in enumerate(actions(plan, cuts, policy=policy)):
        i = math.floor(plan.position(n))
        if isinstance(action, Render):
            assert i not in cuts
        if i in cuts and plan.position(n) != i and i + 1 < plan.stop:
            t = plan.position(n) - i
            if policy == "hold":
                assert action == Copy(i)
            elif policy == "nearest":
                assert action == Copy(i if t < Fraction(1, 2) else i + 1)
            else:
                assert isinstance(action, Mix)


def test_bridged_repeats_are_rendered_between_the_drawings_around_them() -> None:
    plan = plan_of(constant(Fraction(24), 6), factor="2")
    made = actions(plan, repeats={1, 3, 5})  # A A B B C C
    assert made[0] == Copy(0)
    assert made[1:4] == [Render(0, 2, Fraction(k, 4)) for k in (1, 2, 3)]
    assert made[4] == Copy(2)
    assert made[8] == Copy(4)
    assert made[9:] == [Copy(4), Copy(5), Copy(5)]  # nothing follows C: it is held
    assert plan.count == 12


def test_a_bridge_never_crosses_a_cut() -> None:
    plan = plan_of(constant(Fraction(24), 4), factor="2")
    assert not any(isinstance(a, Render) and a.left < 2 <= a.right for a in actions(plan, cuts={1}, repeats={1, 3}))


def test_the_loop_closes_between_the_last_and_the_first_frame() -> None:
    plan = plan_of(constant(Fraction(10), 3), factor="2", end="loop")
    assert actions(plan)[-1] == Render(2, 0, Fraction(1, 2))
    assert actions(plan, cuts={2})[-1] == Copy(2)


def test_a_part_begins_at_zero_and_keeps_its_distance_to_the_sound() -> None:
    plan = plan_of(constant(Fraction(10), 30), factor="2", start_time="0.55", end_time="2")
    assert (plan.first, plan.stop) == (6, 20)
    assert plan.time(0) == Fraction(1, 20)  # frame 6 is shown 0.05 s after the part begins
    assert plan.finish == Fraction(2) - Fraction(55, 100)


def test_a_late_start_is_kept() -> None:
    assert plan_of(constant(Fraction(10), 5, start=7)).time(0) == Fraction(7, 10)
    assert plan_of(constant(Fraction(10), 5, start=7), slow="2").time(0) == Fraction(14, 10)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60", Fraction(60)),
        ("60000/1001", Fraction(60000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("source*2", Fraction(50)),
        ("source/2", Fraction(25, 2)),
        ("12.5", Fraction(25, 2)),
    ],
)
def test_rates_are_read_as_people_write_them(text: str, rate: Fraction) -> None:
    assert parse_rate(text, Fraction(25)) == rate


@pytest.mark.parametrize(
    "text", ["0", "-1", "nan", "inf", "1e9", "abc", "", "1/0", "source*0", "source+1", "source/0", "1e99"]
)
def test_rates_refuse_what_is_no_rate(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rate(text, Fraction(25))


@pytest.mark.parametrize("text", ["0", "-2", "nan", "1e6", "two", "3/0", "1e-99"])
def test_factors_refuse_what_is_no_factor(text: str) -> None:
    with pytest.raises(UsageError):
        parse_factor(text, "--factor")


def test_times_are_read_as_people_write_them() -> None:
    assert parse_time("12.5", "--start") == Fraction(25, 2)
    assert parse_time("1:02.5", "--start") == Fraction(125, 2)
    assert parse_time("1:02:03.25", "--start") == 3723 + Fraction(1, 4)
    with pytest.raises(UsageError):
        parse_time("-3", "--start")


def test_options_that_contradict_are_refused() -> None:
    timeline = constant(Fraction(25), 10)
    with pytest.raises(UsageError, match="one of them"):
        plan_of(timeline, factor="2", fps="60")
    with pytest.raises(UsageError, match="no frame"):
        plan_of(timeline, start_time="99")
    with pytest.raises(UsageError, match="does not lie after"):
        plan_of(timeline, start_time="3", end_time="1")


# ---- frames beside a pair ----------------------------------------------------------------------------------------


def film(*ticks):
    timeline = timeline_from_ticks(np.array(ticks), Fraction(1, 1000), last_duration=40, rate_hints=())
    return make_plan(InterpolateJob(input="in.mp4", output="out.mp4"), timeline)


@pytest.mark.parametrize(
    ("left", "right", "cuts", "wanted"),
    [
        (3, 4, (), [2, 3, 4, 5]),
        (0, 1, (), [0, 0, 1, 2]),
        (8, 9, (), [7, 8, 9, 9]),
        (3, 4, (2,), [3, 3, 4, 5]),
        (3, 4, (4,), [2, 3, 4, 4]),
        (4, 6, (), [2, 4, 6, 8]),  # a repeat is bridged: the frames beside are two away, too
        (4, 6, (2,), [4, 4, 6, 8]),
        (1, 3, (), [1, 1, 3, 5]),
        (9, 0, (), [9, 9, 0, 0]),  # from the last frame back to the first
    ],
)
def test_frames_beside_a_pair_are_as_far_away_as_it_is_wide(left, right, cuts, wanted):
    plan = film(*range(0, 400, 40))
    assert choose_taps(plan, Render(left, right, Fraction(1, 2)), (-1, 0, 1, 2), cuts.__contains__) == wanted


def test_frames_of_another_distance_in_time_do_not_count():
    plan = film(0, 40, 80, 200, 240, 290, 330)
    pair = Render(3, 4, Fraction(1, 2))
    assert choose_taps(plan, pair, (-1, 0, 1, 2), lambda gap: False) == [3, 3, 4, 5]  # 120 ms before, 50 ms after
    assert choose_taps(plan, pair, (0, 1), lambda gap: False) == [3, 4]
