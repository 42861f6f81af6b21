"""What `interpolate`, `models`, `check`, `verify` and `bench` print."""

import json
from fractions import Fraction

import clips
import cv2
import numpy as np
import pytest

from midframe.cli.progress import Lines, format_rate, format_result, format_seconds, make_reporter
from midframe.engine.job import Note, Progress, Result, Started

QUICK = ("--model", "blend", "--preset", "ultrafast")


# ---- interpolate -------------------------------------------------------------------------------------------------


def test_interpolate_sums_up_what_it_made(midframe, clip, monkeypatch):
    monkeypatch.chdir(clip.parent)
    code, out, err = midframe("interpolate", "clip.mp4", *QUICK, "--progress", "none")
    assert (code, err) == (0, "")
    assert out.splitlines()[:4] == [
        "clip.midframe.mp4",
        "  frames    24 (12 from the source, 11 new, 1 held)",
        "  rate      25 → 50",
        "  duration  0.480 s → 0.480 s",
    ]


def test_off_a_terminal_progress_is_lines_of_json_on_stderr(midframe, clip):
    target = clip.with_name("out.mp4")
    code, out, err = midframe("interpolate", clip, "-o", target, *QUICK)
    events = [json.loads(line) for line in err.splitlines()]
    assert (code, out) == (0, "")
    assert [event["event"] for event in events][:2] == ["started", "progress"]
    assert (events[0]["frames"], events[0]["rate"]) == (24, "50")
    assert {event["stage"] for event in events if event["event"] == "progress"} == {"render", "assemble", "verify"}
    result = events[-1]
    assert (result["event"], result["output"], result["rate"], result["frames"]) == ("result", str(target), "50", 24)


def test_quiet_prints_nothing_but_errors(midframe, clip):
    assert midframe("interpolate", clip, *QUICK, "--quiet") == (0, "", "")
    code, out, err = midframe("interpolate", clip, *QUICK, "--quiet")
    assert (code, out) == (5, "") and err.count("\n") == 1


def test_a_name_in_any_letters_is_printed_as_it_is(midframe, tmp_path):
    clips.write_clip(tmp_path / "映画 [bold]x [red] :smile:.mp4", clips.moving(3), 25)
    code, out, _ = midframe("interpolate", tmp_path / "映画 [bold]x [red] :smile:.mp4", *QUICK, "--progress", "bar")
    assert code == 0 and "映画 [bold]x [red] :smile:.midframe.mp4" in out
    _, out, _ = midframe("info", tmp_path / "映画 [bold]x [red] :smile:.mp4")
    assert "映画 [bold]x [red] :smile:.mp4" in out


EVENTS = [
    Started("dis", 10, 20, 0, 1, 0, "50", "h264 yuv420p"),
    *(Progress(n, 20, 2.0, 10.0 - n / 2) for n in range(1, 20)),
    Progress(20, 20, 2.0, 0.0),
    Note("subtitles dropped"),
    Progress(20, 20, 0.0, None, "verify"),
]
RESULT = Result(None, 20, 10, 9, 1, (Fraction(1, 5),), Fraction(24000, 1001), Fraction(48000, 1001), Fraction(1),
                Fraction(1), 2.0, audio_offset={"start": 0.0001, "end": -0.0002})  # fmt: skip


def test_json_progress_is_thinned_but_keeps_every_stage_and_note(capsys):
    lines = Lines()
    for event in EVENTS:
        lines(event)
    lines.finish(RESULT)
    seen = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event["event"] for event in seen] == ["started", "progress", "progress", "note", "progress", "result"]
    assert (seen[1]["frames"], seen[2]["frames"], seen[4]["stage"]) == (1, 20, "verify")
    assert (seen[5]["cuts"], seen[5]["rate"], seen[5]["output"]) == (["1/5"], "48000/1001", None)


