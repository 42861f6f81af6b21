"""What is typed wrong, and what goes wrong: one line on stderr, nothing on stdout, the documented exit code."""

import errno
import re

import clips
import pytest

from midframe.cli.main import EXIT_CODES
from midframe.errors import MidframeError

MISTAKES = [
    (["interpolat", "a.mp4"], "no command is called 'interpolat'. Did you mean interpolate?"),
    (["interpolate", "a.mp4", "--fatcor", "2"], "no option is called --fatcor. Did you mean --factor?"),
    (["interpolate", "a.mp4", "--no-overlay"], "Did you mean --no-overlays?"),
    (["interpolate", "a.mp4", "--cuts", "hol"], "'hol': choose hold, nearest, blend or ignore. Did you mean hold?"),
    (["interpolate", "a.mp4", "--progress", "jsn"], "Did you mean json?"),
    (["interpolate", "a.mp4", "--workers", "two"], "--workers 'two': give a whole number."),
    (["interpolate", "a.mp4", "--workers", "0"], "--workers 0: must be at least 1."),
    (["interpolate", "a.mp4", "--crf", "good"], "--crf 'good': give a number."),
    (["interpolate", "a.mp4", "--crf", "nan"], "--crf nan"),
    (["interpolate", "a.mp4", "--fps", "sixty"], "--fps sixty: give a number such as"),
    (["interpolate", "a.mp4", "--fps", "1e9"], "--fps 1e9: must lie between"),
    (["interpolate", "a.mp4", "--factor", "0"], "--factor 0: must lie between"),
    (["interpolate", "a.mp4", "--factor", "2", "--fps", "60"], "give one of them"),
    (["interpolate", "a.mp4", "--start", "1:99:zz"], "--start 1:99:zz: give seconds"),
    (["interpolate", "a.mp4", "--start", "5", "--end-time", "4"], "does not lie after"),
    (["interpolate", "a.mp4", "--tile", "-3"], "--tile -3: must not be negative."),
    (["interpolate", "a.mp4", "--model", "diss"], "Did you mean 'dis'?"),
    (["interpolate", "a.mp4", "--model", "dis/fats"], "has no variant 'fats'"),
    (["interpolate"], "Missing argument 'IN'"),
    (["interpolate", "a.mp4", "--fps"], "'--fps' requires an argument"),
    (["check", "a.mp4", "--model", ","], "--model names none"),
    (["check", "a.mp4", "--frames", "2"], "at least 3"),
    (["condense", "a.mp4", "--tolerance", "much"], "--tolerance much: give dB of PSNR, as in 38dB."),
    (["condense", "a.mp4", "--tolerance", "200"], "from 1 to 100"),
    (["condense", "a.mp4", "--longest", "1"], "--longest 1: give 2 to 1000 frames."),
    (["condense", "-", "-o", "small.mkv"], "read several times"),
    (["condense", "a.mp4", "-o", "small.mp4"], "a condensed film is .mkv"),
    (["expand", "-", "-o", "full.mkv"], "read from a file"),
    (["info", "-"], "stdin can be read only once"),
    (["bench", "--triplets", "x", "--models", "dis,flwo"], "No model is called 'flwo'"),
    (["bench"], "Give --suite NAMES, --triplets DIR or --field"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_answered_in_one_line_that_helps(midframe, arguments, message):
    code, out, err = midframe(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("midframe: error: ")
    assert message in err


@pytest.mark.parametrize("command", ["interpolate", "info", "check", "condense", "expand"])
def test_a_missing_input_is_code_3(midframe, command, tmp_path):
    code, out, err = midframe(command, tmp_path / "nowhere.mp4")
    assert (code, out) == (3, "")
    assert "nowhere.mp4: no such file." in err and err.count("\n") == 1


def test_an_output_that_exists_is_code_5(midframe, clip):
    code, _, err = midframe(
        "interpolate", clip, "-o", clips.write_clip(clip.with_name("there.mp4"), clips.moving(2), 25)
    )
    assert code == 5 and "--overwrite replaces it" in err and err.count("\n") == 1


def test_an_unwritable_bench_file_is_refused_before_measuring(midframe, tmp_path):
    code, _, err = midframe("bench", "--triplets", tmp_path, "--json", tmp_path / "no" / "where.json")
    assert code == 5 and "no such folder" in err


def raising(error):
    def run(job, on_event):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ZeroDivisionError("division\nby zero"), 1, "ZeroDivisionError: division by zero. This is a bug in midframe."),
        (AssertionError(), 1, "AssertionError. This is a bug in midframe."),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 5, "/x: No space left on device. Make room"),
        (OSError(errno.EIO, "Input/output error"), 1, "This is a bug"),
        (MemoryError(), 6, "out of memory"),
        (KeyboardInterrupt(), 130, "Interrupted before the first frame. Run the same command again to go on."),
        (MidframeError("a name with\na line break"), 1, r"a name with\na line break"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_a_job_raises_is_one_line_and_its_code(midframe, monkeypatch, error, code, message):
    monkeypatch.setattr("midframe.engine.run.run", raising(error))
    found, out, err = midframe("interpolate", "a.mp4")
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_debug_shows_where_an_error_was_raised(midframe, monkeypatch, how):
    monkeypatch.setattr("midframe.engine.run.run", raising(ZeroDivisionError("x")))
    if how == "environment":
        monkeypatch.setenv("MIDFRAME_DEBUG", "1")
    code, _, err = midframe("interpolate", "a.mp4", *(["--debug"] if how == "flag" else []))
    assert code == 1 and err.startswith("Traceback") and err.splitlines()[-1].startswith("midframe: error: Zero")


def test_a_pipe_cannot_be_gone_on_with_and_says_so(midframe, monkeypatch):
    monkeypatch.setattr("midframe.engine.run.run", raising(KeyboardInterrupt()))
    code, _, err = midframe("interpolate", "-", "-o", "out.mkv")
    assert code == 130 and "again from the start" in err


def test_help_documents_every_exit_code(midframe):
    code, out, _ = midframe("--help")
    assert code == 0
    for number in EXIT_CODES:
        assert re.search(rf"^\s*{number}  \S", out, re.MULTILINE), number


def classes(of):
    return [of, *(below for direct in of.__subclasses__() for below in classes(direct))]


def test_every_error_has_a_documented_exit_code():
    assert {error.exit_code for error in classes(MidframeError)} <= set(EXIT_CODES)


def test_version_is_printed(midframe):
    import midframe as package

    assert midframe("--version") == (0, f"midframe {package.__version__}\n", "")


def test_no_command_shows_the_help(midframe):
    code, out, err = midframe()
    assert code == 0 and "interpolate" in out and err == ""
