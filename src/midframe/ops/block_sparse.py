"""Chains of 3×3 convolutions computed only where a mask says so, and faster for it on a CPU.

A chain is y₀ = m·prelu(k₀ ∗ x), yᵢ = m·prelu(kᵢ ∗ yᵢ₋₁), answer = Σ Aᵢ·yᵢ + bias: no convolution has a bias, so that
what the mask m leaves out is 0 and stays 0, and the answer there is the bias.

    dense   everything is computed, then multiplied by the mask; differentiable, for any mask in [0, 1]
    rows    each place of the mask is a row of numbers; nine neighbours gathered, one matrix product
    tiles   tile × tile places at a time with a border of one, as a batch of small convolutions

All three give the same up to rounding. Which is fastest depends on how many places are left, on how they lie together,
and on the channels: gathering is copying, and convolution is dear only where there are many channels.

Sources: tiles: Ren, Pokrovsky, Yang, Urtasun, "SBNet", CVPR 2018, arXiv 1801.02108; rows: Wang et al., "SMSR", CVPR
2021, arXiv 2006.09603, whose columns are rows here, since a place's channels lie together in memory.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from midframe.errors import ContractError

Way = Literal["dense", "rows", "tiles"]

# Time against the dense way, measured by benchmarks/sparse.py with 76 to 220 channels at 32×56 to 128×224, and with 100
# at 360×640: tiles cost what they cover, and the more their borders weigh; rows cost what they hold, and more once the
# gathered neighbours leave the cache.
TILES, BORDER = 1.1, 1.2
ROWS, ROOM = 1.35, 30e6


def masked_chain(
    x: Float[Tensor, "b c h w"],
    mask: Tensor | None,
    kernels: Sequence[Float[Tensor, "d c2 3 3"]],
    slopes: Sequence[Float[Tensor, " d"]],
    gather: Float[Tensor, "k nd 1 1"],
    bias: Float[Tensor, " k"],
    *,
    tile: int = 8,
    way: Way | None = None,
) -> Float[Tensor, "b k h w"]:
    """The answer of a chain of n convolutions where `mask` is set, `bias` elsewhere.

    mask     B 1 H W: bool, or weights in [0, 1] for "dense"; None: everywhere
    kernels  of the n convolutions, zero padding of one; `slopes` of the PReLU behind each, one per channel
    gather   the 1×1 convolution over all n results, in their order
    tile     side of a tile, in places; best the one that the mask is made of
    way      None: the one that `choose_way` expects to be fastest; "dense" wherever gradients are asked for, off the
             CPU, and for a mask of weights

    The borders of the mask need not be those of tiles. Differentiable the dense way only.

    Raises ContractError if sizes do not fit, or if a mask of weights is to go another way than "dense".
    """
    _check(x, mask, kernels, slopes, gather, tile)
    if mask is None or mask.dtype != torch.bool:
        if way not in (None, "dense"):
            raise ContractError(f"masked_chain: {way!r} needs a mask of bool; a mask of weights goes the dense way.")
        way = "dense"
    elif way is None:
        learning = torch.is_grad_enabled() and any(one.requires_grad for one in (x, gather, bias, *kernels, *slopes))
        way = "dense" if learning or not x.is_cpu else choose_way(mask, kernels[0].shape[0], tile)
    if way == "dense":
        return _go_densely(x, mask, kernels, slopes, gather, bias)
    assert mask is not None
    if not bool(mask.any()):
        return bias.to(x.dtype).view(1, -1, 1, 1).expand(x.shape[0], -1, *x.shape[-2:])
    return _go_sparsely(x, mask, kernels, slopes, gather, bias, 1 if way == "rows" else tile)


def choose_way(mask: Bool[Tensor, "b 1 h w"], channels: int, tile: int) -> Way:
    """The way expected to be fastest on a CPU. Reads the mask once; two means are all that is needed of it."""
    active = float(mask.float().mean())
    covered = float(_cut(mask, tile).flatten(3).any(3).float().mean())
    gathered = active * mask.numel() * 9 * channels * 4  # bytes
    costs: dict[Way, float] = {
        "dense": 1.0,
        "tiles": covered * (TILES + BORDER / tile),
        "rows": active * (ROWS + gathered / ROOM),
    }
    return min(costs, key=lambda way: costs[way])


def _go_densely(
    x: Tensor,
    mask: Tensor | None,
    kernels: Sequence[Tensor],
    slopes: Sequence[Tensor],
    gather: Tensor,
    bias: Tensor,
) -> Tensor:
    made: Tensor | None = None
    for kernel, slope, mix in zip(kernels, slopes, _split(gather, kernels), strict=True):
        x = F.prelu(F.conv2d(x, kernel, padding=1), slope)
        if mask is not None:
            x = x * mask
        made = F.conv2d(x, mix, bias) if made is None else made + F.conv2d(x, mix)
    assert made is not None
    return made


def _go_sparsely(
    x: Tensor,
    mask: Tensor,
    kernels: Sequence[Tensor],
    slopes: Sequence[Tensor],
    gather: Tensor,
    bias: Tensor,
    tile: int,
) -> Tensor:
    """Tiles with a border of one are gathered for each convolution; a tile of one place is a matrix product's row."""
    batch, _, height, width = mask.shape
    tiles = _cut(mask, tile)
    n, row, column = tiles.flatten(3).any(3).nonzero(as_tuple=True)
    inside = tiles[n, row, column]  # t tile tile
    side = torch.arange(-1, tile + 1, device=mask.device)
    down, across = (row * tile)[:, None] + side, (column * tile)[:, None] + side
    here = ((down >= 0) & (down < height))[:, :, None] & ((across >= 0) & (across < width))[:, None]
    places = (n[:, None, None] * height + down[:, :, None]) * width + across[:, None]  # t tile+2 tile+2
    places = places.where(here, 0)
    # what a tile holds outside the mask goes to one place more, and is never read
    targets = torch.where(inside, places[:, 1:-1, 1:-1], mask.numel()).flatten()
    number = torch.full((mask.numel() + 1,), -1, device=mask.device)
    number[targets] = torch.arange(len(targets), device=mask.device)
    known = here & (number[places] >= 0)
    inner = number[places].where(known, 0).flatten()  # where neighbours lie among the rows that were computed
    outside = _find(~known)

    rows, around, empty = _as_rows(x), places.flatten(), _find(~here)
    made: Tensor | None = None
    for kernel, slope, mix in zip(kernels, slopes, _split(gather, kernels), strict=True):
        blocks = rows.index_select(0, around).index_fill_(0, empty, 0)
        if tile == 1:
            y = F.linear(blocks.view(len(n), -1), kernel.permute(0, 2, 3, 1).flatten(1))
        else:
            y = _as_rows(F.conv2d(blocks.view(len(n), tile + 2, tile + 2, -1).permute(0, 3, 1, 2), kernel))
        y = F.prelu(y, slope)
        part = F.linear(y, mix.flatten(1), bias if made is None else None)
        made = part if made is None else made.add_(part)
        rows, around, empty = y, inner, outside
    assert made is not None
    whole = bias.to(made.dtype).expand(mask.numel() + 1, -1).clone(memory_format=torch.contiguous_format)
    whole.index_copy_(0, targets, made)
    return whole[:-1].view(batch, height, width, -1).permute(0, 3, 1, 2)


