"""Extrapolate: the next frames if all goes on as it went. No paper; the baseline of prediction, and needs no weights.

    prepare   F = flow of I0 to I−1, dense inverse search                      pixels
    render    −t·F is where each pixel of I0 is t frames later                 `ops.splat.reverse` turns it round
              holes take the flow around them                                  `ops.splat.fill_holes`
              I0 read along the flow

Nothing new can come into the picture: at the side where it should, the edge is repeated.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from midframe.nn.ahead import ahead, check_past, choose
from midframe.nn.pair import Time
from midframe.ops.dense_search import DenseSearch
from midframe.ops.splat import fill_holes, reverse
from midframe.ops.warp import warp


class Extrapolate:
    """Synthesizer of t = 1, 2, … `horizon` from the last two frames, on the CPU.

    The state is {"frame": B 3 H W, "back": B 2 H W, "made": [B 3 H W, …]}; it grows while it is rendered from.
    """

    def __init__(self, *, horizon: int = 10) -> None:
        self.contract = ahead(2, horizon)
        self._search = DenseSearch()

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """The flow back. Raises ContractError for frames that do not fit."""
        check_past("Extrapolate", frames, self.contract)
        return {"frame": frames[:, 1], "back": self._search.flow(frames[:, 1], frames[:, 0]), "made": []}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at `t`, not clamped. Raises ContractError for another t or size."""
        frame, made = state["frame"], state["made"]

        def roll(count: int) -> list[Tensor]:
            while len(made) < count:
                flow = fill_holes(*reverse(-(len(made) + 1) * state["back"]))
                made.append(warp(frame, flow))
            return made

        return choose("Extrapolate", roll, t, size, frame, self.contract)
