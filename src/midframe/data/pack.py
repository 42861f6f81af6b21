"""Footage into a store: decode, leave repeats out, mark cuts, shrink, measure what moves."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import Float, UInt8

from midframe.data.store import Store, StoreWriter, open_store
from midframe.errors import InputError, UsageError
from midframe.video.pixel import to_rgb, working_format
from midframe.video.probe import IMAGE_SUFFIXES, probe, scan
from midframe.video.reader import Reader

LONG_SIDE = 640
FLOW_SIDE = 256  # pixels, the long side at which motion is measured
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".y4m", ".mxf", ".gif")


@dataclass(frozen=True, slots=True)
class Clip:
    """What becomes one clip: a video file, or images in order that are all frames of one take, `rate` a second."""

    name: str
    path: Path | None = None
    images: tuple[Path, ...] = ()
    rate: Fraction = Fraction(24)


@dataclass(frozen=True, slots=True)
class Marked:
    """A picture in a working format: does a new shot begin with it, does it repeat the one before?"""

    picture: av.VideoFrame
    begins_shot: bool
    repeats: bool


# (pictures in order, how many will come) → the same pictures with marks. Passed in, for this room may not look into
# the room that finds cuts.
Marker = Callable[[Iterator[av.VideoFrame], int], Iterator[Marked]]


@dataclass(frozen=True, slots=True)
class Packed:
    """What `pack` did: the store, how many clips were there already, and what was left out, a line for each."""

    store: Store
    resumed: int
    left_out: list[str] = field(default_factory=list)


def find_clips(sources: Sequence[str | Path]) -> list[Clip]:
    """Clips of files and folders, in order: a folder of images is one clip, any other all videos directly in it.

    Raises InputError for what is missing or holds neither.
    """
    clips = []
    for source in map(Path, sources):
        if source.is_file():
            clips.append(Clip(source.name, source))
        elif source.is_dir():
            files = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
            images = tuple(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
            videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
            if videos:
                clips += [Clip(path.name, path) for path in videos]
            elif images:
                clips.append(Clip(source.name, images=images))
            else:
                raise InputError(f"{source}: holds neither videos nor images; name files or another folder.")
        else:
            raise InputError(f"{source}: no such file or folder.")
    return clips


def pack(
    clips: Sequence[Clip],
    path: str | Path,
    *,
    long_side: int = LONG_SIDE,
    mark: Marker | None = None,
    skip_damaged: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Decode `clips` into a store at `path`, going on where an earlier attempt stopped.

    long_side     larger pictures are reduced to this by area; smaller ones stay
    mark          finds cuts and repeats in videos; None: none are looked for. Images are taken as they are
    skip_damaged  leave out clips that cannot be read, and say so, instead of stopping

    A store that is already finished with the same sources and settings is left as it is. Anamorphic pixels stay
    anamorphic; rotated videos are turned upright; alpha is dropped. Clips of fewer than two frames are left out.
    Raises InputError or DamagedError for a source that cannot be read, OutputError for a place that cannot be written,
    UsageError for a long side below 16.
    """
    if long_side < 16:
        raise UsageError(f"--long-side {long_side}: give at least 16 pixels.")
    if not clips:
        raise UsageError("there is nothing to pack: name videos, folders or a layout.")
    path = Path(path)
    hashes = [_hash_source(clip) for clip in clips]
    settings = {"long_side": long_side, "marks": mark is not None, "flow_side": FLOW_SIDE}
    names = _unique_names(clips)
    identity = hashlib.sha256(json.dumps([settings, names, hashes]).encode()).hexdigest()
    if (path / "index.json").is_file() and (store := open_store(path)).identity == identity:
        return Packed(store, len(store))
    left_out: list[str] = []
    with StoreWriter(path, identity=identity, settings=settings) as writer:
        done = {clip.name for clip in writer.clips}
        for number, (clip, name, source_hash) in enumerate(zip(clips, names, hashes, strict=True)):
            if name not in done:
                try:
                    _pack_clip(clip, name, source_hash, writer, long_side, mark)
                except InputError as error:
                    writer.abandon_clip()
                    if not skip_damaged:
                        raise
                    left_out.append(str(error))
            if on_progress:
                on_progress(number + 1, len(clips))
        if not writer.clips:
            raise InputError(f"none of the {len(clips)} clips could be packed. The first: {left_out[0]}")
        writer.finish()
    return Packed(open_store(path), len(done), left_out)


