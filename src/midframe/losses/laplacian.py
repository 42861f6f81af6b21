"""Laplacian pyramid loss: errors of each octave of detail, so that coarse misplacement costs more than fine noise."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.losses.pixel import difference

BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)  # /16 per axis: Burt and Adelson 1983 with a = 3/8; RIFE's kernel/256

Weighting = Literal["doubling", "equal"]


def laplacian_pyramid(
    made: Float[Tensor, "b c h w"],
    truth: Float[Tensor, "b c h w"],
    *,
    levels: int = 5,
    weighting: Weighting = "doubling",
) -> Float[Tensor, ""]:
    """Σ wᵢ · mean |Lᵢ(made) − Lᵢ(truth)|, i = 0 (finest) … levels−1; 0 where the pictures differ by a constant.

    Lᵢ = Gᵢ − up(Gᵢ₊₁), Gᵢ₊₁ = every second pixel of the 5×5 binomial blur of Gᵢ; up inserts zeros and blurs with four
    times the kernel; borders are reflected (without repeating the edge). The coarsest G is not compared.

    doubling  wᵢ = 2ⁱ: Niklaus and Liu, "Context-aware Synthesis", CVPR 2018, section 3.3, and SoftSplat, CVPR 2020,
              after Bojanowski et al., "Optimizing the latent space of generative networks", ICML 2018. Their ‖·‖₁ is
              read as a mean over the level's pixels.
    equal     wᵢ = 1: RIFE (laplacian.py), EMA-VFI, VFIformer.

    The pyramid is linear, so only that of the difference is built, in float32 at least.

    Raises ContractError if the shapes differ, or a side is not above 2^levels (the coarsest level needs 3 pixels).
    """
    if weighting not in ("doubling", "equal"):
        raise ContractError(f"laplacian_pyramid: weighting {weighting!r}; choose doubling or equal.")
    error = difference(made, truth, "laplacian_pyramid")
    if levels < 1 or min(error.shape[-2:]) <= 2**levels:
        raise ContractError(
            f"laplacian_pyramid: {levels} levels need more than {2 ** max(levels, 1)} pixels a side (and levels ≥ 1), "
            f"got {tuple(error.shape[-2:])} (H W)."
        )
    total = error.new_zeros(())
    # Autocast would run the blurs in half precision, where the finest level drowns.
    with torch.autocast(error.device.type, enabled=False):
        for level in range(levels):
            height, width = error.shape[-2:]
            coarse = _blur(error)[..., ::2, ::2]
            spread = error.new_zeros(*coarse.shape[:2], 2 * coarse.shape[2], 2 * coarse.shape[3])
            spread[..., ::2, ::2] = coarse
            detail = error - 4 * _blur(spread)[..., :height, :width]
            total = total + (2**level if weighting == "doubling" else 1) * detail.abs().mean()
            error = coarse
    return total


def _blur(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """5×5 binomial, one axis after the other, borders reflected."""
    batch, channels, height, width = image.shape
    taps = torch.tensor(BINOMIAL, dtype=image.dtype, device=image.device) / sum(BINOMIAL)
    planes = F.pad(image.reshape(batch * channels, 1, height, width), (2, 2, 2, 2), mode="reflect")
    planes = F.conv2d(F.conv2d(planes, taps.view(1, 1, 1, 5)), taps.view(1, 1, 5, 1))
    return planes.view(image.shape)
