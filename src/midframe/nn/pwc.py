"""PWC-Net: optical flow from coarse to fine by feature pyramid, warping and cost volume.

Sun, Yang, Liu, Kautz: "PWC-Net: CNNs for Optical Flow Using Pyramid, Warping, and Cost Volume", CVPR 2018, arXiv
1709.02371; the form with dense connections and a context network (PWC-DC-Net), which DAIN and QVI estimate flow with.

    encode    three convolutions a level, the first of stride 2          16 32 64 96 128 196 channels at 1/2 … 1/64
    level 6   cost volume of f0 and f1, 81 displacements                 -> flow, 2-channel feature
    level 5…2 flow and feature of the level above, enlarged by learnt transposed convolutions;
              f1 warped by that flow; cost volume with f0; all of this and f0 -> five densely connected convolutions
    level 2   a context network of dilated convolutions (1 2 4 8 16 1) corrects the flow

Flow inside is in 1/20 pixel of the *full* size at every level, so level k warps by 20 / 2ᵏ times it. LeakyReLU 0.1.

Two published sizes: 9,374,274 parameters (QVI; Niklaus's port), and 9,374,340, of which 66 belong to the enlargement of
the flow after level 2 that the authors' code defines and never calls (DAIN; `unused_upflow`).

Where we differ: coordinates are exact (pixel centres at integers), where code of the PyTorch 1.0 era is off by a part
of a pixel from version 1.3 on; a point counts as inside by its coordinates, not by warping a picture of ones and asking
for more than 0.9999; layers that say flow begin near 0, so that a network without weights begins with no motion.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.nn.layers import exact
from midframe.ops.correlate import correlate
from midframe.ops.pad import pad, padded_size
from midframe.ops.warp import warp

Fit = Literal["resize", "pad"]

STRIDE = 64  # of the coarsest level
UNIT = 20.0  # pixels of the full size in one unit of flow
SLOPE = 0.1
CONTEXT = ((1.0, 1), (1.0, 2), (1.0, 4), (0.75, 8), (0.5, 16), (0.25, 1))  # width in parts of the first, dilation
INSIDE = 1e-4  # pixels beyond the edge that still count as inside


class Decoder(nn.Module):
    """One level: cost volume and what is known, through densely connected convolutions, to a flow.

    features  channels of the level's features; 0 for the coarsest, which has a cost volume only
    above     channels that the coarser level's dense block ends with
    level     6 … 2
    """

    def __init__(self, features: int, above: int, widths: tuple[int, ...], md: int, level: int) -> None:
        super().__init__()
        self.md, self.scale = md, UNIT / 2**level
        channels = (2 * md + 1) ** 2
        if features:
            self.upflow = nn.ConvTranspose2d(2, 2, 4, 2, 1)
            self.upfeature = nn.ConvTranspose2d(above, 2, 4, 2, 1)
            channels += features + 4
        self.dense = nn.ModuleList()
        for width in widths:
            self.dense.append(_conv(channels, width))
            channels += width
        self.outputs = channels
        self.flow = nn.Conv2d(channels, 2, 3, 1, 1)

    def forward(
        self, f0: Float[Tensor, "b c h w"], f1: Float[Tensor, "b c h w"], above: tuple[Tensor, Tensor] | None
    ) -> tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b d h w"]]:
        """Flow in units of UNIT pixels, and the block's last features; `above` are those of the coarser level."""
        if above is None:
            x = _costs(f0, f1, self.md)
        else:
            flow, feature = exact(self.upflow(above[0])), self.upfeature(above[1])
            costs = _costs(f0, _warp_inside(f1, self.scale * flow), self.md)
            x = torch.cat([costs, f0, flow.to(f0), feature], 1)
        for conv in self.dense:
            x = torch.cat([conv(x), x], 1)
        return self.flow(x), x


