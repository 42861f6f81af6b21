"""Inputs smaller than what is to be made of them, for systems that enlarge."""

from dataclasses import replace

import torch

from midframe.data.source import Source
from midframe.ops.resize import resize_cubic
from midframe.types import Batch


class Shrunk:
    """The samples of `source`, square crops, with their inputs shrunk: bicubic with anti-aliasing, rounded to 8 bits.

    shrink  how many times, drawn anew for each batch between these two

    The inputs always have the size of a crop shrunk the most; the targets are cut to as much of the crop as they show.
    """

    def __init__(self, source: Source, shrink: tuple[float, float]) -> None:
        self.source, self.shrink = source, shrink

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        least, most = self.shrink
        times = least + (most - least) * float(torch.rand((), generator=generator))
        batch = self.source.sample(generator, count)
        small = round(batch.frames.shape[-1] / most)
        large = round(small * times)
        frames = resize_cubic(batch.frames[..., :large, :large], (small, small))
        rounded = frames.mul(255).round().clamp(0, 255).div(255)
        return replace(batch, frames=rounded, targets=batch.targets[..., :large, :large].contiguous())
