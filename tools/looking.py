"""What the scripts draw_*.py share: their options, the network they look into, its frames, flow in colours."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from contact_sheet import Picture
from torch import Tensor

from midframe.bench.clips import read_frames
from midframe.data.pack import find_clips, read_image, reduce
from midframe.models.catalogue import resolve
from midframe.models.load import build, load, load_flow

LONG_SIDE = 448


def make_parser(about: str | None, name: str, frames: int | None = None) -> argparse.ArgumentParser:
    """Options that every script has: --model, --weights, --output. `name` is the page's; the model its small form.

    frames  how many `read_clip` is to read: --clip and --first
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=f"{name}-s", help=f"{name} or {name}-s, with or without a variant")
    parser.add_argument("--weights", help="a .safetensors file; without it the network is untrained")
    parser.add_argument("--output", type=Path, default=Path(f"docs/images/{name}.png"))
    if frames is not None:
        parser.add_argument("--clip", nargs="+", required=True, help=f"a clip, or {frames} frames")
        parser.add_argument("--first", type=int, help="the frame of the clip to begin with")
    return parser


def open_model(parser: argparse.ArgumentParser, given: argparse.Namespace, kind: type) -> Any:
    """The model that the options ask for; untrained, the same each time. Ends the script if it is not a `kind`."""
    torch.manual_seed(0)
    if given.weights is None:
        model = build(given.model)
    else:
        task = resolve(given.model)[0].task
        load_any = (
            load_flow if task == "flow" else partial(load, task="predict" if task == "predict" else "interpolate")
        )
        model = load_any(given.model, weights=given.weights)
    if not isinstance(model, kind):
        parser.error(f"--model {given.model} is not {kind.__name__}")
    return model


def read_pictures(paths: list[str]) -> list[Picture]:
    """Files as H W 3 uint8 RGB, reduced to LONG_SIDE."""
    return [reduce(read_image(Path(path)), LONG_SIDE) for path in paths]


def read_clip(
    parser: argparse.ArgumentParser, given: argparse.Namespace, frames: int
) -> tuple[list[Picture], Picture | None]:
    """What --clip and --first ask for: `frames` pictures, and the true one in their middle.

    Of a clip every second frame is read, so that the true one is there; of pictures given it is not.
    """
    if len(given.clip) not in (1, frames):
        parser.error(f"--clip takes a clip or {frames} frames")
    if len(given.clip) == frames:
        return read_pictures(given.clip), None
    row = read_row(given.clip[0], 2 * frames - 1, given.first)
    return row[::2], row[frames - 1]


def read_row(path: str, count: int, first: int | None = None) -> list[Picture]:
    """`count` frames of a clip in a row, from `first` on or around its middle; as `read_pictures`."""
    frames = read_frames(find_clips([path])[0], LONG_SIDE)
    start = len(frames) // 2 - count // 2 if first is None else first
    if not 0 <= start <= len(frames) - count:
        raise SystemExit(f"{path}: {count} frames are needed from frame {max(start, 0)} on, it has {len(frames)}.")
    return frames[start : start + count]


def colour_flow(flow: Tensor, full: float) -> Picture:
    """2 H W, pixels: the direction is the hue, the length the saturation, up to `full`."""
    dx, dy = flow.numpy()
    hue = (np.rad2deg(np.arctan2(dy, dx)) % 360).astype(np.float32)
    saturation = np.minimum(np.hypot(dx, dy) / full, 1).astype(np.float32)
    hsv = np.stack([hue, saturation, np.ones_like(hue)], -1)
    return (cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).round().astype(np.uint8)


def tell(path: Path) -> None:
    print(f"{path}: {path.stat().st_size / 1000:.0f} KB")
