"""Attention that copies: what stands at the places of a reference, weighted by how well their features match.

Two kinds. Near: each place looks at the (2R+1)² places of the reference around it (CorrFlow's restricted attention);
weights are a tensor of their own, computed once and used for several labels. Anywhere: each place looks at all places
of all references, some targets at a time, so that the table of weights is never whole.

Everything is differentiable, sums in float32 also under autocast, and returns that.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.ops.correlate import BLOCK, correlate

CHUNK = 1024  # targets whose weights are in memory at once where they look anywhere


def match_near(
    target: Float[Tensor, "b c h w"], reference: Float[Tensor, "b c h w"], radius: int
) -> Float[Tensor, "b (2*{radius}+1)**2 h w"]:
    """Inner products of each target feature with the reference's around it, −∞ outside the picture.

    Channel (dy + r)(2r + 1) + dx + r holds the reference at (x + dx, y + dy), as in `correlate`, without its division
    by the number of channels. A softmax over the channels gives weights for `copy_near`; outside they are exactly 0.
    Raises ContractError if sizes differ, UsageError for a negative radius. Source: Lai and Xie, BMVC 2019, section 3.1.
    """
    height, width = target.shape[-2:]
    products = correlate(target, reference, radius) * target.shape[1]
    inside = F.unfold(products.new_ones(1, 1, height, width), 2 * radius + 1, padding=radius)
    return products.masked_fill(inside.view(1, -1, height, width) == 0, -torch.inf)


def copy_near(
    weights: Float[Tensor, "b p h w"], labels: Float[Tensor, "b k h w"], radius: int
) -> Float[Tensor, "b k h w"]:
    """Σ over displacements of the weight times the label there.

    By squares of 8 × 8, each with all that it can reach, as matrices: memory grows with the weights, not with
    (2r + 1)² times the labels, and there is no loop over displacements.
    Raises ContractError if weights, labels and radius do not fit together.

    >>> copy_near(torch.tensor([0.0, 0, 0, 0, 0, 1, 0, 0, 0]).view(1, 9, 1, 1).expand(1, 9, 1, 2),
    ...           torch.tensor([[[[1.0, 2.0]]]]), 1)  # each takes its right neighbour's
    tensor([[[[2., 0.]]]])
    """
    span = 2 * radius + 1
    height, width = labels.shape[-2:]
    if weights.shape[1] != span**2 or weights.shape[-2:] != labels.shape[-2:] or len(weights) != len(labels):
        raise ContractError(
            f"copy_near: weights {tuple(weights.shape)} of radius {radius} do not fit labels {tuple(labels.shape)}."
        )
    batch, count = labels.shape[:2]
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    below, right, reach = rows * BLOCK - height, columns * BLOCK - width, BLOCK + 2 * radius
    step = torch.arange(span, device=weights.device)
    place = torch.arange(BLOCK, device=weights.device)
    near = (step[:, None] * reach + step).flatten()  # from the first place that a pixel of a square reaches
    first = (place[:, None] * reach + place).flatten()
    with torch.autocast(weights.device.type, enabled=False):
        own = F.pad(weights, (0, right, 0, below)).view(batch, span**2, rows, BLOCK, columns, BLOCK)
        own = own.permute(0, 2, 4, 3, 5, 1).reshape(batch * rows * columns, BLOCK**2, span**2)
        index = (first[:, None] + near).expand(len(own), -1, -1)
        spread = own.new_zeros(len(own), BLOCK**2, reach**2).scatter(2, index, own)
        around = F.pad(labels.to(weights.dtype), (radius, radius + right, radius, radius + below))
        around = around.unfold(2, reach, BLOCK).unfold(3, reach, BLOCK)  # B K rows columns reach reach
        around = around.permute(0, 2, 3, 4, 5, 1).reshape(len(own), reach**2, count)
        copied = torch.bmm(spread, around).view(batch, rows, columns, BLOCK, BLOCK, count)
    return copied.permute(0, 5, 1, 3, 2, 4).reshape(batch, count, rows * BLOCK, columns * BLOCK)[..., :height, :width]


def copy_anywhere(
    target: Float[Tensor, "b c h w"],
    references: Sequence[Float[Tensor, "b c h w"]],
    labels: Sequence[Float[Tensor, "b k h w"]],
    *,
    temperature: float = 1.0,
    chunk: int = CHUNK,
) -> Float[Tensor, "b k h w"]:
    """Σ over all places of all references of the softmax of ⟨target, reference⟩/temperature times the label there.

    Takes time with the square of the number of places; memory for `chunk` targets at a time (without gradients).
    Raises ContractError if references and labels do not fit together. Source: Vondrick et al., ECCV 2018, section 3.1.
    """
    if len(references) != len(labels) or any(
        one.shape[-2:] != other.shape[-2:] for one, other in zip(references, labels, strict=True)
    ):
        raise ContractError(f"copy_anywhere: {len(references)} references and {len(labels)} labels of other sizes.")
    with torch.autocast(target.device.type, enabled=False):
        keys = torch.cat([one.float().flatten(2) for one in references], 2) / temperature
        values = torch.cat([one.float().flatten(2) for one in labels], 2).transpose(1, 2)  # B M K
        parts = [
            torch.softmax(torch.bmm(part.transpose(1, 2), keys), 2) @ values
            for part in torch.split(target.float().flatten(2), chunk, 2)
        ]
    return torch.cat(parts, 1).transpose(1, 2).reshape(len(target), -1, *target.shape[-2:])
