"""`midframe predict`: a clip, and what may come after its last frame."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from midframe.cli.interpolate import InterruptedJob, name_stop, terminable
from midframe.cli.progress import ProgressMode, make_reporter

EXAMPLES = """Examples:
  midframe predict clip.mp4                              eight frames more
  midframe predict clip.mp4 --frames 24 -o longer.mp4
  midframe predict clip.mp4 --model simvp-s/colour --weights mine.safetensors
  midframe predict frames/ --rate 12 -o longer.mkv       a folder of images

A model that draws futures makes several: --samples 4 writes OUT-1.mp4 to
OUT-4.mp4. `midframe models` says which models predict."""


def predict(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="Video file, folder of images, GIF or APNG.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="OUT", help="Default: IN.midframe.EXT beside the clip."),
    ] = None,
    frames: Annotated[int, typer.Option("--frames", "-n", metavar="N", min=1, help="Frames after the last one.")] = 8,
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=1, help="Futures, a file each, of a model that draws them.")
    ] = 1,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="One that predicts, see `midframe models`.")
    ] = "extrapolate",
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Weights in place of the model's own.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the first future; the next count on.")] = 0,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="RATE", help="Frames a second of a folder of images (24).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    progress: Annotated[
        ProgressMode,
        typer.Option(
            "--progress", help="On stderr: a bar, lines of JSON, or none; auto: a bar on a terminal, else JSON."
        ),
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Extend a clip by the frames that a model puts after its last one; sound and all else come along."""
    from midframe.models.catalogue import check_model

    check_model(model, "predict")  # before torch is loaded

    def summary(text: str) -> None:
        print(text, file=sys.stdout)

    with make_reporter(progress, quiet=quiet, summary=summary) as reporter:
        try:
            with terminable():
                from midframe import api

                results = api.predict(
                    clip, output, frames=frames, samples=samples, model=model, weights=weights, seed=seed, rate=rate,
                    overwrite=overwrite, on_event=reporter,
                )  # fmt: skip
        except KeyboardInterrupt as stop:
            what, code = name_stop(stop)
            raise InterruptedJob(f"{what}. Run the same command again to go on.", code) from None
        for result in results:
            reporter.finish(result)
