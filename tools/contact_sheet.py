"""Contact sheets: rows of pictures with a time under each."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
Cell = tuple[str, Picture | None]  # what is written under it; None leaves the place empty

GAP = 6
HEADING = 26
CAPTION = 22
PAPER, INK = 250, (40, 40, 40)


def draw_sheet(rows: Sequence[tuple[str, Sequence[Cell]]], *, cell_width: int = 320) -> Picture:
    """One sheet, H W 3 uint8 RGB: each row is a heading and its pictures, all of the first picture's shape."""
    height, width = next(picture.shape[:2] for _, cells in rows for _, picture in cells if picture is not None)
    cell_height = round(cell_width * height / width)
    columns = max(len(cells) for _, cells in rows)
    row_height = HEADING + cell_height + CAPTION + GAP
    sheet = np.full((GAP + row_height * len(rows), GAP + columns * (cell_width + GAP), 3), PAPER, np.uint8)
    for r, (heading, cells) in enumerate(rows):
        top = GAP + r * row_height
        _write(sheet, heading, GAP, top + HEADING - 8, 0.55)
        for c, (caption, picture) in enumerate(cells):
            if picture is None:
                continue
            left = GAP + c * (cell_width + GAP)
            small = cv2.resize(picture, (cell_width, cell_height), interpolation=cv2.INTER_AREA)
            sheet[top + HEADING : top + HEADING + cell_height, left : left + cell_width] = small
            _write(sheet, caption, left, top + HEADING + cell_height + CAPTION - 7, 0.42)
    return sheet


def save_sheet(sheet: Picture, path: Path, *, colours: int | None = None) -> None:
    """As PNG; with `colours`, in a palette of so many (a third of the size, for documents)."""
    image = Image.fromarray(sheet)
    if colours is not None:
        image = image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
    image.save(path, optimize=True)


def _write(sheet: Picture, text: str, x: int, y: int, size: float) -> None:
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, INK, 1, cv2.LINE_AA)
