"""Where the time of `dis` goes: CPU milliseconds for each stage of one pair and one t, on one thread.

    python benchmarks/dis_speed.py [--size 1280x720] [--repeat 7] [--presets best,balanced,fast] [FRAME0 FRAME1]

Without frames it makes a textured pair that pans by (9, 4) pixels with a disc that moves the other way. The last
column divides the whole by OpenCV's flow search alone: what everything around it costs.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # libgomp's busy waiting would be counted as our time

import cv2
import numpy as np
import torch
from timing import milliseconds

from midframe.models import dis
from midframe.ops.dense_search import find_flows, find_luma


def synthetic(height: int, width: int) -> np.ndarray:
    """2 3 H W float32: a pan and a disc against it, with detail at several sizes."""
    rng = np.random.default_rng(0)
    wide = np.zeros((height + 64, width + 64, 3), np.float32)
    for cell in (4, 16, 64):
        coarse = rng.random((wide.shape[0] // cell + 1, wide.shape[1] // cell + 1, 3), np.float32)
        wide += cv2.resize(coarse, wide.shape[1::-1], interpolation=cv2.INTER_CUBIC) / 3
    rows, columns = np.mgrid[:height, :width]
    frames = []
    for k in (0, 1):
        frame = wide[32 + 4 * k : 32 + 4 * k + height, 32 + 9 * k : 32 + 9 * k + width].copy()
        disc = (rows - height / 2) ** 2 + (columns - width / 2 - 12 * k) ** 2 < (height / 5) ** 2
        frame[disc] = wide[:height, 12 - 12 * k : 12 - 12 * k + width][disc][:, ::-1]
        frames.append(frame.transpose(2, 0, 1))
    return np.clip(np.stack(frames), 0, 1)


def read(paths: list[str], height: int, width: int) -> np.ndarray:
    frames = []
    for path in paths:
        picture = cv2.imread(path)
        if picture is None:
            raise SystemExit(f"{path} is not a picture that OpenCV reads.")
        picture = cv2.resize(picture[..., ::-1], (width, height), interpolation=cv2.INTER_AREA)
        frames.append(picture.transpose(2, 0, 1).astype(np.float32) / 255)
    return np.stack(frames)


def measure(preset: dis.Preset, pair: np.ndarray, repeat: int) -> dict[str, float]:
    model = dis.DIS(preset=preset)
    search, settings = model.search, model.settings
    frames = torch.from_numpy(np.ascontiguousarray(pair))[None]
    state = model.prepare(frames)
    arrays = frames[0].numpy()
    lumas = np.stack([find_luma(frame, search.luma) for frame in arrays])
    luma, flows = state["luma"][0].numpy(), state["flows"][0].numpy()
    t, factor = np.float32(0.5), 1 << settings.grid
    candidates = np.empty((7, *luma.shape[1:]), np.float32)
    costs = np.empty((*luma.shape[1:], 3), np.float32)
    out = np.empty(arrays.shape[1:], np.float32)

    def find() -> None:
        dis._find_candidates(luma, flows, t, settings.steps, factor, 0, luma.shape[1], candidates, costs)

    row = {
        "luma": milliseconds(lambda: [find_luma(frame, search.luma) for frame in arrays], repeat),
        "search": milliseconds(lambda: find_flows(lumas, search), repeat),
        "prepare": milliseconds(lambda: model.prepare(frames), repeat),
        "candidates": milliseconds(find, repeat),
    }
    dis._decide(costs, t, candidates)
    row["paint"] = milliseconds(
        lambda: dis._paint(arrays, candidates, t, factor, settings.cubic, 0, out.shape[1], out), repeat
    )
    row["render"] = milliseconds(lambda: model.render(state, 0.5), repeat)
    row["whole"] = row["prepare"] + row["render"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--presets", default="best,balanced,fast")
    parser.add_argument("frames", nargs="*", help="two pictures; none = a synthetic pair")
    parser.add_argument("--smoke", action="store_true", help="a small pair, once: does it run?")
    options = parser.parse_args()
    if options.smoke:
        options.size, options.repeat = "160x96", 1
        print("a smoke run: it shows that the script works, its figures mean nothing")
    if len(options.frames) not in (0, 2):
        parser.error("give two pictures or none")
    width, height = map(int, options.size.split("x"))
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    pair = read(options.frames, height, width) if options.frames else synthetic(height, width)
    print(f"{width}x{height}, CPU ms on one thread, best of {options.repeat}")
    stages = ("luma", "search", "prepare", "candidates", "paint", "render", "whole")
    print(f"{'preset':<10}" + "".join(f"{stage:>12}" for stage in stages) + f"{'whole/search':>14}")
    for preset in options.presets.split(","):
        row = measure(preset, pair, options.repeat)
        figures = "".join(f"{row[stage]:12.1f}" for stage in stages)
        print(f"{preset:<10}{figures}{row['whole'] / row['search']:14.2f}", flush=True)


if __name__ == "__main__":
    main()
