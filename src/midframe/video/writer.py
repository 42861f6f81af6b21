"""Encoders: which one an output gets (`choose_encoder`), and segment files written with it (`SegmentWriter`).

A segment is a NUT file with nothing but video: it begins with a keyframe, is fully flushed, and its bytes depend on
the pictures and the settings only. `mux.assemble` joins the packets of segments; nothing is encoded twice. GIF, APNG,
image folders and y4m cannot be joined by packets: their segments are lossless FFV1, and the join encodes them.

Two pixel formats matter: the *working* format, planar, in which pictures arrive here, and the *stored* format, which
is the same samples in the order that the encoder wants (gbrp → rgb24 for x264).
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from midframe.errors import OutputError, UsageError
from midframe.video import colour as c
from midframe.video.colour import Colour
from midframe.video.hdr import light_level, mastering_display
from midframe.video.pixel import working_format
from midframe.video.probe import VideoInfo

# Output name → container. The names are FFmpeg's muxers, but for "images", a folder of numbered pictures.
CONTAINERS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mkv": "matroska", ".mov": "mov", ".webm": "webm", ".gif": "gif",
    ".apng": "apng", ".y4m": "yuv4mpegpipe",
}  # fmt: skip
CODECS = {  # first of each: the default for 8 bit
    "mp4": ("h264", "hevc", "av1", "vp9"),
    "mov": ("h264", "hevc", "prores"),
    "matroska": ("h264", "hevc", "ffv1", "av1", "vp9", "prores"),
    "webm": ("vp9", "av1"),
    "gif": ("gif",),
    "apng": ("apng",),
    "images": ("png", "jpg", "tiff", "webp"),
    "yuv4mpegpipe": ("rawvideo",),
}
DEFAULT_CRF = {"h264": 16.0, "hevc": 18.0, "av1": 20.0, "vp9": 16.0}  # visually lossless
MAX_CRF = {"h264": 51, "hevc": 51, "av1": 63, "vp9": 63}
X26_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
PRESETS = {
    "h264": X26_PRESETS,
    "hevc": X26_PRESETS,
    "av1": tuple(str(n) for n in range(14)),
    "vp9": tuple(str(n) for n in range(9)),
}
DEFAULT_PRESET = {"h264": "medium", "hevc": "medium", "av1": "6", "vp9": "2"}
VIEWED = ("h264", "hevc", "av1", "vp9", "prores")  # nearly no player shows RGB in them
ENOUGH_BITS = 10  # to which a deeper source is rounded where its codec or container has no more
HDR_CODECS = ("h264", "hevc", "av1")  # carry HDR10 metadata themselves; Matroska carries it for any codec
LONGEST = {"h264": (16384, 16384), "av1": (8704, 16384), "webp": (16383, 16383)}  # height and width, of the encoder
JOINED_BY_DECODING = ("gif", "apng", "png", "jpg", "tiff", "webp", "rawvideo")

_X264 = {f"yuv{s}p{d}": f"yuv{s}p{d}" for s in ("420", "422", "444") for d in ("", "10le")}
_X265 = {f"yuv{s}p{d}": f"yuv{s}p{d}" for s in ("420", "422", "444") for d in ("", "10le", "12le")}
_FFV1_YUV = {f"yuv{s}p{d}": f"yuv{s}p{d}" for s in ("420", "422", "444") for d in ("", "10le", "12le", "14le", "16le")}
_FFV1_YUVA = {f"yuva{s}p{d}": f"yuva{s}p{d}" for s in ("420", "422", "444") for d in ("", "10le", "16le")}
_Y4M_YUV = {f"yuv{s}p{d}": f"yuv{s}p{d}" for s in ("420", "422", "444") for d in ("", "10le", "12le", "14le", "16le")}
# codec → working format → stored format; the encoder follows from both
STORED: dict[str, dict[str, str]] = {
    "h264": {**_X264, "gray": "gray", "gray10le": "gray10le", "gbrp": "rgb24"},
    "hevc": {**_X265, "gray": "gray", "gray10le": "gray10le", "gray12le": "gray12le",
             "gbrp": "gbrp", "gbrp10le": "gbrp10le", "gbrp12le": "gbrp12le"},
    "av1": {"yuv420p": "yuv420p", "yuv420p10le": "yuv420p10le"},
    "vp9": {f: f for f in ("yuv420p", "yuv422p", "yuv440p", "yuv444p", "gbrp", "yuva420p")},
    "ffv1": {**_FFV1_YUV, **_FFV1_YUVA, "yuv440p": "yuv440p", "yuv440p10le": "yuv440p10le",
             "yuv440p12le": "yuv440p12le", "gray": "gray", "gray10le": "gray10le", "gray12le": "gray12le",
             "gray16le": "gray16le", "gbrp": "bgr0", "gbrp10le": "gbrp10le", "gbrp12le": "gbrp12le",
             "gbrp14le": "gbrp14le", "gbrp16le": "gbrp16le", "gbrap": "bgra", "gbrap10le": "gbrap10le",
             "gbrap12le": "gbrap12le", "gbrap16le": "gbrap16le"},
    "prores": {f: f for f in ("yuv422p10le", "yuv444p10le", "yuva444p10le")},
    "rawvideo": {**_Y4M_YUV, "gray": "gray", "gray10le": "gray10le", "gray12le": "gray12le", "gray16le": "gray16le"},
}  # fmt: skip
ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "ffv1": "ffv1",
            "prores": "prores_ks"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """All that an encoder's output depends on beside the pictures; plain values, so that it travels to workers.

    codec          as the user calls it: h264 hevc av1 vp9 ffv1 prores gif apng png jpg tiff webp rawvideo
    encoder        FFmpeg's encoder of the segments
    options        for that encoder
    pix_fmt        working format in which `SegmentWriter.write` takes pictures
    stored         the same samples as the encoder takes them
    final          pixel format of GIF, APNG and image files, which are encoded at the join; "" for the rest
    time_base      seconds per tick of all stamps
    rate           constant frame rate, or None
    nominal_rate   what rate control and headers are told where `rate` is None
    hdr            raw HDR10 side data by FFmpeg's type name
    display_matrix nine integers, or None
    """

    codec: str
    encoder: str
    options: dict[str, str]
    pix_fmt: str
    stored: str
    width: int
    height: int
    time_base: Fraction
    rate: Fraction | None = None
    nominal_rate: Fraction = Fraction(25)
    final: str = ""
    sar: Fraction = Fraction(1)
    colour: Colour = Colour()
    hdr: dict[str, bytes] = field(default_factory=dict)
    display_matrix: tuple[int, ...] | None = None
    threads: int = 2


def container_of(output: Path) -> str:
    """The container that a name asks for; a name without a suffix is a folder of images.

    Raises UsageError for a suffix that is not known.
    """
    suffix = output.suffix.lower()
    if output.is_dir() or suffix in ("", ".midframe"):
        return "images"
    if suffix in CONTAINERS:
        return CONTAINERS[suffix]
    if "%" in output.name:
        raise UsageError(f"{output}: for numbered images give a folder (and --codec png, jpg, tiff or webp).")
    raise UsageError(
        f"{output}: {suffix} is not written; use {' '.join(CONTAINERS)}, "
        "or a name without a dot for a folder of images."
    )


def choose_encoder(
    info: VideoInfo,
    *,
    container: str,
    codec: str | None = None,
    crf: float | None = None,
    preset: str | None = None,
    pix_fmt: str | None = None,
    time_base: Fraction,
    rate: Fraction | None = None,
    threads: int = 2,
    notes: Callable[[str], None] = lambda text: None,
) -> EncoderSettings:
    """The encoder for `info`'s pictures in `container`: depth, chroma, range and alpha stay what they are.

    Without `codec`: H.264 for 8 bit, HEVC for more and for HDR, another one only where these cannot hold the format.
    A codec that cannot hold the format gets the nearest larger one, which `notes` is told; if there is none, or an
    option does not go with another, UsageError names what does.
    """
    if container not in CODECS:
        raise UsageError(f"{container}: unknown container; use {', '.join(CODECS)}.")
    if codec is not None and codec not in CODECS[container]:
        homes = [name for name, codecs in CODECS.items() if codec in codecs]
        known = sorted({name for codecs in CODECS.values() for name in codecs} - {"rawvideo"})
        hint = f"; {codec} goes into {', '.join(homes)}" if homes else f"; known codecs: {', '.join(known)}"
        raise UsageError(f"--codec {codec} does not go into {container}: use {', '.join(CODECS[container])}{hint}.")
    wanted = working_format(pix_fmt if pix_fmt is not None else info.pix_fmt)
    kept = working_format(info.pix_fmt)
    deep_colour = info.colour.is_hdr or info.colour.primaries == 9
    is_rgb = pix_fmt is None and _shape(wanted).family == RGB
    if codec is None:
        codec = _default_codec(container, kept if CODECS[container][0] in JOINED_BY_DECODING else wanted, deep_colour)
        if is_rgb and codec in VIEWED:
            codec = _default_codec(container, _as_ycbcr(wanted, codec), deep_colour)
    if is_rgb and codec in VIEWED:
        lost = ", without transparency," if _shape(wanted).alpha and not _shape(_as_ycbcr(wanted, codec)).alpha else ","
        wanted = _as_ycbcr(wanted, codec)
        notes(f"RGB is stored as {wanted}{lost} which plays everywhere: --codec ffv1 in .mkv keeps every sample.")
    elif is_rgb and codec == "rawvideo":
        wanted = "yuv444p" if _shape(wanted).bits == 8 else "yuv444p16le"
        notes(f"y4m holds no RGB: it becomes {wanted}.")
    if codec in JOINED_BY_DECODING and codec != "rawvideo":
        working, final = _still_formats(codec, kept, pix_fmt, wanted, notes)
        stored = STORED["ffv1"][_nearest("ffv1", working)[0]]
    else:
        working, final = _held(codec, info, container, wanted, explicit=pix_fmt, notes=notes), ""
        stored = STORED["ffv1" if codec == "rawvideo" else codec][working]
    _check_quality(codec, crf, preset)
    colour = _colour(info.colour, kept, working, codec)
    tallest, widest = LONGEST.get(codec, (65535, 65535))
    if info.height > tallest or info.width > widest:
        raise UsageError(
            f"{codec} holds pictures of up to {widest}x{tallest} here, not {info.width}x{info.height}: take another "
            f"--codec of {', '.join(name for name in CODECS[container] if name not in LONGEST) or 'another container'}."
        )
    segment_codec = "ffv1" if codec in JOINED_BY_DECODING else codec
    encoder = "libx264rgb" if segment_codec == "h264" and stored == "rgb24" else ENCODERS[segment_codec]
    nominal = rate or info.declared_rate or Fraction(25)
    options = _options(segment_codec, crf, preset, stored, colour, info.hdr, threads, time_base, nominal)
    if segment_codec == "ffv1" and min(info.width, info.height) < 4:
        options["slices"] = "1"  # it cannot cut a picture smaller than this
    hdr = dict(info.hdr)
    if hdr and (codec not in HDR_CODECS and container not in ("matroska", "webm")):
        hdr = {}
        notes(f"{codec} in {container} has no place for HDR10 metadata: left out (hevc and av1 keep it).")
    return EncoderSettings(
        codec=codec,
        encoder=encoder,
        options=options,
        pix_fmt=working,
        stored=stored,
        width=info.width,
        height=info.height,
        time_base=time_base,
        rate=rate,
        nominal_rate=nominal.limit_denominator(1_000_000),
        final=final,
        sar=info.sar,
        colour=colour,
        hdr=hdr,
        display_matrix=info.display_matrix,
        threads=threads,
    )


def lossless_settings(
    info: VideoInfo, *, time_base: Fraction, rate: Fraction | None, threads: int = 2
) -> EncoderSettings:
    """FFV1 for pictures that are to be read again: every format that `working_format` gives, bit for bit."""
    return choose_encoder(info, container="matroska", codec="ffv1", time_base=time_base, rate=rate, threads=threads)


class SegmentWriter:
    """Writes one segment. Owns the encoder and the file; `close` makes it whole.

    Pictures come in `settings.pix_fmt` with strictly increasing stamps in ticks of `settings.time_base`. Raises
    OutputError if the disk refuses.
    """

    def __init__(self, path: Path, settings: EncoderSettings) -> None:
        self._path, self._settings = path, settings
        self._last: int | None = None
        self._closed = False
        try:
            format, options = _segment_options(settings)
            self._file: Any = av.open(f"file:{path}", "w", format=format, container_options=options)
            self._stream = add_video_stream(self._file, settings)
            self._file.start_encoding()  # so that a disk that refuses says so now
        except (av.FFmpegError, OSError, ValueError) as error:
            raise output_error(path, error) from error

    def write(self, picture: av.VideoFrame, pts_tick: int, duration_tick: int) -> None:
        """Encode `picture`, shown at `pts_tick` for `duration_tick` ticks."""
        assert self._last is None or pts_tick > self._last, f"stamp {pts_tick} does not follow {self._last}"
        assert picture.format.name == self._settings.pix_fmt, f"{picture.format.name} is not {self._settings.pix_fmt}"
        self._last = pts_tick
        stored = to_stored(picture, self._settings.stored)
        stored.pts, stored.time_base, stored.duration = pts_tick, self._settings.time_base, duration_tick
        # A decoded picture remembers what type it was, and x264 and x265 would take that for an order.
        stored.pict_type = av.video.frame.PictureType.NONE
        set_frame_colour(stored, self._settings.colour)  # ProRes takes the tags of its pictures, not its stream's
        try:
            self._file.mux(self._stream.encode(stored))
        except (av.FFmpegError, OSError) as error:
            raise output_error(self._path, error) from error

    def close(self) -> None:
        """Flush the encoder and finish the file. May be called again."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._last is not None:
                self._file.mux(self._stream.encode(None))
        except (av.FFmpegError, OSError) as error:
            raise output_error(self._path, error) from error
        finally:
            try:
                self._file.close()
            except (av.FFmpegError, OSError) as error:
                raise output_error(self._path, error) from error


