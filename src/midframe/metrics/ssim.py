"""Structural similarity (Wang et al., IEEE TIP 2004) in the variants that published tables use.

They differ by 0.01 to 0.03 on the same pictures, so a value without its variant says little:

gaussian3d   the RGB picture as a volume of 3 slices, Gaussian 11×11×11 with σ = 1.5, edges repeated on all three axes,
             biased variances, mean over the whole map. What RIFE, IFRNet, EMA-VFI, CAIN, UPR-Net, AdaCoF report.
uniform2d    scikit-image's `structural_similarity(channel_axis=…)`: uniform 7×7, sample covariance, each channel by
             itself, 3 pixels of border left out, mean. What SepConv, SoftSplat and CDFI report.
gaussian2d   TensorFlow's `tf.image.ssim`: Gaussian 11×11 with σ = 1.5, biased variances, each channel by itself, only
             windows inside the picture, mean. What FILM reports.
luma         `ssim_bgr` of XVFI's code: pictures clamped and rounded to 8 bits, Y of BT.601 (16…235, not rounded), then
             scikit-image's with data_range = max − min of the *first* picture's Y, which must be the prediction.
"""

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import UsageError
from midframe.metrics.pair import as_pair

Variant = Literal["gaussian3d", "uniform2d", "gaussian2d", "luma"]

RADIUS = 5  # of the Gaussian: 11 taps
SIGMA = 1.5
SIDE = 7  # of the uniform window
Y_601 = (0.256788235294118, 0.504129411764706, 0.097905882352941)  # of 8-bit RGB, plus 16; XVFI's utils.py


def ssim(a: NDArray | Tensor, b: NDArray | Tensor, variant: Variant = "gaussian3d", peak: float = 1.0) -> float:
    """Mean structural similarity of two pictures, 1 for equal ones; K1 = 0.01, K2 = 0.03.

    H W 3 arrays or 3 H W tensors (see `as_pair`), white at `peak`; computed in float64, nothing clamped or rounded
    but by "luma", which alone minds the order: prediction first.

    Raises UsageError if sizes or layouts do not fit, a picture is smaller than the window (7×7; 11×11 of "gaussian2d";
    "gaussian3d" has no least size), or "luma" is asked about a grey or a flat picture.
    """
    first, second = as_pair(a, b, peak)
    match variant:
        case "gaussian3d":
            return float(np.mean(_similarity(first, second, peak, _blur_volume, 1.0)))
        case "uniform2d":
            if min(first.shape[:2]) < SIDE:
                raise UsageError(f"SSIM needs pictures of at least {SIDE}×{SIDE} pixels, got {first.shape[:2]} (H W).")
            samples = SIDE**2
            whole = _similarity(first, second, peak, _blur_uniform, samples / (samples - 1))
            border = SIDE // 2
            return float(np.mean(whole[border:-border, border:-border]))
        case "gaussian2d":
            side = 2 * RADIUS + 1
            if min(first.shape[:2]) < side:
                raise UsageError(f"SSIM needs pictures of at least {side}×{side} pixels, got {first.shape[:2]} (H W).")
            whole = _similarity(first, second, peak, _blur_planes, 1.0)
            return float(np.mean(whole[RADIUS:-RADIUS, RADIUS:-RADIUS]))
        case "luma":
            return _ssim_luma(first, second, peak)
        case _:
            raise UsageError(f"Unknown SSIM variant {variant!r}; choose gaussian3d, uniform2d, gaussian2d or luma.")


def _ssim_luma(made: NDArray[np.float64], truth: NDArray[np.float64], peak: float) -> float:
    if made.shape[2] != 3:
        raise UsageError('SSIM "luma" is of colour pictures; take uniform2d for grey ones.')
    luma = [np.rint(image * (255 / peak)).clip(0, 255) @ np.array(Y_601)[:, None] + 16 for image in (made, truth)]
    span = float(np.ptp(luma[0]))
    if span == 0:
        raise UsageError('SSIM "luma" divides by the range of the prediction, which is flat; take another variant.')
    return ssim(luma[0], luma[1], "uniform2d", peak=span)


def _similarity(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    peak: float,
    blur: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    unbias: float,
) -> NDArray[np.float64]:
    """The SSIM map, H W C, with window means by `blur` and variances multiplied by `unbias`."""
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = blur(a), blur(b)
    # Only the sum of the two variances is needed: one blur instead of two.
    variances = unbias * (blur(a * a + b * b) - mean_a**2 - mean_b**2)
    covariance = unbias * (blur(a * b) - mean_a * mean_b)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance * (2 * covariance + c2) / (variances + c2)


def _gaussian() -> NDArray[np.float64]:
    taps = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * SIGMA**2))
    return np.asarray(taps / taps.sum(), np.float64)


def _blur_planes(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian over height and width of H W C, edges repeated."""
    taps = _gaussian()
    planes = cv2.sepFilter2D(image, cv2.CV_64F, taps, taps, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(planes, np.float64).reshape(image.shape)


def _blur_volume(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian over height, width and channels of H W C, edges repeated on each axis."""
    planes, taps = _blur_planes(image), _gaussian()
    # Along three channels, 11 taps with repeated edges are a 3×3 matrix.
    channels = image.shape[2]
    mix = np.zeros((channels, channels))
    for out in range(channels):
        for offset, tap in zip(range(-RADIUS, RADIUS + 1), taps, strict=True):
            mix[out, min(max(out + offset, 0), channels - 1)] += tap
    return np.asarray(planes @ mix.T, np.float64)


def _blur_uniform(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over 7×7 pixels of H W C, each channel by itself; borders are cut off by the caller."""
    return np.asarray(cv2.blur(image, (SIDE, SIDE)), np.float64).reshape(image.shape)
