"""How large the output is: the words of --size, and what a source becomes at that size."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from midframe.engine.job import InterpolateJob
from midframe.errors import UsageError
from midframe.video.colour import MATRIX_170M, MATRIX_709, MATRIX_UNSPECIFIED

if TYPE_CHECKING:
    from midframe.video.probe import VideoInfo

LARGEST = 16  # times as wide or as high, either way
WHOLE_PIXELS = ("images", "gif", "apng", "yuv4mpegpipe")  # hold chroma of odd sizes, or none
EXAMPLES = "2x, 1.5x or 1920x1080"


@dataclass(frozen=True, slots=True)
class Pixels:
    """A size as WIDTHxHEIGHT says it, of the picture as it is shown, upright."""

    width: int
    height: int


def parse_size(text: str) -> Fraction | Pixels:
    """ "2x", "1.5x", "3/2x" → a factor; "1920x1080" → pixels. Raises UsageError for anything else."""
    body = text.strip().lower().replace("×", "x")
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(\d+))?x", body):
        below = int(found[2] or 1)
        factor = Fraction(found[1]) / below if below else Fraction(0)
        if not Fraction(1, LARGEST) <= factor <= LARGEST:
            raise UsageError(f"--size {text}: must lie between 1/{LARGEST} and {LARGEST} times the source's size.")
        return factor
    if found := re.fullmatch(r"(\d+)x(\d+)", body):
        width, height = int(found[1]), int(found[2])
        if min(width, height) < 1:
            raise UsageError(f"--size {text}: a picture is at least one pixel wide and high.")
        return Pixels(width, height)
    raise UsageError(f"--size {text}: give {EXAMPLES}.")


def as_shown(
    job: InterpolateJob, info: "VideoInfo", container: str, note: Callable[[str], None] = lambda text: None
) -> "VideoInfo":
    """`info` as it is to be of the output: with the size that the job asks for, and what depends on it.

    A factor is rounded to whole pixels, for codecs to even ones, which 4:2:0 wants; the shape of a pixel stays. Pixels
    are taken as they are given; where their shape is not the source's, that of one pixel changes instead, so that
    nothing looks stretched. Raises UsageError for a size out of reach.
    """
    if job.size is None:
        return info
    size = parse_size(job.size)
    was = (info.width, info.height)
    if isinstance(size, Fraction):
        step = 1 if size == 1 or container in WHOLE_PIXELS else 2
        width, height = (max(step, round(side * size / step) * step) for side in was)
        sar = info.sar
    else:
        width, height = (size.width, size.height) if info.rotation % 180 == 0 else (size.height, size.width)
        sar = info.sar * Fraction(info.width * height, info.height * width)
        # One pixel of either picture is a matter of rounding.
        if abs(width * was[1] - height * was[0]) <= max(width + was[0], height + was[1]):
            sar = info.sar
    if any(
        not Fraction(1, LARGEST) <= Fraction(now, old) <= LARGEST for now, old in zip((width, height), was, strict=True)
    ):
        raise UsageError(
            f"--size {job.size}: the source has {was[0]}x{was[1]}; each side may become {LARGEST} times as long or "
            "as short."
        )
    if sar != info.sar:
        look = "" if sar == 1 else "; what knows square pixels only shows it stretched"
        note(
            f"{width}x{height} is another shape than {was[0]}x{was[1]}: its pixels become "
            f"{sar.numerator}:{sar.denominator}, so that it is shown as wide as before{look}."
        )
    colour = info.colour
    tagged = container not in WHOLE_PIXELS
    if tagged and colour.matrix == MATRIX_UNSPECIFIED and _is_hd(*was) != _is_hd(width, height) and _has_chroma(info):
        colour = replace(colour, matrix=MATRIX_709 if _is_hd(*was) else MATRIX_170M)
        name = "BT.709" if _is_hd(*was) else "BT.601"
        note(f"{info.path} does not name its colour matrix: {name}, which players take for its size, is written.")
    return replace(info, width=width, height=height, sar=sar, colour=colour)


def _has_chroma(info: "VideoInfo") -> bool:
    from midframe.video.pixel import working_format  # which loads torch; the words of --size are read without it

    return working_format(info.pix_fmt).startswith("yuv")


def _is_hd(width: int, height: int) -> bool:
    """Whether players take an untagged picture of this size for BT.709."""
    return width >= 1280 or height > 576
