"""HDR10 static metadata: the raw side data that FFmpeg hands over, as numbers.

Source: SMPTE ST 2086 (mastering display), CTA-861.3 (content light level); FFmpeg's AVMasteringDisplayMetadata and
AVContentLightMetadata.
"""

from dataclasses import dataclass
from fractions import Fraction

MASTERING, LIGHT = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"

Point = tuple[Fraction, Fraction]  # CIE 1931 x, y


@dataclass(frozen=True, slots=True)
class Mastering:
    """The display a film was graded on: its primaries and white point, and its luminance range in cd/m²."""

    red: Point
    green: Point
    blue: Point
    white: Point
    darkest: Fraction
    brightest: Fraction


def mastering_display(hdr: dict[str, bytes]) -> Mastering | None:
    """The mastering display in the raw side data; None if there is none or half of it is missing."""
    raw = hdr.get(MASTERING)
    if raw is None:
        return None
    # Ten rationals (primaries R G B as x y, white x y, minimum, maximum luminance), then two flags.
    numbers = [int.from_bytes(raw[i : i + 4], "little", signed=True) for i in range(0, 88, 4)]
    if not (numbers[20] and numbers[21]):
        return None
    ratios = [Fraction(numbers[i], numbers[i + 1] or 1) for i in range(0, 20, 2)]
    red, green, blue, white = ((ratios[i], ratios[i + 1]) for i in (0, 2, 4, 6))
    return Mastering(red, green, blue, white, ratios[8], ratios[9])


def light_level(hdr: dict[str, bytes]) -> tuple[int, int] | None:
    """MaxCLL and MaxFALL in cd/m²."""
    raw = hdr.get(LIGHT)
    return None if raw is None else (int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:8], "little"))