def _segment_options(settings: EncoderSettings) -> tuple[str, dict[str, str]]:
    """Container and its options for a segment: nothing in it may depend on the clock."""
    options = {"fflags": "bitexact"}
    if settings.codec == "prores":  # NUT has no code for it
        clock = str(settings.time_base.denominator)
        return "mov", options | {"video_track_timescale": clock, "movie_timescale": clock}
    if settings.stored.startswith("yuva") and settings.codec == "vp9":
        # VP9's alpha is side data, which needs NUT 4; FFmpeg hides that behind these two. Such a file cannot be seeked.
        options |= {"syncpoints": "none", "strict": "experimental"}
    return "nut", options


def add_video_stream(container: Any, settings: EncoderSettings) -> Any:
    """A stream of `container` with the encoder that `settings` describe, not yet opened."""
    if settings.codec == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 greets on stderr otherwise
    stream = container.add_stream(
        settings.encoder, rate=settings.rate or settings.nominal_rate, width=settings.width, height=settings.height,
        time_base=settings.time_base, options=dict(settings.options),
    )  # fmt: skip
    stream.time_base = settings.time_base
    context = stream.codec_context
    context.pix_fmt = settings.stored
    context.thread_count = settings.threads
    # "slice" would make x264 cut every picture into independent slices, at a cost in quality.
    context.thread_type = "SLICE" if settings.encoder == "ffv1" else "FRAME"
    set_colour(context, settings.colour)
    if settings.sar != 1:
        context.sample_aspect_ratio = settings.sar
    return stream


