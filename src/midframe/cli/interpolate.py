"""`midframe interpolate`: a job on the command line."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any

import typer
from rich.markup import escape

from midframe.cli.progress import ProgressMode, make_reporter
from midframe.engine.job import InterpolateJob

EXAMPLES = escape(
    "\n\n".join(
        (
            "Examples:",
            "midframe interpolate clip.mp4                               twice the frames",
            "midframe interpolate clip.mp4 -o smooth.mp4 --fps 60        any rate, exact",
            "midframe interpolate clip.mp4 -o slow.mp4 --slow 4          slow motion, sound stretched",
            "midframe interpolate phone.mp4 -o even.mp4 --fps 30         variable rate made constant",
            "midframe interpolate scans/ -o film.mkv --rate 12 --fps 24  a folder of images",
            "ffmpeg -i in.avi -f yuv4mpegpipe - | midframe interpolate - -o out.mkv",
        )
    )
)


class InterruptedJob(Exception):
    """A job stopped by a signal; the message says how to go on."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Terminated(KeyboardInterrupt):
    """SIGTERM, which is to end a job as cleanly as Ctrl-C does."""


def interpolate(
    input: Annotated[
        str, typer.Argument(metavar="IN", help=escape(InterpolateJob.__dataclass_fields__["input"].metadata["help"]))
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help=escape(InterpolateJob.__dataclass_fields__["output"].metadata["help"]),
            rich_help_panel="Options",
        ),
    ] = None,
    progress: Annotated[
        ProgressMode, typer.Option("--progress", help="On stderr: a bar, lines of JSON, or none; auto asks the terminal.")
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    **options: Any,
) -> None:
    """Make a video smoother (--factor, --fps) or slower (--slow). Sound, subtitles and colour come along."""
    from midframe.api import make_job

    job = make_job(input, output, **options)  # refuses before torch is loaded
    from midframe.engine.run import run

    def summary(text: str) -> None:
        print(text, file=sys.stderr if output == "-" else sys.stdout)

    with make_reporter(progress, quiet=quiet, summary=summary) as reporter:
        try:
            with _terminable():
                result = run(job, reporter)
        except KeyboardInterrupt as stop:
            terminated = isinstance(stop, Terminated)
            raise InterruptedJob(
                describe_stop(job, reporter.at, "Terminated" if terminated else "Interrupted"),
                143 if terminated else 130,
            ) from None
        reporter.finish(result)


def describe_stop(job: InterpolateJob, at: tuple[int, int] | None, what: str) -> str:
    """One line for somebody who stopped a job: how far it was and how to go on."""
    where = f" at {at[0]} of {at[1]} frames" if at else " before the first frame"
    if "-" in (job.input, job.output):
        return f"{what}{where}. A pipe cannot be gone on with: run the same command again from the start."
    return f"{what}{where}. Run the same command again to go on."


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` for a while."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
