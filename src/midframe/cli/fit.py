"""`midframe fit`: one network for one clip, which shows it at any time."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midframe.cli.interpolate import InterruptedJob, name_stop, terminable
from midframe.cli.progress import counting, format_seconds, format_size
from midframe.cli.train import read_duration
from midframe.errors import OutputError

if TYPE_CHECKING:
    from midframe.train.fit import Fitted
    from midframe.train.loop import Step

EXAMPLES = """Examples:
  midframe fit clip.mp4 -o clip.safetensors --budget 10m
  midframe fit clip.mp4 --size 320 --steps 5000 --penalty slope --strength 0.1
  midframe fit clip.mp4 --hold-out     how good is it between frames?
  midframe fit clip.mp4 --model vae-gp --kernel rbf
  midframe walk clip.safetensors -o walk.mp4

Stopped (Ctrl-C, a power cut)? Run the same command again: it goes on."""


def fit(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="Video file, folder of images, GIF or APNG.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="Default: CLIP.safetensors.")
    ] = None,
    size: Annotated[
        int, typer.Option("--size", metavar="PIXELS", help="Longer side of the fit; 0 = the clip's own size.")
    ] = 160,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Of six frames each, of vae-gp 24. [default: 1500]")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="TIME", help="As many steps as fit into it: 10m, 90s, 1h30m.")
    ] = None,
    penalty: Annotated[
        str | None,
        typer.Option(
            "--penalty", metavar="NAME", help="Of time-to-image: curvature (default), slope, variation, none."
        ),
    ] = None,
    strength: Annotated[
        float | None, typer.Option("--strength", metavar="X", help="Of the penalty. [default: 1]")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option("--width", metavar="N", help="Channels: more takes longer and shows more. [default: 48]"),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="time-to-image or vae-gp, or one of their variants.")
    ] = "time-to-image",
    kernel: Annotated[
        str | None, typer.Option("--kernel", metavar="NAME", help="Of vae-gp: matern52 (default), matern32 or rbf.")
    ] = None,
    process: Annotated[
        str | None,
        typer.Option("--process", metavar="NAME", help="Of vae-gp: exact (default), inducing or state-space."),
    ] = None,
    hold_out: Annotated[
        bool, typer.Option("--hold-out", help="Learn from every second frame; say how well the others are met.")
    ] = False,
    bits: Annotated[int, typer.Option("--bits", metavar="N", help="Of each weight in the file: 8, 16 or 32.")] = 8,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1.")] = "cpu",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads of the computation.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Fit a network from time to picture to one clip, smooth in time; `midframe walk` shows it at any time."""
    from midframe.errors import UsageError

    if bits not in (8, 16, 32):
        raise UsageError(f"--bits {bits}: choose 8, 16 or 32.")
    seconds = None if budget is None else read_duration(budget)
    goal = output or Path(clip.rstrip("/")).with_suffix(".safetensors")
    if goal.exists() and not overwrite:
        raise OutputError(f"{goal} exists; --overwrite replaces it, -o gives another name.")
    if not goal.parent.is_dir():
        raise OutputError(f"{goal.parent}: no such folder; make it first, or give another name with -o.")

    import torch

    from midframe.engine.journal import Journal
    from midframe.models.load import read_device
    from midframe.train.fit import FitOptions, check_options, fit_clip
    from midframe.video.probe import probe

    options = FitOptions(
        model=model, size=size or None, steps=steps, budget=seconds, penalty=penalty, strength=strength, width=width,
        kernel=kernel, process=process, hold_out=hold_out, bits=bits,  # type: ignore[arg-type]
    )  # fmt: skip
    check_options(options)
    place = read_device(device)
    if threads is not None:
        torch.set_num_threads(threads)

    def say(text: str) -> None:
        if not quiet and not text.startswith("tensorboard"):
            typer.echo(text, err=True)

    info = probe(clip)
    source = None if info.is_images else Path(info.path).stat()
    told = {
        "clip": Path(clip).name, "size": size, "steps": steps, "budget": seconds, "penalty": penalty,
        "strength": strength, "width": width, "kernel": kernel, "process": process, "model": model,
        "hold_out": hold_out,
        "source size": source and source.st_size, "source time": source and source.st_mtime_ns,
    }  # fmt: skip
    with Journal(goal) as journal:
        journal.begin(told, anew=overwrite)
        try:
            with terminable(), counting("reading", quiet=quiet) as count:
                seen: list[int] = []

                def step(event: "Step") -> None:
                    if not seen:  # what went before was reading
                        count(0, event.steps)
                    seen.append(event.step)
                    count(event.step, event.steps)

                made = fit_clip(
                    clip, journal.folder / "fitted.safetensors", options, journal.folder,
                    tell=say, on_read=count, on_step=step, device=place,
                )  # fmt: skip
        except KeyboardInterrupt as stop:
            what, code = name_stop(stop)
            raise InterruptedJob(f"{what}. Run the same command again to go on.", code) from None
        made.path.replace(goal)
        journal.remove()
    if not quiet:
        typer.echo(describe(made, goal))


def describe(made: "Fitted", goal: Path) -> str:
    """What was fitted, a few lines."""
    height, width = made.size
    lines = [
        str(goal),
        f"  clip      {made.frames} frames, at {width}x{height}",
        f"  network   {made.parameters:,} parameters, {format_size(made.bytes)}: "
        f"{made.bits_per_pixel:.3f} bits for a pixel",
        f"  PSNR      {made.seen:.2f} dB on the frames learnt from",
    ]
    if made.unseen is not None:
        lines.append(
            f"            {made.unseen:.2f} dB on those held out; the mean of both neighbours {made.blend:.2f} dB"
        )
    lines.append(f"  took      {format_seconds(made.seconds)}, {made.steps} steps")
    return "\n".join(lines)
