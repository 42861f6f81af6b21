"""Bicubic resizing as the tables of super-resolution have it."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def resize_cubic(frames: Float[Tensor, "*lead c h w"], size: tuple[int, int]) -> Float[Tensor, "*lead c h2 w2"]:
    """`frames` at (height, width) `size`: Keys' kernel with a = −0.5, made wider where it reduces (anti-aliasing).

    What MATLAB's imresize does, but at the border, where taps outside are left out instead of mirrored. Pixel centres
    lie at halves; values may overshoot and are not clamped. Differentiable. Computed in float32 at least.

    >>> resize_cubic(torch.tensor([[[[0.0, 1.0]]]]), (1, 4))
    tensor([[[[-0.0728,  0.1853,  0.8147,  1.0728]]]])
    """
    if tuple(frames.shape[-2:]) == tuple(size):
        return frames
    lead = frames.shape[:-3]
    flat = frames.reshape(-1, *frames.shape[-3:])
    made = F.interpolate(flat.float() if flat.element_size() < 4 else flat, size, mode="bicubic", antialias=True)
    return made.to(frames.dtype).view(*lead, *made.shape[1:])
