"""A suite's results for people: the Markdown page, the plot of quality against cost, sheets of the worst frames."""

import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from midframe.bench.between import side_by_side
from midframe.bench.cases import SUITES, Cases
from midframe.bench.clips import Picture
from midframe.bench.published import PUBLISHED
from midframe.bench.quality import METRICS, Record
from midframe.bench.speed import COUNTED, Cost
from midframe.errors import OutputError

HARD_BY = "dis"  # the model whose error says which frames are hard
HARD_SHARE = 10  # one in so many
HARD_LEAST = 100  # frames of a suite that has a hard part
SHEET_WIDTH = 320  # pixels of each of the three pictures of a row

_HEADS = ("PSNR (dB)", "SSIM", "SSIM 3-D", "IE", "LPIPS", "tOF (px)")
_FORMATS = (".2f", ".4f", ".4f", ".2f", ".4f", ".3f")

_NOTES = """\
Quality: result clamped; mean over all frames made. {rounding} SSIM as scikit-image (uniform 7×7), SSIM 3-D as most
papers (Gaussian 11×11×11), IE mean absolute difference in 8-bit codes, LPIPS of AlexNet (lower is nearer), tOF the
distance in pixels between the motion of the film made and of the true one (Farnebäck; lower is nearer). See
[Metrics](../metrics.md).

Cost: median wall time from two 8-bit pictures to the one between them, runs of the models interleaved, and the time of
a pair with seven new frames over that with one, at 720p. GMAC: 10⁹ multiply-accumulates of one new frame at 720p in
convolutions and matrix products, what papers call FLOPs; “–” for classical models, whose work PyTorch does not see.
Memory: what a process needs at 720p beyond interpreter and libraries, weights included."""


def summarise(record: Record, frames: Sequence[int] | None = None) -> dict[str, float | None]:
    """The mean of each of METRICS over all frames, or those of these indices; None where there is nothing."""
    means: dict[str, float | None] = {}
    for metric in METRICS:
        values = record.frames[metric] if frames is None else [record.frames[metric][index] for index in frames]
        known = [value for value in values if value is not None]
        means[metric] = statistics.fmean(known) if known else None
    return means


def parts(records: Sequence[Record]) -> dict[str, list[int]]:
    """Parts of a suite that get a table of their own, as indices of frames: the factors, if there are several, and the
    tenth of the frames that `dis` makes worst, if it was measured and there are frames enough."""
    if not records:
        return {}
    factors = records[0].frames["factor"]
    found: dict[str, list[int]] = {}
    if len(set(factors)) > 1:
        for factor in sorted(set(factors)):
            left_out = "every second frame" if factor == 2 else f"{factor - 1} of {factor} frames"
            found[f"{factor}×: {left_out} left out"] = [i for i, f in enumerate(factors) if f == factor]
    judge = next((record for record in records if record.model == HARD_BY), None)
    if judge is not None and len(factors) >= HARD_LEAST:
        worst_first = np.argsort(np.array(judge.frames["psnr"]), kind="stable")
        count = len(factors) // HARD_SHARE
        found[f"Where flow breaks: the {count} frames that {HARD_BY} makes worst"] = sorted(
            worst_first[:count].tolist()
        )
    return found


def format_page(cases: Cases, records: Sequence[Record], costs: Sequence[Cost], *, picture: str | None = None) -> str:
    """The page of a suite. `records` are whole and of these cases; `picture` is the plot's file name."""
    names = ",".join(record.model for record in records)
    data = " --data DIR" if SUITES[cases.suite] else ""
    frames = len(records[0].frames["psnr"]) if records else 0
    rounding = (
        "PSNR and SSIM 3-D of the float result, as most papers; the others of it rounded to 8 bits."
        if cases.protocol.rounding == "float"
        else "Rounded to 8 bits, then RGB."
    )
    named = f" Protocol: `{cases.protocol_name}`." if cases.protocol_name else ""
    lines = [
        f"# Benchmark: {cases.suite}",
        "",
        f"{cases.title}. {frames} frames made.{named}",
        "",
        "```sh",
        f"midframe bench --suite {cases.suite}{data} --models {names}",
        "```",
        "",
        "## Quality",
        "",
        *_quality_table(records, None),
        "",
    ]
    for title, indices in parts(records).items():
        lines += [f"### {title}", "", *_quality_table(records, indices), ""]
    if picture is not None:
        lines += [f"![PSNR and LPIPS against seconds per new frame at 720p]({picture})", ""]
    known = [cost for record in records for cost in costs if cost.model == record.model]
    if known:
        lines += ["## Cost", "", *_cost_table(known), ""]
    if cases.suite in PUBLISHED:
        lines += ["## Published", "", *_published_table(cases.suite), ""]
    lines += ["## How it was measured", "", *_NOTES.format(rounding=rounding).splitlines(), ""]
    lines += sorted({f"Quality on {one.environment['device']}; {_versions(one.environment)}." for one in records})
    lines += sorted({f"Times on {cost.machine}; {_versions(cost.environment)}." for cost in known})
    return "\n".join(lines) + "\n"


