"""Layers and steps that interpolation networks have in common: conv + PReLU, bilinear resizing, merging by a mask."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.ops.warp import warp


def conv_prelu(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution with bias and "same" padding, then PReLU with one slope per channel."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.PReLU(outputs))


def upconv_prelu(inputs: int, outputs: int) -> nn.Sequential:
    """Transposed convolution 4×4 to twice the size, then PReLU with one slope per channel."""
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.PReLU(outputs))


def resize(maps: Float[Tensor, "b c h w"], factor: float) -> Float[Tensor, "b c h2 w2"]:
    """Bilinear, pixel centres at halves (align_corners=False), no anti-aliasing, to `factor` times the size."""
    if factor == 1:
        return maps
    return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)


def warp_pair(
    frame0: Float[Tensor, "b c h w"], frame1: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 4 h w"]
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]]:
    """Both frames seen from time t; `flow` is (dx, dy) t→0, then t→1, in pixels."""
    return warp(frame0, flow[:, :2]), warp(frame1, flow[:, 2:])


def exact(maps: Tensor) -> Tensor:
    """`maps` in float32 at least. Flow is added up in it: bfloat16 knows 100 pixels to the nearest half pixel only."""
    return maps.to(torch.promote_types(maps.dtype, torch.float32))


def swap(flow: Float[Tensor, "b 4 h w"]) -> Float[Tensor, "b 4 h w"]:
    """The flow of the pair read backwards: t→1, then t→0."""
    return torch.cat([flow[:, 2:], flow[:, :2]], 1)


def merge(
    warped0: Float[Tensor, "b 3 h w"], warped1: Float[Tensor, "b 3 h w"], mask: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 3 h w"]:
    """mask · warped0 + (1 − mask) · warped1, `mask` in 0…1 (1: take frame 0)."""
    return warped0 * mask + warped1 * (1 - mask)
