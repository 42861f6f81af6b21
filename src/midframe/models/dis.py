"""DIS: interpolation along dense-inverse-search optical flow, merged where the two frames agree.

Flow: Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016, arXiv 1603.03590,
as implemented in OpenCV (Apache-2.0). The merge is ours; its parts are common property of the field (Baker et al.,
"A Database and Evaluation Methodology for Optical Flow", IJCV 2011, section 3.3; Jiang et al., CVPR 2018).

1. `prepare`: luma of both frames (8 bits, at full or at half size), flow01 and flow10 on it.
2. `render`, on the flow's grid, for each pixel x at time t, two candidate motions (pixels from frame 0 to frame 1):
     m_a = flow01(x − t·m_a),  m_b = −flow10(x + (1−t)·m_b)          a few steps of fixed-point iteration each
   Each gives two sampling points, p0 = x − t·m in frame 0 and p1 = x + (1−t)·m in frame 1. The candidate whose two
   samples disagree less, smoothed over a neighbourhood, wins softly. Inside a pair frame 0 has the share (1−t) and
   frame 1 the share t, shifted towards the frame that sees what the other cannot: a point of frame 0 whose flow
   forth and back does not close is hidden in frame 1.
3. `render`, on the image's grid: motions and shares are read bilinearly from the flow's grid, both frames are
   sampled bilinearly and added. Where the candidates agree, one pair of samples does for both.

Conventions: flow in pixels of its own grid, (dx, dy); a half-size grid's pixel j lies over the image's 2j + ½.
Frames are never clamped; only the luma that the flow looks at is. Equal frames come back exactly.

OpenCV cuts the search into as many stripes as it has threads and the result depends on the cut. The same film must
come out the same on every machine, so `prepare` sets OpenCV's threads to one for the whole process; run pairs side
by side instead (OpenCV and these kernels release the interpreter's lock).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

import cv2
import numba
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import ContractError
from midframe.types import Contract, State

Preset = Literal["best", "fast", "tiny"]


@dataclass(frozen=True, slots=True)
class _Settings:
    """How the flow is found and merged. Chosen on synthetic motion and validation clips; see benchmarks/dis_speed.py.

    halving      1: the flow sees luma at half size; 0: at full size
    preset       OpenCV's preset, on which the rest is changed
    finest       finest pyramid level the search works on (0 = the luma's own size)
    stride       distance between patches
    descents     gradient steps per patch
    refinements  fixed-point iterations of the variational refinement, 0 = off
    steps        fixed-point iterations that carry a flow to t
    window       radius of the neighbourhood over which disagreement is smoothed, in the flow's pixels
    cubic        sample the frames with Catmull and Rom's cubic instead of bilinearly
    """

    halving: int
    preset: int
    finest: int
    stride: int
    descents: int
    refinements: int
    steps: int
    window: int
    cubic: bool


_SETTINGS: Final[dict[str, _Settings]] = {
    "best": _Settings(0, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 0, 3, 25, 5, 3, 4, True),
    "fast": _Settings(1, cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, 1, 4, 12, 0, 2, 2, False),
    "tiny": _Settings(1, cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, 1, 4, 12, 0, 2, 2, False),
}

_MINIMUM: Final = 64  # smaller luma is padded: the search wants a few patches of 8 × 8 on its coarsest level

_kernel = numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
_1, _2, _3 = np.uintp(1), np.uintp(2), np.uintp(3)
_inline = numba.njit(inline="always", fastmath=True, error_model="numpy")
import os
HIDE,HREL,OUT,GAPC,SHARP,NEAR=eval(os.environ.get("DISP","(1.0,0.01,1.0,0.0,0.5,0.5)"))


class DIS:
    """Interpolation at any 0 < t < 1 along optical flow, on the CPU.

    State: {"frames": B 2 3 H W as given, "luma": B 2 h w uint8, "flows": B 2 h w 2 float32, first flow01, then
    flow10, h w being the flow's grid}. The object holds nothing that changes.
    """

    contract = Contract(symmetric=True)

    def __init__(self, *, preset: Preset = "best") -> None:
        self.settings = _SETTINGS[preset]

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> State:
        """Flow in both directions. Raises ContractError for anything but B 2 3 H W."""
        if frames.ndim != 5 or frames.shape[1:3] != (2, 3):
            raise ContractError(f"DIS reads B 2 3 H W frames, got {tuple(frames.shape)}.")
        lumas = np.stack([[_luma(frame, self.settings.halving) for frame in pair] for pair in _arrays(frames)])
        flows = np.stack([_search(luma0, luma1, self.settings) for luma0, luma1 in lumas])
        return {"frames": frames, "luma": torch.from_numpy(lumas), "flows": torch.from_numpy(flows)}

    def render(
        self, state: State, t: float | Fraction | Float[Tensor, " b"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The frame at `t`. Raises ContractError for times outside (0, 1) and for another `size`."""
        frames: Tensor = state["frames"]
        batch, height, width = frames.shape[0], frames.shape[-2], frames.shape[-1]
        if size is not None and tuple(size) != (height, width):
            raise ContractError(f"DIS keeps the size {(height, width)}, asked for {tuple(size)}.")
        times = np.broadcast_to(t.detach().cpu().numpy() if isinstance(t, Tensor) else np.float64(float(t)), (batch,))
        if not ((times > 0) & (times < 1)).all():
            raise ContractError(f"DIS renders 0 < t < 1, asked for {t}. Copy the source frame at 0 and at 1.")
        out = np.empty((batch, 3, height, width), np.float32)
        for index, pair in enumerate(_arrays(frames)):
            luma, flows = state["luma"][index].numpy(), state["flows"][index].numpy()
            _merge(pair, luma, flows, float(times[index]), self.settings, out[index])
        return torch.from_numpy(out).to(frames.device, frames.dtype)


def _arrays(frames: Tensor) -> NDArray[np.float32]:
    """B 2 3 H W as contiguous float32 on the CPU; a view, no copy, if it is that already."""
    return frames.detach().to("cpu", torch.float32).contiguous().numpy()


def _luma(frame: NDArray[np.float32], halving: int) -> NDArray[np.uint8]:
    """3 H W in [0, 1] → luma in [0, 255], H W or, halved, ⌈H/2⌉ ⌈W/2⌉. Values outside are clamped, here only."""
    _, height, width = frame.shape
    out = np.empty(((height + halving) >> halving, (width + halving) >> halving), np.uint8)
    if halving:
        _half_luma(frame, out)
    else:
        _full_luma(frame, out)
    return out


def _search(luma0: NDArray[np.uint8], luma1: NDArray[np.uint8], settings: _Settings) -> NDArray[np.float32]:
    """2 h w 2: flow01 and flow10 in pixels of the luma."""
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)  # see the top of the file
    search = cv2.DISOpticalFlow_create(settings.preset)
    search.setFinestScale(settings.finest)
    search.setPatchStride(settings.stride)
    search.setGradientDescentIterations(settings.descents)
    search.setVariationalRefinementIterations(settings.refinements)
    height, width = luma0.shape
    below, right = max(0, _MINIMUM - height), max(0, _MINIMUM - width)
    if below or right:
        luma0 = cv2.copyMakeBorder(luma0, 0, below, 0, right, cv2.BORDER_REPLICATE)
        luma1 = cv2.copyMakeBorder(luma1, 0, below, 0, right, cv2.BORDER_REPLICATE)
    flow01, flow10 = search.calc(luma0, luma1, None), search.calc(luma1, luma0, None)
    return np.stack([flow01[:height, :width], flow10[:height, :width]])


def _merge(
    pair: NDArray[np.float32],
    luma: NDArray[np.uint8],
    flows: NDArray[np.float32],
    t: float,
    settings: _Settings,
    out: NDArray[np.float32],
) -> None:
    """Write the frame at `t` into `out` (3 H W): candidates on the flow's grid, then one pass over the image."""
    height, width = luma.shape[1:]
    candidates = np.empty((height, width, 8), np.float32)
    contest = np.empty((height, width), np.float32)
    _find_candidates(luma, flows, t, settings.steps, settings.halving, candidates, contest)
    size = 2 * settings.window + 1
    contest = cv2.GaussianBlur(contest, (size, size), settings.window / 2, borderType=cv2.BORDER_REPLICATE)
    _paint(pair, candidates, contest, settings.halving, settings.cubic, out)


@_kernel
def _full_luma(frame, out):
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            value = (
                np.float32(76.245) * frame[0, y, x]
                + np.float32(149.685) * frame[1, y, x]
                + np.float32(29.07) * frame[2, y, x]
            )
            out[y, x] = np.uint8(min(max(value + np.float32(0.5), np.float32(0)), np.float32(255)))


@_kernel
def _half_luma(frame, out):
    height, width = frame.shape[1], frame.shape[2]
    for y in range(out.shape[0]):
        upper, lower = 2 * y, min(2 * y + 1, height - 1)
        for x in range(out.shape[1]):
            left, right = 2 * x, min(2 * x + 1, width - 1)
            red = frame[0, upper, left] + frame[0, upper, right] + frame[0, lower, left] + frame[0, lower, right]
            green = frame[1, upper, left] + frame[1, upper, right] + frame[1, lower, left] + frame[1, lower, right]
            blue = frame[2, upper, left] + frame[2, upper, right] + frame[2, lower, left] + frame[2, lower, right]
            value = np.float32(19.06125) * red + np.float32(37.42125) * green + np.float32(7.2675) * blue
            out[y, x] = np.uint8(min(max(value + np.float32(0.5), np.float32(0)), np.float32(255)))


@_inline
def _read_flow(flow, x, y):
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
    return (
        w00 * a[0] + w01 * b[0] + w10 * c[0] + w11 * d[0],
        w00 * a[1] + w01 * b[1] + w10 * c[1] + w11 * d[1],
    )


@_inline
def _read_luma(plane, x, y):
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
def _outside(x, y, width, height):
    """How far a point lies beyond the border, in pixels."""
    zero = np.float32(0)
    return max(max(-x, x - np.float32(width - 1)), zero) + max(max(-y, y - np.float32(height - 1)), zero)


@_kernel
def _find_candidates(luma, flows, t, steps, halving, candidates, contest):
    """For each point of the flow's grid: the two motions (image pixels), frame 1's share under each, who wins.

    candidates  h w 8: m_a (dx, dy), m_b (dx, dy), share_a, share_b, two unused
    contest     h w: disagreement of a minus that of b, in luma levels; below 0, a is better
    """
    height, width = contest.shape
    late = np.float32(t)
    early = np.float32(1) - late
    unit = np.float32(1 << halving)
    flow01, flow10 = flows[0], flows[1]
    for row in range(height):
        for column in range(width):
            x, y = np.float32(column), np.float32(row)

            ax, ay = flow01[row, column, 0], flow01[row, column, 1]
            for _ in range(steps):
                ax, ay = _read_flow(flow01, x - late * ax, y - late * ay)
            x0, y0, x1, y1 = x - late * ax, y - late * ay, x + early * ax, y + early * ay
            back_x, back_y = _read_flow(flow10, x1, y1)
            gap = (ax + back_x) ** 2 + (ay + back_y) ** 2
            hidden = gap / (gap + np.float32(HIDE) + np.float32(HREL) * (ax * ax + ay * ay))
            out0, out1 = _outside(x0, y0, width, height), _outside(x1, y1, width, height)
            keep0 = early / (np.float32(1) + np.float32(OUT) * out0)
            keep1 = late * (np.float32(1) - hidden) / (np.float32(1) + np.float32(OUT) * out1)
            share_a = keep1 / (keep0 + keep1)
            cost = abs(_read_luma(luma[0], x0, y0) - _read_luma(luma[1], x1, y1)) + np.float32(GAPC) * min(gap, np.float32(16.0))

            bx, by = flow10[row, column, 0], flow10[row, column, 1]
            for _ in range(steps):
                bx, by = _read_flow(flow10, x - early * bx, y - early * by)
            x0, y0, x1, y1 = x + late * bx, y + late * by, x - early * bx, y - early * by
            back_x, back_y = _read_flow(flow01, x0, y0)
            gap = (bx + back_x) ** 2 + (by + back_y) ** 2
            hidden = gap / (gap + np.float32(HIDE) + np.float32(HREL) * (bx * bx + by * by))
            out0, out1 = _outside(x0, y0, width, height), _outside(x1, y1, width, height)
            keep0 = early * (np.float32(1) - hidden) / (np.float32(1) + np.float32(OUT) * out0)
            keep1 = late / (np.float32(1) + np.float32(OUT) * out1)
            cost -= abs(_read_luma(luma[0], x0, y0) - _read_luma(luma[1], x1, y1)) + np.float32(GAPC) * min(gap, np.float32(16.0))

            found = candidates[row, column]
            found[0], found[1], found[2], found[3] = unit * ax, unit * ay, -unit * bx, -unit * by
            found[4], found[5] = share_a, keep1 / (keep0 + keep1)
            found[6], found[7] = late, np.float32(0)
            contest[row, column] = cost


@_kernel
def _paint(pair, candidates, contest, halving, cubic, out):
    """Read the candidates at each pixel of the image, sample both frames there, add."""
    height, width = out.shape[1], out.shape[2]
    rows, columns = contest.shape
    frame0, frame1 = pair[0].ravel(), pair[1].ravel()
    stride = np.uintp(height * width)
    late = candidates[0, 0, 6]
    early = np.float32(1) - late
    line = np.empty((columns, 8), np.float32)
    for row in range(rows):
        for column in range(columns):
            # the eighth place holds a's weight from here on
            candidates[row, column, 7] = np.float32(1) / (np.float32(1) + np.exp(np.float32(SHARP) * contest[row, column]))
    zero, one = np.float32(0), np.float32(1)
    for y in range(height):
        if halving:  # rows of the flow's grid lie at 2j + ½: 3/4 of the near one, 1/4 of the next one
            near = y >> 1
            next_ = min(max(near - 1 + 2 * (y & 1), 0), rows - 1)
            for column in range(columns):
                for k in range(8):
                    line[column, k] = np.float32(0.75) * candidates[near, column, k] + np.float32(0.25) * candidates[next_, column, k]
        else:
            line = candidates[y]
        for x in range(width):
            if halving:
                near = x >> 1
                next_ = min(max(near - 1 + 2 * (x & 1), 0), columns - 1)
                p, q = line[near], line[next_]
                u, v = np.float32(0.75), np.float32(0.25)
                ax, ay, bx, by = u * p[0] + v * q[0], u * p[1] + v * q[1], u * p[2] + v * q[2], u * p[3] + v * q[3]
                share_a, share_b, weight = u * p[4] + v * q[4], u * p[5] + v * q[5], u * p[7] + v * q[7]
            else:
                p = line[x]
                ax, ay, bx, by, share_a, share_b, weight = p[0], p[1], p[2], p[3], p[4], p[5], p[7]
            px, py = np.float32(x), np.float32(y)
            if abs(ax - bx) + abs(ay - by) < np.float32(NEAR):
                ax, ay = bx + weight * (ax - bx), by + weight * (ay - by)
                share_a = share_b + weight * (share_a - share_b)
                weight = one
            elif weight > np.float32(0.97):
                weight = one
            elif weight < np.float32(0.03):
                ax, ay, share_a, weight = bx, by, share_b, one
            red, green, blue = zero, zero, zero
            if weight < one:
                rest = one - weight
                r0, g0, b0 = _sample(frame0, stride, width, height, px - late * bx, py - late * by, cubic)
                r1, g1, b1 = _sample(frame1, stride, width, height, px + early * bx, py + early * by, cubic)
                red = rest * (r0 + share_b * (r1 - r0))
                green = rest * (g0 + share_b * (g1 - g0))
                blue = rest * (b0 + share_b * (b1 - b0))
            r0, g0, b0 = _sample(frame0, stride, width, height, px - late * ax, py - late * ay, cubic)
            r1, g1, b1 = _sample(frame1, stride, width, height, px + early * ax, py + early * ay, cubic)
            out[0, y, x] = red + weight * (r0 + share_a * (r1 - r0))
            out[1, y, x] = green + weight * (g0 + share_a * (g1 - g0))
            out[2, y, x] = blue + weight * (b0 + share_a * (b1 - b0))


@_inline
def _sample(frame, stride, width, height, x, y, cubic):
    """(r, g, b) at a point of a flat 3·H·W frame, bilinear or cubic, clamped at the border."""
    x = min(max(x, np.float32(0)), np.float32(width - 1))
    y = min(max(y, np.float32(0)), np.float32(height - 1))
    left, top = min(np.int32(x), width - 2), min(np.int32(y), height - 2)
    fx, fy = x - np.float32(left), y - np.float32(top)
    one = np.float32(1)
    if cubic and left > 0 and top > 0 and left < width - 2 and top < height - 2:
        half = np.float32(0.5)
        gx, gy = one - fx, one - fy
        u0, u3 = -half * fx * gx * gx, -half * gx * fx * fx
        u1 = one + fx * fx * (np.float32(1.5) * fx - np.float32(2.5))
        u2 = one - u0 - u1 - u3
        v0, v3 = -half * fy * gy * gy, -half * gy * fy * fy
        v1 = one + fy * fy * (np.float32(1.5) * fy - np.float32(2.5))
        v2 = one - v0 - v1 - v3
        r, g, b = np.float32(0), np.float32(0), np.float32(0)
        for j in range(4):
            v = v0 if j == 0 else v1 if j == 1 else v2 if j == 2 else v3
            i = np.uintp((top - 1 + j) * width + left - 1)
            r += v * (u0 * frame[i] + u1 * frame[i + _1] + u2 * frame[i + _2] + u3 * frame[i + _3])
            i += stride
            g += v * (u0 * frame[i] + u1 * frame[i + _1] + u2 * frame[i + _2] + u3 * frame[i + _3])
            i += stride
            b += v * (u0 * frame[i] + u1 * frame[i + _1] + u2 * frame[i + _2] + u3 * frame[i + _3])
        return r, g, b
    w11 = fx * fy
    w10 = fy - w11
    w01 = fx - w11
    w00 = one - fx - w10
    i = np.uintp(top * width + left)
    k = i + np.uintp(width)
    r = w00 * frame[i] + w01 * frame[i + _1] + w10 * frame[k] + w11 * frame[k + _1]
    i += stride
    k += stride
    g = w00 * frame[i] + w01 * frame[i + _1] + w10 * frame[k] + w11 * frame[k + _1]
    i += stride
    k += stride
    b = w00 * frame[i] + w01 * frame[i + _1] + w10 * frame[k] + w11 * frame[k + _1]
    return r, g, b
