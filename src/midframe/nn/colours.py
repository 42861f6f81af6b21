"""Colours as classes: 16 clusters of a* and b* of CIE Lab, what networks that colour grey frames or propagate colours
are trained on (Vondrick et al., ECCV 2018, arXiv 1806.09594; Lai and Xie, BMVC 2019, arXiv 1905.00875).

Two tables of cluster centres, (a*, b*):

ours      k-means on pixels of our 146 training clips: `midframe data colours train.store` prints it
original  the published table, of Kinetics; as its values show it was fitted on frames with red and blue exchanged
"""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from midframe.ops.lab import rgb_to_lab

Centres = Literal["ours", "original"]

CENTRES: dict[Centres, tuple[tuple[float, float], ...]] = {
    "ours": (
        (-0.16, 0.88), (-3.5, 7.67), (1.1, -5.15), (6.81, 6.97), (3.51, 15.6), (2.95, -15.98), (-11.97, 18.19),
        (-11.39, -1.56), (-8.0, -17.69), (20.4, 16.78), (8.92, 26.7), (-14.65, 32.75), (4.06, -37.47), (-1.83, 48.87),
        (25.16, 41.37), (59.32, 37.58),
    ),
    "original": (
        (10.23, -25.5), (9.17, -5.48), (38.08, -55.18), (13.77, 29.93), (-22.91, 4.35), (0.37, -7.3), (-5.35, -13.47),
        (-9.1, 43.39), (2.85, -18.04), (-1.22, 21.68), (-7.97, -0.26), (33.96, 15.08), (22.35, -38.78), (5.73, 8.65),
        (54.3, -73.89), (0.19, 0.03),
    ),
}  # fmt: skip
COLOURS = 16


def classify(frames: Float[Tensor, "*b 3 h w"], centres: Float[Tensor, "n 2"]) -> Int64[Tensor, "*b h w"]:
    """The number of the nearest centre to each pixel's a* and b*. `frames` are RGB in [0, 1]."""
    ab = rgb_to_lab(frames.float())[..., 1:, :, :].movedim(-3, -1)  # B H W 2
    # |ab − c|² without |ab|², which is the same for all centres
    return (centres.square().sum(1) - 2 * ab @ centres.T).argmin(-1)


def one_hot(ids: Int64[Tensor, "*b h w"], count: int) -> Float[Tensor, "*b n h w"]:
    """Classes as layers of 0 and 1."""
    return F.one_hot(ids, count).movedim(-1, -3).float()
