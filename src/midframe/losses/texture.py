"""Texture consistency: what is made should look like something that either frame shows nearby, wherever that lies.

Zhou, Li, Han, Lu, "Exploring Motion Ambiguity and Alignment for High-Quality Video Frame Interpolation", CVPR 2023,
arXiv 2203.10291. Between two frames more than one motion may be right; a loss that knows one true frame only is then
least for the mean of them all, which is blurred. This one asks for sharp texture and leaves open where it goes.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from midframe.errors import ContractError

REDUCE = 4  # pictures are reduced by this; so the search covers 12 pixels to every side, a patch 12 × 12
PATCH, REACH = 3, 3  # pixels of the reduced picture
LEAST = REDUCE * (REACH + 1)  # pixels a side: less cannot be mirrored as far as the search reaches


def texture(
    made: Float[Tensor, "b c h w"], frame0: Float[Tensor, "b c h w"], frame1: Float[Tensor, "b c h w"]
) -> Float[Tensor, ""]:
    """½ · mean (P(made) − P*)², P the 3×3 patches of pictures reduced by 4, P* the most alike of `frame0` or `frame1`.

    Alike is told by census, not by colour: a pixel's code, for each channel, has one bit for each of its eight
    neighbours (row by row, the first the highest), 1 where it is not darker, divided by 255; codes are found at full
    size and reduced (bicubic, no anti-aliasing). Of the 2 · 7 × 7 patches of codes that lie within ±3 of the place in
    the frames, that of least squared distance wins; of equals the first, frame 0 before frame 1, row by row. Borders
    are mirrored. What is compared then is the pictures themselves, in float32 at least, values nominally in [0, 1].

    0 if `made` is one of the frames, as far as their texture tells places apart. Only `made` gets gradients, and
    through colours only: which patch wins is not differentiable. The distances are found shift by shift and only the
    winners are gathered: memory is that of some tens of reduced pictures.

    Formula and constants are the authors' release, which takes squares where the paper writes an L1 norm.
    Raises ContractError if the shapes differ or a side is shorter than 16.
    """
    if not made.shape == frame0.shape == frame1.shape:
        raise ContractError(
            f"texture: shapes {tuple(made.shape)}, {tuple(frame0.shape)} and {tuple(frame1.shape)} must be equal."
        )
    if min(made.shape[-2:]) < LEAST:
        raise ContractError(f"texture: sides are at least {LEAST} pixels, got {tuple(made.shape[-2:])} (H W).")
    exact = torch.promote_types(made.dtype, torch.float32)
    made, frame0, frame1 = (one.to(exact) for one in (made, frame0.detach(), frame1.detach()))
    with torch.no_grad():
        place = _match(_patches(_reduce(_codes(made))), *(_around(_codes(frame)) for frame in (frame0, frame1)))
        shown = torch.cat([_around(frame).flatten(2) for frame in (frame0, frame1)], 2)
        matched = shown.gather(2, place[:, None].expand(-1, shown.shape[1], -1))
    return 0.5 * (_patches(_reduce(made)).flatten(2) - matched).square().mean()


def _codes(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Census of 3×3, 0…1; the codes of the border are those inside it, mirrored."""
    height, width = image.shape[-2] - 2, image.shape[-1] - 2
    centre = image[..., 1:-1, 1:-1]
    code = torch.zeros_like(centre)
    for dy in range(3):
        for dx in range(3):
            if (dy, dx) != (1, 1):
                code = 2 * code + (image[..., dy : dy + height, dx : dx + width] >= centre)
    return F.pad(code / 255, (1, 1, 1, 1), mode="reflect")


def _reduce(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h/4 w/4"]:
    return F.interpolate(image, scale_factor=1 / REDUCE, mode="bicubic", align_corners=False)


def _patches(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 9*c h w"]:
    batch, _, height, width = maps.shape
    return F.unfold(F.pad(maps, [PATCH // 2] * 4, mode="reflect"), PATCH).view(batch, -1, height, width)


def _around(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 9*c h/4+6 w/4+6"]:
    """Patches of the reduced picture, mirrored as far as the search reaches."""
    return F.pad(_patches(_reduce(image)), [REACH] * 4, mode="reflect")


def _match(
    wanted: Float[Tensor, "b n h w"], near0: Float[Tensor, "b n h+6 w+6"], near1: Float[Tensor, "b n h+6 w+6"]
) -> Int64[Tensor, "b h*w"]:
    """For each place the number of the nearest patch, counted row by row through `near0`, then through `near1`."""
    height, width = wanted.shape[-2:]
    tall, wide = near0.shape[-2:]
    here = torch.arange(height, device=wanted.device)[:, None] * wide + torch.arange(width, device=wanted.device)
    least = torch.full_like(wanted[:, 0], torch.inf)
    place = here.expand(least.shape)
    for side, near in enumerate((near0, near1)):
        for dy in range(2 * REACH + 1):
            for dx in range(2 * REACH + 1):
                apart = (near[..., dy : dy + height, dx : dx + width] - wanted).square_().sum(1)
                place = torch.where(apart < least, here + (side * tall + dy) * wide + dx, place)
                least = torch.minimum(apart, least)
    return place.flatten(1)
