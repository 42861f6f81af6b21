"""Outputs that are encoded at the join: folders of numbered images, GIF, APNG and y4m.

Their segments are lossless FFV1, decoded here one picture at a time. Pictures in YCbCr become RGB by `pixel.to_rgb`,
with the file's own matrix, range and chroma siting, rounded once.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from midframe.errors import UsageError, VerifyError
from midframe.video import colour as c
from midframe.video.colour import Colour
from midframe.video.pixel import from_rgb, resolve, to_rgb
from midframe.video.writer import EncoderSettings, set_colour, set_frame_colour

IMAGE_ENCODERS = {"png": "png", "jpg": "mjpeg", "tiff": "tiff", "webp": "libwebp"}
IMAGE_OPTIONS = {
    "png": {"compression_level": "6", "pred": "mixed"},
    "jpg": {"qmin": "1", "qmax": "1", "huffman": "optimal"},
    "tiff": {"compression_algo": "deflate"},
    "webp": {"lossless": "1"},
}
GIF_TICK = Fraction(1, 100)
SMOOTHEST_GIF = 50  # frames per second that browsers show; they slow shorter delays down to a tenth of a second


def write_decoded(
    segments: Sequence[Path],
    settings: EncoderSettings,
    output: Path,
    *,
    container: str,
    ticks: Sequence[int],
    notes: Callable[[str], None],
) -> None:
    """Decode `segments` and write them as `container`. `ticks`: the stamps of all frames and where the last one ends.

    Raises VerifyError if the segments hold another number of frames, UsageError where a GIF cannot tell them apart.
    """
    pictures = _pictures(segments, settings, len(ticks) - 1)
    match container:
        case "images":
            _write_folder(pictures, settings, output, len(ticks) - 1)
        case "gif":
            _write_gif(pictures, settings, output, ticks, notes)
        case "apng":
            _write_apng(pictures, settings, output, ticks)
        case _:
            _write_y4m(pictures, settings, output, ticks, notes)


def _pictures(segments: Sequence[Path], settings: EncoderSettings, expected: int) -> Iterator[av.VideoFrame]:
    """Every picture in the working format, tagged with the output's colour."""
    count = 0
    for path in segments:
        with av.open(f"file:{path}") as source:
            for picture in source.decode(video=0):
                if picture.format.name != settings.pix_fmt:
                    picture = picture.reformat(format=settings.pix_fmt)
                count += 1
                yield picture
    if count != expected:
        raise VerifyError(f"the segments hold {count} frames, {expected} were planned; start again with --overwrite.")


def _write_folder(pictures: Iterator[av.VideoFrame], settings: EncoderSettings, folder: Path, count: int) -> None:
    """NAME/000001.png and so on; as many digits as the last number needs, at least six."""
    folder.mkdir()
    digits = max(6, len(str(count)))
    for number, picture in enumerate(pictures, start=1):
        (folder / f"{number:0{digits}d}.{settings.codec}").write_bytes(encode_still(picture, settings))


def encode_still(picture: av.VideoFrame, settings: EncoderSettings) -> bytes:
    """One picture in the working format as the bytes of an image file."""
    encoder: Any = av.CodecContext.create(IMAGE_ENCODERS[settings.codec], "w")
    encoder.width, encoder.height, encoder.pix_fmt = settings.width, settings.height, settings.final
    encoder.time_base = Fraction(1, 25)
    encoder.options = dict(IMAGE_OPTIONS[settings.codec])
    encoder.thread_count = 1
    if settings.sar != 1:
        encoder.sample_aspect_ratio = settings.sar
    set_colour(encoder, _still_colour(settings))
    still = to_final(picture, settings)
    still.pts, still.time_base = 0, Fraction(1, 25)
    still.pict_type = av.video.frame.PictureType.NONE
    if settings.codec == "jpg":
        encoder.qscale, encoder.global_quality = True, 118  # one FFmpeg quantiser step
    return b"".join(bytes(packet) for packet in [*encoder.encode(still), *encoder.encode(None)])


