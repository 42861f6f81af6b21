"""How each published code base turns a prediction into a figure: rounding, colour, SSIM variant.

The same frames give other figures under another protocol: rounding costs up to 0.03 dB, the SSIM variants differ by
0.01 to 0.03. A figure goes beside a published one only if it was made as that one was.

    scores = measure(made, truth, PROTOCOLS["ucf101/ema-vfi"])

A benchmark's value is the mean over its pictures of each picture's figure (a mean of PSNRs, not the PSNR of a mean);
for "hd" the mean over a video's pictures first, then over videos. Read from the repositories' evaluation scripts; what
they do before the model runs (padding, scale of the flow) is the loader's affair, see the docs' page on metrics.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import UsageError
from midframe.metrics.interpolation_error import interpolation_error
from midframe.metrics.pair import as_pair
from midframe.metrics.psnr import psnr
from midframe.metrics.ssim import Variant, ssim

Rounding = Literal["float", "round", "truncate"]
Colour = Literal["rgb", "y"]

LUMA = (0.299, 0.587, 0.114)  # BT.601 without offset, as scikit-image's rgb2yuv


@dataclass(frozen=True, slots=True)
class Protocol:
    """rounding of the prediction to 8 bits ("float" = none); the SSIM variant; what PSNR is taken of."""

    rounding: Rounding
    ssim: Variant = "gaussian3d"
    colour: Colour = "rgb"


class Scores(TypedDict):
    """Of one picture: PSNR in dB, SSIM of the protocol's variant, IE in 8-bit code values (always of rounded RGB)."""

    psnr: float
    ssim: float
    ie: float


_FLOAT, _ROUND = Protocol("float"), Protocol("round")
_SKIMAGE = Protocol("round", "uniform2d")
_Y = Protocol("round", colour="y")

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        **{f"vimeo/{code}": _FLOAT for code in ("ifrnet", "amt", "ema-vfi", "vfimamba", "sgm", "upr")},
        **{f"vimeo/{code}": _ROUND for code in ("rife", "cain")},
        **{f"{suite}/film": Protocol("float", "gaussian2d") for suite in ("vimeo", "ucf101", "middlebury", "xiph")},
        **{f"ucf101/{code}": _FLOAT for code in ("ifrnet", "amt", "upr")},
        **{f"ucf101/{code}": _ROUND for code in ("rife", "ema-vfi", "vfimamba", "sgm")},
        **{f"snu-film/{code}": _FLOAT for code in ("ifrnet", "amt", "ema-vfi", "vfimamba", "sgm", "upr")},
        "snu-film/cain": _ROUND,
        **{f"middlebury/{code}": _ROUND for code in ("rife", "dain", "ema-vfi", "vfimamba", "sgm")},
        **{f"middlebury/{code}": _FLOAT for code in ("ifrnet", "amt", "adacof")},
        "middlebury/sepconv-slomo": Protocol("truncate", "uniform2d"),
        **{f"middlebury/{code}": _SKIMAGE for code in ("sepconv++", "softsplat")},
        **{f"{suite}/adacof": _FLOAT for suite in ("ucf101-21", "davis")},
        **{f"xiph/{code}": _SKIMAGE for code in ("sepconv++", "softsplat", "ema-vfi", "vfimamba", "sgm")},
        "xiph/amt": _FLOAT,
        **{f"xtest/{code}": _ROUND for code in ("ema-vfi", "vfimamba", "sgm")},
        "xtest/upr": _FLOAT,
        "xtest/xvfi": Protocol("round", "luma"),
        **{f"hd/{code}": _Y for code in ("rife", "ema-vfi", "vfimamba", "sgm")},
        **{f"{suite}/{code}": _FLOAT for suite in ("gopro", "adobe240") for code in ("ifrnet", "amt")},
    }
)


def quantise(image: NDArray[np.float64], rounding: Rounding) -> NDArray[np.float64]:
    """A picture in [0, 1], clamped, and unless "float" on 8-bit steps: to the nearest ("round") or down ("truncate").

    Raises UsageError for another rounding.

    >>> quantise(np.array([0.5, 1.5, -1.0]), "truncate") * 255
    array([127., 255.,   0.])
    """
    clamped = image.clip(0, 1)
    match rounding:
        case "float":
            return clamped
        case "round":
            return np.rint(clamped * 255) / 255
        case "truncate":
            # 3/255·255 must stay 3: what is a hair under a whole number through rounding of floats counts as whole.
            return np.floor(clamped * 255 + 1e-6) / 255
        case _:
            raise UsageError(f"Unknown rounding {rounding!r}; choose float, round or truncate.")


def measure(made: NDArray | Tensor, truth: NDArray | Tensor, protocol: Protocol, peak: float = 1.0) -> Scores:
    """PSNR, SSIM and IE of one picture as `protocol` says; H W 3 arrays or 3 H W tensors, white at `peak`.

    Only the prediction is rounded: truths come from 8-bit files (XTest at 2K are floats, and stay). Raises UsageError
    if sizes or layouts do not fit, or a Y of a grey picture is asked for.
    """
    prediction, wanted = (image / peak for image in as_pair(made, truth, peak))
    rounded = quantise(prediction, protocol.rounding)
    shown = (rounded, wanted) if protocol.colour == "rgb" else (_luma(rounded), _luma(wanted))
    return Scores(
        psnr=psnr(*shown), ssim=ssim(rounded, wanted, protocol.ssim), ie=interpolation_error(prediction, wanted)
    )


def _luma(image: NDArray[np.float64]) -> NDArray[np.float64]:
    if image.shape[2] != 3:
        raise UsageError("This protocol takes PSNR of Y, which a grey picture has not; give RGB.")
    return np.asarray(image @ np.array(LUMA), np.float64)
