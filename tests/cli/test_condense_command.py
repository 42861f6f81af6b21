"""`midframe condense` and `midframe expand`: what they print, and that a stop is said in one line."""

import json

import clips
import pytest

from midframe.engine import condense as module

QUICK = ("--model", "blend", "--preset", "ultrafast", "--tolerance", "30dB")


@pytest.fixture
def slow(tmp_path):
    scene = clips.Scene(velocity=(0.5, 0.25), disc_velocity=())
    return clips.write_clip(tmp_path / "clip.mp4", clips.moving(10, (48, 64), scene=scene), 25)


def test_a_film_becomes_fewer_frames_and_comes_back(midframe, slow):
    code, out, _ = midframe("condense", slow, *QUICK, "--progress", "none")
    small = slow.with_name("clip.condensed.mkv")
    lines = out.splitlines()
    assert (code, lines[0]) == (0, str(small)) and small.is_file()
    assert "of 10 kept" in lines[1] and "made again at 30 dB or more" in lines[1]
    assert "of all frames coded alike" in lines[2] and "the worst kept" in lines[3]
    code, out, _ = midframe("expand", small, "-o", slow.with_name("full.mp4"), "--progress", "none")
    assert code == 0 and "frames    10 (" in out and "0.400 s → 0.400 s" in out
    assert "is not condensed" in midframe("expand", slow, "-o", slow.with_name("x.mp4"))[2]


def test_info_says_what_was_left_out(midframe, slow):
    small = slow.with_name("small.mkv")
    midframe("condense", slow, "-o", small, *QUICK, "-q")
    code, out, _ = midframe("info", small)
    assert code == 0 and "of 10 frames kept; `midframe expand` makes" in " ".join(out.split())
    assert "MIDFRAME_CONDENSED" not in out
    facts = json.loads(midframe("info", small, "--json")[1])["condensed"]
    assert facts["frames"] == 10 and 2 <= facts["kept"] < 10 and facts["tolerance"] == 30
    assert json.loads(midframe("info", slow, "--json")[1])["condensed"] is None


def test_json_lines_say_the_same(midframe, slow):
    code, out, err = midframe("condense", slow, *QUICK, "--progress", "json")
    events = [json.loads(line) for line in err.splitlines()]
    assert (code, out) == (0, "")
    assert {"select", "render", "compare"} <= {event.get("stage") for event in events}
    assert (events[-1]["event"], events[-1]["frames"]) == ("result", 10)


def test_a_stop_is_one_line_that_says_how_to_go_on(midframe, slow, monkeypatch):
    def stop(self, a, b):
        raise KeyboardInterrupt

    monkeypatch.setattr(module._Maker, "fits", stop)
    code, _, err = midframe("condense", slow, *QUICK, "-q")
    assert code == 130 and err.startswith("midframe: error: Interrupted") and err.count("\n") == 1
    assert err.endswith("Run the same command again to go on.\n")
