"""Small films with known motion, and the writing of them as real media files.

Every other test takes its pictures from here: a `Scene` is a smooth random texture that glides at a known velocity
under two discs that glide at their own, and it can be drawn at any time, so the true in-between frame exists too.
Pictures are NumPy arrays, H W 3 (or H W 4 with alpha), float32, RGB in [0, 1]; a film is N H W 3. Sizes are
(height, width), positions and velocities (x, y) in pixels and pixels per frame. Stamps are `Fraction` seconds.

Colour is converted here in plain NumPy, not by swscale: what a file holds is known from this page alone.
"""

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]  # H W C
Film = NDArray[np.float32]  # N H W C

AUDIO_RATE = 48000
CLICK_SECONDS = 1e-3


# ---- pictures ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scene:
    """A texture and two discs in uniform motion; time is counted in frames and may be any real number.

    velocity      of the texture, pixels per frame, (dx, dy)
    disc_velocity of each disc; an empty tuple leaves the texture alone, so the flow is `velocity` everywhere
    """

    seed: int = 0
    velocity: tuple[float, float] = (1.5, 0.5)
    disc_velocity: tuple[tuple[float, float], ...] = ((-2.0, 1.0), (1.0, -1.5))

    def draw(self, time: float, size: tuple[int, int]) -> Image:
        """The picture at `time`, H W 3 inside [0.05, 0.95], with soft disc edges."""
        height, width = size
        generator = np.random.default_rng(self.seed)
        waves = 32
        wavelength = np.exp(generator.uniform(np.log(8.0), np.log(80.0), waves))  # pixels: fine enough to be seen move,
        angle = generator.uniform(0, 2 * np.pi, waves)  # too coarse to alias
        frequency = 2 * np.pi / wavelength * np.stack([np.cos(angle), np.sin(angle)])
        strength = wavelength**0.5 * np.exp(2j * np.pi * generator.uniform(size=waves))
        colour = strength * (1 + 0.35 * generator.normal(size=(3, waves)))  # mostly light and dark, as in photographs
        mean = 0.5 + 0.15 * np.sin(2.4 * self.seed + np.array([0.0, 0.5, 1.0]))  # scenes differ in light and tint
        x = np.exp(1j * np.outer(frequency[0], np.arange(width) - self.velocity[0] * time))
        y = np.exp(1j * np.outer(frequency[1], np.arange(height) - self.velocity[1] * time))
        texture = np.stack([((y * colour[c][:, None]).T @ x).real for c in range(3)], axis=-1)
        picture = mean + 0.3 * np.tanh(1.2 * texture / np.linalg.norm(strength))
        for index, mask in enumerate(self._discs(time, size)):
            paint = np.array([(0.9, 0.75, 0.1), (0.1, 0.3, 0.85)][index % 2])
            picture += mask[..., None] * (paint - picture)
        return picture.astype(np.float32)

    def flow(self, time0: float, time1: float, size: tuple[int, int]) -> NDArray[np.float32]:
        """True displacement from `time0` to `time1`, H W 2, (dx, dy); inside a disc the disc's."""
        flow = np.empty((*size, 2), np.float32)
        flow[:] = np.array(self.velocity) * (time1 - time0)
        for velocity, mask in zip(self.disc_velocity, self._discs(time0, size), strict=True):
            flow[mask > 0.5] = np.array(velocity) * (time1 - time0)
        return flow

    def _discs(self, time: float, size: tuple[int, int]) -> list[NDArray[np.float64]]:
        height, width = size
        y, x = np.mgrid[:height, :width]
        masks = []
        for index, (dx, dy) in enumerate(self.disc_velocity):
            radius = min(size) / (6 + index)
            centre_x = width * (0.62, 0.3)[index % 2] + dx * time
            centre_y = height * (0.35, 0.65)[index % 2] + dy * time
            masks.append(np.clip(radius - np.hypot(x - centre_x, y - centre_y) + 0.5, 0, 1))
        return masks


