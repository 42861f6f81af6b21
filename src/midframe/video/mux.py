"""Joining segments into the finished file, with every other stream of the source at its right time.

The video's packets are copied: presentation stamps come from the plan, decoding stamps are made anew from the sorted
presentation stamps, dts(k) = stamp(k − delay), which is increasing and never later than the frame it decodes.

Sound, subtitles, data, attachments, cover art and chapters are copied from the source; what a container refuses, found
out by writing its header to nowhere first, is converted or left out, and `notes` is told. Output time is
out_start + stretch·(source time − origin) for what follows the picture.
"""

import heapq
import io
import math
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
from av.stream import Discard, Disposition

from midframe.errors import DamagedError, MidframeError, VerifyError
from midframe.video.audio import BIT_RATE, Recoder, encoder_for, nearest_rate
from midframe.video.images import write_decoded
from midframe.video.matroska import ROOM, write_video_facts
from midframe.video.probe import VideoInfo, exact, open_input
from midframe.video.subtitles import TEXT_CODECS, plain_text, text_codec, to_sample
from midframe.video.writer import JOINED_BY_DECODING, EncoderSettings, add_video_stream, output_error

AudioMode = Literal["keep", "stretch", "drop"]
Notes = Callable[[str], None]
LIMIT = (1 << 31) - 1
AAC_PRIMING = 1024
MILLISECOND_CONTAINERS = ("matroska", "webm")
# Tags that a muxer writes itself, or that are true of the old video only.
STALE = re.compile(r"(_STATISTICS_.*|BPS|DURATION|NUMBER_OF_(FRAMES|BYTES)|ENCODER|encoder|SOURCE_ID)(-\w+)?$")
CONTAINER_KEYS = ("major_brand", "minor_version", "compatible_brands", "encoder", "ENCODER", "DURATION")
MP4_KEYS = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping",
    "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "season_number",
    "episode_sort", "media_type", "hd_video", "gapless_playback", "compilation", "track", "disc", "location",
    "creation_time", "tempo", "make", "model", "rating", "performer", "author", "year", "timecode",
}  # fmt: skip
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True, slots=True)
class TimeMap:
    """Where source seconds land in the output: out_start + stretch·(time − origin).

    end  where the kept part of the source ends, which then begins at `origin`; None: all of it is kept
    """

    origin: Fraction = Fraction(0)
    out_start: Fraction = Fraction(0)
    stretch: Fraction = Fraction(1)
    end: Fraction | None = None

    def __call__(self, time: Fraction) -> Fraction:
        return self.out_start + self.stretch * (time - self.origin)

    @property
    def kept(self) -> tuple[Fraction, Fraction] | None:
        """Source seconds [begin, end) that are kept; None: all."""
        return None if self.end is None else (self.origin, self.end)

    def unstretched(self) -> "TimeMap":
        return replace(self, stretch=Fraction(1))


UNMOVED = TimeMap()


def assemble(
    segments: Sequence[Path],
    settings: EncoderSettings,
    info: VideoInfo,
    output: Path,
    *,
    container: str,
    stamps: Sequence[int],
    end_tick: int,
    audio: AudioMode = "keep",
    times: TimeMap = UNMOVED,
    notes: Notes = lambda text: None,
) -> None:
    """Write `output` from `segments`; it is removed again if anything fails.

    stamps  of all frames in presentation order, in ticks of `settings.time_base`; `end_tick` follows the last
    audio   "keep" copies it at its own speed, "stretch" stretches it as the picture, "drop" leaves it out
    times   where the source's times land; other streams are cut to the kept part, in whole packets where copied

    Raises OutputError if it cannot be written, VerifyError if the segments do not hold the frames of `stamps`.
    """
    ticks = [*stamps, end_tick]
    try:
        if settings.codec in JOINED_BY_DECODING:
            _note_what_stills_lose(info, container, audio, notes)
            write_decoded(segments, settings, output, container=container, ticks=ticks, notes=notes)
            return
        with _Join(info, settings, container, times, audio, notes) as join:
            join.write(output, segments, ticks)
    except BaseException as error:
        if output.is_dir():
            shutil.rmtree(output, ignore_errors=True)
        else:
            output.unlink(missing_ok=True)
        if isinstance(error, av.FFmpegError | OSError) and not isinstance(error, MidframeError):
            raise output_error(output, error) from error
        raise


