"""DIS: interpolation along dense-inverse-search optical flow, merged where the two frames agree.

Flow: Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016, arXiv 1603.03590,
as implemented in OpenCV (Apache-2.0). The merge is ours; its parts are common property of the field (Baker et al.,
"A Database and Evaluation Methodology for Optical Flow", IJCV 2011, section 3.3; Jiang et al., CVPR 2018).

1. `prepare`: luma of both frames in 8 bits, flow01 and flow10 on it, both reduced to the grid they are used on.
2. `render`, on that grid, for each point x at time t, two candidate motions (pixels from frame 0 to frame 1):
     m_a = flow01(x − t·m_a),  m_b = −flow10(x + (1−t)·m_b)          a few steps of fixed-point iteration each
   Each says where to sample: p0 = x − t·m in frame 0 and p1 = x + (1−t)·m in frame 1. The candidate whose samples
   disagree less, smoothed over a neighbourhood, wins softly; where only standing still fits, nothing moves. Inside
   a pair frame 0 has the share 1−t and frame 1 the share t, shifted to the frame that sees what the other cannot: a
   point of frame 0 whose flow forth and back does not close is hidden in frame 1, and what lies outside a frame is
   not in it.
3. `render`, on the image's grid: motions and shares are read bilinearly, both frames sampled there and added. Where
   the candidates agree, or one has won, one pair of samples is enough.

Conventions: flow in pixels of its own grid, (dx, dy); a grid reduced 2^k times has its point j over the image's
pixel 2^k·(j + ½) − ½. Frames are never clamped, only the luma that the flow looks at. Equal frames come back.

The two directions of the flow, and bands of rows of the kernels here, are shared by torch's number of threads, which
does not show in the result.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import cv2
import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError, UsageError
from midframe.ops.dense_search import SEARCHES, Bytes, Floats, Preset, find_flows, find_luma
from midframe.ops.threads import share_work
from midframe.types import Contract, State


@dataclass(frozen=True, slots=True)
class _Settings:
    """What is done with the flow, chosen on validation clips and synthetic motion.

    grid    the flow is used on a grid reduced 2^grid times, not finer than it was searched on
    steps   iterations that carry a flow to t
    window  radius over which disagreement is smoothed, in points of the grid
    cubic   sample the frames with Catmull and Rom's cubic rather than bilinearly: sharper, twice the work
    """

    grid: int
    steps: int
    window: int
    cubic: bool


_SETTINGS: Final[dict[Preset, _Settings]] = {
    "best": _Settings(1, 3, 3, True),
    "balanced": _Settings(1, 3, 3, True),
    "fast": _Settings(2, 2, 2, False),
    "tiny": _Settings(2, 2, 2, False),
}

_HIDDEN: Final = 64.0  # square pixels: a flow that misses its start by 8 is as likely hidden as mistaken
_HIDDEN_SHARE: Final = 0.01  # of the squared motion, added to it: long flows close less well
_HIDDEN_COST: Final = 5.0  # luma levels that a wholly hidden point weighs in the contest
_OUTSIDE: Final = 1.0  # per pixel: a sample this far outside its frame has half the share
_SHARPNESS: Final = 0.2  # per luma level: 5 levels of disagreement make one candidate 2.7 times likelier
_STILL: Final = 2.0  # luma levels: what changes less may stand still,
_STILL_GAIN: Final = 4.0  # if motion explains it worse by this
_CLOSE: Final = 2.0  # pixels: candidates this near to each other are averaged as motions, not as pictures
_WON: Final = 0.1  # a weight under it is 0, over 1 minus it 1; linear between

_kernel = numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
_inline = numba.njit(inline="always", fastmath=True, error_model="numpy")


class DIS:
    """Interpolation at any 0 < t < 1 along optical flow, on the CPU; frames of another device are brought over.

    State: {"frames": B 2 3 H W as given, "luma": B 2 h w uint8, "flows": B 2 h w 2 float32, flow01 and flow10 in
    points of their grid}. The object holds nothing that changes.
    """

    contract = Contract(symmetric=True)

    def __init__(self, *, preset: Preset = "balanced") -> None:
        if preset not in _SETTINGS:
            raise UsageError(f"DIS has no preset {preset!r}. It has: {', '.join(_SETTINGS)}.")
        self.search, self.settings = SEARCHES[preset], _SETTINGS[preset]

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> State:
        """Flow in both directions. Raises ContractError for anything but B 2 3 H W."""
        if frames.ndim != 5 or frames.shape[1:3] != (2, 3) or frames.numel() == 0:
            raise ContractError(f"DIS reads B 2 3 H W frames, got {tuple(frames.shape)}.")
        lumas, flows = [], []
        for pair in _arrays(frames):
            luma = np.stack([find_luma(frame, self.search.luma) for frame in pair])
            flow = find_flows(luma, self.search)
            for _ in range(self.settings.grid - self.search.luma):
                luma, flow = _halve(luma, flow)
            lumas.append(luma)
            flows.append(flow)
        return {
            "frames": frames,
            "luma": torch.from_numpy(np.stack(lumas)),
            "flows": torch.from_numpy(np.stack(flows)),
        }

    def render(
        self, state: State, t: float | Fraction | Float[Tensor, " b"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The frame at `t`. Raises ContractError for times outside (0, 1) and for another `size`."""
        frames: Tensor = state["frames"]
        batch, height, width = frames.shape[0], frames.shape[-2], frames.shape[-1]
        if size is not None and tuple(size) != (height, width):
            raise ContractError(f"DIS keeps the size {(height, width)}, asked for {tuple(size)}.")
        times = np.broadcast_to(t.detach().cpu().numpy() if isinstance(t, Tensor) else np.float64(t), (batch,))
        if not ((times > 0) & (times < 1)).all():
            raise ContractError(f"DIS renders 0 < t < 1, asked for {t}. Copy the source frame at 0 and at 1.")
        out = np.empty((batch, 3, height, width), np.float32)
        for index, pair in enumerate(_arrays(frames)):
            luma, flows = state["luma"][index].numpy(), state["flows"][index].numpy()
            merge(pair, luma, flows, float(times[index]), self.settings, out[index])
        return torch.from_numpy(out).to(frames.device, frames.dtype)


