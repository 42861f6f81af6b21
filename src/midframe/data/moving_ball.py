"""Films of a white ball on black whose way is drawn from a Gaussian process: what is true of the way is known.

Pearce, "The Gaussian Process Prior VAE for Interpretable Latent Dynamics from Pixels", AABI 2019: 30 frames of 32 × 32,
a radius of 3, an RBF kernel of length scale 2 frames. Where we differ: edges are smooth over a pixel, so that frames
are functions of the way, and x and y are scaled so that the ball stays inside at two deviations and is held there
beyond.
"""

import torch
from jaxtyping import Float
from torch import Tensor

JITTER = 1e-6


def draw_ways(
    films: int, frames: int, *, lengthscale: float = 2.0, generator: torch.Generator | None = None
) -> Float[Tensor, "n t 2"]:
    """x and y of each film over time, from N(0, K), K of an RBF kernel: numbers around 1."""
    t = torch.arange(frames, dtype=torch.float64)
    covariance = (-0.5 * ((t[:, None] - t) / lengthscale).square()).exp()
    root = torch.linalg.cholesky(covariance + JITTER * torch.eye(frames, dtype=torch.float64))
    return (root @ torch.randn(films, frames, 2, generator=generator, dtype=torch.float64)).float()


def paint_balls(ways: Float[Tensor, "*n 2"], *, size: int = 32, radius: float = 3.0) -> Float[Tensor, "*n 1 s s"]:
    """Frames in [0, 1]: at (0, 0) the ball is in the middle, at ±2 it touches the edge."""
    reach = size / 2 - radius
    middle = (ways / 2).clamp(-1, 1) * reach + (size - 1) / 2
    line = torch.arange(size, dtype=ways.dtype, device=ways.device)
    x, y = line - middle[..., 0, None], line - middle[..., 1, None]
    far = (x.square()[..., None, :] + y.square()[..., :, None]).sqrt()
    return (radius + 0.5 - far).clamp(0, 1)[..., None, :, :]
