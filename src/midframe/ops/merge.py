"""Two warped frames laid out for a network at half size, and merged by what it answers at full size.

Where no gradient is asked for, on a CPU, each is one pass over memory instead of a dozen: the same numbers up to
rounding. Pixels laid side by side: Shi et al., CVPR 2016, arXiv 1609.05158 (sub-pixel convolution).
"""

from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.ops.threads import share_work

GREY = 0.5  # taken off the mean that the network sees

_kernel = numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")


def lay_out(
    warped0: Float[Tensor, "b 3 h w"], warped1: Float[Tensor, "b 3 h w"], more: Float[Tensor, "b c h2 w2"]
) -> Float[Tensor, "b 15+c h2 w2"]:
    """Mean of both frames and of 2 × 2 pixels, less grey (3), then warped0 − warped1, four pixels side by side (12),
    then `more`.

    The twelve are in the order of `pixel_unshuffle`: channel by channel, and in each (0, 0), (0, 1), (1, 0), (1, 1).
    """
    if _plain(warped0, warped1, more):
        batch, channels, height, width = more.shape
        out = torch.empty(batch, height, width, 15 + channels)
        out[..., 15:] = more.permute(0, 2, 3, 1)
        for w0, w1, target in zip(warped0.numpy(), warped1.numpy(), out.numpy(), strict=True):
            share_work(lambda first, stop: _lay_out(w0, w1, first, stop, target), height)  # noqa: B023
        return out.permute(0, 3, 1, 2)  # channels last, as networks read it fastest
    middle = (F.avg_pool2d(warped0, 2) + F.avg_pool2d(warped1, 2)) / 2 - GREY
    return torch.cat([middle, F.pixel_unshuffle(warped0 - warped1, 2), more], 1)


def merge_laid_out(
    warped0: Float[Tensor, "b 3 h w"],
    warped1: Float[Tensor, "b 3 h w"],
    logit: Float[Tensor, "b 1 h w"],
    answer: Float[Tensor, "b 16 h2 w2"],
    step: float,
) -> Float[Tensor, "b 3 h w"]:
    """m·warped0 + (1 − m)·warped1 + step·residual, m = σ(logit + Δ).

    `answer` holds Δ (1) and residual (3) of four pixels side by side each, in the order of `pixel_shuffle`. A step of
    0 is the merge alone.
    """
    if _plain(warped0, warped1, logit, answer):
        out = torch.empty_like(warped0)
        rows = answer.permute(0, 2, 3, 1).contiguous()
        sides = (value.numpy() for value in (warped0, warped1, logit, rows, out))
        for w0, w1, level, said, target in zip(*sides, strict=True):
            share_work(
                lambda first, stop: _merge(w0, w1, level[0], said, np.float32(step), first, stop, target),  # noqa: B023
                rows.shape[1],
            )
        return out
    said = F.pixel_shuffle(answer.contiguous(), 2).float()  # planes: shuffling channels_last takes many times as long
    merged = torch.addcmul(warped1, torch.sigmoid(logit + said[:, :1]), warped0 - warped1)
    return torch.add(merged, said[:, 1:], alpha=step)


def _plain(*tensors: Tensor) -> bool:
    """Whether these can be computed on by the kernels: on the CPU, in float32, no gradient wanted."""
    wanted = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return not wanted and all(tensor.is_cpu and tensor.dtype == torch.float32 for tensor in tensors)


@_kernel
def _lay_out(w0: Any, w1: Any, begin: Any, stop: Any, out: Any) -> None:
    eighth, grey = np.float32(0.125), np.float32(GREY)
    for y in range(begin, stop):
        for c in range(3):
            for x in range(out.shape[1]):
                total = np.float32(0)
                for k in range(4):
                    a, b = w0[c, 2 * y + k // 2, 2 * x + k % 2], w1[c, 2 * y + k // 2, 2 * x + k % 2]
                    total += a + b
                    out[y, x, 3 + 4 * c + k] = a - b
                out[y, x, c] = eighth * total - grey


@_kernel
def _merge(w0: Any, w1: Any, logit: Any, answer: Any, step: Any, begin: Any, stop: Any, out: Any) -> None:
    one = np.float32(1)
    for y in range(begin, stop):
        for x in range(answer.shape[1]):
            for k in range(4):
                row, column = 2 * y + k // 2, 2 * x + k % 2
                mask = one / (one + np.exp(-(logit[row, column] + answer[y, x, k])))
                for c in range(3):
                    a, b = w0[c, row, column], w1[c, row, column]
                    out[c, row, column] = b + mask * (a - b) + step * answer[y, x, 4 + 4 * c + k]
