import numpy as np
import pytest

from midframe.metrics.interpolation_error import interpolation_error


def test_interpolation_error_is_the_mean_of_absolute_code_differences():
    truth = np.zeros((1, 2, 3), np.uint8)
    other = np.array([[[6, 0, 0], [0, 3, 3]]], np.uint8)
    assert interpolation_error(truth, other, peak=255) == pytest.approx(2)
    assert interpolation_error(truth / 255, other / 255) == pytest.approx(2)


def test_interpolation_error_rounds_and_clamps_to_eight_bits():
    truth = np.full((2, 2, 3), 1.0)
    assert interpolation_error(np.full((2, 2, 3), 254.6 / 255), truth) == 0
    assert interpolation_error(np.full((2, 2, 3), 254.4 / 255), truth) == 1
    assert interpolation_error(np.full((2, 2, 3), 1.2), truth) == 0
