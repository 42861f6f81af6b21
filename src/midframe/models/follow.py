"""A propagator at work: masks and points of a film's first frame, carried through the frames that follow.

Frames come one at a time and go again: memory does not grow with the film. They are worked on reduced to a shorter side
of `short_side` pixels, padded to what the model takes; masks and points are those of the frames' own size.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import UsageError
from midframe.nn.labels import draw_points, read_points
from midframe.ops.pad import pad
from midframe.types import Propagator, State

SHORT_SIDE = 480  # pixels, what DAVIS is measured at


def find_objects(mask: UInt8[np.ndarray, "h w"]) -> list[int]:
    """The numbers of a mask's objects, ascending. Raises UsageError for none."""
    numbers = [int(number) for number in np.unique(mask) if number]
    if not numbers:
        raise UsageError("the mask marks nothing: give objects other values than 0, which is the background.")
    return numbers


class MaskFollower:
    """Call it with one frame after the other: each gives a mask, the first one the mask that was given.

    mask  numbers of objects, 0 for the background, in the first frame

    Owns the propagator's memory. Raises UsageError for a mask without objects, or of another size than the frames.
    """

    def __init__(
        self,
        model: Propagator,
        mask: UInt8[np.ndarray, "h w"],
        *,
        short_side: int = SHORT_SIDE,
        device: torch.device | str = "cpu",
    ) -> None:
        self._model, self._mask, self._short_side, self._device = model, mask, short_side, device
        self.numbers = np.array([0, *find_objects(mask)], np.uint8)
        self._memory: State = None

    def __call__(self, frame: Float[Tensor, "3 h w"]) -> UInt8[np.ndarray, "h w"]:
        size = (frame.shape[-2], frame.shape[-1])
        contract = self._model.contract
        if self._mask.shape != size:
            raise UsageError(
                f"the mask is {self._mask.shape[1]}x{self._mask.shape[0]}, the frames are {size[1]}x{size[0]}: they "
                "must agree."
            )
        small = reduce(frame[None].to(self._device), self._short_side)
        work, (rows, columns) = pad(small, multiple=contract.multiple, minimum=contract.minimum)
        with torch.no_grad():
            if self._memory is None:
                # one class at a time: a mask of many objects would be large as layers of its full size
                layers = [
                    reduce(torch.from_numpy(self._mask == number)[None, None].float(), self._short_side)
                    for number in self.numbers
                ]
                labels, _ = pad(torch.cat(layers, 1), multiple=contract.multiple, minimum=contract.minimum)
                self._memory = self._model.start(work, labels.to(self._device))
                return self._mask
            labels, self._memory = self._model.step(self._memory, work)
        return self.numbers[_largest(labels[..., rows, columns], size)]


class PointFollower:
    """Call it with one frame after the other: each gives the places of the points and how sure they are.

    points  N × (x, y) in pixels of the first frame; (0, 0) is the middle of the first pixel

    A place is N × (x, y) in pixels. Sure is 0 … 1: the largest weight of a point's heat map, as a share of what it was
    in the first frame. Owns the propagator's memory. Raises UsageError for no points, or for one outside the frame.
    """

    def __init__(
        self,
        model: Propagator,
        points: Float[np.ndarray, "n 2"],
        *,
        short_side: int = SHORT_SIDE,
        device: torch.device | str = "cpu",
    ) -> None:
        self._model, self._points, self._short_side, self._device = model, points, short_side, device
        self._memory: State = None
        self._first = torch.ones(0)

    def __call__(self, frame: Float[Tensor, "3 h w"]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        height, width = frame.shape[-2:]
        contract, stride = self._model.contract, self._model.stride
        small = reduce(frame[None].to(self._device), self._short_side)
        work, _ = pad(small, multiple=contract.multiple, minimum=contract.minimum)
        # pixels of the frame in a place of the grid, along x and y
        scale = stride * np.array([width / small.shape[-1], height / small.shape[-2]])
        with torch.no_grad():
            if self._memory is None:
                check_points(self._points, (height, width))
                there = torch.from_numpy(((self._points + 0.5) / scale - 0.5).astype(np.float32))
                maps = draw_points(there.to(self._device), (work.shape[-2] // stride, work.shape[-1] // stride))
                self._first = read_points(maps)[1]
                self._memory = self._model.start(work, maps)
                return self._points.astype(np.float32), np.ones(len(self._points), np.float32)
            maps, self._memory = self._model.step(self._memory, work)
        places, peak = read_points(maps)
        sure = (peak / self._first.clamp(min=1e-12)).clamp(0, 1).cpu().numpy()
        return ((places.cpu().numpy() + 0.5) * scale - 0.5).astype(np.float32), sure.astype(np.float32)


def check_points(points: NDArray, size: tuple[int, int]) -> None:
    """Raises UsageError for no points, or for one outside a frame of this (height, width)."""
    if not len(points):
        raise UsageError("there are no points to follow.")
    height, width = size
    inside = ((points >= -0.5) & (points <= (width - 0.5, height - 0.5))).all(1)
    if not inside.all():
        x, y = points[np.flatnonzero(~inside)[0]]
        raise UsageError(f"the point ({x:g}, {y:g}) lies outside the frame of {width}x{height}.")


def reduce(frame: Float[Tensor, "b c h w"], short_side: int) -> Float[Tensor, "b c h2 w2"]:
    """Reduced, by area, until the shorter side has `short_side` pixels; as it is if it has no more."""
    height, width = frame.shape[-2:]
    factor = short_side / min(height, width)
    if factor >= 1:
        return frame
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return F.interpolate(frame, size, mode="bilinear", antialias=True, align_corners=False)


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
