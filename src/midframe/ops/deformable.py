"""Modulated deformable convolution: every place moves and scales each tap of the kernel as it likes."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from midframe.errors import ContractError

SAMPLES = 1 << 25  # read at once: 128 MiB in float32


def deformable_conv(
    features: Float[Tensor, "b c h w"],
    offset: Float[Tensor, "b o h w"],
    modulation: Float[Tensor, "b m h w"],
    weight: Float[Tensor, "d c n n"],
    bias: Float[Tensor, " d"] | None = None,
    *,
    samples: int = SAMPLES,
) -> Float[Tensor, "b d h w"]:
    """out(p) = bias + Σ_g Σ_k weight_gk · modulation_gk(p) · features_g(p + p_k + offset_gk(p)), bilinear, 0 outside.

    k counts the K = n·n taps row by row, p_k their places around the middle, g the groups of channels that move
    together: there are as many as `modulation` has channels for, G = m/K. Channel g·K + k of it belongs to tap k of
    group g, and so do channels 2(g·K + k) and 2(g·K + k) + 1 of `offset`, which are dy and dx in pixels: the order of
    the authors' code and of torchvision. `modulation` is taken as it is; the paper's lies in 0…1.

    Differentiable in all arguments. Positions and samples are float32 (float64 for float64 features); returned in
    features.dtype. At most `samples` values (or one row of them) are read at a time, row by row; with gradients these
    are not kept but read again on the way back, so that memory does not grow with the K-fold picture.

    Raises ContractError if sizes do not fit. Source: Zhu, Hu, Lin, Dai, "Deformable ConvNets v2", CVPR 2019,
    arXiv 1811.11168.
    """
    _check(features, offset, modulation, weight)
    exact = torch.promote_types(features.dtype, torch.float32)
    table = features.to(exact)
    batch, channels, height, width = features.shape
    tall = max(samples // (batch * channels * weight.shape[2] ** 2 * width), 1)
    if tall >= height:
        return _add_bias(_convolve(table, offset, modulation, weight, 0), bias).to(features.dtype)
    learns = torch.is_grad_enabled() and any(one.requires_grad for one in (features, offset, modulation, weight))

    def strips() -> Iterator[Tensor]:
        for first in range(0, height, tall):
            rows = slice(first, first + tall)
            given = (table, offset[:, :, rows], modulation[:, :, rows], weight, first)
            if learns:
                yield checkpoint(_convolve, *given, use_reentrant=False, preserve_rng_state=False)
            else:
                yield _convolve(*given)

    return _add_bias(torch.cat(list(strips()), 2), bias).to(features.dtype)


def _convolve(
    features: Float[Tensor, "b c h w"],
    offset: Float[Tensor, "b o rows w"],
    modulation: Float[Tensor, "b m rows w"],
    weight: Float[Tensor, "d c n n"],
    first: int,
) -> Float[Tensor, "b d rows w"]:
    """The rows of the answer from `first` on that `offset` and `modulation` are given for."""
    batch, channels, height, width = features.shape
    rows, side = offset.shape[2], weight.shape[2]
    taps = side**2
    groups = modulation.shape[1] // taps
    reach = torch.arange(side, dtype=features.dtype, device=features.device) - side // 2
    down = torch.arange(first, first + rows, dtype=features.dtype, device=features.device)
    across = torch.arange(width, dtype=features.dtype, device=features.device)
    moved = offset.to(features.dtype).reshape(batch * groups, taps, 2, rows, width)
    y = moved[:, :, 0] + reach.repeat_interleave(side).view(taps, 1, 1) + down[:, None]
    x = moved[:, :, 1] + reach.repeat(side).view(taps, 1, 1) + across
    # −1…1 of grid_sample with align_corners=False, which stays defined for one row or column
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1).flatten(1, 2)
    grouped = features.reshape(batch * groups, channels // groups, height, width)
    read = F.grid_sample(grouped, grid, "bilinear", "zeros", align_corners=False)
    read = read.view(batch, groups, -1, taps, rows * width)
    read = read * modulation.to(features.dtype).reshape(batch, groups, 1, taps, rows * width)
    # channels, then taps: the order of `weight`
    made = weight.flatten(1).to(features.dtype) @ read.view(batch, channels * taps, -1)
    return made.view(batch, -1, rows, width)


def _add_bias(made: Float[Tensor, "b d h w"], bias: Float[Tensor, " d"] | None) -> Float[Tensor, "b d h w"]:
    return made if bias is None else made + bias.view(-1, 1, 1)


def _check(features: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor) -> None:
    batch, channels, *size = features.shape
    side = weight.shape[-1]
    if weight.ndim != 4 or weight.shape[1:] != (channels, side, side) or side % 2 == 0:
        raise ContractError(
            f"deformable_conv: {channels} channels need a weight of (d, {channels}, n, n) with n odd, "
            f"got {tuple(weight.shape)}."
        )
    groups = modulation.shape[1] // side**2
    if groups < 1 or channels % groups or modulation.shape != (batch, groups * side**2, *size):
        raise ContractError(
            f"deformable_conv: features {tuple(features.shape)} need a modulation of {side**2} channels for each of "
            f"the groups they divide into, at their size, got {tuple(modulation.shape)}."
        )
    if offset.shape != (batch, 2 * groups * side**2, *size):
        raise ContractError(
            f"deformable_conv: a modulation of {tuple(modulation.shape)} needs twice as many channels of offset, "
            f"got {tuple(offset.shape)}."
        )
