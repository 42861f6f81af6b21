"""A wheel of a few kilobytes with pickled tensors in it, as authors publish theirs, in a folder that pip searches."""

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch

from midframe.wheels import Wheel

NAME = "midframe_toy_weights-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: midframe-toy-weights\nVersion: 1.0\n"
TAGS = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass
class ToyWheel:
    path: Path

    def source(self, members, convert="builtins:dict"):
        content = self.path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        return Wheel("midframe-toy-weights", "1.0", NAME, len(content), digest, members, convert)


def write_wheel(folder, members):
    """`members`: file in the wheel → what torch.save pickles there, or bytes."""
    path = folder / NAME
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("midframe_toy_weights-1.0.dist-info/METADATA", METADATA)
        archive.writestr("midframe_toy_weights-1.0.dist-info/WHEEL", TAGS)
        archive.writestr("midframe_toy_weights-1.0.dist-info/RECORD", "")
        for name, content in members.items():
            if not isinstance(content, bytes):
                stream = io.BytesIO()
                torch.save(content, stream)
                content = stream.getvalue()
            archive.writestr(name, content)
    return ToyWheel(path)


def use_as_index(folder, monkeypatch):
    """Let pip know this folder and nothing else."""
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
