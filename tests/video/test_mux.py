"""Joining: exact stamps over joined segments, and every other stream at its right time."""

import os
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from audio_offset import measure_offsets
from clips import Extras, Sound, Subtitles

from midframe.errors import OutputError, UsageError, VerifyError
from midframe.video.mux import UNMOVED, TimeMap, assemble
from midframe.video.probe import probe
from midframe.video.verify import verify
from midframe.video.writer import CODECS, PRESETS, SegmentWriter, choose_encoder

SIZE = (72, 96)
FLASHES = (5, 20, 40)
COUNT = 50
SUFFIX = {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", "webm": ".webm", "gif": ".gif", "apng": ".apng",
          "images": "", "yuv4mpegpipe": ".y4m"}  # fmt: skip
FILM = clips.flash(COUNT, FLASHES, SIZE)


def sound(codec="aac", **facts):
    moments = [Fraction(index, 25) for index in FLASHES]
    return Sound(clips.clicks(2, moments, channels=facts.pop("channels", 1)), codec=codec, **facts)


def source(path, **facts):
    facts.setdefault("sounds", (sound(),))
    facts.setdefault("tags", clips.BT709)
    return clips.write_clip(path, FILM, 25, **facts)


class Made:
    """A finished file with what was asked of it."""

    def __init__(self, path, settings, info, stamps, end, times, audio, container, notes):
        self.path, self.settings, self.info, self.notes = path, settings, info, notes
        self.stamps, self.end, self.times, self.audio, self.container = stamps, end, times, audio, container

    def check(self):
        base = self.settings.time_base
        report = verify(
            self.path, against=self.info, container=self.container, stamps=[tick * base for tick in self.stamps],
            end=self.end * base, settings=self.settings, audio=self.audio, times=self.times, decode=True,
        )  # fmt: skip
        assert report.ok, [check for check in report.checks if not check.ok]
        return report


def make(
    src, container="mp4", *, codec=None, time_base=Fraction(1, 25), rate=Fraction(25), stamps=None, frames=None,
    parts=3, audio="keep", times=UNMOVED, pix_fmt=None,
):  # fmt: skip
    info = probe(src)
    notes: list[str] = []
    preset = None
    wanted = codec or ("h264" if container in ("mp4", "mov", "matroska") else CODECS[container][0])
    if wanted in ("h264", "hevc"):
        preset = "veryfast" if wanted == "h264" else "ultrafast"
    elif wanted in PRESETS:
        preset = PRESETS[wanted][-1]
    settings = choose_encoder(
        info, container=container, codec=wanted, preset=preset, pix_fmt=pix_fmt, time_base=time_base, rate=rate,
        notes=notes.append,
    )  # fmt: skip
    frames = list(range(COUNT)) if frames is None else list(frames)
    stamps = frames if stamps is None else list(stamps)
    end = stamps[-1] + (stamps[1] - stamps[0])
    folder = Path(src).parent
    segments = []
    for part in range(parts):
        low, high = len(frames) * part // parts, len(frames) * (part + 1) // parts
        segments.append(folder / f"segment-{part}.nut")
        writer = SegmentWriter(segments[-1], settings)
        for place in range(low, high):
            following = stamps[place + 1] if place + 1 < len(stamps) else end
            picture = clips.picture(FILM[frames[place]], settings.pix_fmt, clips.BT709)
            writer.write(picture, stamps[place], following - stamps[place])
        writer.close()
    output = folder / f"out{SUFFIX[container]}"
    assemble(
        segments, settings, info, output, container=container, stamps=stamps, end_tick=end, audio=audio, times=times,
        notes=notes.append,
    )  # fmt: skip
    return Made(output, settings, info, stamps, end, times, audio, container, notes)


def streams(path, kind):
    with av.open(str(path)) as file:
        return [(s.codec_context.name, dict(s.metadata)) for s in file.streams if s.type == kind]


JOINED = [(c, n) for c in ("mp4", "mov", "matroska", "webm") for n in CODECS[c]]


@pytest.mark.parametrize(("container", "codec"), JOINED)
def test_every_codec_in_every_container_keeps_frames_times_sound_and_tags(tmp_path, container, codec):
    src = source(tmp_path / "source.mp4", rotation=90, sar=Fraction(4, 3))
    made = make(src, container, codec=codec)
    made.check()
    limit = 1e-3 if container in ("matroska", "webm") else 1e-5
    assert max(map(abs, measure_offsets(made.path))) < limit


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_variable_stamps_survive_b_frames_over_joined_segments(tmp_path, container, codec):
    src = source(tmp_path / "source.mp4", options={"preset": "veryfast", "bf": "2"})
    stamps = [index * 40040 + (index % 3) * 777 + 123456 for index in range(COUNT)]
    times = TimeMap(out_start=Fraction(123456, 1_000_000))
    made = make(src, container, codec=codec, stamps=stamps, time_base=Fraction(1, 1_000_000), rate=None, times=times)
    made.check()
    with av.open(str(made.path)) as file:
        order = [packet.pts for packet in file.demux(video=0) if packet.size]
        assert order != sorted(order), "no B-frames: the test tests nothing"
    if container != "matroska":
        with av.open(str(made.path)) as file:
            assert [round(f.pts * f.time_base * 1_000_000) for f in file.decode(video=0)] == stamps


