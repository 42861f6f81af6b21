"""Losses on flow: two kinds of distillation from a teacher, and smoothness.

Both distillations ask for the teacher's flow only where it helps the picture: IFRNet by how near the student already
is, pixel by pixel; RIFE by whether the teacher's frame is closer to the truth.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.types import Batch

TOLERANCE = 0.01  # RIFE, model/IFNet.py: the teacher must be better by this (values in [0, 1])


def robustness(
    flow: Float[Tensor, "b 2 h w"], target: Float[Tensor, "b 2 h w"], *, beta: float = 0.3
) -> Float[Tensor, "b 1 h w"]:
    """w = exp(−β · ‖flow − target‖₂) in (0, 1], without gradient: 1 where student and teacher agree.

    Flows in pixels. β = 0.3: IFRNet (Kong et al., CVPR 2022), section 3.3. Raises ContractError if the shapes differ.
    """
    if flow.shape != target.shape:
        raise ContractError(
            f"robustness: flows {tuple(flow.shape)} and {tuple(target.shape)} differ; same size, please."
        )
    exact = torch.promote_types(torch.promote_types(flow.dtype, target.dtype), torch.float32)
    apart = (flow.detach().to(exact) - target.detach().to(exact)).square().sum(1, keepdim=True).sqrt()
    return torch.exp(-beta * apart)


def find_labelled(
    batch: Batch,
) -> tuple[Bool[Tensor, " n"], Float[Tensor, "k 2 h w"], Float[Tensor, "k 2 h w"]] | None:
    """Which of the batch's targets, one after the other, have labels of flow, and these; None if none has.

    Labels "flow_t0" and "flow_t1", B M 2 H W: from each target to the frames 0 and 1. "has_flow", B: 0 for members
    whose labels are to be passed over; without it all count.
    """
    if "flow_t0" not in batch.labels or "flow_t1" not in batch.labels:
        return None
    has = batch.labels.get("has_flow", batch.frames.new_ones(len(batch.frames)))
    keep = (has != 0).repeat_interleave(batch.targets.shape[1], 0)
    if not bool(keep.any()):
        return None
    return keep, batch.labels["flow_t0"].flatten(0, 1)[keep], batch.labels["flow_t1"].flatten(0, 1)[keep]


def flow_distillation(
    flows: Sequence[Float[Tensor, "b 2 _ _"]],
    target: Float[Tensor, "b 2 h w"],
    *,
    final: Float[Tensor, "b 2 h w"],
    beta: float = 0.3,
) -> Float[Tensor, ""]:
    """Task-oriented flow distillation for one direction: Σ over levels of mean (d² + ε²)^(w/2).

    flows   the student's flow at coarse levels, each in pixels of its own level; IFRNet: 1/2, 1/4 and 1/8
    target  the teacher's (pseudo) flow in full-resolution pixels
    final   the student's full-resolution flow; gives w = `robustness(final, target)` and gets no gradient

    d = scale · resize(flow) − target, per component, resize bilinear with pixel centres at halves
    (align_corners=False), scale the ratio of widths for x, of heights for y. ε = 10^(−(10w−1)/3): where w = 1 this is
    Charbonnier with ε = 10⁻³; where the final flow has left the teacher, ε grows and the exponent falls, until the
    teacher is not heard at all. IFRNet adds the sums of both directions with weight 0.01.

    Source: IFRNet (Kong et al., CVPR 2022, arXiv 2205.14620), section 3.3; loss.py's Charbonnier_Ada.

    Raises ContractError if `flows` is empty, or batches or sizes do not fit.
    """
    weight = robustness(final, target, beta=beta)
    if not flows:
        raise ContractError("flow_distillation: no flows given; hand in the coarse levels of one direction.")
    batch, _, height, width = target.shape
    exponent, floor = weight / 2, 10 ** (-(10 * weight - 1) / 3)
    total = weight.new_zeros(())
    for flow in flows:
        if flow.ndim != 4 or flow.shape[:2] != (batch, 2) or flow.shape[2] > height or flow.shape[3] > width:
            raise ContractError(
                f"flow_distillation: a level of {tuple(flow.shape)} does not fit a target of {tuple(target.shape)}."
            )
        ratio = weight.new_tensor([width / flow.shape[3], height / flow.shape[2]]).view(1, 2, 1, 1)
        large = ratio * F.interpolate(flow.to(weight.dtype), (height, width), mode="bilinear", align_corners=False)
        total = total + ((large - target.detach()).square() + floor.square()).pow(exponent).mean()
    return total


def privileged_distillation(
    flow: Float[Tensor, "b k h w"],
    teacher: Float[Tensor, "b k h w"],
    *,
    made: Float[Tensor, "b c h w"],
    taught: Float[Tensor, "b c h w"],
    truth: Float[Tensor, "b c h w"],
) -> Float[Tensor, ""]:
    """RIFE's distillation of one level: mean over pixels of RMS(teacher − flow), where the teacher's frame is better.

    flow, teacher  full-resolution flows in pixels, k = 4 for both directions together; the teacher's saw the truth
    made, taught   frames merged with either flow, before any refinement, values in [0, 1]

    √(mean over the k components of (teacher − flow)²) · M, M = 1 where the mean over channels of |made − truth| is
    above that of |taught − truth| by more than 0.01. Only `flow` gets gradients. RIFE sums it over three levels with
    weight 0.01. Equal components give gradient 0, not NaN.

    Source: RIFE (Huang et al., ECCV 2022, arXiv 2011.06294), section 3.4; model/IFNet.py, where the mask is loss_mask.

    Raises ContractError if sizes do not fit.
    """
    if flow.shape != teacher.shape or not made.shape == taught.shape == truth.shape:
        raise ContractError("privileged_distillation: the two flows, and the three frames, must be of one shape each.")
    if made.shape[-2:] != flow.shape[-2:] or made.shape[0] != flow.shape[0]:
        raise ContractError(
            f"privileged_distillation: frames {tuple(made.shape)} and flow {tuple(flow.shape)} differ in size."
        )
    exact = torch.promote_types(flow.dtype, torch.float32)
    with torch.no_grad():
        error, better = ((frame.to(exact) - truth.to(exact)).abs().mean(1) for frame in (made, taught))
        mask = (error > better + TOLERANCE).to(exact)
    squares = (teacher.detach().to(exact) - flow.to(exact)).square().mean(1)
    # √ has an infinite slope at 0; outside the mask and where the flows agree the gradient must be 0.
    apart = torch.where(squares > 0, squares.clamp_min(torch.finfo(exact).tiny).sqrt(), squares)
    return (apart * mask).mean()


def smoothness(
    flow: Float[Tensor, "b k h w"], frame: Float[Tensor, "b c h w"], *, edge: float = 150.0
) -> Float[Tensor, ""]:
    """First-order edge-aware smoothness: mean e^(−λ·mean_c|∂ₓI|)·|∂ₓF| + mean e^(−λ·mean_c|∂ᵧI|)·|∂ᵧF|.

    F the flow in pixels, I the frame it belongs to in [0, 1] (no gradient), ∂ differences of neighbours, λ = `edge`;
    0 is plain total variation, larger values free flow at fainter edges. 0 for constant flow, and unchanged when a
    constant is added to either argument.

    λ = 150: Jonschkowski et al., "What Matters in Unsupervised Optical Flow" (UFlow), ECCV 2020, section 3.1, k = 1.

    Raises ContractError if the sizes differ or a side has only one pixel.
    """
    if flow.shape[0] != frame.shape[0] or flow.shape[-2:] != frame.shape[-2:] or min(flow.shape[-2:]) < 2:
        raise ContractError(
            f"smoothness: flow {tuple(flow.shape)} and frame {tuple(frame.shape)} must agree in size, 2 pixels or more."
        )
    exact = torch.promote_types(flow.dtype, torch.float32)
    total = torch.zeros((), dtype=exact, device=flow.device)
    for axis in (-1, -2):
        at_edges = frame.detach().to(exact).diff(dim=axis).abs().mean(1, keepdim=True)
        total = total + (torch.exp(-edge * at_edges) * flow.to(exact).diff(dim=axis).abs()).mean()
    return total
