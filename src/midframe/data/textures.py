"""What synthetic scenes are made of: square textures of photographs and patterns, and masks that give layers a shape.

Made once, on the CPU, with NumPy and OpenCV; scenes are then drawn from these pools by torch alone, on any device.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from midframe.data.pack import read_image
from midframe.errors import InputError, UsageError
from midframe.video.probe import IMAGE_SUFFIXES

SIDE = 384  # of a texture, pixels; beyond it the texture is mirrored
MASK_SIDE = 128
PATTERNS = 0.15  # of the textures: stripes, checks, dots, bricks, which repeat and so mislead matching
SOFTEN = 0.5  # pixels, standard deviation of a Gaussian: a picture that moves must not alias
WORDS = ("midframe", "12:34:56", "REC", "GAME OVER", "Hello, world", "No. 42", "SCORE 9870", "breaking news", "exit",
         "Lorem ipsum", "+100", "LIVE", "km/h 88", "chapter two", "?!", "www")  # fmt: skip
KINDS = ("shape", "thin", "fence", "text")  # none reaches the rim of its square: it would show a straight edge


@dataclass(frozen=True, slots=True)
class Textures:
    """Pools of `colours` (P 3 S S uint8) and `masks` (M s s uint8); `kinds` gives each mask's number in KINDS."""

    colours: UInt8[Tensor, "p 3 s s"]
    masks: UInt8[Tensor, "m s s"]
    kinds: tuple[int, ...]

    def to(self, device: torch.device | str) -> "Textures":
        return replace(self, colours=self.colours.to(device), masks=self.masks.to(device))


def find_photos(folder: str | Path) -> list[Path]:
    """The images directly in a folder, by name. Raises InputError if there are none."""
    path = Path(folder)
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES) if path.is_dir() else []
    if not found:
        raise InputError(f"{path}: holds no photographs; give a folder of images.")
    return found


def make_textures(
    photos: Iterable[Path | UInt8[np.ndarray, "h w 3"]] = (),
    *,
    count: int | None = None,
    side: int = SIDE,
    masks: int = 256,
    seed: int = 0,
) -> Textures:
    """Pools from photographs: files, or arrays of 8-bit RGB. Without any, textures are clouds of noise.

    count  of textures that are pictures (None: one of each photograph, at least 16); patterns are added to them

    Each texture is a random square of a photograph, reduced by area. Raises InputError for an unreadable file.
    """
    if side < 32 or masks < 2 * len(KINDS):
        raise UsageError(f"textures of side {side} and {masks} masks: at least 32 and {2 * len(KINDS)}.")
    generator = np.random.default_rng(seed)
    sources = list(photos)
    wanted = max(len(sources), 16) if count is None else count
    pictures: list[NDArray[np.uint8]] = []
    for number in range(wanted):
        if sources:
            source = sources[number % len(sources)]
            image = source if isinstance(source, np.ndarray) else read_image(source)
            pictures.append(_take_square(image, side, generator))
        else:
            pictures.append(_make_clouds(side, generator))
    repeated = max(4, round(PATTERNS * wanted))
    pictures += [_PATTERNS[number % len(_PATTERNS)](side, generator) for number in range(repeated)]
    colours = np.stack([cv2.GaussianBlur(picture, (0, 0), SOFTEN) for picture in pictures])
    others = len(KINDS) - 1
    kinds = tuple(number // 2 % others + 1 if number % 2 else 0 for number in range(masks))
    drawn = np.stack([_MASKS[kind](generator) for kind in kinds])
    return Textures(torch.from_numpy(colours).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(drawn), kinds)


def _take_square(image: NDArray[np.uint8], side: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    shorter = min(height, width)
    taken = int(generator.integers(min(side, shorter), shorter + 1))
    top, left = int(generator.integers(height - taken + 1)), int(generator.integers(width - taken + 1))
    square = image[top : top + taken, left : left + taken]
    how = cv2.INTER_AREA if taken > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (side, side), interpolation=how) if taken != side else square, np.uint8)


