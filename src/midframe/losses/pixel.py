"""Losses that compare pixel by pixel."""

import torch
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError


def l1(made: Float[Tensor, "b c h w"], truth: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """mean |made − truth| over everything, computed in float32 at least; 0 for equal pictures.

    Raises ContractError if the shapes differ.

    >>> l1(torch.zeros(1, 1, 1, 2), torch.tensor([[[[0.25, -0.75]]]]))
    tensor(0.5000)
    """
    return difference(made, truth, "l1").abs().mean()


def charbonnier(
    made: Float[Tensor, "b c h w"], truth: Float[Tensor, "b c h w"], *, epsilon: float = 1e-3
) -> Float[Tensor, ""]:
    """mean √(d² + ε²), d = made − truth: an L1 that is smooth at 0. It is ε, not 0, for equal pictures.

    ε = 10⁻³ as in IFRNet (Kong et al., CVPR 2022, section 3.3; its loss.py writes d² + 1e-6); AdaCoF and LapSRN take
    the same form. Computed in float32 at least. Source: Charbonnier et al., ICIP 1994.

    Raises ContractError if the shapes differ or ε is not positive.
    """
    if epsilon <= 0:
        raise ContractError(f"charbonnier: epsilon must be positive, got {epsilon}; take l1 for none.")
    return (difference(made, truth, "charbonnier").square() + epsilon**2).sqrt().mean()


def difference(made: Tensor, truth: Tensor, name: str) -> Tensor:
    """made − truth in float32 at least: bfloat16 has three digits, a good frame differs in the third.

    Raises ContractError in the name of the loss `name` if the shapes differ: broadcasting would hide a mistake.
    """
    if made.shape != truth.shape:
        raise ContractError(f"{name}: shapes {tuple(made.shape)} and {tuple(truth.shape)} differ; they must be equal.")
    exact = torch.promote_types(torch.promote_types(made.dtype, truth.dtype), torch.float32)
    return made.to(exact) - truth.to(exact)
