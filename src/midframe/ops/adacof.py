"""Adaptive collaboration of flows: each output pixel is a weighted sum of samples that are each read at a place of
their own. A convolution whose kernel is not a square any more: every tap has a flow."""

from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from midframe.errors import ContractError
from midframe.ops.threads import share_work


def adacof(
    image: Float[Tensor, "b c h w"],
    weights: Float[Tensor, "b n h w"],
    alpha: Float[Tensor, "b n h w"],
    beta: Float[Tensor, "b n h w"],
) -> Float[Tensor, "b c h w"]:
    """out(y, x) = Σ over taps k, l of weights_kl · image(y + k + alpha_kl, x + l + beta_kl), bilinear.

    n is the square of an odd number, the taps go row by row, and (k, l) counts from the middle one. `alpha` moves rows,
    `beta` columns, in pixels; weights are not normalised. Beyond the edge the last pixel goes on. One kernel for all
    channels.

    Nothing is kept for the way back but what is given. Differentiable in all four; computed in float32 (float64 if the
    image is), returned in image.dtype.

    Raises ContractError if sizes do not fit. Source: Lee et al., "AdaCoF: Adaptive Collaboration of Flows for Video
    Frame Interpolation", CVPR 2020, arXiv 1907.10244, equation 3. Their code cuts the fractions of places off towards
    0, so that between −1 and 0 it extrapolates; here places are rounded down.
    """
    batch, _, height, width = image.shape
    shapes = {tuple(maps.shape) for maps in (weights, alpha, beta)}
    taps = weights.shape[1] if weights.ndim == 4 else 0
    if shapes != {(batch, taps, height, width)} or round(taps**0.5) ** 2 != taps or taps % 2 == 0:
        raise ContractError(
            f"adacof: an image of {tuple(image.shape)} needs weights, alpha and beta of B n H W each, n the square of "
            f"an odd number; got {tuple(weights.shape)}, {tuple(alpha.shape)} and {tuple(beta.shape)}."
        )
    exact = torch.float64 if image.dtype == torch.float64 else torch.float32
    made: Tensor = _AdaCoF.apply(  # type: ignore[no-untyped-call]
        image.to(exact), weights.to(exact), alpha.to(exact), beta.to(exact)
    )
    return made.to(image.dtype)


