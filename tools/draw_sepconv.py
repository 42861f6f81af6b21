"""The picture of what SepConv computes in docs/models/sepconv.md: the kernels of some pixels beside both frames.

    python tools/draw_sepconv.py --weights sepconv-s.safetensors --clip a.mp4 [--at 210,96 --at 305,140]

First row: frame 0, the frame made, frame 1; the squares are what a kernel sees. Then a row for each pixel: its patch of
frame 0 and the kernel on it, the kernel on frame 1 and its patch. A kernel is the column V times the row H: red adds,
blue takes away; the cross is the pixel itself. Without --at the pixels are those that their kernels move furthest,
apart from each other. Without --weights the network is untrained.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from contact_sheet import Picture
from looking import make_parser, open_model, read_clip, tell
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from midframe.bench.between import as_8bit, as_tensor
from midframe.models.sepconv import SepConv
from midframe.ops.pad import pad

INCHES = 2.2  # of a cell
COLOURS = ("tab:orange", "tab:green", "tab:purple", "tab:cyan", "tab:pink", "tab:olive")


def main() -> None:
    parser = make_parser(__doc__, "sepconv", 2)
    parser.add_argument("--at", action="append", default=[], metavar="X,Y", help="a pixel to look at")
    parser.add_argument("--pixels", type=int, default=3, choices=range(1, 7), help="how many are chosen without --at")
    options = parser.parse_args()
    if len(options.at) > len(COLOURS):
        parser.error(f"--at takes up to {len(COLOURS)} pixels")
    model = open_model(parser, options, SepConv)
    (first, last), _ = read_clip(parser, options, 2)
    made, kernels = look(model, first, last)
    places = [tuple(map(int, text.split(","))) for text in options.at] or choose(kernels, options.pixels)
    height, width = first.shape[:2]
    if any(not (0 <= x < width and 0 <= y < height) for x, y in places):
        parser.error(f"--at lies inside {width} x {height}")
    draw((first, made, last), kernels, places, options.output)
    tell(options.output)


def look(model: SepConv, first: Picture, last: Picture) -> tuple[Picture, NDArray[np.float32]]:
    """The frame between, and the columns and rows of all its pixels: 2 2 k h w."""
    frames = torch.stack([as_tensor(first, "cpu"), as_tensor(last, "cpu")])[None]
    padded, (rows, columns) = pad(frames, multiple=model.contract.multiple, minimum=model.contract.minimum)
    with torch.no_grad():
        state = model.prepare(padded)
        made = model.render(state, 0.5)[0, :, rows, columns]
        kernels = model.find_kernels(state)[0][..., rows, columns]
    return as_8bit(made), kernels.numpy()


def choose(kernels: NDArray[np.float32], count: int) -> list[tuple[int, int]]:
    """Pixels (x, y) whose kernels of frame 0 and frame 1 lie furthest from each other, two reaches apart at least."""
    taps, height, width = kernels.shape[2:]
    places = np.abs(kernels) / np.maximum(np.abs(kernels).sum(2, keepdims=True), 1e-6)
    centre = np.einsum("npkyx,k->npyx", places, np.arange(taps, dtype=np.float32))
    far = cv2.blur(np.hypot(*(centre[1] - centre[0])), (9, 9))
    edge = taps // 2
    inside = np.zeros_like(far)
    inside[edge : height - edge, edge : width - edge] = 1 + far[edge : height - edge, edge : width - edge]
    found = []
    for _ in range(count):
        y, x = (int(value) for value in np.unravel_index(inside.argmax(), inside.shape))
        found.append((x, y))
        inside[max(y - taps, 0) : y + taps + 1, max(x - taps, 0) : x + taps + 1] = 0
    return found


def draw(
    pictures: tuple[Picture, Picture, Picture],
    kernels: NDArray[np.float32],
    places: list[tuple[int, int]],
    output: Path,
) -> None:
    taps = kernels.shape[2]
    reach = taps // 2
    height, width = pictures[0].shape[:2]
    above = 4 * INCHES / 3 * height / width
    figure = Figure((4 * INCHES, above + INCHES * len(places)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1 + len(places), 12, height_ratios=[above, *[INCHES] * len(places)])
    for column, (picture, title) in enumerate(zip(pictures, ("frame 0", "made", "frame 1"), strict=True)):
        axes = figure.add_subplot(grid[0, 4 * column : 4 * column + 4], title=title, xticks=[], yticks=[])
        axes.imshow(picture)
        for (x, y), colour in zip(places, COLOURS, strict=False):
            axes.add_patch(Rectangle((x - reach, y - reach), taps, taps, fill=False, edgecolor=colour))
    for row, ((x, y), colour) in enumerate(zip(places, COLOURS, strict=False), 1):
        patches = [cut(picture, x, y, reach) for picture in (pictures[0], pictures[2])]
        products = [np.outer(v, h) for v, h in kernels[..., y, x]]
        largest = max(float(np.abs(product).max()) for product in products) or 1.0
        shown = (patches[0], products[0], products[1], patches[1])
        for column, value in enumerate(shown):
            axes = figure.add_subplot(grid[row, 3 * column : 3 * column + 3], xticks=[], yticks=[])
            axes.imshow(value, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
            axes.plot(reach, reach, "+", color=colour, markersize=8)
            for spine in axes.spines.values():
                spine.set_edgecolor(colour)
            if value.ndim == 2:
                axes.set_xlabel(f"sum {value.sum():.2f}", fontsize=8)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=90)


def cut(picture: Picture, x: int, y: int, reach: int) -> Picture:
    """What a kernel at (x, y) sees, the edge repeated outside."""
    wide = cv2.copyMakeBorder(picture, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    return wide[y : y + 2 * reach + 1, x : x + 2 * reach + 1]


if __name__ == "__main__":
    main()
