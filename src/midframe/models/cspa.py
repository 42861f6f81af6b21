"""CSPA: both frames' features are pulled to the middle by deformable convolutions, across scales, without any flow.

Zhou, Li, Han, Lu: "Exploring Motion Ambiguity and Alignment for High-Quality Video Frame Interpolation", CVPR 2023,
arXiv 2203.10291. "Cross-scale pyramid alignment"; the later versions call the system MA-GCSPA.

Features of each frame at three levels are aligned to the middle from coarse to fine, each frame's with the other's to
guide it. What is handed from a level to the next finer one is not where to look but what was found: the aligned
features of *all* coarser levels are enlarged and merged with the frame's own, and it is this merge that is moved next.
Then a gate mixes the two aligned maps place by place and channel by channel, and a stack of residual blocks paints the
frame from nothing but the mixture.

    prepare   m = mean colour of both frames
              F⁰ = blocks(conv(I − m))                   each frame, C channels; level 0 is full size (cspa-s: 1/2)
              F¹, F²: lrelu(conv, stride 2), lrelu(conv)                                          1/2, 1/4 of level 0
              for either frame, G the other's features:
                A² = align(F², G²)
                A¹ = align(conv[up A², F¹], G¹)
                A⁰ = align(conv[up A¹, up up A², F⁰], G⁰)
              M = σ(conv(A⁰ of frame 0) · conv(A⁰ of frame 1)),  F = M·A⁰ of frame 0 + (1 − M)·A⁰ of frame 1
              conv(blocks(F)) + m                                      3 channels (cspa-s: 12, laid out to full size)
    render    what was prepared: it renders t = 1/2 only

    align(x, g)   lrelu(conv[x, g]), blocks, conv -> offset (2 · 9 each group) and σ(modulation) (9 each group);
                  modulated deformable convolution, 3×3, of x
    block         x + conv(relu(conv(x)))
    lrelu         leaky ReLU, slope 0.1; convolutions 3×3, zeros around; up bilinear ×2

| size | C | level 0 | blocks: features; align, fine first; painting | groups | parameters | multiply-adds, 128×128 |
|---|---|---|---|---|---|---|
| CSPA | 128 | 1 | 5; 5, 5, 5; 40 | 8 | 28,655,251 | 360 G |
| CSPA-s | 32 | 1/2 | 1; 1, 1, 2; 2 | 4 | 711,732 | 1.57 G |

The texture consistency loss of the same paper is `losses.texture`; a recipe's `[optim] texture` adds it to any system.

Where we differ, and what is not known: the authors released their loss, but no network. The stages are those of the
paper's figures; the numbers of blocks, channels and groups are ours, chosen so that the parameters come to the
published 28.9 M. Unsure: activations (none after the first convolution, a merge, an alignment or the gate's), the
residual blocks' form (the authors' earlier code narrows them to 90 channels), and the gate, of which the paper says
only that attention mixes the two. That the mean colour is taken off and put back is ours: without it a small step of
the weights is a change of brightness. `from_blend` and a level 0 of reduced size are ours and off in `cspa`.
"""

from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.pixel import l1
from midframe.nn.layers import exact, resize
from midframe.nn.pair import Time, check_pair, check_size, read_times
from midframe.ops.deformable import deformable_conv
from midframe.types import Batch, Contract

SLOPE = 0.1
LEVELS = 3
TAPS = 9  # of a 3×3 kernel
FAINT = 0.1  # fresh residual blocks are scaled by this: the first author's earlier code

Pyramid = list[Tensor]  # fine to coarse