def merge(pair: Floats, luma: Bytes, flows: Floats, t: float, settings: _Settings, out: Floats) -> None:
    """Write the frame at `t` into `out` (3 H W): candidates on the flow's grid, then one pass over the image."""
    _, height, width = out.shape
    if height < 2 or width < 2:  # the sampler wants two pixels each way
        pair = np.pad(pair, ((0, 0), (0, 0), (0, 2 - min(height, 2)), (0, 2 - min(width, 2))), mode="edge")
    candidates = np.empty((7, *luma.shape[1:]), np.float32)
    costs = np.empty((*luma.shape[1:], 3), np.float32)
    time, factor = np.float32(t), 1 << settings.grid
    share_work(
        lambda a, b: _find_candidates(luma, flows, time, settings.steps, factor, a, b, candidates, costs),
        luma.shape[1],
    )
    extent = 2 * settings.window + 1
    costs = cv2.GaussianBlur(costs, (extent, extent), settings.window / 2, borderType=cv2.BORDER_REPLICATE)
    _decide(costs, time, candidates)
    share_work(lambda a, b: _paint(pair, candidates, time, factor, settings.cubic, a, b, out), height)


def _arrays(frames: Tensor) -> Floats:
    """B 2 3 H W as contiguous float32 on the CPU; a view, no copy, if it is that already."""
    return frames.detach().to("cpu", torch.float32).contiguous().numpy()


def _halve(luma: Bytes, flows: Floats) -> tuple[Bytes, Floats]:
    """Both on a grid of half the size (odd sizes round up); flow lengths halved with it."""
    _, height, width = luma.shape
    small = np.empty((2, (height + 1) >> 1, (width + 1) >> 1), np.uint8)
    short = np.empty((*small.shape, 2), np.float32)
    _fill_half(luma, flows, small, short)
    return small, short


# From here on: numba. Float constants are wrapped, because a plain one makes everything it touches float64, which
# halves the width of the vector code.


@_kernel
def _fill_half(luma: Any, flows: Any, small: Any, short: Any) -> None:
    height, width = luma.shape[1], luma.shape[2]
    for k in range(2):
        for y in range(small.shape[1]):
            upper, lower = 2 * y, min(2 * y + 1, height - 1)
            for x in range(small.shape[2]):
                left, right = 2 * x, min(2 * x + 1, width - 1)
                total = np.int32(luma[k, upper, left]) + np.int32(luma[k, upper, right])
                total += np.int32(luma[k, lower, left]) + np.int32(luma[k, lower, right])
                small[k, y, x] = np.uint8((total + 2) >> 2)
                for axis in range(2):
                    length = flows[k, upper, left, axis] + flows[k, upper, right, axis]
                    length += flows[k, lower, left, axis] + flows[k, lower, right, axis]
                    short[k, y, x, axis] = np.float32(0.125) * length


