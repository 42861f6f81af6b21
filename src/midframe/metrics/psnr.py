"""Peak signal-to-noise ratio of one picture; a benchmark's value is the mean of these over its pictures."""

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from midframe.metrics.pair import as_pair


def psnr(a: NDArray | Tensor, b: NDArray | Tensor, peak: float = 1.0) -> float:
    """10 · log10(peak² / MSE) in dB, MSE over all pixels and channels; infinite for equal pictures.

    H W 3 arrays or 3 H W tensors (see `as_pair`), white at `peak`. Nothing is clamped or rounded here: most published
    tables round the prediction to 8 bits first, which lowers the value by about 0.03 dB.

    Raises UsageError if sizes or layouts do not fit.

    >>> round(psnr(np.zeros((2, 2, 3)), np.full((2, 2, 3), 0.1)), 6)
    20.0
    """
    first, second = as_pair(a, b, peak)
    error = float(np.mean((first - second) ** 2))
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)
