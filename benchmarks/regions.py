"""What regions cost: the rows of the table in docs/models/regions.md, for ifrnet-s/regions with random weights.

    python benchmarks/regions.py [--size 448x256,1280x720] [--repeat 5]

CPU time of the fastest of several runs, one thread. All but the last row is done once for two frames.
"""

import argparse
import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from timing import milliseconds

from midframe.bench.between import as_tensor
from midframe.bench.speed import make_pair
from midframe.models.load import build, quicken
from midframe.ops.regions import describe_regions, find_regions


@torch.no_grad()
def measure(width: int, height: int, repeat: int) -> dict[str, float]:
    frames = torch.stack([as_tensor(picture) for picture in make_pair(width, height)])[None]
    frames = frames[..., : height // 16 * 16, : width // 16 * 16]
    model: Any = quicken(build("ifrnet-s/regions"))
    plain: Any = quicken(build("ifrnet-s"))
    labels = find_regions(frames)
    size = (frames.shape[-2] // 2, frames.shape[-1] // 2)
    state = plain.prepare(frames)
    found = milliseconds(lambda: find_regions(frames), repeat)
    described = milliseconds(lambda: describe_regions(frames, labels), repeat)
    hinted = milliseconds(lambda: model.regions(frames, size, labels), repeat)
    told = milliseconds(lambda: model.prepare(frames, regions=labels), repeat)
    untold = milliseconds(lambda: plain.prepare(frames), repeat)
    return {
        "areas": found,
        "their description": described,
        "hints for all stages": hinted - described,
        "fusions of ifrnet-s": told - untold - hinted,
        "ifrnet-s itself, once for two frames": untold,
        "ifrnet-s itself, for one new frame": milliseconds(lambda: plain.render(state, 0.5), repeat),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="448x256,1280x720")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [tuple(map(int, text.split("x"))) for text in options.size.split(",")]
    columns = [measure(width, height, options.repeat) for width, height in sizes]
    print(" ".join([f"{'':38}", *(f"{text:>12}" for text in options.size.split(","))]))
    for row in columns[0]:
        print(" ".join([f"{row:38}", *(f"{column[row]:9.0f} ms" for column in columns)]))


if __name__ == "__main__":
    main()
