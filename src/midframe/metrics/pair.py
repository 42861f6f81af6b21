"""Bring two pictures into one layout before they are compared."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import UsageError


def as_pair(a: NDArray | Tensor, b: NDArray | Tensor, peak: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both pictures as float64 arrays of H W C.

    The type says the layout: a NumPy array is H W 3 (or H W), a tensor is 3 H W, 1 H W, or either with a leading batch
    of one. `peak` is the value of white and only checked here: 8-bit integers go with 255, not 1.

    Raises UsageError if the layout is neither, the sizes differ, or integers are compared with `peak=1`.
    """
    first, second = _as_array(a, peak), _as_array(b, peak)
    if first.shape != second.shape:
        raise UsageError(f"Pictures to compare differ in size: {first.shape} and {second.shape} (H W C); resize one.")
    return first, second


def _as_array(image: NDArray | Tensor, peak: float) -> NDArray[np.float64]:
    if isinstance(image, Tensor):
        planes = image.detach().squeeze(0) if image.ndim == 4 and image.shape[0] == 1 else image.detach()
        if planes.ndim != 3 or planes.shape[0] not in (1, 3):
            raise UsageError(
                f"A tensor to compare is 3 H W (or 1 3 H W), got {tuple(image.shape)}; compare one by one."
            )
        array = planes.permute(1, 2, 0).cpu().numpy()
    else:
        array = image[..., None] if image.ndim == 2 else image
        if array.ndim != 3 or array.shape[2] not in (1, 3):
            raise UsageError(f"An array to compare is H W 3, got {image.shape}; a tensor is 3 H W.")
    if 0 in array.shape:
        raise UsageError(f"A picture to compare is empty: {array.shape} (H W C).")
    if np.issubdtype(array.dtype, np.integer) and peak == 1:
        raise UsageError(f"Integer pictures ({array.dtype}) need peak=, e.g. peak=255; the default 1 is for [0, 1].")
    return array.astype(np.float64)
