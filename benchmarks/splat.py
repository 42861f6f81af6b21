"""Splatting and the local cost volume beside the obvious loops, in one process: milliseconds and their ratio.

    python benchmarks/splat.py [--size 448x256] [--channels 32] [--repeat 5] [--radius 4]

Splatting is compared with a loop over pixels, compiled by numba, and with the same loop in plain Python, timed on a few
rows and multiplied. The cost volume is compared with one product and mean for each displacement; forward
alone, and forward with backward. One thread; CPU time, the fastest of several runs.
"""

import argparse
import math
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numba
import numpy as np
import torch
import torch.nn.functional as F
from timing import milliseconds

from midframe.ops.correlate import correlate
from midframe.ops.splat import splat

ROWS = 2  # that the plain loop is timed on


def splat_in_a_loop(image: np.ndarray, flow: np.ndarray, out: np.ndarray, rows: int) -> None:
    channels, height, width = image.shape
    for y in range(rows):
        for x in range(width):
            to_x, to_y = x + flow[0, y, x], y + flow[1, y, x]
            left, top = math.floor(to_x), math.floor(to_y)
            for column in (left, left + 1):
                for row in (top, top + 1):
                    if 0 <= column < width and 0 <= row < height:
                        share = (1 - abs(to_x - column)) * (1 - abs(to_y - row))
                        for c in range(channels):
                            out[c, row, column] += share * image[c, y, x]


def correlate_in_a_loop(f0: torch.Tensor, f1: torch.Tensor, radius: int) -> torch.Tensor:
    height, width = f0.shape[-2:]
    around = F.pad(f1, (radius,) * 4)
    span = range(2 * radius + 1)
    return torch.stack([(f0 * around[..., dy : dy + height, dx : dx + width]).mean(1) for dy in span for dx in span], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="448x256", help="of the splat; the cost volume is at a quarter of it")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--radius", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, given.channels, height, width, generator=generator)
    flow = 6 * torch.randn(1, 2, height, width, generator=generator)

    ours = milliseconds(lambda: splat(image, flow, mode="sum"), given.repeat)
    arrays = image[0].numpy(), flow[0].numpy(), np.zeros(image.shape[1:], np.float32)
    plain = milliseconds(lambda: splat_in_a_loop(*arrays, ROWS), 1) * height / ROWS
    compiled = numba.njit(splat_in_a_loop)
    fast = milliseconds(lambda: compiled(*arrays, height), given.repeat)
    report(f"splat, {given.channels} channels, {width}x{height}", ours, {"compiled loop": fast, "plain loop": plain})

    small = torch.rand(2, 1, given.channels, height // 4, width // 4, generator=generator)
    of_size = f"cost volume, radius {given.radius}, {width // 4}x{height // 4}"
    volumes = (correlate, correlate_in_a_loop)
    with torch.no_grad():
        ours, loop = (milliseconds(lambda f=f: f(*small, given.radius), given.repeat) for f in volumes)
    report(of_size, ours, {"loop": loop})
    small.requires_grad_()
    ours, loop = (
        milliseconds(lambda f=f: f(*small, given.radius).square().sum().backward(), given.repeat) for f in volumes
    )
    report(f"{of_size}, with backward", ours, {"loop": loop})


def report(what: str, ours: float, others: dict[str, float]) -> None:
    print(f"{what}: {ours:.1f} ms")
    for name, value in others.items():
        print(f"  {name}: {value:.1f} ms, {value / ours:.1f} times as long")


if __name__ == "__main__":
    main()
