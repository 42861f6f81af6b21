"""`midframe condense` and `midframe expand`: frames that can be made again are left out, and made again."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midframe.cli.interpolate import InterruptedJob, describe_stop, name_stop, terminable
from midframe.cli.progress import ProgressMode, Reporter, make_reporter

if TYPE_CHECKING:
    from midframe.engine.job import Condensed, InterpolateJob, Result

EXAMPLES = """Examples:
  midframe condense clip.mp4 -o small.mkv --tolerance 38dB
  midframe condense clip.mp4 -o small.mkv --model dis --crf 24 --audio drop
  midframe condense clip.mp4 -o summary --tolerance 26 --longest 240   key frames
  midframe expand small.mkv -o full.mp4

Stopped (Ctrl-C, a power cut)? Run the same command again: it goes on."""
CONDENSE_OPTIONS = (
    "cut_list", "rate", "deinterlace", "audio", "codec", "crf", "preset", "pix_fmt", "model", "weights", "effort",
    "threads", "tile", "overwrite",
)  # fmt: skip
EXPAND_OPTIONS = (
    "audio", "codec", "crf", "preset", "pix_fmt", "weights", "workers", "threads", "segment", "overwrite",
)  # fmt: skip
Progress = Annotated[
    ProgressMode,
    typer.Option("--progress", help="On stderr: a bar, lines of JSON, or none; auto: a bar on a terminal, else JSON."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


def condense(
    input: Annotated[str, typer.Argument(metavar="IN", help="Video file, folder of images, GIF or APNG.")],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help="An .mkv, or a folder for the kept frames. Default: IN.condensed.mkv."
        ),
    ] = None,
    tolerance: Annotated[
        str,
        typer.Option(
            "--tolerance", metavar="DB", help="PSNR that each frame reaches which is left out and made again."
        ),
    ] = "38dB",
    longest: Annotated[
        int, typer.Option("--longest", metavar="FRAMES", help="From one kept frame to the next, at most.")
    ] = 16,
    progress: Progress = "auto",
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Leave out the frames that interpolation makes again, none worse than --tolerance; `expand` makes them.

    The result is a film of fewer frames at their own times, with sound and all; kept frames are coded by x265
    (--crf 20), none is left out across a cut, and every frame has been made again and compared before it appears.
    """
    from midframe.api import make_job
    from midframe.engine.record import read_tolerance

    limit = read_tolerance(tolerance)
    job = make_job(input, output, **options)

    def work(tell: Reporter) -> "Condensed":
        from midframe.engine.condense import condense

        return condense(job, tolerance=limit, longest=longest, on_event=tell)

    _run(job, work, progress, quiet)


def expand(
    input: Annotated[str, typer.Argument(metavar="IN", help="A film, or folder, that `midframe condense` wrote.")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="OUT", help="As of `midframe interpolate`. Default: IN.midframe.mkv."),
    ] = None,
    progress: Progress = "auto",
    quiet: Quiet = False,
    **options: Any,
) -> None:
    """Make all frames of a condensed film again, each at its old, exact time."""
    from midframe.api import make_job

    job = make_job(input, output, **options)

    def work(tell: Reporter) -> "Result":
        from midframe.engine.condense import expand

        return expand(job, tell)

    _run(job, work, progress, quiet)


def _run(
    job: "InterpolateJob", work: "Callable[[Reporter], Result | Condensed]", progress: ProgressMode, quiet: bool
) -> None:
    def summary(text: str) -> None:
        print(text, file=sys.stderr if "-" in (job.input, job.output) else sys.stdout)

    with make_reporter(progress, quiet=quiet, summary=summary) as reporter:
        try:
            with terminable():
                result = work(reporter)
        except KeyboardInterrupt as stop:
            what, code = name_stop(stop)
            raise InterruptedJob(describe_stop(job, reporter.at, what), code) from None
        reporter.finish(result)