def moving(frames: int = 24, size: tuple[int, int] = (72, 96), *, scene: Scene | None = None) -> Film:
    """The scene at times 0, 1, 2, ...: one true global motion."""
    return at_times(range(frames), size, scene=scene)


def at_times(
    times: Sequence[float | Fraction], size: tuple[int, int] = (72, 96), *, scene: Scene | None = None
) -> Film:
    """The scene at any times, counted in frames: uniform motion seen by a camera of variable rate."""
    drawn = scene or Scene()
    return np.stack([drawn.draw(float(time), size) for time in times])


def cut(frames: int = 24, at: Sequence[int] = (12,), size: tuple[int, int] = (72, 96)) -> Film:
    """Hard cuts: frame `at[k]` is the first of a new scene."""
    shots = np.searchsorted(np.asarray(at), np.arange(frames), side="right")
    return np.stack([Scene(seed=int(shot)).draw(time, size) for time, shot in enumerate(shots)])


def fade(frames: int = 24, size: tuple[int, int] = (72, 96)) -> Film:
    """A cross-fade from one moving scene to another over the middle half: no cut."""
    amount = np.clip((np.arange(frames) / (frames - 1) - 0.25) * 2, 0, 1).astype(np.float32)[:, None, None, None]
    return (1 - amount) * moving(frames, size, scene=Scene(0)) + amount * moving(frames, size, scene=Scene(1))


def flash(frames: int = 24, at: Sequence[int] = (12,), size: tuple[int, int] = (72, 96)) -> Film:
    """A dim moving scene whose frames `at` are white: a photographer's flash, no cut."""
    film = 0.45 * moving(frames, size)
    film[list(at)] = 1.0
    return film


def still(frames: int = 24, size: tuple[int, int] = (72, 96)) -> Film:
    """The same picture again and again."""
    return np.repeat(moving(1, size), frames, axis=0)


def ramp(frames: int = 3, size: tuple[int, int] = (72, 96)) -> Film:
    """A still grey ramp from black to white, left to right."""
    line = np.linspace(0, 1, size[1], dtype=np.float32)
    return np.broadcast_to(line[None, None, :, None], (frames, *size, 3)).copy()


