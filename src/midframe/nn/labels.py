"""What every propagator does with labels: from a frame's size to the grid of its features and back.

Labels are weights of K classes at each place, sums of 1. They come at the frame's size (masks: classes, one of which
wins each pixel), or at that of the grid (heat maps of points: weights that stay weights). What comes out has the size
of what went in.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.types import Contract


def check_frame(who: str, frame: Tensor, contract: Contract) -> None:
    """Raises ContractError unless `frame` is B 3 H W of a size that fits the contract's multiple and minimum."""
    height, width = frame.shape[-2:]
    if frame.ndim != 4 or frame.shape[1] != 3:
        raise ContractError(f"{who} reads RGB frames, B 3 H W; got {tuple(frame.shape)}.")
    if height % contract.multiple or width % contract.multiple or min(height, width) < contract.minimum:
        raise ContractError(
            f"{who} needs height and width to be multiples of {contract.multiple}, at least {contract.minimum}; "
            f"got {height}×{width}. Pad them (midframe.ops.pad) and cut the result."
        )


def to_grid(
    who: str, labels: Float[Tensor, "b k h w"], frame: Float[Tensor, "b 3 h w"], stride: int
) -> Float[Tensor, "b k h2 w2"]:
    """The labels of a frame on the grid of its features: of the grid's size already, or means of stride × stride.

    Raises ContractError for labels of another size, another number of frames, or of no class.
    """
    size, grid = tuple(frame.shape[-2:]), tuple(side // stride for side in frame.shape[-2:])
    if labels.ndim != 4 or len(labels) != len(frame) or labels.shape[1] < 1 or labels.shape[-2:] not in (size, grid):
        raise ContractError(
            f"{who}: labels are B K H W of the frame's size {size} or of the grid's {grid}; got {tuple(labels.shape)}."
        )
    return labels.float() if tuple(labels.shape[-2:]) == grid else F.avg_pool2d(labels.float(), stride)


def to_size(labels: Float[Tensor, "b k h w"], size: tuple[int, int]) -> Float[Tensor, "b k h2 w2"]:
    """Enlarged from the grid to `size`, bilinear."""
    if tuple(labels.shape[-2:]) == tuple(size):
        return labels
    return F.interpolate(labels, size, mode="bilinear", align_corners=False)


def harden(labels: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k h w"]:
    """All weight to the largest class of each pixel; the first of equals."""
    return torch.zeros_like(labels).scatter_(1, labels.argmax(1, keepdim=True), 1.0)


SPREAD = 0.5  # σ of a point's heat map, places of the grid (JHMDB protocol)
TOP = 3  # places whose mean is where a point is (the same)


def draw_points(points: Float[Tensor, "n 2"], grid: tuple[int, int]) -> Float[Tensor, "1 n+1 h w"]:
    """Heat maps: class 0 is the background, 1 wherever no point is; class k + 1 a Gaussian around point k.

    points  (x, y) in places of the grid; (0, 0) is the middle of the first one
    grid    (height, width)

    Weights below a thousandth are 0; then they are divided by their sum, so that weights of a place have a sum of 1.
    """
    height, width = grid
    y = torch.arange(height, dtype=torch.float32, device=points.device).view(1, -1, 1)
    x = torch.arange(width, dtype=torch.float32, device=points.device).view(1, 1, -1)
    squared = (x - points[:, 0].view(-1, 1, 1)).square() + (y - points[:, 1].view(-1, 1, 1)).square()
    maps = torch.exp(-squared / (2 * SPREAD**2))
    maps = torch.where(maps < 1e-3, 0.0, maps)
    rest = (1 - maps.sum(0, keepdim=True)).clamp(min=0)
    maps = torch.cat([rest, maps])
    return (maps / maps.sum(0, keepdim=True))[None]


def read_points(maps: Float[Tensor, "1 n+1 h w"]) -> tuple[Float[Tensor, "n 2"], Float[Tensor, " n"]]:
    """Where the points of heat maps are, (x, y) in places of the grid, and the largest weight of each map.

    The mean of the three places with most weight, by their weights. A map of nothing but 0 gives (−1, −1) and 0.
    """
    width = maps.shape[-1]
    weights, places = maps[0, 1:].flatten(1).topk(TOP, 1)
    total = weights.sum(1, keepdim=True)
    x, y = (places % width).float(), (places // width).float()
    mean = torch.stack([(weights * x).sum(1), (weights * y).sum(1)], 1) / total.clamp(min=1e-12)
    return torch.where(total > 0, mean, -1.0), weights[:, 0]
