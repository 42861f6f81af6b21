"""Which frames are kept: the ends of every shot, no fewer than needed, none farther apart than allowed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from midframe.engine.keyframes import choose_keys, from_the_middle

counts = st.integers(1, 60)
cuts = st.sets(st.integers(0, 58))


def chosen(count, fits, cut=frozenset(), longest=16):
    return [0, *choose_keys(count, fits, cut.__contains__, longest=longest)]


@given(counts, cuts, st.integers(2, 20), st.randoms(use_true_random=False))
def test_kept_frames_rise_to_the_last_and_none_is_left_out_across_a_cut(count, cut, longest, chance):
    asked = []

    def fits(a, b):
        asked.append((a, b))
        return chance.random() < 0.7

    keys = chosen(count, fits, cut, longest)
    assert keys[-1] == count - 1 and all(0 < b - a <= longest for a, b in pairwise(keys))
    for gap in cut:
        assert gap >= count - 1 or {gap, gap + 1} <= set(keys)
    assert all(b >= a + 2 and not any(a <= gap < b for gap in cut) for a, b in asked)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.integers(2, 20), st.integers(0, 30))
def test_no_choice_keeps_fewer_where_parts_of_what_fits_fit(costs, longest, limit):
    """A stretch fits while the costs of its frames add up to no more than `limit`, so every part of it fits, too."""

    def fits(a, b):
        return b == a + 1 or sum(costs[a + 1 : b]) <= limit

    best = [0] + [len(costs)] * (len(costs) - 1)  # kept frames up to each, by dynamic programming
    for b in range(1, len(costs)):
        best[b] = 1 + min(best[a] for a in range(max(0, b - longest), b) if fits(a, b))
    # Doubling and halving finds the farthest one, for what does not fit does not fit farther away.
    assert len(chosen(len(costs), fits, longest=longest)) == 1 + best[-1]


@given(counts, cuts, st.integers(0, 59))
def test_choosing_goes_on_where_it_stopped(count, cut, stop):
    def fits(a, b):
        return (a * 7 + b * 13) % 5 != 0

    keys = chosen(count, fits, cut)
    last = max(key for key in keys if key <= stop)
    assert keys[keys.index(last) + 1 :] == list(choose_keys(count, fits, cut.__contains__, longest=16, start=last))


def test_frames_farthest_from_both_ends_come_first():
    assert from_the_middle(3, 8) == [5, 6, 4, 7]
    assert from_the_middle(3, 4) == []
