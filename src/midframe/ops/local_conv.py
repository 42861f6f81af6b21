"""Local separable convolution: every pixel of the answer has a kernel of its own, a column times a row.

    out(c, y, x) = Σᵢ Σⱼ image(c, y + i, x + j) · V(i, y, x) · H(j, y, x)

Niklaus, Mai, Liu, "Video Frame Interpolation via Adaptive Separable Convolution", ICCV 2017, arXiv 1708.01692.

Rows are summed first: r(i) = Σⱼ image·H(j), then Σᵢ r(i)·V(i). Neither the patches of k × k pixels nor the rows r are
ever in memory. Gradients, with G(i, j) = Σ_c g(c)·image(c, y + i, x + j):

    ∂V(i) = Σⱼ G(i, j)·H(j)      ∂H(j) = Σᵢ G(i, j)·V(i)      ∂image(c, y + i, x + j) += g(c)·V(i)·H(j)

Three channels in float32 on a CPU go through numba, forward and for V and H also backward; everything else through
torch, one row i at a time.
"""

from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from midframe.errors import ContractError
from midframe.ops.threads import share_work

BLOCK = 128  # pixels of a row that are computed together: what they need stays in the nearest cache

_kernel = numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")


def separable_conv(
    image: Float[Tensor, "b c h+k-1 w+k-1"], vertical: Float[Tensor, "b k h w"], horizontal: Float[Tensor, "b k h w"]
) -> Float[Tensor, "b c h w"]:
    """out(c, y, x) = Σᵢ Σⱼ image(c, y + i, x + j) · vertical(i, y, x) · horizontal(j, y, x).

    `image` is padded already, by k − 1 in all. Kernels are taken as they are: not normalised, of any sign.
    Differentiable once in all three; computed in float32 (in float64 if any of them is), returned in image.dtype.

    Raises ContractError if the sizes do not fit. Source: Niklaus et al., ICCV 2017.

    >>> left = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 1, 2)  # the pixel before
    >>> middle = torch.tensor([0, 1.0, 0]).view(1, 3, 1, 1).expand(1, 3, 1, 2)
    >>> separable_conv(torch.arange(12.0).view(1, 1, 3, 4), middle, left)
    tensor([[[[4., 5.]]]])
    """
    batch, taps, height, width = vertical.shape
    wanted = (batch, image.shape[1], height + taps - 1, width + taps - 1)
    if horizontal.shape != vertical.shape or image.shape != wanted:
        raise ContractError(
            f"separable_conv: kernels {tuple(vertical.shape)} and {tuple(horizontal.shape)} must be alike and go with "
            f"an image of {wanted}, got {tuple(image.shape)}."
        )
    exact = torch.float32
    for tensor in (image, vertical, horizontal):
        exact = torch.promote_types(exact, tensor.dtype)
    made: Tensor = _SeparableConv.apply(image.to(exact), vertical.to(exact), horizontal.to(exact))  # type: ignore[no-untyped-call]
    return made.to(image.dtype)


class _SeparableConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
        ctx.save_for_backward(image, vertical, horizontal)
        return (_add_fast if _is_plain(image) else _add_rows)(image, vertical, horizontal)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        image, vertical, horizontal = ctx.saved_tensors
        for_image, *for_kernels = ctx.needs_input_grad
        of_vertical = of_horizontal = None
        if any(for_kernels):
            find = _find_gradients_fast if _is_plain(image) else _find_gradients
            of_vertical, of_horizontal = find(image, vertical, horizontal, gradient)
        of_image = _spread(image, vertical, horizontal, gradient) if for_image else None
        return of_image, of_vertical, of_horizontal


def _is_plain(image: Tensor) -> bool:
    return image.is_cpu and image.dtype == torch.float32 and image.shape[1] == 3


def _lines(image: Tensor, taps: int, i: int) -> Float[Tensor, "b c h w k"]:
    """A view: for each pixel of the answer the row i of its patch."""
    return image[:, :, i : image.shape[2] - taps + 1 + i].unfold(3, taps, 1)