def set_colour(context: Any, colour: Colour) -> None:
    context.color_range = colour.range
    context.colorspace = colour.matrix
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer


def set_frame_colour(frame: Any, colour: Colour) -> None:
    frame.color_range, frame.colorspace = colour.range, colour.matrix
    frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer


def to_stored(picture: av.VideoFrame, stored: str) -> av.VideoFrame:
    """The same samples in the order of `stored`."""
    if picture.format.name == stored:
        return picture
    made = picture.reformat(
        format=stored, src_colorspace=picture.colorspace, dst_colorspace=picture.colorspace,
        src_color_range=picture.color_range, dst_color_range=picture.color_range,
    )  # fmt: skip
    return made


def output_error(path: str | os.PathLike[str], error: Exception) -> OutputError:
    """What went wrong with a file that was being written, in one line."""
    number = getattr(error, "errno", None)
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EACCES: "no permission to write here",
        errno.EROFS: "the disk is read-only",
        errno.EPIPE: "the reader closed the pipe",
        errno.EDQUOT: "the disk quota is used up",
        errno.ENOENT: "no such folder",
        errno.EFBIG: "the file grows beyond what this disk or its limit allows",
    }
    reason = reasons.get(number or 0) or str(getattr(error, "strerror", None) or error).splitlines()[0]
    return OutputError(f"{os.fspath(path)}: cannot be written ({reason}).")