class _AdaCoF(torch.autograd.Function):
    """By loops on a CPU, which take a third of the time of as many calls of grid_sample; by those calls elsewhere."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weights: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(image, weights, alpha, beta)
        if not image.is_cpu:
            return _sum_taps(image, weights, alpha, beta)
        pixels, *maps = _as_arrays(image, weights, alpha, beta)
        out = np.zeros_like(pixels)
        share_work(lambda a, b: _add_taps(pixels, maps[0], maps[1], maps[2], out, a, b), out.shape[0] * out.shape[1])
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        image, weights, alpha, beta = ctx.saved_tensors
        if not image.is_cpu:
            return _slopes_of_taps(image, weights, alpha, beta, grad, ctx.needs_input_grad[0])
        pixels, *maps = _as_arrays(image, weights, alpha, beta)
        slopes = grad.detach().permute(0, 2, 3, 1).contiguous().numpy()
        of_image = np.zeros_like(pixels) if ctx.needs_input_grad[0] else pixels[:0]  # none: not asked for
        found = [np.empty_like(one) for one in maps]
        given, to = (pixels, maps[0], maps[1], maps[2], slopes), (of_image, found[0], found[1], found[2])
        share_work(lambda a, b: _add_slopes(*given, *to, a, b), len(pixels))
        of_maps = [torch.from_numpy(one) for one in found]
        return (torch.from_numpy(of_image).permute(0, 3, 1, 2) if len(of_image) else None, *of_maps)  # type: ignore[return-value]


def _as_arrays(image: Tensor, *maps: Tensor) -> list[Any]:
    """The image as B H W C, the maps as B n H W."""
    pixels = image.detach().permute(0, 2, 3, 1).contiguous().numpy()
    return [pixels, *(one.detach().contiguous().numpy() for one in maps)]


def _sum_taps(image: Tensor, weights: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """As `adacof`, tap by tap, by torch alone."""
    out = torch.zeros_like(image)
    for tap in range(weights.shape[1]):
        out += _read_tap(image, weights[:, tap], alpha[:, tap], beta[:, tap], tap, weights.shape[1])
    return out


def _slopes_of_taps(
    image: Tensor, weights: Tensor, alpha: Tensor, beta: Tensor, grad: Tensor, of_image_too: bool
) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
    """The gradients of `_sum_taps`, each tap read once more instead of being kept."""
    of_image = torch.zeros_like(image) if of_image_too else None
    of_maps = tuple(torch.empty_like(one) for one in (weights, alpha, beta))
    source = image.detach().requires_grad_(of_image_too)
    for tap in range(weights.shape[1]):
        weight, down, right = (one[:, tap].detach().requires_grad_() for one in (weights, alpha, beta))
        with torch.enable_grad():
            read = _read_tap(source, weight, down, right, tap, weights.shape[1])
        slopes = torch.autograd.grad(read, [weight, down, right, *([source] if of_image_too else [])], grad)
        for whole, slope in zip(of_maps, slopes[:3], strict=True):
            whole[:, tap] = slope
        if of_image is not None:
            of_image += slopes[3]
    return (of_image, *of_maps)  # type: ignore[return-value]


def _read_tap(image: Tensor, weight: Tensor, down: Tensor, right: Tensor, tap: int, taps: int) -> Tensor:
    height, width = image.shape[-2:]
    side = round(taps**0.5)
    y = torch.arange(height, device=image.device)[:, None] + (tap // side - side // 2) + down
    x = torch.arange(width, device=image.device) + (tap % side - side // 2) + right
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return weight[:, None] * F.grid_sample(image, grid, "bilinear", "border", align_corners=False)


# fastmath without "no NaN": the places of a training that goes wrong must not become an index
_kernel = numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")


@_kernel
def _place(start: Any, offset: Any, length: Any) -> Any:
    """The two pixels beside a place on an axis, how far it is from the first, and whether it is inside."""
    place = np.float32(start) + offset  # float32, or float64 if the offset is
    inside = place >= np.float32(0) and place <= np.float32(length - 1)
    place = min(max(place, np.float32(0)), np.float32(length - 1))
    first = min(max(int(place), 0), length - 1)
    return first, min(first + 1, length - 1), place - np.float32(first), inside


@_kernel
def _add_taps(image: Any, weights: Any, alpha: Any, beta: Any, out: Any, first: Any, stop: Any) -> None:
    """`out` += the taps' sum, for rows `first` … `stop` − 1 of the whole batch. image, out: B H W C."""
    height, width, channels = image.shape[1:]
    taps = weights.shape[1]
    side = int(np.sqrt(taps) + 0.5)
    one = np.float32(1)
    for number in range(first, stop):
        b, y = number // height, number % height
        for k in range(taps):
            row, column = y + k // side - side // 2, k % side - side // 2
            for x in range(width):
                y0, y1, dy, _ = _place(row, alpha[b, k, y, x], height)
                x0, x1, dx, _ = _place(x + column, beta[b, k, y, x], width)
                upper, lower = weights[b, k, y, x] * (one - dy), weights[b, k, y, x] * dy
                tl, tr, bl, br = upper * (one - dx), upper * dx, lower * (one - dx), lower * dx
                for c in range(channels):
                    out[b, y, x, c] += (
                        tl * image[b, y0, x0, c]
                        + tr * image[b, y0, x1, c]
                        + bl * image[b, y1, x0, c]
                        + br * image[b, y1, x1, c]
                    )


@_kernel
def _add_slopes(
    image: Any, weights: Any, alpha: Any, beta: Any, grad: Any,
    of_image: Any, of_weights: Any, of_alpha: Any, of_beta: Any, first: Any, stop: Any,
) -> None:  # fmt: skip
    """The gradients, given that of the output; `of_image` is added to, or empty if it is not asked for."""
    height, width, channels = image.shape[1:]
    taps = weights.shape[1]
    side = int(np.sqrt(taps) + 0.5)
    one, none = np.float32(1), np.float32(0)
    wanted = len(of_image) > 0
    for b in range(first, stop):
        for y in range(height):
            for k in range(taps):
                row, column = y + k // side - side // 2, k % side - side // 2
                for x in range(width):
                    y0, y1, dy, tall = _place(row, alpha[b, k, y, x], height)
                    x0, x1, dx, wide = _place(x + column, beta[b, k, y, x], width)
                    weight = weights[b, k, y, x]
                    tl, tr, bl, br = weight * none, weight * none, weight * none, weight * none
                    for c in range(channels):  # the output's gradient, times each of the four pixels
                        slope = grad[b, y, x, c]
                        tl += slope * image[b, y0, x0, c]
                        tr += slope * image[b, y0, x1, c]
                        bl += slope * image[b, y1, x0, c]
                        br += slope * image[b, y1, x1, c]
                    above, below = tl + dx * (tr - tl), bl + dx * (br - bl)
                    of_weights[b, k, y, x] = above + dy * (below - above)
                    of_alpha[b, k, y, x] = weight * (below - above) if tall else none
                    of_beta[b, k, y, x] = weight * ((one - dy) * (tr - tl) + dy * (br - bl)) if wide else none
                    if wanted:
                        for c in range(channels):
                            slope = weight * grad[b, y, x, c]
                            of_image[b, y0, x0, c] += slope * (one - dy) * (one - dx)
                            of_image[b, y0, x1, c] += slope * (one - dy) * dx
                            of_image[b, y1, x0, c] += slope * dy * (one - dx)
                            of_image[b, y1, x1, c] += slope * dy * dx
