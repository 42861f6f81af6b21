"""Where a training stands, on disk: `last.pt`, written whole or not at all, and read without running pickled code."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midframe.errors import InputError, UsageError
from midframe.files import replacing
from midframe.train.recipe import Recipe

NAME = "last.pt"


@dataclass(slots=True)
class Checkpoint:
    """Everything that a resumed run needs to take the steps that an unbroken one would have taken.

    Batches are drawn from a generator seeded by (seed, step, process), so `step` is the data's position, too.
    """

    step: int
    seconds: float
    recipe: dict[str, Any]
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    updates: int
    optimiser: dict[str, Any]
    best: float


def save(folder: Path, point: Checkpoint) -> None:
    """Write the checkpoint durably in place of the one before."""
    with replacing(folder / NAME) as file:
        try:
            torch.save({name: getattr(point, name) for name in Checkpoint.__slots__}, file)
        except RuntimeError as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # torch's writer complains of having been interrupted
                raise error.__context__ from None
            raise


def load(folder: Path, recipe: dict[str, Any]) -> Checkpoint | None:
    """The checkpoint in `folder`, or None. Raises InputError if it is damaged, UsageError if it is another recipe's."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        point = Checkpoint(**found)
    except (RuntimeError, TypeError, EOFError, OSError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: the checkpoint is damaged ({reason}); remove it to start again.") from error
    known, given = _flat(point.recipe), _flat(recipe)
    known = {**_flat(Recipe(name="", system="").as_dict()), **known}  # a key that is younger than it: the default
    changed = [key for key in sorted({*known, *given}) if known.get(key) != given.get(key) and key not in FREE]
    if changed:
        told = ", ".join(f"{key} {known.get(key)} → {given.get(key)}" for key in changed)
        raise UsageError(f"{path} was made by another recipe ({told}); give another --output, or the same recipe.")
    return point


# What may change between two runs of one training: none of it changes the meaning of a step.
FREE = (
    "run.log_every", "run.validate_every", "run.save_every", "run.held_out", "run.compile", "run.channels_last", "name",
)  # fmt: skip


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{key}.")
        else:
            flat[before + key] = list(value) if isinstance(value, tuple) else value
    return flat