# ---- choice of codec and format ----------------------------------------------------------------------------------


def _default_codec(container: str, working: str, deep_colour: bool) -> str:
    codecs = CODECS[container]
    if codecs[0] in JOINED_BY_DECODING:
        return codecs[0]
    shape = _shape(working)
    order = list(codecs)
    if container != "webm" and (shape.bits > 8 or deep_colour):
        order.sort(key=lambda name: name != "hevc")
    if shape.alpha and container == "mov":
        order.sort(key=lambda name: name != "prores")
    if shape.alpha and container == "matroska":
        order.sort(key=lambda name: name != "ffv1")
    exact = [name for name in order if working in STORED[name]]
    larger = [name for name in order if _nearest(name, working)[0] != ""]
    rounded = [name for name in order if _nearest(name, working, bits=ENOUGH_BITS)[0] != ""]
    without_alpha = [name for name in order if _nearest(name, _without_alpha(working))[0] != ""]
    return next(iter(exact or larger or rounded or without_alpha or order))


GRAY, YCBCR, RGB = 0, 1, 2


@dataclass(frozen=True, slots=True)
class _Shape:
    """A working format in numbers: family GRAY, YCBCR or RGB; samples per chroma sample across and down."""

    family: int
    across: int
    down: int
    bits: int
    alpha: bool


