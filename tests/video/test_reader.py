"""Frames by index: all of them, in order, the same pixels wherever reading begins; pipes; what is broken says so."""

import os
import threading
from fractions import Fraction

import av
import clips
import numpy as np
import pytest
from corpus import FILES, names
from decoded import planes, same

from midframe.errors import DamagedError, InputError
from midframe.video.colour import Colour
from midframe.video.pixel import to_rgb, working_format
from midframe.video.probe import probe, scan
from midframe.video.reader import PipeReader, Reader, deinterlaced

BT709 = Colour(1, 1, 1, 1, 1)
DAMAGED = [name for name in names("damaged", outcome="damaged") if name != "truncated-2k"]


def open_film(path, *, rate=None, **options):
    info = probe(path)
    timeline = scan(info, rate=rate, decode=options.get("allow_damaged", False))
    return Reader(info, timeline, **options), timeline


def read(path, **options):
    reader, timeline = open_film(path, **options)
    with reader:
        frames = list(reader.frames())
    assert [frame.index for frame in frames] == list(range(len(timeline)))
    return [planes(frame.picture) for frame in frames]


def starts(count):
    return sorted({1, count // 2, count - 1} & set(range(count)))


@pytest.mark.parametrize("name", names())
def test_every_frame_comes_in_order_and_the_same_from_any_start(corpus, name):
    file = corpus[name]
    info = probe(file.path)
    timeline = scan(info)
    with Reader(info, timeline) as reader:
        whole = list(reader.frames())
    assert [frame.index for frame in whole] == list(range(file.frames))
    for start in starts(file.frames):
        with Reader(info, timeline) as reader:  # a fresh one, as another worker has
            part = list(reader.frames(start, start + 3))
        assert [frame.index for frame in part] == list(range(start, min(start + 3, file.frames)))
        for frame in part:
            assert same(planes(frame.picture), planes(whole[frame.index].picture)), (start, frame.index)


@pytest.mark.parametrize("name", [name for name in names() if FILES[name].lossless])
def test_lossless_frames_are_the_film_itself(corpus, name):
    file = corpus[name]
    if file.pix_fmt in ("rgb24", "rgba", "rgb48be", "bgr0", "bgra", "rgb48le"):
        return  # packed: decoded.planes cannot take them apart; test_corpus compares their bytes
    tags = clips.BT601 if file.codec == "rawvideo" else file.tags
    for found, image in zip(read(file.path), file.film(), strict=True):
        assert same(found, planes(clips.picture(image, file.pix_fmt, tags)))


@pytest.mark.parametrize("name", names("colour") + names("format"))
def test_the_working_format_holds_the_very_samples(corpus, name):
    file = corpus[name]
    kept = read(file.path, pix_fmt=working_format(file.pix_fmt))
    plain = av.VideoFormat(file.pix_fmt)
    if plain.is_planar and working_format(file.pix_fmt) == file.pix_fmt.replace("yuvj", "yuv"):
        for one, other in zip(kept, read(file.path), strict=True):
            assert same(one, other)


X264 = {"preset": "veryfast", "g": "8", "bf": "3"}
X265 = "keyint=8:min-keyint=8:bframes=3:open-gop=1:log-level=none"
UNEVEN = np.cumsum([0] + [(33, 41, 17, 100, 60)[i % 5] for i in range(39)]).tolist()
VFR = {"stamps": UNEVEN, "time_base": Fraction(1, 1000)}
SEEKABLE = {
    "gop.mp4": {"options": X264},
    "gop.mkv": {"options": X264},
    "gop.ts": {"options": X264},
    "open.mp4": {"options": X264 | {"x264-params": "open-gop=1"}},
    "open.ts": {"options": X264 | {"x264-params": "open-gop=1"}},
    "refresh.mkv": {"options": {"preset": "veryfast", "x264-params": "intra-refresh=1:keyint=10"}},
    "hevc.mp4": {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": X265}},
    "hevc.mkv": {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": X265}},
    "vfr.mp4": {"options": X264, **VFR},
    "vfr.mkv": {"options": X264, **VFR},
    "hidden.webm": {"codec": "libvpx-vp9", "options": {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "16"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"g": "8", "bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"g": "8", "bf": "2"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "8", "bf": "2"}},
    "fragments.mp4": {"options": X264, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "raw.h264": {"options": X264},
}


@pytest.mark.parametrize("name", SEEKABLE)
def test_seeking_between_key_frames_changes_no_pixel(tmp_path, name):
    path = clips.write_clip(tmp_path / name, clips.moving(40, (32, 48)), **SEEKABLE[name])
    whole = read(path)
    assert len(whole) == 40
    reader, _ = open_film(path)
    with reader:  # one reader, asked for one part after another
        for start in (39, 0, 7, 8, 9, 15, 16, 17, 23, 24, 31, 32, 33, 1):
            part = list(reader.frames(start, start + 2))
            assert [frame.index for frame in part] == list(range(start, min(start + 2, 40)))
            for frame in part:
                assert same(planes(frame.picture), whole[frame.index]), (start, frame.index)


def test_a_part_may_be_empty_and_may_end_early(corpus):
    reader, _ = open_film(corpus["cfr-25-mp4"].path)
    with reader:
        assert list(reader.frames(24)) == []
        assert list(reader.frames(5, 5)) == []
        assert list(reader.frames(-1)) == []
        assert [frame.index for frame in reader.frames(20, 100)] == [20, 21, 22, 23]
        half = reader.frames(3)
        assert next(half).index == 3
        half.close()
        assert next(iter(reader.frames(2))).index == 2


def test_threads_do_not_matter(corpus):
    path = corpus["b-frames-mp4"].path
    for one, other in zip(read(path, threads=1), read(path, threads=3), strict=True):
        assert same(one, other)


# ---- conversion to the working format ----------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["yuv444p", "yuv420p", "yuv444p10le"])
def test_images_become_ycbcr_of_the_colour_that_the_output_has(tmp_path, target):
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    image = np.stack([np.broadcast_to(line, (16, 64)) for line in (ramp, 1 - ramp, ramp**2)], -1)
    clips.write_images(tmp_path, image[None])
    rounded = np.rint(image * 255) / 255
    truth = planes(clips.picture(rounded, target, clips.BT709))
    for found, expected in zip(read(tmp_path, pix_fmt=target, colour=BT709)[0], truth, strict=True):
        assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", ["colour-601", "colour-709", "colour-709-full", "colour-untagged", "colour-709-centre",
                                  "colour-709-topleft", "colour-2020"])  # fmt: skip
def test_a_film_becomes_rgb_by_its_own_colour(corpus, name):
    info = probe(corpus[name].path)
    rgb = Colour(2, 0, info.colour.primaries, info.colour.transfer)
    for options in ({"colour": rgb}, {}):
        with Reader(info, scan(info), pix_fmt="gbrp", **options) as reader:
            made = next(iter(reader.frames(3))).picture
        with Reader(info, scan(info), pix_fmt=working_format(info.pix_fmt)) as reader:
            source = next(iter(reader.frames(3))).picture
        expected = to_rgb(source, info.colour).clip(0, 1) * 255
        assert (to_rgb(made, rgb) * 255 - expected).abs().max() <= 0.51
        assert (made.colorspace, made.color_range) == (0, 2)


def test_full_range_stays_full_range(corpus):
    info = probe(corpus["colour-709-full"].path)
    assert info.pix_fmt == "yuvj420p"
    with Reader(info, scan(info), pix_fmt="yuv420p", colour=info.colour) as reader:
        made = next(iter(reader.frames())).picture
    with Reader(info, scan(info)) as reader:
        source = next(iter(reader.frames())).picture
    assert same(planes(made), planes(source))
    assert made.color_range == 2


def test_images_of_several_formats_come_in_one(tmp_path):
    film = clips.moving(2, (8, 12))
    clips.write_images(tmp_path, film[:1], pix_fmt="rgb24", first=1)
    clips.write_images(tmp_path, film[1:], pix_fmt="rgba", first=2)
    info = probe(tmp_path)
    with Reader(info, scan(info), pix_fmt=working_format(info.pix_fmt)) as reader:
        frames = [frame.picture for frame in reader.frames()]
    assert {frame.format.name for frame in frames} == {"gbrap"}
    for frame, image in zip(frames, film, strict=True):
        rgb = to_rgb(frame, Colour(2, 0))
        np.testing.assert_allclose(rgb[:3].permute(1, 2, 0), image, atol=0.51 / 255)
        assert (rgb[3] == 1).all()


# ---- interlaced --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["interlaced-tff", "interlaced-bff"])
def test_an_interlaced_frame_becomes_one_moment(corpus, name):
    file = corpus[name]
    woven, straight = read(file.path, deinterlace=False), read(file.path)
    assert len(woven) == len(straight) == file.frames

    def combing(frame):  # how much neighbouring lines differ, against lines two apart
        y = frame[0].astype(float)
        return np.abs(y[1:] - y[:-1]).mean() / np.abs(y[2:] - y[:-2]).mean()

    for before, after in zip(woven[2:-2], straight[2:-2], strict=True):
        assert combing(after) < 0.9 * combing(before)


def test_progressive_pictures_pass_the_deinterlacer_unchanged():
    pictures = [clips.picture(image, "yuv420p", clips.BT709) for image in clips.moving(4, (16, 16))]
    for number, picture in enumerate(pictures):
        picture.pts, picture.time_base = number * 512, Fraction(1, 12800)
    found = list(deinterlaced(iter(enumerate(pictures))))
    assert [index for index, _ in found] == [0, 1, 2, 3]
    for (_, made), picture in zip(found, pictures, strict=True):
        assert same(planes(made), planes(picture))
        assert (made.pts, made.time_base, made.colorspace) == (picture.pts, picture.time_base, 1)


# ---- damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_or_read_as_far_as_it_goes(corpus, name):
    file = corpus[name]
    with pytest.raises(DamagedError, match=r"at 0:0\d\.\d{3}.*--allow-damaged") as caught:
        read(file.path)
    assert "\n" not in str(caught.value)
    first, again = (read(file.path, allow_damaged=True) for _ in range(2))
    assert 10 <= len(first) <= file.frames
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
    reader, timeline = open_film(file.path, allow_damaged=True)
    with reader:
        middle = len(timeline) // 2
        for frame in reader.frames(middle):
            assert same(planes(frame.picture), first[frame.index])


@pytest.mark.parametrize(("name", "keep"), [("cfr-25-gif", 0.6), ("vfr-gif", 0.97), ("y4m-25", 0.5), ("y4m-25", 0.99)])
def test_a_cut_off_gif_and_y4m_are_seen_to_be_cut_off(corpus, tmp_path, name, keep):
    file = corpus[name]
    path = tmp_path / file.file
    data = file.path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(DamagedError, match=r"breaks off at 0:0\d"):
        read(path)
    assert 0 < len(read(path, allow_damaged=True)) <= file.frames


def test_a_cut_off_mxf_is_seen_to_be_cut_off(tmp_path):
    path = clips.write_clip(tmp_path / "a.mxf", clips.moving(40, (32, 48)), codec="mpeg2video",
                            options={"g": "8", "bf": "2"})  # fmt: skip
    assert len(read(path)) == 40
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DamagedError, match=r"breaks off at 0:0\d"):
        read(path)


def test_a_cut_off_image_in_a_folder_is_named(tmp_path):
    clips.write_images(tmp_path, clips.moving(3, (64, 64)), codec="mjpeg", pix_fmt="yuvj420p", pattern="{:04d}.jpg")
    half = tmp_path / "0002.jpg"
    half.write_bytes(half.read_bytes()[:-100])
    with pytest.raises(DamagedError, match=r"0002\.jpg: the image is cut off"):
        read(tmp_path)
    reader, _ = open_film(tmp_path, allow_damaged=True)
    with reader:
        assert len(list(reader.frames())) == 3


def test_an_image_that_vanishes_or_breaks_is_named(tmp_path):
    clips.write_images(tmp_path, clips.moving(3, (8, 12)))
    reader, _ = open_film(tmp_path)
    broken = tmp_path / "0002.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with reader, pytest.raises(DamagedError, match=r"0002\.png"):
        list(reader.frames())
    broken.unlink()
    with reader, pytest.raises(InputError, match=r"0002\.png: no such file"):
        list(reader.frames())


def test_a_picture_size_that_changes_is_refused_with_its_time(tmp_path):
    parts = [clips.write_clip(tmp_path / f"{size[0]}.h264", clips.moving(10, size)) for size in ((32, 48), (48, 64))]
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(InputError, match=r"changes from 48x32 to 64x48 at 0:00\.400"):
        read(both)


def test_streams_put_end_to_end_are_read_whole(tmp_path):
    one = clips.write_clip(tmp_path / "a.h264", clips.moving(10, (32, 48))).read_bytes()
    both = tmp_path / "both.h264"
    both.write_bytes(one + one)
    assert len(read(both)) == 20


def test_a_transport_stream_that_lost_packets_is_damaged(tmp_path):
    path = clips.write_clip(tmp_path / "a.ts", clips.moving(20, (32, 48)), codec="mpeg2video")
    data = path.read_bytes()
    middle = len(data) // 2 // 188 * 188
    path.write_bytes(data[:middle] + data[middle + 3 * 188 :])
    with pytest.raises(DamagedError, match=r"damaged at 0:00\.\d"):
        read(path)
    assert 15 <= len(read(path, allow_damaged=True)) <= 20


# ---- y4m on stdin ------------------------------------------------------------------------------------------------


@pytest.fixture
def stdin():
    """stdin(data): the bytes come through a pipe as standard input, a few at a time."""
    saved = os.dup(0)
    threads = []

    def feed(data):
        ours, theirs = os.pipe()
        os.dup2(ours, 0)
        os.close(ours)

        def pour():
            try:
                for place in range(0, len(data), 5000):
                    os.write(theirs, data[place : place + 5000])
            except BrokenPipeError:
                pass
            finally:
                os.close(theirs)

        threads.append(threading.Thread(target=pour))
        threads[-1].start()

    yield feed
    os.dup2(saved, 0)  # closes the reading end, which frees a writer that waits
    os.close(saved)
    for thread in threads:
        thread.join()


def y4m(header, frames, mark=b"FRAME\n"):
    return b"YUV4MPEG2 " + header.encode() + b"\n" + b"".join(mark + frame for frame in frames)


def test_a_pipe_gives_every_frame(corpus, stdin):
    file = corpus["y4m-23976"]
    stdin(file.path.read_bytes())
    with PipeReader() as reader:
        assert reader.rate == Fraction(24000, 1001)
        assert reader.info.is_pipe
        assert (reader.info.path, reader.info.pix_fmt) == ("stdin", "yuv420p")
        assert (reader.info.width, reader.info.height) == (96, 72)
        found = [planes(frame.picture) for frame in reader.frames()]
    assert all(same(one, other) for one, other in zip(found, read(file.path), strict=True))


@pytest.mark.parametrize(
    ("header", "facts"),
    [
        ("W16 H8 F30:1 Ip A1:1 C420mpeg2", {"pix_fmt": "yuv420p", "rate": 30, "location": 1}),
        ("W16 H8 F30000:1001 Ip C420jpeg", {"rate": Fraction(30000, 1001), "location": 2}),
        ("W16 H8 F25:1 Ip A64:45 C420", {"sar": Fraction(64, 45)}),
        ("W16 H8 F25:1 C420paldv XCOLORRANGE=FULL", {"location": 3, "range": 2}),
        ("W16 H8 F25:1 C420 XCOLORRANGE=LIMITED", {"range": 1}),
        ("W16 H8 F25:1 It A0:0 C422", {"pix_fmt": "yuv422p", "interlaced": "tff"}),
        ("W16 H8 F25:1 Ib C420", {"interlaced": "bff"}),
        ("W16 H8 F25:1 C444", {"pix_fmt": "yuv444p"}),
        ("W16 H8 F25:1 Cmono", {"pix_fmt": "gray"}),
        ("W16 H8 F25:1 C420p10 XYSCSS=420P10", {"pix_fmt": "yuv420p10le"}),
        ("W16 H8 F25:1 C422p12", {"pix_fmt": "yuv422p12le"}),
        ("W16 H8 F25:1 C444p16", {"pix_fmt": "yuv444p16le"}),
        ("W16 H8 F25:1 C444alpha", {"pix_fmt": "yuva444p"}),
        ("W15 H7 F25:1 C420", {"size": (7, 15)}),
        ("W16 H8", {"rate": 25}),
    ],
)  # fmt: skip
def test_the_header_of_y4m_says_what_comes(stdin, header, facts):
    pix_fmt = facts.get("pix_fmt", "yuv420p")
    height, width = facts.get("size", (8, 16))
    generator = np.random.default_rng(0)
    frames = []
    for _ in range(3):
        picture = av.VideoFrame(width, height, pix_fmt)
        parts = picture.format.components
        frames.append([generator.integers(0, 1 << part.bits, (picture.planes[i].height, picture.planes[i].width))
                       .astype("u1" if part.bits == 8 else "<u2") for i, part in enumerate(parts)])  # fmt: skip
    stdin(y4m(header, [b"".join(plane.tobytes() for plane in frame) for frame in frames]))
    with PipeReader(deinterlace=False) as reader:
        info, rate = reader.info, reader.rate
        found = [planes(frame.picture) for frame in reader.frames()]
    assert len(found) == 3
    assert all(same(one, other) for one, other in zip(found, frames, strict=True))
    assert (info.pix_fmt, info.width, info.height) == (pix_fmt, width, height)
    assert rate == facts.get("rate", 25)
    assert info.sar == facts.get("sar", 1)
    assert info.interlaced == facts.get("interlaced")
    assert info.colour.range == facts.get("range", 0)
    if "location" in facts:
        assert info.colour.chroma_location == facts["location"]


def test_interlaced_y4m_is_deinterlaced(stdin, corpus):
    woven = clips.weave(clips.moving(12, (32, 48)))
    frames = [b"".join(plane.tobytes() for plane in planes(clips.picture(image, "yuv420p"))) for image in woven]
    stdin(y4m("W48 H32 F25:1 It C420", frames))
    with PipeReader() as reader:
        found = [planes(frame.picture) for frame in reader.frames()]
    assert len(found) == 6
    assert not same(found[3], planes(clips.picture(woven[3], "yuv420p")))


@pytest.mark.parametrize("mark", [b"FRAME\n", b"FRAME Ip\n"])
@pytest.mark.parametrize("lost", [1, 100, 8 * 16 * 3 // 2 - 1, 8 * 16 * 3 // 2 + 3])
def test_a_pipe_that_ends_within_a_frame_is_damaged(stdin, lost, mark):
    data = y4m("W16 H8 F25:1 C420", [bytes(192)] * 4, mark)
    stdin(data[:-lost])
    with PipeReader() as reader, pytest.raises(DamagedError, match=r"stdin: the input breaks off at 0:00\.120"):
        list(reader.frames())
    stdin(data[:-lost])
    with PipeReader(allow_damaged=True) as reader:
        assert len(list(reader.frames())) == 3


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 5000, b"hello world\n" * 100, b"YUV4MPEG2 W16 H8 F25:1 C420\n", b"YUV4MPEG2 H8 F25:1\nFRAME\n",
     b"YUV4MPEG2 W0 H0 F25:1\nFRAME\n", b"YUV4MPEG2 W16 H8 F25:1 C999\nFRAME\n" + bytes(192), b"YUV4MPEG2",
     b"YUV4MPEG2 W16 H8 F25:1 C420\nGRAME\n" + bytes(500), b"YUV4MPEG2 W99999999 H99999999 F25:1 C420\nFRAME\n",
     b"YUV4MPEG2 W16 H8 F25:1 C420\nFRAME\n" + bytes(100)],
)  # fmt: skip
def test_what_is_not_y4m_is_refused_in_one_line(stdin, data):
    stdin(data)
    with pytest.raises(InputError, match="stdin") as caught, PipeReader() as reader:
        list(reader.frames())
    assert "\n" not in str(caught.value)


def test_a_mark_that_is_missing_later_is_damage(stdin):
    stdin(y4m("W16 H8 F25:1 C420", [bytes(192)] * 3) + b"JUNK" * 100)
    with PipeReader() as reader, pytest.raises(DamagedError, match="stdin"):
        list(reader.frames())


def test_a_pipe_may_be_converted(stdin):
    stdin(y4m("W16 H8 F25:1 C420 XCOLORRANGE=FULL", [bytes([255]) * 128 + bytes([128]) * 64]))
    with PipeReader(pix_fmt="gbrp") as reader:
        (frame,) = reader.frames()
    assert all((plane == 255).all() for plane in planes(frame.picture))
