"""The test corpus: small media files of every kind a user may bring, with the facts each must show.

    python tests/corpus.py OUTDIR [--list] [--only WORD]

Every file is made here by PyAV out of `clips`; nothing is downloaded. A `CorpusFile` states what the file is: frames,
exact stamps, size, colour tags, sound, and so on, and can draw the film it holds again, so a test can compare what
comes out of a job with what went in. `Corpus` makes files one by one when a test asks for them.
"""

import argparse
import functools
import inspect
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import clips
import numpy as np
from clips import Extras, Film, Sound, Subtitles, Tags

SIZE = (72, 96)  # height, width of most pictures
NTSC_FILM, NTSC_FAST = Fraction(24000, 1001), Fraction(60000, 1001)
FLASHES = (10, 25, 50)  # frames that are white in the sync files, where the sound clicks

Outcome = Literal["good", "damaged", "unreadable", "no video"]


@dataclass(frozen=True, slots=True)
class Track:
    """One audio track: `start` is when its first sample is heard, `seconds` how long it sounds."""

    codec: str
    channels: int = 1
    rate: int = clips.AUDIO_RATE
    language: str | None = None
    start: Fraction = Fraction(0)
    seconds: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """One file and the facts it must show.

    name       unique, file-name safe; `file` is the real name inside the corpus folder (a folder for pictures)
    kind       what it is for: rate, vfr, format, colour, geometry, time, content, audio, sync, streams, images, name,
               sound only, damaged
    outcome    good: plays whole; damaged: promises `frames` but breaks off; unreadable: not a medium; no video
    stamps     exact times of the frames in seconds, as the file should be understood; `slack` is how far the file's
               own stamps may lie from them (its tick, in seconds); None where the file carries no usable stamps
    end        where the last frame stops being shown; None where the file cannot say
    rate       the exact constant rate, or None if variable
    pix_fmt    as decoded; `lossless` says that the decoded planes equal `clips.picture(film[i], pix_fmt, tags)`
    motion     velocity of the texture, pixels per frame (dx, dy)
    cuts       frames that begin a new scene; `repeats`: frames that repeat the one before; `flashes`: white frames
    sync       the sound clicks exactly at the flashes
    """

    name: str
    file: str
    kind: str
    outcome: Outcome = "good"
    frames: int = 0
    size: tuple[int, int] = SIZE
    stamps: tuple[Fraction, ...] | None = None
    slack: Fraction = Fraction(0)
    end: Fraction | None = None
    rate: Fraction | None = None
    codec: str = ""
    pix_fmt: str = ""
    lossless: bool = False
    tags: Tags = clips.UNTAGGED
    sar: Fraction | None = None
    rotation: int = 0
    interlaced: str | None = None
    has_alpha: bool = False
    hdr: bool = False
    audio: tuple[Track, ...] = ()
    subtitles: tuple[str, ...] = ()
    attachments: int = 0
    data_streams: int = 0
    chapters: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    cover: bool = False
    motion: tuple[float, float] | None = (1.5, 0.5)
    cuts: tuple[int, ...] = ()
    repeats: tuple[int, ...] = ()
    flashes: tuple[int, ...] = ()
    sync: bool = False
    film: Callable[[], Film] | None = None
    write: Callable[[Path], object] | None = None
    path: Path | None = None

    def make(self, folder: Path) -> "CorpusFile":
        """Write the file below `folder` unless it is there; the same facts with `path` set."""
        home = folder / self.name  # a folder of its own: names may differ in nothing but spelling
        if not home.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as half_done:
                assert self.write is not None
                (Path(half_done) / "made").mkdir()
                self.write(Path(half_done) / "made" / self.file)
                os.rename(Path(half_done) / "made", home)
        return replace(self, path=home / self.file)


