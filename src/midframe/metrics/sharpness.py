"""How sharp a made picture is beside the true one: what a blur that PSNR forgives takes away."""

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from midframe.metrics.pair import as_pair

LUMA = np.array([0.299, 0.587, 0.114])


def sharpness(made: NDArray | Tensor, truth: NDArray | Tensor, peak: float = 1.0) -> float:
    """Mean |∇²| of the luma of `made` over that of `truth`, in [0, …): 1 as sharp, below it blurred, above it harsh.

    Pictures as in `as_pair`. It compares how much fine detail there is, not where it lies: read it beside PSNR or
    LPIPS, for noise counts as detail. A truth without any detail gives 1 for a made one without, else infinity.

    Raises UsageError if sizes or layouts do not fit.

    >>> stripes = np.tile(np.array([0.0, 1.0]), (4, 8))
    >>> round(sharpness(0.5 + (stripes - 0.5) / 2, stripes), 6)
    0.5
    """
    one, other = (_detail(picture) for picture in as_pair(made, truth, peak))
    if other == 0:
        return 1.0 if one == 0 else float("inf")
    return one / other


def _detail(picture: NDArray[np.float64]) -> float:
    luma = picture[..., 0] if picture.shape[2] == 1 else picture @ LUMA
    return float(np.abs(cv2.Laplacian(luma, cv2.CV_64F, borderType=cv2.BORDER_REPLICATE)).mean())