def held(frames: int = 24, hold: int = 2, size: tuple[int, int] = (72, 96)) -> Film:
    """Animation on twos (threes, ...): each drawing shown for `hold` frames, then moved on by `hold` steps."""
    return at_times([index // hold * hold for index in range(frames)], size)


def framed(film: Film, *, bars: int = 12, badge: tuple[int, int, int, int] | None = (16, 6, 10, 24)) -> Film:
    """Letterbox bars (rows above and below) and a static badge (top, left, height, width) over a moving film."""
    framed_film = film.copy()
    framed_film[:, :bars] = 0
    framed_film[:, film.shape[1] - bars :] = 0
    if badge is not None:
        top, left, height, width = badge
        checks = np.indices((height, width)).sum(0) // 2 % 2
        framed_film[:, top : top + height, left : left + width] = np.where(checks[..., None], 0.95, 0.08)
    return framed_film


def weave(film: Film, *, top_first: bool = True) -> Film:
    """Interlaced frames from a film of twice the rate: N frames become N/2, each of two moments."""
    first, second = (0, 1) if top_first else (1, 0)
    woven = film[0::2].copy()
    woven[:, 0::2] = film[first::2, 0::2]
    woven[:, 1::2] = film[second::2, 1::2]
    return woven


def with_alpha(film: Film) -> Film:
    """Adds a moving soft alpha: opaque discs over a half-transparent slope."""
    frames, height, width, _ = film.shape
    slope = np.linspace(0.2, 0.6, width, dtype=np.float32)
    alpha = np.empty((frames, height, width, 1), np.float32)
    for index in range(frames):
        mask = np.maximum.reduce(Scene()._discs(index, (height, width)))
        alpha[index, ..., 0] = np.maximum(slope, mask)
    return np.concatenate([film, alpha], axis=-1)


# ---- sound -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sound:
    """One audio track. `samples`: C n, float32 in [-1, 1]; `start`: when its first sample is heard, seconds."""

    samples: NDArray[np.float32]
    codec: str = "aac"
    rate: int = AUDIO_RATE
    layout: str = "mono"
    start: Fraction = Fraction(0)
    language: str | None = None
    title: str | None = None


def clicks(
    seconds: float | Fraction,
    at: Sequence[Fraction] | None = None,
    *,
    rate: int = AUDIO_RATE,
    channels: int = 1,
    hum: float = 0.02,
) -> NDArray[np.float32]:
    """Sound with a click of one millisecond centred on each second (or on each time `at`), over a quiet 220 Hz hum.

    A click is a raised cosine, known at every real time, so it may fall between two samples. The hum keeps coders
    from meeting digital silence. Channel c is 0.8^c times as loud, so that a swapped channel is seen.
    """
    time = np.arange(round(seconds * rate)) / rate
    sound = hum * np.sin(2 * np.pi * 220 * time)
    for moment in at if at is not None else [Fraction(second) for second in range(int(seconds) + 1)]:
        distance = (time - float(moment)) / CLICK_SECONDS
        sound += np.where(np.abs(distance) < 0.5, 0.8 * np.cos(np.pi * distance) ** 2, 0)
    return np.stack([0.8**channel * sound for channel in range(channels)]).astype(np.float32)


# ---- pictures as frames of a pixel format ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tags:
    """Colour tags as FFmpeg numbers them: range 1 limited / 2 full, the others as in ITU-T H.273, chroma location
    1 left, 2 centre, 3 top left. 0 (range, location) and 2 (the rest) mean unspecified."""

    range: int = 0
    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    chroma_location: int = 0


UNTAGGED = Tags()
BT601 = Tags(1, 6, 6, 6, 1)
BT601_PAL = Tags(1, 5, 5, 6, 1)
BT709 = Tags(1, 1, 1, 1, 1)
BT709_FULL = Tags(2, 1, 1, 1, 1)
BT2020 = Tags(1, 9, 9, 14, 1)
PQ = Tags(1, 9, 9, 16, 3)
HLG = Tags(1, 9, 9, 18, 3)
RGB = Tags(2, 0, 1, 13, 0)

_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}  # matrix number → Kr, Kb; any other: BT.601, as swscale does
_PACKED = {  # bytes of a pixel in memory order; x is padding
    "rgb24": "rgb", "bgr24": "bgr", "rgba": "rgba", "bgra": "bgra", "argb": "argb", "rgb0": "rgbx", "bgr0": "bgrx",
    "rgb48be": "rgb", "rgb48le": "rgb", "rgba64be": "rgba", "rgba64le": "rgba",
}  # fmt: skip


def picture(image: Image, pix_fmt: str, tags: Tags = UNTAGGED) -> av.VideoFrame:
    """The image as a frame of `pix_fmt`: matrix and range by `tags`, chroma averaged around its true site.

    Any planar YCbCr, gray or GBR format up to 16 bit, with or without alpha, the packed RGB ones and pal8 (6x6x6
    colours). No alpha in the image means opaque.
    """
    height, width = image.shape[:2]
    rgb = image[..., :3].astype(np.float64)
    alpha = image[..., 3].astype(np.float64) if image.shape[2] == 4 else np.ones((height, width))
    if pix_fmt == "pal8":
        return _tagged(_palette_frame(rgb), tags)
    frame = av.VideoFrame(width, height, pix_fmt)
    if pix_fmt in _PACKED:
        wide = any(text in pix_fmt for text in ("48", "64"))
        top = 65535 if wide else 255
        channels = {"r": rgb[..., 0], "g": rgb[..., 1], "b": rgb[..., 2], "a": alpha, "x": np.zeros_like(alpha)}
        packed = np.stack([_quantise(channels[name] * top, top) for name in _PACKED[pix_fmt]], axis=-1)
        kind = (">u2" if pix_fmt.endswith("be") else "<u2") if wide else "u1"
        _fill(frame.planes[0], packed.reshape(height, -1).astype(kind))
        return _tagged(frame, tags)
    layout = av.VideoFormat(pix_fmt)
    if not layout.is_planar and len(layout.components) > 1:
        raise ValueError(f"picture() does not write the packed format {pix_fmt}")
    bits = layout.components[0].bits
    top = (1 << bits) - 1
    if layout.is_rgb:
        values = [rgb[..., 0] * top, rgb[..., 1] * top, rgb[..., 2] * top]
    else:
        values = _ycbcr(rgb, bits, tags, full=pix_fmt.startswith("yuvj") or tags.range == 2)
    for index, component in enumerate(layout.components):
        if component.is_alpha:
            plane = alpha * top
        elif component.is_chroma:
            across = 1 if layout.chroma_width(1024) == 1024 else 1024 // layout.chroma_width(1024)
            down = 1 if layout.chroma_height(1024) == 1024 else 1024 // layout.chroma_height(1024)
            cosited_x = tags.chroma_location != 2
            plane = _shrink(values[index], 1, across, cosited=cosited_x)
            plane = _shrink(plane, 0, down, cosited=tags.chroma_location == 3)
        else:
            plane = values[index]
        _fill(frame.planes[component.plane], _quantise(plane, top).astype("u1" if bits == 8 else "<u2"))
    return _tagged(frame, replace(tags, range=2) if pix_fmt.startswith("yuvj") else tags)


def _ycbcr(rgb: NDArray[np.float64], bits: int, tags: Tags, *, full: bool) -> list[NDArray[np.float64]]:
    red_weight, blue_weight = _LUMA_WEIGHTS.get(tags.matrix, (0.299, 0.114))
    luma = rgb @ np.array([red_weight, 1 - red_weight - blue_weight, blue_weight])
    cb = (rgb[..., 2] - luma) / (2 * (1 - blue_weight))
    cr = (rgb[..., 0] - luma) / (2 * (1 - red_weight))
    if full:
        top = (1 << bits) - 1
        return [luma * top, cb * top + (1 << (bits - 1)), cr * top + (1 << (bits - 1))]
    step = 1 << (bits - 8)
    return [(16 + 219 * luma) * step, (128 + 224 * cb) * step, (128 + 224 * cr) * step]


def _shrink(plane: NDArray[np.float64], axis: int, factor: int, *, cosited: bool) -> NDArray[np.float64]:
    if factor == 1:
        return plane
    length = plane.shape[axis]
    places = np.arange(0, length, factor)
    if cosited:
        offsets, weights = np.arange(-(factor - 1), factor), factor - np.abs(np.arange(-(factor - 1), factor))
    else:
        offsets, weights = np.arange(factor), np.ones(factor)
    total = sum(
        weight * np.take(plane, np.clip(places + offset, 0, length - 1), axis)
        for offset, weight in zip(offsets, weights, strict=True)
    )
    return np.asarray(total) / weights.sum()


def _quantise(values: NDArray[np.float64], top: int) -> NDArray[np.int64]:
    return np.clip(np.rint(values), 0, top).astype(np.int64)


def _fill(plane: "av.video.plane.VideoPlane", values: NDArray) -> None:
    rows = np.zeros((plane.height, plane.line_size), np.uint8)
    raw = np.ascontiguousarray(values).view(np.uint8)
    rows[:, : raw.shape[1]] = raw
    plane.update(rows.tobytes())


def _palette_frame(rgb: NDArray[np.float64]) -> av.VideoFrame:
    steps = np.rint(rgb * 5).astype(np.uint8)
    palette = np.zeros((256, 4), np.uint8)
    palette[:216, 0] = 255  # PyAV wants ARGB
    palette[:216, 1:] = np.indices((6, 6, 6)).reshape(3, -1).T * 51
    palette[216:] = palette[215]
    return av.VideoFrame.from_ndarray((steps @ np.array([36, 6, 1], np.uint8), palette), format="pal8")


def _tagged(frame: av.VideoFrame, tags: Tags) -> av.VideoFrame:
    frame.color_range, frame.colorspace = tags.range, tags.matrix
    frame.color_primaries, frame.color_trc = tags.primaries, tags.transfer
    return frame


# ---- files -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subtitles:
    """Lines (start, end, text) in seconds, stored as `codec`: subrip, ass, mov_text or webvtt."""

    lines: tuple[tuple[Fraction, Fraction, str], ...]
    codec: str = "subrip"
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Extras:
    """What a file may carry beside one video and its sound."""

    subtitles: tuple[Subtitles, ...] = ()
    attachments: tuple[tuple[str, str, bytes], ...] = ()  # name, mimetype, bytes
    chapters: tuple[tuple[Fraction, Fraction, str], ...] = ()  # start, end, title
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    cover: Image | None = None


_FAST = {
    "libx264": {"preset": "ultrafast", "crf": "18", "threads": "1"},
    "libx264rgb": {"preset": "ultrafast", "crf": "18", "threads": "1"},
    "libx265": {"preset": "ultrafast", "crf": "18"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "24", "threads": "1"},
    "libsvtav1": {"preset": "12", "crf": "30"},
    "mpeg2video": {"qmin": "2", "qmax": "3", "threads": "1"},
    "mpeg4": {"qmin": "2", "qmax": "3", "threads": "1"},
    "ffv1": {"level": "3", "threads": "1"},
    "mjpeg": {"qmin": "2", "qmax": "3", "threads": "1"},
}


def write_clip(
    path: str | Path,
    film: Film | None,
    rate: Fraction | int | None = 25,
    *,
    stamps: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    last_duration: int | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    tags: Tags = UNTAGGED,
    options: dict[str, str] | None = None,
    sar: Fraction | None = None,
    rotation: int = 0,
    sounds: Sequence[Sound] = (),
    extras: Extras | None = None,
    container: str | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a film, its sound and `extras` to `path`; the container follows from the name unless given.

    Times: either a constant `rate` (exact) or `stamps` in units of `time_base`, whose last frame lasts
    `last_duration` units (default: as long as the one before). `rotation` is in degrees counter-clockwise, as PyAV
    reads it back. `film` None writes sound only. Encoders run in their quickest setting at good quality; `options`
    go to the video encoder on top of that.
    """
    extras = extras or Extras()
    packets: list[tuple[float, int, av.Packet]] = []
    with av.open(str(path), "w", format=container, container_options=container_options or {}) as out:
        out.metadata.update(extras.metadata)
        if film is not None:
            packets += _encode_video(
                out, film, rate, stamps, time_base, last_duration, codec, pix_fmt, tags, options, sar, rotation, extras
            )
        for sound in sounds:
            packets += _encode_sound(out, sound)
        for subtitles in extras.subtitles:
            packets += _subtitle_packets(out, subtitles)
        for name, mimetype, data in extras.attachments:
            out.add_attachment(name, mimetype, data)
        if extras.cover is not None:
            packets += _cover_packets(out, extras.cover)
        if extras.chapters:
            out.set_chapters(
                [
                    {"id": i + 1, "start": round(a * 1000), "end": round(b * 1000), "time_base": Fraction(1, 1000),
                     "metadata": {"title": title}}
                    for i, (a, b, title) in enumerate(extras.chapters)
                ]
            )  # fmt: skip
        for _, _, packet in sorted(packets, key=lambda item: item[:2]):
            out.mux(packet)
    return Path(path)


def _encode_video(
    out, film, rate, stamps, time_base, last_duration, codec, pix_fmt, tags, options, sar, rotation, extras
) -> list[tuple[float, int, av.Packet]]:
    if stamps is None:
        unit, ticks, rate = 1 / Fraction(rate), list(range(len(film))), Fraction(rate)
    else:
        unit, ticks = Fraction(time_base), list(stamps)
        if rate is None:
            rate = Fraction(len(ticks) - 1) / (unit * (ticks[-1] - ticks[0])) if len(ticks) > 1 else Fraction(25)
        rate = Fraction(rate).limit_denominator(1_000_000)
    gaps = [b - a for a, b in itertools.pairwise(ticks)]
    durations = dict(zip(ticks, [*gaps, last_duration or (gaps[-1] if gaps else 1)], strict=True))
    height, width = film.shape[1:3]
    stream = out.add_stream(codec, rate=rate, width=width, height=height, time_base=unit)
    stream.pix_fmt = pix_fmt
    context = stream.codec_context
    context.color_range, context.colorspace = tags.range, tags.matrix
    context.color_primaries, context.color_trc = tags.primaries, tags.transfer
    settings = dict(_FAST.get(codec, {}))
    if codec == "libx265":
        settings["x265-params"] = "pools=none:frame-threads=1:log-level=none"
    if tags.chroma_location:
        settings["chroma_sample_location"] = str(tags.chroma_location)
        if codec.startswith("libx26"):  # the x26* libraries take it from their own parameters only
            name = f"{codec[3:7]}-params"
            settings[name] = ":".join(filter(None, [settings.get(name), f"chromaloc={tags.chroma_location - 1}"]))
    for key, value in (options or {}).items():
        joined = key.endswith("-params") and key in settings
        settings[key] = f"{settings[key]}:{value}" if joined else value
    stream.options = settings
    if sar is not None:
        context.sample_aspect_ratio = sar
    if rotation:
        stream.set_display_rotation(rotation)
    stream.metadata.update(extras.video_metadata)
    made: list[av.Packet] = []
    for tick, image in zip(ticks, film, strict=True):
        frame = picture(image, pix_fmt, tags)
        frame.pts, frame.time_base, frame.duration = tick, unit, durations[tick]
        made += stream.encode(frame)
    made += stream.encode(None)
    for packet in made:
        packet.duration = durations[packet.pts]
    # x265 now and then leaves a packet without one
    return [(float((packet.pts if packet.dts is None else packet.dts) * unit), 0, packet) for packet in made]


_SAMPLES = {
    "s16": (np.int16, 32767),
    "s32": (np.int32, 2147483647 - 127),
    "flt": (np.float32, 1),
    "u8": (np.uint8, 127),
}


def _encode_sound(out, sound: Sound) -> list[tuple[float, int, av.Packet]]:
    stream = out.add_stream(sound.codec, rate=sound.rate)
    stream.layout = sound.layout
    if sound.codec not in ("flac", "alac") and not sound.codec.startswith("pcm"):
        stream.bit_rate = 96_000 * max(1, sound.samples.shape[0] // 2)
    if sound.language:
        stream.metadata["language"] = sound.language
    if sound.title:
        stream.metadata["title"] = sound.title
    context = stream.codec_context
    context.time_base = Fraction(1, sound.rate)
    context.open(strict=False)
    name = context.format.name
    kind, top = _SAMPLES[name.rstrip("p")]
    values = sound.samples * top
    values = values.astype(kind) if kind is np.float32 else np.rint(values).astype(kind)
    step = context.frame_size or 1024
    made: list[av.Packet] = []
    for begin in range(0, values.shape[1], step):
        block = values[:, begin : begin + step]
        block = block if context.format.is_planar else block.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format=name, layout=sound.layout)
        frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
        frame.pts = begin + round(sound.start * sound.rate)
        made += stream.encode(frame)
    made += stream.encode(None)
    return [(float(packet.dts * packet.time_base), 1, packet) for packet in made]


def _clock(moment: Fraction, separator: str, digits: int) -> str:
    whole, part = divmod(round(moment * 10**digits), 10**digits)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{separator}{part:0{digits}d}"


def _subtitle_packets(out, subtitles: Subtitles) -> list[tuple[float, int, av.Packet]]:
    if subtitles.codec == "ass":
        text = "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n"
        text += "Format: Name, Fontname, Fontsize\nStyle: Default,Corpus Sans,20\n\n[Events]\n"
        text += "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        for start, end, line in subtitles.lines:
            text += f"Dialogue: 0,{_clock(start, '.', 2)[1:]},{_clock(end, '.', 2)[1:]},Default,,0,0,0,,{line}\n"
        name = "ass"
    elif subtitles.codec == "webvtt":
        text = "WEBVTT\n\n"
        for start, end, line in subtitles.lines:
            text += f"{_clock(start, '.', 3)} --> {_clock(end, '.', 3)}\n{line}\n\n"
        name = "webvtt"
    else:
        text = ""
        for number, (start, end, line) in enumerate(subtitles.lines, 1):
            text += f"{number}\n{_clock(start, ',', 3)} --> {_clock(end, ',', 3)}\n{line}\n\n"
        name = "srt"
    with av.open(io.BytesIO(text.encode()), "r", format=name) as source:
        template = source.streams.subtitles[0]
        packets = [packet for packet in source.demux(template) if packet.size]
        if subtitles.codec == "mov_text":  # a sample of mov_text is its length in two bytes, then the text
            stream = out.add_mux_stream("mov_text")
            stream.time_base = template.time_base
            for index, packet in enumerate(packets):
                text_bytes = bytes(packet)
                sample = av.Packet(len(text_bytes).to_bytes(2, "big") + text_bytes)
                sample.pts, sample.dts, sample.duration = packet.pts, packet.dts, packet.duration
                sample.time_base = template.time_base
                packets[index] = sample
        else:
            stream = out.add_stream_from_template(template)
        if subtitles.language:
            stream.metadata["language"] = subtitles.language
        for packet in packets:
            packet.stream = stream
        return [(float(packet.pts * packet.time_base), 2, packet) for packet in packets]


def image_bytes(image: Image, codec: str = "png", pix_fmt: str = "rgb24", tags: Tags = UNTAGGED) -> bytes:
    """One still picture as a file in memory: png, mjpeg (jpg), tiff."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = image.shape[1], image.shape[0], pix_fmt
    encoder.time_base = Fraction(1, 25)
    tags = replace(tags, range=2)  # pictures are full range, gray ones too
    encoder.color_range = tags.range
    encoder.options = dict(_FAST.get(codec, {}))
    frame = picture(image, pix_fmt, tags)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _cover_packets(out, cover: Image) -> list[tuple[float, int, av.Packet]]:
    stream = out.add_stream("png", rate=1, width=cover.shape[1], height=cover.shape[0])
    stream.pix_fmt = "rgb24"
    stream.disposition = av.stream.Disposition.attached_pic
    stream.metadata["title"] = "cover"
    frame = picture(cover, "rgb24")
    frame.pts, frame.time_base = 0, Fraction(1)
    return [(-1.0, 3, packet) for packet in [*stream.encode(frame), *stream.encode(None)]]


def write_images(
    folder: Path, film: Film, *, codec: str = "png", pix_fmt: str = "rgb24", pattern: str = "{:04d}.png", first: int = 1
) -> Path:
    """A folder of numbered pictures, `pattern` filled with first, first + 1, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(film):
        (folder / pattern.format(first + index)).write_bytes(image_bytes(image, codec, pix_fmt))
    return folder


def write_y4m(path: Path, film: Film, rate: Fraction = Fraction(25), *, tags: Tags = BT601) -> Path:
    """Uncompressed YUV4MPEG2, 8 bit 4:2:0, written byte by byte: FFmpeg had no hand in it."""
    height, width = film.shape[1:3]
    siting = {1: "420mpeg2", 2: "420jpeg", 3: "420paldv"}.get(tags.chroma_location, "420jpeg")
    with open(path, "wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip A1:1 C{siting}\n".encode())
        for image in film:
            file.write(b"FRAME\n")
            for plane in picture(image, "yuv420p", tags).planes:
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                file.write(rows[:, : plane.width].tobytes())
    return path
