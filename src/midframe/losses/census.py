"""Losses on the soft ternary census: what is brighter than its neighbour, and roughly by how much.

Census transform: Zabih and Woodfill, ECCV 1994; ternary and soft with the constants 0.81 and 0.1: Stein, DAGM 2004 and
Meister et al., "UnFlow", AAAI 2018, section on the data loss. UnFlow takes grey values of 0…255; IFRNet and those after
it keep its constants for values of 0…1, so that every step saturates softly. Followed here: IFRNet, loss.py.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError

SOFTNESS = 0.81  # of the sign of a difference: δ/√(0.81 + δ²)
DISTANCE = 0.1  # of the Hamming distance: d²/(0.1 + d²)


def census(made: Float[Tensor, "b c h w"], truth: Float[Tensor, "b c h w"], *, patch: int = 7) -> Float[Tensor, ""]:
    """Soft Hamming distance of the ternary census of the two grey pictures, in [0, 1).

    Grey g is the mean over channels, values nominally in [0, 1]. For each pixel and each offset o in patch×patch,
    δ = g(x+o) − g(x), s = δ/√(0.81 + δ²); with d the difference of s between the pictures, the distance is
    d²/(0.1 + d²), averaged over the patch and over the picture. Pixels nearer than patch//2 to a border count as 0 but
    are counted, as in the authors' code, so that values compare. Unchanged by a brightness shift of either picture.
    `truth` gets no gradient.

    Source: IFRNet (Kong et al., CVPR 2022, arXiv 2205.14620), section 3.3, and its class Ternary; RIFE's code has the
    same with luma weights.

    Raises ContractError if the shapes differ, the patch is not odd or the picture is smaller than it.
    """
    _check(made, truth, patch, "census")
    exact = torch.promote_types(made.dtype, torch.float32)
    one = _ternary(made.to(exact).mean(1, keepdim=True), patch)
    other = _ternary(truth.detach().to(exact).mean(1, keepdim=True), patch)
    return _distance(one, other, made.shape[-2:])


def geometry(made: Float[Tensor, "b c h w"], truth: Float[Tensor, "b c h w"], *, patch: int = 3) -> Float[Tensor, ""]:
    """Geometry consistency of feature maps: `census` per channel of features instead of grey, 3×3, in [0, 1).

    made   the intermediate features that a decoder built
    truth  the encoder's features of the true frame; **they get gradients too**, as in the authors' code: the encoder
           is trained to give features that can be met

    Averaged over patch² · c comparisons and over the map, borders as in `census`; unchanged when any channel of a map
    is shifted by a constant. IFRNet adds it for its levels 1 to 3 with weight 0.01.
    Source: IFRNet (Kong et al., CVPR 2022), section 3.3 "feature space geometry consistency loss", class Geometry.

    Raises ContractError as `census`.
    """
    _check(made, truth, patch, "geometry")
    exact = torch.promote_types(torch.promote_types(made.dtype, truth.dtype), torch.float32)
    return _distance(_ternary(made.to(exact), patch), _ternary(truth.to(exact), patch), made.shape[-2:])


def _ternary(maps: Tensor, patch: int) -> Float[Tensor, "b c n inside"]:
    """Soft signs of neighbour minus centre, for the pixels whose whole patch lies inside."""
    batch, channels = maps.shape[:2]
    patches = F.unfold(maps, patch).view(batch, channels, patch * patch, -1)
    step = patches - patches[:, :, patch * patch // 2, None]
    return step / (SOFTNESS + step.square()).sqrt()


def _distance(one: Tensor, other: Tensor, size: torch.Size) -> Float[Tensor, ""]:
    apart = (one - other).square()
    inside = apart.shape[-1] / (size[0] * size[1])  # the border adds nothing and is counted
    return (apart / (DISTANCE + apart)).mean() * inside


def _check(made: Tensor, truth: Tensor, patch: int, name: str) -> None:
    if made.shape != truth.shape:
        raise ContractError(f"{name}: shapes {tuple(made.shape)} and {tuple(truth.shape)} differ; they must be equal.")
    if patch < 3 or patch % 2 == 0:
        raise ContractError(f"{name}: the patch must be odd and at least 3, got {patch}.")
    if min(made.shape[-2:]) < patch:
        raise ContractError(f"{name}: {tuple(made.shape[-2:])} (H W) is smaller than its patch of {patch}×{patch}.")
