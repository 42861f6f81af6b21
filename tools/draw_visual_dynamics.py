"""The picture in docs/models/visual_dynamics.md: futures that Visual Dynamics samples, and the kernels that make them.

    python tools/draw_visual_dynamics.py --weights visual-dynamics-s.safetensors [--frames 3] [--futures 4] [--seed 7]

A row for each frame of Shapes: the frame, then for each future its difference image (grey: no change) above the frame
at t = 1. The last row: the kernels of the first frame's first future, a panel for each scale; and how much each
component of z varies over the pairs that are remembered, largest first, as a share of N(0, 1)'s deviation. Without
--weights the network is untrained.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from looking import make_parser, open_model, tell
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from midframe.data.shapes import Shapes
from midframe.models.visual_dynamics import VisualDynamics

INCHES = 1.3  # of a cell


def main() -> None:
    parser = make_parser(__doc__, "visual-dynamics")
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--futures", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7, help="of the frames and of the futures")
    parser.set_defaults(output=Path("docs/images/visual_dynamics.png"))
    options = parser.parse_args()
    model = open_model(parser, options, VisualDynamics)
    generator = torch.Generator().manual_seed(options.seed)
    frames = Shapes(model.size).sample(generator, options.frames).frames
    with torch.no_grad():
        futures = [model.prepare(frames, generator) for _ in range(options.futures)]
        made = [model.render(state, 1.0) for state in futures]
    draw(model, frames[:, 0], futures, made, options.output)
    tell(options.output)


def draw(
    model: VisualDynamics, frames: Float[Tensor, "b 3 s s"], futures: list[dict], made: list[Tensor], path: Path
) -> None:
    columns, panels = 1 + len(futures), len(model.scales) + (model.model != "deterministic")
    figure = Figure((INCHES * columns, INCHES * (2 * len(frames) + 1.3)), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subfigures(2, 1, height_ratios=[2 * len(frames), 1.3])
    grid = above.subplots(2 * len(frames), columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for row, frame in enumerate(frames):
        show(grid[2 * row, 0], frame)
        for column, (state, after) in enumerate(zip(futures, made, strict=True), 1):
            show(grid[2 * row, column], 0.5 + state["difference"][row] / 2)
            show(grid[2 * row + 1, column], after[row])
    grid[0, 0].set_title("frame at 0", fontsize=8)
    for column in range(1, columns):
        grid[0, column].set_title(f"future {column}", fontsize=8)
    cells = below.subplots(1, panels, squeeze=False)[0]
    for axes, scale, kernels in zip(
        cells, model.scales, futures[0]["kernels"][0].chunk(len(model.scales)), strict=False
    ):
        values = tile(kernels)
        axes.imshow(values, cmap="RdBu", vmin=-np.nanmax(np.abs(values)), vmax=np.nanmax(np.abs(values)))
        axes.set_title(f"kernels, scale {scale:g}", fontsize=7)
        axes.axis("off")
    if model.model != "deterministic":
        spread = model.bank.view(torch.float16).float().std(0).sort(descending=True).values
        cells[-1].plot(spread)
        cells[-1].set_xscale("log")
        cells[-1].set_title("spread of z", fontsize=7)
        cells[-1].tick_params(labelsize=6)
    figure.savefig(path, dpi=100)


def show(axes: Axes, picture: Float[Tensor, "3 h w"]) -> None:
    axes.imshow(picture.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")


def tile(kernels: Float[Tensor, "f k k"]) -> np.ndarray:
    """Kernels side by side in rows, a line of NaN between them."""
    count, side, _ = kernels.shape
    across = int(np.ceil(np.sqrt(count)))
    board = np.full((-(-count // across) * (side + 1), across * (side + 1)), np.nan)
    for number, kernel in enumerate(kernels.numpy()):
        row, column = divmod(number, across)
        board[row * (side + 1) :, column * (side + 1) :][:side, :side] = kernel
    return board


if __name__ == "__main__":
    main()
