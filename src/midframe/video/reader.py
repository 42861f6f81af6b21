"""Frames of a source by index, in presentation order, in the pixel format the job works in."""

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import av.filter
from av.video.reformatter import VideoReformatter

from midframe.errors import DamagedError, InputError, UsageError
from midframe.video import colour as c
from midframe.video.colour import Colour
from midframe.video.pixel import change, resolve, working_format
from midframe.video.probe import (
    GO_ON,
    VideoInfo,
    breaks_off,
    clock,
    decode_stream,
    describe,
    exact,
    film_stream,
    is_whole_jpeg,
    open_input,
    set_threads,
    show_name,
)
from midframe.video.timeline import Timeline

BACK_OFF = (0, 1, 4, 16)  # seconds before the wanted frame to seek to, until a key frame lies before it
UNSEEKABLE = ("gif", "apng", "avi", "yuv4mpegpipe")  # pictures build on a canvas, or carry no stamps to be found by


@dataclass(frozen=True, slots=True)
class SourceFrame:
    index: int
    picture: av.VideoFrame


class Reader:
    """Reads any part of a source. A context manager; `frames` may be called again and again, one call at a time.

    pix_fmt        format the pictures are converted to if they differ
    colour         what samples of `pix_fmt` mean where it is RGB and the source is YCbCr, or the other way round
                   (None: BT.709 of limited range, or RGB of full range); within one family colour does not change
    deinterlace    an interlaced source gives one progressive frame per frame (bwdif), at the same times
    allow_damaged  packets that do not decode are skipped; the timeline must then come from `scan(decode=True)`
    threads        for decoding; 0 = as many as there are processors
    """

    def __init__(
        self,
        info: VideoInfo,
        timeline: Timeline,
        *,
        pix_fmt: str | None = None,
        colour: Colour | None = None,
        deinterlace: bool = True,
        allow_damaged: bool = False,
        threads: int = 0,
    ) -> None:
        self._info, self._timeline = info, timeline
        self._convert = Converter(pix_fmt or info.pix_fmt, colour, chroma_location=info.colour.chroma_location)
        self._deinterlace = deinterlace and info.interlaced is not None
        self._lenient = allow_damaged
        self._threads = threads
        self._attempt = 0  # the first of BACK_OFF that is worth trying
        self._stack = ExitStack()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[SourceFrame]:
        """Frames start … stop−1, the same pixels wherever `start` is.

        Raises DamagedError if a frame that the timeline promises does not come, InputError if the size changes.
        """
        stop = len(self._timeline) if stop is None else min(stop, len(self._timeline))
        if not 0 <= start < stop:
            return
        due = start
        with closing(self._images(start, stop) if self._info.images else self._film(start)) as source:
            for index, picture in source:
                if index != due:
                    break
                yield SourceFrame(index, picture)
                due += 1
                if due == stop:
                    return
        time = clock(self._timeline.pts(due))
        raise DamagedError(
            f"{show_name(self._info.path)}: frame {due} at {time} is missing or damaged"
            + (f"; {GO_ON}" if not self._lenient else ".")
        )

    def _images(self, start: int, stop: int) -> Generator[tuple[int, av.VideoFrame], None, None]:
        for index in range(start, stop):
            path = self._info.images[index]
            with open_input(path) as container:
                picture = next(decode_stream(container, film_stream(container, path), path), None)
            if picture is None:
                raise DamagedError(f"{show_name(path)}: the image cannot be decoded.")
            is_jpeg = path.lower().endswith((".jpg", ".jpeg"))
            if is_jpeg and not self._lenient and not is_whole_jpeg(Path(path).read_bytes()):
                raise DamagedError(f"{show_name(path)}: the image is cut off; {GO_ON}")
            self._check_size(picture, path, None)
            yield index, self._convert(picture)

    def _film(self, start: int) -> Generator[tuple[int, av.VideoFrame], None, None]:
        # A deinterlacer looks one frame back, so it must begin earlier for the same pixels.
        wanted = max(0, start - 2) if self._deinterlace else start
        with closing(self._from(wanted)) as found:
            pictures: Iterator[tuple[int, av.VideoFrame]] = found
            if self._deinterlace:
                pictures = self._progressive(pictures)
            for index, picture in pictures:
                if index >= start:
                    yield index, self._convert(picture)

    def _from(self, wanted: int) -> Generator[tuple[int, av.VideoFrame], None, None]:
        """Pictures from `wanted` on: by seeking ever further back until it comes, at last from the beginning."""
        for attempt in range(self._attempt, len(BACK_OFF)):
            target = self._seek_target(wanted, BACK_OFF[attempt])
            if target is None:
                break
            with closing(self._decode(wanted, target)) as decoded:
                first = next(decoded, None)
                if first is not None and first[0] == wanted:
                    yield from chain((first,), decoded)
                    return
            self._attempt = attempt + 1  # key frames that lie so will lie so again
        with closing(self._decode(wanted, None)) as decoded:
            yield from decoded

    def _seek_target(self, wanted: int, seconds: int) -> int | None:
        """The stamp to seek to, or None: decode from the beginning."""
        timeline = self._timeline
        # What a damaged key frame looks like depends on where decoding began; so always begin at the same place.
        if not timeline.stamped or self._lenient or self._info.container in UNSEEKABLE:
            return None
        target = int(timeline.ticks[wanted]) - round(seconds / timeline.time_base)
        return target if wanted > 0 and target > int(timeline.ticks[0]) else None

    def _decode(self, wanted: int, target: int | None) -> Generator[tuple[int, av.VideoFrame], None, None]:
        """(index, picture) from `wanted` on, decoding from the key frame before stamp `target` or from the beginning.

        Nothing, if the file cannot seek. Pictures that the timeline lacks are left out.
        """
        timeline, path = self._timeline, self._info.path
        with open_input(path) as container:
            stream = container.streams[self._info.stream_index]
            for other in container.streams:
                if other.index != stream.index:
                    other.discard = av.stream.Discard.all
            set_threads(stream, lenient=self._lenient, threads=self._threads)
            assert not timeline.stamped or timeline.time_base == exact(stream.time_base)
            if target is not None:
                try:
                    container.seek(target, stream=stream)
                except av.FFmpegError:
                    return
            pictures = decode_stream(container, stream, path, lenient=self._lenient, after_seek=target is not None)
            last = -1
            for picture in pictures:
                if timeline.stamped:
                    index = timeline.index_of(picture.pts) if picture.pts is not None else None
                    if index is None or index <= last:
                        continue
                else:
                    index = last + 1
                last = index
                if index < wanted:
                    continue
                self._check_size(picture, path, index)
                yield index, picture

    def _check_size(self, picture: av.VideoFrame, path: str, index: int | None) -> None:
        info = self._info
        if (picture.width, picture.height) == (info.width, info.height):
            return
        at = f" at {clock(self._timeline.pts(index))}" if index is not None else ""
        raise InputError(
            f"{show_name(path)}: the picture changes from {info.width}x{info.height} to "
            f"{picture.width}x{picture.height}{at}; split or scale the input so that it has one size."
        )

    def _progressive(self, pictures: Iterator[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
        # The filter knows planar formats only and would have others converted behind our back.
        planar = ((i, p if p.format.is_planar else self._convert(p)) for i, p in pictures)
        return deinterlaced(planar)


class PipeReader:
    """y4m on stdin. The number of frames is known only at its end. A context manager.

    `info` and `rate` (frames per second) are there once it is entered; frame i is shown at i/rate.
    Entering raises InputError if stdin is closed, is a terminal, is not y4m or holds no frame.
    """

    def __init__(
        self,
        *,
        pix_fmt: str | None = None,
        colour: Colour | None = None,
        deinterlace: bool = True,
        allow_damaged: bool = False,
    ) -> None:
        self._stack = ExitStack()
        self._pix_fmt, self._colour, self._deinterlace = pix_fmt, colour, deinterlace
        self._lenient = allow_damaged
        self._pipe = Stdin()
        self._read_to = 0  # bytes, to the end of the last whole frame
        self.info: VideoInfo
        self.rate = Fraction(0)

    def __enter__(self) -> "PipeReader":
        if sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty():
            raise InputError("stdin: is a terminal; pipe y4m into it, as in: ffmpeg -i IN -f yuv4mpegpipe - | …")
        with ExitStack() as opened:
            container = opened.enter_context(open_input("-", pipe=self._pipe))
            stream = film_stream(container, "-")
            self.rate = exact(stream.average_rate) or exact(stream.guessed_rate) or Fraction(25)
            pictures = decode_stream(container, stream, "-", on_packet=self._note)
            self._head = list(islice(pictures, 1))
            if not self._head:
                raise InputError("stdin: the y4m stream holds no frames.")
            self._pictures = pictures
            self.info = replace(describe(container, stream, "-", self._head), path="stdin", declared_duration=None)
            self._stack = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def frames(self) -> Iterator[SourceFrame]:
        """All frames, once. Raises DamagedError if the stream ends within a frame, InputError if the size changes."""
        chroma_location = self.info.colour.chroma_location
        convert_to = Converter(self._pix_fmt or self.info.pix_fmt, self._colour, chroma_location=chroma_location)
        pictures: Iterator[tuple[int, av.VideoFrame]] = enumerate(chain(self._head, self._pictures))
        if self._deinterlace and self.info.interlaced:
            pictures = deinterlaced(pictures)
        index = -1
        for index, picture in pictures:
            yield SourceFrame(index, convert_to(picture))
        if self._read_to < self._pipe.given and not self._lenient:
            raise breaks_off("-", (index + 1) / self.rate)

    def _note(self, packet: Any) -> None:
        if packet.size:
            self._read_to = packet.pos + packet.size


class Stdin:
    """Standard input as FFmpeg reads it. FFmpeg leaves out half a frame at the end; the count of bytes shows it."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int) -> bytes:
        data = os.read(0, size)
        self.given += len(data)
        return data


class Converter:
    """Brings pictures into the format `pix_fmt`, and into `colour` where that is another family than their own.

    swscale only puts samples into another order here. What changes values (RGB to YCbCr and back, depth, chroma
    resolution) takes the same arithmetic as synthesised frames, `pixel.change`. Between two formats of one family the
    colour is the picture's own on both sides, whatever `colour` says. `chroma_location` is that of the source, which
    its pictures do not show.
    """

    def __init__(
        self, pix_fmt: str, colour: Colour | None = None, *, chroma_location: int = c.SITING_UNSPECIFIED
    ) -> None:
        self._pix_fmt, self._colour, self._chroma_location = pix_fmt, colour, chroma_location
        self._working = working_format(pix_fmt)
        self._scaler = VideoReformatter()

    def __call__(self, picture: av.VideoFrame) -> av.VideoFrame:
        """`picture` itself if it is in this format; else a copy with the same stamp.

        Raises UsageError for a format that cannot be read.
        """
        name = picture.format.name
        if name == self._pix_fmt:
            return picture
        said = Colour(
            # yuvj formats mean full range, whatever the tag says.
            range=c.FULL if name.startswith("yuvj") else int(picture.color_range),
            matrix=int(picture.colorspace),
            primaries=int(picture.color_primaries),
            transfer=int(picture.color_trc),
            chroma_location=self._chroma_location,
        )
        now = said
        layout = working_format(name)
        made = self._rearrange(picture, layout, said.range)
        if layout != self._working:
            now = _counterpart(said, layout, self._working, self._colour)
            made = change(made, said, pix_fmt=self._working, colour=now)
        made = self._rearrange(made, self._pix_fmt, now.range)
        # The scaler writes 601's other number.
        made.colorspace, made.color_range = now.matrix, now.range
        made.color_primaries, made.color_trc = now.primaries, now.transfer
        made.pts, made.duration = picture.pts, picture.duration
        if picture.time_base is not None:
            made.time_base = picture.time_base
        return made

    def _rearrange(self, picture: av.VideoFrame, pix_fmt: str, color_range: int) -> av.VideoFrame:
        if picture.format.name == pix_fmt:
            return picture
        try:
            return self._scaler.reformat(
                picture, format=pix_fmt, src_color_range=color_range, dst_color_range=color_range, threads=1
            )
        except av.FFmpegError as error:
            raise UsageError(
                f"{picture.format.name} cannot be read here; convert the file to a usual pixel format first."
            ) from error


def _counterpart(said: Colour, layout: str, pix_fmt: str, asked: Colour | None) -> Colour:
    """The colour of a picture that goes from one format to another: its own, unless the family changes."""
    was, now = _family(layout), _family(pix_fmt)
    if was == now:
        return said
    if asked is not None:
        return asked
    if now == "rgb":
        return replace(said, matrix=c.MATRIX_RGB, range=c.FULL, chroma_location=c.SITING_UNSPECIFIED)
    if was == "rgb":
        return replace(said, matrix=c.MATRIX_709, range=c.LIMITED)
    return replace(resolve(said, layout, 0), matrix=c.MATRIX_709 if said.matrix == c.MATRIX_RGB else said.matrix)


def _family(pix_fmt: str) -> str:
    return "rgb" if pix_fmt.startswith("gbr") else "gray" if pix_fmt.startswith("gray") else "yuv"


def convert(picture: av.VideoFrame, pix_fmt: str, colour: Colour | None = None) -> av.VideoFrame:
    """One picture in another format, and in `colour` if its family changes; itself if it already is."""
    return Converter(pix_fmt, colour)(picture)


def deinterlaced(pictures: Iterator[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
    """One progressive picture per interlaced one (bwdif), with its number, stamp and tags; others pass unchanged.

    The field order is each picture's own. The filter looks one picture back and one ahead.
    """
    graph: Any = None
    held: list[tuple[int, av.VideoFrame]] = []
    for index, picture in pictures:
        if graph is None:
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=picture.width, height=picture.height, format=picture.format.name, time_base=Fraction(1, 1000)
            )
            bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
            sink = graph.add("buffersink")
            source.link_to(bwdif)
            bwdif.link_to(sink)
            graph.configure()
        held.append((index, picture))
        stamp = picture.pts, picture.time_base
        picture.pts, picture.time_base = index, Fraction(1, 1000)
        graph.push(picture)
        picture.pts, picture.time_base = stamp
        yield from _pulled(graph, held)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph, held)


def _pulled(graph: Any, held: list[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
    while held:
        try:
            picture = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        index, source = held.pop(0)
        picture.pts, picture.time_base = source.pts, source.time_base
        picture.colorspace, picture.color_range = source.colorspace, source.color_range
        picture.color_primaries, picture.color_trc = source.color_primaries, source.color_trc
        yield index, picture
