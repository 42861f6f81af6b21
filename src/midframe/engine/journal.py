"""What an unfinished job has already done: a folder of whole segments and a line for each.

The folder lies beside the output as `.NAME.midframe`, on the same disk, so that finishing is a rename. A segment is
written as `.part`, synced, renamed, and only then entered in `journal.jsonl`; a line therefore never names a segment
that is not there whole, whatever moment the machine stopped at.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from midframe.errors import OutputError, UsageError
from midframe.files import replacing, sync_folder

SPOOL = "stdin.nut"


@dataclass(frozen=True, slots=True)
class Record:
    """One finished segment: how its frames came about, the cuts seen (indices of gaps), and the file's size."""

    number: int
    frames: int
    copied: int
    rendered: int
    held: int
    cuts: tuple[int, ...]
    bytes: int
    notes: tuple[str, ...] = ()


class Journal:
    """Owns the folder of one job. Use as a context manager: it holds a lock, so two runs cannot share a folder."""

    def __init__(self, output: Path) -> None:
        self.folder = output.parent / f".{output.name}.midframe"
        self._lines = self.folder / "journal.jsonl"
        self._lock: FileLock | None = None

    @classmethod
    def at(cls, folder: Path) -> "Journal":
        """The journal in an existing folder, for a worker: its parent holds the lock."""
        journal = cls.__new__(cls)
        journal.folder, journal._lines, journal._lock = folder, folder / "journal.jsonl", None
        return journal

    def __enter__(self) -> "Journal":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / "lock")
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(f"{self.folder}: another midframe is working on this output; wait for it.") from error
        except OSError as error:
            raise OutputError(f"{self.folder.parent}: cannot write here ({error.strerror}).") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is None:
            return
        idle = self.folder.is_dir() and all(path.name == "lock" for path in self.folder.iterdir())
        self._lock.release()
        if idle:  # the job was refused before any work was done
            shutil.rmtree(self.folder, ignore_errors=True)

    def begin(self, fingerprint: dict[str, Any], *, anew: bool) -> dict[int, Record]:
        """Start or go on. Returns the segments that are already there whole.

        Raises UsageError if the folder holds a job with another fingerprint and `anew` is False.
        """
        fingerprint = json.loads(json.dumps(fingerprint))
        path = self.folder / "job.json"
        if path.exists():
            known = _read_json(path)
            if known == fingerprint:
                return self._read()
            if not anew:
                changed = ", ".join(
                    f"{key} {_short(known.get(key))} → {_short(fingerprint.get(key))}"
                    for key in sorted({*known, *fingerprint})
                    if known.get(key) != fingerprint.get(key)
                )
                raise UsageError(
                    f"{self.folder} holds an unfinished job with other settings ({changed}). "
                    "Give the same settings to go on, or --overwrite to start again."
                )
        self.clear()
        with replacing(path) as file:
            file.write(json.dumps(fingerprint, indent=1).encode())
        return {}

    def segment_path(self, number: int) -> Path:
        return self.folder / f"segment-{number:06d}.nut"

    def part_path(self, number: int) -> Path:
        """Where a segment is written before it is whole; one name per process, so that a retry cannot collide."""
        return self.folder / f"segment-{number:06d}.{os.getpid()}.part"

    def commit(self, part: Path, record: Record) -> None:
        """Make a written segment count. `part` must be closed."""
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, self.segment_path(record.number))
        sync_folder(self.folder)
        with open(self._lines, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def clear(self) -> None:
        """Forget everything but the lock and what was spooled from stdin."""
        for path in self.folder.iterdir():
            if path.name in ("lock", SPOOL):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def remove(self) -> None:
        """The job is finished: its files go, and the folder with the lock."""
        for path in self.folder.iterdir():
            if path.name != "lock":
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def _read(self) -> dict[int, Record]:
        done: dict[int, Record] = {}
        if not self._lines.exists():
            return done
        for line in self._lines.read_text(encoding="utf-8").splitlines():
            try:
                fields = json.loads(line)
            except json.JSONDecodeError:
                continue  # the line that was being written when the machine stopped; its segment is made again
            record = Record(**{**fields, "cuts": tuple(fields["cuts"]), "notes": tuple(fields["notes"])})
            path = self.segment_path(record.number)
            if path.exists() and path.stat().st_size == record.bytes:
                done[record.number] = record
        for leftover in self.folder.glob("*.part"):
            leftover.unlink()
        # Without the torn line: the next one would be appended to it.
        with replacing(self._lines) as file:
            file.writelines((json.dumps(asdict(record)) + "\n").encode() for record in done.values())
        return done


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
