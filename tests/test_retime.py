"""Curves of time, regions, and the map that a model is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midframe.errors import UsageError
from midframe.retime import EVEN, Curve, Region, map_times, read_curve


def test_a_curve_is_read_as_pairs_or_as_times_at_equal_steps():
    assert read_curve("0:0, 0.5:0.2, 1:1") == read_curve("0,0.2,1") == Curve(((0, 0), (0.5, 0.2), (1, 1)))
    assert read_curve("0.3") == Curve(((0, 0.3),))
    assert read_curve("0.3")(0.9) == 0.3
    assert read_curve(str(EVEN)) == EVEN


@pytest.mark.parametrize("text", ["", "a", "0:0,1", "0:0:0", "0:0,0:1", "0:2", "1:0,0:1", "nan"])
def test_what_is_no_curve_is_refused(text):
    with pytest.raises(UsageError):
        read_curve(text)


@given(progress=st.floats(0, 1))
def test_even_time_is_progress(progress):
    assert EVEN(progress) == pytest.approx(progress)
    assert map_times((12, 16), progress, ()) == pytest.approx(progress)


def test_each_region_has_its_own_time_and_the_last_one_wins():
    left, top = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    left[:, :40], top[:30] = True, True
    regions = [Region(left, read_curve("0,0.5")), Region(top, read_curve("0.1"))]
    times = map_times((60, 80), 0.6, regions)
    assert times.dtype == np.float32
    assert times[50, 10] == pytest.approx(0.3)
    assert times[50, 70] == pytest.approx(0.6)
    assert times[10, 10] == times[10, 70] == pytest.approx(0.1)
    assert 0.3 < times[50, 39] < 0.6  # edges are smooth


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(UsageError, match="a mask of 8x6 does not fit frames of 80x60"):
        map_times((60, 80), 0.5, [Region(np.ones((6, 8), bool), EVEN)])
