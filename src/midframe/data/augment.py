"""What is done to a window before it is learnt from: one `Draw` of chance for each sample, the same for all its frames.

Cropping, flipping, transposing and the order of time and channels only say where pixels are read; brightness is a
factor applied when they become floats. Nothing is clamped but what brightness pushes out of [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from midframe.errors import UsageError


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance decided for one sample. `height`, `width`, `top`, `left` are of the region as it lies in the source;
    then it is transposed, then flipped; then resized to the crop's size if it is not of that size."""

    top: int
    left: int
    height: int
    width: int
    transposed: bool
    flip_x: bool
    flip_y: bool
    reversed: bool
    channels: tuple[int, int, int]
    gain: float

    @property
    def size(self) -> tuple[int, int]:
        """Of the region once it is transposed, (height, width)."""
        return (self.width, self.height) if self.transposed else (self.height, self.width)


@dataclass(frozen=True, slots=True)
class Augment:
    """size         of the crop that comes out, (height, width)
    flips, transpose, reverse, channels   each with probability ½ (channels: one of their six orders)
    brightness   the gain is drawn from 1 ± this
    scales       enlargements to draw from, all alike; 0.5 reads a region of twice the size
    whole        no region is cut: the whole frame is brought to the size, whatever its own shape
    """

    size: tuple[int, int] = (256, 256)
    flips: bool = True
    transpose: bool = True
    reverse: bool = True
    channels: bool = True
    brightness: float = 0.0
    scales: Sequence[float] = (1.0,)
    whole: bool = False

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not self.scales or min(self.scales) <= 0 or not 0 <= self.brightness < 1:
            raise UsageError("augmentation: sizes and scales are positive, brightness lies in [0, 1).")

    def fits(self, height: int, width: int) -> bool:
        """Can a crop be taken from pictures of this size, upright and without reducing?"""
        return self.whole or (height >= self.size[0] and width >= self.size[1])

    def draw(self, generator: np.random.Generator, height: int, width: int) -> Draw:
        """Chance for one sample from pictures of this size. What does not fit (a scale, transposing) is left out."""
        scale = float(self.scales[int(generator.random() * len(self.scales))])
        tall, wide = round(self.size[0] / scale), round(self.size[1] / scale)
        transposed = self.transpose and generator.random() < 0.5
        if self.whole:
            tall, wide = height, width
        elif transposed:
            tall, wide = wide, tall
        if tall > height or wide > width:
            tall, wide = self.size[::-1] if transposed else self.size
        if tall > height or wide > width:
            transposed, tall, wide = False, *self.size
        flip_x, flip_y, backwards = (
            wanted and bool(generator.random() < 0.5) for wanted in (self.flips, self.flips, self.reverse)
        )
        order = tuple(int(c) for c in generator.permutation(3)) if self.channels else (0, 1, 2)
        return Draw(
            top=int(generator.integers(height - tall + 1)),
            left=int(generator.integers(width - wide + 1)),
            height=tall,
            width=wide,
            transposed=transposed,
            flip_x=flip_x,
            flip_y=flip_y,
            reversed=backwards,
            channels=(order[0], order[1], order[2]),
            gain=1.0 + self.brightness * (2 * generator.random() - 1) if self.brightness else 1.0,
        )


NONE = Augment(flips=False, transpose=False, reverse=False, channels=False)


def read_region(frame: UInt8[np.ndarray, "h w 3"], draw: Draw) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The region of `draw` as it is to be seen; a view. Channels are still in their order."""
    region = frame[draw.top : draw.top + draw.height, draw.left : draw.left + draw.width]
    if draw.transposed:
        region = region.swapaxes(0, 1)
    return region[:: -1 if draw.flip_y else 1, :: -1 if draw.flip_x else 1]


def region_index(draw: Draw, width: int) -> tuple[int, int, int]:
    """(origin, down, right): pixel (row, column) of the region as it is to be seen is pixel origin + row·down +
    column·right of a frame `width` pixels wide, in reading order."""
    down, right = (1, width) if draw.transposed else (width, 1)
    height, length = draw.size
    origin = draw.top * width + draw.left
    if draw.flip_y:
        origin, down = origin + (height - 1) * down, -down
    if draw.flip_x:
        origin, right = origin + (length - 1) * right, -right
    return origin, down, right


def resize(frames: Float[Tensor, "b n 3 h w"], size: tuple[int, int]) -> Float[Tensor, "b n 3 h2 w2"]:
    """Bilinear, with the support of an area filter where it reduces."""
    if frames.shape[-2:] == size:
        return frames
    resized = F.interpolate(frames.flatten(0, 1), size, mode="bilinear", antialias=True, align_corners=False)
    return resized.view(*frames.shape[:3], *size)


def as_floats(pixels: UInt8[Tensor, "*b h w 3"], draw: Draw, out: Float[Tensor, "*b 3 h w"]) -> None:
    """Write 8-bit pixels into `out` as RGB in [0, 1], channels in their drawn order, brightened; one pass."""
    for channel, taken in enumerate(draw.channels):
        torch.mul(pixels[..., taken], draw.gain / 255, out=out[..., channel, :, :])
    if draw.gain > 1:
        out.clamp_(max=1)
