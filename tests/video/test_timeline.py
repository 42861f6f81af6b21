"""Timelines from stamps: order, counts, exact times, and which films count as constant."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midframe.errors import InputError
from midframe.video.timeline import (
    COMMON_RATES,
    Timeline,
    counted_timeline,
    repaired_timeline,
    timeline_from_ticks,
)

NTSC_FILM = Fraction(24000, 1001)
MILLI = Fraction(1, 1000)

rates = st.sampled_from(COMMON_RATES)
bases = st.sampled_from([MILLI, Fraction(1, 90000), Fraction(1, 12800), Fraction(1, 48000)])
starts = st.integers(-200_000, 2_000_000)


@st.composite
def uneven(draw: st.DrawFn) -> Timeline:
    gaps = draw(st.lists(st.integers(1, 5000), min_size=3, max_size=40))
    start, base = draw(starts), draw(bases)
    ticks = np.cumsum([start, *gaps])
    return timeline_from_ticks(ticks, base, last_duration=draw(st.integers(1, 5000)), rate_hints=[])


@given(rate=rates, base=bases, start=starts, count=st.integers(2, 300))
def test_rounded_stamps_of_a_usual_rate_give_its_exact_times(rate, base, start, count):
    if 1 / rate < 4 * base:
        return
    stamps = [start + round(i / rate / base) for i in range(count)]
    timeline = timeline_from_ticks(stamps, base, last_duration=None, rate_hints=[rate])
    assert timeline.rate == rate
    assert len(timeline) == count
    assert timeline.pts(count - 1) == start * base + Fraction(count - 1) / rate
    assert timeline.end - timeline.start == Fraction(count) / rate
    assert timeline.average_rate == rate


@given(rate=rates, shift=st.integers(0, 999))
def test_rounding_may_go_either_way(rate, shift):
    stamps = [int((Fraction(i) / rate + Fraction(shift, 1000) * MILLI) / MILLI) for i in range(1500)]
    assert timeline_from_ticks(stamps, MILLI, last_duration=None, rate_hints=[]).rate == rate


def test_no_drift_after_ten_hours_of_film_rate_in_milliseconds():
    count = round(36000 * NTSC_FILM)
    stamps = np.round(np.arange(count) * (1001 / 24)).astype(np.int64)
    timeline = timeline_from_ticks(stamps, MILLI, last_duration=42, rate_hints=[Fraction(19001, 792)])
    assert timeline.rate == NTSC_FILM
    assert timeline.pts(count - 1) == (count - 1) / NTSC_FILM
    assert timeline.position(timeline.pts(count - 1)) == count - 1


@given(timeline=uneven(), data=st.data())
def test_position_is_the_inverse_of_pts(timeline, data):
    i = data.draw(st.integers(0, len(timeline) - 1))
    assert timeline.position(timeline.pts(i)) == i
    following = timeline.pts(i + 1) if i + 1 < len(timeline) else timeline.end
    assert timeline.position((timeline.pts(i) + following) / 2) == i + Fraction(1, 2)


@given(timeline=uneven(), seconds=st.fractions(-100, 200))
def test_position_grows_with_time(timeline, seconds):
    assert timeline.position(seconds) < timeline.position(seconds + MILLI / 7)


@given(timeline=uneven())
def test_stamps_are_strictly_increasing_and_found_again(timeline):
    assert (np.diff(timeline.ticks) > 0).all()
    for i, tick in enumerate(timeline.ticks):
        assert timeline.index_of(int(tick)) == i
    assert timeline.index_of(int(timeline.ticks[-1]) + 1) is None
    assert timeline.index_of(int(timeline.ticks[0]) - 1) is None
    assert timeline.last < timeline.end


@given(timeline=uneven(), seed=st.integers(0, 99))
def test_decoding_order_does_not_matter(timeline, seed):
    mixed = np.random.default_rng(seed).permutation(timeline.ticks)
    again = timeline_from_ticks(
        mixed, timeline.time_base, last_duration=timeline.end_tick - int(timeline.ticks[-1]), rate_hints=[]
    )
    assert (again.ticks == timeline.ticks).all()
    assert again.end == timeline.end
    assert again.rate == timeline.rate


def test_one_late_frame_makes_the_rate_variable():
    stamps = [40 * i for i in range(100)]
    stamps[50] += 2
    timeline = timeline_from_ticks(stamps, MILLI, last_duration=40, rate_hints=[Fraction(25)])
    assert timeline.rate is None
    assert timeline.pts(50) == Fraction(2002, 1000)
    assert timeline.end == 4


def test_usual_rate_is_preferred_to_a_guess_that_fits_as_well():
    stamps = [round(i * Fraction(1001, 60)) for i in range(24)]
    assert timeline_from_ticks(stamps, MILLI, last_duration=None, rate_hints=[Fraction(19001, 317)]).rate == Fraction(
        60000, 1001
    )


def test_declared_usual_rate_is_believed_where_two_fit():
    stamps = [round(1000 * i / Fraction(60)) for i in range(12)]
    for rate in (Fraction(60), Fraction(60000, 1001)):
        assert timeline_from_ticks(stamps, MILLI, last_duration=None, rate_hints=[rate]).rate == rate


@pytest.mark.parametrize("rate", [Fraction(25, 2), Fraction(8), Fraction(18), Fraction(37), Fraction(72)])
def test_unusual_rates_are_found_without_a_hint(rate):
    stamps = [round(1000 * i / rate) for i in range(400)]
    assert timeline_from_ticks(stamps, MILLI, last_duration=None, rate_hints=[]).rate == rate


def test_rounding_that_adds_up_is_a_constant_rate_only_where_told():
    stamps = [3333 * i for i in range(100)]  # APNG at 30 frames per second, in FFmpeg's ticks of 10 µs
    base = Fraction(1, 100_000)
    assert timeline_from_ticks(stamps, base, last_duration=None, rate_hints=[], rounded_steps=True).rate == 30
    assert timeline_from_ticks(stamps, base, last_duration=None, rate_hints=[]).rate == Fraction(100_000, 3333)


def test_long_hold_of_the_last_frame_is_kept():
    timeline = timeline_from_ticks([0, 4, 8, 12], Fraction(1, 100), last_duration=200, rate_hints=[Fraction(25)])
    assert timeline.rate is None
    assert timeline.end == Fraction(212, 100)


def test_slightly_wrong_duration_of_the_last_frame_is_not():
    timeline = timeline_from_ticks([0, 40, 80], MILLI, last_duration=80, rate_hints=[Fraction(25)])
    assert timeline.rate == 25
    assert timeline.end == Fraction(12, 100)


@pytest.mark.parametrize(
    ("duration", "hints", "end", "rate"),
    [(40, [Fraction(25)], 40, Fraction(25)), (None, [Fraction(25)], 40, Fraction(25)), (None, [], 1, None),
     (5000, [Fraction(25)], 5000, Fraction(1, 5)), (33, [Fraction(30000, 1001)], 33, Fraction(30000, 1001))],
)  # fmt: skip
def test_single_frame_lasts_as_its_header_says(duration, hints, end, rate):
    timeline = timeline_from_ticks([100], MILLI, last_duration=duration, rate_hints=hints)
    assert timeline.end_tick == 100 + end
    assert timeline.rate == rate
    assert len(timeline) == 1


def test_two_frames_at_one_time_are_refused():
    with pytest.raises(InputError, match=r"same time stamp \(0.080 s\)"):
        timeline_from_ticks([0, 80, 40, 80], MILLI, last_duration=40, rate_hints=[])


def test_no_frames_are_refused():
    with pytest.raises(InputError, match="no frames"):
        timeline_from_ticks([], MILLI, last_duration=None, rate_hints=[])


@given(rate=rates, count=st.integers(1, 500))
def test_counted_frames_are_even_from_zero(rate, count):
    timeline = counted_timeline(count, rate)
    assert not timeline.stamped
    assert (len(timeline), timeline.start, timeline.rate) == (count, 0, rate)
    assert timeline.end == count / rate


def test_good_stamps_need_no_repair():
    timeline = repaired_timeline([0, 40, 90, 120], MILLI, last_duration=7, rate_hints=[])
    assert timeline.stamped
    assert timeline.end_tick == 127


def test_missing_stamps_of_an_even_film_are_filled_exactly():
    stamps = [None if i % 3 else 1000 + round(i / NTSC_FILM / MILLI) for i in range(100)]
    timeline = repaired_timeline(stamps, MILLI, last_duration=None, rate_hints=[NTSC_FILM])
    assert not timeline.stamped
    assert (timeline.rate, timeline.start, len(timeline)) == (NTSC_FILM, 1, 100)


def test_stamps_that_start_again_go_on_from_where_they_were():
    once = [40 * i for i in range(50)]
    timeline = repaired_timeline([*once, *once], MILLI, last_duration=40, rate_hints=[Fraction(25)])
    assert (timeline.rate, len(timeline), timeline.end) == (25, 100, 4)
    assert not timeline.stamped


@given(
    gaps=st.lists(st.integers(1, 900), min_size=4, max_size=40),
    holes=st.sets(st.integers(0, 40), max_size=20),
    repeat=st.booleans(),
)
def test_repair_keeps_the_count_and_the_order(gaps, holes, repeat):
    ticks = [int(tick) for tick in np.cumsum(gaps)]
    broken = [None if i in holes else tick for i, tick in enumerate(ticks)]
    if repeat:
        broken[-1] = broken[-2]
    timeline = repaired_timeline(broken, MILLI, last_duration=None, rate_hints=[Fraction(25)])
    assert len(timeline) == len(ticks)
    assert (np.diff(timeline.ticks) > 0).all()
    assert timeline.stamped == (None not in broken and not repeat)
