"""What a walk through time shows: how fast pictures change along it, how smooth it is, a slice, its path in the plane.

`Render` makes frames at times, B 3 H W from B; nothing here knows what it is. Times are counted in frames.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Render = Callable[[Tensor], Tensor]


def measure_speed(render: Render, times: Sequence[float]) -> NDArray[np.float64]:
    """Root mean square change of the values, in [0, 1], for a frame of time: one number for each step of `times`.

    What learns frames by heart stands still at them and races between; a smooth map keeps its speed.
    """
    found = []
    before = render(torch.tensor([times[0]]))
    for a, b in pairwise(times):
        after = render(torch.tensor([b]))
        found.append(float((after - before).square().mean().sqrt()) / abs(b - a))
        before = after
    return np.array(found)


def measure_smoothness(render: Render, times: Sequence[float]) -> float:
    """mean ‖second difference‖ / mean ‖first difference‖ over evenly spaced `times`, an eighth of a frame apart as a
    rule; lower is smoother, and 0 is even change everywhere. NaN where nothing changes."""
    first, second = [], []
    frames: list[Tensor] = []
    for t in times:
        frames = [*frames[-2:], render(torch.tensor([t]))]
        if len(frames) >= 2:
            first.append(float((frames[-1] - frames[-2]).norm()))
        if len(frames) == 3:
            second.append(float((frames[2] - 2 * frames[1] + frames[0]).norm()))
    return float(np.mean(second) / np.mean(first)) if second and any(first) else float("nan")


def even_times(render: Render, times: Sequence[float]) -> list[float]:
    """As many times from the first to the last of `times`, at which the picture changes evenly from each to the next.

    Where nothing changes at all, `times` themselves.
    """
    steps = measure_speed(render, times) * np.abs(np.diff(times))
    way = np.concatenate(([0.0], np.cumsum(steps)))
    if way[-1] == 0:
        return list(times)
    way += np.linspace(0, 1e-9 * way[-1], len(way))  # rising strictly, where the picture stands still, too
    found: list[float] = np.interp(np.linspace(0, way[-1], len(times)), way, np.asarray(times, float)).tolist()
    return found


def slice_through(render: Render, times: Sequence[float], row: int) -> Float[Tensor, "3 t w"]:
    """One row of the picture over time, downwards: motion is a slope, what jumps from frame to frame has steps."""
    return torch.stack([render(torch.tensor([t]))[0, :, row] for t in times], 1)


def project(points: Float[Tensor, "n d"]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """(N 2, shares of the variance): points in the plane in which they spread most (principal components).

    The first point has no negative coordinate, which makes the signs definite.
    """
    centred = (points - points.mean(0)).double().cpu().numpy()
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(centred), 2))
    plane[:, : min(2, s.size)] = (u * s)[:, :2]
    total = float((s**2).sum()) or 1.0
    shares = np.zeros(2)
    shares[: min(2, s.size)] = s[:2] ** 2 / total
    return plane * np.where(plane[0] < 0, -1.0, 1.0), (float(shares[0]), float(shares[1]))
