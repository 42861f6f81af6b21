"""SepConv: every new pixel is a sum over two large patches, by kernels that a network makes for this pixel alone.

Niklaus, Mai, Liu: "Video Frame Interpolation via Adaptive Separable Convolution", ICCV 2017, arXiv 1708.01692.

There is no flow. For each pixel half-way between two frames a U-net gives four vectors of 51 numbers, a column V and a
row H for each frame. Column times row is a kernel of 51 × 51, which takes its pixel from wherever it was in the frame,
sharp or blurred, and from neither frame if it is hidden there.

    prepare   I0, I1 side by side, 6 channels                                     1     6
              encoder: three convolutions at each size, averages of 2 × 2         1, 1/2, 1/4, 1/8, 1/16   32 … 512
              three more at the bottom                                            1/32  512
              decoder: enlarge, convolve, + encoder's of this size; three more    1/16 … 1/2   512 … 64
    render    four heads: three convolutions at 1/2, enlarge, one at full size    V0, H0, V1, H1: 51 each
              out(y, x) = Σ over both frames, i and j of I(y + i − 25, x + j − 25)·V(i, y, x)·H(j, y, x)

Kernels are not normalised and may be negative; the frames' edges are repeated outside. All convolutions are 3 × 3 with
zeros around them, ReLU after all but the heads' last. What lies further off than 25 pixels cannot be reached.

| configuration | widths | taps | parameters | multiply-adds at 256 × 256, sampling apart |
|---|---|---|---|---|
| published | 32 64 128 256 512 | 51 | 21,675,452 | 24.9 G |
| `sepconv-s`, ours | 16 32 64 128 256 | 39 | 5,468,236 | 8.6 G |

Where we differ from the authors' code: the network sees RGB, theirs BGR (`from_official` turns the first convolution
round). Sizes are multiples of 32, which is what halving five times needs; theirs pads to 128, which moves nothing but
what the network sees beyond the right and lower edge. Without a gradient, kernels at full size are made and used in
strips of rows, and never kept: the same numbers up to rounding, in a fraction of the memory. There is no largest size.
Fine-tuning for looks adds LPIPS to L1 (`perceive`), where the paper's L_F is the squared distance of VGG19's relu4_4
alone: no installable package carries VGG19.
`sepconv-s` divides by the sum of all it weighs with, as SepConv++ does (Niklaus, Mai, Wang, WACV 2021, arXiv
2011.01280). Adam moves the hundreds of weights of each tap alike, which together would turn a picture bright or dark
within one step; divided, brightness cannot go wrong.
First weights are ours: He et al. 2015 for ReLU; the heads' last convolution says √½ at the middle tap and almost
nothing else, so that training begins with the mean of both frames.
"""

import math
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import UsageError
from midframe.losses.perceptual import lpips
from midframe.losses.pixel import l1
from midframe.nn.layers import exact
from midframe.nn.pair import Time, check_pair, check_size, read_times
from midframe.ops.local_conv import separable_conv
from midframe.ops.perception import Network
from midframe.types import Batch, Contract

STRIP = 1 << 17  # pixels whose kernels are in memory together, where no gradient is asked for: 27 MB for each 51 taps
FIRST = 1e-4  # standard deviation of the first weights of the heads' last convolution
TINY = 0.01  # a sum of kernels nearer to 0 is not divided by; authors' code of SepConv++


def _basic(inputs: int, outputs: int) -> nn.Sequential:
    """Three convolutions; names as in the authors' files: 0, 2, 4."""
    return nn.Sequential(
        _conv(inputs, outputs), nn.ReLU(inplace=True),
        _conv(outputs, outputs), nn.ReLU(inplace=True),
        _conv(outputs, outputs), nn.ReLU(inplace=True),
    )  # fmt: skip


def _enlarge(width: int) -> nn.Sequential:
    return nn.Sequential(_double(), _conv(width, width), nn.ReLU(inplace=True))


def _head(width: int, taps: int) -> nn.Sequential:
    """From features at half size to one vector of `taps` numbers for each pixel."""
    return nn.Sequential(
        _conv(width, width), nn.ReLU(inplace=True),
        _conv(width, width), nn.ReLU(inplace=True),
        _conv(width, taps), nn.ReLU(inplace=True),
        _double(), _conv(taps, taps),
    )  # fmt: skip


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, 1, 1)