def test_the_rate_24000_1001_is_exact_in_mp4(tmp_path):
    made = make(
        source(tmp_path / "source.mp4"), time_base=Fraction(1001, 24000), rate=Fraction(24000, 1001), audio="drop"
    )
    with av.open(str(made.path)) as file:
        assert [f.pts * f.time_base for f in file.decode(video=0)] == [n * Fraction(1001, 24000) for n in range(COUNT)]


def test_a_video_that_begins_late_stays_late(tmp_path):
    times = TimeMap()
    made = make(source(tmp_path / "source.mp4"), stamps=range(7, COUNT + 7), times=times)
    made.check()
    first, last = measure_offsets(made.path)
    assert first == pytest.approx(-7 / 25, abs=1e-5)
    assert last == pytest.approx(-7 / 25, abs=1e-5)


def test_hevc_in_mp4_is_tagged_hvc1_and_the_file_begins_with_its_index(tmp_path):
    made = make(source(tmp_path / "source.mp4"), codec="hevc")
    data = made.path.read_bytes()
    assert b"hvc1" in data and data.index(b"moov") < data.index(b"mdat")


def test_hdr10_metadata_is_carried_over(tmp_path):
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    options = {"x265-params": f"master-display={display}:max-cll=1000,400"}
    src = source(tmp_path / "source.mp4", codec="libx265", pix_fmt="yuv420p10le", tags=clips.PQ, options=options)
    made = make(src, codec="hevc")
    made.check()
    assert probe(made.path).hdr == made.info.hdr != {}
    assert probe(made.path).colour == made.info.colour


def test_two_tracks_chapters_and_titles_are_copied(tmp_path):
    extras = Extras(
        chapters=((Fraction(0), Fraction(1), "one"), (Fraction(1), Fraction(2), "two")), metadata={"title": "A film"}
    )
    sounds = (sound(language="eng", title="English"), sound("aac", language="deu", channels=2, layout="stereo"))
    src = source(tmp_path / "source.mkv", sounds=sounds, extras=extras)
    for container in ("matroska", "mp4"):
        made = make(src, container)
        made.check()
        assert [tags["language"] for _, tags in streams(made.path, "audio")] == ["eng", "deu"]
        with av.open(str(made.path)) as file:
            assert [(c["start"] * c["time_base"], c["metadata"]["title"]) for c in file.chapters()] == [
                (0, "one"),
                (1, "two"),
            ]
            assert file.metadata["title"] == "A film"
            assert len(file.streams) == 3 + (container == "mp4")  # MP4 shows chapters as a track, too


@pytest.mark.parametrize("codec", ["subrip", "ass"])
def test_subtitles_become_mov_text_in_mp4_and_stay_in_matroska(tmp_path, codec):
    lines = ((Fraction(1, 2), Fraction(1), "Hello"), (Fraction(3, 2), Fraction(7, 4), "World"))
    src = source(tmp_path / "source.mkv", extras=Extras(subtitles=(Subtitles(lines, codec, "eng"),)))
    made = make(src, "mp4")
    assert [name for name, _ in streams(made.path, "subtitle")] == ["mov_text"]
    assert any("mov_text" in note for note in made.notes)
    with av.open(str(made.path)) as file:
        texts = [(p.pts * p.time_base, bytes(p)[2:].decode()) for p in file.demux(subtitles=0) if p.size > 2]
    assert texts == [(Fraction(1, 2), "Hello"), (Fraction(3, 2), "World")]
    made = make(src, "matroska")
    assert not made.notes
    assert [tags["language"] for _, tags in streams(made.path, "subtitle")] == ["eng"]


def test_fonts_stay_in_matroska_and_what_mp4_refuses_is_said(tmp_path):
    font = bytes(range(200))
    extras = Extras(attachments=(("font.ttf", "application/x-truetype-font", font),))
    src = source(tmp_path / "source.mkv", extras=extras)
    made = make(src, "matroska")
    assert not made.notes
    with av.open(str(made.path)) as file:
        attached = [s for s in file.streams if s.type == "attachment"]
        assert [(s.metadata["filename"], s.data) for s in attached] == [("font.ttf", font)]
    made = make(src, "mp4")
    assert [note for note in made.notes if "attachment" in note]


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_cover_art_stays_cover_art(tmp_path, container):
    src = source(tmp_path / "source.mp4", extras=Extras(cover=clips.moving(1, (16, 16))[0]))
    for _ in range(2):  # from what was made once more: Matroska's cover is an attached file
        made = make(src, container)
        made.check()
        with av.open(str(made.path)) as file:
            covers = [s for s in file.streams.video if s.disposition & av.stream.Disposition.attached_pic]
            assert [(s.codec_context.name, s.codec_context.width) for s in covers] == [("png", 16)]
        src = made.path.rename(tmp_path / f"again{made.path.suffix}")


