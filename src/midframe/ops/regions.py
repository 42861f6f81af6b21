"""Areas of a frame, found by colour and motion without a network; and what describes an area, whoever found it.

A label map says to which area each pixel belongs: whole numbers, 0 for none. Numbers mean nothing beyond one frame.
Maps come from `find_regions`, from masks (`stack_masks`), or from any segmentation of the caller's own.

    find_regions   Lab at half size or less  →  graph-based segmentation: superpixels, at most 1000
                   flow between the frames   →  neighbours united while colour and flow agree, down to 64 areas at least

Superpixels: Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004. Uniting them: Ward's
criterion (JASA 1963), which asks by how much the areas' means would describe the picture worse. All of it is computed
on the CPU without gradients; colour is clamped to [0, 1], here only. A frame's areas are the same whatever the threads.
"""

from typing import Any, Final

import cv2
import numba
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import ContractError
from midframe.ops.dense_search import SEARCHES, find_flows
from midframe.ops.threads import share_work

LIMIT: Final = 64  # areas of a frame that `find_regions` and `stack_masks` keep
HIGHEST: Final = 255  # label: maps are kept as uint8
SMALLEST: Final = 1e-3  # part of the picture; what is smaller is no area of its own
DESCRIPTOR: Final = 9
LONG_SIDE: Final = 640  # of the picture in which areas are looked for, at most

BLUR = 0.7  # pixels, against noise
GROWTH = 40.0  # how readily superpixels grow: a difference in colour (ΔE) × pixels
COLOUR, FLOW = 10.0, 2.0  # differences that count alike: ΔE, and pixels of motion
DIFFERENT = 0.01  # areas stay apart whose union would cost more than this, as a mean over the picture
BINS: Final = 1024  # of differences between pixels,
FINENESS: Final = 8.0  # so many for 1 ΔE

Floats = NDArray[np.float32]


