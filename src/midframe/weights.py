"""Weights: cards that say what a file is, where to find it, and a check that it is that file.

Safetensors only: nothing is unpickled. A card pins the SHA-256; a file that differs is refused. Look-up order:
an explicit path, the user's folder (`$MIDFRAME_HOME/weights`), the files inside this package, installed packages
(entry-point group `midframe.weights`: each names a folder), and, only when asked, the network (`pull`).
"""

import hashlib
import http.client
import os
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from os import PathLike
from pathlib import Path
from types import MappingProxyType

import platformdirs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from midframe.errors import ModelError, OutputError, UsageError

ENTRY_POINTS = "midframe.weights"
BUNDLED = Path(__file__).parent / "bundled"

_EMPTY: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of trained weights. Figures are written by `midframe bench --record`, never by hand.

    name       "system/variant-data": "rife/base-vimeo"
    file       name of the file, ending in .safetensors
    bytes, sha256  of the whole file
    licence    SPDX id of the weights (not of the code), or LicenseRef-…
    source     who trained them, or the authors' file they were converted from
    data       training sets; recipe: its name under recipes/; commit: code version they were trained with
    metrics    what we measured, keys like "middlebury-other/psnr"; published: the paper's figures, same keys
    url        https address; None: comes with a package or is made by the recipe

    Raises ModelError if the hash, the size or the file name cannot be right.
    """

    name: str
    system: str
    variant: str
    file: str
    bytes: int
    sha256: str
    licence: str
    source: str
    data: tuple[str, ...]
    recipe: str
    commit: str
    metrics: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    published: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    url: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ModelError(f"Weights {self.name}: the sha256 must be 64 lower-case hex digits, got {self.sha256!r}.")
        if Path(self.file).name != self.file or not self.file.endswith(".safetensors"):
            raise ModelError(f"Weights {self.name}: {self.file!r} must be a bare file name ending in .safetensors.")
        if self.bytes <= 0:
            raise ModelError(f"Weights {self.name}: the size must be positive, got {self.bytes}.")
        if self.url is not None and not self.url.startswith("https://"):
            raise ModelError(f"Weights {self.name}: the address must begin with https://, got {self.url!r}.")


CARDS: tuple[Weights, ...] = ()

_verified: set[tuple[Path, int, int, str]] = set()  # (path, size, mtime, sha256) whose hash was seen to be right


def card(name: str) -> Weights:
    """The card called `name`. Raises ModelError naming what there is."""
    for row in CARDS:
        if row.name == name:
            return row
    there = ", ".join(row.name for row in CARDS) or "none"
    raise ModelError(f"No weights are called {name!r}. There are: {there}.")


def home() -> Path:
    """The user's folder for weights: `$MIDFRAME_HOME/weights`, else the platform's data folder. May not exist yet."""
    chosen = os.environ.get("MIDFRAME_HOME")
    return (Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("midframe"))) / "weights"


def locate(wanted: Weights | str | PathLike[str]) -> Path:
    """The checked file of a card, of a card's name, or of an explicit path to a .safetensors file.

    A path is taken as it is (its contents are the caller's business); a card's file must have the card's hash.
    Raises ModelError if the file is missing or differs, UsageError if the path is not a .safetensors file.
    """
    if not isinstance(wanted, Weights):
        text = os.fspath(wanted)
        if text.endswith(".safetensors"):
            if not Path(text).is_file():
                raise ModelError(f"{text}: no such file.")
            return Path(text)
        if isinstance(wanted, str) and any(row.name == wanted for row in CARDS):
            return locate(card(wanted))
        if Path(text).exists():
            raise UsageError(f"{text} is not a .safetensors file; other kinds can run code and are not loaded.")
        return locate(card(text))
    for folder in _folders():
        path = folder / wanted.file
        if path.is_file():
            verify(path, wanted)
            return path
    way_out = f"Run: midframe weights pull {wanted.name}" if wanted.url else f"Make it with recipe {wanted.recipe}"
    raise ModelError(f"Weights {wanted.name} ({wanted.file}) are not here. {way_out}, or put the file into {home()}.")


def verify(path: Path, wanted: Weights) -> None:
    """Check size and SHA-256 of `path` against a card; remembered while path, size and time of change stay.

    Raises ModelError if they differ.
    """
    status = path.stat()
    key = (path.resolve(), status.st_size, status.st_mtime_ns, wanted.sha256)
    if key in _verified:
        return
    if status.st_size != wanted.bytes:
        raise ModelError(
            f"{path} has {status.st_size} bytes, {wanted.name} has {wanted.bytes}: delete it and get it again."
        )
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != wanted.sha256:
        raise ModelError(
            f"{path} is not {wanted.name}: its sha256 is {found}, expected {wanted.sha256}. Delete it and get it again."
        )
    _verified.add(key)


def load_state(path: str | PathLike[str], *, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a .safetensors file on `device`. Raises ModelError if the file is damaged."""
    try:
        return load_file(path, device=str(device))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{os.fspath(path)} cannot be read as safetensors: {error}") from error


def pull(wanted: Weights, *, timeout: float = 60.0) -> Path:
    """Fetch a card's file over https into the user's folder, check it, and let it appear only when whole.

    A file that is already there and right is not fetched again. Raises ModelError if there is no address, the
    network fails or the file differs; OutputError if the folder cannot be written.
    """
    target = home() / wanted.file
    if target.is_file():
        verify(target, wanted)
        return target
    if wanted.url is None:
        raise ModelError(f"Weights {wanted.name} have no address; they are made by recipe {wanted.recipe}.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{wanted.file}.", suffix=".part")
    except OSError as error:
        raise OutputError(f"{target.parent} cannot be written: {error.strerror}. Set MIDFRAME_HOME.") from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as out, urllib.request.urlopen(wanted.url, timeout=timeout) as answer:
            left = wanted.bytes + 1  # one more than promised shows a file that is too long; never fills the disk
            while left > 0 and (chunk := answer.read(min(1 << 20, left))):
                out.write(chunk)
                left -= len(chunk)
        verify(part, wanted)
        part.replace(target)
    except urllib.error.URLError as error:
        raise ModelError(f"Weights {wanted.name} cannot be fetched from {wanted.url}: {error.reason}") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise ModelError(f"Weights {wanted.name}: {wanted.url} broke off ({error}). Try again.") from error
    except OSError as error:
        raise OutputError(f"{part.parent} cannot be written: {error.strerror or error}. Set MIDFRAME_HOME.") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _folders() -> list[Path]:
    folders = [home(), BUNDLED]
    for point in entry_points(group=ENTRY_POINTS):
        try:
            folders.append(Path(point.load()))
        except (ImportError, AttributeError, TypeError) as error:
            raise ModelError(f"{point.value}: weights not found ({error}). Repair or uninstall it.") from error
    return folders
