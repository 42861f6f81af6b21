"""One frame between two, for measuring: pads to the model's contract, crops, and rounds as a viewer would see it."""

from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import ContractError
from midframe.types import Synthesizer


def render_between(
    synthesizer: Synthesizer, frame0: Float[Tensor, "3 h w"], frame1: Float[Tensor, "3 h w"], t: Fraction
) -> Float[Tensor, "3 h w"]:
    """What the model makes at time t between two frames, not clamped.

    Right and bottom edges are repeated up to the model's `multiple` and `minimum` and cut off again.
    Raises ContractError if the model reads other frames than these two or cannot render t.
    """
    contract = synthesizer.contract
    if contract.inputs != (0, 1):
        raise ContractError(f"Measured between two frames; this model reads the frames at {contract.inputs}.")
    if contract.times is not None and t not in contract.times:
        times = ", ".join(map(str, contract.times))
        raise ContractError(f"This model renders only t = {times}, the frame to compare with is at {t}.")
    height, width = frame0.shape[-2:]
    goal = [-(-max(side, contract.minimum) // contract.multiple) * contract.multiple for side in (height, width)]
    pair = torch.stack((frame0, frame1))
    if goal != [height, width]:
        pair = F.pad(pair, (0, goal[1] - width, 0, goal[0] - height), mode="replicate")
    with torch.inference_mode():
        made = synthesizer.render(synthesizer.prepare(pair[None]), float(t))
    return made[0, :, :height, :width]


def as_8bit(frame: Float[Tensor, "3 h w"]) -> NDArray[np.uint8]:
    """H W 3, clamped to [0, 1] and rounded to 0…255: what is measured is what an 8-bit file would hold."""
    return (frame.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