def _shape(pix_fmt: str) -> _Shape:
    format = av.VideoFormat(pix_fmt, 64, 64)
    parts = format.components
    chroma = sum(not part.is_alpha for part in parts) >= 3 and not format.is_rgb
    family = 2 if format.is_rgb else (1 if chroma else 0)
    across, down = (64 // format.chroma_width(64), 64 // format.chroma_height(64)) if chroma else (1, 1)
    return _Shape(family, across, down, parts[0].bits, any(part.is_alpha for part in parts))


def _nearest(
    codec: str, working: str, *, bits: int | None = None, size: tuple[int, int] | None = None
) -> tuple[str, str]:
    """(working format, what is gained) in which `codec` holds all of `working`; ("", "") if there is none.

    bits  are enough, where `working` has more
    size  (height, width) that the format must be able to hold, too
    """
    if working in STORED[codec] and _divides(codec, working, size):
        return working, ""
    shape = _shape(working) if bits is None else replace(_shape(working), bits=bits)
    fits: list[tuple[tuple[int, ...], str]] = []
    for name in STORED[codec]:
        other = _shape(name)
        grown = other.family == shape.family or (shape.family == 0 and other.family == 1)
        chroma_fits = shape.family != 1 or (shape.across % other.across == 0 and shape.down % other.down == 0)
        if (
            grown
            and chroma_fits
            and _divides(codec, name, size)
            and other.bits >= shape.bits
            and other.alpha >= shape.alpha
        ):
            cost = (other.alpha - shape.alpha, other.family - shape.family, other.bits, -other.across * other.down)
            fits.append((cost, name))
    return (min(fits)[1], "larger") if fits else ("", "")


def _divides(codec: str, working: str, size: tuple[int, int] | None) -> bool:
    """Whether `codec` can hold a picture of this size: x264 and x265 want whole chroma samples, others pad."""
    if size is None or codec not in ("h264", "hevc"):
        return True
    shape = _shape(working)
    return size[0] % shape.down == 0 and size[1] % shape.across == 0


def _as_ycbcr(working: str, codec: str) -> str:
    """The format that stands for an RGB one in a codec for viewing: 4:2:0 of 8 or 10 bits, or what carries alpha."""
    shape = _shape(working)
    if codec == "prores":
        return "yuva444p10le" if shape.alpha else "yuv444p10le"
    if codec == "vp9" and shape.alpha:
        return "yuva420p"
    return "yuv420p" if shape.bits == 8 else "yuv420p10le"


def _without_alpha(working: str) -> str:
    return working.replace("yuva", "yuv").replace("gbrap", "gbrp")


def _held(
    codec: str, info: VideoInfo, container: str, wanted: str, *, explicit: str | None, notes: Callable[[str], None]
) -> str:
    size = (info.height, info.width)
    opaque = _without_alpha(wanted)
    # What is given up, in this order: bits beyond 10, transparency, bits beyond 8.
    ways: list[tuple[str, int | None]] = [
        (wanted, None),
        (wanted, 10),
        (opaque, None),
        (opaque, 10),
        (wanted, 8),
        (opaque, 8),
    ]
    if explicit is not None:
        ways = [(wanted, None), (opaque, None)]
    found = ((_nearest(codec, format, bits=bits, size=size), format, bits) for format, bits in ways)
    (working, grown), format, bits = next((way for way in found if way[0][0]), (("", ""), wanted, None))
    if not working:
        holders = [name for name in CODECS[container] if name in STORED and _nearest(name, wanted)[0]]
        way = f"use --codec {' or '.join(holders)}" if holders else "write .mkv with --codec ffv1"
        raise UsageError(
            f"{codec} cannot hold {explicit or wanted}: {way}, or one of --pix-fmt {', '.join(STORED[codec])}."
        )
    if format != wanted:
        homes = "--codec ffv1 in .mkv, vp9 in .webm or prores in .mov"
        notes(f"{codec} cannot hold transparency: it is left out ({homes} keeps it).")
    if bits is not None:
        notes(f"{codec} is written with {_shape(working).bits} bits: {wanted} is rounded (ffv1 in .mkv keeps it).")
    elif grown and not _divides(codec, format, size):
        notes(
            f"{codec} cannot hold {format} of the odd size {info.width}x{info.height}; it is stored as {working}, "
            f"which fewer players show (--codec {'vp9' if container == 'webm' else 'av1'} keeps {format})."
        )
    elif grown:
        notes(f"{codec} has no {format}; it is stored as {working}, which holds all of it.")
    if codec == "h264" and working == "gbrp":
        notes("RGB is kept as RGB, which few players show in H.264: --pix-fmt yuv420p or yuv444p plays everywhere.")
    return working


def _still_formats(
    codec: str, kept: str, explicit: str | None, wanted: str, notes: Callable[[str], None]
) -> tuple[str, str]:
    """(working format, pixel format of the files). Pictures are worked on in the source's format, then made RGB."""
    shape = _shape(kept)
    deep, gray, alpha = shape.bits > 8, shape.family == 0, shape.alpha
    if explicit is not None:
        asked = _shape(wanted)
        if asked.family == 1 and codec != "jpg":
            raise UsageError(f"{codec} holds RGB or gray, not {explicit}: use --pix-fmt rgb24, rgb48, rgba or gray.")
        deep, gray, alpha = asked.bits > 8, asked.family == 0, alpha and asked.alpha
    if codec in ("gif", "webp", "jpg") and deep:
        notes(f"{codec} holds 8 bits a sample; the {shape.bits} of {kept} are rounded (png and tiff keep them).")
    if codec == "jpg" and alpha:
        notes("jpg cannot hold transparency: it is left out (png, tiff and webp keep it).")
    match codec:
        case "gif":
            return kept, "pal8"
        case "jpg":
            across, down = shape.across, shape.down
            chroma = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}.get((across, down), "444")
            return kept, f"yuvj{'420' if gray else chroma}p"
        case "webp":
            return kept, "bgra"
        case _:
            end = "le" if codec == "tiff" else "be"
            if gray and not alpha:
                return kept, f"gray16{end}" if deep else "gray"
            name = "rgba" if alpha else "rgb"
            return kept, f"{name}{'64' if alpha else '48'}{end}" if deep else ("rgba" if alpha else "rgb24")


