"""The picture of synthetic motion in docs/data.md: frames, flow and visibility of a few scenes.

    python tools/synthetic_sheet.py [docs/images/synthetic.png]

Made of the same free photographs as the demo's film (tools/scene.py).
"""

import sys
from pathlib import Path

import numpy as np
import torch
from contact_sheet import Picture, draw_sheet, save_sheet
from looking import colour_flow
from skimage import data

from midframe.data.synthetic import Style, Synthetic
from midframe.data.textures import make_textures

SIZE = (192, 256)
T = 0.5
SEED = 2
STYLE = Style(layers=(3, 5), motion=(0.03, 0.12), still=0.0, thin=0.2, fence=0.15, text=0.2)
FULL = 14.0  # pixels of motion at which the colours are full


def main() -> None:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/synthetic.png")
    photos = [data.coffee(), data.chelsea(), data.rocket(), data.hubble_deep_field()]
    source = Synthetic(make_textures(photos, count=16), SIZE, targets=(T,), style=STYLE)
    batch = source.sample(torch.Generator().manual_seed(SEED), 4)
    labels = batch.labels
    rows = []
    for k in range(len(batch.frames)):
        cells = [
            ("frame 0", to_picture(batch.frames[k, 0])),
            (f"frame at t = {T}", to_picture(batch.targets[k, 0])),
            ("frame 1", to_picture(batch.frames[k, 1])),
            ("flow, t to 0", colour_flow(labels["flow_t0"][k, 0], FULL)),
            ("of frame t, visible at 0", to_picture(labels["visible_t0"][k, 0].expand(3, -1, -1))),
        ]
        rows.append(("", cells))
    save_sheet(draw_sheet(rows, cell_width=200), path, colours=256)
    print(f"{path}: {path.stat().st_size / 1000:.0f} KB")


def to_picture(image: torch.Tensor) -> Picture:
    """3 H W in [0, 1] as H W 3 uint8."""
    return np.asarray((image * 255).round().byte().permute(1, 2, 0).numpy())


if __name__ == "__main__":
    main()