def _pack_clip(
    clip: Clip, name: str, source_hash: str, writer: StoreWriter, long_side: int, mark: Marker | None
) -> None:
    frames = _read_images(clip) if clip.images else _read_video(clip, mark)
    digest = hashlib.sha256()
    times: list[float] = []
    shots, means, highs = [0], [], []
    before: UInt8[np.ndarray, "h w"] | None = None
    size, repeats = (0, 0), 0
    for frame in frames:
        if frame.repeats:
            repeats += 1
            continue
        small = reduce(frame.rgb, long_side)
        if size not in ((0, 0), small.shape[:2]):
            raise InputError(f"{clip.name}: its frames differ in size; split it or scale them alike.")
        size = small.shape[:2]
        grey = _small_grey(small)
        if before is not None:
            if frame.begins_shot:
                shots.append(len(times))
                means.append(0.0)
                highs.append(0.0)
            else:
                mean, high = measure_motion(before, grey)
                enlarged = max(size) / max(grey.shape)
                means.append(round(mean * enlarged, 3))
                highs.append(round(high * enlarged, 3))
        before = grey
        times.append(round(frame.time, 6))
        digest.update(small.data)
        writer.add(small)
    if len(times) < 2:
        raise InputError(f"{clip.name}: has {len(times)} different frames; a clip needs at least two.")
    seconds = times[-1] - times[0]
    rate = Fraction((len(times) - 1 + repeats) / seconds).limit_denominator(1001) if seconds > 0 else clip.rate
    writer.close_clip(
        name=name,
        source_sha256=source_hash,
        sha256=digest.hexdigest(),
        frames=len(times),
        height=size[0],
        width=size[1],
        rate=str(rate),
        repeats=repeats,
        times=tuple(times),
        shots=tuple(shots),
        flow_mean=tuple(means),
        flow_p95=tuple(highs),
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    rgb: np.ndarray  # H W 3, uint8, or float32 in [0, 1]
    time: float
    begins_shot: bool = False
    repeats: bool = False


def _read_video(clip: Clip, mark: Marker | None) -> Iterator[_Frame]:
    assert clip.path is not None
    info = probe(clip.path)
    timeline = scan(info)
    turns = info.rotation // 90 % 4
    with Reader(info, timeline, pix_fmt=working_format(info.pix_fmt), threads=1) as reader:
        pictures = (frame.picture for frame in reader.frames())
        marked = mark(pictures, len(timeline)) if mark else (Marked(picture, False, False) for picture in pictures)
        for index, one in enumerate(marked):
            time = float(timeline.pts(index) - timeline.start)
            if one.repeats:
                yield _Frame(np.empty(0), time, repeats=True)
                continue
            rgb = to_rgb(one.picture, info.colour)[:3].permute(1, 2, 0).numpy()
            yield _Frame(np.rot90(rgb, turns) if turns else rgb, time, one.begins_shot)


def _read_images(clip: Clip) -> Iterator[_Frame]:
    for index, path in enumerate(clip.images):
        yield _Frame(read_image(path), float(index / clip.rate))


def read_image(path: Path, flags: int = cv2.IMREAD_COLOR_RGB) -> UInt8[np.ndarray, "h w 3"]:
    """An image as 8-bit RGB (16 bit is reduced), or as OpenCV's `flags` ask for it.

    Raises InputError if it is missing or unreadable.
    """
    try:
        data = np.fromfile(path, np.uint8)  # read by Python: OpenCV cannot open every name everywhere
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    image = cv2.imdecode(data, flags) if data.size else None
    if image is None:
        raise InputError(f"{path}: not an image that can be read.")
    return image


def reduce(
    rgb: UInt8[np.ndarray, "h w 3"] | Float[np.ndarray, "h w 3"], long_side: int
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """8-bit RGB with no side above `long_side`: by area, rounded once at the end."""
    height, width = rgb.shape[:2]
    scale = long_side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        rgb = cv2.resize(np.ascontiguousarray(rgb), size, interpolation=cv2.INTER_AREA)
    if rgb.dtype == np.uint8:
        return np.ascontiguousarray(rgb)
    return np.clip(np.rint(rgb * np.float32(255)), 0, 255).astype(np.uint8, order="C")


def measure_motion(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]) -> tuple[float, float]:
    """Mean and 95th percentile of the length of the flow between two grey pictures, pixels (OpenCV's DIS)."""
    cv2.setNumThreads(1)  # what DIS finds depends on how many there are
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = dis.calc(before, after, None)  # type: ignore[call-overload]
    length = np.hypot(flow[..., 0], flow[..., 1])
    return float(length.mean()), float(np.percentile(length, 95))


def _small_grey(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2"]:
    return cv2.cvtColor(reduce(rgb, FLOW_SIDE), cv2.COLOR_RGB2GRAY)


def _hash_source(clip: Clip) -> str:
    digest = hashlib.sha256()
    for path in clip.images or ((clip.path,) if clip.path else ()):
        try:
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def _unique_names(clips: Sequence[Clip]) -> list[str]:
    """The clips' names; a name that occurs again gets a number."""
    seen: dict[str, int] = {}
    names = []
    for clip in clips:
        seen[clip.name] = seen.get(clip.name, 0) + 1
        names.append(clip.name if seen[clip.name] == 1 else f"{clip.name}#{seen[clip.name]}")
    return names