def _colour(said: Colour, kept: str, working: str, codec: str) -> Colour:
    """The tags of the output: the source's, but for what a change between gray, YCbCr and RGB makes untrue."""
    was, now = _shape(kept).family, _shape(working).family
    if now == RGB:  # an RGB file may leave it unsaid; encoders would then guess a YCbCr matrix
        siting = said.chroma_location if was == RGB else c.SITING_UNSPECIFIED
        return replace(said, matrix=c.MATRIX_RGB, range=c.FULL, chroma_location=siting)
    if was == RGB:  # what players take untagged HD for, too
        # y4m cannot say its matrix, and readers take it for BT.601.
        said = replace(said, matrix=c.MATRIX_170M if codec == "rawvideo" else c.MATRIX_709, range=c.LIMITED)
    elif said.matrix == c.MATRIX_RGB:  # gray pictures are tagged so by some decoders
        said = replace(said, matrix=c.MATRIX_UNSPECIFIED)
    if was == GRAY and now == YCBCR:
        said = replace(said, matrix=c.MATRIX_709, range=said.range or c.FULL)
    if codec == "prores":  # knows no full range
        said = replace(said, range=c.LIMITED)
    return said


def _check_quality(codec: str, crf: float | None, preset: str | None) -> None:
    if crf is not None:
        if codec not in MAX_CRF:
            raise UsageError(f"--crf does not go with {codec}; it sets {', '.join(MAX_CRF)}.")
        if not 0 <= crf <= MAX_CRF[codec]:
            raise UsageError(f"--crf {crf:g}: must lie between 0 (best) and {MAX_CRF[codec]} for {codec}.")
    if preset is not None:
        if codec not in PRESETS:
            raise UsageError(f"--preset does not go with {codec}; it sets {', '.join(PRESETS)}.")
        if preset not in PRESETS[codec]:
            raise UsageError(f"--preset {preset}: {codec} has {', '.join(PRESETS[codec])}.")


