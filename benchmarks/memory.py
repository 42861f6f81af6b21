"""Peak memory of the whole job at 1920x1080, for a clip and one ten times as long.

    python benchmarks/memory.py [--frames 48] [--model dis] [--workers 1]

Prints the peak resident set of the process (of the largest process with workers). The bars: under 1.5 GB, and the
longer clip less than 5 % above the shorter.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from whole_job import render_clip

WATCH = (
    "import re, resource, sys; from midframe.cli.main import main\n"
    "try:\n    main()\n"
    "finally:\n"
    "    here = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    "    below = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
    "    print('PEAK', max(here, below), file=sys.stderr)"
)


def peak_mb(clip: Path, output: Path, model: str, workers: int) -> float:
    command = [sys.executable, "-c", WATCH, "interpolate", str(clip), "-o", str(output), "--model", model, "--quiet"]
    command += ["--workers", str(workers), "--overwrite", "--preset", "ultrafast"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return int(done.stderr.rsplit("PEAK", 1)[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--model", default="dis")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="clips of 3 and 30 frames: does it run?")
    options = parser.parse_args()
    if options.smoke:
        options.frames, options.model = 3, "blend"
        print("a smoke run: it shows that the script works, its figures mean nothing")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        render_clip(folder / "short.mp4", options.frames, (1080, 1920))
        render_clip(folder / "long.mp4", options.frames * 10, (1080, 1920))
        short = peak_mb(folder / "short.mp4", folder / "out.mp4", options.model, options.workers)
        long = peak_mb(folder / "long.mp4", folder / "out.mp4", options.model, options.workers)
    print(f"1920x1080, {options.model}, {options.workers} worker(s), {os.cpu_count()} cores")
    print(f"  {options.frames} frames: {short:.0f} MB, {options.frames * 10} frames: {long:.0f} MB "
          f"({100 * (long / short - 1):+.1f} %; bars: under 1500 MB, under +5 %)")  # fmt: skip


if __name__ == "__main__":
    main()
