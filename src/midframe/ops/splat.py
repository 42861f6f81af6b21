"""Forward warping: put each pixel where a flow takes it; and flows seen from where they arrive.

Everything here adds to the four integer pixels around the place where a source pixel lands; what differs is the weight
of each. Sums are taken in float32 (float64 for float64 input) and everything is differentiable in every tensor
argument. On a GPU, sums in another order may differ in the last bits from run to run.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from midframe.errors import ContractError, UsageError

Mode = Literal["sum", "average", "linear", "softmax"]
FAINTEST = -60.0  # exponents this far below the picture's largest count as this; e⁻⁶⁰ is still a float32, no hole


def splat(
    image: Float[Tensor, "b c h w"],
    flow: Float[Tensor, "b 2 h w"],
    *,
    metric: Float[Tensor, "b 1 h w"] | None = None,
    mode: Mode,
) -> Float[Tensor, "b c h w"]:
    """Carry `image` along `flow`: each source pixel is added to the four around x + flow(x), by bilinear weight.

    Convention: flow in pixels, (dx, dy), from the image to the result. What lands outside is lost, a source whose flow
    is not finite is skipped, and a place where nothing lands is 0.

    mode  "sum"      just that; the adjoint of `warp` with border "zero"
          "average"  divided by the sum of weights
          "linear"   weights multiplied by `metric` (positive), then as "average"
          "softmax"  weights multiplied by exp(metric): nearer things, or those surer of their flow, cover others.
                     A constant added to the metric changes nothing.

    Returns image.dtype. Raises ContractError if sizes differ, UsageError for a metric where there should be none or
    none where it is needed. Source: Niklaus and Liu, "Softmax Splatting", CVPR 2020, arXiv 2003.05534.

    >>> splat(torch.arange(1.0, 4.0).view(1, 1, 1, 3), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 3),
    ...       mode="average")
    tensor([[[[0., 1., 2.]]]])
    """
    _check("splat", image, flow)
    if (metric is not None) != (mode in ("linear", "softmax")):
        raise UsageError(f'splat: mode "{mode}" takes {"no metric" if metric is not None else "a metric"}.')
    exact = _exact(image)
    values = image.to(exact)
    if mode == "sum":
        return _scatter(values, flow.to(exact), _bilinear).to(image.dtype)
    if metric is None:
        weight = torch.ones_like(values[:, :1])
    else:
        _check("splat", metric, flow, channels=1)
        weight = metric.to(exact)
    if mode == "softmax":
        largest = weight.detach().amax((1, 2, 3), keepdim=True)
        weight = (weight - largest).clamp(min=FAINTEST).exp()
    total = _scatter(torch.cat([values * weight, weight], 1), flow.to(exact), _bilinear)
    return _divide(total[:, :-1], total[:, -1:])[0].to(image.dtype)


def project(
    flow01: Float[Tensor, "b 2 h w"], weight: Float[Tensor, "b 1 h w"] | None
) -> tuple[Float[Tensor, "b 2 h w"], Bool[Tensor, "b 1 h w"]]:
    """The flow back from where `flow01` (already times t) arrives: −Σ w f / Σ w over all that land beside a pixel.

    The four pixels around a landing point all get the source's whole weight, without a bilinear part, as in the
    authors' code (the paper rounds); at the right and lower edge two of the four are one pixel, which gets it twice.
    A source that lands outside the picture, or whose flow is not finite, is left out. `weight` is positive, the inverse
    of depth in DAIN; None: all alike.

    Returns the flow in pixels (0 in holes) and where it is known; see `fill_holes`. Raises ContractError if sizes
    differ. Source: Bao et al., "Depth-Aware Video Frame Interpolation", CVPR 2019, arXiv 1904.00830, section 3.2.
    """
    _check("project", flow01, flow01)
    return _look_back(flow01, weight, _equal)


def reverse(flow_0t: Float[Tensor, "b 2 h w"]) -> tuple[Float[Tensor, "b 2 h w"], Bool[Tensor, "b 1 h w"]]:
    """The flow back from where `flow_0t` arrives, nearer landing points weighing more: exp(−d²), d in pixels.

    Each source counts at the four pixels around its landing point, as far as they are in the picture; one whose flow is
    not finite is left out. Returns the flow in pixels (0 in holes) and where it is known.

    Raises ContractError if the shape is not B 2 H W. Source: Xu et al., "Quadratic Video Interpolation", NeurIPS 2019,
    arXiv 1911.00627, section 3.2.
    """
    _check("reverse", flow_0t, flow_0t)
    return _look_back(flow_0t, None, _gaussian)


def fill_holes(flow: Float[Tensor, "b 2 h w"], known: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b 2 h w"]:
    """`flow` with each unknown pixel the mean of the nearest known ones to its left, right, above and below.

    Directions in which nothing is known do not count; 0 where none is. Known pixels keep their flow.

    Raises ContractError if sizes differ. Source: the authors' code of DAIN (Bao et al., CVPR 2019).
    """
    _check("fill_holes", known, flow, channels=1)
    height, width = flow.shape[-2:]
    total, count = torch.zeros_like(flow), torch.zeros_like(flow[:, :1])
    for axis, length in ((3, width), (2, height)):
        places = torch.arange(length, device=flow.device).view([-1 if k == axis else 1 for k in range(4)])
        before = torch.where(known, places, -1).cummax(axis).values
        after = torch.where(known, places, length).flip(axis).cummin(axis).values.flip(axis)
        for nearest, found in ((before, before >= 0), (after, after < length)):
            there = flow.gather(axis, nearest.clamp(0, length - 1).expand_as(flow))
            total = total + torch.where(found, there, 0)
            count += found
    return torch.where(known, flow, total / count.clamp(min=1))


# A weight for a corner of the pixel that a source lands in: how far (dx, dy ≥ 0) its landing point is from the corner,
# whether the corner is in the picture, and whether the landing point is.
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _bilinear(dx: Tensor, dy: Tensor, corner: Tensor, landing: Tensor) -> Tensor:
    return (1 - dx) * (1 - dy) * corner


def _gaussian(dx: Tensor, dy: Tensor, corner: Tensor, landing: Tensor) -> Tensor:
    return torch.exp(-dx.square() - dy.square()) * corner


def _equal(dx: Tensor, dy: Tensor, corner: Tensor, landing: Tensor) -> Tensor:
    return landing.to(dx.dtype)


def _look_back(flow: Tensor, weight: Tensor | None, kernel: Kernel) -> tuple[Tensor, Tensor]:
    exact = flow.to(_exact(flow))
    if weight is None:
        weight = torch.ones_like(exact[:, :1])
    else:
        _check("project", weight, flow, channels=1)
        weight = weight.to(exact.dtype)
    steps = exact.where(_finite(exact), 0)  # as a value; the target must stay infinite, for it is skipped by it
    total = _scatter(torch.cat([-steps * weight, weight], 1), exact, kernel)
    back, known = _divide(total[:, :2], total[:, 2:])
    return back.to(flow.dtype), known


def _scatter(values: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 2 h w"], kernel: Kernel) -> Tensor:
    """Σ over sources and the four corners of their landing points: kernel · value."""
    batch, channels, height, width = values.shape
    finite = _finite(flow)
    x = (torch.arange(width, device=flow.device) + flow[:, :1]).where(finite, -2)  # −2: all four corners outside
    y = (torch.arange(height, device=flow.device)[:, None] + flow[:, 1:]).where(finite, -2)
    x, y = x.clamp(-2, width + 1), y.clamp(-2, height + 1)  # whole numbers beyond int64 are not defined
    left, above = x.detach().floor(), y.detach().floor()
    landing = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    total = values.new_zeros(batch, channels, height * width)
    for column, dx in ((left, x - left), (left + 1, left + 1 - x)):
        for row, dy in ((above, y - above), (above + 1, above + 1 - y)):
            corner = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            index = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            weighted = values * kernel(dx, dy, corner, landing)
            total.scatter_add_(2, index.flatten(2).expand(-1, channels, -1), weighted.flatten(2))
    return total.view(batch, channels, height, width)


def _divide(total: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """`total` / `weight`, 0 where that is 0; and where it is not."""
    known = weight != 0
    return total / weight.where(known, 1), known


def _finite(flow: Tensor) -> Tensor:
    return flow.isfinite().all(1, keepdim=True)


def _exact(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _check(who: str, value: Tensor, flow: Tensor, *, channels: int | None = None) -> None:
    shape = tuple(flow.shape)
    if flow.ndim != 4 or shape[1] != 2:
        raise ContractError(f"{who} needs a flow of B 2 H W, got {shape}.")
    wanted = (shape[0], value.shape[1] if channels is None and value.ndim == 4 else channels, *shape[2:])
    if tuple(value.shape) != wanted:
        raise ContractError(f"{who}: a flow of {shape} goes with {wanted}, got {tuple(value.shape)}.")
