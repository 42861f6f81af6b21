"""A propagator at work: masks and points of a film's first frame, carried through the frames that follow.

Frames come one at a time and go again: memory does not grow with the film. They are worked on reduced to a shorter side
of `short_side` pixels, padded to what the model takes; masks and points are those of the frames' own size.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import UsageError
from midframe.nn.labels import draw_points, read_points
from midframe.ops.pad import pad
from midframe.types import Propagator

SHORT_SIDE = 480  # pixels, what DAVIS is measured at
Frames = Iterator[Float[Tensor, "3 h w"]]


def find_objects(mask: UInt8[np.ndarray, "h w"]) -> list[int]:
    """The numbers of a mask's objects, ascending. Raises UsageError for none."""
    numbers = [int(number) for number in np.unique(mask) if number]
    if not numbers:
        raise UsageError("the mask marks nothing: give objects other values than 0, which is the background.")
    return numbers


def follow_masks(
    model: Propagator,
    frames: Frames,
    mask: UInt8[np.ndarray, "h w"],
    *,
    short_side: int = SHORT_SIDE,
    device: torch.device | str = "cpu",
) -> Iterator[UInt8[np.ndarray, "h w"]]:
    """A mask for every frame, the first one as it is given; pixels hold the numbers that are in it.

    frames  all of one size, the mask's; the first one is what the mask belongs to

    Raises UsageError for a mask of another size or without objects.
    """
    numbers = np.array([0, *find_objects(mask)], np.uint8)
    memory = None
    for frame in frames:
        size = (frame.shape[-2], frame.shape[-1])
        if mask.shape != size:
            raise UsageError(
                f"the mask is {mask.shape[1]}x{mask.shape[0]}, the frames are {size[1]}x{size[0]}: they must agree."
            )
        small = reduce_frame(frame[None].to(device), short_side)
        work, (rows, columns) = pad(small, multiple=model.contract.multiple, minimum=model.contract.minimum)
        with torch.no_grad():
            if memory is None:
                # one class at a time: a mask of many objects at full size would be large
                layers = [_reduce(torch.from_numpy(mask == number)[None, None].float(), small) for number in numbers]
                labels, _ = pad(torch.cat(layers, 1), multiple=model.contract.multiple, minimum=model.contract.minimum)
                memory = model.start(work, labels.to(device))
                yield mask
                continue
            labels, memory = model.step(memory, work)
        yield numbers[_largest(labels[..., rows, columns], size)]


def follow_points(
    model: Propagator,
    frames: Frames,
    points: Float[np.ndarray, "n 2"],
    *,
    short_side: int = SHORT_SIDE,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """For every frame the places of the points, N × (x, y) in pixels, and how sure they are, N, 0…1.

    points  in the first frame; (0, 0) is the middle of the first pixel

    Sure is the largest weight of a point's heat map, as a share of what it was in the first frame. Raises UsageError
    for no points, or for one outside the frame.
    """
    memory, first, scale = None, torch.ones(0), np.ones(2)
    for frame in frames:
        height, width = frame.shape[-2:]
        small = reduce_frame(frame[None].to(device), short_side)
        work, _ = pad(small, multiple=model.contract.multiple, minimum=model.contract.minimum)
        with torch.no_grad():
            if memory is None:
                check_points(points, (height, width))
                grid = (work.shape[-2] // model.stride, work.shape[-1] // model.stride)
                # of the frame's pixels in one place of the grid, along x and y
                scale = model.stride * np.array([width / small.shape[-1], height / small.shape[-2]])
                there = torch.from_numpy(((points + 0.5) / scale - 0.5).astype(np.float32)).to(device)
                maps = draw_points(there, grid)
                first = read_points(maps)[1]
                memory = model.start(work, maps)
                yield points.astype(np.float32), np.ones(len(points), np.float32)
                continue
            maps, memory = model.step(memory, work)
        places, peak = read_points(maps)
        sure = (peak / first.clamp(min=1e-12)).clamp(0, 1).cpu().numpy()
        yield ((places.cpu().numpy() + 0.5) * scale - 0.5).astype(np.float32), sure.astype(np.float32)


def check_points(points: NDArray, size: tuple[int, int]) -> None:
    """Raises UsageError for no points, or for one outside a frame of this (height, width)."""
    if not len(points):
        raise UsageError("there are no points to follow.")
    height, width = size
    inside = ((points >= -0.5) & (points <= (width - 0.5, height - 0.5))).all(1)
    if not inside.all():
        x, y = points[np.flatnonzero(~inside)[0]]
        raise UsageError(f"the point ({x:g}, {y:g}) lies outside the frame of {width}x{height}.")


def reduce_frame(frame: Float[Tensor, "b c h w"], short_side: int) -> Float[Tensor, "b c h2 w2"]:
    """Reduced, by area, until the shorter side has `short_side` pixels; as it is if it has no more."""
    height, width = frame.shape[-2:]
    factor = short_side / min(height, width)
    if factor >= 1:
        return frame
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return F.interpolate(frame, size, mode="bilinear", antialias=True, align_corners=False)


def _reduce(layer: Float[Tensor, "1 1 h w"], like: Tensor) -> Tensor:
    size = (like.shape[-2], like.shape[-1])
    if tuple(layer.shape[-2:]) == size:
        return layer
    return F.interpolate(layer, size, mode="bilinear", antialias=True, align_corners=False)


def _largest(labels: Float[Tensor, "1 k h w"], size: tuple[int, int]) -> NDArray[np.int64]:
    """The class of each pixel at `size`, enlarged one class at a time."""
    if tuple(labels.shape[-2:]) == size:
        return labels[0].argmax(0).cpu().numpy()
    best, most = None, None
    for number, layer in enumerate(labels[0]):
        enlarged = F.interpolate(layer[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        if best is None or most is None:
            best, most = torch.zeros(size, dtype=torch.int64, device=labels.device), enlarged
            continue
        wins = enlarged > most
        best.masked_fill_(wins, number)
        most = torch.where(wins, enlarged, most)
    assert best is not None
    return best.cpu().numpy()
