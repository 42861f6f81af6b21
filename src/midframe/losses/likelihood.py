"""Log-likelihoods of pictures, in nats, one number for each picture: what a generative model's decoder is judged by."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.ops.gaussian import log_normal

LEVELS = 256  # of the discretised logistic: pixels are whole multiples of 1/255


def bernoulli(logits: Float[Tensor, "*n d"], pixels: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
    """Σ x ln σ(l) + (1 − x) ln(1 − σ(l)): pixels are 0 or 1; a value between is taken as a probability.

    Raises ContractError if the shapes differ.

    >>> bernoulli(torch.zeros(1, 4), torch.tensor([[0.0, 1.0, 1.0, 0.0]]))
    tensor([-2.7726])
    """
    logits, pixels = _fit(logits, pixels, "bernoulli")
    return -F.binary_cross_entropy_with_logits(logits, pixels, reduction="none").sum(-1)


def gaussian(
    mean: Float[Tensor, "*n d"], log_variance: Float[Tensor, "*n d"], pixels: Float[Tensor, "*n d"]
) -> Float[Tensor, "*n"]:
    """ln N(x; μ, diag σ²): a density, so it may be positive. Raises ContractError if the shapes differ."""
    mean, pixels = _fit(mean, pixels, "gaussian")
    return log_normal(pixels, mean, log_variance)


def discretised_logistic(
    mean: Float[Tensor, "*n d"], log_scale: Float[Tensor, "*n d"], pixels: Float[Tensor, "*n d"]
) -> Float[Tensor, "*n"]:
    """Σ ln of what a logistic distribution has in the bin of each of 256 levels, k/255; the outermost reach to ±∞.

    Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling 2016 (arXiv 1606.04934), section 4. The probabilities of the
    256 levels add up to one. Raises ContractError if the shapes differ.
    """
    mean, pixels = _fit(mean, pixels, "discretised_logistic")
    scale = log_scale.to(mean.dtype).exp()
    half = 0.5 / (LEVELS - 1)
    upper, lower = (pixels + half - mean) / scale, (pixels - half - mean) / scale
    # ln(σ(u) − σ(l)) = ln σ(u) + ln σ(−l) + ln(1 − e^(l−u)): exact however far out the bin lies
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-2 * half / scale))
    first, last = pixels < half, pixels > 1 - half
    found = torch.where(first, F.logsigmoid(upper), torch.where(last, F.logsigmoid(-lower), inside))
    return found.sum(-1)


def average_weights(log_weights: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """ln of the mean of k importance weights: from one bound of the log-likelihood (k = 1) towards itself.

    Burda, Grosse, Salakhutdinov 2016 (arXiv 1509.00519), equation 8.
    """
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])


def _fit(made: Tensor, pixels: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both in float32 at least: sums over hundreds of pixels. Raises ContractError in the name of the likelihood."""
    if made.shape != pixels.shape:
        raise ContractError(f"{name}: shapes {tuple(made.shape)} and {tuple(pixels.shape)} differ; they must be equal.")
    dtype = torch.promote_types(torch.promote_types(made.dtype, pixels.dtype), torch.float32)
    return made.to(dtype), pixels.to(dtype)
