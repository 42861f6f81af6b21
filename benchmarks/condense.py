"""Rate and distortion of condensed films against x265 alone: bytes of the film, mean PSNR of all frames over RGB.

    python benchmarks/condense.py CLIP [--out DIR] [--models dis] [--crfs 18,22,26,30] [--below 2,5] [--threads 1]

A curve for x265 alone, over --crfs, and one for each model and each of --below: its tolerance is that many dB below
what x265 alone reaches in the mean at the same crf, so that frames made again are about that much worse than others.
Writes DIR/condense.json and DIR/condense.png, and prints how many bytes each takes where x265 alone is as good.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from midframe.engine.condense import condense, measure
from midframe.engine.job import InterpolateJob
from midframe.engine.run import run
from midframe.video.pixel import resolve, to_rgb, working_format
from midframe.video.probe import probe, scan
from midframe.video.reader import Reader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--out", type=Path, default=Path("condense"))
    parser.add_argument("--models", default="dis")
    parser.add_argument("--crfs", default="18,22,26,30")
    parser.add_argument("--below", default="2,5", help="dB")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    crfs = [float(crf) for crf in given.crfs.split(",")]
    curves: dict[str, list[dict[str, float]]] = {"x265": []}
    with tempfile.TemporaryDirectory(prefix="midframe-") as folder:
        for crf in crfs:
            path = Path(folder) / f"plain-{crf:g}.mkv"
            coding = {"codec": "hevc", "crf": crf, "audio": "drop", "threads": given.threads}
            run(InterpolateJob(input=given.clip, output=str(path), factor="1", model="blend", **coding))
            reached = mean_psnr(path, given.clip)
            curves["x265"].append({"crf": crf, "bytes": path.stat().st_size, "psnr": reached})
            tell("x265", curves["x265"][-1])
            for model in given.models.split(","):
                for below in (float(part) for part in given.below.split(",")):
                    name = f"{model}, {below:g} dB below"
                    small = Path(folder) / f"{model.replace('/', '-')}-{below:g}-{crf:g}.mkv"
                    job = InterpolateJob(input=given.clip, output=str(small), model=model, **coding)
                    made = condense(job, tolerance=reached - below)
                    point = {"crf": crf, "bytes": made.bytes, "psnr": made.psnr, "kept": made.kept / made.frames,
                             "tolerance": made.tolerance, "seconds": made.seconds}  # fmt: skip
                    curves.setdefault(name, []).append(point)
                    tell(name, point)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "condense.json").write_text(json.dumps({"clip": Path(given.clip).name, "curves": curves}, indent=1))
    draw(curves, given.out / "condense.png", Path(given.clip).name)
    for name in curves:
        if name != "x265":
            print(f"{name}: {compare(curves['x265'], curves[name])}")


def mean_psnr(made: Path, source: str) -> float:
    """As `condense` measures it: over RGB, of every frame, then the mean."""
    readers = []
    for path in (str(made), source):
        info = probe(path)
        pix_fmt = working_format(info.pix_fmt)
        readers.append((Reader(info, scan(info), pix_fmt=pix_fmt), resolve(info.colour, pix_fmt, info.height)))
    (one, own), (other, its) = readers
    with one, other:
        return float(np.mean([
            measure(to_rgb(a.picture, own), to_rgb(b.picture, its))
            for a, b in zip(one.frames(), other.frames(), strict=True)
        ]))  # fmt: skip


def compare(plain: list[dict[str, float]], other: list[dict[str, float]]) -> str:
    """Bytes of `other` over those of x265 alone at equal PSNR, on a straight line through the logarithms."""
    known = sorted((point["psnr"], np.log(point["bytes"])) for point in plain)
    at, logs = zip(*known, strict=True)
    shared = [point for point in other if at[0] <= point["psnr"] <= at[-1]]
    if not shared:
        return "no point lies where x265 alone has been measured"
    ratios = [point["bytes"] / np.exp(np.interp(point["psnr"], at, logs)) for point in shared]
    mean = np.exp(np.mean(np.log(ratios)))
    return f"{mean - 1:+.1%} bytes at equal PSNR, in the mean of {len(shared)} points"


def tell(name: str, point: dict[str, float]) -> None:
    kept = f", {point['kept']:.0%} kept at {point['tolerance']:.1f} dB" if "kept" in point else ""
    print(f"{name:18} crf {point['crf']:g}: {point['bytes'] / 1e3:8.1f} kB  {point['psnr']:.2f} dB{kept}", flush=True)


def draw(curves: dict[str, list[dict[str, float]]], path: Path, title: str) -> None:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for name, points in curves.items():
        label = name if name == "x265" else f"x265 and {name}"
        panel.plot([p["bytes"] / 1e3 for p in points], [p["psnr"] for p in points], "o-", label=label)
    panel.set(xscale="log", xlabel="kB", ylabel="PSNR over RGB, mean of all frames (dB)", title=title)
    panel.grid(alpha=0.3)
    panel.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
