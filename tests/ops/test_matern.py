"""The Kalman smoother is the dense Gaussian process, at any points and noise, and may be learnt through."""

import math

import pytest
import torch

from midframe.errors import ContractError
from midframe.ops.matern import smooth_matern

LENGTHSCALE, AMPLITUDE = torch.tensor(4.0, dtype=torch.float64), torch.tensor(1.7, dtype=torch.float64)


def covariance(kind, a, b):
    order = 1.5 if kind == "matern32" else 2.5
    d = math.sqrt(2 * order) * (a[:, None] - b).abs() / LENGTHSCALE
    return AMPLITUDE * (1 + d + (d**2 / 3 if kind == "matern52" else 0)) * (-d).exp()


def draw(count=60):
    generator = torch.Generator().manual_seed(0)
    x, y, noise = (torch.rand(*size, count, generator=generator, dtype=torch.float64) for size in ((), (2,), (2,)))
    return 50 * x, 4 * y - 2, 0.1 * noise + 1e-3


@pytest.mark.parametrize("kind", ["matern32", "matern52"])
def test_it_equals_the_dense_process(kind):
    x, y, noise = draw()
    at = torch.cat((torch.linspace(-9, 60, 31, dtype=torch.float64), x[:4]))
    mean, variance = smooth_matern(x, y, noise, at, lengthscale=LENGTHSCALE, amplitude=AMPLITUDE, kind=kind)
    across = covariance(kind, at, x)
    for row in range(2):
        dense = covariance(kind, x, x) + noise[row].diag()
        assert torch.allclose(mean[row], across @ torch.linalg.solve(dense, y[row]), atol=1e-6)
        known = (across * torch.linalg.solve(dense, across.T).T).sum(1)
        assert torch.allclose(variance[row], AMPLITUDE - known, atol=1e-6)


@pytest.mark.parametrize("kind", ["matern32", "matern52"])
def test_what_is_known_exactly_is_returned(kind):
    x, y, _ = draw(20)
    mean, variance = smooth_matern(x, y, 0 * y, x, lengthscale=LENGTHSCALE, amplitude=AMPLITUDE, kind=kind)
    assert torch.allclose(mean, y, atol=1e-6) and float(variance.max()) < 1e-6


def test_gradients_are_those_of_differences():
    x, y, noise = draw(6)
    at = torch.tensor([3.0, 70.0], dtype=torch.float64)
    inputs = (y.requires_grad_(), noise.requires_grad_(), LENGTHSCALE.clone().requires_grad_())
    assert torch.autograd.gradcheck(
        lambda y, noise, scale: smooth_matern(x, y, noise, at, lengthscale=scale, amplitude=AMPLITUDE), inputs
    )


def test_what_does_not_fit_is_refused():
    x, y, noise = draw(6)
    for wrong in ((x[:5], y, noise), (x, y, noise[:1]), (torch.zeros(6), y, noise)):
        with pytest.raises(ContractError, match="smooth_matern: one value"):
            smooth_matern(*wrong, x, lengthscale=LENGTHSCALE, amplitude=AMPLITUDE)
