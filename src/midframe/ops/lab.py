"""sRGB to CIE L*a*b* (D65, 2° observer) and back, differentiable."""

import torch
from jaxtyping import Float
from torch import Tensor

# IEC 61966-2-1 primaries and white, the matrix scikit-image and OpenCV use
XYZ_FROM_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)
DELTA = 6 / 29  # where the cube root gives way to a line, CIE 15:2004


def rgb_to_lab(rgb: Float[Tensor, "... 3 h w"]) -> Float[Tensor, "... 3 h w"]:
    """L* in 0…100, a* and b* about −100…100, from gamma-encoded sRGB in [0, 1].

    Values outside [0, 1] are not clamped: the transfer curve is continued past 1 and mirrored below 0, so that
    `lab_to_rgb` returns them. Differentiable everywhere. Source: IEC 61966-2-1, CIE 15:2004.
    """
    magnitude = rgb.abs()
    curved = ((magnitude.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    linear = torch.where(magnitude <= 0.04045, rgb / 12.92, rgb.sign() * curved)
    xyz = _mix(
        linear, torch.tensor(XYZ_FROM_RGB, dtype=torch.float64) / torch.tensor(WHITE, dtype=torch.float64)[:, None]
    )
    root = xyz.clamp(min=DELTA**3) ** (1 / 3)
    x, y, z = torch.where(xyz <= DELTA**3, xyz / (3 * DELTA**2) + 4 / 29, root).unbind(-3)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), -3)


def lab_to_rgb(lab: Float[Tensor, "... 3 h w"]) -> Float[Tensor, "... 3 h w"]:
    """Inverse of `rgb_to_lab`: gamma-encoded sRGB, not clamped where a colour lies outside its gamut."""
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    root = torch.stack((y + a / 500, y, y - b / 200), -3)
    xyz = torch.where(root <= DELTA, (root - 4 / 29) * (3 * DELTA**2), root**3)
    to_white = torch.tensor(XYZ_FROM_RGB, dtype=torch.float64) / torch.tensor(WHITE, dtype=torch.float64)[:, None]
    linear = _mix(xyz, torch.linalg.inv(to_white))
    magnitude = linear.abs()
    curved = 1.055 * magnitude.clamp(min=0.04045 / 12.92) ** (1 / 2.4) - 0.055
    return torch.where(magnitude <= 0.04045 / 12.92, linear * 12.92, linear.sign() * curved)


def _mix(image: Float[Tensor, "... 3 h w"], matrix: Float[Tensor, "3 3"]) -> Float[Tensor, "... 3 h w"]:
    return torch.einsum("ij,...jhw->...ihw", matrix.to(image.device, image.dtype), image)
