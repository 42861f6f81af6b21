"""`midframe walk`: a fitted clip at any time, as a film or pictures, and what its walk through time looks like."""

import itertools
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midframe.cli.between import PICTURES, write_picture
from midframe.cli.progress import counting
from midframe.errors import OutputError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from midframe.models.fitted import Fit
    from midframe.types import ClipModel

EXAMPLES = """Examples:
  midframe walk clip.safetensors -o slow.mp4               8 pictures a frame
  midframe walk clip.safetensors -o clip60.mp4 --fps 60    in real time, at 60
  midframe walk clip.safetensors -o one.png --from 1.25    one moment
  midframe walk clip.safetensors -o past.mp4 --to 12       beyond its end
  midframe walk clip.safetensors -o there.mp4 --from 1 --to 2 --straight --loop
  midframe walk clip.safetensors --report walk             pictures of the walk"""
MOST = 100_000  # pictures


def walk(
    fitted: Annotated[Path, typer.Argument(metavar="FIT", help="What `midframe fit` wrote.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="A video, a folder of pictures, or one picture."),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Seconds of the clip, or mm:ss. Default: its beginning."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="May lie beyond the clip's end, or before --from.")
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", min=1, help="Pictures for each frame of the clip; slow motion.")
    ] = 8,
    fps: Annotated[
        str | None, typer.Option("--fps", metavar="RATE", help="In real time at this rate, in place of --steps.")
    ] = None,
    even: Annotated[bool, typer.Option("--even", help="Time runs so that the picture changes evenly.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="There and back again.")] = False,
    straight: Annotated[
        bool, typer.Option("--straight", help="Straight through the network's own space, not along time.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Slice, speed and path of the walk as pictures.")
    ] = None,
    clip: Annotated[
        str | None, typer.Option("--clip", metavar="CLIP", help="The clip itself, whose slice is put beside.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Walk through the time of a fitted clip: a film or pictures at any rate and times, and how smooth it is."""
    if output is None and report is None:
        raise UsageError("say what to make: -o OUT for a film or pictures, --report DIR for what the walk looks like.")
    if clip is not None and report is None:
        raise UsageError("--clip is for --report.")
    from midframe.engine.plan import parse_rate, parse_time

    first = None if begin is None else parse_time(begin, "--from")
    last = None if end is None else parse_time(end, "--to")
    if output is not None and output.exists() and not overwrite:
        raise OutputError(f"{output} exists; --overwrite replaces it.")
    from midframe.models.fitted import load_fit

    model, fit = load_fit(fitted)
    low = fit.start if first is None else first
    high = fit.start + (model.frames - 1) / fit.rate if last is None else last
    alone = output is not None and output.suffix.lower() in PICTURES and not output.is_dir()
    times = place_times(fit, low, low if alone else high, steps, None if fps is None else parse_rate(fps, fit.rate))

    import torch

    with torch.inference_mode():
        render = straight_line(model, times[0], times[-1]) if straight and len(times) > 1 else model
        if even and len(times) > 2:
            from midframe.analysis.walk import even_times

            times = even_times(render, times)
        if loop:
            times += times[-2:0:-1]
        if output is not None:
            rate = parse_rate(fps, fit.rate) if fps is not None else fit.rate
            write_walk(model, render, times, output, rate, alone, overwrite, quiet)
        if report is not None:
            write_report(model, fit, render, times, report, clip, quiet)


def place_times(fit: "Fit", low: Fraction, high: Fraction, steps: int, fps: Fraction | None) -> list[float]:
    """Times in frames of the clip, from `low` to `high` seconds, either way."""
    step = 1 / fps if fps is not None else 1 / (fit.rate * steps)
    count = int(abs(high - low) / step + Fraction(1, 10**6)) + 1
    if count > MOST:
        raise UsageError(f"the walk has {count} pictures, more than {MOST}: take fewer --steps, or a part of it.")
    toward = 1 if high >= low else -1
    return [float((low + toward * n * step - fit.start) * fit.rate) for n in range(count)]


def straight_line(model: "ClipModel", begin: float, end: float) -> Any:
    """Frames on the straight line between the latents of two times, t running as it does along time."""
    import torch

    ends = model.latent(torch.tensor([begin, end]))

    def render(t: "Tensor") -> "Tensor":
        return model.decode(torch.lerp(ends[:1], ends[1:], ((t - begin) / (end - begin))[:, None]))

    return render


def write_walk(
    model: "ClipModel", render: Any, times: list[float], goal: Path, rate: Fraction, alone: bool, overwrite: bool,
    quiet: bool,
) -> None:  # fmt: skip
    import torch

    from midframe.api import interpolate
    from midframe.video.writer import container_of

    if not alone:
        container_of(goal)  # refuses a name that says nothing
    with tempfile.TemporaryDirectory(prefix="midframe-") as folder, counting("walking", quiet=quiet) as count:
        for number, t in enumerate(times):
            picture = as_picture(render(torch.tensor([t]))[0])
            write_picture(picture, goal if alone else Path(folder) / f"{number:06}.png")
            count(number + 1, len(times))
        if not alone:
            interpolate(folder, goal, rate=rate, factor=1, model="blend", overwrite=overwrite)
    if not quiet:
        beyond = sum(not 0 <= t <= model.frames - 1 for t in times)
        said = f", {beyond} of them outside the clip, where nothing was learnt" if beyond else ""
        typer.echo(f"{goal}: {len(times)} frame{'s' * (len(times) != 1)}{said}")


def write_report(
    model: "ClipModel", fit: "Fit", render: Any, times: list[float], folder: Path, clip: str | None, quiet: bool
) -> None:
    """slice.png, speed.png and path.png, and the figures on stdout."""
    import math

    import torch
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from midframe.analysis.walk import measure_smoothness, measure_speed, project, slice_through

    if len(times) < 3:
        raise UsageError("--report looks at a walk of three pictures or more.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}).") from error
    row = model.size[0] // 2
    pictures = [("fitted", as_picture(slice_through(render, times, row)))]
    if clip is not None:
        pictures.append(("clip", slice_of_clip(clip, fit, times, model.size, row)))
    figure = Figure(figsize=(4.5 * len(pictures), 5), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (name, picture) in zip(figure.subplots(1, len(pictures), squeeze=False)[0], pictures, strict=True):
        panel.imshow(picture, aspect="auto", extent=(0, model.size[1], times[-1], times[0]), interpolation="nearest")
        panel.set(title=f"{name}: row {row}", xlabel="x", ylabel="t (frames)")
    figure.savefig(folder / "slice.png", dpi=110)

    speed = measure_speed(render, times)
    figure = Figure(figsize=(8, 3), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    middles = [(a + b) / 2 for a, b in itertools.pairwise(times)]
    panel.plot(middles, speed, linewidth=1)
    low, high = max(0, math.ceil(min(times))), min(model.frames - 1, math.floor(max(times)))
    panel.plot(range(low, high + 1), [0] * (high + 1 - low), "|", color="black", label="frames")
    panel.set(xlabel="t (frames)", ylabel="RMS change for a frame", ylim=(-0.02 * max(speed), None))
    panel.legend()
    figure.savefig(folder / "speed.png", dpi=110)

    plane, shares = project(torch.cat([model.latent(torch.tensor([t])) for t in times]))
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    panel.plot(plane[:, 0], plane[:, 1], linewidth=0.5, color="grey")
    drawn = panel.scatter(plane[:, 0], plane[:, 1], c=times, s=6, cmap="viridis")
    figure.colorbar(drawn, label="t (frames)")
    panel.set(title="latents along time", xlabel=f"{shares[0]:.0%} of the variance", ylabel=f"{shares[1]:.0%}")
    figure.savefig(folder / "path.png", dpi=110)

    inside = [n / 8 for n in range(8 * (model.frames - 1) + 1)][: 8 * 200 + 1]
    if not quiet:
        figures = ", ".join(f"{name} {value:.2f} dB" for name, value in fit.figures.items())
        typer.echo(f"{folder}: slice.png, speed.png, path.png")
        typer.echo(f"  {fit.source}: {figures}")
        typer.echo(
            f"  roughness {measure_smoothness(model, inside):.3f} (second over first difference, 1/8 of a frame)"
        )


def slice_of_clip(clip: str, fit: "Fit", times: list[float], size: tuple[int, int], row: int) -> "NDArray[Any]":
    """The same row of the clip itself, T W 3 uint8: at each time the frame that is shown then."""
    import cv2
    import numpy as np

    from midframe.train.fit import read_frames
    from midframe.video.probe import probe, scan

    info = probe(clip)
    timeline = scan(info)
    shown = [float((timeline.pts(n) - fit.start) * fit.rate) for n in range(len(timeline))]
    rows = []
    for frame in read_frames(info, timeline):
        small = cv2.resize(frame[:3].permute(1, 2, 0).numpy(), (size[1], size[0]), interpolation=cv2.INTER_AREA)
        rows.append(small[row])
    picked = np.searchsorted(shown, np.asarray(times) + 1e-6, side="right") - 1
    return (np.stack(rows)[picked.clip(0, len(rows) - 1)].clip(0, 1) * 255).round().astype(np.uint8)


def as_picture(values: "Tensor") -> "NDArray[Any]":
    """C H W in [0, 1] as H W C uint8."""
    made: NDArray[Any] = (values.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    return made
