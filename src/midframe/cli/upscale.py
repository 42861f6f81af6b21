"""`midframe upscale`: a video at another size, and, if asked for, at another rate."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from midframe.api import UPSCALER
from midframe.cli.interpolate import HELP, run_job
from midframe.cli.progress import ProgressMode
from midframe.errors import UsageError

EXAMPLES = escape(
    """Examples:
  midframe upscale clip.mp4 --size 2x                    twice as wide and high
  midframe upscale clip.mp4 --size 1920x1080 -o big.mp4
  midframe upscale clip.mp4 --size 2x --fps 60           larger and smoother
  midframe upscale clip.mp4 --size 1.5x --slow 4         larger and slower
  midframe upscale clip.mp4 --size 2x --model bicubic+midnet
  midframe upscale scans/ --size 0.5x -o small           a folder of images

Stopped (Ctrl-C, a power cut)? Run the same command again: it goes on."""
)
DEFAULTS = {"model": UPSCALER}


def upscale(
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
    """Make a video larger (--size), and smoother or slower at once; sound, subtitles and colour come along."""
    from midframe.api import make_job

    if options["size"] is None:
        raise UsageError("upscale: say how large with --size, as in 2x, 1.5x or 1920x1080.")
    run_job(make_job(input, output, **options), progress, quiet)  # refuses before torch is loaded