def _double() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


class SepConv(nn.Module):
    """Synthesizer for the frame half-way between two frames.

    widths   channels at 1, 1/2, 1/4, 1/8, 1/16
    taps     length of the kernels' columns and rows; odd. What is further off than taps // 2 pixels is out of reach
    divide   the answer by the sum of both kernels: SepConv++

    The state is {"frames": B 2 3 H W, "features": B C H/2 W/2}; the object holds parameters only.
    """

    contract = Contract(times=(Fraction(1, 2),), multiple=32, minimum=32)

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int, int] = (32, 64, 128, 256, 512),
        taps: int = 51,
        divide: bool = False,
    ) -> None:
        super().__init__()
        if taps < 1 or taps % 2 == 0:
            raise UsageError(f"SepConv: taps must be odd, so that there is a middle one, got {taps}.")
        self.reach, self.divide = taps // 2, divide
        self.perception: tuple[Network, float] | None = None
        c1, c2, c3, c4, c5 = widths
        self.netConv1, self.netConv2, self.netConv3 = _basic(6, c1), _basic(c1, c2), _basic(c2, c3)
        self.netConv4, self.netConv5 = _basic(c3, c4), _basic(c4, c5)
        self.netDeconv5, self.netUpsample5 = _basic(c5, c5), _enlarge(c5)
        self.netDeconv4, self.netUpsample4 = _basic(c5, c4), _enlarge(c4)
        self.netDeconv3, self.netUpsample3 = _basic(c4, c3), _enlarge(c3)
        self.netDeconv2, self.netUpsample2 = _basic(c3, c2), _enlarge(c2)
        self.netVertical1, self.netVertical2 = _head(c2, taps), _head(c2, taps)
        self.netHorizontal1, self.netHorizontal2 = _head(c2, taps), _head(c2, taps)
        self._begin_with_the_mean()

    def _begin_with_the_mean(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        for head in self._heads():
            nn.init.normal_(head.get_parameter("7.weight"), std=FIRST)
            with torch.no_grad():
                head.get_parameter("7.bias")[self.reach] = math.sqrt(0.5)

    def _heads(self) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential, nn.Sequential]:
        """Column and row of frame 0, column and row of frame 1."""
        return self.netVertical1, self.netHorizontal1, self.netVertical2, self.netHorizontal2

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """What the heads start from. Raises ContractError if the frames are not two, or of another size."""
        check_pair("SepConv", frames, self.contract)
        x = self.netConv1(frames.flatten(1, 2))
        sizes = []
        for conv in (self.netConv2, self.netConv3, self.netConv4, self.netConv5):
            x = conv(F.avg_pool2d(x, 2))
            sizes.append(x)
        x = self.netDeconv5(F.avg_pool2d(x, 2))
        x = self.netUpsample5(x) + sizes.pop()
        x = self.netUpsample4(self.netDeconv4(x)) + sizes.pop()
        x = self.netUpsample3(self.netDeconv3(x)) + sizes.pop()
        x = self.netUpsample2(self.netDeconv2(x)) + sizes.pop()
        return {"frames": frames, "features": x}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame half-way, not clamped. Raises ContractError unless t is 1/2 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("SepConv", size, frames)
        read_times("SepConv", t, frames, self.contract)
        padded = [F.pad(frame, [self.reach] * 4, mode="replicate") for frame in frames.unbind(1)]
        if torch.is_grad_enabled():
            return self._sample(padded, self._make_kernels(state["features"]))
        return self._render_in_strips(padded, state["features"])

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def find_kernels(self, state: dict[str, Any]) -> Float[Tensor, "b 2 2 k h w"]:
        """Every pixel's kernels, for looking at: of frame 0 and of frame 1, each its column V and its row H.

        At 1920 × 1080 they are 1.7 GB.
        """
        kernels = self._make_kernels(state["features"])
        return torch.stack([torch.stack(kernels[:2], 1), torch.stack(kernels[2:], 1)], 1)

    def _make_kernels(self, features: Float[Tensor, "b c h/2 w/2"]) -> list[Float[Tensor, "b k h w"]]:
        return [self._finish(head, head[:7](features)) for head in self._heads()]

    def _finish(self, head: nn.Sequential, x: Float[Tensor, "b k h w"], zeros: int = 1) -> Float[Tensor, "b k h2 w"]:
        """The head's last convolution with `zeros` rows of zeros above and below.

        Always in float32: what bfloat16 rounds a kernel by is seen as a step of brightness.
        """
        last = head[7]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(exact(x), exact(last.weight), exact(last.bias), 1, (zeros, 1))

    def _sample(self, padded: list[Float[Tensor, "b 3 h2 w2"]], kernels: list[Tensor]) -> Float[Tensor, "b 3 h w"]:
        v0, h0, v1, h1 = kernels
        made = separable_conv(padded[0], v0, h0) + separable_conv(padded[1], v1, h1)
        if not self.divide:
            return made
        total = v0.sum(1, True) * h0.sum(1, True) + v1.sum(1, True) * h1.sum(1, True)
        return (made / torch.where(total.abs() < TINY, 1, total)).to(made.dtype)

    def _render_in_strips(
        self, padded: list[Float[Tensor, "b 3 h2 w2"]], features: Float[Tensor, "b c h/2 w/2"]
    ) -> Float[Tensor, "b 3 h w"]:
        """Kernels are enlarged, finished, used and forgotten for a few rows at a time."""
        lows = [(head, head[:6](features)) for head in self._heads()]
        height, width = 2 * features.shape[-2], 2 * features.shape[-1]
        tall = max(STRIP // width, 1)
        strips = []
        for first in range(0, height, tall):
            stop = min(first + tall, height)
            kernels = [self._finish(head, _enlarge_rows(low, first - 1, stop + 1), 0) for head, low in lows]
            strips.append(self._sample([image[:, :, first : stop + 2 * self.reach] for image in padded], kernels))
        return torch.cat(strips, 2)

    def perceive(self, network: Network, weight: float) -> None:
        """From now on the loss also holds `weight` times the mean LPIPS, as `network` sees it."""
        self.perception = network, weight

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean |difference|, paper, section 3.2; with `perceive` also LPIPS. Returns "loss" and its parts.

        Raises ContractError if the frames are not two, or a target is not half-way or of another size.
        """
        check_pair("SepConv", batch.frames, self.contract)
        count = batch.targets.shape[1]
        frames = batch.frames.repeat_interleave(count, 0)
        truth = batch.targets.flatten(0, 1)
        made = self(frames, batch.target_times.flatten())
        parts = {"l1": l1(made, truth)}
        if self.perception is not None:
            network, weight = self.perception
            parts["lpips"] = weight * lpips(made.clamp(0, 1), truth, network)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}


def _enlarge_rows(low: Float[Tensor, "b k h w"], first: int, stop: int) -> Float[Tensor, "b k rows 2*w"]:
    """Rows `first` to `stop` of what `_double` makes of `low`, with a row of zeros above and one below all."""
    height, width = low.shape[-2:]
    above, below = max(-first, 0), max(stop - 2 * height, 0)
    rows = torch.arange(first + above, stop - below, device=low.device)
    place = rows * ((height - 1) / (2 * height - 1))
    upper = place.long()
    lower = (upper + 1).clamp_max(height - 1)
    mixed = torch.lerp(low[:, :, upper], low[:, :, lower], (place - upper).to(low.dtype)[:, None])
    wide = F.interpolate(mixed, (len(rows), 2 * width), mode="bilinear", align_corners=True)
    return F.pad(wide, (0, 0, above, below))


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' checkpoint for frames in RGB: older names ("moduleConv1") made new, the first convolution turned
    from BGR to RGB. Kernels treat the three channels alike, so nothing else knows of colour."""
    named = {f"net{key.removeprefix('module')}" if key.startswith("module") else key: v for key, v in state.items()}
    first = "netConv1.0.weight"
    return {**named, first: named[first][:, [2, 1, 0, 5, 4, 3]].contiguous()}
