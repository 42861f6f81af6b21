"""Verification: a good file passes, and each kind of damage is named."""

from dataclasses import replace
from fractions import Fraction

import clips
import pytest
from clips import Sound

from midframe.video.mux import TimeMap
from midframe.video.probe import probe
from midframe.video.verify import verify

COUNT = 25
STAMPS = [Fraction(n, 25) for n in range(COUNT)]


@pytest.fixture
def film(tmp_path):
    def write(name="a.mp4", *, stamps=None, shift=0, sounds=True, **facts):
        sound = Sound(clips.clicks(1), start=Fraction(shift, 1000))
        facts.setdefault("tags", clips.BT709)
        frames = clips.moving(COUNT if stamps is None else len(stamps))
        if stamps is not None:
            facts |= {"stamps": stamps, "time_base": Fraction(1, 1000)}
        return clips.write_clip(tmp_path / name, frames, 25, sounds=[sound] if sounds else [], **facts)

    return write


def failed(report):
    return {check.name for check in report.checks if not check.ok}


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_a_file_agrees_with_itself(film, name):
    path = film(name)
    container = {"mkv": "matroska"}.get(name[2:], name[2:])
    report = verify(path, against=probe(path), container=container, stamps=STAMPS, end=Fraction(1))
    assert report.ok, failed(report)
    assert abs(report.audio_offset["start"]) < 1e-6 and abs(report.audio_offset["end"]) < 1e-6


def test_decoding_finds_the_same_frames(film):
    assert verify(film(), stamps=STAMPS, decode=True).ok


def test_a_missing_frame_is_named(film):
    assert failed(verify(film(), stamps=[*STAMPS, Fraction(1)])) == {"frames"}


def test_a_stamp_at_the_wrong_time_is_named(film):
    path = film(stamps=[n * 40 + (n == 9) * 3 for n in range(COUNT)])
    assert failed(verify(path, stamps=STAMPS)) == {"stamps"}


def test_a_wrong_end_is_named(film):
    assert failed(verify(film(), container="mp4", stamps=STAMPS, end=Fraction(3, 2))) == {"duration"}


@pytest.mark.parametrize("shift", [-5, 5])
def test_sound_that_runs_away_is_named(film, shift):
    before, after = film("a.mp4", shift=100), film("b.mp4", shift=100 + shift)
    report = verify(after, against=probe(before), container="mp4")
    assert failed(report) == {"sound 0"}
    assert report.audio_offset["start"] == pytest.approx(shift / 1000, abs=1e-3)
    assert report.audio_offset["end"] == pytest.approx(shift / 1000, abs=1e-3)


def test_lost_sound_is_named_unless_it_was_to_be_dropped(film):
    before, after = film("a.mp4"), film("b.mp4", sounds=False)
    assert failed(verify(after, against=probe(before), container="mp4")) == {"sound"}
    assert verify(after, against=probe(before), container="mp4", audio="drop").ok


def test_colour_pixel_shape_and_rotation_are_named(film):
    before = probe(film("a.mp4", tags=clips.BT709, sar=Fraction(4, 3), rotation=90))
    after = film("b.mp4", tags=clips.BT601)
    assert failed(verify(after, against=before, container="mp4")) == {"colour", "pixel shape", "rotation"}


def test_an_expected_stretch_is_applied_to_sound(film):
    path = film()
    times = TimeMap(stretch=Fraction(2))
    assert "sound 0" in failed(verify(path, against=probe(path), container="mp4", audio="stretch", times=times))


def test_a_folder_with_a_hole_is_named(tmp_path):
    folder = clips.write_images(tmp_path / "frames", clips.moving(4), pattern="{:06d}.png")
    assert verify(folder, container="images", stamps=STAMPS[:4]).ok
    (folder / "000002.png").unlink()
    assert failed(verify(folder, container="images", stamps=STAMPS[:4])) == {"numbering", "frames"}


def test_lost_light_metadata_is_named(film):
    before = probe(film("a.mp4"))
    before = replace(before, hdr={"CONTENT_LIGHT_LEVEL": bytes(8)})
    assert failed(verify(film("b.mp4"), against=before, container="mp4")) == {"HDR metadata"}
