"""The command line as a process of its own: what it loads, signals, pipes."""

import json
import signal
import subprocess
import sys
import time

import clips
import pytest

HEAVY = ("torch", "av", "cv2", "numba", "matplotlib")
MIDFRAME = [sys.executable, "-m", "midframe"]


def test_import_help_catalogue_and_mistakes_load_nothing_heavy():
    lines = [
        [], ["--help"], ["--version"], ["interpolate", "--help"], ["info", "--help"], ["check", "--help"],
        ["verify", "--help"], ["bench", "--help"], ["models", "--help"], ["models"], ["models", "--json"],
        ["interpolate", "a.mp4", "--fps", "sixty"], ["interpolate", "a.mp4", "--cuts", "hol"],
    ]  # fmt: skip
    code = (
        "import sys, midframe\n"
        "dir(midframe), midframe.InterpolateJob, midframe.MidframeError, midframe.interpolate\n"
        "from midframe.cli.main import run_command\n"
        f"for line in {lines}: run_command(line)\n"
        f"print('loaded', [name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_stopped_job_says_how_to_go_on_and_goes_on(tmp_path):
    clips.write_clip(tmp_path / "in.mp4", clips.moving(80), 25)
    command = [
        *MIDFRAME, "interpolate", "in.mp4", "-o", "out.mkv", "--codec", "ffv1", "--model", "blend", "--factor", "10",
        "--segment", "4", "--progress", "json",
    ]  # fmt: skip
    journal = tmp_path / ".out.mkv.midframe" / "journal.jsonl"

    def segments():
        return len(journal.read_bytes().splitlines()) if journal.exists() else 0

    for number, code, word in ((signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")):
        before = segments()
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # A shell may have told us to ignore signals, which a child inherits.
            preexec_fn=lambda number=number: signal.signal(number, signal.SIG_DFL),
        ) as process:  # fmt: skip
            while segments() == before and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(number)
            message = process.stderr.read().splitlines()[-1]
            assert process.stdout.read() == ""
            assert process.wait(60) == code
        assert message.startswith(f"midframe: error: {word} at ")
        assert message.endswith(" of 800 frames. Run the same command again to go on.")
        assert not (tmp_path / "out.mkv").exists()

    done = segments()
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    events = [json.loads(line) for line in again.stderr.splitlines()]
    assert (again.returncode, again.stdout) == (0, "")
    assert (events[0]["event"], events[0]["resumed_segments"]) == ("started", done) and done >= 2
    assert (events[-1]["event"], events[-1]["frames"]) == ("result", 800)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mkv"]


def test_y4m_goes_through_pipes_and_nothing_else_is_on_stdout(tmp_path):
    source = clips.write_y4m(tmp_path / "in.y4m", clips.moving(6))
    command = [*MIDFRAME, "interpolate", "-", "-o", "-", "--model", "blend", "--progress", "none"]
    done = subprocess.run(command, cwd=tmp_path, input=source.read_bytes(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    head, _, frames = done.stdout.partition(b"\n")
    assert head.startswith(b"YUV4MPEG2 W96 H72 F50:1 ")
    size = 96 * 72 * 3 // 2 + len(b"FRAME\n")
    assert len(frames) == 12 * size
    assert all(frames[n * size :].startswith(b"FRAME\n") for n in range(12))
    assert done.stderr.startswith(b"stdout\n  frames    12 (6 from the source, 5 new, 1 held)")
    assert [path.name for path in tmp_path.iterdir()] == ["in.y4m"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_reader_that_goes_away_ends_it_with_one_line(tmp_path):
    clips.write_clip(tmp_path / "in.mp4", clips.moving(30, (144, 192)), 25)
    command = [*MIDFRAME, "interpolate", "in.mp4", "-o", "-", "--model", "blend", "--progress", "none"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        message = process.stderr.read().decode()
        assert message == "midframe: error: stdout was closed before all frames were written.\n"
        assert process.wait(60) == 141
