"""Diagonal Gaussians against torch.distributions, and gradients through what is drawn from them."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from midframe.ops.gaussian import draw_normal, draw_standard, kl_normal, log_normal


@pytest.fixture
def gaussians():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    return mean, 2 * log_variance, Normal(mean, log_variance.exp())


def test_density_and_divergence_are_those_of_torch(gaussians):
    mean, log_variance, truth = gaussians
    x = torch.randn(6, 5, dtype=torch.float64)
    assert torch.allclose(log_normal(x, mean, log_variance), truth.log_prob(x).sum(-1))
    assert torch.allclose(log_normal(x), Normal(0.0, 1.0).log_prob(x).sum(-1))
    standard = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    assert torch.allclose(kl_normal(mean, log_variance), kl_divergence(truth, standard).sum(-1))


def test_the_divergence_is_never_negative_and_zero_for_the_standard_one():
    near = torch.linspace(-1e-3, 1e-3, 2001)[:, None]
    assert bool((kl_normal(torch.zeros(2001, 1), near) >= 0).all())
    assert kl_normal(torch.zeros(3, 4), torch.zeros(3, 4)).tolist() == [0, 0, 0]


def test_what_is_drawn_has_that_mean_and_variance(gaussians):
    mean, log_variance, _ = gaussians
    count = 40_000
    z = draw_normal(mean.expand(count, 6, 5), log_variance.expand(count, 6, 5), torch.Generator().manual_seed(0))
    deviation = (0.5 * log_variance).exp()
    assert (((z.mean(0) - mean) / deviation).abs() < 5 / count**0.5).all()
    assert ((z.std(0) / deviation - 1).abs() < 5 / (2 * count) ** 0.5).all()


def test_the_generator_is_the_only_chance():
    mean = torch.zeros(3, 2, dtype=torch.float16)
    drawn = [draw_normal(mean, mean, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert drawn[0].dtype == torch.float32  # half precision has too few digits for a density
    torch.manual_seed(3)
    first = draw_standard((4,), None, mean.float())
    torch.manual_seed(3)
    assert torch.equal(draw_standard((4,), None, mean.float()), first)


def test_gradients_through_what_is_drawn_are_the_analytic_ones():
    """E (w z − x)² = (w μ − x)² + w² σ²: derivatives 2 w (w μ − x) by μ and w² σ² by ln σ²."""
    count, w, x = 200_000, 1.5, 0.4
    mean, log_variance = torch.tensor([0.7], requires_grad=True), torch.tensor([-0.5], requires_grad=True)
    z = draw_normal(mean.expand(count, 1), log_variance.expand(count, 1), torch.Generator().manual_seed(0))
    (w * z - x).square().mean().backward()
    assert mean.grad.item() == pytest.approx(2 * w * (w * 0.7 - x), rel=0.02)
    assert log_variance.grad.item() == pytest.approx(w**2 * torch.tensor(-0.5).exp().item(), rel=0.02)
