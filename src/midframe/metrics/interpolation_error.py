"""Interpolation error (IE) as the papers of the field report it on Middlebury-other."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from midframe.metrics.pair import as_pair


def interpolation_error(a: NDArray | Tensor, b: NDArray | Tensor, peak: float = 1.0) -> float:
    """Mean absolute difference in 8-bit code values, both pictures rounded and clamped to 0…255 first.

    H W 3 arrays or 3 H W tensors (see `as_pair`), white at `peak`. This is the mean |round(255·out) − truth| of RIFE,
    IFRNet and their successors; the Middlebury site's own IE is a root mean square and gives larger values.

    Raises UsageError if sizes or layouts do not fit.

    >>> interpolation_error(np.zeros((2, 2, 3)), np.full((2, 2, 3), 2 / 255))
    2.0
    """
    first, second = (np.rint(255 / peak * image).clip(0, 255) for image in as_pair(a, b, peak))
    return float(np.mean(np.abs(first - second)))
