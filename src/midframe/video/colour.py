"""What the sample values of a picture mean: five code points, numbered as in ITU-T H.273 and FFmpeg."""

from dataclasses import dataclass

RANGE_UNSPECIFIED, LIMITED, FULL = 0, 1, 2
MATRIX_RGB, MATRIX_709, MATRIX_UNSPECIFIED, MATRIX_FCC = 0, 1, 2, 4
MATRIX_470BG, MATRIX_170M, MATRIX_240M, MATRIX_YCGCO = 5, 6, 7, 8
MATRIX_2020_NCL, MATRIX_2020_CL, MATRIX_ICTCP = 9, 10, 14
UNSPECIFIED = 2  # of primaries and transfer
TRANSFER_PQ, TRANSFER_HLG = 16, 18
SITING_UNSPECIFIED, SITING_LEFT, SITING_CENTER, SITING_TOPLEFT = 0, 1, 2, 3
SITING_TOP, SITING_BOTTOMLEFT, SITING_BOTTOM = 4, 5, 6

MATRIX_NAMES = {0: "RGB", 1: "BT.709", 4: "FCC", 5: "BT.601 (PAL)", 6: "BT.601", 7: "SMPTE 240M", 8: "YCgCo",
                9: "BT.2020", 10: "BT.2020 constant", 14: "ICtCp"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Colour:
    """Range, matrix, primaries, transfer and chroma location as the file says them; the defaults say nothing."""

    range: int = RANGE_UNSPECIFIED
    matrix: int = MATRIX_UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    chroma_location: int = SITING_UNSPECIFIED

    @property
    def is_hdr(self) -> bool:
        return self.transfer in (TRANSFER_PQ, TRANSFER_HLG)