def _as_rows(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "bhw c"]:
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])  # a view if the maps are channels last


def _find(mask: Tensor) -> Int[Tensor, " z"]:
    return mask.flatten().nonzero().squeeze(1)


def _cut(mask: Bool[Tensor, "b 1 h w"], tile: int) -> Bool[Tensor, "b down across t t"]:
    """Tiles of the mask; beyond its edge nothing is set."""
    height, width = mask.shape[-2:]
    whole = F.pad(mask[:, 0], (0, -width % tile, 0, -height % tile))
    return whole.view(len(mask), -(-height // tile), tile, -(-width // tile), tile).transpose(2, 3)


def _split(gather: Tensor, kernels: Sequence[Tensor]) -> Sequence[Tensor]:
    return torch.split(gather, [kernel.shape[0] for kernel in kernels], 1)


def _check(
    x: Tensor, mask: Tensor | None, kernels: Sequence[Tensor], slopes: Sequence[Tensor], gather: Tensor, tile: int
) -> None:
    if mask is not None and mask.shape != (x.shape[0], 1, *x.shape[-2:]):
        raise ContractError(
            f"masked_chain: maps {tuple(x.shape)} need a mask {(x.shape[0], 1, *x.shape[-2:])}, got "
            f"{tuple(mask.shape)}."
        )
    widths = [x.shape[1], *(kernel.shape[0] for kernel in kernels)]
    fits = all(kernel.shape[1:] == (width, 3, 3) for kernel, width in zip(kernels, widths, strict=False))
    if not kernels or not fits or len(slopes) != len(kernels) or gather.shape[1:] != (sum(widths[1:]), 1, 1):
        shapes = [tuple(kernel.shape) for kernel in kernels]
        raise ContractError(
            f"masked_chain: {len(slopes)} slopes, kernels {shapes} and a 1×1 convolution {tuple(gather.shape)} do not "
            f"fit maps of {x.shape[1]} channels."
        )
    if tile < 1:
        raise ContractError(f"masked_chain: a tile has a side of at least 1, got {tile}.")