class Corpus:
    """The files below `folder`, each made when first asked for: `corpus["cfr-25-mp4"].path`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> CorpusFile:
        return FILES[name].make(self.folder)

    def __iter__(self) -> Iterator[CorpusFile]:
        return (self[name] for name in FILES)


def names(kind: str | None = None, *, outcome: Outcome | None = "good") -> list[str]:
    """Names for `pytest.mark.parametrize`: of one kind, of one outcome, or all (`None`)."""
    return [
        file.name
        for file in FILES.values()
        if (kind is None or file.kind == kind) and (outcome is None or file.outcome == outcome)
    ]


def build(outdir: str | Path) -> list[CorpusFile]:
    """Make the whole corpus below `outdir`."""
    return [file.make(Path(outdir)) for file in FILES.values()]


FILES: dict[str, CorpusFile] = {}


def _add(file: CorpusFile) -> None:
    assert file.name not in FILES, file.name
    FILES[file.name] = file


# What PyAV reports for a codec that another name writes.
_READS_AS = {
    "libx264": "h264", "libx264rgb": "h264", "libx265": "hevc", "libvpx-vp9": "vp9", "libsvtav1": "libdav1d",
    "prores_ks": "prores", "libopus": "opus", "libmp3lame": "mp3float",
}  # fmt: skip
_LOSSLESS = ("ffv1", "png", "apng", "utvideo", "magicyuv", "huffyuv")
_SQUARE = ("libvpx-vp9", "libsvtav1", "mpeg4", "mpeg2video")  # always say a shape of pixel: square unless told
# Matroska and WebM stamp milliseconds, MPEG-TS 90 kHz, FFmpeg's APNG reader 10 µs (and adds up rounded delays).
_TICKS = {"mkv": Fraction(1, 1000), "webm": Fraction(1, 1000), "ts": Fraction(1, 90000), "apng": Fraction(30, 100000)}
_WRITER_KEYS = set(inspect.signature(clips.write_clip).parameters)
_FACT_KEYS = {fact for fact in CorpusFile.__slots__ if fact not in ("name", "file", "kind", "path")}


def _video(name: str, file: str, kind: str, film: Callable[[], Film], count: int, **settings) -> None:
    """One row: what `clips.write_clip` is told and what the file must show; each setting goes to whom it concerns.

    `shift` moves all expected stamps: where a muxer moved everything to make room for a coder's delay.
    """
    shift = settings.pop("shift", Fraction(0))
    decoded_as = settings.pop("decoded_as", None)
    told = {key: value for key, value in settings.items() if key in _WRITER_KEYS}
    facts = {key: value for key, value in settings.items() if key in _FACT_KEYS}
    unknown = set(settings) - set(told) - set(facts)
    assert not unknown, unknown
    suffix = file.rsplit(".", 1)[-1]
    if "stamps" in told:
        unit, ticks = told["time_base"], list(told["stamps"])
        last = told.get("last_duration") or (ticks[-1] - ticks[-2])
        rate = facts.pop("rate", None)
        told["rate"] = rate
        stamps = tuple(tick * unit + shift for tick in ticks)
        end = stamps[-1] + last * unit
    else:
        rate = Fraction(told.setdefault("rate", 25))
        stamps = tuple(index / rate + shift for index in range(count))
        end = stamps[-1] + 1 / rate
    codec = told.get("codec", "libx264")
    extras = told.get("extras", Extras())
    for key in ("stamps", "rate", "codec"):
        facts.pop(key, None)
    values = {
        "frames": count,
        "slack": _TICKS.get(suffix, Fraction(0)),
        "end": None if suffix in ("ts", "h264", "apng") else end,
        "lossless": codec in _LOSSLESS,
        "audio": tuple(
            Track(
                _READS_AS.get(sound.codec, sound.codec), sound.samples.shape[0], sound.rate, sound.language,
                sound.start + shift, Fraction(sound.samples.shape[1], sound.rate),
            )
            for sound in told.get("sounds", ())
        ),
        "subtitles": tuple(subtitles.codec for subtitles in extras.subtitles),
        "attachments": len(extras.attachments),
        "chapters": len(extras.chapters),
        "metadata": dict(extras.metadata),
        "cover": extras.cover is not None,
        "film": film,
    } | facts  # fmt: skip
    if codec in _SQUARE:
        values.setdefault("sar", Fraction(1))
    values["pix_fmt"] = decoded_as or told.get("pix_fmt", "yuv420p")
    _add(
        CorpusFile(
            name, file, kind, stamps=stamps, rate=rate, codec=_READS_AS.get(codec, codec),
            write=lambda path: clips.write_clip(path, film(), **told), **values,
        )
    )  # fmt: skip


@functools.cache
def _moving(count: int = 24, size: tuple[int, int] = SIZE) -> Film:
    return clips.moving(count, size)


def _sound(codec: str = "aac", seconds: Fraction = Fraction(1), channels: int = 1, **settings) -> Sound:
    return Sound(clips.clicks(seconds, channels=channels), codec=codec, **settings)


def _alpha() -> Film:
    return clips.with_alpha(_moving(12))


def _rates() -> None:
    add = functools.partial(_video, kind="rate", film=_moving, count=24)
    b_frames = {"preset": "veryfast", "bf": "2"}
    aac = (_sound("aac"),)
    add("cfr-23976-mp4", "clip.mp4", rate=NTSC_FILM, tags=clips.BT709, sounds=aac, options=b_frames)
    add("cfr-23976-mkv", "clip.mkv", rate=NTSC_FILM, tags=clips.BT709, sounds=aac, options=b_frames)
    add("cfr-23976-mov", "clip.mov", rate=NTSC_FILM, tags=clips.BT709, sounds=(_sound("pcm_s16le"),))
    add("cfr-25-mp4", "clip.mp4", rate=25, tags=clips.BT709, sounds=aac)
    add("cfr-30-mp4", "clip.mp4", rate=30)
    add("cfr-5994-mp4", "clip.mp4", rate=NTSC_FAST)
    add("cfr-5994-mkv", "clip.mkv", rate=NTSC_FAST)
    add("cfr-5994-webm", "clip.webm", rate=NTSC_FAST, codec="libvpx-vp9", tags=Tags(range=1))
    # MPEG-TS cannot hide a coder's delay: everything is later by AAC's 1024 samples, or MPEG-2's frame.
    add("cfr-30-ts", "clip.ts", rate=30, sounds=aac, shift=Fraction(1024, 48000))
    add("cfr-5994-ts", "clip.ts", rate=NTSC_FAST, codec="mpeg2video", tags=Tags(range=1),
        shift=1 / NTSC_FAST)  # fmt: skip
    add("cfr-30-avi", "clip.avi", rate=30, codec="mpeg4", sounds=(_sound("pcm_s16le"),))
    add("cfr-25-avi", "clip.avi", rate=25, slack=Fraction(1, 25))  # decoding stamps only; FFmpeg guesses a frame later
    add("cfr-25-gif", "clip.gif", rate=25, codec="gif", pix_fmt="pal8", decoded_as="bgra")
    add("cfr-30-apng", "clip.apng", rate=30, codec="apng", pix_fmt="rgb24", tags=Tags(range=2, matrix=0))
    add("cfr-av1", "clip.mp4", rate=25, codec="libsvtav1", tags=clips.BT709)


def _variable() -> None:
    switch = [100 * i for i in range(8)] + [800 + round(1000 * i / 60) for i in range(16)]
    switch += [1067 + 100 * i for i in range(8)]
    hold = [0, 40, 80, 120, 160, 5160, 5200, 5240, 5280, 5320, 5360, 5400]
    phone = [0, 33, 67, 99, 134, 166, 201, 233, 300, 334, 366, 400]
    milli = Fraction(1, 1000)

    def at(ticks: Sequence[int], unit: Fraction) -> Callable[[], Film]:
        return lambda: clips.at_times([float(tick * unit * 25) for tick in ticks], SIZE)

    for suffix in ("mp4", "mkv"):
        for name, ticks in (("switch", switch), ("hold", hold), ("phone", phone)):
            _video(f"vfr-{name}-{suffix}", f"clip.{suffix}", "vfr", at(ticks, milli), len(ticks), stamps=ticks,
                   time_base=milli, last_duration=40, motion=None)  # fmt: skip
    jitter = [round(Fraction(90000 * 1001 * i, 30000)) + (-1) ** (i // 2) for i in range(24)]
    jitter[0] = 0
    _video("cfr-jitter-mp4", "clip.mp4", "rate", _moving, 24, stamps=jitter, time_base=Fraction(1, 90000),
           last_duration=3003)  # fmt: skip
    delays = [0, 4, 8, 20, 120, 124, 130, 140]
    _video("vfr-gif", "clip.gif", "vfr", at(delays, Fraction(1, 100)), 8, stamps=delays, time_base=Fraction(1, 100),
           last_duration=50, codec="gif", pix_fmt="pal8", decoded_as="bgra", motion=None)  # fmt: skip
    _video("vfr-apng", "clip.apng", "vfr", at(delays, Fraction(1, 100)), 8, stamps=delays, time_base=Fraction(1, 100),
           codec="apng", pix_fmt="rgb24", tags=Tags(range=2, matrix=0), motion=None)  # fmt: skip
    _video("vfr-ts", "clip.ts", "vfr", at(phone, milli), len(phone), stamps=phone, time_base=milli, last_duration=40,
           motion=None)  # fmt: skip


def _formats() -> None:
    add = functools.partial(_video, kind="format", film=functools.partial(_moving, 12), count=12)
    for chroma in ("420", "422", "444"):
        add(f"yuv{chroma}-8", "clip.mp4", pix_fmt=f"yuv{chroma}p", tags=clips.BT709)
        for bits in (10, 12):
            add(f"yuv{chroma}-{bits}", "clip.mp4", codec="libx265", pix_fmt=f"yuv{chroma}p{bits}le", tags=clips.BT709)
    add("yuv420-10-x264", "clip.mkv", pix_fmt="yuv420p10le", tags=clips.BT709)
    add("yuv422-10-prores", "clip.mov", codec="prores_ks", pix_fmt="yuv422p10le", tags=clips.BT709,
        options={"profile": "hq"})  # fmt: skip
    add("yuv420-16-ffv1", "clip.mkv", codec="ffv1", pix_fmt="yuv420p16le", tags=clips.BT709)
    add("yuv411-8", "clip.avi", codec="ffv1", pix_fmt="yuv411p")
    add("rgb-8-ffv1", "clip.mkv", codec="ffv1", pix_fmt="bgr0", tags=clips.RGB)
    add("rgb-8-utvideo", "clip.avi", codec="utvideo", pix_fmt="gbrp")
    add("rgb-8-h264", "clip.mp4", codec="libx264rgb", pix_fmt="bgr0", decoded_as="gbrp", tags=clips.RGB)
    for bits in (10, 12, 16):
        add(f"rgb-{bits}-ffv1", "clip.mkv", codec="ffv1", pix_fmt=f"gbrp{bits}le", tags=clips.RGB)
    add("gray-8", "clip.mkv", codec="ffv1", pix_fmt="gray", tags=Tags(range=1))
    add("gray-10", "clip.mp4", codec="libx265", pix_fmt="gray10le", tags=Tags(range=1))
    add("gray-16", "clip.mkv", codec="ffv1", pix_fmt="gray16le", tags=Tags(range=2))
    alpha = {"film": _alpha, "has_alpha": True}
    add("alpha-420-8", "clip.mkv", codec="ffv1", pix_fmt="yuva420p", tags=clips.BT709, **alpha)
    add("alpha-444-10", "clip.mkv", codec="ffv1", pix_fmt="yuva444p10le", tags=clips.BT709, **alpha)
    add("alpha-rgb-8", "clip.avi", codec="utvideo", pix_fmt="gbrap", **alpha)
    add("alpha-rgb-16", "clip.mkv", codec="ffv1", pix_fmt="gbrap16le", tags=clips.RGB, **alpha)
    add("alpha-prores", "clip.mov", codec="prores_ks", pix_fmt="yuva444p10le", decoded_as="yuva444p12le",
        options={"profile": "4444"}, tags=clips.BT709, **alpha)  # fmt: skip
    add("alpha-apng", "clip.apng", codec="apng", pix_fmt="rgba", tags=Tags(range=2, matrix=0), **alpha)
    # FFmpeg's own VP9 decoder drops the alpha layer.
    add("alpha-vp9", "clip.webm", codec="libvpx-vp9", pix_fmt="yuva420p", decoded_as="yuv420p", tags=Tags(range=1),
        film=_alpha)  # fmt: skip


_HDR10 = (
    "hdr10=1:repeat-headers=1:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
)


def _colours() -> None:
    add = functools.partial(_video, kind="colour", film=functools.partial(_moving, 12), count=12)
    for name, tags in (
        ("601", clips.BT601), ("601-pal", clips.BT601_PAL), ("709", clips.BT709), ("709-full", clips.BT709_FULL),
        ("untagged", clips.UNTAGGED), ("709-centre", replace(clips.BT709, chroma_location=2)),
        ("709-topleft", replace(clips.BT709, chroma_location=3)),
    ):  # fmt: skip
        # FFmpeg calls full-range H.264 by its old name.
        old_name = {"decoded_as": "yuvj420p"} if tags.range == 2 else {}
        add(f"colour-{name}", "clip.mp4", tags=tags, **old_name)
    add("colour-mjpeg", "clip.mov", codec="mjpeg", pix_fmt="yuvj420p", tags=Tags(2, 5, 1, 1, 2))
    wide = {"codec": "libx265", "pix_fmt": "yuv420p10le"}
    add("colour-2020", "clip.mp4", tags=clips.BT2020, **wide)
    add("colour-2020-full", "clip.mkv", tags=replace(clips.BT2020, range=2), **wide)
    add("colour-pq", "clip.mp4", tags=clips.PQ, options={"x265-params": _HDR10}, hdr=True, **wide)
    add("colour-pq-mkv", "clip.mkv", tags=clips.PQ, options={"x265-params": _HDR10}, hdr=True, **wide)
    add("colour-hlg", "clip.mp4", tags=clips.HLG, **wide)


def _geometry() -> None:
    add = functools.partial(_video, kind="geometry", film=functools.partial(_moving, 12), count=12)
    for degrees, suffix in ((90, "mp4"), (90, "mkv"), (-90, "mov"), (180, "mp4")):
        add(f"rotation-{degrees % 360}-{suffix}", f"clip.{suffix}", rotation=degrees)
    add("sar-mp4", "clip.mp4", sar=Fraction(4, 3))
    add("sar-mkv", "clip.mkv", sar=Fraction(64, 45))

    def sized(name: str, file: str, size: tuple[int, int], **settings) -> None:
        add(name, file, film=functools.partial(_moving, 12, size), size=size, **settings)

    sized("odd-444", "clip.mp4", (95, 127), pix_fmt="yuv444p")
    sized("odd-420-ffv1", "clip.mkv", (95, 127), codec="ffv1")
    sized("odd-420-vp9", "clip.webm", (31, 17), codec="libvpx-vp9", tags=Tags(range=1))
    sized("odd-gif", "clip.gif", (31, 17), codec="gif", pix_fmt="pal8", decoded_as="bgra")
    sized("odd-gbrp", "clip.mkv", (31, 17), codec="ffv1", pix_fmt="gbrp10le", tags=clips.RGB)
    sized("two-by-two", "clip.mkv", (2, 2), codec="ffv1", motion=None)
    sized("one-by-one", "clip.mkv", (1, 1), codec="ffv1", pix_fmt="yuv444p", motion=None)
    _video("wide", "clip.mkv", "geometry", functools.partial(_moving, 2, (16, 8192)), 2, size=(16, 8192), codec="ffv1")


def _times() -> None:
    add = functools.partial(_video, kind="time", film=_moving, count=24)
    b_frames = {"preset": "veryfast", "bf": "2"}
    frame, tick = Fraction(1, 25), range(50, 74)
    add("b-frames-mp4", "clip.mp4", options=b_frames)
    add("b-frames-ts", "clip.ts", options=b_frames, shift=Fraction(2, 25))
    # AVI has decoding stamps only.
    add("b-frames-avi", "clip.avi", options=b_frames, slack=Fraction(1))
    add("negative-offsets-mp4", "clip.mp4", options=b_frames, container_options={"movflags": "negative_cts_offsets"})
    fragmented = {"container_options": {"movflags": "frag_keyframe+empty_moov"}}
    add("fragmented-mp4", "clip.mp4", options=b_frames, shift=Fraction(2, 25), **fragmented)
    add("faststart-mp4", "clip.mp4", container_options={"movflags": "faststart"})
    add("no-duration-mkv", "clip.mkv", container_options={"live": "1"})
    later = {"stamps": tick, "time_base": frame, "rate": Fraction(25)}
    both = (_sound(start=Fraction(2)),)
    precise = {"container_options": {"movie_timescale": "48000"}}
    add("late-start-mp4", "clip.mp4", sounds=both, **later, **precise)
    add("late-start-mkv", "clip.mkv", sounds=both, **later)
    add("late-start-ts", "clip.ts", **later)
    early = {"stamps": range(-3, 21), "time_base": frame, "rate": Fraction(25)}
    add("negative-start-ts", "clip.ts", container_options={"avoid_negative_ts": "disabled"}, **early)
    # 33-bit stamps run over after 26.5 hours; FFmpeg unwraps them downwards, to negative times.
    wrap = {"output_ts_offset": "95443"}
    add("wrap-around-ts", "clip.ts", rate=30, container_options=wrap, shift=95443 - Fraction(2**33, 90000))
    # An edit list begins playing at the fourth of 24 coded frames: 21 are shown, from time 0.
    _video("edit-list-mp4", "clip.mp4", "time", lambda: clips.at_times(range(-3, 21), SIZE), 21,
           stamps=range(-3, 21), time_base=frame, rate=Fraction(25), end=Fraction(21, 25))  # fmt: skip
    FILES["edit-list-mp4"] = replace(
        FILES["edit-list-mp4"], stamps=tuple(Fraction(i, 25) for i in range(21)), film=_moving21
    )
    add("raw-h264", "clip.h264", slack=Fraction(1))
    FILES["raw-h264"] = replace(FILES["raw-h264"], stamps=None)
    FILES["b-frames-avi"] = replace(FILES["b-frames-avi"], stamps=None)
    for count, word in ((1, "one"), (2, "two")):
        for suffix in ("mp4", "mkv"):
            _video(f"{word}-frame-{suffix}", f"clip.{suffix}", "time", functools.partial(_moving, count), count)
    _video("one-frame-gif", "clip.gif", "time", functools.partial(_moving, 1), 1, codec="gif", pix_fmt="pal8",
           decoded_as="bgra")  # fmt: skip


def _moving21() -> Film:
    return clips.at_times(range(21), SIZE)


def _contents() -> None:
    def add(name: str, film: Callable[[], Film], **facts) -> None:
        _video(name, "clip.mp4", "content", film, 24, **facts)

    add("still", functools.partial(clips.still, 24, SIZE), motion=(0.0, 0.0), repeats=tuple(range(1, 24)))
    add("cuts", functools.partial(clips.cut, 24, (7, 12, 20), SIZE), cuts=(7, 12, 20))
    add("on-twos", functools.partial(clips.held, 24, 2, SIZE), motion=None, repeats=tuple(range(1, 24, 2)))
    add("on-threes", functools.partial(clips.held, 24, 3, SIZE), motion=None,
        repeats=tuple(i for i in range(24) if i % 3))  # fmt: skip
    add("letterbox", lambda: clips.framed(_moving()))
    add("flash", functools.partial(clips.flash, 24, (12,), SIZE), flashes=(12,))
    add("fade", functools.partial(clips.fade, 24, SIZE))
    add("ramp", functools.partial(clips.ramp, 24, SIZE), motion=(0.0, 0.0), repeats=tuple(range(1, 24)))
    add("fast-pan", functools.partial(clips.moving, 24, SIZE, scene=clips.Scene(velocity=(14.0, 0.0))),
        motion=(14.0, 0.0))  # fmt: skip
    add("cut-every-frame", functools.partial(clips.cut, 24, tuple(range(1, 24)), SIZE), motion=None,
        cuts=tuple(range(1, 24)))  # fmt: skip
    noise = functools.partial(_noise, 24)
    add("noise", noise, motion=None)
    woven = {"kind": "content", "count": 24, "motion": None}
    _video("interlaced-tff", "clip.mp4", film=lambda: clips.weave(_moving(48)), interlaced="tff",
           options={"x264-params": "tff=1"}, **woven)  # fmt: skip
    _video("interlaced-bff", "clip.mkv", film=lambda: clips.weave(_moving(48), top_first=False), interlaced="bff",
           options={"x264-params": "bff=1"}, **woven)  # fmt: skip


def _noise(count: int) -> Film:
    return np.random.default_rng(0).uniform(size=(count, *SIZE, 3)).astype(np.float32)


def _sounds() -> None:
    add = functools.partial(_video, kind="audio", film=_moving, count=24)
    half, second = Fraction(1, 2), Fraction(1)
    two = (_sound("aac", language="eng", title="Main"), _sound("aac", channels=2, layout="stereo", language="deu"))
    precise = {"container_options": {"movie_timescale": "48000"}}
    add("two-tracks-mp4", "clip.mp4", sounds=two)
    add("two-tracks-mkv", "clip.mkv", sounds=(two[0], _sound("flac", channels=2, layout="stereo", language="deu")))
    add("audio-late-mp4", "clip.mp4", sounds=(_sound("aac", half, start=half),), **precise)
    add("audio-late-mkv", "clip.mkv", sounds=(_sound("flac", half, start=half),))
    add("audio-longer", "clip.mp4", sounds=(_sound("aac", 2 * second),))
    add("audio-shorter", "clip.mp4", sounds=(_sound("aac", half),))
    add("pcm-mkv", "clip.mkv", sounds=(_sound("pcm_s16le"),))
    add("pcm24-mov", "clip.mov", sounds=(_sound("pcm_s24le", channels=2, layout="stereo"),))
    add("flac-mkv", "clip.mkv", sounds=(_sound("flac"),))
    add("flac-mp4", "clip.mp4", sounds=(_sound("flac"),))
    add("opus-webm", "clip.webm", codec="libvpx-vp9", tags=Tags(range=1),
        sounds=(_sound("libopus"),))  # fmt: skip
    add("opus-mp4", "clip.mp4", sounds=(_sound("libopus"),))
    add("mp3-mkv", "clip.mkv", sounds=(_sound("libmp3lame"),))
    add("surround-mp4", "clip.mp4", sounds=(_sound("aac", channels=6, layout="5.1"),))
    add("surround-mkv", "clip.mkv", sounds=(_sound("ac3", channels=6, layout="5.1"),))
    add("audio-44100", "clip.mp4", sounds=(Sound(clips.clicks(1, rate=44100), rate=44100),))

    def flashing() -> Film:
        return clips.flash(60, FLASHES, SIZE)

    for suffix, video, sound in (
        ("mp4", "libx264", "aac"), ("mp4", "libx264", "flac"), ("mp4", "libx264", "libopus"),
        ("mkv", "libx264", "aac"), ("mkv", "libx264", "flac"), ("mkv", "libx264", "pcm_s16le"),
        ("mkv", "libx264", "libopus"), ("mov", "libx264", "aac"), ("mov", "libx264", "pcm_s16le"),
        ("webm", "libvpx-vp9", "libopus"), ("ts", "libx264", "aac"), ("avi", "mpeg4", "pcm_s16le"),
    ):  # fmt: skip
        sounds = (Sound(clips.clicks(Fraction(5, 2), [Fraction(i, 25) for i in FLASHES]), codec=sound),)
        label = sound.removeprefix("lib").split("_")[0]
        more = {"tags": Tags(range=1)} if suffix == "webm" else {}
        moved = Fraction(1024, 48000) if suffix == "ts" else Fraction(0)
        _video(f"sync-{label}-{suffix}", f"clip.{suffix}", "sync", flashing, 60, codec=video, sounds=sounds,
               shift=moved, flashes=FLASHES, sync=True, **more)  # fmt: skip
    late = Sound(clips.clicks(2, [Fraction(i, 25) - Fraction(3, 10) for i in FLASHES]), start=Fraction(3, 10))
    _video("sync-late-mp4", "clip.mp4", "sync", flashing, 60, sounds=(late,), flashes=FLASHES, sync=True, **precise)


_LINES = (
    (Fraction(1, 5), Fraction(1, 2), "First line"),
    (Fraction(3, 5), Fraction(9, 10), "Zweite Zeile: äöü 日本語"),
)
_CHAPTERS = ((Fraction(0), Fraction(1, 2), "Opening"), (Fraction(1, 2), Fraction(24, 25), "End"))


def _streams() -> None:
    add = functools.partial(_video, kind="streams", film=_moving, count=24)
    about = {"title": "Corpus film", "comment": "made by a script"}
    both = (Subtitles(_LINES, "subrip", "eng"), Subtitles(_LINES, "ass", "deu"))
    font = (("Corpus Sans.ttf", "application/x-truetype-font", bytes(range(256)) * 4),)
    add("streams-mkv", "clip.mkv", sounds=(_sound("aac", language="eng"), _sound("flac", language="deu")),
        extras=Extras(both, font, _CHAPTERS, about))  # fmt: skip
    # FFmpeg writes the chapters of mp4 twice, once as a text track: one data stream.
    add("streams-mp4", "clip.mp4", sounds=(_sound("aac", language="eng"),), data_streams=1,
        extras=Extras((Subtitles(_LINES, "mov_text", "eng"),), (), _CHAPTERS, about))  # fmt: skip
    add("streams-webm", "clip.webm", codec="libvpx-vp9", tags=Tags(range=1),
        extras=Extras((Subtitles(_LINES, "webvtt", "eng"),), (), (), about))  # fmt: skip
    add("timecode-mov", "clip.mov", extras=Extras(video_metadata={"timecode": "01:00:00:00"}), data_streams=1)
    add("cover-mp4", "clip.mp4", sounds=(_sound(),), extras=Extras(cover=clips.Scene(5).draw(0, (48, 48))))
    picture = (("cover.png", "image/png", clips.image_bytes(clips.Scene(5).draw(0, (48, 48)))),)
    add("cover-mkv", "clip.mkv", extras=Extras(attachments=picture), attachments=0, cover=True)


def _images() -> None:
    def add(name: str, file: str, count: int, write: Callable[[Path], object], **facts) -> None:
        rate = facts.pop("rate", Fraction(25))
        stamps = tuple(index / rate for index in range(count))
        _add(CorpusFile(name, file, "images", frames=count, stamps=stamps, end=count / rate, rate=rate,
                        write=write, **facts))  # fmt: skip

    film = functools.partial(_moving, 12)

    def folder(name: str, pix_fmt: str, codec: str = "png", pictures: Callable[[], Film] = film, **facts) -> None:
        pattern = facts.pop("pattern", "{:04d}.png")
        first = facts.pop("first", 1)
        count = facts.pop("count", 12)

        def write(path: Path) -> object:
            return clips.write_images(path, pictures(), codec=codec, pix_fmt=pix_fmt, pattern=pattern, first=first)

        add(name, "frames", count, write, codec=codec, pix_fmt=pix_fmt, film=pictures, lossless=codec == "png", **facts)

    rgb = Tags(range=2, matrix=0)
    folder("png-8", "rgb24", tags=rgb)
    folder("png-16", "rgb48be", tags=rgb)
    folder("png-rgba", "rgba", pictures=_alpha, has_alpha=True, tags=rgb)
    folder("png-gray", "gray", tags=rgb)
    folder("png-unpadded", "rgb24", pattern="shot {}.png", first=95, tags=rgb)  # 95 ... 106: sorts as numbers only
    folder("png-odd", "rgb24", pictures=functools.partial(_moving, 3, (95, 127)), size=(95, 127), count=3, tags=rgb)
    folder("png-single", "rgb24", pictures=functools.partial(_moving, 1), count=1, tags=rgb)
    folder("jpg", "yuvj420p", "mjpeg", pattern="img_{:03d}.jpg", tags=Tags(2, 5, 2, 2, 2))
    folder("tiff-16", "rgb48le", "tiff", pattern="{:04d}.tif")
    for rate, word in ((Fraction(25), "25"), (NTSC_FILM, "23976")):
        add(f"y4m-{word}", "clip.y4m", 12, functools.partial(_write_y4m, rate=rate), rate=rate, codec="rawvideo",
            pix_fmt="yuv420p", film=film, lossless=True, tags=Tags(chroma_location=1), sar=Fraction(1))  # fmt: skip


def _write_y4m(path: Path, rate: Fraction) -> None:
    clips.write_y4m(path, _moving(12), rate, tags=clips.BT601)


def _names() -> None:
    for number, file in enumerate(
        (
            "two words & 'quotes\" $HOME.mp4", "ünïcödé 日本語 🎬.mkv", "100% %d %04d done.mp4", "-rf.mp4",
            "file:odd.mp4", "line\nbreak.mp4", "שלום عالم.mkv", "no-suffix", "many.dots.v1.2.mp4", "[a-z]*?{x,y}.mp4",
            "x" * 251 + ".mp4",
        ),
        1,
    ):  # fmt: skip
        container = {"container": "matroska", "slack": Fraction(1, 1000)} if file == "no-suffix" else {}
        _video(f"name-{number}", file, "name", functools.partial(_moving, 12), 12, **container)
    _video("wrong-extension", "really-mp4.avi", "name", functools.partial(_moving, 12), 12, container="mp4")


def _sound_only() -> None:
    for name, codec in (("m4a", "aac"), ("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("flac", "flac")):
        sounds = (_sound(codec),)
        extras = Extras(cover=clips.Scene(5).draw(0, (48, 48))) if name == "mp3" else None
        _add(
            CorpusFile(
                f"sound-only-{name}", f"sound.{name}", "sound only", "no video", cover=extras is not None,
                audio=(Track(_READS_AS.get(codec, codec)),),
                write=functools.partial(clips.write_clip, film=None, sounds=sounds, extras=extras),
            )
        )  # fmt: skip


_DAMAGED_FRAMES, _DAMAGED_SIZE = 60, (96, 160)


@functools.cache
def _whole(suffix: str, faststart: bool = True) -> bytes:
    """A healthy file of 60 frames, to be damaged; key frames every 12."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"whole.{suffix}"
        options = {"movflags": "faststart"} if suffix == "mp4" and faststart else {}
        clips.write_clip(path, clips.moving(_DAMAGED_FRAMES, _DAMAGED_SIZE), 30, container_options=options,
                         options={"g": "12"}, sounds=(_sound("aac", Fraction(2)),))  # fmt: skip
        return path.read_bytes()


