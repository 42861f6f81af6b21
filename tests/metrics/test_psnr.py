import math

import numpy as np
import pytest
import torch

from midframe.errors import UsageError
from midframe.metrics.psnr import psnr


def test_psnr_of_a_constant_difference():
    assert psnr(np.zeros((4, 5, 3)), np.full((4, 5, 3), 0.1)) == pytest.approx(20)
    assert psnr(np.zeros((4, 5, 3), np.uint8), np.full((4, 5, 3), 51, np.uint8), peak=255) == pytest.approx(
        13.9794, abs=1e-4
    )


def test_psnr_averages_the_error_over_pixels_and_channels():
    a = np.zeros((1, 2, 3))
    b = np.zeros((1, 2, 3))
    b[0, 0, 0] = 0.6  # MSE 0.36 / 6 = 0.06
    assert psnr(a, b) == pytest.approx(-10 * math.log10(0.06))


def test_equal_pictures_have_infinite_psnr():
    assert psnr(np.ones((2, 2, 3)), np.ones((2, 2, 3))) == math.inf


def test_arrays_and_tensors_agree():
    a, b = np.random.default_rng(0).random((2, 5, 7, 3))
    tensors = [torch.from_numpy(x).permute(2, 0, 1) for x in (a, b)]
    assert psnr(*tensors) == psnr(a, b)
    assert psnr(tensors[0][None], tensors[1][None]) == psnr(a, b)
    assert psnr(a, tensors[1]) == psnr(a, b)
    assert psnr(a[..., 0], b[..., 0]) == psnr(tensors[0][:1], tensors[1][:1])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((4, 4, 3)), np.zeros((4, 5, 3))),
        (np.zeros((3, 4, 4)), np.zeros((3, 4, 4))),
        (torch.zeros(4, 4, 3), torch.zeros(4, 4, 3)),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)),
        (np.zeros((0, 4, 3)), np.zeros((0, 4, 3))),
    ],
    ids=["sizes", "channels-first array", "channels-last tensor", "batch", "integers with peak 1", "empty"],
)
def test_psnr_rejects_pictures_it_cannot_compare(a, b):
    with pytest.raises(UsageError):
        psnr(a, b)
