"""AdaCoF against its definition, written as loops; its laws; both of its ways back."""

import math

import pytest
import torch
from torch.nn.functional import conv2d, pad

from midframe.errors import ContractError
from midframe.ops.adacof import _slopes_of_taps, _sum_taps, adacof
from midframe.ops.warp import warp


def slow_twin(image, weights, alpha, beta):
    batch, _, height, width = image.shape
    taps = weights.shape[1]
    side = math.isqrt(taps)
    out = torch.zeros_like(image)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                for k in range(taps):
                    row = y + k // side - side // 2 + alpha[b, k, y, x].item()
                    column = x + k % side - side // 2 + beta[b, k, y, x].item()
                    for j in (math.floor(row), math.floor(row) + 1):
                        for i in (math.floor(column), math.floor(column) + 1):
                            share = (1 - abs(row - j)) * (1 - abs(column - i)) * weights[b, k, y, x]
                            out[b, :, y, x] += (
                                share * image[b, :, min(max(j, 0), height - 1), min(max(i, 0), width - 1)]
                            )
    return out


def random(batch=2, channels=3, taps=9, size=(7, 9), dtype=torch.float32, spread=2.0):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, channels, *size, generator=generator, dtype=dtype)
    maps = [torch.randn(batch, taps, *size, generator=generator, dtype=dtype) for _ in range(3)]
    return image, maps[0], spread * maps[1], spread * maps[2]


@pytest.mark.parametrize("taps", [1, 9, 25])
def test_it_is_what_it_says(taps):
    inputs = random(taps=taps)
    expected = slow_twin(*inputs)
    assert torch.allclose(adacof(*inputs), expected, atol=1e-4)
    assert torch.allclose(_sum_taps(*inputs), expected, atol=1e-4)


def test_without_offsets_it_is_a_convolution():
    image, weights, _, _ = random(taps=25)
    kernel = weights[0, :, 0, 0]
    none = torch.zeros_like(weights)
    made = adacof(image, kernel.view(1, 25, 1, 1).expand_as(weights), none, none)
    wanted = conv2d(pad(image, (2, 2, 2, 2), "replicate"), kernel.view(1, 1, 5, 5).expand(3, 1, 5, 5), groups=3)
    assert torch.allclose(made, wanted, atol=1e-5)


def test_one_tap_of_weight_one_is_warping():
    image, _, alpha, beta = random(taps=1)
    made = adacof(image, torch.ones_like(alpha), alpha, beta)
    assert torch.allclose(made, warp(image, torch.cat([beta, alpha], 1)), atol=1e-5)


def test_a_place_just_above_a_pixel_lies_between_two_and_is_not_extrapolated():
    image = torch.arange(5.0).view(1, 1, 5, 1) ** 2
    maps = torch.full((1, 1, 5, 1), -0.25)
    made = adacof(image, torch.ones_like(maps), maps, torch.zeros_like(maps))
    assert torch.allclose(made[0, 0, 1:, 0], 0.75 * image[0, 0, 1:, 0] + 0.25 * image[0, 0, :-1, 0])


def test_gradients_are_those_of_the_definition():
    inputs = [one.requires_grad_() for one in random(batch=1, channels=2, size=(4, 5), dtype=torch.float64)]
    assert torch.autograd.gradcheck(adacof, inputs)


@pytest.mark.parametrize("of_image", [True, False])
def test_both_ways_back_agree(of_image):
    image, *maps = random(dtype=torch.float64)
    inputs = [image.requires_grad_(of_image), *(one.requires_grad_() for one in maps)]
    grad = torch.randn_like(image)
    found = torch.autograd.grad(adacof(*inputs), inputs if of_image else inputs[1:], grad)
    other = _slopes_of_taps(*(one.detach() for one in inputs), grad, of_image)
    assert (other[0] is not None) == of_image
    for one, twin in zip(found, other if of_image else other[1:], strict=True):
        assert torch.allclose(one, twin, atol=1e-9)


def test_places_that_are_no_numbers_give_none_and_nothing_worse():
    image, weights, alpha, beta = random()
    alpha[0, 4, 3, 3], beta[0, 0, 2, 2] = math.nan, math.inf
    made = adacof(image, weights, alpha.requires_grad_(), beta)
    assert made[0, :, 3, 3].isnan().all() and made.isnan().sum() <= 6
    made.nansum().backward()


def test_half_precision_is_computed_in_single():
    image, *maps = random()
    made = adacof(image.bfloat16(), *maps)
    assert made.dtype == torch.bfloat16
    assert torch.allclose(made.float(), adacof(image.bfloat16().float(), *maps), atol=0.05)


def test_sizes_that_do_not_fit_are_refused():
    image, weights, alpha, beta = random()
    for wrong in (weights[:, :8], weights[:, :4], weights[..., :-1], weights[:1]):
        with pytest.raises(ContractError, match="square of an odd number"):
            adacof(image, wrong, *(alpha, beta) if wrong.shape[1] == 9 else (wrong, wrong))