@_inline
def _read_flow(flow: Any, x: Any, y: Any) -> Any:
    """(dx, dy) at a point, bilinear, clamped at the border."""
    height, width = flow.shape[0], flow.shape[1]
    x = min(max(x, np.float32(0)), np.float32(width - 1))
    y = min(max(y, np.float32(0)), np.float32(height - 1))
    left, top = np.int32(x), np.int32(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    fx, fy = x - np.float32(left), y - np.float32(top)
    w11 = fx * fy
    w10 = fy - w11
    w01 = fx - w11
    w00 = np.float32(1) - fx - w10
    a, b, c, d = flow[top, left], flow[top, right], flow[bottom, left], flow[bottom, right]
    return w00 * a[0] + w01 * b[0] + w10 * c[0] + w11 * d[0], w00 * a[1] + w01 * b[1] + w10 * c[1] + w11 * d[1]


@_inline
def _read_luma(plane: Any, x: Any, y: Any) -> Any:
    height, width = plane.shape
    x = min(max(x, np.float32(0)), np.float32(width - 1))
    y = min(max(y, np.float32(0)), np.float32(height - 1))
    left, top = np.int32(x), np.int32(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    fx, fy = x - np.float32(left), y - np.float32(top)
    upper = np.float32(plane[top, left]) * (np.float32(1) - fx) + np.float32(plane[top, right]) * fx
    lower = np.float32(plane[bottom, left]) * (np.float32(1) - fx) + np.float32(plane[bottom, right]) * fx
    return upper + (lower - upper) * fy


@_inline
def _presence(x: Any, y: Any, width: Any, height: Any, unit: Any) -> Any:
    """1 inside the frame, falling with the distance (image pixels) from it."""
    zero, half = np.float32(0), np.float32(0.5)
    across = max(max(-half - x, x - np.float32(width) + half), zero)
    along = max(max(-half - y, y - np.float32(height) + half), zero)
    return np.float32(1) / (np.float32(1) + np.float32(_OUTSIDE) * unit * (across + along))


@_inline
def _carry(flow: Any, back: Any, row: Any, column: Any, after: Any, steps: Any, unit: Any) -> Any:
    """Carry a flow along itself to the time `after` its own frame.

    Returns its (dx, dy) there and how likely its point is hidden in the other frame, 0…1 (`back` does not lead home).
    """
    x, y = np.float32(column), np.float32(row)
    dx, dy = flow[row, column, 0], flow[row, column, 1]
    for _ in range(steps):
        dx, dy = _read_flow(flow, x - after * dx, y - after * dy)
    rest = np.float32(1) - after
    home_x, home_y = _read_flow(back, x + rest * dx, y + rest * dy)
    gap = ((dx + home_x) ** 2 + (dy + home_y) ** 2) * unit * unit
    length = (dx * dx + dy * dy) * unit * unit
    return dx, dy, gap / (gap + np.float32(_HIDDEN) + np.float32(_HIDDEN_SHARE) * length)


@_kernel
def _find_candidates(
    luma: Any, flows: Any, t: Any, steps: Any, factor: Any, first: Any, stop: Any, candidates: Any, costs: Any
) -> None:
    """Fill rows first … stop−1 of candidates (7 h w): m_a (dx, dy), m_b (dx, dy) in image pixels, frame 1's share
    under a and under b; the last is left to `_decide`. Fill costs (h w 3): disagreement in luma levels of a, of b, and
    of standing still.
    """
    height, width = luma.shape[1], luma.shape[2]
    one = np.float32(1)
    rest = one - t
    unit = np.float32(factor)
    for row in range(first, stop):
        y = np.float32(row)
        for column in range(width):
            x = np.float32(column)
            dx, dy, hidden = _carry(flows[0], flows[1], row, column, t, steps, unit)
            x0, y0, x1, y1 = x - t * dx, y - t * dy, x + rest * dx, y + rest * dy
            keep0 = rest * _presence(x0, y0, width, height, unit)
            keep1 = t * _presence(x1, y1, width, height, unit) * (one - hidden)
            candidates[0, row, column], candidates[1, row, column] = unit * dx, unit * dy
            candidates[4, row, column] = keep1 / (keep0 + keep1)
            gap = abs(_read_luma(luma[0], x0, y0) - _read_luma(luma[1], x1, y1))
            costs[row, column, 0] = gap + np.float32(_HIDDEN_COST) * hidden

            dx, dy, hidden = _carry(flows[1], flows[0], row, column, rest, steps, unit)
            x0, y0, x1, y1 = x + t * dx, y + t * dy, x - rest * dx, y - rest * dy
            keep0 = rest * _presence(x0, y0, width, height, unit) * (one - hidden)
            keep1 = t * _presence(x1, y1, width, height, unit)
            candidates[2, row, column], candidates[3, row, column] = -unit * dx, -unit * dy
            candidates[5, row, column] = keep1 / (keep0 + keep1)
            gap = abs(_read_luma(luma[0], x0, y0) - _read_luma(luma[1], x1, y1))
            costs[row, column, 1] = gap + np.float32(_HIDDEN_COST) * hidden
            costs[row, column, 2] = abs(np.float32(luma[0, row, column]) - np.float32(luma[1, row, column]))


@_kernel
def _decide(costs: Any, t: Any, candidates: Any) -> None:
    """From smoothed costs (h w 3): the weight of candidate a, 0…1, or no motion at all where only that explains it.

    Standing still is kept for lettering over a moving picture, which the search drags along. Where a motion is as
    good, it stays: what flies over a plain ground leaves the ground alike in both frames.
    """
    one = np.float32(1)
    margin, stretch = np.float32(_WON), np.float32(1 / (1 - 2 * _WON))
    for row in range(costs.shape[0]):
        for column in range(costs.shape[1]):
            cost_a, cost_b, cost_still = costs[row, column, 0], costs[row, column, 1], costs[row, column, 2]
            soft = one / (one + np.exp(np.float32(_SHARPNESS) * (cost_a - cost_b)))
            candidates[6, row, column] = min(max((soft - margin) * stretch, np.float32(0)), one)
            if cost_still < np.float32(_STILL) and min(cost_a, cost_b) > cost_still + np.float32(_STILL_GAIN):
                for k in range(4):
                    candidates[k, row, column] = np.float32(0)
                candidates[4, row, column] = candidates[5, row, column] = t


@_inline
def _stretch(line: Any, wide: Any, factor: Any) -> None:
    """Linear enlargement of a line by 1, 2 or 4, ends repeated."""
    last = line.size - 1
    if factor == 1:
        wide[:] = line
        return
    lead = factor // 2
    for k in range(lead):
        wide[k] = line[0]
    for k in range(lead + factor * last, wide.size):
        wide[k] = line[last]
    if factor == 2:
        for k in range(last):
            wide[2 * k + 1] = np.float32(0.75) * line[k] + np.float32(0.25) * line[k + 1]
            wide[2 * k + 2] = np.float32(0.25) * line[k] + np.float32(0.75) * line[k + 1]
    else:
        for k in range(last):
            wide[4 * k + 2] = np.float32(0.875) * line[k] + np.float32(0.125) * line[k + 1]
            wide[4 * k + 3] = np.float32(0.625) * line[k] + np.float32(0.375) * line[k + 1]
            wide[4 * k + 4] = np.float32(0.375) * line[k] + np.float32(0.625) * line[k + 1]
            wide[4 * k + 5] = np.float32(0.125) * line[k] + np.float32(0.875) * line[k + 1]


@_inline
def _place(x: Any, y: Any, width: Any, height: Any) -> Any:
    """Flat index of the pixel left above a point (clamped into the image) and the fractions beyond it, 0…1."""
    x = min(max(x, np.float32(0)), np.float32(width - 1))
    y = min(max(y, np.float32(0)), np.float32(height - 1))
    left, top = min(np.int32(x), np.int32(width - 2)), min(np.int32(y), np.int32(height - 2))
    return top * np.int32(width) + left, x - np.float32(left), y - np.float32(top)


@_inline
def _sample(plane: Any, place: Any, fx: Any, fy: Any, width: Any, cubic: Any) -> Any:
    """A flat plane at what `_place` found."""
    i = np.uintp(place)  # unsigned: numba need not ask whether it counts from the end
    one, below = np.uintp(1), np.uintp(width)
    if cubic:
        row, column = i // below, i % below
        if row > 0 and column > 0 and column + 2 < below and i + below + below + one < np.uintp(plane.size):
            i -= below + one
            two, three = np.uintp(2), np.uintp(3)
            u0, u1, u2, u3 = _catmull_rom(fx)
            v0, v1, v2, v3 = _catmull_rom(fy)
            value = v0 * (u0 * plane[i] + u1 * plane[i + one] + u2 * plane[i + two] + u3 * plane[i + three])
            i += below
            value += v1 * (u0 * plane[i] + u1 * plane[i + one] + u2 * plane[i + two] + u3 * plane[i + three])
            i += below
            value += v2 * (u0 * plane[i] + u1 * plane[i + one] + u2 * plane[i + two] + u3 * plane[i + three])
            i += below
            return value + v3 * (u0 * plane[i] + u1 * plane[i + one] + u2 * plane[i + two] + u3 * plane[i + three])
    upper = plane[i] + fx * (plane[i + one] - plane[i])
    i += below
    lower = plane[i] + fx * (plane[i + one] - plane[i])
    return upper + fy * (lower - upper)


@_inline
def _catmull_rom(f: Any) -> Any:
    half, one = np.float32(0.5), np.float32(1)
    g = one - f
    first, last = -half * f * g * g, -half * g * f * f
    second = one + f * f * (np.float32(1.5) * f - np.float32(2.5))
    return first, second, one - first - second - last, last


@_kernel
def _paint(pair: Any, candidates: Any, t: Any, factor: Any, cubic: Any, first: Any, stop: Any, out: Any) -> None:
    """One pass over rows first … stop−1 of the image: read the candidates (7 h w, the last being a's weight), sample
    both frames, add."""
    rows, columns = candidates.shape[1], candidates.shape[2]
    height, width = pair.shape[2], pair.shape[3]
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    rest = one - t
    frame0, frame1 = pair[0].reshape(3, height * width), pair[1].reshape(3, height * width)
    line = np.empty((7, columns), np.float32)
    wide = np.empty((7, columns * factor), np.float32)
    place0, place1 = np.empty(out.shape[2], np.int32), np.empty(out.shape[2], np.int32)
    inside = np.empty((4, out.shape[2]), np.float32)
    share, second = np.empty(out.shape[2], np.float32), np.empty(out.shape[2], np.float32)
    late = np.empty(out.shape[2], np.int32)
    for y in range(first, stop):
        py = np.float32(y)
        at = min(max((py + half) / np.float32(factor) - half, zero), np.float32(rows - 1))
        top = int(at)
        bottom, fy = min(top + 1, rows - 1), at - np.float32(top)
        for k in range(7):
            for column in range(columns):
                above = candidates[k, top, column]
                line[k, column] = above + fy * (candidates[k, bottom, column] - above)
            _stretch(line[k], wide[k], factor)

        for x in range(out.shape[2]):
            ax, ay, bx, by, weight = wide[0, x], wide[1, x], wide[2, x], wide[3, x], wide[6, x]
            close = abs(ax - bx) + abs(ay - by) < np.float32(_CLOSE)
            pick = weight if close else (one if weight > zero else zero)
            dx, dy = bx + pick * (ax - bx), by + pick * (ay - by)
            share[x] = wide[5, x] + pick * (wide[4, x] - wide[5, x])
            second[x] = zero if close else pick - weight  # candidate b's part, where neither has won
            px = np.float32(x)
            place0[x], inside[0, x], inside[1, x] = _place(px - t * dx, py - t * dy, width, height)
            place1[x], inside[2, x], inside[3, x] = _place(px + rest * dx, py + rest * dy, width, height)

        for channel in range(3):
            for x in range(out.shape[2]):
                value0 = _sample(frame0[channel], place0[x], inside[0, x], inside[1, x], width, cubic)
                value1 = _sample(frame1[channel], place1[x], inside[2, x], inside[3, x], width, cubic)
                out[channel, y, x] = value0 + share[x] * (value1 - value0)

        doubles = 0
        for x in range(out.shape[2]):
            late[doubles] = x  # kept only if counted
            doubles += 1 if second[x] > zero else 0
        for k in range(doubles):
            x = late[k]
            px = np.float32(x)
            place0[k], inside[0, k], inside[1, k] = _place(px - t * wide[2, x], py - t * wide[3, x], width, height)
            place1[k], inside[2, k], inside[3, k] = _place(
                px + rest * wide[2, x], py + rest * wide[3, x], width, height
            )
        for channel in range(3):
            for k in range(doubles):
                value0 = _sample(frame0[channel], place0[k], inside[0, k], inside[1, k], width, cubic)
                value1 = _sample(frame1[channel], place1[k], inside[2, k], inside[3, k], width, cubic)
                x = late[k]
                value = value0 + wide[5, x] * (value1 - value0)
                out[channel, y, x] += second[x] * (value - out[channel, y, x])
