"""Pictures at another size: bicubic or Lanczos resampling, antialiased where it shrinks."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import UsageError

Kernel = Literal["cubic", "lanczos"]


def resize(
    image: Float[Tensor, "*lead h w"], size: tuple[int, int], *, kernel: Kernel = "cubic"
) -> Float[Tensor, "*lead h2 w2"]:
    """`image` at `size` = (height, width); the image itself if it has that size.

    Convention: the corners of the picture stay where they are, pixel centres lie at half-integers. Where it shrinks the
    kernel is as much wider. Taps beyond an edge are left out and the others made to add up to 1, so a flat picture
    stays flat. Not clamped: both kernels overshoot at edges.

    kernel  "cubic": Keys, IEEE TASSP 1981, a = −1/2; "lanczos": sinc within three lobes

    Raises UsageError for a size without pixels.
    """
    if min(size) < 1:
        raise UsageError(f"resize: a size is 1 x 1 or more, got {tuple(size)}.")
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    flat = image.reshape(1, -1, *image.shape[-2:])
    mode = "bicubic" if kernel == "cubic" else "lanczos"
    return F.interpolate(flat, size=tuple(size), mode=mode, antialias=True).view(*image.shape[:-2], *size)
