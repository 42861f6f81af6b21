"""Bicubic sampling on the CPU where no gradient is asked for: torch's own takes several times as long.

The same numbers as `grid_sample(mode="bicubic", padding_mode="border")` up to rounding: Keys' kernel with a = −0.75
(IEEE TASSP 1981), every tap clamped into the picture.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from midframe.ops.threads import share_work

A = -0.75

_kernel = numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
_inline = numba.njit(inline="always", fastmath=True, error_model="numpy")


def sample_cubic(image: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """out(x) = image(x + flow(x)): n c h w and n 2 h w (dx, dy) → n c h w. Work is shared by torch's threads."""
    out = np.empty_like(image)
    for source, way, target in zip(image, flow, out, strict=True):
        share_work(lambda first, stop: _sample(source, way, first, stop, target), image.shape[2])  # noqa: B023
    return out


@_inline
def _weights(f: Any) -> Any:
    """Of the taps at −1, 0, 1, 2 for a point f beyond tap 0."""
    a, one = np.float32(A), np.float32(1)
    g = one - f
    first, last = a * f * g * g, a * g * f * f
    second = ((a + np.float32(2)) * f - (a + np.float32(3))) * f * f + one
    return first, second, one - first - second - last, last


@_kernel
def _sample(image: Any, flow: Any, begin: Any, stop: Any, out: Any) -> None:
    channels, height, width = image.shape
    flat = image.reshape(channels, height * width)
    for y in range(begin, stop):
        for x in range(width):
            # beyond this every tap is the edge; it also keeps the numbers in the range of an int
            px = min(max(np.float32(x) + flow[0, y, x], np.float32(-3)), np.float32(width + 2))
            py = min(max(np.float32(y) + flow[1, y, x], np.float32(-3)), np.float32(height + 2))
            left, top = int(np.floor(px)), int(np.floor(py))
            u0, u1, u2, u3 = _weights(px - np.float32(left))
            v0, v1, v2, v3 = _weights(py - np.float32(top))
            if left >= 1 and top >= 1 and left + 2 < width and top + 2 < height:
                i = np.uintp((top - 1) * width + left - 1)
                j, k, m = i + np.uintp(width), i + np.uintp(2 * width), i + np.uintp(3 * width)
                one, two, three = np.uintp(1), np.uintp(2), np.uintp(3)
                for c in range(channels):
                    p = flat[c]
                    value = v0 * (u0 * p[i] + u1 * p[i + one] + u2 * p[i + two] + u3 * p[i + three])
                    value += v1 * (u0 * p[j] + u1 * p[j + one] + u2 * p[j + two] + u3 * p[j + three])
                    value += v2 * (u0 * p[k] + u1 * p[k + one] + u2 * p[k + two] + u3 * p[k + three])
                    value += v3 * (u0 * p[m] + u1 * p[m + one] + u2 * p[m + two] + u3 * p[m + three])
                    out[c, y, x] = value
            else:
                x0, x1 = min(max(left - 1, 0), width - 1), min(max(left, 0), width - 1)
                x2, x3 = min(max(left + 1, 0), width - 1), min(max(left + 2, 0), width - 1)
                for c in range(channels):
                    value = np.float32(0)
                    for tap, v in enumerate((v0, v1, v2, v3)):
                        row = image[c, min(max(top - 1 + tap, 0), height - 1)]
                        value += v * (u0 * row[x0] + u1 * row[x1] + u2 * row[x2] + u3 * row[x3])
                    out[c, y, x] = value