def _cut_off(path: Path, *, keep: Callable[[int], int], suffix: str = "mp4", faststart: bool = True) -> None:
    data = _whole(suffix, faststart)
    path.write_bytes(data[: keep(len(data))])


def _flip(path: Path) -> None:
    data = bytearray(_whole("mp4"))
    for place in np.random.default_rng(1).integers(len(data) // 2, len(data) - 100, 40):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))


def _zero(path: Path) -> None:
    data = bytearray(_whole("mp4"))
    middle = int(0.55 * len(data))
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(bytes(data))


def _damaged() -> None:
    def add(name: str, file: str, outcome: Outcome, write: Callable[[Path], object], **facts) -> None:
        if outcome == "damaged":
            stamps = tuple(Fraction(i, 30) for i in range(_DAMAGED_FRAMES))
            facts |= {"frames": _DAMAGED_FRAMES, "size": _DAMAGED_SIZE, "rate": Fraction(30), "stamps": stamps,
                      "end": Fraction(2), "codec": "h264", "pix_fmt": "yuv420p"}  # fmt: skip
            facts["film"] = functools.partial(clips.moving, _DAMAGED_FRAMES, _DAMAGED_SIZE)
        _add(CorpusFile(name, file, "damaged", outcome, write=write, **facts))

    cut = functools.partial
    add("truncated-406", "clip.mp4", "unreadable", cut(_cut_off, keep=lambda size: 406))
    add("truncated-2k", "clip.mp4", "damaged", cut(_cut_off, keep=lambda size: _header_end() + 20))
    add("truncated-25", "clip.mp4", "damaged", cut(_cut_off, keep=lambda size: size // 4))
    add("truncated-50", "clip.mp4", "damaged", cut(_cut_off, keep=lambda size: size // 2))
    add("truncated-tail", "clip.mp4", "damaged", cut(_cut_off, keep=lambda size: size - 2000))
    add("truncated-no-index", "clip.mp4", "unreadable",
        cut(_cut_off, keep=lambda size: size // 2, faststart=False))  # fmt: skip
    add("truncated-mkv", "clip.mkv", "damaged", cut(_cut_off, keep=lambda size: size // 2, suffix="mkv"))
    add("flipped-bytes", "clip.mp4", "damaged", _flip)
    add("zeroed-3k", "clip.mp4", "damaged", _zero)
    add("empty", "clip.mp4", "unreadable", lambda path: path.write_bytes(b""))
    add("random", "clip.mkv", "unreadable", lambda path: path.write_bytes(np.random.default_rng(2).bytes(20000)))
    add("html", "clip.mp4", "unreadable",
        lambda path: path.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>\n"))  # fmt: skip
    add("text-as-mkv", "notes.mkv", "unreadable", lambda path: path.write_text("just some notes\n" * 50))
    add("playlist", "list.m3u8", "unreadable",
        lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"))  # fmt: skip
    add("empty-folder", "frames", "unreadable", lambda path: path.mkdir())


def _header_end() -> int:
    """Where the index of the healthy mp4 ends and the pictures begin."""
    return _whole("mp4").index(b"mdat") + 4


for _fill in (
    _rates, _variable, _formats, _colours, _geometry, _times, _contents, _sounds, _streams, _images, _names,
    _sound_only, _damaged,
):  # fmt: skip
    _fill()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--list", action="store_true", help="only say what would be made")
    parser.add_argument("--only", default="", help="only files whose name holds this word")
    options = parser.parse_args()
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its banner on stderr otherwise
    begin = time.perf_counter()
    chosen = [file for file in FILES.values() if options.only in file.name]
    for file in chosen:
        facts = f"{file.frames} frames {file.size[1]}x{file.size[0]} {file.codec} {file.pix_fmt}" if file.frames else ""
        print(f"{file.name:24} {file.kind:10} {file.outcome:10} {file.file!a:34.34} {facts}")
        if not options.list:
            file.make(options.outdir)
    print(f"{len(chosen)} files, {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
