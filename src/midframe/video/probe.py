"""What a source is (`probe`) and when its frames are shown (`scan`).

Headers lie about rates and counts, so `probe` only reports their claims; `scan` reads every packet's stamp. Only files
and pipes are opened: a playlist cannot make us fetch anything.
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import av
import av.logging

from midframe.errors import DamagedError, InputError
from midframe.video.colour import FULL, Colour
from midframe.video.timeline import Timeline, counted_timeline, repaired_timeline, timeline_from_ticks

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".exr", ".dpx")
DEFAULT_IMAGE_RATE = Fraction(24)
HDR_TYPES = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
UPRIGHT = (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
HEAD = 12  # pictures decoded by `scan` to hold them against the packets' stamps
PATIENCE = 300  # packets without a key frame after which decoding begins anyway
# "none": a percent sign in a name is a percent sign, not the number of an image.
OPTIONS = {"protocol_whitelist": "file,pipe", "pattern_type": "none"}
TEXT = ("tty", "bin", "adf", "idf", "xbin")  # demuxers that draw text as pictures
CHROMA_LOCATIONS = {"left": 1, "center": 2, "topleft": 3, "top": 4, "bottomleft": 5, "bottom": 6}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream beside the video. Times in seconds, None where the file does not say."""

    index: int
    kind: str
    codec: str
    language: str | None = None
    title: str | None = None
    start: Fraction | None = None
    duration: Fraction | None = None


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the headers and the first frame say about a source. `declared_*` are claims; `scan` finds the facts.

    rotation        degrees counter-clockwise, from the display matrix
    display_matrix  its nine integers in FFmpeg's order, to be written again; None = upright
    sar             width : height of one sample; 1 if unsaid
    interlaced      "tff", "bff" or None
    hdr             raw side data by FFmpeg's type name: mastering display, content light level
    stream_index    the film's among all streams; `streams` are the others
    images          the files of a folder or pattern, in order
    is_pipe         comes from stdin and can be read only once
    """

    path: str
    container: str
    codec: str
    width: int
    height: int
    pix_fmt: str
    bit_depth: int
    has_alpha: bool
    sar: Fraction = Fraction(1)
    rotation: int = 0
    display_matrix: tuple[int, ...] | None = None
    colour: Colour = Colour()
    interlaced: str | None = None
    hdr: dict[str, bytes] = field(default_factory=dict)
    stream_index: int = 0
    streams: tuple[StreamInfo, ...] = ()
    chapters: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    declared_duration: Fraction | None = None
    declared_frames: int | None = None
    declared_rate: Fraction | None = None
    images: tuple[str, ...] = ()
    is_pipe: bool = False

    @property
    def is_images(self) -> bool:
        return bool(self.images)


def exact(value: Any) -> Fraction | None:
    """PyAV's rational as a Fraction; None for unset (18 gives None, 19 a falsy 0/1)."""
    return Fraction(int(value.numerator), int(value.denominator)) if value else None


@contextmanager
def open_input(path: str, *, pipe: Any = None) -> Iterator[Any]:
    """The file opened for reading, or y4m from `pipe`, which has `read`; its path is then "-".

    Raises InputError, in one line, for all that can be wrong.
    """
    if pipe is None:
        _check_readable(path)
    # "file:" so that a name with a colon or a leading dash is a name and nothing else.
    source = f"file:{path}" if pipe is None else pipe
    kind = None if pipe is None else "yuv4mpegpipe"
    try:
        container = av.open(source, "r", format=kind, metadata_errors="replace", container_options=dict(OPTIONS))
    except (av.FFmpegError, OSError, ValueError) as error:
        what = "not a media file that can be read" if pipe is None else "not y4m"
        raise InputError(f"{show_name(path)}: {what} ({_reason(error)}).") from error
    try:
        if container.format.name in TEXT:  # any text would do
            raise InputError(f"{show_name(path)}: not a media file that can be read (text).")
        yield container
    finally:
        container.close()


