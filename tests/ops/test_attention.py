"""Attention that copies equals its definition, place by place."""

import pytest
import torch

from midframe.errors import ContractError, UsageError
from midframe.ops.attention import copy_anywhere, copy_near, match_near

SIZES = [(9, 13, 2), (16, 16, 3), (5, 20, 1), (4, 4, 6)]


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def look_around(target, reference, labels, radius):
    """The definition, one place at a time: weights and what is copied with them."""
    height, width = target.shape[-2:]
    weights = torch.zeros(len(target), (2 * radius + 1) ** 2, height, width, dtype=target.dtype)
    copied = torch.zeros_like(labels)
    for y in range(height):
        for x in range(width):
            there = [
                (dy, dx)
                for dy in range(-radius, radius + 1)
                for dx in range(-radius, radius + 1)
                if 0 <= y + dy < height and 0 <= x + dx < width
            ]
            products = torch.stack(
                [(target[:, :, y, x] * reference[:, :, y + dy, x + dx]).sum(1) for dy, dx in there], 1
            )
            for weight, (dy, dx) in zip(products.softmax(1).unbind(1), there, strict=True):
                weights[:, (dy + radius) * (2 * radius + 1) + dx + radius, y, x] = weight
                copied[:, :, y, x] += weight[:, None] * labels[:, :, y + dy, x + dx]
    return weights, copied


@pytest.mark.parametrize(("height", "width", "radius"), SIZES)
def test_near_is_what_its_definition_says(height, width, radius):
    target, reference = features(2, 5, height, width), features(2, 5, height, width, seed=1)
    labels = features(2, 3, height, width, seed=2)
    wanted, copied = look_around(target, reference, labels, radius)
    weights = match_near(target, reference, radius).softmax(1)
    assert torch.allclose(weights, wanted)
    assert torch.allclose(copy_near(weights, labels, radius), copied)


def test_weights_have_a_sum_of_one_and_none_lies_outside():
    weights = match_near(features(1, 4, 8, 8), features(1, 4, 8, 8, seed=1), 2).softmax(1)
    assert torch.allclose(weights.sum(1), torch.ones(1, 8, 8, dtype=torch.float64))
    assert weights[0, :10, 0].max() == 0  # two rows above the first one
    assert weights[0, :10, 2, 2:-2].min() > 0


def test_a_product_of_zero_inside_is_a_match_like_any_other():
    weights = match_near(torch.zeros(1, 4, 6, 6), torch.zeros(1, 4, 6, 6), 1).softmax(1)
    assert torch.allclose(weights[0, :, 3, 3], torch.full((9,), 1 / 9))


@pytest.mark.parametrize("radius", [1, 3])
def test_near_is_differentiable(radius):
    weights = features(1, (2 * radius + 1) ** 2, 3, 9).requires_grad_()
    labels = features(1, 2, 3, 9, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda w, x: copy_near(w, x, radius), (weights, labels))


@pytest.mark.parametrize("chunk", [7, 1000])
def test_anywhere_is_near_that_reaches_everything(chunk):
    target, reference = features(2, 5, 6, 7).float(), features(2, 5, 6, 7, seed=1).float()
    labels = features(2, 3, 6, 7, seed=2).float()
    near = copy_near(match_near(target, reference, 7).softmax(1), labels, 7)
    assert torch.allclose(copy_anywhere(target, [reference], [labels], chunk=chunk), near, atol=1e-5)


def test_anywhere_looks_at_all_references_together():
    target = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    same, other = 10 * target, torch.zeros(1, 2, 1, 1)
    labels = [torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)]
    assert copy_anywhere(target, [same, other], labels).item() == pytest.approx(torch.tensor(10.0).sigmoid().item())
    sharper = copy_anywhere(target, [same, other], labels, temperature=0.5)
    assert sharper.item() == pytest.approx(torch.tensor(20.0).sigmoid().item())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ContractError, match="copy_near"):
        copy_near(torch.rand(1, 9, 4, 4), torch.rand(1, 2, 4, 5), 1)
    with pytest.raises(ContractError, match="copy_near"):
        copy_near(torch.rand(1, 9, 4, 4), torch.rand(1, 2, 4, 4), 2)
    with pytest.raises(ContractError, match="copy_anywhere"):
        copy_anywhere(torch.rand(1, 2, 4, 4), [torch.rand(1, 2, 4, 4)], [])
    with pytest.raises(ContractError):
        match_near(torch.rand(1, 2, 4, 4), torch.rand(1, 2, 4, 5), 1)
    with pytest.raises(UsageError):
        match_near(torch.rand(1, 2, 4, 4), torch.rand(1, 2, 4, 4), -1)