def _note_what_stills_lose(info: VideoInfo, container: str, audio: AudioMode, notes: Notes) -> None:
    kinds = [stream.kind for stream in info.streams if not (stream.kind == "audio" and audio == "drop")]
    if kinds:
        what = ", ".join(sorted(set(kinds)))
        name = {"images": "a folder of images", "yuv4mpegpipe": "y4m"}.get(container, container)
        notes(f"{name} holds pictures only: {what} of the source left out.")


@dataclass(slots=True)
class _Route:
    """How one stream of the source goes into the output."""

    source: Any
    way: Literal["copy", "recode", "text", "cover"]
    codec: str = ""
    target: Any = None
    clock: TimeMap | None = None
    padding: Fraction = Fraction(0)
    next_pts: int | None = None  # of a sound stream whose stamps are being evened out
    recoder: Recoder | None = None


class _Join:
    """One run of `assemble`. Owns the open source."""

    def __init__(
        self, info: VideoInfo, settings: EncoderSettings, container: str, clock: TimeMap, audio: AudioMode, notes: Notes
    ) -> None:
        self._info, self._settings, self._container = info, settings, container
        self._clock, self._audio, self._notes = clock, audio, notes
        self._opened: Any = None
        self._source: Any = None

    def __enter__(self) -> "_Join":
        if not self._info.is_images and not self._info.is_pipe:
            self._opened = open_input(self._info.path)
            self._source = self._opened.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._opened is not None:
            self._opened.__exit__(None, None, None)

    def write(self, output: Path, segments: Sequence[Path], ticks: Sequence[int]) -> None:
        time_base = self._settings.time_base
        routes = self._routes()
        timescale = _timescale(time_base)
        options = self._options(timescale, time_base, routes)
        with av.open(f"file:{output}", "w", format=self._container, container_options=options) as out:
            video = self._add_video(out, ticks, time_base)
            for route in routes:
                self._add(out, route)
            self._add_metadata(out)
            streams = [_video_packets(segments, video, ticks, time_base)]
            if self._source is not None and any(route.target is not None for route in routes):
                streams.append(self._other_packets(routes))
            for _, packet in heapq.merge(*streams, key=lambda item: item[0]):
                out.mux(packet)
        settings = self._settings
        if self._facts_to_add():
            write_video_facts(output, (settings.height, settings.width), settings.sar, settings.hdr)

    # ---- what goes where

    def _routes(self) -> list[_Route]:
        if self._source is None:
            return []
        routes: list[_Route] = []
        dropped: list[str] = []
        for stream in self._source.streams:
            if stream.index == self._info.stream_index:
                continue
            if stream.type == "audio" and self._audio == "drop":
                continue
            if stream.type == "data" and (stream.discard == Discard.all or "timecode" in stream.metadata):
                continue  # the track that shows chapters or the time code: made anew from those
            route = self._route(stream)
            if route is None:
                codec = stream.codec_context.name if stream.codec_context is not None else "unknown codec"
                dropped.append(f"{stream.type} stream {stream.index} ({codec})")
            else:
                routes.append(route)
        if dropped:
            self._notes(f"{self._container} cannot hold {', '.join(dropped)}: left out (.mkv holds most kinds).")
        return routes

    def _route(self, stream: Any) -> _Route | None:
        codec = stream.codec_context.name if stream.codec_context is not None else ""
        if stream.type == "video":
            if stream.disposition & Disposition.attached_pic:
                route = _Route(stream, "cover", codec)
                return route if self._accepts(route) else None
            route = _Route(stream, "copy", codec, clock=self._clock)
            return route if self._clock.stretch == 1 and self._accepts(route) else None
        if stream.type == "audio":
            if not codec:
                return None
            if self._audio == "stretch" and self._clock.stretch != 1:
                return self._recoded(stream, codec, self._clock)
            route = _Route(stream, "copy", codec, clock=self._clock.unstretched())
            if self._accepts(route):
                return route
            recoded = self._recoded(stream, codec, self._clock.unstretched())
            self._notes(
                f"{self._container} cannot hold {codec} sound (stream {stream.index}): converted to "
                f"{recoded.codec.removeprefix('lib')}."
            )
            return recoded
        route = _Route(stream, "copy", codec, clock=self._clock)
        if stream.type == "subtitle" and codec not in _subtitle_codecs(self._container) and codec in TEXT_CODECS:
            converted = text_codec(self._container)
            self._notes(
                f"{self._container} cannot hold {codec} subtitles (stream {stream.index}): converted to {converted}."
            )
            return _Route(stream, "text", converted, clock=self._clock)
        return route if self._accepts(route) else None

    def _recoded(self, stream: Any, codec: str, clock: TimeMap) -> _Route:
        encoder = encoder_for(self._container, codec, stream.codec_context.format.name)
        return _Route(stream, "recode", encoder, clock=clock)

    def _accepts(self, route: _Route) -> bool:
        """Whether the container's header can be written with this stream, tried out in memory."""
        try:
            with av.open(io.BytesIO(), "w", format=self._container) as trial:
                self._add(trial, route)
                trial.start_encoding()
        except (av.FFmpegError, ValueError):
            return False
        finally:
            route.target = None
        return True

    # ---- the header

    def _options(self, timescale: int, time_base: Fraction, routes: list[_Route]) -> dict[str, str]:
        if self._container not in ("mp4", "mov"):
            return {"cluster_time_limit": "5000"} if self._container == "webm" else {}
        # The movie's own clock counts edit lists: where a track begins is only as exact as it.
        movie = timescale
        for route in routes:
            if route.source.type == "audio":
                movie = math.lcm(movie, int(route.source.codec_context.sample_rate or 1))
        if movie > LIMIT // 4:
            movie = timescale
        return {"movflags": "+faststart", "video_track_timescale": str(timescale), "movie_timescale": str(movie)}

    def _add_video(self, out: Any, ticks: Sequence[int], time_base: Fraction) -> Any:
        settings = self._settings
        stream = add_video_stream(out, settings)
        context = stream.codec_context
        if self._container in ("mp4", "mov") and settings.codec == "hevc":
            context.codec_tag = "hvc1"  # Apple's players take no other
        if settings.rate is None and len(ticks) > 2:
            mean = Fraction(len(ticks) - 1) / ((ticks[-1] - ticks[0]) * time_base)
            context.framerate = mean.limit_denominator(100_000)
        if settings.display_matrix is not None:
            stream.set_display_matrix(settings.display_matrix)
        if self._source is not None:
            source = self._source.streams[self._info.stream_index]
            stream.metadata.update(_kept_tags(source.metadata))
            stream.disposition = source.disposition
        if self._facts_to_add():
            stream.metadata["title"] = stream.metadata.get("title", "") + ROOM
        return stream

    def _facts_to_add(self) -> bool:
        """Whether Matroska's header must be told pixel shape or HDR10 metadata, which the coder does not carry."""
        settings = self._settings
        silent = settings.codec not in ("h264", "hevc") and bool(settings.sar != 1 or settings.hdr)
        return self._container in MILLISECOND_CONTAINERS and silent

    def _add(self, out: Any, route: _Route) -> None:
        """Make the output stream of `route`."""
        stream = route.source
        if route.way == "cover" and self._container == "matroska":
            self._add_cover_attachment(out, route)
            return
        if route.way == "recode":
            target = self._add_encoder(out, route)
        elif route.way == "text":
            target = out.add_mux_stream(route.codec)
            target.time_base = Fraction(1, 1000)
        elif stream.type == "attachment":
            tags = stream.metadata
            mime = tags.get("mimetype", "application/octet-stream")
            target = out.add_attachment(tags.get("filename", "attachment"), mime, stream.data)
        elif self._container == "matroska" and self._is_primed_aac(stream):
            target = _add_primed_aac(out, stream)
        else:
            target = out.add_stream_from_template(stream, opaque=True)
        if stream.type != "attachment":
            target.metadata.update(_kept_tags(stream.metadata))
        target.disposition = stream.disposition
        route.target = target

    def _is_primed_aac(self, stream: Any) -> bool:
        """Whether a decoder drops AAC's usual first 1024 samples of this stream, as MP4's edit list tells it."""
        if stream.type != "audio" or stream.codec_context.name != "aac" or not stream.codec_context.extradata:
            return False
        with open_input(self._info.path) as again:
            first = next((packet for packet in again.demux(again.streams[stream.index]) if packet.size), None)
        if first is None or not first.has_sidedata("skip_samples"):
            return False
        return int.from_bytes(bytes(first.get_sidedata("skip_samples"))[:4], "little") == AAC_PRIMING

    def _add_encoder(self, out: Any, route: _Route) -> Any:
        context = route.source.codec_context
        rate = nearest_rate(route.codec, int(context.sample_rate))
        target = out.add_stream(route.codec, rate=rate)
        layout = context.layout.name
        if "channels" in layout:  # a file that counts its channels but does not name them: FFmpeg's own guess
            layout = LAYOUTS.get(int(context.layout.nb_channels), layout)
        target.codec_context.layout = layout
        target.codec_context.time_base = Fraction(1, rate)
        if route.codec in ("aac", "libopus"):
            target.codec_context.bit_rate = BIT_RATE * max(1, int(context.layout.nb_channels))
        if route.codec == "flac" and not context.format.name.startswith(("u8", "s16")):
            target.codec_context.format = av.AudioFormat("s32")
        target.codec_context.open(strict=False)
        return target

    def _add_cover_attachment(self, out: Any, route: _Route) -> None:
        """Matroska keeps cover art as an attached file, which players and FFmpeg show as such."""
        kind = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "webp": ("webp", "image/webp")}
        suffix, mime = kind.get(route.codec, ("bin", "application/octet-stream"))
        tags = route.source.metadata
        data = self._cover(route.source.index)
        out.add_attachment(tags.get("filename", f"cover.{suffix}"), tags.get("mimetype", mime), data)

    def _cover(self, index: int) -> bytes:
        with open_input(self._info.path) as again:
            for packet in again.demux(again.streams[index]):
                if packet.size:
                    return bytes(packet)
        return b""

    def _add_metadata(self, out: Any) -> None:
        info = self._info
        tags = {key: value for key, value in info.metadata.items() if key not in CONTAINER_KEYS}
        if self._container in ("mp4", "mov"):
            lost = sorted(key for key in tags if key.split("-")[0].lower() not in MP4_KEYS)
            if lost:
                tags = {key: value for key, value in tags.items() if key not in lost}
                self._notes(f"{self._container} has no place for the metadata {', '.join(lost)}: left out.")
        out.metadata.update(tags)
        chapters = self._chapters()
        if chapters:
            out.set_chapters(chapters)

    def _chapters(self) -> list[Any]:
        if self._source is None:
            return []
        made: list[Any] = []
        clock = self._clock
        base = Fraction(1, 1000)
        for chapter in self._source.chapters():
            unit = exact(chapter["time_base"]) or base
            start, end = chapter["start"] * unit, chapter["end"] * unit
            if clock.kept is not None:
                start, end = max(start, clock.kept[0]), min(end, clock.kept[1])
                if end <= start:
                    continue
            first, last = max(0, round(clock(start) / base)), round(clock(end) / base)
            made.append({"id": chapter["id"], "start": first, "end": last, "time_base": base,
                         "metadata": dict(chapter["metadata"])})  # fmt: skip
        return made

    # ---- packets of the other streams

    def _other_packets(self, routes: list[_Route]) -> Iterator[tuple[Fraction, Any]]:
        """(output time, packet) of all streams but the video, in the order of the source."""
        by_index = {route.source.index: route for route in routes if route.target is not None}
        for stream in self._source.streams:
            if stream.index not in by_index and stream.type != "attachment":
                stream.discard = Discard.all
        for route in by_index.values():
            if route.way == "recode":
                assert route.clock is not None
                keep = route.clock.kept if route.clock.kept is not None else (None, None)
                route.recoder = Recoder(
                    route.target, stretch=route.clock.stretch, keep=keep, out_start=route.clock.out_start,
                    origin=route.clock.origin, sample_rate=int(route.source.codec_context.sample_rate),
                    source_tick=exact(route.source.time_base) or Fraction(1),
                )  # fmt: skip
        texts: dict[int, int] = {}
        streams = [route.source for route in by_index.values() if route.source.type != "attachment"]
        if not streams:
            return
        try:
            for packet in self._source.demux(streams):
                if packet.size == 0:
                    continue
                route = by_index[packet.stream.index]
                if route.way != "cover" and packet.pts is None and packet.dts is None:
                    continue  # a packet without a time has no place
                if route.recoder is not None:
                    yield from self._recode(route, packet)
                elif route.way == "text":
                    yield from self._convert_text(route, packet, texts)
                elif route.way == "cover":
                    packet.pts = packet.dts = 0
                    packet.stream = route.target
                    yield Fraction(-1), packet
                else:
                    yield from self._copy(route, packet)
        except av.FFmpegError as error:
            if isinstance(error, OSError) and not isinstance(error, av.InvalidDataError):
                raise
            raise DamagedError(
                f"{self._info.path}: a stream beside the video is damaged ({error.strerror})."
            ) from error
        for route in by_index.values():
            if route.recoder is not None:
                for made in route.recoder.finish():
                    yield _time_of(made), made

    def _recode(self, route: _Route, packet: Any) -> Iterator[tuple[Fraction, Any]]:
        assert route.recoder is not None
        for frame in packet.decode():
            for made in route.recoder.push(frame):
                yield _time_of(made), made

    def _copy(self, route: _Route, packet: Any) -> Iterator[tuple[Fraction, Any]]:
        assert route.clock is not None
        clock = route.clock
        base = exact(packet.time_base) or Fraction(1)
        pts = (packet.pts if packet.pts is not None else packet.dts) * base
        length = (packet.duration or 0) * base
        is_sound = route.source.type == "audio"
        if is_sound:
            pts, length, unit = self._even_out(route, packet, pts, length, base)
        else:
            unit = base if clock.stretch == 1 else Fraction(1, 90_000)
        if clock.kept is not None:
            begin, end = clock.kept
            if pts >= end:
                return
            if is_sound:
                # A decoder needs the packet before; MP4's edit list hides it to the sample, Matroska cannot.
                earliest = begin - length if self._container in ("mp4", "mov") else begin - self._padding(route, packet)
                if pts + (length if self._container in ("mp4", "mov") else 0) <= earliest - (
                    0 if self._container in ("mp4", "mov") else unit / 2
                ):
                    return
                length = min(length, end - pts)
            elif pts < begin:
                if pts + length <= begin:
                    return
                length -= begin - pts
                pts = begin
                length = min(length, end - pts)
            else:
                length = min(length, end - pts)
        at = round(clock(pts) / unit)
        delay = round((packet.pts - packet.dts) * base * clock.stretch / unit) if packet.pts and packet.dts else 0
        packet.time_base = unit
        packet.pts = at
        packet.dts = at - max(0, delay) if not is_sound else at
        if packet.duration:
            packet.duration = max(0 if not is_sound else 1, round(length * clock.stretch / unit))
        packet.stream = route.target
        yield at * unit, packet

    def _even_out(
        self, route: _Route, packet: Any, pts: Fraction, length: Fraction, base: Fraction
    ) -> tuple[Fraction, Fraction, Fraction]:
        """Sound whose container rounds stamps gets them back in whole samples: (time, duration, unit) in seconds."""
        context = route.source.codec_context
        rate, size = int(context.sample_rate or 0), int(context.frame_size or 0)
        if not rate:
            return pts, length, base
        if size == 0 or base * rate <= 1:
            return pts, length, base if base * rate <= 1 else Fraction(1, rate)
        unit = Fraction(1, rate)
        if route.next_pts is None or abs(pts - route.next_pts * unit) > base * Fraction(3, 2):
            route.next_pts = round(pts / unit)
        at = route.next_pts
        route.next_pts += size
        shortened = length and length < (size - 1) * unit - base
        return at * unit, (length if shortened else size * unit), unit

    def _padding(self, route: _Route, packet: Any) -> Fraction:
        """Seconds that the decoder drops at the beginning of this stream."""
        if route.padding == 0 and packet.has_sidedata("skip_samples"):
            skipped = int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")
            route.padding = Fraction(skipped, int(route.source.codec_context.sample_rate))
        return route.padding

    def _convert_text(self, route: _Route, packet: Any, ends: dict[int, int]) -> Iterator[tuple[Fraction, Any]]:
        assert route.clock is not None
        clock, unit = route.clock, Fraction(1, 1000)
        base = exact(packet.time_base) or unit
        text = plain_text(bytes(packet), route.source.codec_context.name)
        start = packet.pts * base
        end = start + (packet.duration or 0) * base
        if clock.kept is not None:
            start, end = max(start, clock.kept[0]), min(end, clock.kept[1])
        if not text or end <= start:
            return
        first, last = max(0, round(clock(start) / unit)), round(clock(end) / unit)
        known = ends.get(route.source.index)
        if route.codec == "mov_text":
            if known is not None and first > known:  # the screen is cleared: without it the line would stay
                yield known * unit, _text_packet(b"\0\0", known, first - known, route.target)
            if known is not None:
                first = max(first, known)
            if last <= first:
                return
            ends[route.source.index] = last
        yield first * unit, _text_packet(to_sample(text, route.codec), first, last - first, route.target)


