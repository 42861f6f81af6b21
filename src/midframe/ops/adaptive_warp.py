"""Adaptive warping: bilinear sampling in which each of the four neighbours is the answer of a small filter."""

from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor
from torch.autograd.function import once_differentiable

from midframe.errors import ContractError
from midframe.ops.threads import share_work

TAPS = 4  # rows and columns that are read around a point
BILINEAR = (5, 6, 9, 10)  # of the 16 kernel values: 1 here and 0 elsewhere is plain bilinear sampling


def adaptive_warp(
    image: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 2 h w"], kernels: Float[Tensor, "b 16 h w"]
) -> Float[Tensor, "b c h w"]:
    """Filter the 4×4 pixels around where `flow` points: each 2×2 corner is summed, the four sums mixed bilinearly.

    With p = x + flow(x), (x0, y0) = ⌊p⌋ and (α, β) = p − ⌊p⌋: the rows y0−1 … y0+2 and columns x0−1 … x0+2 of the
    image are multiplied by the kernel of x (row by row, not normalised; one kernel for all channels) and summed in
    quadrants, out = (1−α)(1−β) TL + α(1−β) TR + (1−α)β BL + αβ BR. Pixels beyond the edge repeat it. Where p is
    outside the picture, or the flow half its width or height or more (or not a number), the answer is image(x).

    Convention: flow in pixels, (dx, dy). Differentiable in all three, in the flow by α and β; computed in float32
    (float64 if the image is), returned in image.dtype.

    Raises ContractError if sizes differ. Source: Bao et al., "MEMC-Net", TPAMI 2019, arXiv 1810.08768, section 3.2;
    the limits are those of the code of "Depth-Aware Video Frame Interpolation" (Bao et al., CVPR 2019).
    """
    batch, _, height, width = image.shape
    wanted = (batch, 2, height, width), (batch, TAPS * TAPS, height, width)
    if (tuple(flow.shape), tuple(kernels.shape)) != wanted:
        raise ContractError(
            f"adaptive_warp: an image of {tuple(image.shape)} needs flow and kernels of {wanted[0]} and {wanted[1]}, "
            f"got {tuple(flow.shape)} and {tuple(kernels.shape)}."
        )
    exact = torch.float64 if image.dtype == torch.float64 else torch.float32
    flow, table = flow.to(exact), image.to(exact)
    x = torch.arange(width, device=image.device) + flow[:, 0]
    y = torch.arange(height, device=image.device)[:, None] + flow[:, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    inside &= (flow[:, 0].abs() < width / 2) & (flow[:, 1].abs() < height / 2)
    x, y = x.where(inside, 0), y.where(inside, 0)
    columns, across = _read_axis(x, width)
    rows, down = _read_axis(y, height)
    index = rows[..., :, None] * width + columns[..., None, :]  # B H W 4 4
    weight = kernels.to(exact).permute(0, 2, 3, 1).reshape(index.shape) * down[..., None] * across[..., None, :]
    points = (batch, height * width, TAPS * TAPS)
    made: Tensor = _Gather.apply(  # type: ignore[no-untyped-call]
        table.permute(0, 2, 3, 1).flatten(1, 2), index.view(points), weight.view(points)
    )
    made = made.view(batch, height, width, -1).permute(0, 3, 1, 2)
    return made.where(inside[:, None], table).to(image.dtype)


def _read_axis(place: Float[Tensor, "b h w"], length: int) -> tuple[Int32[Tensor, "b h w 4"], Float[Tensor, "b h w 4"]]:
    """The four pixels along an axis around each place, and the shares of their quadrants."""
    first = place.detach().floor()
    part = place - first
    pixels = first.to(torch.int32)[..., None] + torch.arange(-1, TAPS - 1, dtype=torch.int32, device=place.device)
    return pixels.clamp_(0, length - 1), torch.stack([1 - part, 1 - part, part, part], -1)


class _Gather(torch.autograd.Function):
    """out(b, n) = Σ_k weight(b, n, k) · table(b, index(b, n, k)), without a copy of the table for each k.

    torch's embedding_bag is just that and quick; but on a CPU its way back takes ten times as long as the loops here.
    """

    @staticmethod
    def forward(
        ctx: Any,
        table: Float[Tensor, "b m c"],
        index: Int32[Tensor, "b n k"],
        weight: Float[Tensor, "b n k"],
    ) -> Float[Tensor, "b n c"]:
        ctx.save_for_backward(table, index, weight)
        return _sum_rows(table, index, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "b n c"]) -> tuple[Tensor | None, None, Tensor | None]:
        table, index, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        if not table.is_cpu:
            with torch.enable_grad():
                inputs = table.detach().requires_grad_(wanted[0]), weight.detach().requires_grad_(wanted[1])
                out = _sum_rows(inputs[0], index, inputs[1])
            found = iter(torch.autograd.grad(out, [one for one in inputs if one.requires_grad], grad))
            of_table, of_weight = (next(found) if one else None for one in wanted)
            return of_table, None, of_weight
        rows, places, shares, slopes = (one.detach().contiguous().numpy() for one in (table, index, weight, grad))
        of_table = of_weight = None
        if wanted[0]:
            of_rows = np.zeros_like(rows)
            share_work(lambda a, b: _add_rows(places, shares, slopes, of_rows, a, b), len(places))
            of_table = torch.from_numpy(of_rows)
        if wanted[1]:
            of_shares = np.empty_like(shares)
            share_work(lambda a, b: _multiply_rows(places, rows, slopes, of_shares, a, b), len(places))
            of_weight = torch.from_numpy(of_shares)
        return of_table, None, of_weight


def _sum_rows(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """As `_Gather`, by torch alone."""
    first = torch.arange(len(table), dtype=torch.int32, device=table.device).view(-1, 1, 1) * table.shape[1]
    rows = F.embedding_bag(
        (index + first).flatten(0, 1),
        table.reshape(-1, table.shape[2]),
        mode="sum",
        per_sample_weights=weight.reshape(-1, weight.shape[2]),
    )
    return rows.view(*weight.shape[:2], -1)


_kernel = numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")


@_kernel
def _add_rows(index: Any, weight: Any, grad: Any, out: Any, first: Any, stop: Any) -> None:
    """out(b, index(b, n, k)) += weight(b, n, k) · grad(b, n) for b = first … stop−1."""
    for b in range(first, stop):
        for n in range(index.shape[1]):
            for k in range(index.shape[2]):
                row, share = index[b, n, k], weight[b, n, k]
                for c in range(grad.shape[2]):
                    out[b, row, c] += share * grad[b, n, c]


@_kernel
def _multiply_rows(index: Any, table: Any, grad: Any, out: Any, first: Any, stop: Any) -> None:
    """out(b, n, k) = table(b, index(b, n, k)) · grad(b, n) for b = first … stop−1."""
    for b in range(first, stop):
        for n in range(index.shape[1]):
            for k in range(index.shape[2]):
                row = index[b, n, k]
                total = table[b, row, 0] * grad[b, n, 0]
                for c in range(1, grad.shape[2]):
                    total += table[b, row, c] * grad[b, n, c]
                out[b, n, k] = total
