"""Likelihoods of pixels: what torch says, sums of one over all levels, and far tails that stay finite."""

import pytest
import torch
from torch.distributions import Bernoulli, Normal

from midframe.errors import ContractError
from midframe.losses.likelihood import average_weights, bernoulli, discretised_logistic, gaussian


def test_they_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    logits, log_variance, grey = torch.randn(3, 4, 9, generator=generator, dtype=torch.float64)
    black = (grey > 0).double()
    assert torch.allclose(bernoulli(logits, black), Bernoulli(logits=logits).log_prob(black).sum(-1))
    wanted = Normal(logits, (0.5 * log_variance).exp()).log_prob(grey).sum(-1)
    assert torch.allclose(gaussian(logits, log_variance, grey), wanted)


@pytest.mark.parametrize("mean", [-0.3, 0.0, 0.41, 1.0, 1.2])
@pytest.mark.parametrize("log_scale", [-9.0, -4.0, 0.0])
def test_the_256_levels_of_the_discretised_logistic_add_up_to_one(mean, log_scale):
    levels = (torch.arange(256, dtype=torch.float64) / 255)[:, None]
    found = discretised_logistic(torch.full_like(levels, mean), torch.full_like(levels, log_scale), levels)
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert found[1:-1].argmax() + 1 == min(254, max(1, round(255 * mean)))  # the outermost reach further


def test_far_tails_stay_finite_and_have_gradients():
    pixels = torch.tensor([[0.0, 0.5, 1.0]])
    for judge, first in [
        (lambda a: bernoulli(200 * a, pixels.round()), torch.tensor([[1.0, 0.0, -1.0]])),
        (lambda a: discretised_logistic(a, torch.full_like(a, -7.0), pixels), torch.tensor([[1.0, 0.9, 0.0]])),
    ]:
        made = first.clone().requires_grad_()
        found = judge(made)
        found.sum().backward()
        assert bool(found.isfinite().all()) and bool(made.grad.isfinite().all()) and found.item() < -100


@pytest.mark.parametrize(
    "judge", [bernoulli, lambda a, b: gaussian(a, a, b), lambda a, b: discretised_logistic(a, a, b)]
)
def test_pixels_of_another_shape_are_refused(judge):
    with pytest.raises(ContractError, match="differ"):
        judge(torch.zeros(2, 3), torch.zeros(2, 1))


def test_the_average_of_weights_is_taken_of_the_weights_not_of_their_logarithms():
    weights = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
    assert torch.allclose(average_weights(weights.log()), torch.tensor([2.0, 2.0]).log())
    assert torch.allclose(average_weights(weights.log() - 2000), torch.tensor([2.0, 2.0]).log() - 2000)
