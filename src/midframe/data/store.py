"""Footage decoded once: 8-bit RGB frames of many clips in one flat file, with an index of what they are.

A store is a folder of two files. `frames.bin`: a header of HEADER bytes, then frame after frame, H W 3 uint8.
`index.json`: format, version, settings, and for each clip where its frames lie, its size, rate and times, the frames
at which a new shot begins, how much moves from each frame to the next, and the SHA-256 of its frames and of its source.

A store appears under its name only when it is whole. While it grows it is NAME.partial with a journal of one line for
each finished clip; packing the same sources again goes on from there.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import torch
from filelock import FileLock, Timeout
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import DamagedError, InputError, MemoryLimitError, OutputError
from midframe.files import replacing

FORMAT, VERSION = "midframe-store", 1
HEADER = 64
RESERVE = 0.25  # of a GPU's free memory that a resident store leaves for the training
SYNC_EVERY = 100  # clips between two times the files are forced to the disk


@dataclass(frozen=True, slots=True)
class PackedClip:
    """One clip of a store.

    offset       of its first frame in the store's frames, bytes; its frames follow each other
    times        when each frame is shown, seconds from the clip's beginning; repeated frames are left out of the store
    shots        indices of the frames that begin a shot; the first is 0
    flow_mean, flow_p95   from frame i to i+1, in pixels at this size: mean and 95th percentile; 0 at a cut
    """

    name: str
    source_sha256: str
    sha256: str
    offset: int
    frames: int
    height: int
    width: int
    rate: str
    repeats: int
    times: tuple[float, ...]
    shots: tuple[int, ...]
    flow_mean: tuple[float, ...]
    flow_p95: tuple[float, ...]

    @property
    def frame_bytes(self) -> int:
        return self.height * self.width * 3

    @property
    def exact_rate(self) -> Fraction:
        """Frames per second of the source, on average."""
        return Fraction(self.rate)


class Store:
    """A packed store opened for reading. Owns a memory map; nothing is read before it is asked for.

    `identity` is a hash of the sources and settings it was packed from.
    """

    def __init__(
        self,
        path: Path,
        clips: Sequence[PackedClip],
        settings: Mapping[str, Any],
        flat: NDArray[np.uint8],
        identity: str = "",
    ) -> None:
        self.path, self.clips, self.settings, self.flat = path, tuple(clips), dict(settings), flat
        self.identity = identity

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def total_frames(self) -> int:
        return sum(clip.frames for clip in self.clips)

    def frames(self, clip: int) -> UInt8[np.ndarray, "n h w 3"]:
        """All frames of a clip, a view of the file."""
        entry = self.clips[clip]
        stop = entry.offset + entry.frames * entry.frame_bytes
        return self.flat[entry.offset : stop].reshape(entry.frames, entry.height, entry.width, 3)

    def to(self, device: torch.device | str) -> UInt8[Tensor, " bytes"]:
        """The whole store as one flat tensor on `device`. Raises MemoryLimitError if a GPU has not the room."""
        device = torch.device(device)
        if device.type == "cuda" and not self.fits(device):
            raise MemoryLimitError(
                f"{self.path}: {self.flat.nbytes / 2**30:.1f} GiB do not fit beside the training on {device}; pack "
                "with a smaller --long-side, or leave the store on the CPU."
            )
        if device.type == "cpu":
            return torch.from_numpy(np.array(self.flat))
        resident = torch.empty(self.flat.nbytes, dtype=torch.uint8, device=device)
        part = 1 << 28
        for start in range(0, self.flat.nbytes, part):
            resident[start : start + part] = torch.from_numpy(np.array(self.flat[start : start + part])).to(device)
        return resident

    def fits(self, device: torch.device | str) -> bool:
        """Is there room for the whole store on this GPU, with a quarter of its free memory left over?"""
        free, _ = torch.cuda.mem_get_info(device)
        return self.flat.nbytes <= (1 - RESERVE) * free

    def check(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Read everything and compare it with the index. Raises DamagedError naming the first clip that differs."""
        for number, clip in enumerate(self.clips):
            if hashlib.sha256(self.frames(number).data).hexdigest() != clip.sha256:
                raise DamagedError(f"{self.path}: the frames of {clip.name} are damaged; pack the store again.")
            if on_progress:
                on_progress(number + 1, len(self.clips))


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a packed store.

    Raises InputError if it is none, unfinished or of another version; DamagedError if index and frames do not agree.
    """
    folder = Path(path)
    index = folder / "index.json"
    if not index.is_file():
        hint = f"{folder} is not a packed store (no index.json); make one with `midframe data pack`."
        if (partial := partial_folder(folder)).is_dir():
            hint = f"{folder} is not finished ({partial.name} is there); run the same `midframe data pack` again."
        raise InputError(hint)
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        form, version = content["format"], content["version"]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{index}: cannot be read as an index ({error}); pack the store again.") from error
    if form != FORMAT or version != VERSION:
        raise InputError(
            f"{index}: is {form!r} version {version}; this midframe reads version {VERSION}: pack it again."
        )
    try:
        clips = [_read_clip(entry) for entry in content["clips"]]
        identity, settings = str(content["id"]), dict(content["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{index}: an entry is damaged ({error}); pack the store again.") from error
    data = folder / "frames.bin"
    wanted = sum(clip.frames * clip.frame_bytes for clip in clips)
    there = data.stat().st_size if data.is_file() else 0
    if there != HEADER + wanted:
        raise DamagedError(f"{data}: {there} bytes where the index promises {HEADER + wanted}; pack the store again.")
    with open(data, "rb") as file:
        if file.read(HEADER) != _header(identity):
            raise DamagedError(f"{data}: does not belong to this index; pack the store again.")
    due = 0
    for clip in clips:
        if clip.offset != due:
            raise DamagedError(f"{index}: {clip.name} lies at {clip.offset}, not at {due}; pack the store again.")
        due += clip.frames * clip.frame_bytes
    flat = np.memmap(data, np.uint8, "r", offset=HEADER, shape=(wanted,)) if wanted else np.zeros(0, np.uint8)
    return Store(folder, clips, settings, flat, identity)


class StoreWriter:
    """Writes a store clip by clip. A context manager; leaving it without `finish` keeps what there is for next time.

    `identity` says what is being packed and how: a partial store of another identity is not gone on with.
    Raises OutputError if a finished store of that name is there, or somebody else is writing it.
    """

    def __init__(self, path: str | os.PathLike[str], *, identity: str, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._partial = partial_folder(self.path)
        self._identity, self._settings = identity, dict(settings)
        self.clips: list[PackedClip] = []
        self._file: BinaryIO
        self._lock = FileLock(f"{self._partial}.lock")

    def __enter__(self) -> Self:
        if self.path.exists():
            raise OutputError(f"{self.path}: exists already; remove it or give another name.")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(f"{self.path}: is being written by another process.") from error
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror}).") from error
        try:
            self._partial.mkdir(exist_ok=True)
            self._resume()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self.clips:
            shutil.rmtree(self._partial)
        self._release()

    def _release(self) -> None:
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    def _resume(self) -> None:
        data, journal = self._partial / "frames.bin", self._partial / "journal.jsonl"
        lines = journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else []
        size = data.stat().st_size if data.is_file() else 0
        if len(lines) > 1 and lines[0] != json.dumps({"id": self._identity, "version": VERSION}):
            raise OutputError(
                f"{self._partial}: was begun with other sources or settings; repeat those, or remove the folder."
            )
        end = HEADER
        for line in lines[1:]:
            try:
                clip = _read_clip(json.loads(line))
            except (KeyError, TypeError, ValueError):
                break  # the line that was being written when it stopped
            if end + clip.frames * clip.frame_bytes > size:
                break
            self.clips.append(clip)
            end += clip.frames * clip.frame_bytes
        self._file = open(data, "r+b" if size else "w+b")  # noqa: SIM115 - closed in __exit__
        self._file.truncate(end if size >= HEADER else 0)
        self._file.seek(0)
        self._file.write(_header(self._identity))
        self._file.seek(end)
        self._end = end - HEADER
        kept = [json.dumps({"id": self._identity, "version": VERSION}), *(json.dumps(asdict(c)) for c in self.clips)]
        with replacing(journal) as file:
            file.write(("\n".join(kept) + "\n").encode())

    def add(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        """Append one frame of the clip that `close_clip` will name."""
        self._file.write(np.ascontiguousarray(frame).data)

    def abandon_clip(self) -> None:
        """Take back the frames added since the last `close_clip`."""
        self._file.flush()
        self._file.truncate(HEADER + self._end)
        self._file.seek(HEADER + self._end)

    def close_clip(self, **fields: Any) -> PackedClip:
        """End a clip of the frames added since the last one; `fields` are `PackedClip`'s but for offset."""
        clip = PackedClip(offset=self._end, **fields)
        self._file.flush()
        self._end += clip.frames * clip.frame_bytes
        assert self._file.tell() == HEADER + self._end
        if len(self.clips) % SYNC_EVERY == 0:
            os.fsync(self._file.fileno())
        with open(self._partial / "journal.jsonl", "a", encoding="utf-8") as journal:
            journal.write(json.dumps(asdict(clip)) + "\n")
        self.clips.append(clip)
        return clip

    def finish(self) -> None:
        """Write the index and give the store its name."""
        os.fsync(self._file.fileno())
        self._file.close()
        content = {
            "format": FORMAT,
            "version": VERSION,
            "id": self._identity,
            "settings": self._settings,
            "clips": [asdict(clip) for clip in self.clips],
        }
        with replacing(self._partial / "index.json") as file:
            file.write(json.dumps(content, ensure_ascii=False).encode())
        (self._partial / "journal.jsonl").unlink()
        os.replace(self._partial, self.path)


def partial_folder(path: Path) -> Path:
    """Where a store grows until it is whole."""
    return path.with_name(path.name + ".partial")


def _header(identity: str) -> bytes:
    return f"{FORMAT} {VERSION} {identity[:32]}\n".encode().ljust(HEADER, b"\0")


def _read_clip(entry: Mapping[str, Any]) -> PackedClip:
    lists = {name: tuple(entry[name]) for name in ("times", "shots", "flow_mean", "flow_p95")}
    clip = PackedClip(**{**entry, **lists})
    whole = clip.frames == len(clip.times) == len(clip.flow_mean) + 1 == len(clip.flow_p95) + 1
    if not whole or clip.shots[:1] != (0,) or min(clip.height, clip.width, clip.frames) < 1:
        raise ValueError(f"clip {clip.name}: its lists do not fit its {clip.frames} frames")
    return clip
