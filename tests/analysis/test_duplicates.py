"""Repeated frames: found under the encoder's noise, not in slow movement; which of them are bridged."""

import clips
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midframe.analysis.duplicates import CADENCE, MAX_RUN, bridge_keys, find_duplicates, is_bridged
from midframe.analysis.glance import CONTEXT, Glance, Pairs, glance

SIZE = (72, 96)
flags = st.lists(st.booleans(), max_size=60).map(lambda rest: [False, *rest])


def look(film: np.ndarray) -> list[Glance]:
    return [glance(clips.picture(image, "yuv420p")) for image in film]


def on(times: int, frames: int = 24) -> list[bool]:
    return [i % times != 0 for i in range(frames)]


@pytest.mark.parametrize("times", [2, 3, 4])
def test_drawings_shown_several_times_are_found(times: int) -> None:
    assert find_duplicates(look(clips.held(24, times, SIZE))) == on(times)


@pytest.mark.parametrize("times", [2, 3])
def test_drawings_are_found_under_noise_that_differs_in_each_showing(times: int) -> None:
    film = clips.held(24, times, SIZE)
    film = film + np.random.default_rng(0).normal(0, 1.0 / 255, film.shape).astype(np.float32)
    assert find_duplicates(look(film)) == on(times)


def test_grain_that_changes_in_every_frame_is_no_repeat_and_grain_that_does_not_is_one() -> None:
    grain = np.random.default_rng(0).normal(0, 6 / 255, (12, *SIZE, 3)).astype(np.float32)
    film = clips.still(12, SIZE) + grain
    assert not any(find_duplicates(look(film)))
    assert find_duplicates(look(film.repeat(2, axis=0))) == on(2)


@pytest.mark.parametrize("speed", [0.05, 0.25, 1.0])
def test_slow_movement_is_no_repeat(speed: float) -> None:
    scene = clips.Scene(velocity=(speed, 0.0), disc_velocity=())
    assert not any(find_duplicates(look(clips.moving(16, SIZE, scene=scene))))


def test_movement_that_slows_down_is_no_repeat() -> None:
    wide = clips.moving(1, (SIZE[0], 300))[0]
    offsets = [0, 8, 16, 24, 32, 33, 34, 35, 36, 37, 38]
    assert not any(find_duplicates(look(np.stack([wide[:, x : x + SIZE[1]] for x in offsets]))))


def test_a_held_picture_is_repeated_but_never_bridged() -> None:
    dups = find_duplicates(look(clips.still(24, SIZE)))
    assert dups == [False] + [True] * 23
    assert not any(bridge_keys(dups, cadence=False))


@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_cadence_is_bridged_up_to_the_last_drawing(times: int) -> None:
    dups = on(times)
    for cadence in (True, False):
        bridged = bridge_keys(dups, cadence=cadence)
        assert bridged[:-times] == dups[:-times]
        assert not any(bridged[-times:])


def test_a_single_repeat_is_bridged_only_when_asked_for_every_run() -> None:
    dups = [i == 10 for i in range(24)]
    assert not any(bridge_keys(dups, cadence=True))
    assert bridge_keys(dups, cadence=False) == dups


def test_mixed_twos_and_threes_are_a_cadence() -> None:
    dups = [False, True, False, True, True, False, True, False, True, True, False]
    assert bridge_keys(dups, cadence=True) == dups


@given(flags, st.booleans(), st.integers(1, 5))
def test_only_whole_short_runs_of_repeats_are_bridged(dups: list[bool], cadence: bool, most: int) -> None:
    bridged = bridge_keys(dups, most, cadence=cadence)
    assert len(bridged) == len(dups)
    i = 0
    while i < len(dups):
        j = i
        while j < len(dups) and dups[j] == dups[i]:
            j += 1
        assert len(set(bridged[i:j])) == 1  # all of a run or none of it
        if bridged[i]:
            assert dups[i]
            assert j - i <= most
            assert j < len(dups)  # something to bridge to
        i = j


@given(flags)
def test_a_cadence_bridges_no_more_than_every_run(dups: list[bool]) -> None:
    some, all_ = bridge_keys(dups, cadence=True), bridge_keys(dups, cadence=False)
    assert all(b or not a for a, b in zip(some, all_, strict=True))


def test_a_bridged_frame_depends_on_nothing_beyond_the_context() -> None:
    film = look(np.concatenate([clips.held(16, 2, SIZE), clips.moving(12, SIZE), clips.held(24, 3, SIZE)]))
    assert CADENCE > MAX_RUN
    for cadence in (True, False):
        whole = Pairs(film.__getitem__)
        seen = []
        for frame in range(CONTEXT, len(film) - CONTEXT - 1):
            part = film[frame - CONTEXT : frame + CONTEXT + 2]
            answer = is_bridged(Pairs(part.__getitem__), CONTEXT, 0, len(part), cadence=cadence)
            assert answer == is_bridged(whole, frame, 0, len(film), cadence=cadence)
            seen.append(answer)
        assert any(seen)
        assert not all(seen)
