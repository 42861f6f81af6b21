"""VFIT: four frames through a transformer of windows in space and time, which says where each pixel is read.

Shi, Xu, Liu, Chen, Yang: "Video Frame Interpolation Transformer", CVPR 2022, arXiv 2111.13817.

There is no flow. A U-net of attention finds features of all four frames at once; from them follow, at three sizes, 25
places in each frame from which each pixel is read, and the weight of each place. The picture of the coarsest size is
enlarged and corrected, twice.

    prepare   m = mean over frames and pixels, one per channel; x0 = stem(I − m)                      32 channels, 1/1
              x1 … x4, each a 3-D convolution of stride (1, 2, 2) and blocks     64 128 256 512 at 1/2 1/4 1/8 1/16
                  x + time(space(norm(x))), x + MLP(norm(x));  space: attention in windows of 8 × 8 of one frame,
                  shifted by 4 in every second block; time: attention of the four frames at one pixel
              d3, d2, d1: transposed 3-D convolution, joined with x3, x2, x1               512 256 128 at 1/8 1/4 1/2
              y3, y2, y1: 3-D convolution and residual block                                        64 at 1/8 1/4 1/2
    render    at twice the size of y:  α, β, w = convolutions of y's frame i                   25 channels each, frame i
                                       share = softmax over frames of convolutions of y
                                       O' = Σ shareᵢ · adacof(Iᵢ resized, wᵢ, αᵢ, βᵢ)                `ops.adacof`
              O3 = O'(y3) at 1/4,  O2 = up(O3) + O'(y2) at 1/2,  O1 = up(O2) + O'(y1): the answer

Tensors inside are B T C H W, T = 4 frames at −1, 0, 1, 2; α moves rows and β columns, pixels of that size. The weights
w add up to 1 at the coarsest size only: the finer ones correct.

| configuration | channels at 1/1 … 1/16 | parameters | multiply-adds at 448×256 |
|---|---|---|---|
| VFIT-B (`vfit`) | 32 64 128 256 512 | 29,082,065 | 293 G |
| VFIT-S (`vfit-s`) | 16 32 64 128 192 | 7,537,489 | 138 G |
| `vfit-xs`, ours: fewer blocks, 9 places | 8 16 32 64 96 | 1,065,345 | 16 G |

Where we differ from the authors' code:

* Places are rounded down; theirs cuts fractions off towards 0, so that samples between −1 and 0 are extrapolated, which
  their weights have learnt with. So those weights would not fit, and there is no conversion of them.
* Where a level is smaller than a window, positions in the smaller window keep their meaning; theirs reads the table of
  positions as if rows still had 8 pixels.
* A fresh network begins as a cross-fade of the inner two frames: the kernels as a Laplacian pyramid (a point at the
  coarsest size; a point less its blur at the finer ones), offsets near 0. Theirs begins with torch's random weights.
* Height and width are multiples of 16; the engine pads. The answer is not clamped; nor is theirs in training.

The loss is the paper's: L1 of the answer alone, none of the coarser pictures. It renders t = 1/2 only, as published.
Checked against a description of zhshi0816/Video-Frame-Interpolation-Transformer and its counts of parameters.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import comb
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.pixel import l1
from midframe.nn.layers import exact, resize
from midframe.nn.pair import Time, check_size, read_times
from midframe.ops.adacof import adacof
from midframe.types import Batch, Contract

FRAMES = 4
STRIDE = 16  # of the coarsest level
WINDOW = 8  # side of a window in space
SLOPE = 0.2  # of LeakyReLU
APART = -100.0  # added to the match of two pixels that only the cyclic shift brought together
POINT = 6.0  # first logit of the middle tap at the coarsest size: ours
OUTER = -3.0  # first logit of the share of the outer frames, beside 0 of the inner ones: ours


class Conv(nn.Module):
    """3×3×3 convolution, in 2-D: of each frame together with the one before and the one after, 0 beyond the ends.

    The same sums as torch's 3-D convolution, which is slow for a batch of one on a CPU thread, and whose weights
    cannot be laid out channels last.

    stride  in space, not in time
    up      transposed instead, to twice the size
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, up: bool = False) -> None:
        super().__init__()
        self.conv = (
            nn.ConvTranspose2d(3 * inputs, outputs, 3, 2, 1, output_padding=1)
            if up
            else nn.Conv2d(3 * inputs, outputs, 3, stride, 1)
        )

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t d h2 w2"]:
        count = x.shape[1]
        longer = F.pad(x, (0, 0, 0, 0, 0, 0, 1, 1))
        y = self.conv(torch.cat([longer[:, k : k + count] for k in range(3)], 2).flatten(0, 1))
        return y.view(-1, count, *y.shape[1:])


