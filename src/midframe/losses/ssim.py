"""Structural similarity that can be learnt from; `metrics.ssim` is for measuring."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError

SIDE, SIGMA = 11, 1.5


def ssim(made: Float[Tensor, "b c h w"], truth: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Mean structural similarity, 1 for equal pictures in [0, 1]: variant "gaussian2d" of `metrics.ssim`.

    Gaussian window of 11×11 and σ = 1.5, narrowed to pictures that are smaller; each channel by itself; windows inside
    the picture only. Computed in float32. Raises ContractError if the shapes differ.
    Source: Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004.
    """
    if made.shape != truth.shape:
        raise ContractError(f"ssim: shapes {tuple(made.shape)} and {tuple(truth.shape)} differ; they must be equal.")
    a, b = made.flatten(0, 1)[:, None].float(), truth.flatten(0, 1)[:, None].float()

    def blur(maps: Tensor) -> Tensor:
        for _ in range(2):
            taps = torch.arange(min(SIDE, maps.shape[-2]), device=maps.device, dtype=maps.dtype)
            weights = torch.exp(-((taps - taps.mean()) ** 2) / (2 * SIGMA**2))
            kernel = (weights / weights.sum()).view(1, 1, -1, 1)
            maps = F.conv2d(maps, kernel).transpose(-2, -1)  # down the columns, then down what were the rows
        return maps

    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return (likeness / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))).mean()
