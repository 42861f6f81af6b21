"""The picture of what CAIN computes in docs/models/cain.md: channels, and the numbers that attention scales them by.

    python tools/draw_cain.py --weights cain-s.safetensors --clip a.mp4 --clip b.mp4 --clip c0.png c1.png

A row for each clip: the middle frame as made, and of the last block of each group the channel whose number differs most
between the clips, before it is scaled; below, the numbers of all channels. Without --weights the network is untrained.
"""

from pathlib import Path

import torch
from contact_sheet import Picture
from jaxtyping import Float
from looking import make_parser, open_model, read_pictures, read_row, tell
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor, render_between
from midframe.bench.suite import MIDDLE
from midframe.models.cain import CAIN, Attention, Block, Group

INCHES = 2.2  # of a cell


def main() -> None:
    parser = make_parser(__doc__, "cain")
    parser.add_argument(
        "--clip", action="append", nargs="+", required=True, help="a clip, or two frames; may be given several times"
    )
    options = parser.parse_args()
    if any(len(paths) > 2 for paths in options.clip):
        parser.error("--clip takes a clip or two frames")
    model = open_model(parser, options, CAIN)
    seen = []
    for paths in options.clip:
        first, *_, last = read_pictures(paths) if len(paths) == 2 else read_row(paths[0], 3)
        seen.append(look(model, first, last))
    draw(seen, options.output)
    tell(options.output)


Seen = tuple[Picture, list[Float[Tensor, "c h w"]], list[Float[Tensor, " c"]]]


def look(model: CAIN, frame0: Picture, frame1: Picture) -> Seen:
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