class ResBlock(nn.Module):
    """ReLU(x + conv(ReLU(conv(x)))), 3×3×3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Conv(width, width), Conv(width, width)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t c h w"]:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class Attention(nn.Module):
    """Multi-head attention inside groups of pixels, with a learnt bias for each distance between two of them.

    window  frames, rows and columns of the largest group
    """

    def __init__(self, width: int, heads: int, window: tuple[int, int, int]) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        distances = [2 * side - 1 for side in window]
        self.bias = nn.Parameter(torch.empty(distances[0] * distances[1] * distances[2], heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "b g n c"],
        sides: tuple[int, int, int],
        apart: Float[Tensor, "g 1 n n"] | None = None,
    ) -> Float[Tensor, "b g n c"]:
        """Of `g` groups of n = frames · rows · columns = `sides` pixels; `apart` is added to their matches."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)  # b g heads n d
        bias = self.bias[self._distances(sides)].permute(2, 0, 1)[None]  # 1 heads n n
        if apart is not None:
            bias = bias + apart
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(mixed.transpose(2, 3).flatten(3))

    def _distances(self, sides: tuple[int, int, int]) -> Tensor:
        """For each pair of pixels of a group where in the table their distance stands."""
        axes = [torch.arange(side, device=self.bias.device) for side in sides]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)  # 3 n
        step = places[:, :, None] - places[:, None]
        _, rows, columns = self.window
        frame, row, column = (step[k] + self.window[k] - 1 for k in range(3))
        return (frame * (2 * rows - 1) + row) * (2 * columns - 1) + column


