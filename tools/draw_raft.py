"""The picture of raft in docs/models/raft.md: two frames, the flow, and frame 1 brought back by it.

    python tools/draw_raft.py --clip DIR_OR_VIDEO [--weights FILE] [--model raft-s] [--output docs/models/raft.png]

The direction of the flow is the hue, its length the saturation: full at the 98th percentile. Where the last picture is
not as frame 0, something was hidden or the flow is wrong.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from midframe.bench.clips import read_frames
from midframe.data.pack import find_clips
from midframe.models.load import build, load_flow
from midframe.ops.warp import warp

GAP = 4  # pixels between the pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", required=True, help="a video, or a folder of images")
    parser.add_argument("--model", default="raft-s")
    parser.add_argument("--weights", help="without them: random weights, to try the script")
    parser.add_argument("--first", type=int, default=0, help="number of frame 0 in the clip")
    parser.add_argument("--step", type=int, default=1, help="frame 1 is so many frames later")
    parser.add_argument("--width", type=int, default=448, help="larger frames are reduced to this long side")
    parser.add_argument("--output", type=Path, default=Path("docs/models/raft.png"))
    given = parser.parse_args()
    frames = read_frames(find_clips([given.clip])[0], given.width)
    pair = [to_tensor(frames[given.first + k * given.step]) for k in (0, 1)]
    model = build(given.model) if given.weights is None else load_flow(given.model, weights=given.weights)
    picture = draw(model, *pair)
    cv2.imwrite(str(given.output), picture[..., ::-1])
    print(f"{given.output}: {picture.shape[1]}x{picture.shape[0]}")


def draw(model, frame0: Tensor, frame1: Tensor) -> NDArray[np.uint8]:
    """Four pictures, two by two."""
    with torch.no_grad():
        flow = model.flow(frame0, frame1)
    cells = [to_picture(frame0), to_picture(frame1), colour_flow(flow[0]), to_picture(warp(frame1, flow))]
    height, width, _ = cells[0].shape
    sheet = np.full((2 * height + GAP, 2 * width + GAP, 3), 255, np.uint8)
    for k, cell in enumerate(cells):
        top, left = k // 2 * (height + GAP), k % 2 * (width + GAP)
        sheet[top : top + height, left : left + width] = cell
    return sheet


def to_tensor(frame: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(frame.astype(np.float32) / 255).permute(2, 0, 1)[None]


def to_picture(frame: Tensor) -> NDArray[np.uint8]:
    return np.asarray((frame[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def colour_flow(flow: Tensor) -> NDArray[np.uint8]:
    """2 H W in pixels as H W 3."""
    dx, dy = flow.numpy()
    length = np.hypot(dx, dy)
    full = max(float(np.quantile(length, 0.98)), 0.5)
    hue = (np.rad2deg(np.arctan2(dy, dx)) % 360).astype(np.float32)
    hsv = np.stack([hue, np.minimum(length / full, 1).astype(np.float32), np.ones_like(hue)], -1)
    return (cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).round().astype(np.uint8)


if __name__ == "__main__":
    main()
