"""PCK by hand."""

import numpy as np
import pytest

from midframe.errors import UsageError
from midframe.metrics.keypoints import find_measure, pck

TRUTH = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 40.0]])  # box of 30 × 40: diagonal 50, measure 30
SEEN = np.ones(3, bool)


def film(*frames):
    return np.stack([TRUTH, *frames])


def test_measure_is_six_tenths_of_the_diagonal_of_what_is_visible():
    assert find_measure(TRUTH, SEEN) == pytest.approx(30.0)
    assert find_measure(TRUTH, np.array([True, True, False])) == pytest.approx(18.0)
    assert find_measure(TRUTH, ~SEEN) == 0.0


def test_a_joint_within_alpha_is_right_and_the_first_frame_does_not_count():
    moved = TRUTH + np.array([[3.0, 0], [0, 3.1], [0, 0]])  # α = 0.1 allows 3 pixels
    far = TRUTH + 100
    truth, shown = [film(TRUTH)], [np.stack([SEEN, SEEN])]
    assert pck([film(moved)], truth, shown, alpha=0.1) == pytest.approx(2 / 3)
    assert pck([film(moved)], truth, shown, alpha=0.2) == 1.0
    found = film(moved)
    found[0] = far[0]
    assert pck([found], truth, shown) == pytest.approx(2 / 3)


def test_lost_and_invisible_joints_are_left_out():
    found = film(TRUTH, TRUTH + 100)
    truth = film(TRUTH, TRUTH)
    found[2, 0] = -1  # lost: of joint 0 only frame 1 counts
    shown = np.ones((3, 3), bool)
    shown[2, 1] = False
    # joint 0: 1 of 1; joint 1: 1 of 1; joint 2: 1 of 2
    assert pck([found], [truth], [shown]) == pytest.approx((1 + 1 + 0.5) / 3)


def test_the_mean_is_over_joints_over_all_films():
    right, wrong = film(TRUTH), film(TRUTH + 100)
    shown = np.stack([SEEN, SEEN])
    only_first = shown & np.array([True, False, False]) | np.array([[True] * 3, [True, False, True]])
    # joint 0: 1 of 2, joint 1: 1 of 1 (invisible in the wrong film), joint 2: 1 of 2
    assert pck([right, wrong], [film(TRUTH)] * 2, [shown, only_first]) == pytest.approx((0.5 + 1 + 0.5) / 3)


def test_nothing_to_count_is_refused():
    shown = np.stack([SEEN, SEEN])
    with pytest.raises(UsageError, match="no joint"):
        pck([film(TRUTH)], [film(TRUTH)], [~shown])
    with pytest.raises(UsageError, match="do not fit"):
        pck([film(TRUTH)[:, :2]], [film(TRUTH)], [shown])
    with pytest.raises(UsageError):
        pck([], [], [])