def find_regions(frames: Float[Tensor, "b 2 3 h w"]) -> Int[Tensor, "b 2 h2 w2"]:
    """Labels 1…64 of both frames of each pair, uint8 on the CPU, at 1/2 of their size (1/4, … if they are large).

    Areas are connected, at least 0.1 % of the picture, and numbered from the largest down. Frames in [0, 1].
    """
    height, width = frames.shape[-2:]
    reduced = 2
    while max(height, width) > LONG_SIDE * reduced:
        reduced *= 2
    size = -(-height // reduced), -(-width // reduced)
    pictures = _as_lab(frames, size)
    light = np.ascontiguousarray((pictures[..., 0] * 2.55).round().astype(np.uint8))
    flows = find_flows(light, SEARCHES["fast"])
    labels = np.empty((len(pictures), *size), np.uint8)

    def find(first: int, stop: int) -> None:
        for k in range(first, stop):
            labels[k] = _find(pictures[k], flows[k])

    share_work(find, len(pictures))
    return torch.from_numpy(labels).view(-1, 2, *size)


def stack_masks(masks: Bool[Tensor, "n h w"]) -> Int[Tensor, "h w"]:
    """One label map, uint8, of masks that may overlap, such as those of "segment everything": small ones lie on top.

    Masks below 0.1 % of the picture are left out, and all but the 64 largest. 0 where there is no mask.
    """
    areas = masks.flatten(1).sum(1)
    order = areas.argsort(descending=True, stable=True)[:LIMIT]
    labels = torch.zeros(masks.shape[1:], dtype=torch.uint8, device=masks.device)
    for label, k in enumerate(order.tolist(), 1):
        if areas[k] >= SMALLEST * labels.numel():
            labels[masks[k]] = label
    return labels


def check_regions(labels: Tensor, frames: Float[Tensor, "b 2 3 h w"]) -> None:
    """Raises ContractError unless `labels` are B 2 h w whole numbers in 0…255, in the frames' proportions."""
    if labels.is_floating_point() or labels.dtype == torch.bool or labels.ndim != 4 or labels.shape[:2] != (
        len(frames), 2,
    ):  # fmt: skip
        raise ContractError(
            f"Label maps of {len(frames)} pairs are whole numbers, {len(frames)} 2 H W; got {labels.dtype}, "
            f"{tuple(labels.shape)}."
        )
    (high, wide), (height, width) = labels.shape[-2:], frames.shape[-2:]
    if not labels.numel() or abs(high * width - wide * height) > max(height, width):  # half a pixel either way
        raise ContractError(f"Label maps of {high}×{wide} are not in the proportions of frames of {height}×{width}.")
    if int(labels.min()) < 0 or int(labels.max()) > HIGHEST:
        raise ContractError(f"Labels are 0 (none) to {HIGHEST}; got {int(labels.min())} to {int(labels.max())}.")


def describe_regions(frames: Float[Tensor, "b 2 3 h w"], labels: Int[Tensor, "b 2 h2 w2"]) -> Float[Tensor, "b 2 k 9"]:
    """Row k describes the area that is labelled k: 0 where there is none, and in row 0. Float32 on the frames' device.

    Mean L*, a*, b* and their deviations, position of the middle (x, y), logarithm of the area; each scaled to about
    −1…1, so that one thing seen in two frames has two rows that nearly agree. Raises as `check_regions`.
    """
    check_regions(labels, frames)
    pictures = _as_lab(frames, (labels.shape[-2], labels.shape[-1]))
    maps = labels.flatten(0, 1).cpu().numpy()
    sums = np.zeros((len(maps), int(maps.max()) + 1, DESCRIPTOR))
    for picture, one, out in zip(pictures, maps, sums, strict=True):
        _add_up(picture, one, out)
    count = np.maximum(sums[..., 8:], 1)
    mean, square, middle = sums[..., :3] / count, sums[..., 3:6] / count, sums[..., 6:8] / count
    height, width = maps.shape[1:]
    rows = np.concatenate(
        [
            mean / 50 - (1, 0, 0),
            np.sqrt(np.maximum(square - mean**2, 0)) / 25,
            (2 * middle + 1) / (width, height) - 1,
            np.log10(count / (height * width)) + 1,
        ],
        -1,
    )
    rows[sums[..., 8] == 0] = 0
    rows[:, 0] = 0
    return torch.from_numpy(rows.astype(np.float32)).view(-1, 2, *rows.shape[1:]).to(frames.device)


def _as_lab(frames: Float[Tensor, "b 2 3 h w"], size: tuple[int, int]) -> Floats:
    """2·B h w 3: L* in 0…100, a*, b*, each pixel the mean of those that it stands for."""
    planes = frames.detach().flatten(0, 1).to("cpu", torch.float32).numpy()
    out = np.empty((len(planes), *size, 3), np.float32)

    def convert(first: int, stop: int) -> None:
        for k in range(first, stop):
            small = [cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_AREA) for plane in planes[k]]
            # what is no number would be no index either, further down
            whole = np.nan_to_num(np.stack(small, -1), nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)
            out[k] = cv2.cvtColor(whole, cv2.COLOR_RGB2Lab)

    share_work(convert, len(planes))
    return out


def _find(picture: Floats, flow: Floats) -> NDArray[np.uint8]:
    height, width, _ = picture.shape
    smooth = cv2.GaussianBlur(picture, (0, 0), BLUR)
    pieces = np.empty((height, width), np.int32)
    count = _grow(smooth, GROWTH, int(np.ceil(SMALLEST * height * width)), pieces)
    values = np.concatenate([picture / COLOUR, np.nan_to_num(flow) / FLOW], -1)
    area = np.bincount(pieces.ravel()).astype(np.float64)
    sums = [np.bincount(pieces.ravel(), plane.ravel()) for plane in np.moveaxis(values, -1, 0)]
    touching = _find_neighbours(pieces, count)
    roots = _unite(touching, np.stack(sums, -1) / area[:, None], area, LIMIT, DIFFERENT * pieces.size)
    found, of_piece = np.unique(roots, return_inverse=True)
    areas = np.bincount(of_piece[pieces].ravel(), minlength=len(found))
    rank = np.empty(len(found), np.uint8)
    rank[np.argsort(-areas, kind="stable")] = np.arange(1, len(found) + 1)
    return rank[of_piece][pieces]


