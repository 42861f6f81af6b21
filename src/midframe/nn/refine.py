"""The refinement that RIFE's versions and EMA-VFI share: a U-Net that adds what is missing; and, of RIFE, a context
pyramid warped by the flow.

Huang et al., ECCV 2022, arXiv 2011.06294, section 3.3 and appendix; state-dict keys as in the authors' code (MIT).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midframe.nn.layers import conv_prelu, resize, upconv_prelu
from midframe.ops.warp import warp


class Halve(nn.Module):
    """Two 3×3 convolutions with PReLU, the first with stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv_prelu(inputs, outputs, stride=2)
        self.conv2 = conv_prelu(outputs, outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        return self.conv2(self.conv1(x))


class Contextnet(nn.Module):
    """Features of one frame at 1/2, 1/4, 1/8, 1/16 (width c, 2c, 4c, 8c), each warped by the flow at its size."""

    def __init__(self, c: int = 16) -> None:
        super().__init__()
        self.conv1 = Halve(3, c)
        self.conv2 = Halve(c, 2 * c)
        self.conv3 = Halve(2 * c, 4 * c)
        self.conv4 = Halve(4 * c, 8 * c)

    def forward(
        self,
        frame: Float[Tensor, "b 3 h w"],
        flow: Float[Tensor, "b 2 h w"],
        fuse: Callable[[int, Tensor], Tensor] | None = None,
    ) -> list[Tensor]:
        """`fuse` makes other features of a stage's, given its number, before they are warped and go on."""
        warped = []
        x = frame
        for number, stage in enumerate((self.conv1, self.conv2, self.conv3, self.conv4)):
            x = stage(x)
            if fuse is not None:
                x = fuse(number, x)
            flow = resize(flow, 0.5) * 0.5
            warped.append(warp(x, flow))  # what goes on to the next stage is not warped
        return warped


class Unet(nn.Module):
    """What to add to the merged frame, in −1…1, from frames, warps, mask logit, flow and both contexts.

    17 → 2c, 4c, 8c, 16c channels at 1/2 … 1/16 and back; sigmoid, then 2x − 1. `seen` is 17, or more where there is
    context at full size, too.
    """

    def __init__(self, c: int = 16, *, seen: int = 17) -> None:
        super().__init__()
        self.down0 = Halve(seen, 2 * c)
        self.down1 = Halve(4 * c, 4 * c)
        self.down2 = Halve(8 * c, 8 * c)
        self.down3 = Halve(16 * c, 16 * c)
        self.up0 = upconv_prelu(32 * c, 8 * c)
        self.up1 = upconv_prelu(16 * c, 4 * c)
        self.up2 = upconv_prelu(8 * c, 2 * c)
        self.up3 = upconv_prelu(4 * c, c)
        self.conv = nn.Conv2d(c, 3, 3, 1, 1)

    def forward(
        self, seen: Float[Tensor, "b s h w"], context0: list[Tensor], context1: list[Tensor]
    ) -> Float[Tensor, "b 3 h w"]:
        s0 = self.down0(seen)
        s1 = self.down1(torch.cat([s0, context0[0], context1[0]], 1))
        s2 = self.down2(torch.cat([s1, context0[1], context1[1]], 1))
        s3 = self.down3(torch.cat([s2, context0[2], context1[2]], 1))
        x = self.up0(torch.cat([s3, context0[3], context1[3]], 1))
        x = self.up1(torch.cat([x, s2], 1))
        x = self.up2(torch.cat([x, s1], 1))
        x = self.up3(torch.cat([x, s0], 1))
        return torch.sigmoid(self.conv(x)) * 2 - 1
