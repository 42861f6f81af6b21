"""What separable convolution costs beside the same by patches (unfold), and the whole of SepConv at 1920 x 1080.

    python benchmarks/local_conv.py [--size 128x128] [--taps 51] [--rounds 5] [--whole sepconv]

Forward and forward + backward of one frame by `midframe.ops.local_conv.separable_conv` (numba), by its torch path (one
row of the kernels at a time) and by unfold, which lays out k x k numbers for every pixel and colour. The ways take
turns; a time is CPU time on one thread, the fastest of all rounds. Memory is what a process of its own needs on top of
its inputs. --whole NAME also renders one frame of 1920 x 1080 by that system with random weights, for peak memory.
"""

import argparse
import os
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import torch.nn.functional as F
from torch import Tensor

from midframe.models.load import build, quicken
from midframe.ops import local_conv
from midframe.ops.pad import pad


def by_patches(image: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    batch, taps, height, width = vertical.shape
    patches = F.unfold(image, taps).view(batch, 3, taps, taps, height, width)
    return ((patches * horizontal[:, None, None]).sum(3) * vertical[:, None]).sum(2)


WAYS = ("numba", "torch rows", "unfold")


def run(way: str, image: Tensor, vertical: Tensor, horizontal: Tensor) -> None:
    """Forward, and backward if the kernels ask for gradients."""
    if way == "torch rows":  # what a GPU runs
        made = local_conv._add_rows(image, vertical.detach(), horizontal.detach())
        if vertical.requires_grad:
            local_conv._find_gradients(image, vertical.detach(), horizontal.detach(), torch.ones_like(made))
        return
    made = (local_conv.separable_conv if way == "numba" else by_patches)(image, vertical, horizontal)
    if vertical.requires_grad:
        made.sum().backward()


def inputs(taps: int, height: int, width: int, gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, height + taps - 1, width + taps - 1, generator=generator)
    v, h = (torch.rand(1, taps, height, width, generator=generator) for _ in range(2))
    return image, v.requires_grad_(gradient), h.requires_grad_(gradient)


def seconds(way: str, values: tuple[Tensor, Tensor, Tensor]) -> float:
    begin = time.process_time()
    run(way, *values)
    return time.process_time() - begin


def peak() -> int:
    """Largest resident set of this process so far, bytes."""
    with open("/proc/self/status") as status:
        return 1024 * int(next(line.split()[1] for line in status if line.startswith("VmHWM")))


def measure_memory(way: str, taps: int, size: str, gradient: bool) -> float:
    """Bytes on top of the inputs, in a process of its own, which has run the kernels on little before."""
    command = [sys.executable, __file__, "--child", way, "--taps", str(taps), "--size", size]
    done = subprocess.run([*command, *(["--gradient"] if gradient else [])], capture_output=True, text=True, check=True)
    return float(done.stdout)


def render_whole(name: str) -> str:
    torch.manual_seed(0)
    model = quicken(build(name))
    frames, _ = pad(torch.rand(1, 2, 3, 1080, 1920), multiple=model.contract.multiple)
    small = frames[..., :64, :64].contiguous()
    with torch.no_grad():
        model.render(model.prepare(small), 0.5)
        before = peak()
        begin, wall = time.process_time(), time.perf_counter()
        state = model.prepare(frames)
        middle = time.process_time()
        model.render(state, 0.5)
        end = time.process_time()
    return (
        f"{name}, 1920x1080: prepare {middle - begin:.1f} s, render {end - middle:.1f} s of CPU on one thread "
        f"({time.perf_counter() - wall:.1f} s passed); peak {peak() / 2**30:.2f} GiB, {before / 2**30:.2f} GiB before"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="128x128", help="width x height")
    parser.add_argument("--taps", type=int, default=51)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--whole", metavar="NAME", help="also one frame of 1920 x 1080, e.g. sepconv or sepconv-s")
    parser.add_argument("--smoke", action="store_true", help="little pictures, once: does it run?")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--gradient", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smoke:
        options.size, options.taps, options.rounds = "40x24", 5, 1
        print("a smoke run: it shows that the script works, its figures mean nothing")
    torch.set_num_threads(1)
    width, height = map(int, options.size.split("x"))
    if options.child:
        run(options.child, *inputs(options.taps, 8, 8, options.gradient))
        values = inputs(options.taps, height, width, options.gradient)
        before = peak()
        run(options.child, *values)
        print(peak() - before)
        return
    print(f"{options.size}, {options.taps} taps, one frame, one thread, fastest of {options.rounds} rounds")
    print(f"{'':<22}{'ms':>10}{'/ unfold':>10}{'MB':>10}")
    for gradient in (False, True):
        values = inputs(options.taps, height, width, gradient)
        for way in WAYS:
            run(way, *values)
        times = [{way: seconds(way, values) for way in WAYS} for _ in range(options.rounds)]
        best = {way: min(one[way] for one in times) for way in WAYS}
        for way in WAYS:
            label = f"{way}{', backward' if gradient else ''}"
            memory = measure_memory(way, options.taps, options.size, gradient) / 1e6
            print(f"{label:<22}{1000 * best[way]:10.1f}{best[way] / best['unfold']:10.3f}{memory:10.0f}", flush=True)
    if options.whole:
        print(render_whole(options.whole))


if __name__ == "__main__":
    main()
