"""The picture of what CAIN computes in docs/models/cain.md: channels, and the numbers that attention scales them by.

    python tools/draw_cain.py --weights cain-s.safetensors --clip a.mp4 --clip b.mp4 --clip c0.png c1.png

A row for each clip: the middle frame as made, and of the last block of each group the channel whose number differs most
between the clips, before it is scaled; below, the numbers of all channels. Without --weights the network is untrained.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor, render_between
from midframe.bench.clips import read_frames
from midframe.bench.suite import MIDDLE
from midframe.data.pack import find_clips, read_image, reduce
from midframe.models.cain import CAIN, Attention, Block, Group
from midframe.models.load import build, load

LONG_SIDE = 448
INCHES = 2.2  # of a cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cain-s", help="cain or cain-s, with or without a variant")
    parser.add_argument("--weights", help="a .safetensors file; without it the network is untrained")
    parser.add_argument(
        "--clip", action="append", nargs="+", required=True, help="a clip, or two frames; may be given several times"
    )
    parser.add_argument("--output", type=Path, default=Path("docs/images/cain.png"))
    options = parser.parse_args()
    if any(len(paths) > 2 for paths in options.clip):
        parser.error("--clip takes a clip or two frames")
    torch.manual_seed(0)
    model = load(options.model, weights=options.weights) if options.weights else build(options.model)
    if not isinstance(model, CAIN):
        parser.error(f"--model {options.model} is not CAIN")
    seen = [look(model, *read_pair(paths)) for paths in options.clip]
    draw(seen, options.output)
    print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} KB")


def read_pair(paths: list[str]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two frames of two files, or every second frame in the middle of a clip; H W 3 uint8 RGB."""
    if len(paths) == 2:
        first, last = (reduce(read_image(Path(path)), LONG_SIDE) for path in paths)
        return first, last
    frames = read_frames(find_clips(paths)[0], LONG_SIDE)
    middle = len(frames) // 2
    return frames[middle - 1], frames[middle + 1]


Seen = tuple[NDArray[np.uint8], list[Float[Tensor, "c h w"]], list[Float[Tensor, " c"]]]


def look(model: CAIN, frame0: NDArray[np.uint8], frame1: NDArray[np.uint8]) -> Seen:
    """The frame made; of the last block of each group its channels before attention, and what they are scaled by."""
    channels: list[Tensor] = []
    scales: list[Tensor] = []

    def keep(module: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        assert isinstance(module, Attention)
        channels.append(inputs[0][0])
        scales.append(module.conv_du(inputs[0].mean((2, 3), keepdim=True)).flatten())

    handles = []
    for group in model.modules():
        if isinstance(group, Group):
            last = [part for part in group.body if isinstance(part, Block)][-1]
            handles.append(last.body[-1].register_forward_hook(keep))
    made = render_between(model, as_tensor(frame0), as_tensor(frame1), MIDDLE)
    for handle in handles:
        handle.remove()
    return as_8bit(made), channels, scales


def draw(seen: list[Seen], path: Path) -> None:
    groups = len(seen[0][2])
    numbers = [torch.stack([scales[g] for _, _, scales in seen]) for g in range(groups)]  # clips × channels
    chosen = [int((table.amax(0) - table.amin(0)).argmax()) for table in numbers]
    shape = seen[0][0].shape
    height = INCHES * shape[0] / shape[1]
    figure = Figure((INCHES * (1 + groups), (height + 0.25) * len(seen) + 2.2), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(seen) + 1, 1 + groups, height_ratios=[*[height] * len(seen), 1.8])
    for row, (made, channels, scales) in enumerate(seen):
        axes = figure.add_subplot(grid[row, 0])
        axes.imshow(made)
        axes.set_title(f"clip {row + 1}, frame made", fontsize=8)
        axes.axis("off")
        for g, channel in enumerate(chosen):
            axes = figure.add_subplot(grid[row, 1 + g])
            values = channels[g][channel]
            limit = float(values.abs().quantile(0.99))
            axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit)
            axes.set_title(f"group {g + 1}, channel {channel}: × {scales[g][channel]:.2f}", fontsize=8)
            axes.axis("off")
    for g, table in enumerate(numbers):
        axes = figure.add_subplot(grid[-1, 1 + g])
        for number, values in enumerate(table[:, table.mean(0).argsort()]):
            axes.plot(values, lw=0.8, label=f"clip {number + 1}")
        axes.set_title(f"group {g + 1}: all channels, by their mean", fontsize=8)
        axes.set_ylim(0, 1)
        axes.tick_params(labelsize=6)
        if g == 0:
            axes.legend(fontsize=6)
    figure.savefig(path)


if __name__ == "__main__":
    main()
