"""The flow blocks of RIFE's practical line (4.25, 4.26): motion from a time between straight to both frames.

Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022, arXiv 2011.06294, as
released in September 2024 (Practical-RIFE, MIT). Names of parameters are the release's.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

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
    """Flow increment (4), mask logit (1) and features for the next block (8), at the size of what it is shown.

    Shown are, in this order: both frames or what is warped of them (6 channels), their features (8), t (1); and, from
    the second block on, the mask logit (1), the block before's features (8) and the flow so far (4).
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(_halve(inputs, width // 2), _halve(width // 2, width))
        self.convblock = nn.Sequential(*(ResConv(width) for _ in range(8)))
        outputs = 4 + 1 + HANDED_ON
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(width, 4 * outputs, 4, 2, 1), nn.PixelShuffle(2))

    def forward(
        self, x: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b 4 h w"], Float[Tensor, "b 1 h w"], Float[Tensor, "b 8 h w"]]:
        out = self.lastconv(self.convblock(self.conv0(x)))
        return out[:, :4], out[:, 4:5], out[:, 5:]


def flow_blocks(widths: tuple[int, ...]) -> list[IFBlock]:
    """The first block, which sees the frames alone, and the later ones."""
    first = 2 * 3 + 2 * FEATURES + 1
    later = first + 1 + HANDED_ON + 4
    return [IFBlock(first if k == 0 else later, width) for k, width in enumerate(widths)]


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(SLOPE))
