"""The whole job, H.264 to H.264, 30 → 60 frames per second at 1280x720, against FFmpeg's minterpolate in the same run.

    python benchmarks/whole_job.py [--clip FILE] [--frames 150] [--model dis/fast] [--preset veryfast] [--rounds 2]

Both make the same number of frames from the same file with x264 at the same preset and CRF, one after the other, in
turn, `rounds` times; the medians are compared. The bar is a ratio of at least 2. FFmpeg comes from imageio-ffmpeg.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
import numpy as np
from skimage import data

MINTERPOLATE = "minterpolate=fps=60:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1"


def render_clip(path: Path, frames: int, size: tuple[int, int] = (720, 1280)) -> None:
    """A pan and zoom over a photograph with a second one moving across it, with grain: 30 frames per second, x264."""
    height, width = size
    scale = height / 720
    back = cv2.resize(data.coffee(), (int(1600 * scale), int(1067 * scale)), interpolation=cv2.INTER_CUBIC)
    front = cv2.resize(data.astronaut(), (int(320 * scale), int(320 * scale)), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).normal(0, 2, (height, width, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "16", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(frames):
            zoom = 1 + 0.0015 * n
            x, y = scale * (20 + 2.3 * n % 240), scale * (60 + 0.9 * n % 180)
            view = np.array([[zoom, 0, -x], [0, zoom, -y]])
            picture = cv2.warpAffine(back, view, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
            place = np.array([[1, 0, scale * (100 + 7.7 * n % 800)], [0, 1, scale * (150 + 90 * np.sin(n / 9))]])
            mask = cv2.warpAffine(np.ones(front.shape[:2], np.float32), place, (width, height))[..., None]
            moved = cv2.warpAffine(front, place, (width, height), flags=cv2.INTER_CUBIC)
            mixed = picture * (1 - mask) + moved * mask + np.roll(noise, n * 37, (0, 1))
            frame = av.VideoFrame.from_ndarray(np.clip(mixed, 0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--model", default="dis/fast")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--segment", type=int, default=0, help="source frames a worker takes at a time")
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--crf", default="18")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--require", type=float, help="exit 1 if the ratio is below this")
    parser.add_argument("--smoke", action="store_true", help="a clip of 6 frames, once: does it run?")
    options = parser.parse_args()
    if options.smoke:
        options.frames, options.rounds = 6, 1
        print("a smoke run: it shows that the script works, its figures mean nothing")
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or Path(folder) / "clip.mp4"
        if options.clip is None:
            render_clip(clip, options.frames)
        theirs, ours = Path(folder) / "minterpolate.mp4", Path(folder) / "midframe.mp4"
        encode = ["-c:v", "libx264", "-preset", options.preset, "-crf", options.crf]
        ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-i", str(clip), "-an", "-vf", MINTERPOLATE]
        midframe = [sys.executable, "-m", "midframe.cli.main", "interpolate", str(clip), "-o", str(ours), "--fps", "60"]
        midframe += ["--model", options.model, "--preset", options.preset, "--crf", options.crf]
        midframe += ["--workers", str(options.workers), "--segment", str(options.segment)]
        midframe += ["--audio", "drop", "--overwrite", "--quiet"]
        warm_up = [*midframe, "--end-time", "0.4"]  # compiled kernels are cached on disk: not part of a usual job
        timed(warm_up)
        seconds: dict[str, list[float]] = {"minterpolate": [], "midframe": []}
        for _ in range(options.rounds):
            seconds["minterpolate"].append(timed([*ffmpeg, *encode, str(theirs)]))
            seconds["midframe"].append(timed(midframe))
        frames = {"minterpolate": count_frames(theirs), "midframe": count_frames(ours)}
    rate = {name: frames[name] / statistics.median(took) for name, took in seconds.items()}
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(
        f"1280x720 30 → 60, x264 {options.preset} crf {options.crf}, {frames['midframe']} frames, "
        f"model {options.model}, {options.workers} worker(s)"
    )
    for name in seconds:
        runs = ", ".join(f"{s:.2f}" for s in seconds[name])
        print(f"  {name:13} {rate[name]:6.2f} output frames/s   ({frames[name]} frames; runs {runs} s)")
    ratio = rate["midframe"] / rate["minterpolate"]
    print(f"  ratio         {ratio:6.2f}   (bar 2.00)")
    if options.require is not None and ratio < options.require:
        sys.exit(1)


if __name__ == "__main__":
    main()
