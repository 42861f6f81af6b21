"""Encoders: which one is chosen, and that a segment is whole, exact in time and the same every time."""

from fractions import Fraction

import av
import clips
import numpy as np
import pytest

from midframe.errors import OutputError, UsageError
from midframe.video.colour import Colour
from midframe.video.probe import VideoInfo
from midframe.video.writer import (
    CODECS,
    JOINED_BY_DECODING,
    PRESETS,
    SegmentWriter,
    choose_encoder,
    container_of,
    lossless_settings,
)

SIZE = (72, 96)
TICK = Fraction(1001, 60000)


def source(pix_fmt="yuv420p", **facts) -> VideoInfo:
    format = av.VideoFormat(pix_fmt)
    alpha = any(part.is_alpha for part in format.components)
    return VideoInfo(
        "source", "mp4", "h264", SIZE[1], SIZE[0], pix_fmt, format.components[0].bits, alpha, **facts
    )  # fmt: skip


def choose(kept="yuv420p", container="mp4", *, facts=None, notes=None, **options):
    said = notes if notes is not None else []
    return choose_encoder(
        source(kept, **(facts or {})), container=container, time_base=TICK, rate=1 / TICK, notes=said.append, **options
    )


def write(path, settings, stamps=range(6), tags=clips.BT709):
    writer = SegmentWriter(path, settings)
    for tick, image in zip(stamps, clips.moving(len(stamps), SIZE), strict=True):
        writer.write(clips.picture(image, settings.pix_fmt, tags), tick, 1)
    writer.close()


def samples(frame):
    """The bytes of all planes without the padding of their lines."""
    wide = frame.format.components[0].bits > 8
    rows = [np.frombuffer(plane, np.uint8).reshape(plane.height, -1) for plane in frame.planes]
    return [row[:, : plane.width << wide].tobytes() for row, plane in zip(rows, frame.planes, strict=True)]


def packets(path):
    with av.open(str(path)) as file:
        base = file.streams.video[0].time_base
        return [(packet.pts * base, packet.is_keyframe) for packet in file.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    ("pix_fmt", "container", "codec", "working"),
    [
        ("yuv420p", "mp4", "h264", "yuv420p"),
        ("nv12", "mp4", "h264", "yuv420p"),
        ("yuv422p", "matroska", "h264", "yuv422p"),
        ("yuv420p10le", "mp4", "hevc", "yuv420p10le"),
        ("yuv444p12le", "matroska", "hevc", "yuv444p12le"),
        ("yuv420p", "webm", "vp9", "yuv420p"),
        ("yuv420p10le", "webm", "av1", "yuv420p10le"),
        ("yuva420p", "webm", "vp9", "yuva420p"),
        ("yuva420p", "mov", "prores", "yuva444p10le"),
        ("rgba", "matroska", "ffv1", "gbrap"),
        ("rgb48be", "matroska", "ffv1", "gbrp16le"),
        ("pal8", "gif", "gif", "gbrap"),
        ("rgb24", "images", "png", "gbrp"),
    ],
)
def test_the_default_encoder_keeps_the_format(pix_fmt, container, codec, working):
    settings = choose(pix_fmt, container)
    assert (settings.codec, settings.pix_fmt) == (codec, working)


@pytest.mark.parametrize(
    ("pix_fmt", "container", "codec", "working"),
    [
        ("rgb24", "mp4", "h264", "yuv420p"),
        ("rgb48be", "mp4", "hevc", "yuv420p10le"),
        ("rgb48be", "webm", "av1", "yuv420p10le"),
        ("pal8", "mp4", "h264", "yuv420p"),
        ("rgba", "webm", "vp9", "yuva420p"),
        ("rgb24", "yuv4mpegpipe", "rawvideo", "yuv444p"),
        ("yuva444p16le", "mp4", "hevc", "yuv444p10le"),
        ("yuva444p16le", "mov", "prores", "yuva444p10le"),
    ],
)
def test_what_a_codec_for_viewing_cannot_show_becomes_what_it_can_and_is_told(pix_fmt, container, codec, working):
    notes: list[str] = []
    settings = choose(pix_fmt, container, notes=notes)
    assert (settings.codec, settings.pix_fmt) == (codec, working)
    assert notes


def test_rgb_stays_rgb_where_it_is_asked_for():
    assert choose("rgb24", "mp4", pix_fmt="gbrp").pix_fmt == "gbrp"