def _video_packets(
    segments: Sequence[Path], stream: Any, ticks: Sequence[int], time_base: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    """(decoding time, packet) of all segments, stamped anew."""
    stamps = ticks[:-1]
    delay = _reorder_delay(segments, len(stamps))
    # Decoding begins so far ahead that it also ends right: MP4 adds up the steps from packet to packet, and the last
    # one's duration, to know how long the film is.
    last = len(stamps) - 1 - (len(final := _ranks(segments[-1])) - 1 - final[-1])
    lead = ticks[-1] - stamps[len(stamps) - 1 - delay] - (ticks[last + 1] - ticks[last])
    done = 0
    for path in segments:
        ranks = _ranks(path)
        with av.open(f"file:{path}") as source:
            packets = (packet for packet in source.demux(video=0) if packet.size)
            for k, packet in enumerate(packets):
                shown = done + ranks[k]
                decoded = done + k - delay
                packet.time_base = time_base
                packet.pts = stamps[shown]
                packet.dts = stamps[decoded] if decoded >= 0 else stamps[0] + lead * decoded // delay
                packet.duration = ticks[shown + 1] - ticks[shown]
                packet.stream = stream
                yield packet.dts * time_base, packet
        done += len(ranks)


def _ranks(path: Path) -> list[int]:
    """Place in presentation order of each packet of a segment, in decoding order."""
    with av.open(f"file:{path}") as source:
        shown = [packet.pts or 0 for packet in source.demux(video=0) if packet.size]
    place = {pts: rank for rank, pts in enumerate(sorted(shown))}
    return [place[pts] for pts in shown]


def _reorder_delay(segments: Sequence[Path], expected: int) -> int:
    """How many frames decoding must run ahead of showing. VerifyError if the segments hold another number of frames."""
    delay = count = 0
    for path in segments:
        ranks = _ranks(path)
        delay = max([delay, *(k - rank for k, rank in enumerate(ranks))])
        count += len(ranks)
    if count != expected:
        raise VerifyError(f"the segments hold {count} frames, {expected} were planned; start again with --overwrite.")
    return delay


def _add_primed_aac(out: Any, source: Any) -> Any:
    """A stream for copied AAC that tells Matroska to drop the priming, so that nothing lies before time zero.

    PyAV cannot set the padding of a copied stream; FFmpeg's own AAC encoder has the same padding and sets it.
    """
    context = source.codec_context
    target = out.add_stream("aac", rate=int(context.sample_rate))
    target.codec_context.layout = context.layout.name
    target.codec_context.time_base = Fraction(1, int(context.sample_rate))
    target.codec_context.open(strict=False)
    target.codec_context.extradata = context.extradata
    return target


def _timescale(time_base: Fraction) -> int:
    """Ticks per second of an MP4 track in which every stamp is whole."""
    timescale = time_base.denominator
    while timescale < 10_000:
        timescale *= 2
    return timescale


def _kept_tags(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not STALE.fullmatch(key)}


def _subtitle_codecs(container: str) -> tuple[str, ...]:
    """Subtitles that a container can hold unchanged."""
    return {
        "mp4": ("mov_text", "dvdsub", "dvd_subtitle"),
        "mov": ("mov_text",),
        "webm": ("webvtt",),
        "matroska": ("subrip", "srt", "ass", "ssa", "webvtt", "dvdsub", "dvd_subtitle", "dvbsub", "dvb_subtitle",
                     "pgssub", "hdmv_pgs_subtitle", "text", "hdmv_text_subtitle"),
    }[container]  # fmt: skip


def _text_packet(data: bytes, pts: int, duration: int, stream: Any) -> Any:
    packet = av.Packet(data)
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = pts
    packet.duration = duration
    packet.stream = stream
    packet.is_keyframe = True
    return packet


def _time_of(packet: Any) -> Fraction:
    base = exact(packet.time_base) or Fraction(1)
    return (packet.dts if packet.dts is not None else packet.pts) * base
