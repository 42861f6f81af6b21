"""Frames between two, for measuring: pads to the model's contract, crops, and rounds as a viewer would see it."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import ContractError
from midframe.models.adapt import Bisected
from midframe.types import Synthesizer


def render_between(
    synthesizer: Synthesizer, frame0: Float[Tensor, "3 h w"], frame1: Float[Tensor, "3 h w"], t: Fraction
) -> Float[Tensor, "3 h w"]:
    """What the model makes at time t between two frames, not clamped. See `render_times`."""
    return render_times(synthesizer, frame0, frame1, (t,))[0]


def render_times(
    synthesizer: Synthesizer,
    frame0: Float[Tensor, "3 h w"],
    frame1: Float[Tensor, "3 h w"],
    times: Sequence[Fraction],
    *,
    outer: tuple[Float[Tensor, "3 h w"], Float[Tensor, "3 h w"]] | None = None,
) -> list[Float[Tensor, "3 h w"]]:
    """What the model makes at each of `times` between two frames, which it prepares once; not clamped.

    outer  the frames before and after the two, for a model that reads all four

    Right and bottom edges are repeated up to the model's `multiple` and `minimum` and cut off again.
    Raises ContractError if the model reads other frames than these or cannot render one of the times.
    """
    contract = synthesizer.contract
    if contract.inputs == (-1, 0, 1, 2) and outer is not None:
        frames = [outer[0], frame0, frame1, outer[1]]
    elif contract.inputs == (0, 1):
        frames = [frame0, frame1]
    else:
        raise ContractError(f"Measured between two frames; this model reads the frames at {contract.inputs}.")
    for t in times:
        if contract.times is not None and t not in contract.times:
            able = ", ".join(map(str, contract.times))
            raise ContractError(f"This model renders only t = {able}, the frame to compare with is at {t}.")
    height, width = frame0.shape[-2:]
    goal = [-(-max(side, contract.minimum) // contract.multiple) * contract.multiple for side in (height, width)]
    window = torch.stack(frames)
    if goal != [height, width]:
        window = F.pad(window, (0, goal[1] - width, 0, goal[0] - height), mode="replicate")
    # Not inference_mode: what a model keeps for later (a grid, a window) must stay usable in training.
    with torch.no_grad():
        state = synthesizer.prepare(window[None])
        return [synthesizer.render(state, float(t))[0, :, :height, :width] for t in times]


def for_factor(synthesizer: Synthesizer, factor: int) -> Synthesizer:
    """The model as it makes k/factor, k = 1 … factor − 1: one that renders only the middle is asked again (`Bisected`).

    Raises ContractError if its times do not reach that far: a middle-frame model makes 2, 4, 8 … times the frames.
    """
    times = synthesizer.contract.times
    if times is None or all(Fraction(k, factor) in times for k in range(1, factor)):
        return synthesizer
    depth = factor.bit_length() - 1
    if factor != 2**depth or Fraction(1, 2) not in times:
        raise ContractError(f"This model renders only t = {', '.join(map(str, times))}: not {factor} times the frames.")
    return Bisected(synthesizer, depth=depth)


def as_8bit(frame: Float[Tensor, "3 h w"]) -> NDArray[np.uint8]:
    """H W 3, clamped to [0, 1] and rounded to 0…255: what is measured is what an 8-bit file would hold."""
    return (frame.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def as_tensor(picture: NDArray[np.uint8], device: torch.device | str = "cpu") -> Float[Tensor, "3 h w"]:
    """An H W 3 picture of 8 bits as a model takes it, RGB in [0, 1]."""
    return torch.from_numpy(picture).to(device).permute(2, 0, 1).float() / 255


def side_by_side(made: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Made, truth and their difference (times four, grey is none), H 3W 3 uint8 RGB."""
    difference = made.astype(np.int16) - truth
    shown = (128 + 4 * difference).clip(0, 255).astype(np.uint8)
    return np.concatenate((made, truth, shown), axis=1)