def test_sound_that_webm_refuses_becomes_opus(tmp_path):
    made = make(source(tmp_path / "source.mp4"), "webm")
    assert [name for name, _ in streams(made.path, "audio")] == ["opus"]
    assert any("opus" in note for note in made.notes)


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "webm"])
@pytest.mark.parametrize("stretch", [Fraction(2), Fraction(5, 4), Fraction(1, 2)])
def test_stretched_sound_has_the_exact_length_and_begins_with_the_picture(tmp_path, container, stretch):
    src = source(tmp_path / "source.mov", sounds=(sound("pcm_s16le"),))
    stamps = [index * stretch.numerator for index in range(COUNT)]
    times = TimeMap(stretch=stretch)
    base = Fraction(1, 25 * stretch.denominator)
    made = make(src, container, stamps=stamps, time_base=base, rate=25 / stretch, audio="stretch", times=times)
    report = made.check()
    assert abs(report.audio_offset["start"]) <= 1e-3
    if stretch > 1:  # faster sound may lose a click of a millisecond altogether
        assert max(map(abs, measure_offsets(made.path))) < 0.03  # WSOLA moves a click by up to half its window
    with av.open(str(made.path)) as file:
        length = sum(frame.samples for frame in file.decode(audio=0))
    if container in ("matroska", "mov"):
        assert length == round(2 * stretch * 48000)


def test_dropped_sound_is_gone(tmp_path):
    made = make(source(tmp_path / "source.mp4"), audio="drop")
    made.check()
    assert streams(made.path, "audio") == []


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_part_keeps_sound_in_step(tmp_path, container):
    lines = ((Fraction(0), Fraction(1), "early"), (Fraction(1), Fraction(3, 2), "kept"))
    chapters = ((Fraction(0), Fraction(1), "one"), (Fraction(1), Fraction(2), "two"))
    extras = Extras(subtitles=(Subtitles(lines, "subrip"),), chapters=chapters)
    src = source(tmp_path / "source.mkv", extras=extras)
    times = TimeMap(origin=Fraction(15, 25), end=Fraction(45, 25))
    made = make(src, container, frames=range(15, 45), stamps=range(30), times=times)
    made.check()
    limit = 1e-3
    first, last = measure_offsets(made.path)
    assert max(abs(first), abs(last)) < limit
    with av.open(str(made.path)) as file:
        found = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in file.chapters()]
        assert found == [(0, Fraction(2, 5)), (Fraction(2, 5), Fraction(6, 5))]


@pytest.mark.parametrize("name", ["png", "jpg", "tiff", "webp"])
def test_image_folders_are_numbered_and_hold_the_pictures(tmp_path, name):
    made = make(source(tmp_path / "source.mp4", sounds=()), "images", codec=name, frames=range(4), parts=2)
    made.check()
    files = sorted(path.name for path in made.path.iterdir())
    assert files == [f"{number:06d}.{name}" for number in range(1, 5)]
    with av.open(str(made.path / files[2])) as file:
        there = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(float) / 255
    assert np.abs(there - FILM[2]).mean() < (0.02 if name == "jpg" else 0.01)


def test_deep_pictures_become_16_bit_png(tmp_path):
    src = source(tmp_path / "source.mp4", codec="libx265", pix_fmt="yuv420p10le", sounds=())
    made = make(src, "images", codec="png", frames=range(2), parts=1)
    with av.open(str(made.path / "000001.png")) as file:
        assert file.streams.video[0].codec_context.pix_fmt == "rgb48be"


@pytest.mark.parametrize("container", ["gif", "apng", "yuv4mpegpipe"])
def test_decoded_outputs_have_every_frame(tmp_path, container):
    src = source(tmp_path / "source.mp4", sounds=())
    made = make(src, container, frames=range(9), parts=2)
    made.check()
    with av.open(str(made.path)) as file:
        assert sum(1 for _ in file.decode(video=0)) == 9


def test_a_gif_refuses_a_rate_it_cannot_count(tmp_path):
    with pytest.raises(UsageError, match="hundredths"):
        make(
            source(tmp_path / "source.mp4", sounds=()),
            "gif",
            frames=range(9),
            rate=Fraction(240),
            time_base=Fraction(1, 240),
        )


def test_a_lost_frame_is_an_error_and_nothing_is_left(tmp_path):
    src = source(tmp_path / "source.mp4")
    made = make(src)
    segments = [tmp_path / f"segment-{n}.nut" for n in range(2)]
    with pytest.raises(VerifyError, match="33 frames, 50"):
        assemble(segments, made.settings, made.info, made.path, container="mp4", stamps=range(50), end_tick=50)
    assert not made.path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(tmp_path):
    made = make(source(tmp_path / "source.mp4"), "matroska")
    made.path.unlink()
    os.symlink("/dev/full", made.path)
    with pytest.raises(OutputError, match="disk is full"):
        assemble(
            [tmp_path / f"segment-{n}.nut" for n in range(3)], made.settings, made.info, made.path,
            container="matroska", stamps=range(50), end_tick=50,
        )  # fmt: skip
    assert not made.path.is_symlink()