def _make_clouds(side: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Noise whose spectrum falls as in photographs, 1/f^1.4."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    fall = 1 / np.maximum(frequency, 1 / side) ** 1.4
    shared, own = generator.normal(size=(side, side, 1)), generator.normal(size=(side, side, 3))
    noise = np.fft.irfft2(np.fft.rfft2(shared + 0.5 * own, axes=(0, 1)) * fall[..., None], (side, side), axes=(0, 1))
    noise /= noise.std()
    return np.clip(127 + 50 * noise + generator.uniform(-40, 40, 3), 0, 255).astype(np.uint8)


def _two_colours(where: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Two colours by a mask drawn at twice the size, so that its edges are soft."""
    pair = generator.integers(0, 256, (2, 3))
    large = np.where(where[..., None], pair[0], pair[1]).astype(np.uint8)
    return np.asarray(
        cv2.resize(large, (where.shape[1] // 2, where.shape[0] // 2), interpolation=cv2.INTER_AREA), np.uint8
    )


def _turned_grid(side: int, generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates in periods of 10 to 48 pixels, turned by a random angle, at twice the size."""
    y, x = np.mgrid[: 2 * side, : 2 * side] / (2 * generator.uniform(10, 48))
    angle = generator.uniform(0, np.pi)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _make_stripes(side: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    return _two_colours(_turned_grid(side, generator)[0] % 1 < generator.uniform(0.2, 0.8), generator)


def _make_checks(side: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    x, y = _turned_grid(side, generator)
    return _two_colours((np.floor(x) + np.floor(y)) % 2 < 1, generator)


def _make_dots(side: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    x, y = _turned_grid(side, generator)
    return _two_colours(np.hypot(x % 1 - 0.5, y % 1 - 0.5) < generator.uniform(0.15, 0.45), generator)


def _make_bricks(side: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    x, y = _turned_grid(side, generator)
    row = np.floor(2 * y)
    return _two_colours(((2 * y) % 1 > 0.15) & ((x + row % 2 / 2) % 1 > 0.08), generator)


def _draw_shape(generator: np.random.Generator) -> NDArray[np.uint8]:
    """A filled outline, round or with corners, that fills most of the square."""
    corners = int(generator.integers(3, 10))
    is_round = generator.random() < 0.6
    angle = np.sort(generator.uniform(0, 2 * np.pi, corners))
    radius = generator.uniform(0.35, 0.95, corners)
    if is_round:
        fine = np.linspace(0, 2 * np.pi, 96, endpoint=False)
        wave = sum(generator.normal() * 0.25 / k * np.cos(k * fine + generator.uniform(0, 6.3)) for k in (2, 3, 4, 5))
        angle, radius = fine, np.clip(0.65 + wave, 0.1, 0.95)
    points = MASK_SIDE / 2 * (1 + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None])
    mask = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask


def _draw_thin(generator: np.random.Generator) -> NDArray[np.uint8]:
    """Wires, twigs and rings of two to five pixels."""
    mask = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    for _ in range(int(generator.integers(1, 6))):
        width = int(generator.integers(2, 6))
        if generator.random() < 0.3:
            radius = int(generator.integers(12, MASK_SIDE // 2 - 4))
            cv2.circle(mask, (MASK_SIDE // 2, MASK_SIDE // 2), radius, 255, width, cv2.LINE_AA)
            continue
        steps = generator.normal(0, MASK_SIDE / 8, (int(generator.integers(2, 8)), 2)).cumsum(0)
        points = np.clip(generator.uniform(8, MASK_SIDE - 8, 2) + steps, 6, MASK_SIDE - 7)
        cv2.polylines(mask, [np.round(points).astype(np.int32)], False, 255, width, cv2.LINE_AA)
    return mask


def _draw_fence(generator: np.random.Generator) -> NDArray[np.uint8]:
    """Bars or a grid at even distances: what lies behind shows through."""
    mask = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    period, width = int(generator.integers(9, 24)), int(generator.integers(2, 6))
    grid = generator.random() < 0.5
    for place in range(6, MASK_SIDE - 6, period):
        cv2.line(mask, (place, 6), (place, MASK_SIDE - 7), 255, width, cv2.LINE_AA)
        if grid:
            cv2.line(mask, (6, place), (MASK_SIDE - 7, place), 255, width, cv2.LINE_AA)
    return mask


def _draw_text(generator: np.random.Generator) -> NDArray[np.uint8]:
    mask = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    fonts = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
    font = fonts[int(generator.integers(len(fonts)))]
    lines = int(generator.integers(1, 4))
    for line in range(lines):
        word = WORDS[int(generator.integers(len(WORDS)))]
        (width, height), _ = cv2.getTextSize(word, font, 1.0, 2)
        size = min((MASK_SIDE - 12) / width, (MASK_SIDE / lines - 8) / height, 1.6)
        bottom = round((line + 1) * MASK_SIDE / lines - 8)
        cv2.putText(mask, word, (4, bottom), font, size, 255, 2, cv2.LINE_AA)
    return mask


_PATTERNS: tuple[Callable[[int, np.random.Generator], NDArray[np.uint8]], ...] = (
    _make_stripes,
    _make_checks,
    _make_dots,
    _make_bricks,
)
_MASKS: tuple[Callable[[np.random.Generator], NDArray[np.uint8]], ...] = (
    _draw_shape,
    _draw_thin,
    _draw_fence,
    _draw_text,
)
