"""From a recipe to its batches: windows of a packed store, moving photographs, a mixture of both, or made data."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Literal

import torch

from midframe.data.augment import Augment
from midframe.data.distance import Distances, References
from midframe.data.footage import Footage
from midframe.data.mnist import Digits, TwoDigits, read_mnist
from midframe.data.moving_mnist import MovingMNIST
from midframe.data.shapes import Shapes
from midframe.data.shrunk import Shrunk
from midframe.data.source import Mixture, Source
from midframe.data.store import open_store
from midframe.data.synthetic import Style, Synthetic
from midframe.data.taught import Taught
from midframe.data.textures import find_photos, make_textures
from midframe.data.windows import Shape, ahead, spaced, throughout
from midframe.errors import UsageError
from midframe.models.catalogue import resolve
from midframe.train.recipe import MADE, Recipe
from midframe.types import Contract

# For systems that learn flow itself: crops are small beside the pictures that motion is asked of later.
FAST = Style(motion=(0.02, 0.5), still=0.05)
AHEAD = ("predict", "propagate")  # tasks that learn from frames and those after them


def open_source(
    recipe: Recipe,
    contract: Contract | None,
    store: Path | None = None,
    photos: Path | None = None,
    device: torch.device | str = "cpu",
    tell: Callable[[str], None] = lambda text: None,
) -> Source:
    """The batches that `recipe` asks for, for a system of this contract. One target a sample; as many as a system that
    predicts looks ahead; of a system that enlarges [data] targets. Made data: `open_made`.

    contract  None for a system that does not read frames of a film
    store   packed footage (`midframe data pack`); a recipe of nothing but synthetic motion takes none
    photos  folder of photographs for synthetic motion; without it textures are made up
    tell    hears what is left out

    Synthetic targets lie anywhere in (0, 1), or at the only times that the system renders.
    Raises UsageError if recipe, contract and what is given do not fit together, and what opening it raises.
    """
    data = recipe.data
    if contract is None:
        raise UsageError(
            f"{recipe.name}: {recipe.system} cannot learn from footage or photographs; give it [data] made = "
            f'"{MADE[0]}", for example.'
        )
    check_fit(recipe, contract)
    targets = 2 if data.reference else 1
    if data.synthetic < 1 and store is None:
        raise UsageError(
            f"{recipe.name} is trained on footage: give a store with --data (`midframe data pack` makes one)."
        )
    if data.synthetic == 1 and store is not None:
        raise UsageError(f"{recipe.name} has [data] synthetic = 1 and takes no footage: leave out --data {store}.")
    if data.synthetic == 0 and photos is not None:
        raise UsageError(f"{recipe.name} has [data] synthetic = 0 and takes no photographs: leave out --photos.")
    parts: list[tuple[Source, float]] = []
    if store is not None:
        task = resolve(recipe.system)[0].task

        def shape(gap: int, share: float) -> Shape:
            if task in AHEAD:
                return ahead(data.inputs, contract.covers[1], stride=gap, share=share)
            if contract.enlarges:
                chosen = data.targets or None
                return throughout(data.inputs, factor=gap, choose=chosen, share=share, times=contract.times)
            return spaced(data.inputs, factor=gap, choose=targets, share=share, times=contract.times)

        shapes = [shape(gap, share) for gap, share in zip(data.gaps, data.shares, strict=True)]
        augment = Augment(
            (data.crop, data.crop),
            brightness=data.brightness,
            scales=data.scales,
            whole=data.whole,
            channels=task != "propagate",  # whose clusters are those of true colours
        )
        footage = Footage(open_store(store), shapes, augment, device=device, power=data.power)
        if footage.left_out:
            tell(f"{store}: {footage.left_out} clips are smaller than the crop of {data.crop} and are left out")
        parts.append((Taught(footage) if data.teacher else footage, 1 - data.synthetic))
    if data.synthetic > 0:
        textures = make_textures(find_photos(photos) if photos is not None else (), seed=recipe.seed)
        half = data.inputs // 2
        synthetic = Synthetic(
            textures.to(device),
            (data.crop, data.crop),
            times=tuple(float(t) for t in range(1 - half, half + 1)),
            targets=targets if contract.times is None else [float(t) for t in contract.times],
            labels=data.flow,
            style=FAST if resolve(recipe.system)[0].task == "flow" else None,
        )
        parts.append((synthetic, data.synthetic))
    source = parts[0][0] if len(parts) == 1 else Mixture(*zip(*parts, strict=True))
    if contract.enlarges:
        return Shrunk(source, (data.shrink[0], data.shrink[1]))
    if data.distance:
        source = Distances(source)
    return References(source) if data.reference else source


def open_made(
    recipe: Recipe,
    part: Literal["train", "valid", "test"] = "train",
    device: torch.device | str = "cpu",
    *,
    contract: Contract | None = None,
) -> Source:
    """The batches of a recipe with [data] made. The parts have no sample in common: "valid" is for choosing weights
    while training goes on, "test" for figures that are told.

    contract  of the system, if it reads frames of a film: Moving MNIST gives as many as it reads, and as many after
              them as it looks ahead

    Raises UsageError for a recipe without made data and for data that the system cannot read, InputError if the data is
    not here.
    """
    data = recipe.data
    if data.made == "moving-mnist":
        if contract is None or contract.inputs is None or contract.inputs[-1] != 0 or contract.channels != 1:
            raise UsageError(
                f"{recipe.name}: {recipe.system} does not predict grey pictures, which is what Moving MNIST is for."
            )
        return MovingMNIST(read_mnist(part)[0], inputs=len(contract.inputs), targets=contract.covers[1])
    if data.made == "mnist":
        return Digits(*read_mnist(part), binarise=data.binarise, device=device)
    if data.made == "two-digits":
        return TwoDigits(*read_mnist(part), device=device)
    if data.made == "shapes":
        if contract is None or contract.inputs != (0,) or contract.channels != 3:
            raise UsageError(
                f"{recipe.name}: {recipe.system} does not look ahead from one frame of colour, as Shapes ask."
            )
        return Shapes(data.crop, device=device)  # parts differ by their seeds: no two draw the same pictures
    raise UsageError(f"{recipe.name} has no [data] made; there are: {', '.join(MADE)}.")


def check_fit(recipe: Recipe, contract: Contract) -> None:
    """Raises UsageError for samples that a system of this contract cannot learn from."""
    data = recipe.data
    predicts = resolve(recipe.system)[0].task in AHEAD
    if predicts and (data.synthetic or data.flow or data.distance):
        raise UsageError(
            f"{recipe.name}: {recipe.system} learns from frames and those after them, of footage or made data alone: "
            "leave out [data] synthetic, flow and distance."
        )
    if not predicts and min(data.gaps) < 2:
        raise UsageError(f"{recipe.name}: nothing lies between frames of a gap of 1; [data] gaps are 2 or more.")
    if predicts and contract.channels != 3:
        raise UsageError(
            f"{recipe.name}: {recipe.system} predicts grey pictures, and footage has colour: take a variant of colour, "
            'or [data] made = "moving-mnist".'
        )
    if contract.inputs is not None and len(contract.inputs) != data.inputs:
        raise UsageError(
            f"{recipe.name}: {recipe.system} reads {len(contract.inputs)} frames, [data] inputs is {data.inputs}."
        )
    if contract.enlarges:
        _check_shrink(recipe, contract)
    elif data.shrink != (1, 1) or data.targets:
        raise UsageError(f"{recipe.name}: {recipe.system} keeps the size: leave [data] shrink and targets away.")
    elif data.crop % contract.multiple or data.crop < contract.minimum:
        raise UsageError(
            f"{recipe.name}: [data] crop is {data.crop}; {recipe.system} takes multiples of {contract.multiple} from "
            f"{contract.minimum} on."
        )
    able = contract.times
    if data.reference and able is not None:
        raise UsageError(f"{recipe.name}: {recipe.system} renders one time only: leave [data] reference away.")
    if (
        not predicts
        and able is not None
        and (gap := next((gap for gap in data.gaps if not _times(gap) & set(able)), None))
    ):
        there = ", ".join(map(str, able))
        raise UsageError(
            f"{recipe.name}: {recipe.system} renders t = {there} only, where no frame lies in a gap of {gap}; "
            "with [data] gaps = [2, 4] it is the one in the middle."
        )


def _check_shrink(recipe: Recipe, contract: Contract) -> None:
    """Raises UsageError if what a system that enlarges would read is not to be had."""
    data, system = recipe.data, recipe.system
    if data.synthetic or data.flow or data.distance:
        raise UsageError(
            f"{recipe.name}: {system} enlarges, which is learnt from footage alone: leave out [data] synthetic, flow "
            "and distance."
        )
    least, most = contract.scale
    if not (data.shrink[1] > 1 and least <= data.shrink[0] and data.shrink[1] <= most):
        raise UsageError(
            f"{recipe.name}: {system} enlarges {least:g} to {most:g} times; [data] shrink = {list(data.shrink)} is not "
            "within that."
        )
    side = data.crop / data.shrink[1]
    if side % contract.multiple or side < contract.minimum:
        raise UsageError(
            f"{recipe.name}: a crop of {data.crop} shrunk {data.shrink[1]:g} times is {side:g}; {system} reads "
            f"multiples of {contract.multiple} from {contract.minimum} on."
        )


def _times(gap: int) -> set[Fraction]:
    """Where frames lie between two that are `gap` frames apart."""
    return {Fraction(k, gap) for k in range(1, gap)}
