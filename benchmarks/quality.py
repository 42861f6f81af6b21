"""The bars of quality on the 12 triplets of Middlebury "other": PSNR of 8-bit RGB, and the SSIM that each bar is in.

    python benchmarks/quality.py DIR [--only WORD]

DIR/SCENE/frame10.png, frame10i11.png, frame11.png, as `midframe bench` reads them. Exit code 1 if a bar is missed.
"""

import argparse
import sys
from pathlib import Path

from midframe.bench.suite import run_triplets
from midframe.models.load import load

BARS = {  # model: (PSNR in dB, which SSIM, its bar or None)
    "dis": (34.6, "ssim", 0.950),
    "dis/best": (34.6, "ssim", 0.950),
    "dis/fast": (34.0, "ssim", None),
    "phase": (31.1, "ssim_gaussian3d", 0.933),
    "midnet": (36.2, "ssim", 0.960),  # a little above RIFE 3.1, 36.13 / 0.960
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", default="", help="only models whose name holds this word")
    options = parser.parse_args()
    names = [name for name in BARS if options.only in name]
    missed = False
    for row in run_triplets(options.directory, names, load=load):
        psnr, kind, ssim = BARS[row["model"]]
        similarity = row["ssim"] if kind == "ssim" else row["ssim_gaussian3d"]
        reached = row["psnr"] >= psnr and (ssim is None or similarity >= ssim)
        missed |= not reached
        print(
            f"{row['model']:10} {row['psnr']:.2f} dB (bar {psnr})   {kind} {similarity:.4f} (bar {ssim or '-'})   "
            f"{'reached' if reached else 'MISSED'}"
        )
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
