"""Padding frames to a size that a system accepts, and cutting the padding off again."""

import torch
from jaxtyping import Float
from torch import Tensor

from midframe.errors import UsageError


def padded_size(height: int, width: int, *, multiple: int = 1, minimum: int = 1) -> tuple[int, int]:
    """The smallest (height, width) not under the given one that divides by `multiple` and is at least `minimum`."""
    if height < 1 or width < 1 or multiple < 1 or minimum < 1:
        raise UsageError(f"pad: sizes are 1 or more, got {height}, {width}, multiple {multiple}, minimum {minimum}.")
    return tuple(-(-max(length, minimum) // multiple) * multiple for length in (height, width))  # type: ignore[return-value]


def pad(
    frames: Float[Tensor, "*lead h w"], *, multiple: int = 1, minimum: int = 1
) -> tuple[Float[Tensor, "*lead h2 w2"], tuple[slice, slice]]:
    """Repeat the last row and column until the size fits `padded_size`; nothing is copied if it does already.

    Returns the frames and the slices (rows, columns) that cut the original out: `padded[..., rows, columns]`. All
    padding is below and to the right, so that pixel positions stay.

    >>> frames, (rows, columns) = pad(torch.zeros(1, 3, 5, 7), multiple=4)
    >>> frames.shape, frames[..., rows, columns].shape
    (torch.Size([1, 3, 8, 8]), torch.Size([1, 3, 5, 7]))
    """
    height, width = frames.shape[-2:]
    tall, wide = padded_size(height, width, multiple=multiple, minimum=minimum)
    cut = (slice(0, height), slice(0, width))
    if (tall, wide) == (height, width):
        return frames, cut
    rows = torch.arange(tall, device=frames.device).clamp_max(height - 1)
    columns = torch.arange(wide, device=frames.device).clamp_max(width - 1)
    return frames.index_select(-2, rows).index_select(-1, columns), cut