def probe(source: str | PathLike[str]) -> VideoInfo:
    """Read the headers and the first frame of `source`: a file, a folder of images, or a pattern like img%04d.png.

    Raises InputError if it cannot be read, holds no video, or its images differ in size; DamagedError if its first
    frame cannot be decoded. y4m on stdin is read by `PipeReader`, which has its own `info`.
    """
    path = os.fspath(source)
    if not path:
        raise InputError("the name of the input is empty; give a file, a folder of images or - for y4m on stdin.")
    if path == "-":
        raise InputError("stdin: read it with PipeReader; it cannot be probed without being consumed.")
    images = _image_files(path)
    if images is not None:
        return _probe_images(path, images)
    with open_input(path) as container:
        stream = film_stream(container, path)
        head = islice(decode_stream(container, stream, path, lenient=True), 1 if _is_progressive(stream) else 6)
        return describe(container, stream, path, list(head))


def scan(info: VideoInfo, *, decode: bool = False, rate: Fraction | None = None) -> Timeline:
    """When every frame is shown: from the packets alone where they can be trusted, else from the decoded pictures.

    decode  decode everything and take what comes, damaged or not; for a `Reader` with `allow_damaged`
    rate    for folders of images, and for streams that carry no times at all

    Raises DamagedError if the file breaks off or does not decode at its beginning, InputError if it holds no frames.
    """
    if info.images:
        return counted_timeline(len(info.images), rate or DEFAULT_IMAGE_RATE)
    timeline = None if decode else _scan_packets(info, rate)
    return timeline if timeline is not None else _scan_pictures(info, rate, lenient=decode)


def _scan_packets(info: VideoInfo, rate: Fraction | None) -> Timeline | None:
    """Stamps by reading packets. None if these are not the stamps of the pictures that come out."""
    name = show_name(info.path)
    with open_input(info.path) as container:
        stream = container.streams[info.stream_index]
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        base = exact(stream.time_base) or Fraction(1)
        ticks: dict[int, int] = {}  # stamp → duration, 0 if unknown
        leading: set[int] = set()  # stamps of pictures that may need what came before the file's first key frame
        key: int | None = None
        count = seen = empty = 0
        reached = Fraction(0)
        damaged: Fraction | None = None
        read_to = 0  # bytes
        first_dts: int | None = None
        last_dts: int | None = None
        try:
            for packet in container.demux(stream):
                if packet.size == 0:
                    empty += packet.dts is not None  # AVI writes nothing where the last picture stays
                    continue
                seen += 1
                read_to = (packet.pos or 0) + packet.size
                if damaged is not None:
                    raise DamagedError(f"{name}: the input is damaged at {clock(damaged)}; {GO_ON}")
                if packet.is_corrupt and (key is not None or packet.is_keyframe):
                    damaged = reached  # the end of the file, unless another packet follows
                    continue
                if packet.is_discard or _is_hidden(packet, info.codec):
                    continue
                count += 1
                tick, dts = packet.pts, packet.dts
                if tick is None or tick in ticks or (dts is not None and last_dts is not None and dts < last_dts):
                    return None
                if dts is not None:
                    first_dts = dts if first_dts is None else first_dts
                    last_dts = dts
                if key is None and packet.is_keyframe:
                    key = tick
                if key is None or tick < key:
                    leading.add(tick)
                ticks[tick] = packet.duration or 0
                reached = max(reached, (tick + ticks[tick]) * base)
        except av.FFmpegError as error:
            raise breaks_off(info.path, reached, error) from error
        promised = _promised(container, stream) or seen
        if damaged is not None or seen < promised or _is_cut_off(info.path, container.format.name, read_to):
            raise breaks_off(info.path, reached, missing=promised - seen)
        if not ticks:
            raise InputError(f"{name}: its video stream holds no frames.")
        hints = _hints(stream, rate)
        if container.format.name == "avi" and stream.codec_context.has_b_frames and empty == 0 and hints:
            # AVI counts frames in decoding order. FFmpeg's presentation stamps for it are guesses, a frame or two late.
            even = range(first_dts or 0, (first_dts or 0) + count)
            return timeline_from_ticks(even, base, last_duration=1, rate_hints=hints, stamped=False)
        is_apng = container.format.name == "apng"
    shown = _trim_leading(info, sorted(ticks), leading)
    if shown is None:
        return None
    return timeline_from_ticks(shown, base, last_duration=ticks[shown[-1]], rate_hints=hints, rounded_steps=is_apng)


def _promised(container: Any, stream: Any) -> int | None:
    """How many packets the file's own index or header says there are, where it is to be believed."""
    if container.format.name.startswith("mov,"):
        return len(stream.index_entries)
    rate, base = exact(stream.average_rate), exact(stream.time_base)
    if container.format.name == "mxf" and stream.duration and rate is not None and base == 1 / rate:
        return int(stream.duration)
    return None


