"""Dense inverse search: optical flow on the CPU in both directions, by OpenCV's implementation.

Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016, arXiv 1603.03590.

OpenCV cuts the search into as many stripes as it has threads, and what it finds depends on the cut. The same film
must come out the same with one worker and with eight, so `find_flows` sets OpenCV's threads to one for the whole
process. Work is shared by torch's number of threads instead (`share_work`), which does not show in the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import numba
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from midframe.ops.threads import share_work

Preset = Literal["best", "balanced", "fast", "tiny"]
Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Search:
    """How flow is searched for, chosen on validation clips and synthetic motion.

    luma         the flow sees luma reduced 2^luma times
    preset       OpenCV's preset, on which the next four are changed
    finest       finest pyramid level that is searched (0 = the luma's own size)
    stride       distance between patches of 8 × 8
    descents     gradient steps per patch
    refinements  iterations of the variational refinement on each level; 0 = off
    """

    luma: int
    preset: int
    finest: int
    stride: int
    descents: int
    refinements: int


SEARCHES: Final[dict[Preset, Search]] = {
    "best": Search(0, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 0, 3, 25, 5),
    "balanced": Search(0, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 1, 3, 25, 5),
    "fast": Search(1, cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, 0, 7, 12, 0),
    "tiny": Search(1, cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, 1, 4, 12, 0),
}

_SMALLEST: Final = 64  # smaller luma is padded: OpenCV 5.0 refuses under 12 and was seen to crash at 15 × 100


def find_luma(frame: Floats, reduce: int) -> Bytes:
    """3 H W in [0, 1] → luma in [0, 255], H W or (reduce = 1) ⌈H/2⌉ ⌈W/2⌉. Values outside are clamped, here only."""
    _, height, width = frame.shape
    out = np.empty(((height + reduce) >> reduce, (width + reduce) >> reduce), np.uint8)
    if reduce:
        _fill_half_luma(frame, out)
    else:
        _fill_luma(frame, out)
    return out


def find_flows(luma: Bytes, search: Search, pairs: Sequence[tuple[int, int]] | None = None) -> Floats:
    """n h w → m h w 2: flow in pixels of the luma for each of `pairs`, from the first picture to the second; None: from
    each picture to the other one of its pair, 0 and 1 are a pair, 2 and 3, …"""
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)  # see the top of the file
    count, height, width = luma.shape
    wanted = [(k, k ^ 1) for k in range(count)] if pairs is None else pairs
    below, right = max(0, _SMALLEST - height), max(0, _SMALLEST - width)
    planes = [cv2.copyMakeBorder(plane, 0, below, 0, right, cv2.BORDER_REPLICATE) for plane in luma]
    flows = np.empty((len(wanted), height, width, 2), np.float32)

    def find(first: int, stop: int) -> None:
        for k in range(first, stop):
            here, there = wanted[k]
            dis = cv2.DISOpticalFlow.create(search.preset)  # one per call: the object keeps buffers
            dis.setFinestScale(search.finest)
            dis.setPatchStride(search.stride)
            dis.setGradientDescentIterations(search.descents)
            dis.setVariationalRefinementIterations(search.refinements)
            # None: with an array it would start from that flow (OpenCV's stubs do not know)
            flows[k] = dis.calc(planes[here], planes[there], None)[:height, :width]  # type: ignore[call-overload]

    share_work(find, len(wanted))
    return flows


class DenseSearch:
    """Flow estimator (`midframe.types.FlowEstimator`): the search of `dis`, on the CPU and without gradient."""

    def __init__(self, preset: Preset = "balanced") -> None:
        self._search = SEARCHES[preset]

    def flow(self, frame0: Float[Tensor, "b 3 h w"], frame1: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
        """Where each pixel of frame 0 goes, pixels, float32 on the frames' device. Frames in [0, 1]."""
        reduce, count = self._search.luma, len(frame0)
        pictures = torch.cat([frame0, frame1]).detach().to("cpu", torch.float32).contiguous().numpy()
        luma = np.stack([find_luma(picture, reduce) for picture in pictures])
        found = find_flows(luma, self._search, [(k, count + k) for k in range(count)])
        flow = torch.from_numpy(found).permute(0, 3, 1, 2)
        if reduce:
            height, width = frame0.shape[-2:]
            flow = F.interpolate(flow, scale_factor=2**reduce, mode="bilinear", align_corners=False) * 2**reduce
            flow = flow[..., :height, :width]
        return flow.contiguous().to(frame0.device)


# Float constants are wrapped, because a plain one makes everything it touches float64, which halves the width of the
# vector code.
_kernel = numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")


@_kernel
def _fill_luma(frame: Any, out: Any) -> None:
    height, width = out.shape
    red, green, blue, half = np.float32(76.245), np.float32(149.685), np.float32(29.07), np.float32(0.5)
    for y in range(height):
        for x in range(width):
            value = red * frame[0, y, x] + green * frame[1, y, x] + blue * frame[2, y, x] + half
            out[y, x] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))


@_kernel
def _fill_half_luma(frame: Any, out: Any) -> None:
    height, width = frame.shape[1], frame.shape[2]
    weights = (np.float32(19.06125), np.float32(37.42125), np.float32(7.2675))  # a quarter of BT.601 · 255
    line = np.empty(2 * out.shape[1], np.float32)
    for y in range(out.shape[0]):
        upper, lower = 2 * y, min(2 * y + 1, height - 1)
        for x in range(width):
            line[x] = weights[0] * (frame[0, upper, x] + frame[0, lower, x])
            line[x] += weights[1] * (frame[1, upper, x] + frame[1, lower, x])
            line[x] += weights[2] * (frame[2, upper, x] + frame[2, lower, x])
        if width & 1:
            line[width] = line[width - 1]
        for x in range(out.shape[1]):
            value = line[2 * x] + line[2 * x + 1] + np.float32(0.5)
            out[y, x] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))
