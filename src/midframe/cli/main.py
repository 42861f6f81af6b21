"""The command line: its commands, what it prints when something is wrong, and its exit codes.

Commands import what they need when they run, so that help and mistakes are answered without torch or FFmpeg.
"""

import difflib
import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

import midframe
from midframe.cli.bench import EXAMPLES as bench_examples
from midframe.cli.bench import bench
from midframe.cli.between import EXAMPLES as between_examples
from midframe.cli.between import between
from midframe.cli.check import EXAMPLES as check_examples
from midframe.cli.check import JOB_OPTIONS as check_options
from midframe.cli.check import check
from midframe.cli.condense import CONDENSE_OPTIONS as condense_options
from midframe.cli.condense import EXAMPLES as condense_examples
from midframe.cli.condense import EXPAND_OPTIONS as expand_options
from midframe.cli.condense import condense, expand
from midframe.cli.data import data
from midframe.cli.evaluate import EXAMPLES as eval_examples
from midframe.cli.evaluate import evaluate
from midframe.cli.fit import EXAMPLES as fit_examples
from midframe.cli.fit import fit
from midframe.cli.info import EXAMPLES as info_examples
from midframe.cli.info import JOB_OPTIONS as info_options
from midframe.cli.info import info
from midframe.cli.interpolate import EXAMPLES, InterruptedJob, interpolate
from midframe.cli.models import models
from midframe.cli.options import INTERPOLATE_OPTIONS, job_options
from midframe.cli.predict import EXAMPLES as predict_examples
from midframe.cli.predict import predict
from midframe.cli.sample import EXAMPLES as sample_examples
from midframe.cli.sample import sample
from midframe.cli.track import EXAMPLES as track_examples
from midframe.cli.track import track
from midframe.cli.train import EXAMPLES as train_examples
from midframe.cli.train import train
from midframe.cli.upscale import DEFAULTS as upscale_defaults
from midframe.cli.upscale import EXAMPLES as upscale_examples
from midframe.cli.upscale import upscale
from midframe.cli.verify import EXAMPLES as verify_examples
from midframe.cli.verify import JOB_OPTIONS as verify_options
from midframe.cli.verify import verify
from midframe.cli.walk import EXAMPLES as walk_examples
from midframe.cli.walk import walk
from midframe.cli.weights import weights
from midframe.errors import MemoryLimitError, MidframeError, OutputError

EXIT_CODES = {
    0: "done, every promised frame is in the file",
    1: "a bug in midframe",
    2: "an option, a name or a combination that cannot be meant",
    3: "the input cannot be read or holds no video",
    4: "the input is damaged or breaks off (--allow-damaged goes on)",
    5: "the output cannot be written",
    6: "not enough memory",
    7: "a model fails or its weights are missing",
    8: "the finished file is not what was promised",
    130: "interrupted; the same command goes on (129 hung up, 143 terminated)",
    141: "whoever read stdout went away",
}
EPILOG = (
    """Examples:
  midframe interpolate clip.mp4            twice the frames, beside the clip
  midframe interpolate clip.mp4 --fps 60   any rate; --slow 4 for slow motion
  midframe upscale clip.mp4 --size 2x      larger; with --fps smoother, too
  midframe info clip.mp4                   what the clip is, what will be done
  midframe check clip.mp4                  how good it will be on this clip

[bold]Exit codes[/bold]
"""
    + "\n".join(f"  {code:>3}  {text}" for code, text in EXIT_CODES.items())
    + "\n\n--debug after any command, or MIDFRAME_DEBUG=1, shows where an error was raised."
)
BROKEN_PIPE = 141  # what a shell reports for a program ended by SIGPIPE

app = typer.Typer(
    name="midframe",
    help="Video frames at any time: smoother, slower, or at another rate, with time, colour and sound kept right.",
    epilog=EPILOG,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"midframe {midframe.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="On an error, also print where it was raised.")] = False,
) -> None: ...


