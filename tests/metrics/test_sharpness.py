"""Sharpness: fine detail of a made picture as a part of the true one's."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midframe.errors import UsageError
from midframe.metrics.sharpness import sharpness

PICTURE = np.random.default_rng(0).random((24, 32, 3))


def test_a_picture_is_as_sharp_as_itself():
    assert sharpness(PICTURE, PICTURE) == 1


def test_blur_lowers_it_and_contrast_raises_it():
    softer = [sharpness(cv2.GaussianBlur(PICTURE, (0, 0), sigma), PICTURE) for sigma in (0.5, 1, 2)]
    assert 1 > softer[0] > softer[1] > softer[2] > 0
    assert sharpness(2 * PICTURE, PICTURE) == pytest.approx(2)


@given(st.floats(0.1, 4), st.floats(-1, 1))
def test_it_is_linear_in_contrast_and_blind_to_brightness(gain, shift):
    assert sharpness(gain * PICTURE + shift, PICTURE) == pytest.approx(gain)


def test_the_mean_of_two_places_is_blurred():
    moved = np.roll(PICTURE, 3, 1)
    assert sharpness((PICTURE + moved) / 2, PICTURE) < 0.9


def test_pictures_without_detail():
    flat = np.full((8, 8, 3), 0.5)
    assert sharpness(flat, flat) == 1
    assert sharpness(PICTURE, np.full_like(PICTURE, 0.5)) == float("inf")


def test_grey_pictures_and_8_bit_ones():
    grey = (PICTURE[..., 0] * 255).astype(np.uint8)
    assert sharpness(grey, grey, peak=255) == 1
    with pytest.raises(UsageError, match="peak"):
        sharpness(grey, grey)
