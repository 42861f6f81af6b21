"""What chains of convolutions under a mask cost beside the same without one, and UGSP at several efforts.

    python benchmarks/sparse.py [--chains 220x32x56x6,148x64x112x6,100x128x224x5] [--activity 0.05,0.1,0.2,0.35,0.5,0.7]
    python benchmarks/sparse.py --whole ugsp --size 448x256 --efforts 0.2,0.35,0.5,1
    python benchmarks/sparse.py --whole ugsp-s --clips DIR [--weights FILE] [--long-side 448]

A chain is CHANNELS x HEIGHT x WIDTH x CONVOLUTIONS. Masks are ellipses made of tiles, as things that move: "active" is
what they hold, "covered" what tiles of 8 that touch them hold. Each column is the time of a way of
`midframe.ops.block_sparse` as a part of that of no mask at all, taken in the same run; a star marks the way that would
have been chosen. --whole renders frames with random weights, and with such ellipses in place of what the network would
find necessary, for its weights know nothing. Time is CPU time on one thread, the fastest of --rounds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import cast

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor, nn

from midframe.bench.between import as_8bit, as_tensor
from midframe.bench.clips import ValidationClips
from midframe.metrics.psnr import psnr
from midframe.models.dis import DIS
from midframe.models.load import build, load, quicken
from midframe.models.ugsp import UGSP
from midframe.ops.block_sparse import Way, choose_way, masked_chain
from midframe.ops.pad import pad

WAYS = ("dense", "rows", "tiles 4", "tiles 8", "tiles 16")


def measure_distance(height: int, width: int) -> Tensor:
    """H W: below 1 inside one of three ellipses, rising outwards."""
    generator = torch.Generator().manual_seed(3)
    middles = torch.rand(3, 2, generator=generator) * 0.8 + 0.1
    radii = torch.rand(3, 2, generator=generator) * 0.3 + 0.1
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    place = torch.stack([y, x], -1)
    return ((place[..., None, :] - middles) / radii).square().sum(-1).amin(-1)


def draw_mask(height: int, width: int, activity: float, tile: int) -> Tensor:
    """1 1 H W: the tiles nearest to the middles of the ellipses, about this share of all."""
    coarse = measure_distance(-(-height // tile), -(-width // tile))
    near = coarse <= coarse.flatten().quantile(activity)
    whole = near.repeat_interleave(tile, 0).repeat_interleave(tile, 1)
    return whole[None, None, :height, :width]


def fastest(run: Callable[[], Tensor], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return min(times)


def compare_chain(channels: int, height: int, width: int, count: int, activities: list[float], rounds: int) -> None:
    def draw(*shape: int) -> Tensor:
        value = torch.randn(shape) / (shape[1] * shape[2] * shape[3]) ** 0.5
        return value.contiguous(memory_format=torch.channels_last)

    x = draw(1, channels, height, width) * (channels * height * width) ** 0.5
    kernels = [draw(channels, channels, 3, 3) for _ in range(count)]
    slopes = [torch.full((channels,), 0.25)] * count
    gather, bias = draw(48, channels * count, 1, 1), torch.zeros(48)
    alone = fastest(lambda: masked_chain(x, None, kernels, slopes, gather, bias), 1 + rounds)
    print(f"\n{channels} channels, {height}x{width}, {count} convolutions: {1000 * alone:.0f} ms without a mask")
    print("tile  active covered " + "".join(f"{way:>10}" for way in WAYS))
    for tile in (4, 8):
        for activity in activities:
            mask = draw_mask(height, width, activity, tile)
            chosen = choose_way(mask, channels, tile)
            covered = nn.functional.max_pool2d(mask.float(), 8, ceil_mode=True).mean()
            row = f"{tile:>4}{mask.float().mean():>8.2f}{covered:>8.2f} "
            truth = masked_chain(x, mask, kernels, slopes, gather, bias, way="dense")
            for way in WAYS:
                name, _, side = way.partition(" ")
                if side and int(side) < tile:
                    row += f"{'':>10}"
                    continue
                run = partial(
                    masked_chain, x, mask, kernels, slopes, gather, bias, tile=int(side or 8), way=cast(Way, name)
                )
                error = float((run() - truth).abs().max())
                assert error < 1e-4, f"{way} is {error:.1e} off"
                star = "*" if name == chosen and side in ("", str(tile)) else " "
                row += f"{fastest(run, rounds) / alone:>9.2f}{star}"
            print(row, flush=True)


def compare_whole(name: str, size: str, efforts: list[float], rounds: int) -> None:
    width, height = map(int, size.split("x"))
    frames = torch.rand(1, 2, 3, height, width)
    times: dict[float, float] = {}
    for effort in sorted(efforts, reverse=True):
        torch.manual_seed(0)
        model = build(name, effort=effort)
        assert isinstance(model, UGSP)
        for bid in model.bids:
            bid.register_forward_hook(bid_for_ellipses)
        quicken(model)
        with torch.no_grad():
            masks = model.decode(**model.prepare(frames))["masks"]  # also warms up
            times[effort] = fastest(partial(model, frames, 0.5), rounds)
        kept = ", ".join(f"{float(mask.float().mean()):.2f}" for mask in masks) or "everything"
        part = times[effort] / times[max(efforts)]
        print(f"{name} {size} effort {effort:<5} {1000 * times[effort]:8.0f} ms {part:6.2f}   kept: {kept}", flush=True)


def compare_clips(
    name: str, weights: str | None, folder: str, long_side: int, efforts: list[float], rounds: int
) -> None:
    """A row for each effort, "own" being what it was trained to find necessary: of a third of the clips each, those
    with the least motion first, time as a part of that of effort 1, what is kept, and PSNR."""
    windows = ValidationClips(folder, long_side, [2], 1).windows()
    search = DIS()
    frames = [torch.stack([as_tensor(w.frame0, "cpu"), as_tensor(w.frame1, "cpu")])[None] for w in windows]
    frames = [pad(pair.flatten(0, 1), multiple=32)[0][None] for pair in frames]
    motion = [float(search.flow(pair[:, 0], pair[:, 1]).square().sum(1).sqrt().mean()) for pair in frames]
    order = sorted(range(len(windows)), key=motion.__getitem__)
    thirds = [order[k * len(order) // 3 : (k + 1) * len(order) // 3] for k in range(3)]
    spans = ", ".join(f"{motion[part[0]]:.1f} to {motion[part[-1]]:.1f}" for part in thirds)
    print(f"{name}, {len(windows)} clips at {long_side}, motion {spans} pixels: time, kept, dB")
    alone: dict[int, float] = {}
    for effort in [1.0, *(one for one in sorted(efforts, reverse=True) if one < 1), None]:
        model = quicken(load(name, weights=weights, effort=effort))
        assert isinstance(model, UGSP)
        cells = []
        for part in thirds:
            times, kept, decibels = [], [], []
            for k in part:
                with torch.no_grad():
                    masks = model.decode(**model.prepare(frames[k]))["masks"]  # also warms up
                    taken = fastest(partial(model, frames[k], 0.5), rounds)
                    made = model(frames[k], 0.5)[0]
                height, width = windows[k].frame0.shape[:2]
                alone.setdefault(k, taken)
                times.append(taken / alone[k])
                kept.append(sum(float(mask.float().mean()) for mask in masks) / len(masks) if masks else 1.0)
                decibels.append(psnr(as_8bit(made[:, :height, :width]), windows[k].targets[0], peak=255))
            cells.append(
                f"{statistics.fmean(times):6.2f} {statistics.fmean(kept):5.2f} {statistics.fmean(decibels):6.2f}"
            )
        print(f"effort {'own' if effort is None else effort:<5}" + "   |".join(cells), flush=True)


def bid_for_ellipses(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Keep bids high near the ellipses, drop always 0."""
    near = -measure_distance(*output.shape[-2:]).expand_as(output[:, :1])
    return torch.cat([near, torch.zeros_like(near)], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", default="220x32x56x6,148x64x112x6,100x128x224x5", help="CxHxWxN, with commas")
    parser.add_argument("--activity", default="0.05,0.1,0.2,0.35,0.5,0.7")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--whole", metavar="NAME", help="measure this system instead: ugsp or ugsp-s")
    parser.add_argument("--size", default="448x256", help="of frames, width x height")
    parser.add_argument("--efforts", default="0.2,0.35,0.5,1")
    parser.add_argument("--clips", metavar="DIR", help="with --whole: real clips in place of noise")
    parser.add_argument("--weights", metavar="FILE", help="with --clips: others than the published ones")
    parser.add_argument("--long-side", type=int, default=448, help="with --clips: larger pictures are reduced to this")
    parser.add_argument("--smoke", action="store_true", help="little pictures, once: does it run?")
    options = parser.parse_args()
    if options.smoke:
        options.chains, options.activity, options.size, options.rounds = "8x16x24x2", "0.2", "64x64", 1
        print("a smoke run: it shows that the script works, its figures mean nothing")
    torch.set_num_threads(1)
    efforts = [float(one) for one in options.efforts.split(",")]
    if options.whole and options.clips:
        compare_clips(options.whole, options.weights, options.clips, options.long_side, efforts, options.rounds)
        return
    if options.whole:
        compare_whole(options.whole, options.size, efforts, options.rounds)
        return
    with torch.no_grad():
        for chain in options.chains.split(","):
            channels, height, width, count = map(int, chain.split("x"))
            activities = [float(one) for one in options.activity.split(",")]
            compare_chain(channels, height, width, count, activities, options.rounds)


if __name__ == "__main__":
    main()