app.command(epilog=EXAMPLES)(job_options(interpolate, INTERPOLATE_OPTIONS))
app.command(epilog=upscale_examples)(job_options(upscale, defaults=upscale_defaults))
app.command(epilog=between_examples)(between)
app.command(epilog=predict_examples)(predict)
app.command(epilog=track_examples)(track)
app.command(epilog=condense_examples)(job_options(condense, condense_options))
app.command(epilog=condense_examples)(job_options(expand, expand_options))
app.command(epilog=fit_examples)(fit)
app.command(epilog=walk_examples)(walk)
app.command(epilog=info_examples)(job_options(info, info_options))
app.command()(models)
app.command(epilog=check_examples)(job_options(check, check_options))
app.command(epilog=verify_examples)(job_options(verify, verify_options))
app.command(epilog=bench_examples)(bench)
app.command(epilog=train_examples)(train)
app.command(name="eval", epilog=eval_examples)(evaluate)
app.command(epilog=sample_examples)(sample)
app.add_typer(data)
app.add_typer(weights)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. Errors are one line on stderr, `midframe: error: ...`; see EXIT_CODES."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run_command(given))


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    # --debug may stand anywhere: it is added to a command that has just failed, usually at its end.
    debug = "--debug" in arguments or os.environ.get("MIDFRAME_DEBUG", "0") not in ("", "0")
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 greets on stderr otherwise
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads must not spin on the encoder's cores
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name must not fail in a terminal of few letters
    try:
        code = app(arguments, prog_name="midframe", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        return _fail(explain_mistake(error), error.exit_code, debug)
    except MidframeError as error:
        went_away = isinstance(error.__cause__, BrokenPipeError)
        if went_away:
            _abandon_stdout()
        return _fail(str(error), BROKEN_PIPE if went_away else error.exit_code, debug)
    except InterruptedJob as stop:
        return _fail(str(stop), stop.exit_code, False)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130, debug)
    except BrokenPipeError:
        _abandon_stdout()
        return BROKEN_PIPE
    except MemoryError:
        return _fail("out of memory; try --workers 1, or --tile 512.", MemoryLimitError.exit_code, debug)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _fail_bug(error, debug)
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror}. Make room, then run the same command again to go on."
        return _fail(text, OutputError.exit_code, debug)
    except Exception as error:
        return _fail_bug(error, debug)


def _abandon_stdout() -> None:
    """What is still buffered for stdout has no reader; Python would complain about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def explain_mistake(error: typer.TyperException) -> str:
    """What was typed wrong, what was nearest, where to read on. Knows the mistakes by what Typer's exceptions carry."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "midframe"
    text = error.format_message().rstrip(".?")
    message, parameter = getattr(error, "message", text), getattr(error, "param", None)
    if context is not None and text.startswith("No such option"):
        name = getattr(error, "option_name", "")
        there = [flag for known in context.command.params for flag in (*known.opts, *known.secondary_opts)]
        text = f"no option is called {name}{_nearest(name, there)}"
    elif context is not None and (found := re.match(r"No such command '(.*?)'", text)):
        text = f"no command is called {found[1]!r}{_nearest(found[1], list(context.command.commands))}"
    elif parameter is not None and (found := re.search(r"('.*'|\".*\") is not one of (.*)$", message)):
        words = re.findall(r"'([^']*)'", found[2])
        text = f"{parameter.opts[0]} {found[1]}: choose {', '.join(words[:-1])} or {words[-1]}"
        text += _nearest(found[1][1:-1], words)
    elif parameter is not None and (found := re.search(r"valid (integer|number)", message)):
        text = f"{parameter.opts[0]}{_typed(error)}: give a {'whole number' if found[1] == 'integer' else 'number'}"
    return f"{text}{'' if text.endswith('?') else '.'} See `{command} --help`."


def _nearest(typed: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(typed, known, n=1, cutoff=0.5)
    return f". Did you mean {close[0]}?" if close else ""


def _typed(error: Exception) -> str:
    """The text that could not be read as a number, where the exception's cause (Pydantic's) tells it."""
    details = getattr(error.__cause__, "errors", None)
    return f" {details()[0]['input']!r}" if details is not None else ""


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"midframe: error: {_one_line(message)}", file=sys.stderr)
    return code


def _fail_bug(error: Exception, debug: bool) -> int:
    what = " ".join(str(error).split()).rstrip(".")
    hint = "" if debug else " MIDFRAME_DEBUG=1 or --debug shows where."
    return _fail(f"{type(error).__name__}{': ' if what else ''}{what}. This is a bug in midframe.{hint}", 1, debug)


def _one_line(message: str) -> str:
    """A file name may hold line breaks and control characters; a message has none."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in message)


if __name__ == "__main__":
    main()
