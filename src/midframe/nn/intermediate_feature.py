"""IFRNet's encoder and decoder, which AMT took over: features of a frame, and flow and feature of the frame between.

Kong et al., "IFRNet: Intermediate Feature Refine Network for Efficient Frame Interpolation", CVPR 2022, arXiv
2205.14620. Names of parameters are the authors'.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midframe.nn.layers import conv_prelu
from midframe.nn.region_prior import Fuse


class Encoder(nn.Module):
    """Four levels, each half the size of the one before: a convolution of stride 2 and one of stride 1."""

    def __init__(self, widths: tuple[int, int, int, int], first_kernel: int) -> None:
        super().__init__()
        inputs = (3, *widths)
        self.pyramid1 = _level(inputs[0], inputs[1], first_kernel)
        self.pyramid2 = _level(inputs[1], inputs[2])
        self.pyramid3 = _level(inputs[2], inputs[3])
        self.pyramid4 = _level(inputs[3], inputs[4])

    def forward(self, image: Float[Tensor, "b 3 h w"], fuse: Fuse | None = None) -> tuple[Tensor, ...]:
        """Features at 1/2, 1/4, 1/8, 1/16; `fuse` changes each before the next is made of it."""
        levels = []
        for stage, pyramid in enumerate((self.pyramid1, self.pyramid2, self.pyramid3, self.pyramid4)):
            image = pyramid(image)
            if fuse is not None:
                image = fuse(stage, image)
            levels.append(image)
        return tuple(levels)


def _level(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(conv_prelu(inputs, outputs, kernel=kernel, stride=2), conv_prelu(outputs, outputs))


class SideBlock(nn.Module):
    """Residual block whose second and fourth convolution see the last `side` channels only, which keeps it cheap."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.conv1 = conv_prelu(width, width)
        self.conv2 = conv_prelu(side, side)
        self.conv3 = conv_prelu(width, width)
        self.conv4 = conv_prelu(side, side)
        self.conv5 = nn.Conv2d(width, width, 3, 1, 1)
        self.prelu = nn.PReLU(width)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        out = self._refine_side(self.conv1(x), self.conv2)
        out = self._refine_side(self.conv3(out), self.conv4)
        return self.prelu(x + self.conv5(out))

    def _refine_side(self, x: Tensor, conv: nn.Module) -> Tensor:
        return torch.cat([x[:, : -self.side], conv(x[:, -self.side :])], 1)


class Decoder(nn.Module):
    """Convolution, side block, then a transposed convolution to twice the size without activation."""

    def __init__(self, inputs: int, width: int, outputs: int, side: int) -> None:
        super().__init__()
        self.convblock = nn.Sequential(
            conv_prelu(inputs, width), SideBlock(width, side), nn.ConvTranspose2d(width, outputs, 4, 2, 1)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        return self.convblock(x)