def _add_rows(image: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    taps = vertical.shape[1]
    last = horizontal.permute(0, 2, 3, 1)[:, None]
    out = image.new_zeros(*image.shape[:2], *vertical.shape[2:])
    for i in range(taps):
        out += (_lines(image, taps, i) * last).sum(-1) * vertical[:, i : i + 1]
    return out


def _find_gradients(image: Tensor, vertical: Tensor, horizontal: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    taps = vertical.shape[1]
    last = horizontal.permute(0, 2, 3, 1)
    of_vertical, of_last = torch.empty_like(vertical), torch.zeros_like(last)
    for i in range(taps):
        seen = (_lines(image, taps, i) * gradient[..., None]).sum(1)  # G(i): b h w k
        of_vertical[:, i] = (seen * last).sum(-1)
        of_last += seen * vertical[:, i, ..., None]
    return of_vertical, of_last.permute(0, 3, 1, 2)


def _spread(image: Tensor, vertical: Tensor, horizontal: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of the image, one row and one column of the kernels at a time."""
    height, width = gradient.shape[2:]
    out = torch.zeros_like(image)
    for i in range(vertical.shape[1]):
        weighted = gradient * vertical[:, i : i + 1]
        for j in range(horizontal.shape[1]):
            out[:, :, i : i + height, j : j + width] += weighted * horizontal[:, j : j + 1]
    return out


def _add_fast(image: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    out = torch.empty(*image.shape[:2], *vertical.shape[2:])
    members = (value.detach().numpy() for value in (image.contiguous(), vertical, horizontal, out))
    for picture, v, h, target in zip(*members, strict=True):
        share_work(lambda first, stop: _add(picture, v, h, first, stop, target), target.shape[1])  # noqa: B023
    return out


def _find_gradients_fast(
    image: Tensor, vertical: Tensor, horizontal: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    found = torch.empty(vertical.shape), torch.empty(vertical.shape)
    inputs = (image.contiguous(), vertical, horizontal, gradient.contiguous())
    members = (value.detach().numpy() for value in (*inputs, *found))
    for picture, v, h, g, of_v, of_h in zip(*members, strict=True):
        share_work(
            lambda first, stop: _differentiate(picture, v, h, g, first, stop, of_v, of_h),  # noqa: B023
            g.shape[1],
        )
    return found


# Both kernels copy what belongs to a block of pixels into lines of their own, whatever the layout of the kernels in
# memory, and take a few columns j in one pass: the fewer passes, the less is written and read again.


@_kernel
def _add(image: Any, vertical: Any, horizontal: Any, begin: Any, stop: Any, out: Any) -> None:
    taps, _, width = vertical.shape
    one, two, three = np.uintp(1), np.uintp(2), np.uintp(3)
    stride = np.uintp(image.shape[2])
    red, green, blue = image[0].ravel(), image[1].ravel(), image[2].ravel()
    h = np.empty((taps, BLOCK), np.float32)
    row, total = np.empty((3, BLOCK), np.float32), np.empty((3, BLOCK), np.float32)
    row0, row1, row2 = row[0], row[1], row[2]
    total0, total1, total2 = total[0], total[1], total[2]
    for y in range(begin, stop):
        for left in range(0, width, BLOCK):
            n = min(BLOCK, width - left)
            for j in range(taps):
                for x in range(n):
                    h[j, x] = horizontal[j, y, left + x]
            total[:] = 0
            for i in range(taps):
                start = np.uintp(y + i) * stride + np.uintp(left)
                row[:] = 0
                for fours in range(taps // 4):
                    j = 4 * fours
                    h0, h1, h2, h3 = h[j], h[j + 1], h[j + 2], h[j + 3]
                    first = start + np.uintp(j)
                    for x in range(n):
                        p = first + np.uintp(x)
                        q, r, s = p + one, p + two, p + three
                        a, b, c, d = h0[x], h1[x], h2[x], h3[x]
                        row0[x] += red[p] * a + red[q] * b + red[r] * c + red[s] * d
                        row1[x] += green[p] * a + green[q] * b + green[r] * c + green[s] * d
                        row2[x] += blue[p] * a + blue[q] * b + blue[r] * c + blue[s] * d
                for j in range(taps - taps % 4, taps):
                    h0 = h[j]
                    first = start + np.uintp(j)
                    for x in range(n):
                        p = first + np.uintp(x)
                        row0[x] += red[p] * h0[x]
                        row1[x] += green[p] * h0[x]
                        row2[x] += blue[p] * h0[x]
                for x in range(n):
                    v = vertical[i, y, left + x]
                    total0[x] += v * row0[x]
                    total1[x] += v * row1[x]
                    total2[x] += v * row2[x]
            for c in range(3):
                for x in range(n):
                    out[c, y, left + x] = total[c, x]


@_kernel
def _differentiate(
    image: Any,
    vertical: Any,
    horizontal: Any,
    gradient: Any,
    begin: Any,
    stop: Any,
    of_vertical: Any,
    of_horizontal: Any,
) -> None:
    taps, _, width = vertical.shape
    one = np.uintp(1)
    stride = np.uintp(image.shape[2])
    red, green, blue = image[0].ravel(), image[1].ravel(), image[2].ravel()
    h, of_h = np.empty((taps, BLOCK), np.float32), np.empty((taps, BLOCK), np.float32)
    v, of_v = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    g = np.empty((3, BLOCK), np.float32)
    g0, g1, g2 = g[0], g[1], g[2]
    for y in range(begin, stop):
        for left in range(0, width, BLOCK):
            n = min(BLOCK, width - left)
            for j in range(taps):
                for x in range(n):
                    h[j, x] = horizontal[j, y, left + x]
            for c in range(3):
                for x in range(n):
                    g[c, x] = gradient[c, y, left + x]
            of_h[:] = 0
            for i in range(taps):
                start = np.uintp(y + i) * stride + np.uintp(left)
                of_v[:] = 0
                for x in range(n):
                    v[x] = vertical[i, y, left + x]
                for twos in range(taps // 2):
                    j = 2 * twos
                    h0, h1, of_h0, of_h1 = h[j], h[j + 1], of_h[j], of_h[j + 1]
                    first = start + np.uintp(j)
                    for x in range(n):
                        p = first + np.uintp(x)
                        q = p + one
                        seen0 = g0[x] * red[p] + g1[x] * green[p] + g2[x] * blue[p]
                        seen1 = g0[x] * red[q] + g1[x] * green[q] + g2[x] * blue[q]
                        of_v[x] += seen0 * h0[x] + seen1 * h1[x]
                        of_h0[x] += seen0 * v[x]
                        of_h1[x] += seen1 * v[x]
                if taps % 2:
                    h0, of_h0 = h[taps - 1], of_h[taps - 1]
                    first = start + np.uintp(taps - 1)
                    for x in range(n):
                        p = first + np.uintp(x)
                        seen0 = g0[x] * red[p] + g1[x] * green[p] + g2[x] * blue[p]
                        of_v[x] += seen0 * h0[x]
                        of_h0[x] += seen0 * v[x]
                for x in range(n):
                    of_vertical[i, y, left + x] = of_v[x]
            for j in range(taps):
                for x in range(n):
                    of_horizontal[j, y, left + x] = of_h[j, x]