def _find_neighbours(pieces: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """n 2: every two superpixels that touch."""
    pairs = [(pieces[:, :-1], pieces[:, 1:]), (pieces[:-1], pieces[1:])]
    here = np.concatenate([one.ravel() for one, _ in pairs]).astype(np.int64)
    there = np.concatenate([other.ravel() for _, other in pairs])
    found = np.unique((here * count + there)[here != there])
    return np.stack([found // count, found % count], -1)


_kernel = numba.njit(nogil=True, cache=True, error_model="numpy")


@_kernel
def _root(parent: Any, node: Any) -> Any:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@_kernel
def _grow(picture: Any, growth: Any, smallest: Any, labels: Any) -> Any:
    """Superpixels into `labels`, 0 … count − 1. Pairs of neighbours are gone through by difference in colour, and join
    two superpixels if they are hardly more different than each is within."""
    height, width, channels = picture.shape
    pixels = height * width
    difference = np.full(2 * pixels, BINS, np.int32)  # 2p: p and its right neighbour; 2p + 1: the one below; BINS: none
    first = np.zeros(BINS + 2, np.int64)  # of each difference in the order
    for y in range(height):
        for x in range(width):
            for below in range(2):
                y2, x2 = y + below, x + 1 - below
                if y2 < height and x2 < width:
                    square = np.float32(0)
                    for c in range(channels):
                        gap = picture[y, x, c] - picture[y2, x2, c]
                        square += gap * gap
                    edge = 2 * (y * width + x) + below
                    difference[edge] = min(int(np.sqrt(square) * FINENESS), BINS - 1)
            first[difference[2 * (y * width + x)] + 1] += 1
            first[difference[2 * (y * width + x) + 1] + 1] += 1
    for b in range(BINS + 1):
        first[b + 1] += first[b]
    edges = first[BINS]
    order = np.empty(2 * pixels, np.int32)
    for edge in range(2 * pixels):
        order[first[difference[edge]]] = edge
        first[difference[edge]] += 1

    parent = np.arange(pixels).astype(np.int32)
    area = np.ones(pixels, np.int32)
    allowed = np.full(pixels, np.float32(growth * FINENESS), np.float32)
    for again in range(2):  # the second time whatever is too small
        for k in range(edges):
            edge = order[k]
            pixel = edge >> 1
            a, b = _root(parent, pixel), _root(parent, pixel + (width if edge & 1 else 1))
            if a == b:
                continue
            step = difference[edge]
            if (again and min(area[a], area[b]) < smallest) or (not again and step <= min(allowed[a], allowed[b])):
                parent[b] = a
                area[a] += area[b]
                allowed[a] = step + growth * FINENESS / area[a]

    count = 0
    number = np.full(pixels, -1, np.int32)
    for pixel in range(pixels):
        root = _root(parent, pixel)
        if number[root] < 0:
            number[root] = count
            count += 1
        labels[pixel // width, pixel % width] = number[root]
    return count


@_kernel
def _unite(pairs: Any, mean: Any, area: Any, limit: Any, different: Any) -> Any:
    """For each superpixel the one that stands for its area. The two of `pairs` whose means lose least by being one are
    united, again and again, until that would lose `different` and there are no more than `limit` areas."""
    count, channels = mean.shape
    parent = np.arange(count)
    left, alive = len(pairs), count
    while True:
        lowest, chosen, k = np.inf, 0, 0
        while k < left:
            a, b = _root(parent, pairs[k, 0]), _root(parent, pairs[k, 1])
            if a == b:
                left -= 1
                pairs[k, 0], pairs[k, 1] = pairs[left, 0], pairs[left, 1]
                continue
            square = 0.0
            for c in range(channels):
                square += (mean[a, c] - mean[b, c]) ** 2
            cost = square * area[a] * area[b] / (area[a] + area[b])
            if cost < lowest:
                lowest, chosen = cost, k
            k += 1
        if left == 0 or (alive <= limit and lowest > different):
            break
        a, b = _root(parent, pairs[chosen, 0]), _root(parent, pairs[chosen, 1])
        for c in range(channels):
            mean[a, c] = (area[a] * mean[a, c] + area[b] * mean[b, c]) / (area[a] + area[b])
        area[a] += area[b]
        parent[b] = a
        alive -= 1
    for k in range(count):
        parent[k] = _root(parent, k)
    return parent


@_kernel
def _add_up(picture: Any, labels: Any, out: Any) -> None:
    """Adds to out(label): L a b, L² a² b², x, y, 1."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            row = out[labels[y, x]]
            for c in range(3):
                value = np.float64(picture[y, x, c])
                row[c] += value
                row[3 + c] += value * value
            row[6] += x
            row[7] += y
            row[8] += 1
