"""`midframe interpolate`: a job on the command line."""

import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from types import FrameType
from typing import Annotated, Any

import typer
from rich.markup import escape

from midframe.cli.progress import ProgressMode, make_reporter
from midframe.engine.job import InterpolateJob

EXAMPLES = escape(
    """Examples:
  midframe interpolate clip.mp4                          twice the frames
  midframe interpolate clip.mp4 -o smooth.mp4 --fps 60   any rate, exact
  midframe interpolate clip.mp4 -o slow.mp4 --slow 4     slow motion, sound too
  midframe interpolate phone.mp4 --fps 30                variable rate made even
  midframe interpolate scans/ -o film.mkv --rate 12      a folder of images
  ffmpeg -i in.avi -f yuv4mpegpipe - | midframe interpolate - -o out.mkv

Stopped (Ctrl-C, a power cut)? Run the same command again: it goes on."""
)
HELP = {field.name: escape(field.metadata["help"]) for field in fields(InterpolateJob)}
SIGNALS = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class InterruptedJob(Exception):
    """A job stopped by a signal; the message says how to go on."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which are to end a job as cleanly as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def interpolate(
    input: Annotated[str, typer.Argument(metavar="IN", help=HELP["input"])],
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="OUT", help=HELP["output"])] = None,
    progress: Annotated[
        ProgressMode,
        typer.Option(
            "--progress", help="On stderr: a bar, lines of JSON, or none; auto: a bar on a terminal, else JSON."
        ),
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    **options: Any,
) -> None:
    """Make a video smoother (--factor, --fps) or slower (--slow); sound, subtitles and colour come along."""
    from midframe.api import make_job

    job = make_job(input, output, **options)  # refuses before torch is loaded

    run_job(job, progress, quiet)


def run_job(job: InterpolateJob, progress: ProgressMode, quiet: bool) -> None:
    """Do a job and say how far it is. Raises InterruptedJob if it was stopped."""

    def summary(text: str) -> None:
        print(text, file=sys.stderr if "-" in (job.input, job.output) else sys.stdout)

    with make_reporter(progress, quiet=quiet, summary=summary) as reporter:
        try:
            with terminable():
                gc.disable()  # torch makes half a million objects that live as long as the process
                from midframe.engine.run import run  # takes a second or two, in which a signal may come

                gc.freeze()  # and looking through them again and again costs an eighth of a short job
                gc.enable()
                result = run(job, reporter)
        except KeyboardInterrupt as stop:
            what, code = name_stop(stop)
            raise InterruptedJob(describe_stop(job, reporter.at, what), code) from None
        reporter.finish(result)


def name_stop(stop: KeyboardInterrupt) -> tuple[str, int]:
    """What stopped a job, in a word, and the exit code for it."""
    return ("Terminated", 128 + stop.number) if isinstance(stop, Terminated) else ("Interrupted", 130)


def describe_stop(job: InterpolateJob, at: tuple[int, int] | None, what: str) -> str:
    """One line for somebody who stopped a job: how far it was and how to go on."""
    where = f" at {at[0]} of {at[1]} frames" if at else " before the first frame"
    if "-" in (job.input, job.output):
        return f"{what}{where}. A pipe cannot be gone on with: run the same command again from the start."
    return f"{what}{where}. Run the same command again to go on."


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Terminated` for a while, unless they are ignored (nohup)."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    known = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in known}
    heeded = [number for number in known if before[number] in (signal.SIG_DFL, signal.default_int_handler)]
    for number in heeded:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])
