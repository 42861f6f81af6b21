"""Masks of objects as picture files: which pixel belongs to which object.

Three kinds are read. A picture of a palette (DAVIS, PASCAL VOC): the index is the object's number. A grey picture: each
grey value is an object. A picture of colours: each colour is one. What is black, or index 0, is the background.
Written are pictures of a palette.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from midframe.errors import InputError

MOST = 255  # objects: a picture of a palette has 256 values, 0 is the background
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Mask:
    """`numbers` of the objects, 0 for the background; `colours` by number, as many as are needed."""

    numbers: UInt8[np.ndarray, "h w"]
    colours: tuple[Colour, ...]


def read_mask(path: Path) -> Mask:
    """Raises InputError for a file that is no picture, or one of more colours than a mask can have objects."""
    try:
        with Image.open(path) as image:
            image.load()
            kind, palette = image.mode, image.getpalette()
            values = np.asarray(image if kind in ("P", "L") else image.convert("L" if kind == "1" else "RGB"))
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({_reason(error)}).") from error
    if kind == "P":
        numbers = np.asarray(values, np.uint8)
        given = [tuple(palette[k : k + 3]) for k in range(0, len(palette), 3)] if palette else []
        count = int(numbers.max()) + 1
        colours = [given[k] if k < len(given) else _distinct(k) for k in range(count)]
        return Mask(numbers, tuple((int(r), int(g), int(b)) for r, g, b in colours))
    if values.ndim == 2:
        values = values[..., None].repeat(3, 2)
    codes = values.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    found = np.unique(codes)
    objects = found[found > 0]
    if len(objects) > MOST:
        raise InputError(
            f"{path}: {len(objects)} colours, {MOST} objects are the most. Is it a photograph, or are its edges soft? "
            "Save a mask without smoothing, and not as JPEG."
        )
    numbers = np.where(codes > 0, np.searchsorted(objects, codes) + 1, 0).astype(np.uint8)
    return Mask(numbers, tuple(_distinct(k) for k in range(len(objects) + 1)))


def write_mask(path: Path, numbers: UInt8[np.ndarray, "h w"], colours: Sequence[Colour]) -> None:
    """As a PNG of a palette. Raises OSError as `open` and writing do."""
    image = Image.fromarray(np.ascontiguousarray(numbers))
    image.putpalette([part for colour in colours for part in colour])
    image.save(path, format="PNG")


def _distinct(number: int) -> Colour:
    """The colour of an object by its number, far from those of its neighbours: the bits of the number, dealt out to
    the highest bits of red, green and blue in turn (PASCAL VOC, and DAVIS after it)."""
    colour = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            colour[channel] |= (number >> channel & 1) << (7 - bit)
        number >>= 3
    return colour[0], colour[1], colour[2]


def colour_table(count: int) -> NDArray[np.uint8]:
    """`count` colours, N 3: black, then one for each object."""
    return np.array([_distinct(k) for k in range(count)], np.uint8).reshape(-1, 3)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
