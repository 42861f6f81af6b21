"""SimVP: all next frames at once, by nothing but convolutions.

Gao, Tan, Wu, Li: "SimVP: Simpler yet Better Video Prediction", CVPR 2022, arXiv 2206.05099; Tan, Gao, Li, Li: "SimVP:
Towards Simple yet Powerful Spatiotemporal Predictive Learning" (gSTA), 2022, arXiv 2211.12509.

Each frame is encoded alone. Then the channels of all frames are laid side by side, as if time were channels, and a
stack of wide blocks with large kernels turns the past's into the future's. Each future frame is decoded alone. There is
no recurrence: errors of one predicted frame do not go into the next.

    encode     each frame: 4 × (3×3, GroupNorm, SiLU), steps of 1, 2, 1, 2          64 H/4 W/4
               what the first of them gives is kept                                 64 H W
    translate  10 frames are 640 channels: 8 blocks, 640 → 512 … 512 → 640          H/4 W/4
    decode     each frame: 4 × (3×3, GroupNorm, SiLU), enlarged at the first and third by pixel shuffle;
               the kept is added before the last; 1×1                               1 H W

    block gSTA       x + γ₁ attend(BN x), then + γ₂ mix(BN x), γ begin at 0.01
      attend         1×1, GELU, u = 1×1(7×7 each 3rd pixel(5×5 x)), the first half times σ of the second, 1×1, + input
      mix            1×1 to 8 times the channels, 3×3, GELU, 1×1                    (5×5, 7×7, 3×3: each channel alone)
    block convmixer  x + BN GELU 11×11 (each channel alone), then BN GELU 1×1

Frame k of the future is decoded from what was kept of frame k of the past: 10 in, 10 out. `prepare` does all the work.

| configuration | encoder | translator | blocks | parameters | multiply-adds, 10 + 10 at 64×64 |
|---|---|---|---|---|---|
| `simvp` | 4 × 64 | 512 | 8 gSTA | 46,769,665 | 16.5 G |
| `simvp/convmixer` | 4 × 64 | 512 | 8 ConvMixer | 3,919,361 | 5.5 G |
| `simvp-s` | 4 × 16 | 128 | 4 gSTA | 1,662,081 | 0.7 G |

Where we differ. OpenSTL, whose figures are what this is compared with, drops paths at random with a probability of 0 in
the published setting: left out. More frames than are made at once are got by reading what was made; see
`midframe.predict`. Checked against a description of chengtan9907/OpenSTL (Apache-2.0).
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import UsageError
from midframe.nn.ahead import ahead, check_future, check_past, choose
from midframe.nn.pair import Time
from midframe.types import Batch

Kind = Literal["gsta", "convmixer"]
RATIO = 8  # by how much the mixing widens the channels
LITTLE = 1e-2  # what each half of a block is multiplied by at the beginning


class ConvBlock(nn.Module):
    """3×3, GroupNorm of two groups, SiLU; at half the size (stride 2), or at twice the size (enlarge)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, enlarge: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs * (4 if enlarge else 1), 3, stride, 1)
        self.norm = nn.GroupNorm(2, outputs)
        self.enlarge = enlarge

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        x = self.conv(x)
        return F.silu(self.norm(F.pixel_shuffle(x, 2) if self.enlarge else x))