def _still_colour(settings: EncoderSettings) -> Colour:
    colour = settings.colour
    if settings.codec == "jpg":  # JFIF: BT.601, full range, chroma in the middle
        return Colour(c.FULL, c.MATRIX_470BG, colour.primaries, colour.transfer, c.SITING_CENTER)
    matrix = c.MATRIX_UNSPECIFIED if settings.final.startswith("gray") else c.MATRIX_RGB
    return Colour(c.FULL, matrix, colour.primaries, colour.transfer, 0)


def to_final(picture: av.VideoFrame, settings: EncoderSettings) -> av.VideoFrame:
    """A picture in the working format as the pixel format of the image file, its colour converted where it must be."""
    colour = resolve(settings.colour, settings.pix_fmt, settings.height)
    values = to_rgb(picture, colour)
    if settings.codec == "jpg":
        name = settings.final.replace("yuvj", "yuv")
        made = from_rgb(values[:3], pix_fmt=name, colour=_still_colour(settings))
        if made.format.name != settings.final:
            made = made.reformat(format=settings.final, src_color_range=2, dst_color_range=2)
        return _tagged(made, settings)
    array = values.numpy()
    top = 65535 if any(word in settings.final for word in ("16", "48", "64")) else 255
    if settings.final.startswith("gray"):
        array = array[:1] if settings.pix_fmt.startswith("gray") else array[:3].mean(0, keepdims=True)
    elif settings.final in ("rgba", "bgra", "rgba64be", "rgba64le") and array.shape[0] == 3:
        array = np.concatenate((array, np.ones_like(array[:1])))
    elif settings.final in ("rgb24", "rgb48be", "rgb48le"):
        array = array[:3]
    if settings.final == "bgra":
        array = array[[2, 1, 0, 3]]
    codes = np.clip(np.rint(array * np.float32(top)), 0, top)
    kind = "u1" if top == 255 else (">u2" if settings.final.endswith("be") else "<u2")
    made = av.VideoFrame(picture.width, picture.height, settings.final)
    _fill(made.planes[0], np.ascontiguousarray(codes.transpose(1, 2, 0)).astype(kind))
    return _tagged(made, settings)


def _tagged(made: av.VideoFrame, settings: EncoderSettings) -> av.VideoFrame:
    set_frame_colour(made, _still_colour(settings))
    return made


def _fill(plane: Any, values: NDArray[Any]) -> None:
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    raw = values.reshape(values.shape[0], -1).view(np.uint8)
    rows[:, : raw.shape[1]] = raw


def _write_gif(
    pictures: Iterator[av.VideoFrame], settings: EncoderSettings, output: Path, ticks: Sequence[int],
    notes: Callable[[str], None],
) -> None:  # fmt: skip
    """A palette of its own for every picture: one with at most 255 colours comes out exactly."""
    delays = _gif_stamps(ticks, settings.time_base, notes)
    graph: Any = av.filter.Graph()
    name = "bgra"
    source = graph.add_buffer(width=settings.width, height=settings.height, format=name, time_base=GIF_TICK)
    fork, palette = graph.add("split"), graph.add("palettegen", "stats_mode=single:max_colors=256")
    use, sink = graph.add("paletteuse", "new=1:dither=sierra2_4a:alpha_threshold=128"), graph.add("buffersink")
    source.link_to(fork)
    fork.link_to(use, 0, 0)
    fork.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    with av.open(f"file:{output}", "w", format="gif", container_options={"loop": "0"}) as out:
        stream: Any = out.add_stream("gif", rate=100, width=settings.width, height=settings.height, time_base=GIF_TICK)
        stream.pix_fmt = "pal8"
        shown = 0

        def encode() -> None:
            nonlocal shown
            while True:
                try:
                    indexed = graph.pull()
                except (av.BlockingIOError, av.EOFError):
                    return
                indexed.pts, indexed.time_base = delays[shown], GIF_TICK
                for packet in stream.encode(indexed):
                    packet.duration = delays[shown + 1] - delays[shown]
                    out.mux(packet)
                shown += 1

        for number, picture in enumerate(pictures):
            flat = to_bgra(picture, settings)
            flat.pts, flat.time_base = number, GIF_TICK
            graph.push(flat)
            encode()
        graph.push(None)
        encode()
        for packet in stream.encode(None):
            out.mux(packet)