def _trim_leading(info: VideoInfo, ticks: list[int], leading: set[int]) -> list[int] | None:
    """`ticks` without those of a beginning that cannot be decoded; None if the pictures come at other times.

    A recording that starts in the middle has pictures before its first key frame, or shown before it, that lack what
    they are built on; no player shows them.
    """
    with open_input(info.path) as container:
        stream = container.streams[info.stream_index]
        stream.thread_type = "AUTO"
        head = [picture.pts for picture in islice(decode_stream(container, stream, info.path), HEAD)]
    if not head:
        raise DamagedError(f"{show_name(info.path)}: no frame of the video can be decoded; the file is damaged.")
    if head[0] is None:
        return None
    lost = [tick for tick in ticks if tick < head[0]]
    if not leading.issuperset(lost):
        return None
    if lost:
        log.info("%s: %d frames before its first key frame cannot be decoded", info.path, len(lost))
    shown = ticks[len(lost) :]
    return shown if shown[: len(head)] == head else None


def _scan_pictures(info: VideoInfo, rate: Fraction | None, *, lenient: bool) -> Timeline:
    """Stamps of all that decodes, by decoding it. `lenient` skips what does not, instead of raising DamagedError."""
    with open_input(info.path) as container:
        stream = container.streams[info.stream_index]
        set_threads(stream, lenient=lenient)
        ticks: list[int | None] = []
        last_duration: int | None = None
        for picture in decode_stream(container, stream, info.path, lenient=lenient):
            ticks.append(picture.pts)
            last_duration = picture.duration or None
        if not ticks:
            raise DamagedError(f"{show_name(info.path)}: no frame of the video can be decoded; the file is damaged.")
        base, hints = exact(stream.time_base) or Fraction(1), _hints(stream, rate)
        if container.format.name == "avi" and hints:
            return timeline_from_ticks(
                range(len(ticks)), 1 / hints[0], last_duration=1, rate_hints=hints, stamped=False
            )
        return repaired_timeline(ticks, base, last_duration=last_duration, rate_hints=hints)


def set_threads(stream: Any, *, lenient: bool, threads: int = 0) -> None:
    """Decode with `threads` threads (0: as many as there are processors).

    Frames of a damaged file are patched from whatever another thread has finished by then, and slice threads leave what
    the memory held before; so a lenient decoder has one: the same file must give the same pictures each time.
    """
    stream.codec_context.thread_count = 1 if lenient else threads
    stream.thread_type = "AUTO"


def decode_stream(
    container: Any,
    stream: Any,
    path: str,
    *,
    lenient: bool = False,
    after_seek: bool = False,
    on_packet: Callable[[Any], None] = lambda packet: None,
) -> Iterator[av.VideoFrame]:
    """Every shown picture from the next key frame on, in presentation order.

    after_seek  leave out pictures shown before that key frame, which build on what was not decoded; at the beginning
                of a file they count if they decode, for nothing can be before them
    lenient     skip packets that are damaged or do not decode; otherwise they raise DamagedError with their time
    """
    base = exact(stream.time_base) or Fraction(1)
    time = Fraction(0)
    key: int | None = None
    packets = _from_key_frame(container.demux(stream))
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            if lenient:
                return
            raise breaks_off(path, time, error) from error
        if packet is None:
            return
        on_packet(packet)
        if packet.pts is not None:
            time = packet.pts * base
            key = packet.pts if key is None else key
        leads = packet.pts is not None and key is not None and packet.pts < key
        if lenient and packet.is_corrupt:
            continue
        try:
            # The discard flag of an edit list makes the decoder itself drop the picture.
            pictures = packet.decode()
        except av.FFmpegError as error:
            if lenient or leads:
                continue
            raise breaks_off(path, time, error) from error
        for picture in pictures:
            leads = picture.pts is not None and key is not None and picture.pts < key
            if leads and (after_seek or picture.is_corrupt):
                continue
            if picture.is_corrupt and not lenient:
                shown = picture.pts * base if picture.pts is not None else time
                raise DamagedError(f"{show_name(path)}: the frame at {clock(shown)} is damaged; {GO_ON}")
            yield picture