def plot_quality(records: Sequence[Record], costs: Sequence[Cost], path: Path) -> bool:
    """PSNR, and LPIPS beside it, against seconds per new frame at 720p, as a PNG. False, and no file, if no model was
    timed there. Raises OutputError if it cannot be written."""
    size = f"{COUNTED[0]}x{COUNTED[1]}"
    points = [
        (record.model, cost.device, cost.seconds[size], summarise(record))
        for record in records
        for cost in costs
        if cost.model == record.model and size in cost.seconds
    ]
    if not points:
        return False
    shown = ["psnr", *(["lpips"] if all(means["lpips"] is not None for *_, means in points) else [])]
    figure = Figure(figsize=(5.2 * len(shown), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for device in dict.fromkeys(device for _, device, *_ in points):
            of_device = [point for point in points if point[1] == device]
            axes.plot(
                [seconds for *_, seconds, _ in of_device], [m[metric] or 0 for *_, m in of_device], "o", label=device
            )
        for name, _, seconds, means in points:
            axes.annotate(name, (seconds, means[metric] or 0), xytext=(5, 4), textcoords="offset points", fontsize=8)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.25, y=0.12)
        axes.set(xlabel="seconds per new frame, 1280×720", ylabel="PSNR (dB)" if metric == "psnr" else "LPIPS")
        axes.grid(alpha=0.3, which="both")
        if metric == "lpips":
            axes.invert_yaxis()  # better is up, as on the left
        if len({device for _, device, *_ in points}) > 1:
            axes.legend()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=100)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another --output.") from error
    return True


def write_sheet(pictures: Sequence[Picture], path: Path) -> None:
    """The worst frames below each other, each made | truth | difference ×4, as a JPEG. Raises OutputError."""
    rows = [_label(picture) for picture in pictures]
    width = max(row.shape[1] for row in rows)
    sheet = np.concatenate(
        [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    )
    data = cv2.imencode(".jpg", np.ascontiguousarray(sheet[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another --sheets.") from error


def _label(picture: Picture) -> NDArray[np.uint8]:
    height, width = picture.made.shape[:2]
    size = (SHEET_WIDTH, max(1, round(height * SHEET_WIDTH / width)))
    small = [
        np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        for image in (picture.made, picture.truth)
    ]
    row = side_by_side(*small)
    score = picture.score
    text = f"{score.clip} frame {score.index} of {score.factor}x: {score.psnr:.2f} dB"
    band = np.full((18, row.shape[1], 3), 255, np.uint8)
    cv2.putText(band, text.encode("ascii", "replace").decode(), (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0))
    return np.concatenate((band, row))


def format_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * left}{'--:|' * (len(heads) - left)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _quality_table(records: Sequence[Record], indices: Sequence[int] | None) -> list[str]:
    rows = []
    for record in records:
        means = summarise(record, indices)
        figures = [show(means[metric], form) for metric, form in zip(METRICS, _FORMATS, strict=True)]
        rows.append([f"`{record.model}`", *figures])
    return format_table(("model", *_HEADS), rows)


def _cost_table(costs: Sequence[Cost]) -> list[str]:
    sizes = list(dict.fromkeys(size for cost in costs for size in cost.seconds))
    heads = ("model", "device", "parameters", "GMAC", *(f"s at {size.replace('x', '×')}" for size in sizes))
    rows = [
        [
            f"`{cost.model}`",
            cost.device,
            f"{cost.parameters / 1e6:.2f} M" if cost.parameters else "–",
            show(cost.macs, ".1f", lambda macs: macs / 1e9),
            *(show(cost.seconds.get(size), ".3f") for size in sizes),
            show(cost.ratio, ".2f"),
            show(cost.memory, ".0f", lambda size: size / 2**20),
        ]
        for cost in costs
    ]
    return format_table((*heads, "8× / 2×", "memory (MiB)"), rows, left=2)


def _published_table(suite: str) -> list[str]:
    rows = [
        [
            one.model,
            show(one.psnr, ".2f"),
            show(one.ssim if one.uniform else None, ".4f"),
            show(None if one.uniform else one.ssim, ".4f"),
            show(one.ie, ".2f"),
            f"{one.parameters:g} M" if one.parameters else "–",
            show(one.gmacs, "g"),
            one.source,
        ]
        for one in PUBLISHED[suite]
    ]
    heads = ("model", "PSNR (dB)", "SSIM", "SSIM 3-D", "IE", "parameters", "GMAC", "source")
    lines = format_table(heads, rows)
    return [*lines, "", "Theirs: as the source prints it, trained and run by the source; its own count of operations."]


def show(value: float | None, form: str, scale: Callable[[float], float] = lambda value: value) -> str:
    return "–" if value is None else format(scale(value), form)


def _versions(environment: Mapping[str, dict[str, str]]) -> str:
    return ", ".join(f"{name} {number}" for name, number in environment["versions"].items())