class Block(nn.Module):
    """Attention in space, then in time, then a network of each pixel by itself ("Sep-STS").

    shift  pixels by which the windows are moved, if the picture is larger than one
    """

    def __init__(self, width: int, heads: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.space = Attention(width, heads, (1, WINDOW, WINDOW))
        self.time = Attention(width, heads, (FRAMES, 1, 1))
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        x = x + self._in_time(self._in_space(self.norm1(x)))
        return x + self.mlp(self.norm2(x))

    def _in_space(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        size = x.shape[2:4]
        sides = min(WINDOW, size[0]), min(WINDOW, size[1])
        shifts = tuple(self.shift if length > WINDOW else 0 for length in size)
        below, right = (-length % side for length, side in zip(size, sides, strict=True))
        x = F.pad(x, (0, 0, 0, right, 0, below))
        if any(shifts):
            x = x.roll([-shift for shift in shifts], (2, 3))
        batch, frames, height, width, channels = x.shape
        down, across = height // sides[0], width // sides[1]
        windows = x.reshape(batch * frames, down, sides[0], across, sides[1], channels).transpose(2, 3)
        apart = _keep_apart(x, sides, shifts) if any(shifts) else None
        mixed = self.space(windows.reshape(len(windows), down * across, -1, channels), (1, *sides), apart)
        x = mixed.view(windows.shape).transpose(2, 3).reshape(x.shape)
        if any(shifts):
            x = x.roll(shifts, (2, 3))
        return x[:, :, : size[0], : size[1]]

    def _in_time(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        pixels = x.flatten(2, 3).transpose(1, 2)  # b h·w t c
        return self.time(pixels, (x.shape[1], 1, 1)).transpose(1, 2).reshape(x.shape)


def _keep_apart(
    x: Float[Tensor, "b t h w c"], sides: tuple[int, int], shifts: tuple[int, ...]
) -> Float[Tensor, "g 1 n n"]:
    """APART for two pixels of a window that came from opposite edges of the picture, 0 for others."""
    parts = []
    for length, side, shift in zip(x.shape[2:4], sides, shifts, strict=True):
        place = torch.arange(length, device=x.device)
        parts.append(((place >= length - side).long() + (place >= length - shift)).view(-1, side))
    rows, columns = parts
    label = 3 * rows[:, None, :, None] + columns[None, :, None]  # windows down, windows across, rows, columns
    label = label.flatten(2).flatten(0, 1)
    return (label[:, None, :, None] != label[:, None, None]).to(x.dtype) * APART


class Stage(nn.Module):
    """A 3-D convolution to half the size, then blocks."""

    def __init__(self, inputs: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.down = Conv(inputs, width, stride=2)
        self.blocks = nn.Sequential(*[Block(width, heads, WINDOW // 2 * (k % 2)) for k in range(depth)])

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t d h2 w2"]:
        return self.blocks(self.down(x).permute(0, 1, 3, 4, 2)).permute(0, 1, 4, 2, 3)


class Synthesis(nn.Module):
    """A picture of twice the features' size, out of the four frames.

    normalised  the weights of the taps add up to 1
    """

    def __init__(self, width: int, kernel: int, *, normalised: bool) -> None:
        super().__init__()
        self.normalised = normalised
        taps = kernel**2
        self.weights, self.alpha, self.beta = (_head(width, taps, taps) for _ in range(3))
        self.fuse = nn.Conv2d(FRAMES * width, width, 1)
        self.share = _head(width, width, FRAMES)
        with torch.no_grad():
            self.share.get_parameter("5.bias")[[0, -1]] = OUTER
            self.weights.get_parameter("5.bias")[taps // 2] = POINT if normalised else 1.0
            if not normalised:  # enlarging what was made half as large is, on average, this blur
                row = torch.tensor([comb(kernel - 1, k) for k in range(kernel)]) / 2 ** (kernel - 1)
                self.weights.get_parameter("5.bias").sub_((row[:, None] * row).flatten())

    def forward(
        self, features: Float[Tensor, "b 4 c h w"], frames: Float[Tensor, "b 4 3 h2 w2"]
    ) -> Float[Tensor, "b 3 h2 w2"]:
        joined = F.leaky_relu(self.fuse(features.flatten(1, 2)), SLOPE)
        shares = exact(self.share(joined)).softmax(1)
        made = torch.zeros_like(frames[:, 0])
        for k in range(FRAMES):  # one after the other: 75 numbers a pixel are enough at once
            weights, alpha, beta = (exact(head(features[:, k])) for head in (self.weights, self.alpha, self.beta))
            if self.normalised:
                weights = weights.softmax(1)
            made = made + shares[:, k, None].to(made) * adacof(frames[:, k], weights, alpha, beta)
        return made


def _head(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    """Convolutions to maps of twice the size; begins near 0."""
    head = nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, 1, 1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(inputs, middle, 3, 1, 1),
        nn.LeakyReLU(SLOPE),
        nn.ConvTranspose2d(middle, middle, 3, 2, 1, output_padding=1),
        nn.Conv2d(middle, outputs, 3, 1, 1),
    )
    with torch.no_grad():
        head.get_parameter("5.weight").mul_(0.1)
        head.get_parameter("5.bias").zero_()
    return head


class VFIT(nn.Module):
    """Synthesizer for t = 1/2 between the second and the third of four frames.

    widths    channels of the encoder at 1/1, 1/2, 1/4, 1/8, 1/16
    depths    blocks of the four stages
    heads     of attention in the four stages; each divides its stage's width
    features  channels that places and weights are found from
    kernel    taps of a frame for each pixel: its square; odd

    The state is {"frames": B 4 3 H W, "features": three of B 4 C h w, at 1/8, 1/4, 1/2}; the object holds parameters
    only. Raises UsageError for settings that cannot be meant.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int, int] = (32, 64, 128, 256, 512),
        depths: tuple[int, int, int, int] = (2, 2, 6, 2),
        heads: tuple[int, int, int, int] = (2, 4, 8, 16),
        features: int = 64,
        kernel: int = 5,
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise UsageError(f"VFIT: kernel is an odd number, got {kernel}.")
        if any(width % number for width, number in zip(widths[1:], heads, strict=True)):
            raise UsageError(f"VFIT: heads divide the widths from 1/2 down; got {heads} for {widths[1:]}.")
        self.contract = Contract(inputs=(-1, 0, 1, 2), times=(Fraction(1, 2),), multiple=STRIDE, minimum=STRIDE)
        self.stem = nn.Sequential(Conv(3, widths[0]), nn.LeakyReLU(SLOPE), ResBlock(widths[0]))
        self.stages = nn.ModuleList(
            Stage(*pair, depth, number) for pair, depth, number in zip(pairwise(widths), depths, heads, strict=True)
        )
        self.up, self.smooth, self.synthesis = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        inputs = widths[4]
        for level, width in enumerate(reversed(widths[1:4])):
            self.up.append(Conv(inputs, width, up=True))
            inputs = 2 * width
            self.smooth.append(nn.Sequential(Conv(inputs, features), ResBlock(features)))
            self.synthesis.append(Synthesis(features, kernel, normalised=level == 0))

    def prepare(self, frames: Float[Tensor, "b 4 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Features of all frames. Raises ContractError if the frames are not four, or of another size."""
        if frames.ndim != 5 or frames.shape[1:3] != (FRAMES, 3):
            raise ContractError(f"VFIT reads four RGB frames, B 4 3 H W; got {tuple(frames.shape)}.")
        height, width = frames.shape[-2:]
        if height % STRIDE or width % STRIDE or not frames.numel():
            raise ContractError(
                f"VFIT needs height and width to be multiples of {STRIDE}; got {height}×{width}. "
                "Pad them (midframe.ops.pad) and cut the result."
            )
        return {"frames": frames, "features": self._find_features(frames)}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at 1/2, not clamped. Raises ContractError for another t, or if `size` is not the frames'."""
        frames: Tensor = state["frames"]
        check_size("VFIT", size, frames)
        read_times("VFIT", t, frames, self.contract)
        return self.synthesize(frames, state["features"])[-1]

    def forward(self, frames: Float[Tensor, "b 4 3 h w"], t: Time = Fraction(1, 2)) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean absolute difference of the answer. Returns "loss" and "l1", the same.

        Raises ContractError if there is not one target at 1/2, or if shapes do not fit.
        """
        if batch.targets.shape[1] != 1:
            raise ContractError(f"VFIT learns from one target at 1/2, got {batch.targets.shape[1]} of them.")
        read_times("VFIT", batch.target_times[:, 0], batch.frames, self.contract)
        found = l1(self(batch.frames), batch.targets[:, 0])
        return {"loss": found, "l1": found.detach()}

    def synthesize(
        self, frames: Float[Tensor, "b 4 3 h w"], features: Sequence[Float[Tensor, "b 4 c _ _"]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The pictures at 1/4, 1/2 and 1/1 of the size."""
        pictures: list[Tensor] = []
        for part, maps, factor in zip(self.synthesis, features, (0.25, 0.5, 1.0), strict=True):
            small = resize(frames.flatten(0, 1), factor)
            made = part(maps, small.view(*frames.shape[:3], *small.shape[-2:]))
            pictures.append(made + resize(pictures[-1], 2) if pictures else made)
        return pictures[0], pictures[1], pictures[2]

    def _find_features(self, frames: Float[Tensor, "b 4 3 h w"]) -> list[Tensor]:
        """At 1/8, 1/4 and 1/2."""
        x = self.stem(frames - frames.mean((1, 3, 4), keepdim=True))
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        features = []
        x = levels.pop()
        for up, smooth in zip(self.up, self.smooth, strict=True):
            x = torch.cat([F.leaky_relu(up(x), SLOPE), levels.pop()], 2)
            features.append(smooth(x))
        return features