def _options(
    codec: str,
    crf: float | None,
    preset: str | None,
    stored: str,
    colour: Colour,
    hdr: dict[str, bytes],
    threads: int,
    time_base: Fraction,
    rate: Fraction,
) -> dict[str, str]:
    quality = f"{DEFAULT_CRF.get(codec, 0.0) if crf is None else crf:g}"
    speed = preset or DEFAULT_PRESET.get(codec, "")
    options: dict[str, str] = {}
    if colour.chroma_location:
        options["chroma_sample_location"] = str(colour.chroma_location)
    siting = f"chromaloc={colour.chroma_location - 1}" if colour.chroma_location and "420" in stored else ""
    match codec:
        case "h264":
            options |= {"preset": speed, "crf": quality}
            parameters = [siting, *_light(hdr, "mastering-display", "cll", "integers")]
            if any(parameters):
                options["x264-params"] = ":".join(filter(None, parameters))
        case "hevc":
            options |= {"preset": speed, "crf": quality}
            parameters = [
                "log-level=error", f"pools={threads}", f"frame-threads={min(threads, 3)}", "open-gop=0",
                siting, *_light(hdr, "master-display", "max-cll", "integers"),
            ]  # fmt: skip
            if colour.is_hdr or hdr:
                parameters.append("hdr10=1" if hdr else "hdr-opt=0")
            options["x265-params"] = ":".join(filter(None, parameters))
        case "av1":
            options |= {"preset": speed, "crf": str(round(float(quality)))}
            parameters = [f"lp={threads}", *_light(hdr, "mastering-display", "content-light", "decimals")]
            options["svtav1-params"] = ":".join(parameters)
        case "vp9":
            options |= {
                "crf": str(round(float(quality))), "b": "0", "deadline": "good", "cpu-used": speed, "row-mt": "1",
                "lag-in-frames": "25",
            }  # fmt: skip
            if stored.startswith("yuva"):
                options["auto-alt-ref"] = "0"  # libvpx cannot pair hidden frames of the picture and of its alpha
        case "ffv1":
            options |= {"level": "3", "slicecrc": "1", "g": "1"}
        case "prores":
            profile = "4444" if "444" in stored else "hq"
            options |= {"profile": profile, "vendor": "apl0"}
            if "yuva" in stored:
                options["alpha_bits"] = "16"
    return options


def _light(hdr: dict[str, bytes], display: str, level: str, style: str) -> list[str]:
    """HDR10 metadata as parameters of x264, x265 (integers of the standard's units) or SVT-AV1 (decimals)."""
    parameters: list[str] = []
    shown = mastering_display(hdr)
    if shown is not None:

        def pair(values: tuple[Fraction, Fraction], unit: int) -> str:
            if style == "integers":
                return "(" + ",".join(str(round(value * unit)) for value in values) + ")"
            return "(" + ",".join(f"{float(value):.5f}" for value in values) + ")"

        parameters.append(
            f"{display}=G{pair(shown.green, 50000)}B{pair(shown.blue, 50000)}R{pair(shown.red, 50000)}"
            f"WP{pair(shown.white, 50000)}L{pair((shown.brightest, shown.darkest), 10000)}"
        )
    light = light_level(hdr)
    if light is not None:
        parameters.append(f"{level}={light[0]},{light[1]}")
    return parameters
