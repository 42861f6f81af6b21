"""The picture of what QVI computes in docs/models/qvi.md: flow along a line and along a parabola, reversed, filtered.

    python tools/draw_qvi.py --weights qvi-s.safetensors --clip a.mp4
    python tools/draw_qvi.py --weights qvi-s.safetensors --clip a.png b.png c.png d.png

Of a clip every second frame is read, from its middle or from --first on, so that the true frame can be shown. Without
--weights the network is untrained: filtered flow is then hardly other than reversed flow.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from contact_sheet import Cell, Picture, draw_sheet, save_sheet
from numpy.typing import NDArray
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor
from midframe.bench.clips import read_frames
from midframe.data.pack import find_clips, read_image, reduce
from midframe.models.load import build, load
from midframe.models.qvi import QVI, blend, move
from midframe.ops.pad import pad

LONG_SIDE = 448
T = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qvi-s", help="qvi or qvi-s, with or without a variant")
    parser.add_argument("--weights", help="a .safetensors file; without it the network is untrained")
    parser.add_argument("--clip", nargs="+", required=True, help="a clip, or four frames")
    parser.add_argument("--first", type=int, help="the frame of the clip that is the one before the two")
    parser.add_argument("--output", type=Path, default=Path("docs/images/qvi.png"))
    options = parser.parse_args()
    if len(options.clip) not in (1, 4):
        parser.error("--clip takes a clip or four frames")
    torch.manual_seed(0)
    model = load(options.model, weights=options.weights) if options.weights else build(options.model)
    if not isinstance(model, QVI):
        parser.error(f"--model {options.model} is not QVI")
    frames, truth = read_window(options.clip, options.first)
    save_sheet(draw_sheet(look(model, frames, truth), cell_width=256), options.output, colours=96)
    print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} KB")


def read_window(paths: list[str], first: int | None) -> tuple[list[Picture], Picture | None]:
    """Four frames, H W 3 uint8 RGB, and the true one in the middle if it is known."""
    if len(paths) == 4:
        return [reduce(read_image(Path(path)), LONG_SIDE) for path in paths], None
    frames = read_frames(find_clips(paths)[0], LONG_SIDE)
    start = len(frames) // 2 - 3 if first is None else first
    if not 0 <= start < len(frames) - 6:
        raise SystemExit(f"{paths[0]}: seven frames are needed from frame {start} on, it has {len(frames)}.")
    return frames[start : start + 7 : 2], frames[start + 3]


@torch.no_grad()
def look(model: QVI, frames: list[Picture], truth: Picture | None) -> list[tuple[str, list[Cell]]]:
    window, cut = pad(torch.stack([as_tensor(frame) for frame in frames])[None], multiple=model.contract.multiple)
    t = torch.full((1, 1, 1, 1), T)
    state = model.prepare(window)
    straight = {**state, "accelerations": torch.zeros_like(state["accelerations"])}
    flow01, acceleration = state["flows"][:, :2], state["accelerations"][:, :2]
    arrived = model.arrive(state, t)
    filtered0, filtered1, feature = model.filter(state, arrived)
    warped0, warped1, logit = model.decide(state, filtered0, filtered1, feature)
    made, line = blend(warped0, warped1, logit, t), model.render(straight, T)
    full = max(1.0, float(move(flow01, acceleration, t).norm(dim=1).quantile(0.98)))

    def flow(field: Tensor, scale: float = 1.0) -> Picture:
        return colour_flow(field[0][:, cut[0], cut[1]], scale * full)

    def picture(frame: Tensor) -> Picture:
        return as_8bit(frame[0][:, cut[0], cut[1]])

    share = torch.sigmoid(logit).expand(-1, 3, -1, -1)
    last: Cell = ("both, laid over each other", mean_of(frames[1], frames[2])) if truth is None else ("true", truth)
    return [
        (
            f"Motion of frame 0 to t = {T}: colour is direction, full at {full:.1f} pixels",
            [
                ("frame 0", frames[1]),
                ("along a line", flow(move(flow01, torch.zeros_like(acceleration), t))),
                ("with acceleration", flow(move(flow01, acceleration, t))),
                (f"their difference, full at {full / 4:.1f}", flow(-t * (1 - t) / 2 * acceleration, 0.25)),
            ],
        ),
        (
            "Seen from t: flow to frame 0, and the mask",
            [
                ("reversed", flow(-arrived[0])),
                ("filtered", flow(-filtered0)),
                (f"what the filter changed, full at {full / 4:.1f}", flow(arrived[0] - filtered0, 0.25)),
                ("mask, white: frame 0", picture(share)),
            ],
        ),
        (
            "The frame",
            [
                ("made along a line", picture(line)),
                ("made with acceleration", picture(made)),
                ("their difference, 4 times", shown_difference(picture(made), picture(line))),
                last,
            ],
        ),
    ]


def colour_flow(flow: Tensor, full: float) -> Picture:
    """2 H W, pixels: the direction is the hue, the length the saturation, up to `full`."""
    dx, dy = flow.numpy()
    hue = (np.rad2deg(np.arctan2(dy, dx)) % 360).astype(np.float32)
    saturation = np.minimum(np.hypot(dx, dy) / full, 1).astype(np.float32)
    hsv = np.stack([hue, saturation, np.ones_like(hue)], -1)
    return (cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).round().astype(np.uint8)


def shown_difference(one: Picture, other: Picture) -> Picture:
    """Grey where they are equal."""
    return (128 + 4 * (one.astype(np.int16) - other)).clip(0, 255).astype(np.uint8)


def mean_of(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Picture:
    return ((one.astype(np.uint16) + other) // 2).astype(np.uint8)


if __name__ == "__main__":
    main()
