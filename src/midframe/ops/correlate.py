"""Cost volumes: how well features of frame 0 match those of frame 1, by their inner product.

Two kinds. `correlate` compares each place with its neighbourhood (PWC-Net). `correlate_all` compares every place with
every other at several resolutions, to be read by `look_up` around positions that move (RAFT); it takes memory with the
fourth power of a picture's side, and `look_up_directly` gives the same values from the features themselves.

All are differentiable in every tensor argument, sum in float32 (float64 for float64 input) also under autocast, and
return that.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError, UsageError

BLOCK = 8  # side of the squares that `correlate` multiplies as matrices; 16 takes up to twice as long at radius 4
PLACES = 128  # worked on at once by `look_up_directly`: what they read stays in a processor's cache


def correlate(
    f0: Float[Tensor, "b c h w"], f1: Float[Tensor, "b c h w"], radius: int
) -> Float[Tensor, "b (2*{radius}+1)**2 h w"]:
    """Local cost volume: the channel mean of f0(x) · f1(x + d) for all d with |dx|, |dy| ≤ `radius`, 0 outside f1.

    Channel (dy + r)(2r + 1) + dx + r holds displacement (dx, dy): row by row. Computed by squares of 8 × 8 against all
    they can reach, as matrices: more multiplications than are needed, in half the time of a loop over displacements,
    and in a quarter with the backward pass (benchmarks/splat.py).

    Raises ContractError if sizes differ, UsageError for a negative radius. Source: Sun et al., PWC-Net, CVPR 2018,
    arXiv 1709.02371, section 3.

    >>> correlate(torch.ones(1, 2, 1, 1), torch.full((1, 2, 1, 1), 3.0), 1).flatten()
    tensor([0., 0., 0., 0., 3., 0., 0., 0., 0.])
    """
    _check("correlate", f0, f1, radius)
    batch, channels, height, width = f0.shape
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    below, right = rows * BLOCK - height, columns * BLOCK - width
    reach, span = BLOCK + 2 * radius, 2 * radius + 1
    with torch.autocast(f0.device.type, enabled=False):
        squares = F.pad(_exact(f0) / channels, (0, right, 0, below)).view(batch, channels, rows, BLOCK, columns, BLOCK)
        squares = squares.permute(0, 2, 4, 3, 5, 1).reshape(batch * rows * columns, BLOCK**2, channels)
        around = F.pad(_exact(f1), (radius, radius + right, radius, radius + below))
        around = around.unfold(2, reach, BLOCK).unfold(3, reach, BLOCK)  # B C rows columns reach reach
        around = around.permute(0, 2, 3, 1, 4, 5).reshape(batch * rows * columns, channels, reach**2)
        products = torch.bmm(squares, around).view(-1)  # each pixel of a square with each around it
    # of those, pixel (y, x) of a square keeps rows y … y + 2r and columns x … x + 2r
    one = BLOCK**2 * reach**2
    near = products.as_strided(
        (batch, rows, columns, BLOCK, BLOCK, span, span),
        (rows * columns * one, columns * one, one, BLOCK * reach**2 + reach, reach**2 + 1, reach, 1),
    )
    volume = near.permute(0, 5, 6, 1, 3, 2, 4).reshape(batch, span**2, rows * BLOCK, columns * BLOCK)
    return volume[..., :height, :width]


def pool(features: Float[Tensor, "b c h w"], levels: int) -> list[Tensor]:
    """Pyramid of `levels`, each the mean of 2 × 2 of the one before; an odd last row or column is dropped.

    Raises ContractError if the smallest would be empty.
    """
    if min(features.shape[-2:]) < 2 ** (levels - 1):
        raise ContractError(
            f"pool: {levels} levels need {2 ** (levels - 1)} rows and columns, got {tuple(features.shape)}."
        )
    pyramid = [features]
    for _ in range(levels - 1):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
    return pyramid


def correlate_all(f0: Float[Tensor, "b c h w"], f1: Float[Tensor, "b c h w"], levels: int) -> list[Tensor]:
    """For every place of f0 its picture of matches in f1, as a pyramid: level k is (b·h·w) 1 h/2ᵏ w/2ᵏ.

    A match is ⟨f0, f1⟩ / √channels. Takes (4/3)(h·w)² numbers for each member of the batch.
    Raises ContractError if sizes differ or the smallest level would be empty. Source: Teed and Deng, RAFT, ECCV 2020,
    arXiv 2003.12039, section 3.2.
    """
    _check("correlate_all", f0, f1, 0)
    batch, channels, height, width = f0.shape
    with torch.autocast(f0.device.type, enabled=False):
        volume = torch.bmm((_exact(f0) / math.sqrt(channels)).flatten(2).transpose(1, 2), _exact(f1).flatten(2))
    return pool(volume.view(batch * height * width, 1, height, width), levels)


def look_up(pyramid: Sequence[Tensor], positions: Float[Tensor, "b 2 h w"], radius: int) -> Float[Tensor, "b n h w"]:
    """Read `correlate_all`'s pyramid at `positions`/2ᵏ + d for all |dx|, |dy| ≤ `radius`: bilinear, 0 outside.

    `positions` are (x, y) in f1's pixels of level 0. Channel k (2r+1)² + (dx + r)(2r + 1) + dy + r holds level k and
    displacement (dx, dy): column by column, other than in `correlate`, because RAFT's weights expect it.
    """
    batch, _, height, width = positions.shape
    span = 2 * radius + 1
    steps = torch.arange(-radius, radius + 1, device=positions.device)
    centres = positions.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    read = []
    for level, volume in enumerate(pyramid):
        tall, wide = volume.shape[-2:]
        x, y = (centres.to(volume.dtype) / 2**level).unbind(-1)
        x = (x + steps[:, None]).expand(-1, span, span)
        y = (y + steps).expand(-1, span, span)
        grid = torch.stack([(2 * x + 1) / wide - 1, (2 * y + 1) / tall - 1], -1)
        matches = F.grid_sample(volume, grid, "bilinear", "zeros", align_corners=False)
        read.append(matches.view(batch, height, width, span**2))
    return torch.cat(read, -1).permute(0, 3, 1, 2).contiguous()


def look_up_directly(
    f0: Float[Tensor, "b c h w"], pyramid: Sequence[Tensor], positions: Float[Tensor, "b 2 h w"], radius: int
) -> Float[Tensor, "b n h w"]:
    """`look_up(correlate_all(f0, f1, levels), …)` without the volume; `pyramid` is `pool(f1, levels)`.

    Means of matches are matches of means, so that coarse levels need only coarse features. Each place multiplies the
    (2r + 2)² features around its position and blends four of the products for each displacement. It takes some twenty
    times as long as reading a volume that is there already: for pictures whose volume does not fit into memory.
    """
    batch, channels, height, width = f0.shape
    span = 2 * radius + 1
    steps = torch.arange(-radius, radius + 2, device=f0.device)
    sources = (_exact(f0) / math.sqrt(channels)).permute(0, 2, 3, 1).reshape(-1, channels)
    centres = positions.permute(0, 2, 3, 1).reshape(-1, 2).to(sources.dtype)
    members = torch.arange(batch, device=f0.device).repeat_interleave(height * width)
    read = []
    for level, f1 in enumerate(pyramid):
        tall, wide = f1.shape[-2:]
        targets = _exact(f1).permute(0, 2, 3, 1).reshape(-1, channels)
        parts = []
        for first in range(0, len(sources), PLACES):
            part = slice(first, first + PLACES)
            source, centre, member = sources[part], centres[part], members[part]
            # far outside all is 0; whole numbers beyond int64 are not defined
            x, y = (
                (at / 2**level).clamp(-radius - 2, length + radius + 1)
                for at, length in zip(centre.unbind(1), (wide, tall), strict=True)
            )
            columns = x.detach().floor().long()[:, None, None] + steps[:, None]  # place, dx, dy
            rows = y.detach().floor().long()[:, None, None] + steps
            inside = (columns >= 0) & (columns < wide) & (rows >= 0) & (rows < tall)
            index = (member[:, None, None] * tall + rows.clamp(0, tall - 1)) * wide + columns.clamp(0, wide - 1)
            near = targets.index_select(0, index.flatten()).view(len(index), -1, channels)
            whole = (near * source[:, None]).sum(-1).view(index.shape) * inside
            right, below = ((at - at.detach().floor())[:, None, None] for at in (x, y))
            whole = whole[:, :-1].lerp(whole[:, 1:], right)
            parts.append(whole[..., :-1].lerp(whole[..., 1:], below).flatten(1))
        read.append(torch.cat(parts).view(batch, height, width, span**2))
    return torch.cat(read, -1).permute(0, 3, 1, 2).contiguous()


def _exact(features: Tensor) -> Tensor:
    return features.to(torch.promote_types(features.dtype, torch.float32))


def _check(who: str, f0: Tensor, f1: Tensor, radius: int) -> None:
    if f0.ndim != 4 or f0.shape != f1.shape:
        raise ContractError(f"{who} needs features of one size, B C H W; got {tuple(f0.shape)} and {tuple(f1.shape)}.")
    if radius < 0:
        raise UsageError(f"{who}: radius must not be negative, got {radius}.")
