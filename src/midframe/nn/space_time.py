"""What systems that make video larger and finer in time have in common: an encoder of frames and of those between.

Xiang, Tian, Zhang, Fu, Allebach, Xu: "Zooming Slow-Mo: Fast and Accurate One-Stage Space-Time Video Super-Resolution",
CVPR 2020, arXiv 2002.11616. VideoINR and its followers take the same encoder.

    features   each frame: 3×3, 5 residual blocks                                       C H W
    between    two neighbours aligned with each other, both ways, 1×1                   C H W
    sequence   frame, between, frame, between, … frame: 2N − 1 maps in time
    memory     a ConvLSTM over the sequence, forwards and backwards with the same weights; what it remembers is aligned
               with what it reads next before it is used
    blocks     40 residual blocks, each map alone

To align is to convolve with kernels whose taps are moved, place by place, to where the other picture's content is
(`ops.deformable`), coarse to fine on three levels. Leaky ReLU with a slope of 0.1 throughout.

Names of parameters are ours. The gates of the memory are in the order i, f, g, o of `nn.conv_lstm`, not i, f, o, g.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.nn.conv_lstm import ConvLSTMCell, Memory
from midframe.nn.layers import resize
from midframe.nn.pair import read_times
from midframe.ops.deformable import deformable_conv
from midframe.types import Batch, Contract

SLOPE = 0.1  # of the leaky ReLU
QUIET = 0.1  # what the first weights of residual blocks are multiplied by: authors' code
MULTIPLE = 4  # sizes are halved twice


class Levels(NamedTuple):
    """Features of one picture at full, half and quarter size, each B C h w."""

    full: Tensor
    half: Tensor
    quarter: Tensor


def conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    """3×3 with bias."""
    return nn.Conv2d(inputs, outputs, 3, stride, 1)


def lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


class ResidualBlock(nn.Module):
    """x + 3×3(ReLU(3×3 x)), quiet at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(width, width), conv(width, width)
        for one in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(one.weight)
            one.weight.data.mul_(QUIET)
            nn.init.zeros_(one.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.conv2(F.relu(self.conv1(x)))


class Pyramid(nn.Module):
    """Features at half and quarter size from those at full size: each time one convolution down and one more."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down1, self.more1 = conv(width, width, stride=2), conv(width, width)
        self.down2, self.more2 = conv(width, width, stride=2), conv(width, width)

    def forward(self, full: Float[Tensor, "b c h w"]) -> Levels:
        half = lrelu(self.more1(lrelu(self.down1(full))))
        return Levels(full, half, lrelu(self.more2(lrelu(self.down2(half)))))


class Deform(nn.Module):
    """A modulated deformable convolution whose offsets and modulation are read from other features.

    Offsets begin as 0 and the modulation as ½: half of a plain convolution.
    """

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.taps = 9 * groups
        self.offset = conv(width, 3 * self.taps)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]
        bound = (9 * width) ** -0.5
        self.weight = nn.Parameter(torch.empty(width, width, 3, 3).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "b c h w"], guide: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        offset, modulation = self.offset(guide).split((2 * self.taps, self.taps), 1)
        return deformable_conv(x, offset, torch.sigmoid(modulation), self.weight, self.bias)


class Coarsest(nn.Module):
    """The level where aligning begins."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.compare, self.guide = conv(2 * width, width), conv(width, width)
        self.deform = Deform(width, groups)

    def forward(self, moved: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """What the next level's offsets are read from, and the aligned features, without activation."""
        guide = lrelu(self.guide(lrelu(self.compare(torch.cat([moved, other], 1)))))
        return guide, self.deform(moved, guide)


class Finer(nn.Module):
    """A level that goes on from what the level of half its size found."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.compare, self.refine, self.guide = conv(2 * width, width), conv(2 * width, width), conv(width, width)
        self.deform = Deform(width, groups)
        self.merge = conv(2 * width, width)

    def forward(self, moved: Tensor, other: Tensor, guide: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """As `Coarsest`."""
        found = lrelu(self.compare(torch.cat([moved, other], 1)))
        found = lrelu(self.refine(torch.cat([found, 2 * resize(guide, 2)], 1)))
        guide = lrelu(self.guide(found))
        return guide, self.merge(torch.cat([self.deform(moved, guide), resize(coarse, 2)], 1))


class Align(nn.Module):
    """Features of one picture brought to where another's are: level by level, offsets refined as features are."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.coarse, self.middle, self.fine = Coarsest(width, groups), Finer(width, groups), Finer(width, groups)

    def forward(self, moved: Levels, other: Levels) -> Float[Tensor, "b c h w"]:
        guide, made = self.coarse(moved.quarter, other.quarter)
        guide, made = self.middle(moved.half, other.half, guide, lrelu(made))
        return self.fine(moved.full, other.full, guide, lrelu(made))[1]


class AlignBoth(nn.Module):
    """Two pictures, each aligned with the other by weights of its own, and both fused: features between them."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.first, self.second = Align(width, groups), Align(width, groups)
        self.fuse = nn.Conv2d(2 * width, width, 1)

    def forward(self, first: Levels, second: Levels) -> Float[Tensor, "b c h w"]:
        return self.fuse(torch.cat([self.first(first, second), self.second(second, first)], 1))


class Meet(nn.Module):
    """Features of one picture and of another fused, each aligned with the other; one pyramid serves both."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.pyramid, self.align = Pyramid(width), AlignBoth(width, groups)

    def forward(self, x: Float[Tensor, "b c h w"], other: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.align(self.pyramid(x), self.pyramid(other))


class DeformableLSTM(nn.Module):
    """A ConvLSTM whose hidden state and cell each meet the new features, by weights of their own, if `align`."""

    def __init__(self, width: int, groups: int, *, align: bool) -> None:
        super().__init__()
        self.hidden = Meet(width, groups) if align else None
        self.carried = Meet(width, groups) if align else None
        self.cell = ConvLSTMCell(width, width)

    def forward(self, sequence: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t c h w"]:
        """The hidden state after each map; it begins as 0."""
        memory = self.cell.start(sequence[:, 0])
        made = []
        for x in sequence.unbind(1):
            if self.hidden is not None and self.carried is not None:
                memory = Memory(self.hidden(x, memory.hidden), self.carried(x, memory.cell))
            memory = self.cell(x, memory)
            made.append(memory.hidden)
        return torch.stack(made, 1)


class SpaceTimeEncoder(nn.Module):
    """From N frames to 2N − 1 maps of features: one for each frame and one between each two.

    width   channels C
    groups  of channels that move together in deformable convolutions
    front, back  residual blocks before and after what looks at time
    align   what the ConvLSTM remembers is aligned with what it reads next. False: a plain ConvLSTM, the paper's
            ablation, which is worse where motion is fast and takes much less time

    Raises UsageError for numbers that cannot be meant.
    """

    def __init__(self, *, width: int = 64, groups: int = 8, front: int = 5, back: int = 40, align: bool = True) -> None:
        super().__init__()
        if min(width, groups) < 1 or min(front, back) < 0 or width % groups:
            raise UsageError(
                f"the encoder's width divides by its groups and blocks are 0 or more, got width {width}, groups "
                f"{groups}, front {front} and back {back}."
            )
        self.first = conv(3, width)
        self.front = nn.Sequential(*(ResidualBlock(width) for _ in range(front)))
        self.pyramid, self.between = Pyramid(width), AlignBoth(width, groups)
        self.memory = DeformableLSTM(width, groups, align=align)
        self.fuse = nn.Conv2d(2 * width, width, 1)
        self.back = nn.Sequential(*(ResidualBlock(width) for _ in range(back)))

    def forward(self, frames: Float[Tensor, "b n 3 h w"]) -> Float[Tensor, "b m c h w"]:
        batch, count = frames.shape[:2]
        levels = self.pyramid(self.front(lrelu(self.first(frames.flatten(0, 1)))))
        alone = Levels(*(level.unflatten(0, (batch, count)) for level in levels))
        before = Levels(*(level[:, :-1].flatten(0, 1) for level in alone))
        after = Levels(*(level[:, 1:].flatten(0, 1) for level in alone))
        between = self.between(before, after).unflatten(0, (batch, count - 1))
        there = alone.full
        maps = [m for k in range(count - 1) for m in (there[:, k], between[:, k])]
        sequence = torch.stack([*maps, there[:, -1]], 1)
        # both directions at once: their weights are the same
        ways = self.memory(torch.cat([sequence, sequence.flip(1)]))
        forwards, backwards = ways[:batch], ways[batch:].flip(1)
        fused = self.fuse(torch.cat([forwards, backwards], 2).flatten(0, 1))
        return self.back(fused).unflatten(0, (batch, 2 * count - 1))


def check_window(who: str, frames: Tensor, contract: Contract) -> None:
    """Raises ContractError unless `frames` are B N 3 H W with the contract's N and a size that fits it."""
    assert contract.inputs is not None
    count = len(contract.inputs)
    if frames.ndim != 5 or frames.shape[1:3] != (count, 3):
        raise ContractError(f"{who} reads {count} RGB frames, B {count} 3 H W; got {tuple(frames.shape)}.")
    height, width = frames.shape[-2:]
    if height % contract.multiple or width % contract.multiple or min(height, width) < contract.minimum:
        raise ContractError(
            f"{who} needs height and width to be multiples of {contract.multiple}, at least {contract.minimum}; "
            f"got {height}×{width}. Pad them (midframe.ops.pad) and cut the result."
        )


def choose_size(
    who: str, size: tuple[int, int] | None, frames: Tensor, contract: Contract, usual: float
) -> tuple[int, int]:
    """The (height, width) to render: `size`, or `usual` times that of the frames, … H W.

    Raises ContractError if it is not within the contract's scale, a pixel aside.
    """
    height, width = frames.shape[-2:]
    if size is None:
        return round(height * usual), round(width * usual)
    least, most = contract.scale
    pairs = ((size[0], height), (size[1], width))
    if not all(round(least * side) - 1 < asked < round(most * side) + 1 for asked, side in pairs):
        span = f"{least:g} times" if least == most else f"{least:g} to {most:g} times"
        raise ContractError(f"{who} makes {height}×{width} frames {span} as large, asked for {size[0]}×{size[1]}.")
    return int(size[0]), int(size[1])


def check_batch(who: str, batch: Batch, contract: Contract) -> Float[Tensor, "bm 1 1 1"]:
    """The targets' times, one target after the other, if frames, times and targets fit the contract.

    Raises ContractError if they do not.
    """
    check_window(who, batch.frames, contract)
    choose_size(who, (batch.targets.shape[-2], batch.targets.shape[-1]), batch.frames, contract, 1.0)
    return read_times(who, batch.target_times.flatten(), batch.targets.flatten(0, 1), contract)


def blend(frames: Float[Tensor, "b n c h w"], times: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, "b c h w"]:
    """The cross-fade of the two frames around each time; frames lie at 0, 1, 2 …"""
    places = torch.arange(frames.shape[1], dtype=frames.dtype, device=frames.device)
    near = (1 - (times.view(-1, 1) - places).abs()).clamp(min=0)
    return (frames * near[:, :, None, None, None]).sum(1)