def test_the_bar_shows_frames_speed_and_time_left(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with make_reporter("bar", quiet=False, summary=print) as bar:
        for event in EVENTS[:12]:
            bar(event)
        bar._bar.refresh()
        shown = capsys.readouterr().err
        assert "11/20" in shown and "2.0 frames/s, 4.5 s left" in shown
        assert bar.at == (11, 20)
        bar.finish(RESULT)
    assert "20 (10 from the source, 9 new, 1 held, 1 cut)" in capsys.readouterr().out


def test_results_rates_and_times_are_written_for_people():
    text = format_result(RESULT)
    assert "24000/1001 (23.976) → 48000/1001 (47.952)" in text
    assert "start +0.10 ms, end -0.20 ms" in text
    assert "10.00 frames/s" in text
    assert [format_rate(Fraction(24)), format_rate(Fraction(24000, 1001)), format_rate(Fraction(12345, 1234))] == [
        "24", "24000/1001 (23.976)", "10.004",
    ]  # fmt: skip
    assert [format_seconds(7.31), format_seconds(75), format_seconds(3700)] == ["7.3 s", "1:15", "1:01:40"]


# ---- models ------------------------------------------------------------------------------------------------------


def test_models_as_json_is_a_list_with_the_promised_keys(midframe):
    code, out, _ = midframe("models", "--json")
    rows = json.loads(out)
    assert code == 0 and {"dis", "phase", "blend"} <= {row["name"] for row in rows}
    for row in rows:
        assert {"name", "task", "paper", "params", "weights"} <= set(row)
        assert row["weights"] in ("none-needed", "bundled", "repo", "pull", "none")


def test_models_as_a_table(midframe):
    code, out, _ = midframe("models")
    assert code == 0 and "Phase-Based Frame" in out and "dis " in out


# ---- check -------------------------------------------------------------------------------------------------------


def test_check_scores_models_and_leaves_pictures_and_a_plot(midframe, tmp_path):
    path = clips.write_clip(tmp_path / "c.mkv", clips.cut(16, at=(9,)), 25, codec="ffv1")
    code, out, err = midframe("check", path, "--model", "dis/tiny,blend", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["frames"], found["of"], found["size"]) == (16, 16, [96, 72])
    dis, blend = found["models"]
    assert (dis["model"], dis["judged"], dis["at_cuts"]) == ("dis/tiny", 6, 1)
    assert 9 not in {score["frame"] for score in dis["scores"]}
    assert dis["psnr"] > blend["psnr"] and 0 < dis["ssim"] <= 1
    assert [worst["psnr"] for worst in blend["worst"]] == sorted(worst["psnr"] for worst in blend["worst"])
    for worst in (*dis["worst"], *blend["worst"]):
        assert cv2.imread(worst["picture"]).shape == (72, 3 * 96, 3)
    assert cv2.imread(found["plot"]) is not None
    assert {file.name for file in (tmp_path / "c.check").iterdir()} == {
        "psnr.png", *(f"{name}-worst-{n}.png" for name in ("dis-tiny", "blend") for n in range(1, 7)),
    }  # fmt: skip


def test_check_as_a_table_says_what_it_looked_at(midframe, tmp_path):
    path = clips.write_clip(tmp_path / "c.mkv", clips.moving(20), 25, codec="ffv1")
    flags = ("--model", "blend", "--start", "0.2", "--frames", "7", "--out", tmp_path / "report")
    code, out, err = midframe("check", path, *flags)
    assert (code, err) == (0, "")
    assert "the first 7 of 15 frames (--frames 0 takes all)" in out
    assert "frame 6 at 0.240 s" in out and "frame 10 at 0.400 s" in out
    assert str(tmp_path / "report" / "psnr.png") in out


def test_check_believes_a_cut_list(midframe, tmp_path):
    path = clips.write_clip(tmp_path / "c.mkv", clips.moving(9), 25, codec="ffv1")
    (tmp_path / "cuts.csv").write_text("time\n0.12\n")
    flags = ("--model", "blend", "--cut-list", tmp_path / "cuts.csv", "--json")
    (result,) = json.loads(midframe("check", path, *flags)[1])["models"]
    assert (result["judged"], result["at_cuts"]) == (3, 1)
    assert {score["frame"] for score in result["scores"]} == {1, 5, 7}


def test_check_refuses_what_it_cannot_judge(midframe, tmp_path, clip):
    path = clips.write_clip(tmp_path / "two.mp4", clips.moving(2), 25)
    code, _, err = midframe("check", path)
    assert code == 3 and "at least three frames" in err
    code, _, err = midframe("check", clip, "--model", "blend", "--out", path)
    assert code == 5 and "is a file" in err


# ---- verify ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [(), ("--fps", "60"), ("--slow", "3"), ("--slow", "2", "--audio", "drop"), ("--start", "0.2", "--end-time", "0.6"),
     ("--factor", "2.5", "--end", "drop")],
    ids=" ".join,
)  # fmt: skip
def test_verify_agrees_with_what_interpolate_made(midframe, tmp_path, flags):
    sound = clips.Sound(clips.clicks(1, at=[Fraction(1, 2)]), codec="pcm_s16le")
    source = clips.write_clip(tmp_path / "in.mkv", clips.moving(25), 25, sounds=[sound])
    target = tmp_path / "out.mkv"
    assert midframe("interpolate", source, "-o", target, *QUICK, *flags, "-q") == (0, "", "")
    code, out, err = midframe("verify", target, "--against", source, *flags)
    assert (code, err) == (0, "") and "FAILED" not in out
    for name in ("frames", "stamps rise", "stamps", "duration", "colour", "sound"):
        assert any(line.split("  ", 1)[1].strip().startswith(name) for line in out.splitlines()), name