class PWCNet(nn.Module):
    """Flow estimator: displacement from one frame to another, in pixels.

    widths         channels of the features at 1/2 … 1/64
    decoder        channels of each level's densely connected convolutions
    md             largest displacement that a cost volume looks at, pixels of its level
    fit            what is done with sizes that 64 does not divide: "resize" enlarges the frames and scales the flow
                   back (Niklaus, QVI), "pad" repeats the edge and cuts it off (DAIN)
    unused_upflow  hold the 66 parameters of the authors' code that nothing reads; they never learn
    mean           RGB, taken off the frames first

    Frames are RGB in [0, 1]. The object holds parameters only.
    Raises UsageError unless there are six positive widths.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, ...] = (16, 32, 64, 96, 128, 196),
        decoder: tuple[int, ...] = (128, 128, 96, 64, 32),
        md: int = 4,
        fit: Fit = "resize",
        unused_upflow: bool = False,
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        super().__init__()
        if len(widths) != 6 or not decoder or min(*widths, *decoder, md) < 1:
            raise UsageError(
                f"PWCNet: six widths, a decoder's and a displacement, each at least 1; got {widths}, {decoder}, {md}."
            )
        self.fit, self.mean = fit, mean
        self.encoder = nn.ModuleList(
            nn.Sequential(_conv(before, after, stride=2), _conv(after, after), _conv(after, after))
            for before, after in zip((3, *widths), widths, strict=False)
        )
        self.decoders = nn.ModuleList([Decoder(0, 0, decoder, md, 6)])  # levels 6, 5, 4, 3, 2
        for level in (5, 4, 3, 2):
            self.decoders.append(Decoder(widths[level - 1], self._last().outputs, decoder, md, level))
        channels, layers = self._last().outputs, []
        for part, dilation in CONTEXT:
            width = max(1, round(part * decoder[0]))
            layers.append(_conv(channels, width, dilation=dilation))
            channels = width
        self.context = nn.Sequential(*layers, nn.Conv2d(channels, 2, 3, 1, 1))
        if unused_upflow:
            self.upflow2 = nn.ConvTranspose2d(2, 2, 4, 2, 1).requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for head in (*(one.get_submodule("flow") for one in self.decoders), self.context[-1]):
            nn.init.normal_(head.get_parameter("weight"), std=1e-4)

    def _last(self) -> Decoder:
        last = self.decoders[-1]
        assert isinstance(last, Decoder)
        return last

    def flow(self, frame0: Float[Tensor, "b 3 h w"], frame1: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
        """Displacement (dx, dy) from frame 0 to frame 1 in pixels of the frames, float32, at their size.

        Raises ContractError unless both are B 3 H W of one size.
        """
        if frame0.ndim != 4 or frame0.shape[1] != 3 or frame0.shape != frame1.shape:
            raise ContractError(
                f"PWCNet reads two RGB frames of one size, B 3 H W; got {tuple(frame0.shape)}, {tuple(frame1.shape)}."
            )
        height, width = frame0.shape[-2:]
        both = torch.cat([frame0, frame1]) - frame0.new_tensor(self.mean).view(3, 1, 1)
        if self.fit == "pad":
            both, (rows, columns) = pad(both, multiple=STRIDE)
            return _enlarge(UNIT * self(both), both.shape[-2:])[..., rows, columns]
        tall, wide = padded_size(height, width, multiple=STRIDE)
        if (tall, wide) != (height, width):
            both = _enlarge(both, (tall, wide))
        flow = _enlarge(UNIT * self(both), (height, width))
        return flow * flow.new_tensor([width / wide, height / tall]).view(1, 2, 1, 1)

    def forward(self, both: Float[Tensor, "b2 3 h w"]) -> Float[Tensor, "b 2 h4 w4"]:
        """Flow at 1/4 in units of 20 pixels, of a batch that holds all first frames, then all second ones; height and
        width divide by 64."""
        levels, x = [], both
        for encode in self.encoder:
            x = encode(x)
            levels.append(x.chunk(2))
        above: tuple[Tensor, Tensor] | None = None
        for decode, (f0, f1) in zip(self.decoders, reversed(levels[1:]), strict=True):
            above = decode(f0, f1, above)
        assert above is not None
        flow, feature = above
        return exact(flow) + exact(self.context(feature))


def _conv(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation), nn.LeakyReLU(SLOPE, inplace=True))


def _costs(f0: Tensor, f1: Tensor, md: int) -> Tensor:
    return F.leaky_relu(correlate(f0, f1, md), SLOPE).to(f0)


def _warp_inside(features: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b c h w"]:
    """`features` where `flow` points; 0 for points outside the picture."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    inside = (x >= -INSIDE) & (x <= width - 1 + INSIDE) & (y >= -INSIDE) & (y <= height - 1 + INSIDE)
    return warp(features, flow) * inside[:, None]


def _enlarge(maps: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