def to_bgra(picture: av.VideoFrame, settings: EncoderSettings) -> av.VideoFrame:
    values = to_rgb(picture, resolve(settings.colour, settings.pix_fmt, settings.height)).numpy()
    if values.shape[0] == 3:
        values = np.concatenate((values, np.ones_like(values[:1])))
    codes = np.clip(np.rint(values[[2, 1, 0, 3]] * np.float32(255)), 0, 255).astype(np.uint8)
    made = av.VideoFrame(picture.width, picture.height, "bgra")
    _fill(made.planes[0], np.ascontiguousarray(codes.transpose(1, 2, 0)))
    return made


def _gif_stamps(ticks: Sequence[int], time_base: Fraction, notes: Callable[[str], None]) -> list[int]:
    """Stamps in hundredths of a second from zero, each rounded by itself, so that they never drift."""
    begin = ticks[0]
    delays = [round((tick - begin) * time_base / GIF_TICK) for tick in ticks]
    if any(later <= earlier for earlier, later in itertools.pairwise(delays)):
        raise UsageError("a GIF counts hundredths of a second and cannot show this rate: use --fps 50 or .apng.")
    if (ticks[-1] - begin) * time_base * SMOOTHEST_GIF < len(ticks) - 1:
        notes("a GIF of more than 50 frames per second is slowed down by browsers: --fps 50 plays right.")
    if any((tick - begin) * time_base != delay * GIF_TICK for tick, delay in zip(ticks, delays, strict=True)):
        notes("a GIF counts hundredths of a second: stamps are rounded to them, without drift.")
    return delays


def _write_apng(
    pictures: Iterator[av.VideoFrame], settings: EncoderSettings, output: Path, ticks: Sequence[int]
) -> None:
    base = settings.time_base
    with av.open(f"file:{output}", "w", format="apng", container_options={"plays": "0"}) as out:
        stream: Any = out.add_stream(
            "apng", rate=settings.rate or settings.nominal_rate, width=settings.width, height=settings.height,
            time_base=base, options={"pred": "mixed"},
        )  # fmt: skip
        stream.pix_fmt = settings.final
        set_colour(stream.codec_context, _still_colour(settings))
        begin = ticks[0]
        for number, picture in enumerate(pictures):
            still = to_final(picture, settings)
            still.pts, still.time_base = ticks[number] - begin, base
            still.duration = ticks[number + 1] - ticks[number]
            out.mux(stream.encode(still))
        out.mux(stream.encode(None))


def _write_y4m(
    pictures: Iterator[av.VideoFrame], settings: EncoderSettings, output: Path, ticks: Sequence[int],
    notes: Callable[[str], None],
) -> None:  # fmt: skip
    """y4m has no stamps, only a rate: a variable one is refused before it comes here, its mean is said otherwise."""
    rate = settings.rate
    if rate is None:
        rate = Fraction(len(ticks) - 1) / ((ticks[-1] - ticks[0]) * settings.time_base)
        notes("y4m has one rate and no stamps: this variable rate comes out even (--vfr constant interpolates it).")
    with av.open(f"file:{output}", "w", format="yuv4mpegpipe", container_options={"strict": "-1"}) as out:
        siting = {1: "left", 2: "center", 3: "topleft"}.get(settings.colour.chroma_location, "unspecified")
        stream: Any = out.add_stream(
            "wrapped_avframe", rate=rate, width=settings.width, height=settings.height,
            options={"chroma_sample_location": siting},
        )  # fmt: skip
        stream.pix_fmt = settings.stored
        set_colour(stream.codec_context, settings.colour)
        stream.codec_context.sample_aspect_ratio = settings.sar
        for number, picture in enumerate(pictures):
            picture.pts, picture.time_base = number, 1 / rate
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