def test_verify_says_what_is_wrong_with_code_8(midframe, clip):
    target = clip.with_name("out.mp4")
    assert midframe("interpolate", clip, "-o", target, *QUICK, "-q")[0] == 0
    code, out, err = midframe("verify", target, "--against", clip, "--factor", "3", "--json")
    found = json.loads(out)
    assert code == 8 and not found["ok"]
    assert [check["name"] for check in found["checks"] if not check["ok"]] == ["frames"]
    assert "frames" in err and err.count("\n") == 1


def test_verify_reads_folders_of_images(midframe, clip):
    target = clip.with_name("pictures")
    assert midframe("interpolate", clip, "-o", target, "--model", "blend", "-q")[0] == 0
    assert midframe("verify", target, "--against", clip)[0] == 0
    (target / sorted(path.name for path in target.iterdir())[3]).unlink()
    assert midframe("verify", target, "--against", clip)[0] == 8


def test_verify_of_a_missing_file_is_code_3(midframe, clip):
    code, _, err = midframe("verify", clip.with_name("gone.mp4"), "--against", clip)
    assert code == 3 and "gone.mp4: no such file." in err


# ---- bench -------------------------------------------------------------------------------------------------------


def test_bench_writes_rows_and_prints_a_table(midframe, tmp_path):
    scene = tmp_path / "suite" / "scene"
    scene.mkdir(parents=True)
    for name, picture in zip(("frame10", "frame10i11", "frame11"), clips.moving(3), strict=True):
        cv2.imwrite(str(scene / f"{name}.png"), (picture[..., ::-1] * 255).round().astype(np.uint8))
    code, out, _ = midframe(
        "bench", "--triplets", scene.parent, "--models", "dis/tiny, blend", "--json", tmp_path / "b.json",
        "--markdown", tmp_path / "b.md",
    )  # fmt: skip
    assert code == 0 and out == (tmp_path / "b.md").read_text(encoding="utf-8")
    rows = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["rows"]
    assert [(row["model"], row["suite"]) for row in rows] == [("dis/tiny", "suite"), ("blend", "suite")]
    for row in rows:
        assert {"model", "suite", "psnr", "ssim", "seconds_per_frame"} <= set(row)
    assert rows[0]["psnr"] > rows[1]["psnr"]
    assert midframe("bench", "--triplets", tmp_path / "suite" / "scene")[0] == 3
