"""How well a propagator carries masks: J and F on made films or on sequences in DAVIS's layout, beside two baselines.

    films = made_films()                                 # exact masks, always there
    average(score_masks(load_propagator("corrflow-s"), films))    # MaskScores
    average(score_masks(Identity(), films)), average(score_masks(Carried(), films))

The protocol is the same for all: the first frame's mask is given, every later one follows from it, J and F leave out
the first and the last frame (`metrics.segmentation`). "identity" keeps the first mask. "dis" carries the mask of the
frame before along flow of dense inverse search: what a pixel's flow points at in the frame before is what it is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from midframe.data.mask_films import make_films
from midframe.data.pack import read_image
from midframe.data.textures import find_photos, make_textures
from midframe.errors import InputError
from midframe.metrics.segmentation import MaskScores, ObjectScores, score_sequence
from midframe.models.follow import SHORT_SIDE, MaskFollower
from midframe.nn.labels import harden
from midframe.ops.dense_search import DenseSearch
from midframe.ops.warp import warp
from midframe.types import Contract, Propagator
from midframe.video.masks import read_mask

SEED = 2**31 - 1  # of films and textures; recipes count from 1
COUNT, SIZE, LENGTH = 12, (256, 384), 20  # films of an evaluation, (height, width), frames
FEW, SMALL, SHORT = 6, (160, 240), 10  # of a validation during training


class Identity:
    """Propagator: the first frame's labels for every frame."""

    contract = Contract(inputs=(-1, 0))
    stride = 1

    def start(self, frame: Float[Tensor, "b 3 h w"], labels: Float[Tensor, "b k h w"]) -> Tensor:
        return labels

    def step(self, memory: Tensor, frame: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor]:
        return memory, memory


class Carried:
    """Propagator: the labels of the frame before, carried along flow. The largest class of each pixel is taken.

    The state is (frame, labels).
    """

    contract = Contract(inputs=(-1, 0))
    stride = 1

    def __init__(self) -> None:
        self._search = DenseSearch("balanced")

    def start(self, frame: Float[Tensor, "b 3 h w"], labels: Float[Tensor, "b k h w"]) -> tuple[Tensor, Tensor]:
        return frame, labels

    def step(self, memory: tuple[Tensor, Tensor], frame: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Any]:
        before, labels = memory
        carried = warp(labels, self._search.flow(frame, before))
        return carried, (frame, harden(carried))


@dataclass(frozen=True, slots=True)
class Film:
    """One sequence to be judged on. `frames` reads them anew at each call, RGB in [0, 1]; `masks` are the truth."""

    name: str
    frames: Callable[[], Iterator[Float[Tensor, "3 h w"]]]
    masks: tuple[UInt8[np.ndarray, "h w"], ...]


def made_films(
    photos: Path | None = None, *, count: int = COUNT, size: tuple[int, int] = SIZE, length: int = LENGTH
) -> list[Film]:
    """Films of moving things with exact masks, the same ones each time.

    photos  folder of photographs for their textures; None: made-up ones
    size    (height, width)

    Raises InputError if the folder holds no photographs.
    """
    found = find_photos(photos) if photos is not None else []
    textures = make_textures(found, count=None if found else 32, seed=SEED)
    made = make_films(textures, count, size=size, frames=length, seed=SEED)
    return [Film(one.name, partial(map, torch.from_numpy, one.frames), tuple(one.masks)) for one in made]


def few_films(photos: Path | None = None) -> list[Film]:
    """Smaller and fewer of them, for the validations of a training."""
    return made_films(photos, count=FEW, size=SMALL, length=SHORT)


def read_davis(folder: Path) -> list[Film]:
    """The sequences of a folder in DAVIS's layout: JPEGImages/480p/NAME/*.jpg and Annotations/480p/NAME/*.png.

    Raises InputError if there are none, or if frames and masks of one do not correspond.
    """
    pictures, annotations = folder / "JPEGImages" / "480p", folder / "Annotations" / "480p"
    names = sorted(one.name for one in annotations.iterdir() if one.is_dir()) if annotations.is_dir() else []
    if not names:
        raise InputError(f"{folder}: no sequences in Annotations/480p; give the folder that DAVIS unpacks to.")
    films = []
    for name in names:
        files = sorted((pictures / name).glob("*.jpg"))
        marked = sorted((annotations / name).glob("*.png"))
        if [one.stem for one in files] != [one.stem for one in marked] or len(files) < 3:
            raise InputError(
                f"{folder}: {name} has {len(files)} frames and {len(marked)} masks; 3 or more of both, of the same "
                "names, are needed."
            )
        films.append(Film(name, partial(map, _read_frame, files), _read_masks(marked)))
    return films


def score_masks(
    model: Propagator,
    films: Sequence[Film],
    device: torch.device | str = "cpu",
    *,
    short_side: int = SHORT_SIDE,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[ObjectScores]:
    """Every object of every film, by a propagator whose network, if it is one, is on `device`.

    on_progress  frames done, in all
    """
    total, done = sum(len(film.masks) for film in films), 0
    objects: list[ObjectScores] = []
    for film in films:

        def found(film: Film = film) -> Iterator[np.ndarray]:
            nonlocal done
            follow = MaskFollower(model, film.masks[0], short_side=short_side, device=device)
            for frame in film.frames():
                yield follow(frame)
                done += 1
                if on_progress:
                    on_progress(done, total)

        objects += score_sequence(film.name, found(), film.masks)
    return objects


def baselines() -> dict[str, Propagator]:
    """What a network is compared with."""
    return {"identity": Identity(), "dis": Carried()}


def format_table(rows: Iterable[tuple[str, MaskScores]]) -> str:
    """Lines for a terminal, in per cent."""
    lines = [
        f"{'':<22}{'J&F':>7}{'J':>8}{'recall':>8}{'decay':>8}{'F':>8}{'recall':>8}{'decay':>8}",
    ]
    for name, one in rows:
        values = [value for part in (one.region, one.contour) for value in (part.mean, part.recall, part.decay)]
        lines.append(f"{name:<22}{100 * one.both:>7.1f}" + "".join(f"{100 * value:>8.1f}" for value in values))
    return "\n".join(lines)


def _read_frame(path: Path) -> Float[Tensor, "3 h w"]:
    return torch.from_numpy(read_image(path)).permute(2, 0, 1).float().div(255)


def _read_masks(paths: Sequence[Path]) -> tuple[UInt8[np.ndarray, "h w"], ...]:
    """Numbers of objects; a mask of black and white is one object."""
    return tuple(read_mask(path).numbers for path in paths)
