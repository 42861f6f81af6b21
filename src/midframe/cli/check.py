"""`midframe check`: how good a model will be on this clip, by making frames that are known."""

import json
import math
import statistics
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from midframe.cli.info import SOURCES, refuse_stdin, scan_source
from midframe.cli.progress import counting
from midframe.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray
    from torch import Tensor

    from midframe.bench.check import CheckResult
    from midframe.engine.job import InterpolateJob
    from midframe.engine.plan import Plan
    from midframe.types import Synthesizer
    from midframe.video.colour import Colour
    from midframe.video.probe import VideoInfo
    from midframe.video.reader import Reader

EXAMPLES = """Examples:
  midframe check clip.mp4
  midframe check clip.mp4 --model midnet,dis,blend --start 1:20 --frames 200
  midframe check clip.mp4 --out report --json > report.json

The gap that is bridged here is twice as long as in use: there the result looks
better than these figures say. Figures are of 8-bit RGB; cuts are left out."""
JOB_OPTIONS = ("weights", "effort", "start_time", "end_time", "rate", "cut_list", "deinterlace", "allow_damaged")
WORST = 6  # pictures kept of each model
BISECTION_DEPTH = 4  # as the engine: a middle-frame model answers t in sixteenths


def check(
    input: Annotated[str, typer.Argument(metavar="IN", help=SOURCES)],
    model: Annotated[
        str,
        typer.Option("--model", metavar="NAMES", help="Models to try, separated by commas, e.g. midnet,dis,blend."),
    ] = "midnet",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for pictures and plot. Default: IN.check.")
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=0, help="Source frames to look at; 0 = all.")
    ] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show how far it is.")] = False,
    **options: Any,
) -> None:
    """Drop every second frame, make it again, compare: PSNR, SSIM, the worst frames as pictures, a plot."""
    from midframe.api import make_job
    from midframe.models.catalogue import check_model

    refuse_stdin(input)
    names = list(dict.fromkeys(name.strip() for name in model.split(",") if name.strip()))
    if not names:
        raise UsageError("--model names none: give e.g. --model dis,blend.")
    job = make_job(input, model=names[0], **options)
    if options["weights"] is not None and len(names) > 1:
        raise UsageError("--weights are of one model: give --model one name.")
    for name in names:
        check_model(name, effort=job.effort)  # a misspelt name is refused before the first one is measured
    if 0 < frames < 3:
        raise UsageError(f"--frames {frames}: the check needs at least 3; 0 takes all.")

    from midframe.analysis.cuts import read_cut_list
    from midframe.bench.check import check_clip, plot_scores
    from midframe.engine.plan import make_plan
    from midframe.models.load import load
    from midframe.video.pixel import resolve as resolve_colour
    from midframe.video.pixel import working_format
    from midframe.video.probe import probe
    from midframe.video.reader import Reader

    info = probe(job.input)
    plan = make_plan(job, scan_source(job, info))
    stop = min(plan.stop, plan.first + frames) if frames else plan.stop
    if stop - plan.first < 3:
        raise InputError(f"{input}: the check needs at least three frames, there are {stop - plan.first}.")
    pix_fmt = working_format(info.pix_fmt)
    colour = resolve_colour(info.colour, pix_fmt, info.height)
    listed = find_listed_gaps(plan, read_cut_list(job.cut_list)) if job.cut_list is not None else None
    folder = out if out is not None else default_folder(input)
    make_folder(folder)

    found: dict[str, CheckResult] = {}
    cuts: set[int] = set()
    for name in names:
        synthesizer = adapt(load(name, weights=job.weights, effort=job.effort), plan)
        with (
            counting(f"checking {name}", quiet=quiet) as count,
            Reader(
                info, plan.timeline, pix_fmt=pix_fmt, deinterlace=job.deinterlace, allow_damaged=job.allow_damaged
            ) as reader,
            closing(read_clip(plan, stop, reader, colour, cuts, listed)) as clip,
        ):
            found[name] = check_clip(
                told(clip, lambda done: count(done, stop - plan.first)), synthesizer, cuts=cuts, worst=WORST
            )
    pictures = {name: write_worst(folder, name, result) for name, result in found.items()}
    plot = folder / "psnr.png"
    plot_scores({name: result.scores for name, result in found.items()}, plot, title=Path(input).name)
    if as_json:
        values = as_values(job, info, plan, stop, found, pictures, plot)
        typer.echo(json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print_results(plan, stop, found, pictures, plot)


def default_folder(input: str) -> Path:
    """IN.check beside the input."""
    path = Path(input)
    return path.with_name(f"{path.name if path.is_dir() else path.stem}.check")


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{folder} is a file; give another folder with --out.") from error
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); give another folder with --out.") from error


def adapt(model: "Synthesizer", plan: "Plan") -> "Synthesizer":
    """The model as the engine uses it: one that renders the middle only is asked again where frames are uneven."""
    from midframe.models.adapt import Bisected

    if model.contract.times is not None and plan.timeline.rate is None:
        return Bisected(model, depth=BISECTION_DEPTH)
    return model


def find_listed_gaps(plan: "Plan", times: list[Fraction]) -> frozenset[int]:
    """Gaps in front of the frames nearest to `times`."""
    frames = [round(plan.timeline.position(time)) for time in times]
    return frozenset(frame - 1 for frame in frames if 0 < frame < len(plan.timeline))


def told(clip: "Iterator[tuple[Fraction, Tensor]]", tell: Callable[[int], None]) -> "Iterator[tuple[Fraction, Tensor]]":
    """`clip`, telling how many frames were taken."""
    for done, frame in enumerate(clip, start=1):
        yield frame
        tell(done)