def _from_key_frame(packets: Iterator[Any]) -> Iterator[Any]:
    """Packets from the first key frame on; all of them if none comes for long (a stream that refreshes in stripes)."""
    waiting: list[Any] | None = []
    for packet in packets:
        if waiting is None:
            yield packet
            continue
        is_key = packet.is_keyframe and packet.size
        waiting = [packet] if is_key else [*waiting, packet]
        if is_key or len(waiting) == PATIENCE:
            yield from waiting
            waiting = None
    yield from waiting or ()


def _is_hidden(packet: Any, codec: str) -> bool:
    """Whether a VP8 packet holds a reference that is never shown: the show_frame bit (RFC 6386, section 9.1)."""
    return codec == "vp8" and not memoryview(packet)[0] >> 4 & 1


def _is_cut_off(path: str, container: str, read_to: int) -> bool:
    """Whether the file is shorter than its own outermost element says: Matroska's Segment, AVI's first RIFF.

    A GIF ends with its trailer, and y4m where its last whole frame does, at `read_to` bytes.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(4096)
        file.seek(max(0, size - 4096))
        end = file.read()
    if container == "gif":
        return not end.rstrip(b"\0\r\n ").endswith(b";")
    if container == "yuv4mpegpipe":
        return read_to < size
    if container == "avi":
        return start[:4] == b"RIFF" and int.from_bytes(start[4:8], "little") + 8 > size
    if not container.startswith("matroska"):
        return False
    place = start.find(bytes.fromhex("18538067"))
    if place < 0 or place + 12 > len(start):
        return False
    first = start[place + 4]
    length = 9 - first.bit_length()  # EBML: the leading zero bits count the bytes that follow
    value = int.from_bytes(start[place + 4 : place + 4 + length], "big") & ((1 << 7 * length) - 1)
    unknown = value == (1 << 7 * length) - 1  # written live
    return not unknown and place + 4 + length + value > size


def _hints(stream: Any, rate: Fraction | None) -> list[Fraction]:
    rates = [rate, exact(stream.average_rate), exact(stream.guessed_rate), exact(stream.base_rate)]
    return [rate for rate in dict.fromkeys(rates) if rate is not None and 0 < rate <= 1000]


def describe(container: Any, stream: Any, path: str, head: Sequence[av.VideoFrame]) -> VideoInfo:
    """What an opened file and the first pictures of its film say."""
    name = show_name(path)
    if not head:
        raise DamagedError(f"{name}: no frame of the video can be decoded; the file is cut off or damaged.")
    first, context = head[0], stream.codec_context
    base = exact(stream.time_base) or Fraction(1)
    side = _side_data(first)
    duration = Fraction(stream.duration) * base if stream.duration else None
    if duration is None and container.duration:
        duration = Fraction(container.duration, av.time_base)
    is_interlaced = any(picture.interlaced_frame for picture in head)
    parts = first.format.components
    return VideoInfo(
        path=path,
        container=container.format.name,
        codec=context.codec.canonical_name,
        width=first.width,
        height=first.height,
        pix_fmt=first.format.name,
        bit_depth=max((part.bits for part in parts), default=8),
        has_alpha=any(part.is_alpha for part in parts) or first.format.has_palette,
        sar=exact(stream.sample_aspect_ratio) or exact(context.sample_aspect_ratio) or Fraction(1),
        rotation=int(first.rotation or 0),
        display_matrix=_display_matrix(side.get("DISPLAYMATRIX"), int(first.rotation or 0)),
        colour=Colour(
            range=FULL if first.format.name.startswith("yuvj") else int(first.color_range),
            matrix=int(first.colorspace),
            primaries=int(first.color_primaries),
            transfer=int(first.color_trc),
            chroma_location=_chroma_location(container, stream.index) if any(p.is_chroma for p in parts) else 0,
        ),
        # AVFieldOrder: 3 = both fields bottom first, 4 = coded top first but shown bottom first
        interlaced=("bff" if context.field_order in (3, 4) else "tff") if is_interlaced else None,
        hdr={kind: side[kind] for kind in HDR_TYPES if kind in side},
        stream_index=stream.index,
        streams=tuple(_stream_info(other) for other in container.streams if other.index != stream.index),
        chapters=len(container.chapters()),
        metadata=dict(container.metadata),
        declared_duration=duration,
        declared_frames=stream.frames or None,
        declared_rate=exact(stream.average_rate),
        is_pipe=path == "-",
    )


def _side_data(picture: av.VideoFrame) -> dict[str, bytes]:
    """Raw side data by type name."""
    try:
        side: Any = picture.side_data
        items = [side[i] for i in range(len(side))]
    except ValueError:  # PyAV 18.1 refuses all of it if one type (EXIF, view number) is newer than its list
        return {}
    return {item.type.name: bytes(item) for item in items}


def _display_matrix(raw: bytes | None, rotation: int) -> tuple[int, ...] | None:
    """The nine integers, from the side data or, where only the angle is known, for a quarter turn; None = upright."""
    if raw is not None:
        numbers = tuple(int.from_bytes(raw[i : i + 4], "little", signed=True) for i in range(0, 36, 4))
        return numbers if numbers != UPRIGHT else None
    quarter = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}.get(rotation % 360)
    if quarter is None:
        return None
    a, b, c, d = (65536 * number for number in quarter)
    return a, b, 0, c, d, 0, 0, 0, 1 << 30


def film_stream(container: Any, path: str) -> Any:
    """The film: the video stream marked default, else the first, never cover art."""
    pictures = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    films = [stream for stream in container.streams.video if not stream.disposition & pictures]
    if not films:
        kinds = sorted({stream.type for stream in container.streams} - {"video"})
        kinds += ["a cover picture"] if container.streams.video else []
        raise InputError(f"{show_name(path)}: holds no video, only {' and '.join(kinds) or 'nothing'}.")
    film = next((stream for stream in films if stream.disposition & av.stream.Disposition.default), films[0])
    if film.codec_context is None:
        raise InputError(
            f"{show_name(path)}: its video codec cannot be decoded here, or the file is cut off in its header."
        )
    if container.format.name == "webp_pipe" and film.codec_context.width <= 0:
        raise InputError(
            f"{show_name(path)}: cut off, or an animated WebP, which FFmpeg does not read; convert it to APNG first."
        )
    if film.codec_context.width <= 0 or film.codec_context.height <= 0:
        raise DamagedError(f"{show_name(path)}: its video stream has no size; the file is cut off or damaged.")
    return film


def _is_progressive(stream: Any) -> bool:
    return stream.codec_context.field_order in (0, 1)  # unknown, progressive


def _stream_info(stream: Any) -> StreamInfo:
    base = exact(stream.time_base)
    context = stream.codec_context
    codec = context.codec.canonical_name if context is not None else None
    if codec is None and stream.type == "data":
        codec = stream.name
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=codec or "unknown",
        language=stream.language,
        title=stream.metadata.get("title"),
        start=stream.start_time * base if base is not None and stream.start_time is not None else None,
        duration=stream.duration * base if base is not None and stream.duration else None,
    )


_LOG_LEVEL = threading.Lock()


def _chroma_location(container: Any, index: int) -> int:
    """Where chroma samples lie, FFmpeg's number. PyAV has no name for it; FFmpeg's own listing of the file does."""
    with _LOG_LEVEL:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.VERBOSE)
        av.logging.set_libav_level(av.logging.VERBOSE)
        try:
            listing = container.dumps_format()
        finally:
            av.logging.set_libav_level(av.logging.INFO)
            av.logging.set_level(level)
    found = re.search(rf"^  Stream #\d+:{index}\b.*?: Video: .*?\(((?:[^()]|\([^()]*\))*)\), \d+x\d+", listing, re.M)
    words = found[1].split(", ") if found else []
    return next((CHROMA_LOCATIONS[word] for word in words if word in CHROMA_LOCATIONS), 0)


def _probe_images(path: str, images: list[str]) -> VideoInfo:
    """All images must have one size; the format is one that holds every image."""
    formats: dict[str, str] = {}  # format → the first image that has it
    first: VideoInfo | None = None
    for image in images:
        with open_input(image) as container:
            stream = film_stream(container, image)
            if first is None:
                first = describe(container, stream, image, list(islice(decode_stream(container, stream, image), 1)))
            context = stream.codec_context
            size = (context.width, context.height)
            if size != (first.width, first.height):
                raise InputError(
                    f"{show_name(image)}: {size[0]}x{size[1]}, but the first image is {first.width}x{first.height}; "
                    "all images must have one size."
                )
            formats.setdefault(context.pix_fmt or first.pix_fmt, image)
    assert first is not None
    pix_fmt = _common_format(path, formats) if len(formats) > 1 else first.pix_fmt
    parts = av.VideoFormat(pix_fmt, 64, 64).components
    return replace(
        first,
        path=path,
        container="images",
        images=tuple(images),
        pix_fmt=pix_fmt,
        bit_depth=max(part.bits for part in parts) if len(formats) > 1 else first.bit_depth,
        has_alpha=any(part.is_alpha for part in parts) or first.has_alpha,
        declared_frames=len(images),
        declared_duration=None,
        declared_rate=None,
        metadata={},
    )


def _common_format(path: str, formats: dict[str, str]) -> str:
    """The RGB format that holds images of several. Tools that shrink PNG store a grey or flat frame as such."""
    kinds = [av.VideoFormat(name, 64, 64) for name in formats]
    if not all(kind.is_rgb or kind.has_palette or len(kind.components) <= 2 for kind in kinds):
        (one, at), (other, there) = list(formats.items())[:2]
        raise InputError(
            f"{show_name(path)}: {Path(at).name} is {one} but {Path(there).name} is {other}; "
            "convert all images to one format."
        )
    alpha = any(kind.has_palette or any(part.is_alpha for part in kind.components) for kind in kinds)
    deep = any(part.bits > 8 for kind in kinds for part in kind.components)
    return ("rgba64le" if alpha else "rgb48le") if deep else ("rgba" if alpha else "rgb24")


def _image_files(path: str) -> list[str] | None:
    """The files of a folder or a numbered pattern in natural order; None if `path` is neither."""
    place = Path(path)
    try:
        if place.is_dir():
            files = [f for f in place.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")]
            if not files:
                raise InputError(f"{show_name(path)}: the folder holds no images ({' '.join(IMAGE_SUFFIXES)}).")
        elif place.exists() or not (pattern := _numbered(place.name)):
            return None
        elif not place.parent.is_dir():
            raise InputError(f"{show_name(str(place.parent))}: no such folder.")
        else:
            files = [f for f in place.parent.iterdir() if pattern.fullmatch(f.name)]
            if not files:
                raise InputError(f"{show_name(path)}: no file fits this pattern.")
    except OSError as error:
        raise InputError(f"{show_name(path)}: {_reason(error)}.") from error
    return [str(f) for f in sorted(files, key=lambda f: (_natural(f.name), f.name))]


def _numbered(name: str) -> re.Pattern[str] | None:
    """What img%04d.png stands for; a double percent sign is one. None if there is no number in it."""
    parts = re.split(r"(%%|%0?\d*d)", name)
    if not any(re.fullmatch(r"%0?\d*d", part) for part in parts):
        return None
    texts = ["%" if part == "%%" else part for part in parts]
    wanted = [
        rf"\d{{{int(part[1:-1] or 1) or 1},}}" if re.fullmatch(r"%0?\d*d", part) else re.escape(part) for part in texts
    ]
    return re.compile("".join(wanted))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Numbers in a name sort as numbers: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts if part]


def _check_readable(path: str) -> None:
    name, place = show_name(path), Path(path)
    try:
        if not place.exists():
            raise InputError(f"{name}: no such file.")
        if not place.is_file():
            raise InputError(f"{name}: not a regular file; for a pipe give - and write y4m into stdin.")
        if not os.access(path, os.R_OK):
            raise InputError(f"{name}: no permission to read it.")
        if place.stat().st_size == 0:
            raise InputError(f"{name}: the file is empty.")
    except OSError as error:  # a folder that may not be entered, a name too long
        raise InputError(f"{name}: {_reason(error)}.") from error


def is_whole_jpeg(data: bytes) -> bool:
    """Whether the end marker follows the first scan (ITU-T T.81, annex B). FFmpeg paints what is missing grey."""
    place = 2
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != b"\xda":
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data.find(b"\xff\xd9", place) >= 0


GO_ON = "pass --allow-damaged to go on with what is there."


def breaks_off(path: str, time: Fraction, error: Exception | None = None, *, missing: int = 0) -> DamagedError:
    why = f" ({_reason(error)})" if error is not None else f" ({missing} more frames were promised)" if missing else ""
    return DamagedError(f"{show_name(path)}: the input breaks off at {clock(time)}{why}; {GO_ON}")


def clock(time: Fraction) -> str:
    """Seconds as 0:12.480 or 1:02:03.000."""
    total = round(abs(time) * 1000)
    minutes, rest = divmod(total, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{'-' if time < 0 else ''}{text}:{rest // 1000:02d}.{rest % 1000:03d}"


def show_name(path: str) -> str:
    """A path as one printable line."""
    if path == "-":
        return "stdin"
    return path if path.isprintable() else repr(path)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
