"""What a limit on the embedding and a penalty in time are worth: PSNR on frames that a fit has not seen.

    python benchmarks/time_to_image.py CLIP [--size 160] [--steps 1200] [--seeds 1] [--only WORDS] [--threads 1]

Every second frame is learnt from, the others are compared: "unseen"; "blend" is the mean of both neighbours there.
Exit code 1 if, with NeRV's 40 frequencies, the penalty is not worth at least 1 dB on unseen frames.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import torch

from midframe.analysis.walk import measure_smoothness
from midframe.models.fitted import load_fit
from midframe.train.fit import FitOptions, fit_clip

BAR = 1.0  # dB
ROWS = {  # embedding and penalty: variant, penalty, strength
    "K=40 none": ("plain", "none", 0.0),
    "K=40 slope 0.1": ("plain", "slope", 0.1),
    "K=40 slope 1": ("plain", "slope", 1.0),
    "K=40 curvature 1": ("plain", "curvature", 1.0),
    "Nyquist none": ("base", "none", 0.0),
    "Nyquist curvature 0.1": ("base", "curvature", 0.1),
    "Nyquist curvature 1": ("base", "curvature", 1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="only rows whose name holds one of these words, by commas")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    unseen = {}
    print(f"{'':22} {'seen':>6} {'unseen':>7} {'gap':>5} {'blend':>6}  roughness  seconds")
    for name, (variant, penalty, strength) in ROWS.items():
        if not any(word in name for word in given.only.split(",")):
            continue
        found = []
        for seed in range(1, given.seeds + 1):
            options = FitOptions(
                model=f"time-to-image/{variant}", size=given.size, steps=given.steps, penalty=penalty,
                strength=strength, hold_out=True, seed=seed,
            )  # fmt: skip
            with tempfile.TemporaryDirectory(prefix="midframe-") as folder:
                made = fit_clip(given.clip, Path(folder) / "fit.safetensors", options, Path(folder))
                model, _ = load_fit(made.path)
            times = [n / 8 for n in range(8 * min(model.frames - 1, 40) + 1)]
            with torch.inference_mode():
                found.append((made.seen, made.unseen, made.blend, measure_smoothness(model, times), made.seconds))
        seen, other, blend, rough, seconds = (statistics.fmean(column) for column in zip(*found, strict=True))
        unseen[name] = other
        print(
            f"{name:22} {seen:6.2f} {other:7.2f} {seen - other:5.2f} {blend:6.2f}  {rough:9.3f}  {seconds:7.0f}",
            flush=True,
        )
    if {"K=40 none", "K=40 curvature 1"} <= unseen.keys():
        worth = unseen["K=40 curvature 1"] - unseen["K=40 none"]
        print(f"the penalty is worth {worth:+.2f} dB (bar {BAR:+.2f}): {'reached' if worth >= BAR else 'MISSED'}")
        sys.exit(0 if worth >= BAR else 1)


if __name__ == "__main__":
    main()
