import json
from fractions import Fraction

import clips
import pytest
from corpus import FILES


@pytest.fixture
def facts(midframe, corpus):
    """facts("name of a corpus file") → the JSON of `midframe info`."""

    def read(name, *flags):
        code, out, err = midframe("info", corpus[name].path, "--json", *flags)
        assert (code, err) == (0, "")
        return json.loads(out)

    return read


def test_a_plain_clip(midframe, clip):
    code, out, err = midframe("info", clip)
    assert (code, err) == (0, "")
    lines = {line[:10].strip(): line for line in out.splitlines()}
    assert "h264, yuv420p, 8 bit" in lines["video"]
    assert "96 × 72" in lines["size"]
    assert "matrix untagged (taken as BT.601)" in lines["colour"]
    assert "25 frames/s, constant" in lines["rate"]
    assert "12 frames, 0.480 s" in lines["length"]
    assert str(clip.with_name("clip.midframe.mp4")) in lines["by default"]
    assert "24 frames at 50 frames/s" in out and "h264, yuv420p, crf 16" in out


def test_rates_are_exact(midframe, tmp_path):
    path = clips.write_clip(tmp_path / "n.mkv", clips.moving(6), Fraction(24000, 1001))
    timing = json.loads(midframe("info", path, "--json")[1])["timing"]
    assert (timing["rate"], timing["variable"]) == ("24000/1001", False)
    assert "24000/1001 (23.976) frames/s, constant" in midframe("info", path)[1]


def test_a_variable_rate_is_given_by_its_ends_and_mean(midframe, tmp_path):
    path = clips.write_clip(
        tmp_path / "v.mkv", clips.moving(4), None, stamps=[0, 20, 60, 160], time_base=Fraction(1, 1000),
        last_duration=40,
    )  # fmt: skip
    timing = json.loads(midframe("info", path, "--json")[1])["timing"]
    assert timing["rate"] is None and timing["variable"]
    assert (timing["min_rate"], timing["average_rate"], timing["max_rate"]) == ("10", "20", "50")
    _, out, _ = midframe("info", path)
    assert "variable, 20.000 frames/s on average (10 to 50)" in out and "note: " in out


def test_colour_is_named_in_words(midframe, tmp_path):
    path = clips.write_clip(tmp_path / "c.mkv", clips.moving(2), 25, pix_fmt="yuv420p10le", codec="libx265",
                            tags=clips.BT2020)  # fmt: skip
    found = json.loads(midframe("info", path, "--json")[1])
    assert found["video"]["bit_depth"] == 10
    assert found["colour"]["matrix"] == "BT.2020" and found["colour"]["primaries"] == "BT.2020"
    assert found["colour_codes"]["matrix"] == 9
    assert found["default"]["codec"] == "hevc" and found["default"]["pix_fmt"] == "yuv420p10le"


def test_hdr_is_named_with_its_metadata(facts):
    found = facts(next(file.name for file in FILES.values() if file.hdr and file.outcome == "good"))
    assert found["video"]["hdr"] == "HDR10 (PQ with mastering metadata)"
    assert found["video"]["hdr_metadata"] == ["CONTENT_LIGHT_LEVEL", "MASTERING_DISPLAY_METADATA"]


def test_rotation_and_pixel_shape_are_said(midframe, tmp_path):
    path = clips.write_clip(tmp_path / "r.mp4", clips.moving(2), 25, rotation=90, sar=Fraction(4, 3))
    code, out, _ = midframe("info", path)
    assert code == 0 and "pixels 4:3 (shown as 128 × 72)" in out and "turned by 90° counter-clockwise" in out


@pytest.mark.parametrize(("name", "words"), [("interlaced-tff", "top"), ("interlaced-bff", "bottom")])
def test_interlacing_is_said(midframe, corpus, name, words):
    _, out, _ = midframe("info", corpus[name].path)
    assert f"interlaced, {words} field first" in out and "it is deinterlaced" in out


def test_every_other_stream_and_the_chapters_are_listed(midframe, tmp_path):
    path = clips.write_clip(
        tmp_path / "s.mkv", clips.moving(10), 25,
        sounds=[clips.Sound(clips.clicks(1, at=[Fraction(1, 2)]), codec="pcm_s16le", language="fre")],
        extras=clips.Extras(
            subtitles=(clips.Subtitles(((Fraction(0), Fraction(1, 4), "hello"),)),),
            chapters=((Fraction(0), Fraction(1, 5), "one"), (Fraction(1, 5), Fraction(2, 5), "two")),
            metadata={"title": "A title"},
        ),
    )  # fmt: skip
    found = json.loads(midframe("info", path, "--json")[1])
    assert [(stream["kind"], stream["codec"]) for stream in found["streams"]] == [
        ("audio", "pcm_s16le"), ("subtitle", "subrip"),
    ]  # fmt: skip
    assert (found["streams"][0]["language"], found["chapters"], found["metadata"]["title"]) == ("fre", 2, "A title")
    _, out, _ = midframe("info", path)
    assert "audio pcm_s16le, fre" in out and "the other streams are copied" in out and "A title" in out


def test_a_folder_of_images_takes_the_rate_given(midframe, tmp_path):
    folder = clips.write_images(tmp_path / "scans", clips.moving(3)) or tmp_path / "scans"
    found = json.loads(midframe("info", folder, "--rate", "12", "--json")[1])
    assert (found["images"], found["timing"]["rate"], found["default"]["rate"]) == (3, "12", "24")


def test_a_damaged_file_shows_its_headers_and_ends_with_code_4(midframe, corpus):
    path = corpus["truncated-50"].path
    code, out, err = midframe("info", path)
    assert code == 4 and "h264" in out and "says it has" in out and "by default" not in out
    assert err.count("\n") == 1 and "breaks off" in err and "--allow-damaged" in err
    code, out, err = midframe("info", path, "--allow-damaged")
    assert (code, err) == (0, "") and "by default" in out


@pytest.mark.parametrize("name", ["truncated-406", "empty", "html", "playlist", "empty-folder"])
def test_what_is_no_video_is_code_3(midframe, corpus, name):
    code, out, err = midframe("info", corpus[name].path)
    assert (code, out, err.count("\n")) == (3, "", 1)
