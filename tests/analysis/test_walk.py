"""Walks through time: speed, smoothness, even times, slices and the plane."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from midframe.analysis.walk import even_times, measure_smoothness, measure_speed, project, slice_through

TIMES = [n / 8 for n in range(33)]


def glide(t):
    """Values that change by 0.02 a frame everywhere."""
    return (0.02 * t)[:, None, None, None].expand(-1, 3, 4, 6)


def jump(t):
    """What learnt by heart looks like: each frame stands, and the next one is there at once."""
    return glide(torch.floor(t + 0.5))


def test_speed_is_the_change_for_a_frame():
    assert np.allclose(measure_speed(glide, TIMES), 0.02, atol=1e-6)
    fast = measure_speed(jump, TIMES)
    assert np.isclose(fast.max(), 8 * 0.02) and fast.min() == 0


def test_even_change_is_smooth_and_jumps_are_not():
    assert measure_smoothness(glide, TIMES) == pytest.approx(0, abs=1e-4)
    assert measure_smoothness(jump, TIMES) > 1
    assert np.isnan(measure_smoothness(lambda t: 0 * glide(t), TIMES))


def test_even_times_make_the_change_even():
    def hasty(t):
        return glide(t**2 / 4)

    times = even_times(hasty, TIMES)
    assert len(times) == len(TIMES) and (times[0], times[-1]) == pytest.approx((0, 4))
    steps = np.diff([float(hasty(torch.tensor([t])).mean()) for t in times])
    assert steps.max() / steps.min() < 1.3  # the map between samples is taken for straight
    assert even_times(lambda t: 0 * glide(t), TIMES) == TIMES
    stands = even_times(lambda t: glide(t.clamp(max=2)), TIMES)
    assert all(b > a for a, b in pairwise(stands))


def test_a_slice_is_one_row_over_time():
    made = slice_through(glide, TIMES, 2)
    assert made.shape == (3, len(TIMES), 6)
    assert torch.allclose(made[1, :, 3], 0.02 * torch.tensor(TIMES))


def test_the_plane_keeps_what_lies_in_one():
    way = torch.linspace(0, 6, 40)
    points = (
        torch.stack((3 * way.cos(), way.sin()), 1)
        @ torch.linalg.qr(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)))[0].T
    )
    plane, shares = project(points + 4)
    assert sum(shares) == pytest.approx(1) and shares[0] > 0.8
    assert np.allclose(np.linalg.norm(plane[0] - plane[20]), float((points[0] - points[20]).norm()), atol=1e-5)
    assert project(torch.zeros(3, 4))[1] == (0, 0)
    assert (project(torch.randn(1, 1))[0] == 0).all()
