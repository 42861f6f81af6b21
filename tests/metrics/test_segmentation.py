"""J and F by hand: small masks whose values can be counted on paper."""

import math

import numpy as np
import pytest

from midframe.errors import UsageError
from midframe.metrics.segmentation import (
    ObjectScores,
    average,
    find_boundary,
    score_contour,
    score_region,
    score_sequence,
    summarise,
)


def box(top, left, height, width, size=(20, 20)):
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


EMPTY = np.zeros((20, 20), bool)


def test_region_is_intersection_over_union():
    # 4 × 4 against the same two to the right: 8 common pixels, 16 + 16 − 8 = 24 in all
    assert score_region(box(5, 5, 4, 4), box(5, 7, 4, 4)) == pytest.approx(8 / 24)
    assert score_region(EMPTY, EMPTY) == 1.0
    assert score_region(EMPTY, box(5, 5, 4, 4)) == score_region(box(5, 5, 4, 4), EMPTY) == 0.0


def test_boundary_of_a_pixel_is_what_looks_at_it():
    """The pixel itself, and those from which it lies to the right, below and right below."""
    edge = find_boundary(box(3, 4, 1, 1, (6, 8)))
    assert sorted(zip(*np.nonzero(edge), strict=True)) == [(2, 3), (2, 4), (3, 3), (3, 4)]


def test_boundary_at_the_last_row_and_column_looks_one_way():
    edge = find_boundary(box(5, 7, 1, 1, (6, 8)))
    assert sorted(zip(*np.nonzero(edge), strict=True)) == [(4, 6), (4, 7), (5, 6)]  # the corner is never one
    assert not find_boundary(np.ones((6, 8), bool)).any()


def test_contour_within_the_tolerance_is_right():
    mask, right = box(5, 5, 6, 6), box(5, 6, 6, 6)
    # 20 × 20: ceil(0.008 · 28.3) = 1 pixel; a shift by one is forgiven, by two only where the shapes still touch
    assert score_contour(mask, right) == 1.0
    assert score_contour(mask, box(5, 12, 6, 6)) < 0.3
    assert score_contour(mask, right, bound=2) == 1.0


def test_contour_of_a_shift_counted_by_hand():
    """A box of 6 × 6 at (5, 5) has its boundary on the rim of the square 4 … 10: 24 pixels. The same box two to the
    right: columns 6 … 12. With a tolerance of 1, of its top row columns 6 … 11 are matched, of its bottom row too, and
    of its left side the pixels next to these rows; the rest is 2 away."""
    truth, found = box(5, 5, 6, 6), box(5, 7, 6, 6)
    ours, theirs = find_boundary(found), find_boundary(truth)
    assert ours.sum() == theirs.sum() == 24
    matched = 6 + 6 + 2
    assert score_contour(found, truth) == pytest.approx(matched / 24)  # precision and recall are equal by symmetry


def test_contour_where_one_is_empty():
    assert score_contour(EMPTY, EMPTY) == 1.0
    assert score_contour(EMPTY, box(5, 5, 4, 4)) == score_contour(box(5, 5, 4, 4), EMPTY) == 0.0


def test_tolerance_is_eight_pixels_for_davis():
    size = (480, 854)
    assert math.ceil(0.008 * math.hypot(*size)) == 8
    mask = box(100, 100, 60, 60, size)
    assert score_contour(mask, box(108, 100, 60, 60, size)) == 1.0
    assert score_contour(mask, box(109, 100, 60, 60, size)) < 1.0


def test_decay_compares_quarters_that_share_their_ends():
    # 8 values: ends at round(linspace(1, 8, 5)) − 1 = 0, 2, 4, 5, 7 (1, 2.75, 4.5, 6.25, 8; 4.5 + 1e-10 rounds up)
    values = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    found = summarise(values)
    assert found.mean == pytest.approx(0.65)
    assert found.recall == pytest.approx(5 / 8)  # 0.5 is not above 0.5
    assert found.decay == pytest.approx((1 + 0.9 + 0.8) / 3 - (0.5 + 0.4 + 0.3) / 3)
    assert summarise(np.array([0.6])).decay == 0.0


def test_first_and_last_frame_do_not_count():
    truth = [box(5, 5, 4, 4).astype(np.uint8)] * 4
    wrong = EMPTY.astype(np.uint8)
    (scores,) = score_sequence("a", [wrong, truth[0], truth[0], wrong], truth)
    assert scores.region.tolist() == scores.contour.tolist() == [1.0, 1.0]


def test_means_are_over_objects_and_not_over_sequences():
    def of(name, *values):
        return [ObjectScores(name, k + 1, np.full(3, v), np.full(3, v)) for k, v in enumerate(values)]

    found = average([*of("one", 1.0), *of("many", 0.0, 0.0, 0.0)])
    assert found.region.mean == pytest.approx(0.25) and found.both == pytest.approx(0.25) and found.objects == 4


def test_objects_are_those_of_the_first_frame_and_a_lost_one_counts_as_empty():
    first = box(2, 2, 4, 4).astype(np.uint8) + 2 * box(10, 10, 4, 4).astype(np.uint8)
    later = first + 3 * box(2, 12, 2, 2).astype(np.uint8)
    lost = np.where(first == 2, 0, first).astype(np.uint8)
    scores = score_sequence("a", [first, lost, lost], [first, later, later])
    assert [one.number for one in scores] == [1, 2]
    assert [float(one.region[0]) for one in scores] == [1.0, 0.0]


def test_what_cannot_be_judged_is_refused():
    mask = box(5, 5, 4, 4).astype(np.uint8)
    with pytest.raises(UsageError, match="3 masks and 1 object"):
        score_sequence("a", [mask, mask], [mask, mask])
    with pytest.raises(UsageError, match="3 masks and 1 object"):
        score_sequence("a", [mask] * 3, [EMPTY.astype(np.uint8)] * 3)
    with pytest.raises(UsageError, match="mask 1 is"):
        score_sequence("a", [mask, mask[1:], mask], [mask] * 3)
    with pytest.raises(UsageError):
        average([])
    with pytest.raises(UsageError):
        summarise(np.zeros(0))