def test_hdr_gets_hevc_at_any_depth():
    assert choose(facts={"colour": Colour(1, 9, 9, 16, 3)}).codec == "hevc"


def test_a_larger_format_is_taken_and_told():
    notes: list[str] = []
    assert choose("yuv440p", "mov", codec="h264", notes=notes).pix_fmt == "yuv444p"
    assert len(notes) == 1


def test_transparency_that_cannot_be_kept_is_told():
    notes: list[str] = []
    assert choose("yuva420p", "mp4", codec="h264", notes=notes).pix_fmt == "yuv420p"
    assert "transparency" in notes[0]


@pytest.mark.parametrize(
    ("container", "options", "words"),
    [
        ("webm", {"codec": "h264"}, ("vp9", "av1")),
        ("mp4", {"codec": "prores"}, ("h264", "mov")),
        ("mp4", {"codec": "divx"}, ("h264", "hevc")),
        ("mp4", {"codec": "h264", "pix_fmt": "yuv420p16le"}, ("yuv420p10le",)),
        ("matroska", {"codec": "ffv1", "crf": 5}, ("crf", "h264")),
        ("mp4", {"crf": 99.0}, ("51",)),
        ("mp4", {"preset": "slowest"}, ("veryslow",)),
        ("mp4", {"pix_fmt": "yuv999p"}, ("yuv999p",)),
        ("yuv4mpegpipe", {"pix_fmt": "gbrp"}, ("yuv444p",)),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line_with_the_choices(container, options, words):
    with pytest.raises(UsageError) as caught:
        choose(container=container, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words)


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match=r"\.mp4 .*\.mkv"):
        container_of(tmp_path / "film.avi")
    assert container_of(tmp_path / "Film.MKV") == "matroska"
    assert container_of(tmp_path / "frames") == "images"


CASES = [(c, n) for c, names in CODECS.items() if c in ("mp4", "matroska") for n in names]


@pytest.mark.parametrize(("container", "codec"), CASES)
def test_a_segment_begins_with_a_keyframe_and_has_every_stamp_exact(tmp_path, container, codec):
    preset = PRESETS[codec][0 if codec in ("h264", "hevc") else -1] if codec in PRESETS else None
    settings = choose(container=container, codec=codec, preset=preset)
    stamps = [3, 4, 6, 7, 11, 12]
    write(tmp_path / "a.nut", settings, stamps)
    found = packets(tmp_path / "a.nut")
    assert found[0][1]
    assert sorted(time for time, _ in found) == [tick * TICK for tick in stamps]
    write(tmp_path / "b.nut", settings, stamps)
    assert (tmp_path / "a.nut").read_bytes() == (tmp_path / "b.nut").read_bytes()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_the_type_of_a_source_picture_is_no_order_to_the_encoder(tmp_path, codec):
    settings = choose(codec=codec, preset="ultrafast")
    writer = SegmentWriter(tmp_path / "a.nut", settings)
    for tick, image in enumerate(clips.moving(6, SIZE)):
        picture = clips.picture(image, "yuv420p")
        picture.pict_type = av.video.frame.PictureType.I
        writer.write(picture, tick, 1)
    writer.close()
    assert [key for _, key in packets(tmp_path / "a.nut")].count(True) == 1


@pytest.mark.parametrize(
    "pix_fmt",
    ["yuv420p", "yuv422p10le", "yuv444p16le", "yuva444p10le", "gbrp", "gbrap", "gbrap16le", "gray", "gray16le"],
)
def test_lossless_settings_keep_every_bit(tmp_path, pix_fmt):
    settings = lossless_settings(source(pix_fmt), time_base=TICK, rate=1 / TICK)
    assert settings.pix_fmt == pix_fmt
    write(tmp_path / "a.nut", settings)
    with av.open(str(tmp_path / "a.nut")) as file:
        for image, frame in zip(clips.moving(6, SIZE), file.decode(video=0), strict=True):
            there = frame if frame.format.name == pix_fmt else frame.reformat(format=pix_fmt)
            wanted = clips.picture(image, pix_fmt, clips.BT709)
            assert samples(there) == samples(wanted)


def test_an_output_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="no such folder"):
        SegmentWriter(tmp_path / "missing" / "a.nut", choose())


def test_every_container_names_codecs_that_exist():
    for names in CODECS.values():
        for codec in names:
            assert codec in JOINED_BY_DECODING or codec in ("h264", "hevc", "av1", "vp9", "ffv1", "prores")
