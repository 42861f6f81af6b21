"""The picture of what PhaseNet computes in docs/models/phasenet.md: phase and amplitude of some levels beside the true.

    python tools/draw_phasenet.py --weights phasenet-s.safetensors --clip clip.mp4 --output docs/images/phasenet.png

A row for each of some levels, from coarse to fine, of the lightness: phase and amplitude as predicted, then as the true
middle frame has them, in one orientation. Where the amplitude is small the phase says nothing, and is drawn dark. The
first row holds the mean of the frames, the frame that is made and the true one. Without --weights the network is
untrained.
"""

import math
from pathlib import Path

import numpy as np
import torch
from contact_sheet import Picture, save_sheet
from looking import make_parser, open_model, read_pictures, read_row, tell
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor, render_between
from midframe.bench.suite import MIDDLE
from midframe.models.phasenet import PhaseNet, filters_for, to_unit_lab
from midframe.ops.steerable import extract_level, transform

INCHES = 2.0  # of a cell
DARK = 0.98  # quantile of the amplitude that is drawn as bright as can be


def main() -> None:
    parser = make_parser(__doc__, "phasenet")
    parser.add_argument("--clip", nargs="+", required=True, help="a clip, or three frames: first, true middle, last")
    parser.add_argument("--first", type=int, help="number of the first frame in the clip")
    parser.add_argument("--orientation", type=int, default=0, choices=range(4), help="0: of upright edges")
    parser.add_argument("--levels", type=int, default=3, help="levels drawn, spread from coarse to fine")
    options = parser.parse_args()
    if len(options.clip) not in (1, 3):
        parser.error("--clip takes a clip or three frames")
    model = open_model(parser, options, PhaseNet)
    triplet = read_pictures(options.clip) if len(options.clip) == 3 else read_row(options.clip[0], 3, options.first)
    draw(model, triplet, options.orientation, options.levels, options.output)
    tell(options.output)


@torch.no_grad()
def draw(model: PhaseNet, triplet: list[Picture], orientation: int, rows: int, path: Path) -> None:
    first, truth, last = (as_tensor(frame) for frame in triplet)
    made = render_between(model, first, last, MIDDLE)
    frames = torch.stack([first, last, truth]).float().reshape(1, 3, *first.shape[-3:])
    spectra = transform(to_unit_lab(frames)[:, :, 0])  # lightness: 1 3 H W
    filters = filters_for(frames)
    count = len(filters.radial)
    _, bands = model.predict(spectra[:, :2], filters, count)  # coarse to fine

    shape = triplet[0].shape
    height = INCHES * shape[0] / shape[1] + 0.25
    figure = Figure((INCHES * 4, height * (rows + 1)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(rows + 1, 4)
    fade = ((triplet[0].astype(np.uint16) + triplet[2] + 1) // 2).astype(np.uint8)
    top = [("mean of the frames", fade), ("made", as_8bit(made)), ("true", triplet[1])]
    for axes, (title, picture) in zip(grid[0], top, strict=False):
        axes.imshow(picture)
        axes.set_title(title, fontsize=8)
    for axes, place in zip(grid[1:], np.linspace(2, count, rows).round().astype(int), strict=True):
        phase, amplitude = (part[0, orientation] for part in bands[place - 1])
        true = extract_level(spectra[0, 2], filters, count - int(place))[orientation]
        bright = true.abs().quantile(DARK)
        titles = [
            f"{what}, level {place} of {count}" for what in ("phase", "true phase", "amplitude", "true amplitude")
        ]
        pictures = [
            _wheel(phase, amplitude / bright),
            _wheel(true.angle(), true.abs() / bright),
            (amplitude / bright).clamp(0, 1).numpy(),
            (true.abs() / bright).clamp(0, 1).numpy(),
        ]
        for one, title, picture in zip(axes, titles, pictures, strict=True):
            one.imshow(picture, cmap="gray", vmin=0, vmax=1)
            one.set_title(title, fontsize=8)
    for axes in grid.flat:
        axes.axis("off")
    canvas.draw()
    save_sheet(np.asarray(canvas.buffer_rgba())[..., :3], path, colours=128)


def _wheel(phase: Tensor, strength: Tensor) -> NDArray[np.float64]:
    """The phase as a hue, its strength as brightness: H W 3 in 0…1."""
    hue = (phase / (2 * math.pi)) % 1
    return hsv_to_rgb(torch.stack([hue, torch.ones_like(hue), strength.clamp(0, 1).sqrt()], -1).numpy())


if __name__ == "__main__":
    main()
