"""Blend: the cross-fade (1−t)·frame0 + t·frame1. No paper; the baseline, and what a cut may be bridged with."""

from fractions import Fraction
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.types import Contract, State


class Blend:
    """Weighted mean of the two frames. The state is {"frames": B 2 3 H W}, as given; the object holds nothing."""

    contract = Contract(symmetric=True)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> State:
        if frames.ndim != 5 or frames.shape[1:3] != (2, 3):
            raise ContractError(f"Blend reads B 2 3 H W frames, got {tuple(frames.shape)}.")
        return {"frames": frames}

    def render(
        self, state: State, t: float | Fraction | Float[Tensor, " b"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The frame at `t`, 0 < t < 1. Raises ContractError for other times and for another `size`."""
        frames = cast(Tensor, state["frames"])
        times = torch.as_tensor(float(t) if isinstance(t, Fraction) else t, dtype=frames.dtype, device=frames.device)
        if not bool(((times > 0) & (times < 1)).all()):
            raise ContractError(f"Blend renders 0 < t < 1, asked for {t}. Copy the source frame at 0 and at 1.")
        if size is not None and size != tuple(frames.shape[-2:]):
            raise ContractError(f"Blend keeps the size {tuple(frames.shape[-2:])}, asked for {size}.")
        return torch.lerp(frames[:, 0], frames[:, 1], times.view(-1, 1, 1, 1))
