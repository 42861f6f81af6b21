"""`midframe upscale`: a video at another size."""

import json

import pytest

from midframe.video.probe import probe


def test_a_clip_becomes_larger_beside_itself(midframe, clip):
    code, out, err = midframe("upscale", clip, "--size", "2x", "--progress", "none")
    made = clip.with_name("clip.midframe.mp4")
    assert (code, err) == (0, "")
    assert out.startswith(f"{made}\n") and "12 (12 from the source, 0 new)" in out and "size      192x144" in out
    assert (probe(str(made)).width, probe(str(made)).height) == (192, 144)
    code, out, err = midframe("upscale", clip, "--size", "2x")
    assert (code, out) == (5, "") and "--overwrite" in err


def test_larger_and_smoother_at_once_and_progress_is_json(midframe, clip, tmp_path):
    options = ("--size", "1.5x", "--fps", "50", "--model", "dis/fast+bicubic", "-o", tmp_path / "out.mkv")
    code, _, err = midframe("upscale", clip, *options)
    events = [json.loads(line) for line in err.splitlines()]
    assert code == 0 and events[0]["model"] == "dis/fast+bicubic"
    assert (events[-1]["event"], events[-1]["frames"], events[-1]["size"]) == ("result", 24, [108, 144])
    code, out, _ = midframe("verify", tmp_path / "out.mkv", "--against", clip, "--size", "1.5x", "--fps", "50")
    assert code == 0 and "144x108" in out
    code, _, err = midframe("verify", tmp_path / "out.mkv", "--against", clip, "--fps", "50")
    assert code == 8 and "size" in err


def test_the_default_model_needs_no_more_than_bicubic_without_frames_between(midframe, clip, tmp_path, monkeypatch):
    monkeypatch.setattr("midframe.models.midnet.Midnet.prepare", None)
    assert midframe("upscale", clip, "--size", "2x", "-q", "-o", tmp_path / "out.mp4") == (0, "", "")


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ((), 2, "upscale: say how large with --size, as in 2x, 1.5x or 1920x1080."),
        (("--size", "0x"), 2, "--size 0x: must lie between 1/16 and 16 times the source's size."),
        (("--size", "big"), 2, "--size big: give 2x, 1.5x or 1920x1080."),
        (("--size", "1x"), 2, "has this size, 96x72, and no other rate is asked for (--fps, --factor, --slow)"),
        (("--size", "2x", "--model", "dis"), 2, "dis makes frames between frames and keeps their size: dis+bicubic"),
        (("--size", "2x", "--model", "bicubik"), 2, "Did you mean 'bicubic'?"),
        (("--size", "2x", "--model", "bicubic+extrapolate"), 2, "join one model that makes frames between frames"),
        (("--size", "2x", "--fps", "60", "--factor", "2"), 2, "--factor and --fps both set the output rate"),
        (("--size", "2x", "-o", "out.xyz"), 2, ".xyz is not written"),
        (("--size", "2x", "--model", "midnet/tiny+bicubic"), 7, "midnet/tiny has no weights"),
    ],
)
def test_mistakes_are_one_line(midframe, clip, given, code, said):
    found, out, err = midframe("upscale", clip, *given, "--progress", "none")
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert said in err
    assert [path.name for path in clip.parent.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("command", [("interpolate", "{}"), ("between", "{}", "{}"), ("check", "{}")])
def test_other_commands_say_what_enlarges(midframe, clip, command):
    code, _, err = midframe(*(word.format(clip) for word in command), "--model", "bicubic")
    assert code == 2 and "bicubic makes frames of another size (`midframe upscale`). midnet, dis" in err


def test_the_list_of_models_says_what_enlarges(midframe):
    code, out, _ = midframe("models")
    (line,) = (line for line in out.splitlines() if line.startswith("bicubic "))
    assert code == 0 and "superresolve" in line and "lanczos" in line
