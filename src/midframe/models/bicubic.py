"""Bicubic: frames enlarged by an interpolating cubic kernel. No network, no weights: the baseline of super-resolution.

    space   Keys' cubic (IEEE TASSP 1981), or Lanczos, sinc within three lobes, both antialiased where they reduce
    time    the cross-fade (1−t)·frame0 + t·frame1

Both are linear, so their order does not matter; the cross-fade is taken first, because it is then the smaller picture.
For better frames between, put a model of interpolation before it or behind it: `midnet+bicubic`, `bicubic+midnet`.
"""

from fractions import Fraction
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.nn.space_time import choose_size
from midframe.ops.resize import resize_cubic
from midframe.types import Contract, State


class Bicubic:
    """Synthesizer of any 0 ≤ t ≤ 1 at any size. The state is {"frames": B 2 3 H W}, as given."""

    contract = Contract(scale=(1 / 16, 16), symmetric=True)

    def __init__(self, *, kernel: Literal["cubic", "lanczos"] = "cubic") -> None:
        self.kernel = kernel

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> State:
        if frames.ndim != 5 or frames.shape[1:3] != (2, 3):
            raise ContractError(f"Bicubic reads B 2 3 H W frames, got {tuple(frames.shape)}.")
        return {"frames": frames}

    def render(
        self, state: State, t: float | Fraction | Float[Tensor, " b"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h2 w2"]:
        """The frame at `t` and `size`, (height, width); None: as large as the frames.

        Raises ContractError for another t, or a size beyond the contract's scale.
        """
        frames = cast(Tensor, state["frames"])
        times = torch.as_tensor(float(t) if isinstance(t, Fraction) else t, dtype=frames.dtype, device=frames.device)
        if not bool(((times >= 0) & (times <= 1)).all()):
            raise ContractError(f"Bicubic renders 0 to 1, asked for {t}.")
        mixed = torch.lerp(frames[:, 0], frames[:, 1], times.view(-1, 1, 1, 1))
        goal = choose_size("Bicubic", size, mixed, self.contract, 1.0)
        if self.kernel == "cubic":
            return resize_cubic(mixed, goal)
        return F.interpolate(mixed, goal, mode="lanczos", antialias=True)
