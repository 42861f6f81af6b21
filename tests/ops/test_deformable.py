"""Deformable convolution against its definition, written as loops; its laws; that strips change nothing but memory."""

import math

import pytest
import torch
import torch.nn.functional as F

from midframe.errors import ContractError
from midframe.ops.deformable import deformable_conv


def sample(plane, y, x):
    """Bilinear, 0 outside."""
    height, width = plane.shape
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, down in ((top, 1 - y + top), (top + 1, y - top)):
        for column, across in ((left, 1 - x + left), (left + 1, x - left)):
            if 0 <= row < height and 0 <= column < width:
                total += down * across * plane[row, column].item()
    return total


def slow_twin(features, offset, modulation, weight, bias):
    batch, channels, height, width = features.shape
    outputs, _, side, _ = weight.shape
    taps = side**2
    groups = modulation.shape[1] // taps
    out = torch.empty(batch, outputs, height, width, dtype=features.dtype)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                values = bias.clone()
                for c in range(channels):
                    group = c // (channels // groups)
                    for k in range(taps):
                        number = group * taps + k
                        dy, dx = offset[b, 2 * number : 2 * number + 2, y, x].tolist()
                        place = y + k // side - side // 2 + dy, x + k % side - side // 2 + dx
                        read = modulation[b, number, y, x] * sample(features[b, c], *place)
                        values += weight[:, c, k // side, k % side] * read
                out[b, :, y, x] = values
    return out


def draw(batch=2, channels=4, outputs=3, size=(5, 6), groups=2, side=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    taps = groups * side**2

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    offset = 2 * normal(batch, 2 * taps, *size)
    modulation = normal(batch, taps, *size).sigmoid()
    return normal(batch, channels, *size), offset, modulation, normal(outputs, channels, side, side), normal(outputs)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_it_is_what_it_says(groups):
    given = draw(groups=groups)
    assert torch.allclose(deformable_conv(*given), slow_twin(*given), atol=1e-5)


def test_kernels_of_other_sizes_are_what_they_say():
    for side in (1, 5):
        given = draw(batch=1, size=(4, 7), side=side)
        assert torch.allclose(deformable_conv(*given), slow_twin(*given), atol=1e-5)


def test_one_row_and_one_column_are_defined():
    for size in ((1, 6), (5, 1), (1, 1)):
        given = draw(size=size)
        assert torch.allclose(deformable_conv(*given), slow_twin(*given), atol=1e-5)


def test_without_offset_and_modulation_it_is_a_convolution():
    features, offset, modulation, weight, bias = draw(size=(9, 11))
    made = deformable_conv(features, torch.zeros_like(offset), torch.ones_like(modulation), weight, bias)
    assert torch.allclose(made, F.conv2d(features, weight, bias, padding=1), atol=1e-5)
    bare = deformable_conv(features, torch.zeros_like(offset), torch.ones_like(modulation), weight)
    assert torch.allclose(bare, F.conv2d(features, weight, padding=1), atol=1e-5)


def test_a_group_moves_its_own_channels_by_dy_then_dx():
    features, offset, modulation, weight, _ = draw(size=(9, 11))
    shift = torch.zeros_like(offset).view(2, 2, 9, 2, 9, 11)
    shift[:, 1, :, 0], shift[:, 1, :, 1] = 2, -3  # the second group: down 2, to the left 3
    moved = features.clone()
    moved[:, 2:] = F.pad(features[:, 2:], (3, 0, 0, 2))[:, :, 2:, :11]
    made = deformable_conv(features, shift.view_as(offset), torch.ones_like(modulation), weight)
    wanted = F.conv2d(moved, weight, padding=1)
    assert torch.allclose(made[..., 1:6, 4:10], wanted[..., 1:6, 4:10], atol=1e-5)


def test_modulation_scales_taps():
    features, offset, modulation, weight, _ = draw()
    one = deformable_conv(features, offset, modulation, weight)
    assert torch.allclose(deformable_conv(features, offset, -2 * modulation, weight), -2 * one, atol=1e-5)
    assert torch.equal(deformable_conv(features, offset, 0 * modulation, weight), torch.zeros_like(one))


def test_gradients_are_those_of_the_definition():
    given = [one.requires_grad_() for one in draw(batch=1, channels=2, outputs=1, size=(2, 3), dtype=torch.float64)]
    assert torch.autograd.gradcheck(deformable_conv, given, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("learns", [False, True])
def test_strips_change_nothing_but_the_memory(learns, monkeypatch):
    largest = 0

    def watch(*arguments, **options):
        nonlocal largest
        read = plain(*arguments, **options)
        largest = max(largest, read.numel())
        return read

    plain = F.grid_sample
    monkeypatch.setattr("midframe.ops.deformable.F.grid_sample", watch)
    given = [one.requires_grad_(learns) for one in draw(size=(12, 10))]
    wanted = deformable_conv(*given)
    whole = 2 * 4 * 9 * 12 * 10
    assert largest == whole
    largest = 0
    made = deformable_conv(*given, samples=whole // 3 + 1)
    assert largest == whole // 3
    assert torch.allclose(made, wanted, atol=1e-6)
    if learns:
        target = torch.randn(made.shape, generator=torch.Generator().manual_seed(1))
        pairs = zip(torch.autograd.grad(made, given, target), torch.autograd.grad(wanted, given, target), strict=True)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


def test_half_precision_comes_back_as_it_went_in():
    given = draw()
    made = deformable_conv(*(one.bfloat16() for one in given))
    assert made.dtype == torch.bfloat16
    rounded = [one.bfloat16().float() for one in given]
    assert torch.allclose(made.float(), deformable_conv(*rounded), atol=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(deformable_conv(*given).float(), deformable_conv(*given), atol=0.2)


@pytest.mark.parametrize(
    ("number", "part", "message"),
    [
        (3, (slice(None), slice(0, 3)), r"4 channels need a weight of \(d, 4, n, n\)"),
        (3, (..., slice(0, 2)), "need a weight"),
        (3, (..., slice(0, 2), slice(0, 2)), "n odd"),
        (2, (slice(None), slice(0, 17)), "need a modulation of 9 channels for each"),
        (2, (slice(None), slice(0, 8)), "need a modulation"),
        (2, (..., slice(0, 4)), "need a modulation"),
        (1, (slice(None), slice(0, 18)), "needs twice as many channels of offset"),
        (1, (slice(0, 1),), "of offset"),
    ],
)
def test_what_does_not_fit_is_refused(number, part, message):
    given = list(draw())
    given[number] = given[number][part]
    with pytest.raises(ContractError, match=message):
        deformable_conv(*given)


def test_channels_that_groups_do_not_divide_are_refused():
    features, offset, modulation, weight, bias = draw(groups=3, channels=4)
    with pytest.raises(ContractError, match="divide into"):
        deformable_conv(features, offset, modulation, weight, bias)