def read_clip(
    plan: "Plan",
    stop: int,
    reader: "Reader",
    colour: "Colour",
    cuts: set[int],
    listed: frozenset[int] | None,
) -> "Generator[tuple[Fraction, Tensor], None, None]":
    """Time and RGB of frames [plan.first, stop). Reads ahead, so that `cuts`, gaps counted from the first frame of the
    clip, is complete up to every frame that is given out."""
    from midframe.analysis.cuts import is_cut
    from midframe.analysis.glance import CONTEXT, Glance, Pairs, glance
    from midframe.video.pixel import to_rgb

    first = plan.first
    glances: dict[int, Glance] = {}
    pairs = Pairs(glances.__getitem__)
    waiting: deque[tuple[int, av.VideoFrame]] = deque()

    def give_out() -> "tuple[Fraction, Tensor]":
        index, picture = waiting.popleft()
        gap = index - 1
        if gap >= first and (gap in listed if listed is not None else is_cut(pairs, gap, first, plan.stop)):
            cuts.add(gap - first)
        for old in [known for known in glances if known < gap - CONTEXT]:
            del glances[old]
        pairs.forget(gap - CONTEXT)
        # Alpha is left out: what is measured is what is seen on its own.
        return plan.timeline.pts(index), to_rgb(picture, colour)[:3]

    # The last gap is judged from frames beyond `stop`, as in a whole job.
    for frame in reader.frames(first, min(stop + CONTEXT, plan.stop)):
        glances[frame.index] = glance(frame.picture)
        if frame.index < stop:
            waiting.append((frame.index, frame.picture))
        while waiting and frame.index >= waiting[0][0] + CONTEXT:
            yield give_out()
    while waiting:
        yield give_out()


def write_worst(folder: Path, name: str, result: "CheckResult") -> list[Path]:
    """The worst frames as MODEL-worst-1.png …: made, truth, difference side by side."""
    from midframe.bench.check import join_worst

    paths = []
    for rank, worst in enumerate(result.worst, start=1):
        path = folder / f"{name.replace('/', '-')}-worst-{rank}.png"
        write_png(path, join_worst(worst))
        paths.append(path)
    return paths


def write_png(path: Path, picture: "NDArray[Any]") -> None:
    """H W 3 uint8 RGB. Encoded by OpenCV but written by Python, which knows every name on Windows, too."""
    import cv2

    data = cv2.imencode(".png", picture[..., ::-1])[1]
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); give another folder with --out.") from error


def as_values(
    job: "InterpolateJob",
    info: "VideoInfo",
    plan: "Plan",
    stop: int,
    found: "dict[str, CheckResult]",
    pictures: dict[str, list[Path]],
    plot: Path,
) -> dict[str, Any]:
    """Everything as plain values. PSNR is null for a frame made exactly; the mean counts that as 100 dB."""
    return {
        "input": job.input,
        "size": [info.width, info.height],
        "frames": stop - plan.first,
        "of": plan.stop - plan.first,
        "plot": str(plot),
        "models": [
            {
                "model": name,
                "psnr": finite(result.psnr),
                "ssim": finite(result.ssim),
                "psnr_median": finite(_median(result)),
                "psnr_worst": finite(min((score.psnr for score in result.scores), default=math.nan)),
                "judged": len(result.scores),
                "at_cuts": result.skipped,
                "worst": [
                    {"frame": plan.first + worst.score.index, "time": float(worst.score.pts),
                     "psnr": finite(worst.score.psnr), "ssim": finite(worst.score.ssim), "picture": str(path)}
                    for worst, path in zip(result.worst, pictures[name], strict=True)
                ],
                "scores": [
                    {"frame": plan.first + score.index, "time": float(score.pts), "t": str(score.t),
                     "psnr": finite(score.psnr), "ssim": finite(score.ssim)}
                    for score in result.scores
                ],
            }
            for name, result in found.items()
        ],
    }  # fmt: skip


def finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


def _median(result: "CheckResult") -> float:
    from midframe.bench.check import CEILING

    return statistics.median(min(score.psnr, CEILING) for score in result.scores) if result.scores else math.nan


def print_results(
    plan: "Plan", stop: int, found: "dict[str, CheckResult]", pictures: dict[str, list[Path]], plot: Path
) -> None:
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model")
    for heading in ("PSNR dB", "median", "worst", "SSIM", "frames made"):
        table.add_column(heading, justify="right")
    for name, result in found.items():
        lowest = min((score.psnr for score in result.scores), default=math.nan)
        figures = (f"{result.psnr:.2f}", f"{_median(result):.2f}", f"{lowest:.2f}", f"{result.ssim:.4f}")
        table.add_row(name, *figures, str(len(result.scores)))
    console.print(table)
    first = next(iter(found.values()))
    of = plan.stop - plan.first
    part = (
        f"the first {stop - plan.first} of {of} frames (--frames 0 takes all)" if stop < plan.stop else f"{of} frames"
    )
    left = f"; {first.skipped} at cuts not judged" if first.skipped else ""
    console.print(f"\nEvery second one of {part}, made from its neighbours{left}.")
    console.print("The gap is twice as long as in use: there it will look better than this.")
    for name, result in found.items():
        if not result.worst:
            continue
        console.print(f"\nWorst frames of {name} (made | truth | difference ×4):")
        for worst, path in zip(result.worst, pictures[name], strict=True):
            score = worst.score
            at = f"frame {plan.first + score.index} at {float(score.pts):.3f} s"
            console.print(f"  {at}: {score.psnr:.2f} dB, SSIM {score.ssim:.4f}  {path}")
    console.print(f"\nPSNR over time: {plot}")
