"""The picture of what PhaseNet computes in docs/models/phasenet.md: phase and amplitude of some levels beside the true.

    python tools/draw_phasenet.py --weights phasenet-s.safetensors --clip clip.mp4 --output docs/images/phasenet.png

A row for each of some levels, from coarse to fine, of the lightness: phase and amplitude as predicted, then as the true
middle frame has them, in one orientation. Where the amplitude is small the phase says nothing, and is drawn dark. The
first row holds the mean of the frames, the frame that is made and the true one. Without --weights the network is
untrained.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor, render_between
from midframe.bench.clips import read_frames
from midframe.bench.suite import MIDDLE
from midframe.data.pack import find_clips, read_image, reduce
from midframe.models.load import build, load
from midframe.models.phasenet import PhaseNet, filters_for, to_unit_lab
from midframe.ops.steerable import extract_level, transform

LONG_SIDE = 448
INCHES = 2.0  # of a cell
DARK = 0.98  # quantile of the amplitude that is drawn as bright as can be

Picture = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="phasenet-s", help="phasenet or phasenet-s, with or without a variant")
    parser.add_argument("--weights", help="a .safetensors file; without it the network is untrained")
    parser.add_argument("--clip", nargs="+", required=True, help="a clip, or three frames: first, true middle, last")
    parser.add_argument("--orientation", type=int, default=0, choices=range(4), help="0: of upright edges")
    parser.add_argument("--levels", type=int, default=3, help="levels drawn, spread from coarse to fine")
    parser.add_argument("--output", type=Path, default=Path("docs/images/phasenet.png"))
    options = parser.parse_args()
    if len(options.clip) not in (1, 3):
        parser.error("--clip takes a clip or three frames")
    torch.manual_seed(0)
    model = load(options.model, weights=options.weights) if options.weights else build(options.model)
    if not isinstance(model, PhaseNet):
        parser.error(f"--model {options.model} is not PhaseNet")
    draw(model, read_triplet(options.clip), options.orientation, options.levels, options.output)
    print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} KB")


def read_triplet(paths: list[str]) -> list[Picture]:
    """First, true middle and last frame of three files, or in the middle of a clip; H W 3 uint8 RGB."""
    if len(paths) == 3:
        return [reduce(read_image(Path(path)), LONG_SIDE) for path in paths]
    frames = read_frames(find_clips(paths)[0], LONG_SIDE)
    middle = len(frames) // 2
    return list(frames[middle - 1 : middle + 2])


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
    canvas.print_png(str(path))


def _wheel(phase: Tensor, strength: Tensor) -> NDArray[np.float64]:
    """The phase as a hue, its strength as brightness: H W 3 in 0…1."""
    hue = (phase / (2 * math.pi)) % 1
    return hsv_to_rgb(torch.stack([hue, torch.ones_like(hue), strength.clamp(0, 1).sqrt()], -1).numpy())


if __name__ == "__main__":
    main()
