"""What every network of two frames asks of its caller: two RGB frames of a size it can halve, a time it can render.

Also what a network may be told in place of the time: the distance that things have gone, and a frame to start from
(Zhong et al.: "Clearer Frames, Anytime", ECCV 2024, arXiv 2311.08007; see data/distance.py).
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.types import Batch, Contract

Time = float | Fraction | Float[Tensor, " b"] | Float[Tensor, "b 1 h w"]
Index = Literal["time", "distance", "reference"]
STEPS = 2  # in which a frame is reached from reference to reference: authors' evaluation


class Reference(NamedTuple):
    """A frame that is there already, B 3 H W, and how far on its way it is, B 1 1 1 or a map."""

    frame: Tensor
    distance: Tensor


def check_pair(who: str, frames: Tensor, contract: Contract) -> None:
    """Raises ContractError unless `frames` are B 2 3 H W of a size that fits the contract's multiple and minimum."""
    if frames.ndim != 5 or frames.shape[1:3] != (2, 3):
        raise ContractError(f"{who} reads two RGB frames, B 2 3 H W; got {tuple(frames.shape)}.")
    height, width = frames.shape[-2:]
    if height % contract.multiple or width % contract.multiple or min(height, width) < contract.minimum:
        raise ContractError(
            f"{who} needs height and width to be multiples of {contract.multiple}, at least {contract.minimum}; "
            f"got {height}×{width}. Pad them (midframe.ops.pad) and cut the result."
        )


def mean_of_pair(frames: Float[Tensor, "b 2 3 h w"]) -> Float[Tensor, "b 1 1 1 1"]:
    """One number per pair, over both frames, all channels and pixels."""
    return frames.mean((1, 2, 3, 4), keepdim=True)


def check_size(who: str, size: tuple[int, int] | None, frames: Tensor) -> None:
    """Raises ContractError if another (height, width) than the frames' is asked for."""
    if size is not None and tuple(size) != tuple(frames.shape[-2:]):
        raise ContractError(f"{who} keeps the size {tuple(frames.shape[-2:])}, asked for {tuple(size)}; resize after.")


def read_times(who: str, t: Time, frames: Tensor, contract: Contract) -> Float[Tensor, "b 1 h2 w2"]:
    """One time for each member of the batch, B 1 1 1, or the map of times as it is given; in the frames' dtype.

    Raises ContractError for times it cannot render. A map may say 0 and 1, too: such pixels stay as they are.
    """
    batch = frames.shape[0]
    if isinstance(t, Tensor) and t.ndim > 1:
        return _read_map(who, t, frames, contract)
    first, last = contract.covers
    # compared as float64: a list of times such as (1/2,) must not be blurred by the frames' precision
    exact = torch.as_tensor(float(t) if isinstance(t, Fraction) else t, dtype=torch.float64).reshape(-1).cpu()
    if exact.numel() not in (1, batch):
        raise ContractError(f"{who} takes one time or {batch} of them, got {exact.numel()}.")
    if contract.times is not None:
        allowed = torch.tensor([float(time) for time in contract.times], dtype=torch.float64)
        if not bool((exact[:, None] - allowed).abs().amin(1).le(1e-6).all()):
            names = ", ".join(map(str, contract.times))
            way = "Wrap it: Bisected(model)." if contract.inputs == (0, 1) else "There is no other."
            raise ContractError(f"{who} renders only t = {names}, asked for {exact.tolist()}. {way}")
    elif contract.enlarges and not bool(((exact >= first) & (exact <= last)).all()):
        raise ContractError(f"{who} renders {first} <= t <= {last}, asked for {exact.tolist()}.")
    elif not contract.enlarges and not bool(((exact > first) & (exact < last)).all()):
        raise ContractError(f"{who} renders {first} < t < {last}, asked for {exact.tolist()}. Copy the source frames.")
    return exact.to(frames.device, frames.dtype).expand(batch).view(batch, 1, 1, 1)


def spread_times(times: Float[Tensor, "b 1 h w"], size: tuple[int, int] | torch.Size) -> Float[Tensor, "b 1 h2 w2"]:
    """What `read_times` returns as a map of this (height, width)."""
    if times.shape[-2:] == (1, 1):
        return times.expand(-1, -1, *size)
    if tuple(times.shape[-2:]) == tuple(size):
        return times
    return F.interpolate(times, tuple(size), mode="bilinear", align_corners=False)


def read_index(who: str, batch: Batch, index: Index) -> Float[Tensor, "b m 1 h w"]:
    """What tells a network where between the frames each target lies: B M 1 1 1, or the label "distance".

    Raises ContractError if that label is wanted and not there.
    """
    if index == "time":
        return batch.target_times[:, :, None, None, None]
    return _read_label(who, batch, "distance", "distance = true")


def read_reference(who: str, batch: Batch, index: Index) -> Reference | None:
    """The frames to start from, B M 3 H W and B M 1 H W, one for each target; None for a network that takes none.

    Raises ContractError if the labels "reference" and "reference_distance" are wanted and not there.
    """
    if index != "reference":
        return None
    return Reference(
        _read_label(who, batch, "reference", "reference = true"),
        _read_label(who, batch, "reference_distance", "reference = true"),
    )


def approach(
    frames: Float[Tensor, "b 2 3 h w"],
    goal: Float[Tensor, "b 1 h2 w2"],
    make: Callable[[Tensor, Reference], Tensor],
    steps: int = STEPS,
) -> Float[Tensor, "b 3 h w"]:
    """The frame at the distance `goal`, reached in equal steps from frame 0, each frame the reference of the next.

    make  the frame at a distance, from a reference
    """
    reference = Reference(frames[:, 0], torch.zeros_like(goal))
    for step in range(1, steps + 1):
        here = goal * (step / steps)
        reference = Reference(make(here, reference), here)
    return reference.frame


def _read_label(who: str, batch: Batch, label: str, key: str) -> Tensor:
    if label not in batch.labels:
        raise ContractError(
            f"{who} learns from maps of distance here, and the samples lack {label!r}: set [data] {key}."
        )
    return batch.labels[label]


def _read_map(who: str, t: Tensor, frames: Tensor, contract: Contract) -> Float[Tensor, "b 1 h w"]:
    if not contract.maps:
        raise ContractError(f"{who} renders one time for the whole frame, not a map of times.")
    batch, size = frames.shape[0], tuple(frames.shape[-2:])
    if t.ndim != 4 or t.shape[0] not in (1, batch) or t.shape[1] != 1 or tuple(t.shape[-2:]) != size:
        raise ContractError(f"{who} takes a map of times {(batch, 1, *size)}, got {tuple(t.shape)}.")
    first, last = contract.covers
    lowest, highest = (float(edge) for edge in t.aminmax())
    if not first <= lowest <= highest <= last:
        raise ContractError(f"{who} renders {first} <= t <= {last}, the map holds {lowest:g} to {highest:g}.")
    return t.to(frames.device, frames.dtype).expand(batch, -1, -1, -1)