class Block(nn.Module):
    """Residual block without norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(width, width), _conv(width, width)
        for conv in (self.conv1, self.conv2):
            assert conv.bias is not None
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias)
            with torch.no_grad():
                conv.weight *= FAINT

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.conv2(F.relu(self.conv1(x)))


class Features(nn.Module):
    """The pyramid of one frame."""

    def __init__(self, inputs: int, width: int, blocks: int) -> None:
        super().__init__()
        self.first = _conv(inputs, width)
        self.blocks = _stack(width, blocks)
        self.down = nn.ModuleList(
            nn.Sequential(_conv(width, width, stride=2), nn.LeakyReLU(SLOPE), _conv(width, width), nn.LeakyReLU(SLOPE))
            for _ in range(LEVELS - 1)
        )

    def forward(self, image: Float[Tensor, "b c h w"]) -> Pyramid:
        levels = [self.blocks(self.first(image))]
        for down in self.down:
            levels.append(down(levels[-1]))
        return levels


class Align(nn.Module):
    """Moves features to where the guide lets them be: a deformable convolution whose offsets are found from both.

    A fresh one moves nothing: offsets are 0, and the modulation is 1/2.
    """

    def __init__(self, width: int, blocks: int, groups: int) -> None:
        super().__init__()
        self.taps = groups * TAPS
        self.join = _conv(2 * width, width)
        self.blocks = _stack(width, blocks)
        self.point = _conv(width, 3 * self.taps)
        self.move = _conv(width, width)  # its weights are those of the deformable convolution
        for parameter in self.point.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "b c h w"], guide: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        offset, modulation = self.find(x, guide)
        return deformable_conv(x, offset, modulation, self.move.weight, self.move.bias)

    def find(
        self, x: Float[Tensor, "b c h w"], guide: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b o h w"], Float[Tensor, "b m h w"]]:
        """Offsets (dy, dx) in pixels of the level and modulations, ordered as `deformable_conv` takes them."""
        seen = self.blocks(F.leaky_relu(self.join(torch.cat([x, guide], 1)), SLOPE))
        found = exact(self.point(seen))
        return found[:, : 2 * self.taps], torch.sigmoid(found[:, 2 * self.taps :])


class CrossScale(nn.Module):
    """Aligns the pyramid of one frame, coarse to fine, all coarser answers at hand at every level."""

    def __init__(self, width: int, blocks: tuple[int, int, int], groups: int) -> None:
        super().__init__()
        self.align = nn.ModuleList(Align(width, count, groups) for count in blocks)
        self.merge = nn.ModuleList(_conv((LEVELS - level) * width, width) for level in range(LEVELS - 1))

    def forward(self, features: Pyramid, guides: Pyramid) -> Float[Tensor, "b c h w"]:
        """The aligned features of level 0."""
        aligned = [self.align[-1](features[-1], guides[-1])]  # the last one is the finest
        for level in reversed(range(LEVELS - 1)):
            aligned = [resize(one, 2) for one in aligned]
            merged = self.merge[level](torch.cat([*reversed(aligned), features[level]], 1))
            aligned.append(self.align[level](merged, guides[level]))
        return aligned[-1]


class Fusion(nn.Module):
    """A gate of 0…1 for every place and channel, from the product of both maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv0, self.conv1 = _conv(width, width), _conv(width, width)

    def forward(self, a0: Float[Tensor, "b c h w"], a1: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        gate = torch.sigmoid(self.conv0(a0) * self.conv1(a1))
        return gate * a0 + (1 - gate) * a1


class CSPA(nn.Module):
    """Synthesizer for t = 1/2 between two frames.

    width    channels of all features
    extract, align, paint   residual blocks: of the features at level 0, of an alignment at level 0, 1 and 2, of the end
    groups   of channels that a deformable convolution moves together; they divide the width
    reduce   ours: level 0 has 1/reduce of the frames' size; squares of pixels become channels and come back at the end
    from_blend   ours: first weights with which a fresh network shows the blend of both frames. The published one has to
             learn to bring each pixel through all its layers first. Only the start differs: 3·reduce² channels begin
             as the pixels themselves, merges and deformable convolutions pass them on, the end shows them; so what an
             alignment first learns to move is the picture.

    Sizes are multiples of 4·reduce. The state is {"middle": B 3 H W}; the object holds parameters only.
    """

    def __init__(
        self,
        *,
        width: int = 128,
        extract: int = 5,
        align: tuple[int, int, int] = (5, 5, 5),
        paint: int = 40,
        groups: int = 8,
        reduce: int = 1,
        from_blend: bool = False,
    ) -> None:
        super().__init__()
        pixels = 3 * reduce**2
        if min(width, extract, *align, paint, groups, reduce) < 1 or width % groups or width < pixels:
            raise UsageError(
                f"CSPA: width, extract, align, paint, groups and reduce are at least 1, groups divide the width, which "
                f"is at least 3·reduce²; got {width}, {extract}, {align}, {paint}, {groups} and {reduce}."
            )
        self.contract = Contract(times=(Fraction(1, 2),), multiple=reduce * 2 ** (LEVELS - 1))
        self.reduce = reduce
        self.features = Features(pixels, width, extract)
        self.cross0, self.cross1 = CrossScale(width, align, groups), CrossScale(width, align, groups)
        self.fusion = Fusion(width)
        self.blocks = _stack(width, paint)
        self.last = _conv(width, pixels)
        if from_blend:
            self._begin_at_the_blend(pixels)

    @torch.no_grad()
    def _begin_at_the_blend(self, pixels: int) -> None:
        passing = [self.features.first, self.last]
        nn.init.dirac_(self.features.first.weight[:pixels])
        nn.init.dirac_(self.last.weight)
        for block in (*self.features.blocks, *self.blocks):
            assert isinstance(block, Block)
            nn.init.zeros_(block.conv2.weight)
        for module in self.modules():
            if isinstance(module, CrossScale):
                for merge in module.merge:
                    assert isinstance(merge, nn.Conv2d)
                    nn.init.zeros_(merge.weight)
                    nn.init.dirac_(merge.weight[:, -merge.out_channels :])  # the frame's own features come last
                    passing.append(merge)
            elif isinstance(module, Align):
                nn.init.dirac_(module.move.weight)
                module.move.weight *= 2  # the modulation begins at 1/2
                passing.append(module.move)
        for conv in passing:
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
        for parameter in self.fusion.conv1.parameters():
            nn.init.zeros_(parameter)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """The middle frame: there is one time only. Raises ContractError if the frames are not two, or do not fit."""
        check_pair("CSPA", frames, self.contract)
        return {"middle": self._make(frames)}

    def render(
        self, state: dict[str, Any], t: Time = 0.5, size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The middle frame, not clamped. Raises ContractError for another t or size."""
        middle: Tensor = state["middle"]
        check_size("CSPA", size, middle)
        read_times("CSPA", t, middle, self.contract)
        return middle

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time = 0.5) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """L1, not clamped. Returns "loss", and the frames themselves as "made", for the texture loss to judge.

        Raises ContractError for times other than 1/2, or targets of another size.
        """
        check_pair("CSPA", batch.frames, self.contract)
        truth = batch.targets
        if truth.shape[2:] != batch.frames.shape[2:]:
            raise ContractError(
                f"CSPA: targets {tuple(truth.shape[2:])} and frames {tuple(batch.frames.shape[2:])} differ."
            )
        read_times("CSPA", batch.target_times.flatten(), truth.flatten(0, 1), self.contract)
        made = self._make(batch.frames).repeat_interleave(truth.shape[1], 0)
        return {"loss": l1(made, truth.flatten(0, 1)), "made": made}

    def _make(self, frames: Float[Tensor, "b 2 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        mean = frames.mean((1, 3, 4), keepdim=True)
        folded = F.pixel_unshuffle((frames - mean).flatten(0, 1), self.reduce)
        pairs = [level.unflatten(0, (-1, 2)).unbind(1) for level in self.features(folded)]  # one pass for both frames
        sides = [one for one, _ in pairs], [other for _, other in pairs]
        fused = self.fusion(self.cross0(sides[0], sides[1]), self.cross1(sides[1], sides[0]))
        made = F.pixel_shuffle(exact(self.last(self.blocks(fused))), self.reduce)
        return (made + mean[:, 0]).to(frames.dtype)


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1)


def _stack(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(blocks)))
