"""CAIN: the middle frame without any flow, from channels that attend to motion.

Choi, Kim, Han, Xu, Lee: "Channel Attention Is All You Need for Video Frame Interpolation", AAAI 2020.

Each frame is folded (inverse pixel shuffle): each block of 8 × 8 pixels becomes 64 channels for each colour, and
nothing is lost. A deep stack of residual blocks works on that small picture of many channels. A channel is a place in
the block; each block of the stack scales every channel by one number found from the whole picture, which is the
attention. At the end the channels are unfolded into the middle frame, which is made of nothing but these channels:
there is no motion field, no warping and no mask.

    prepare   x0, x1 = I0 − m0, I1 − m1           m: the mean of a frame's channel over its pixels
              fold by 8, both frames              384 channels at 1/8
              head   3×3                          192
              body   5 × group, + head's answer   192, long skip
              group  12 × block, 3×3, + input     192
              block  3×3, leaky ReLU 0.2, 3×3, attention, + input
              tail   3×3                          192 = 3 · 64
    render    unfold by 8 + (m0 + m1) / 2

    attention a = σ(W₂ ReLU(W₁ mean over the picture)), 192 → 12 → 192; channel c is scaled by a_c

The convolutions of the body reflect at the border, head and tail pad with zeros, as in the authors' code.

| size | fold | width | groups × blocks | parameters | multiply-adds, 128×128 |
|---|---|---|---|---|---|
| CAIN | 8 | 192 | 5 × 12 | 42,780,432 | 10.9 G |

It renders t = 1/2 only. Nothing depends on t, so `prepare` does all the work.

Where we differ from the authors' code: they pad every frame to multiples of 128 at test time, by reflection and on all
sides; 8 is all that the folding needs and what the contract says, so that pictures which are not multiples of 128 have
other borders here, and other means. `residual` is our own and off in `cain`: see `CAIN`. Means and the sum at the end
are in float32. Checked against a description of myungsub/CAIN (MIT) and its table of shapes.
"""

from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.pixel import l1
from midframe.nn.layers import exact
from midframe.nn.pair import Time, check_pair, check_size, read_times
from midframe.types import Batch, Contract

SLOPE = 0.2  # of the leaky ReLU: authors' code, model/common.py


class Convolution(nn.Module):
    """3×3, bias, reflecting at the border."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.conv(x)


class Attention(nn.Module):
    """Scales each channel by one number in 0…1, found from the means of all channels over the picture."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(width, width // reduction, 1), nn.ReLU(), nn.Conv2d(width // reduction, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x * self.conv_du(x.mean((2, 3), keepdim=True))


class Block(nn.Module):
    """Residual block with channel attention."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Convolution(width), nn.LeakyReLU(SLOPE), Convolution(width), Attention(width, reduction)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.body(x)


class Group(nn.Module):
    """Blocks and a convolution, added to what they began with."""

    def __init__(self, width: int, blocks: int, reduction: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(Block(width, reduction) for _ in range(blocks)), Convolution(width))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.body(x)


class Interpolation(nn.Module):
    """From both folded frames to the folded middle."""

    def __init__(self, folded: int, width: int, groups: int, blocks: int, reduction: int) -> None:
        super().__init__()
        self.headConv = nn.Conv2d(2 * folded, width, 3, padding=1)
        self.body = nn.Sequential(*(Group(width, blocks, reduction) for _ in range(groups)))
        self.tailConv = nn.Conv2d(width, folded, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c2 h w"]) -> Float[Tensor, "b c h w"]:
        head = self.headConv(x)
        return self.tailConv(head + self.body(head))


class Encoder(nn.Module):
    """Folds, interpolates, unfolds. The name is the authors'."""

    def __init__(self, fold: int, width: int, groups: int, blocks: int, reduction: int) -> None:
        super().__init__()
        self.fold = fold
        self.interpolate = Interpolation(3 * fold**2, width, groups, blocks, reduction)

    def forward(self, frames: Float[Tensor, "b 2 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        folded = F.pixel_unshuffle(frames.flatten(1, 2), self.fold)
        return F.pixel_shuffle(self.interpolate(folded), self.fold)


class CAIN(nn.Module):
    """Synthesizer for t = 1/2 between two frames.

    fold       side of the block of pixels that becomes channels; sizes must be multiples of it, at least twice
    width      channels of the body
    groups, blocks   residual groups, and blocks of each
    reduction  by how many the attention narrows the channels
    residual   ours: the network's answer is added to the blend of both frames, and a fresh tail is zero, so that
               training begins at the blend. The published one has to learn to bring each pixel through its channels
               first.

    The state is {"middle": B 3 H W}; the object holds parameters only.
    """

    def __init__(
        self,
        *,
        fold: int = 8,
        width: int = 192,
        groups: int = 5,
        blocks: int = 12,
        reduction: int = 16,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if min(fold, groups, blocks, reduction) < 1 or width < reduction:
            raise UsageError(
                f"CAIN: fold, groups, blocks and reduction are at least 1 and width at least reduction, got {fold}, "
                f"{groups}, {blocks}, {reduction} and {width}."
            )
        self.contract = Contract(times=(Fraction(1, 2),), multiple=fold, minimum=2 * fold)  # to reflect takes 2
        self.residual = residual
        self.encoder = Encoder(fold, width, groups, blocks, reduction)
        if residual:
            for parameter in self.encoder.interpolate.tailConv.parameters():
                nn.init.zeros_(parameter)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """The middle frame: there is one time only. Raises ContractError if the frames are not two, or do not fit."""
        check_pair("CAIN", frames, self.contract)
        return {"middle": self._make(frames)}

    def render(
        self, state: dict[str, Any], t: Time = 0.5, size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The middle frame, not clamped. Raises ContractError for another t or size."""
        middle: Tensor = state["middle"]
        check_size("CAIN", size, middle)
        read_times("CAIN", t, middle, self.contract)
        return middle

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time = 0.5) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """L1, not clamped, as the authors'. Returns "loss". Raises ContractError for times other than 1/2."""
        check_pair("CAIN", batch.frames, self.contract)
        truth = batch.targets
        if truth.shape[2:] != batch.frames.shape[2:]:
            raise ContractError(
                f"CAIN: targets {tuple(truth.shape[2:])} and frames {tuple(batch.frames.shape[2:])} differ."
            )
        count = truth.shape[1]
        read_times("CAIN", batch.target_times.flatten(), truth.flatten(0, 1), self.contract)
        made = self._make(batch.frames).repeat_interleave(count, 0)
        return {"loss": l1(made, truth.flatten(0, 1))}

    def _make(self, frames: Float[Tensor, "b 2 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        means = frames.mean((3, 4), keepdim=True)
        made = exact(self.encoder(frames - means))
        return (made + (frames if self.residual else means).mean(1)).to(frames.dtype)


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' checkpoint (its "state_dict") with our names: the same, without DataParallel's "module."."""
    return {key.removeprefix("module."): value for key, value in state.items()}
