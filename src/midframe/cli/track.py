"""`midframe track`: what is marked in the first frame, followed through the clip."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from midframe.cli.interpolate import InterruptedJob, name_stop, terminable
from midframe.cli.progress import ProgressMode, make_reporter

EXAMPLES = """Examples:
  midframe track clip.mp4 --mask first.png             clip.tracked.mp4 and a folder of masks
  midframe track clip.mp4 --mask first.png -o seen.mkv --found masks/
  midframe track clip.mp4 --points points.csv          lines of x,y or x,y,name
  midframe track clip.mp4 --mask first.png --model corrflow-s/memory
  midframe track frames/ --rate 12 --mask first.png -o seen.mp4

The mask has the size of the frames. Each index of its palette, each grey
value, or each colour is an object; black is the background."""


def track(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="Video file, folder of images, GIF or APNG.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="The clip with it drawn in. Default: IN.tracked.EXT beside the clip."
        ),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", metavar="PNG", help="Objects in the first frame, one or several.")
    ] = None,
    points: Annotated[
        Path | None, typer.Option("--points", metavar="CSV", help="Points in the first frame: x,y or x,y,name.")
    ] = None,
    found: Annotated[
        Path | None,
        typer.Option(
            "--found",
            metavar="PATH",
            help="A folder for the masks, or a CSV for the points. Default: OUT-masks or OUT-points.csv.",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="One that propagates, see `midframe models`.")
    ] = "corrflow-s",
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Weights in place of the model's own.")
    ] = None,
    short_side: Annotated[
        int, typer.Option("--short-side", metavar="PIXELS", help="Larger frames are worked on at this.")
    ] = 480,
    stop_at_cuts: Annotated[bool, typer.Option("--stop-at-cuts", help="Mark nothing from the first cut on.")] = False,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="RATE", help="Frames a second of a folder of images (24).")
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1.")] = "cpu",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads of the computation.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the outputs if they exist.")] = False,
    progress: Annotated[
        ProgressMode,
        typer.Option(
            "--progress", help="On stderr: a bar, lines of JSON, or none; auto: a bar on a terminal, else JSON."
        ),
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Follow objects or points of the first frame through a clip: a mask for each frame, or a line for each point, and
    the clip with them drawn in."""

    def summary(text: str) -> None:
        print(text, file=sys.stdout)

    with make_reporter(progress, quiet=quiet, summary=summary) as reporter:
        try:
            with terminable():
                import torch

                from midframe import api

                if threads is not None:
                    torch.set_num_threads(threads)
                result = api.track(
                    clip, output, mask=mask, points=points, found=found, model=model, weights=weights, device=device,
                    short_side=short_side, stop_at_cuts=stop_at_cuts, rate=rate, overwrite=overwrite, on_event=reporter,
                )  # fmt: skip
        except KeyboardInterrupt as stop:
            what, code = name_stop(stop)
            raise InterruptedJob(f"{what}. Nothing was kept; the same command begins again.", code) from None
        reporter.finish(result)
