"""Diagonal Gaussians: numbers drawn from them so that gradients pass, their density, their divergence from N(0, I).

A Gaussian is its mean and the logarithm of its variance, for each component alone. All computed in float32 at least.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def draw_normal(
    mean: Float[Tensor, "*n d"], log_variance: Float[Tensor, "*n d"], generator: torch.Generator | None = None
) -> Float[Tensor, "*n d"]:
    """One vector z = μ + σ ε from each Gaussian, ε from N(0, I): gradients reach mean and variance.

    generator  on any device; None: torch's own chance. Source: Kingma and Welling 2014, section 2.4.
    """
    mean, log_variance = _exact(mean), _exact(log_variance)
    return mean + (0.5 * log_variance).exp() * draw_standard(mean.shape, generator, mean)


def draw_standard(shape: tuple[int, ...], generator: torch.Generator | None, like: Tensor) -> Float[Tensor, "..."]:
    """Numbers of N(0, 1), of the dtype and on the device of `like`, drawn where the generator is."""
    place = like.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=place).to(like.device)


def log_normal(
    x: Float[Tensor, "*n d"],
    mean: Float[Tensor, "*n d"] | float = 0.0,
    log_variance: Float[Tensor, "*n d"] | float = 0.0,
) -> Float[Tensor, "*n"]:
    """ln N(x; μ, diag σ²), summed over the last axis; nats. Without more, that of N(0, I).

    >>> log_normal(torch.zeros(2, 1))
    tensor([-0.9189, -0.9189])
    """
    x = _exact(x)
    spread = torch.as_tensor(log_variance, dtype=x.dtype, device=x.device)
    return -0.5 * (math.log(2 * math.pi) + spread + (x - mean).square() * (-spread).exp()).sum(-1)


def kl_normal(mean: Float[Tensor, "*n d"], log_variance: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
    """KL(N(μ, diag σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − ln σ² − 1), nats; never negative.

    Source: Kingma and Welling 2014, appendix B.

    >>> kl_normal(torch.ones(1, 4), torch.zeros(1, 4))
    tensor([2.])
    """
    mean, log_variance = _exact(mean), _exact(log_variance)
    # e^v − v − 1 as expm1 loses nothing near v = 0, where the difference of rounded numbers would be negative
    return 0.5 * (mean.square() + log_variance.expm1() - log_variance).sum(-1)


def _exact(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
