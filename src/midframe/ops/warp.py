"""Backward warping: read an image where a flow points."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.ops.cubic import sample_cubic

Border = Literal["clamp", "zero"]
Kernel = Literal["bilinear", "bicubic"]


def warp(
    image: Float[Tensor, "b c h w"],
    flow: Float[Tensor, "b 2 h w"],
    *,
    border: Border = "clamp",
    kernel: Kernel = "bilinear",
) -> Float[Tensor, "b c h w"]:
    """Sample `image` where `flow` points: out(x) = image(x + flow(x)).

    Convention: flow in pixels, (dx, dy); pixel centres at integers (align_corners=True); `border` "clamp" repeats
    the edge, "zero" fades to 0; `kernel` "bicubic" is sharper and may overshoot (Keys 1981 with a = −0.75, torch's
    own). Differentiable in both arguments; sampled in float32 (in float64 if the image is:
    half precision is slower on a CPU and places samples badly), returned in image.dtype.

    Raises ContractError if the sizes differ. Source: Jaderberg et al. 2015 (bilinear sampler).

    >>> warp(torch.arange(3.0).view(1, 1, 1, 3), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 3))
    tensor([[[[1., 2., 2.]]]])
    """
    batch, _, height, width = image.shape
    if flow.shape != (batch, 2, height, width):
        raise ContractError(
            f"warp: an image of {tuple(image.shape)} needs a flow of {(batch, 2, height, width)}, got "
            f"{tuple(flow.shape)}."
        )
    wanted = torch.is_grad_enabled() and (image.requires_grad or flow.requires_grad)
    if kernel == "bicubic" and border == "clamp" and not wanted and image.is_cpu and image.dtype != torch.float64:
        planes = (value.detach().float().contiguous().numpy() for value in (image, flow))
        return torch.from_numpy(sample_cubic(*planes)).to(image.dtype)
    exact = torch.float64 if image.dtype == torch.float64 else torch.float32
    columns = torch.arange(width, dtype=exact, device=image.device)
    rows = torch.arange(height, dtype=exact, device=image.device)
    x = columns + flow[:, 0].to(exact)
    y = rows[:, None] + flow[:, 1].to(exact)
    # grid_sample's −1…1 with align_corners=False: it stays defined for one row or column, where True divides by 0
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    mode = "border" if border == "clamp" else "zeros"
    return F.grid_sample(image.to(exact), grid, kernel, mode, align_corners=False).to(image.dtype)