class Attend(nn.Module):
    """Large kernels in three thin steps; half of the channels say how much of the other half is kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, width, 1)
        self.near = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.far = nn.Conv2d(width, width, 7, padding=9, dilation=3, groups=width)
        self.gate = nn.Conv2d(width, 2 * width, 1)
        self.leave = nn.Conv2d(width, width, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        value, kept = self.gate(self.far(self.near(F.gelu(self.enter(x))))).chunk(2, 1)
        return x + self.leave(torch.sigmoid(kept) * value)


class GSTA(nn.Module):
    """Gated spatio-temporal attention, then mixing of the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.attend = Attend(width)
        self.mix = nn.Sequential(
            nn.Conv2d(width, RATIO * width, 1),
            nn.Conv2d(RATIO * width, RATIO * width, 3, padding=1, groups=RATIO * width),
            nn.GELU(),
            nn.Conv2d(RATIO * width, width, 1),
        )
        self.scale = nn.Parameter(LITTLE * torch.ones(2, width, 1, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        x = x + self.scale[0] * self.attend(self.norm1(x))
        return x + self.scale[1] * self.mix(self.norm2(x))


class ConvMixer(nn.Module):
    """A large kernel for each channel alone, then one place alone over all channels (Trockman and Kolter 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Sequential(
            nn.Conv2d(width, width, 11, padding=5, groups=width), nn.GELU(), nn.BatchNorm2d(width)
        )
        self.mix = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.mix(x + self.spread(x))


class SimVP(nn.Module):
    """Synthesizer of t = 1, 2, … `frames` from as many frames.

    channels  1: grey, 3: RGB
    frames    read, and made
    width     channels of the encoder and the decoder, even
    steps     blocks of each, even; every second one halves the size, or doubles it
    hidden    channels of the translator
    blocks    of the translator, two or more
    kind      of these blocks: "gsta" or "convmixer"

    The state is {"made": [B C H W, …]}, all of the future; the object holds parameters, and the statistics of batches.
    Raises UsageError for settings that cannot be meant.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        frames: int = 10,
        width: int = 64,
        steps: int = 4,
        hidden: int = 512,
        blocks: int = 8,
        kind: Kind = "gsta",
    ) -> None:
        super().__init__()
        if width < 2 or width % 2 or steps < 2 or steps % 2 or hidden < 1 or blocks < 2:
            raise UsageError(
                "SimVP: width and steps are even and 2 or more, hidden 1 or more and blocks 2 or more, got "
                f"{width}, {steps}, {hidden} and {blocks}."
            )
        if kind not in ("gsta", "convmixer"):
            raise UsageError(f'SimVP: kind is "gsta" or "convmixer", not {kind!r}.')
        stride = 2 ** (steps // 2)
        self.contract = ahead(frames, frames, channels=channels, multiple=stride, minimum=stride)
        self.first = ConvBlock(channels, width)
        self.encoder = nn.Sequential(*(ConvBlock(width, width, stride=1 + k % 2) for k in range(1, steps)))
        block = GSTA if kind == "gsta" else ConvMixer
        wide = frames * width
        widths = [wide, *[hidden] * (blocks - 1)]  # what each block works on
        after = [*widths[1:], wide]
        self.translator = nn.Sequential(
            *(
                nn.Sequential(block(own), nn.Conv2d(own, then, 1) if own != then else nn.Identity())
                for own, then in zip(widths, after, strict=True)
            )
        )
        self.decoder = nn.Sequential(*(ConvBlock(width, width, enlarge=k % 2 == 0) for k in range(steps - 1)))
        self.last = ConvBlock(width, width)
        self.readout = nn.Conv2d(width, channels, 1)

    def prepare(self, frames: Float[Tensor, "b n c h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """All next frames. Raises ContractError for frames that do not fit."""
        check_past("SimVP", frames, self.contract)
        return {"made": list(self._make(frames).to(frames.dtype).unbind(1))}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b c h w"]:
        """The frame at `t`, not clamped. Raises ContractError for another t or size."""
        made: list[Tensor] = state["made"]
        return choose("SimVP", lambda count: made, t, size, made[0], self.contract)

    def forward(self, frames: Float[Tensor, "b n c h w"], t: Time = 1) -> Float[Tensor, "b c h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error of the next frames, as many as the batch has.

        Returns "loss", and "mse", the squared error summed over a frame's values, which is how tables give it. Raises
        ContractError for a batch that does not fit.
        """
        check_future("SimVP", batch, self.contract)
        made = self._make(batch.frames)[:, : batch.targets.shape[1]]
        errors = (made.float() - batch.targets).square()
        return {"loss": errors.mean(), "mse": errors.detach().sum((2, 3, 4)).mean()}

    def _make(self, frames: Float[Tensor, "b n c h w"]) -> Float[Tensor, "b n c h w"]:
        batch, count = frames.shape[:2]
        first = self.first(frames.flatten(0, 1))  # B·N 64 H W
        x = self.encoder(first).unflatten(0, (batch, count)).flatten(1, 2)  # B 64·N H/4 W/4
        x = self.translator(x).unflatten(1, (count, -1)).flatten(0, 1)
        return self.readout(self.last(self.decoder(x) + first)).unflatten(0, (batch, count))
