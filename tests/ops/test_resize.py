"""Bicubic resizing: Keys' kernel, a = −0.5, wider where it reduces."""

import pytest
import torch

from midframe.ops.resize import resize_cubic


def keys(x):
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def slow_twin(row, length):
    """One row by the definition; taps beyond the border left out and the weights made to add up to 1."""
    given = len(row)
    scale = given / length
    stretch = max(scale, 1.0)
    places = (torch.arange(length, dtype=torch.float64) + 0.5) * scale
    far = places[:, None] - (torch.arange(given, dtype=torch.float64) + 0.5)
    weights = keys(far / stretch)
    return (weights / weights.sum(1, keepdim=True)) @ row


@pytest.mark.parametrize("length", [4, 7, 16, 37, 64])
def test_it_is_the_definition(length):
    row = torch.rand(16, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
    made = resize_cubic(row.view(1, 1, 1, 16), (1, length)).flatten()
    assert torch.allclose(made, slow_twin(row, length), atol=1e-6)


def test_lead_dimensions_and_the_kind_stay():
    frames = torch.rand(2, 3, 3, 8, 12)
    assert resize_cubic(frames, (4, 5)).shape == (2, 3, 3, 4, 5)
    assert resize_cubic(frames.half(), (4, 5)).dtype == torch.float16
    assert resize_cubic(frames, (8, 12)) is frames


def test_a_slope_stays_a_slope():
    slope = torch.arange(32.0).expand(1, 1, 32, 32)
    small = resize_cubic(slope, (8, 8))[0, 0, 4, 2:-2]
    assert torch.allclose(small.diff(), torch.full((3,), 4.0), atol=1e-4)
