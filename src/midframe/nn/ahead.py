"""What every predictor asks of its caller: the last frames, and whole steps ahead of them.

A predictor reads frames at 1 − inputs … 0 and makes those at 1, 2, … up to its horizon. Most make one after the other:
their state holds the frames made so far and grows to the farthest that was asked for.
"""

from collections.abc import Callable
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError, UsageError
from midframe.nn.pair import Time, check_size, read_times
from midframe.types import Batch, Contract


def ahead(
    inputs: int,
    horizon: int,
    *,
    channels: int = 3,
    multiple: int = 1,
    minimum: int = 1,
    random: bool = False,
) -> Contract:
    """The contract of a predictor. Raises UsageError for numbers that cannot be meant."""
    if min(inputs, horizon) < 1 or channels not in (1, 3):
        raise UsageError(
            f"a predictor reads 1 frame or more, of 1 channel or 3, and looks 1 step ahead or more; got {inputs} "
            f"frames, {channels} channels and {horizon} steps."
        )
    return Contract(
        inputs=tuple(range(1 - inputs, 1)),
        covers=(0, horizon),
        times=tuple(Fraction(step) for step in range(1, horizon + 1)),
        multiple=multiple,
        minimum=minimum,
        random=random,
        channels=channels,
    )


def check_past(who: str, frames: Tensor, contract: Contract) -> None:
    """Raises ContractError unless `frames` are B N C H W with the contract's N and C, of a size that fits it."""
    assert contract.inputs is not None
    wanted = len(contract.inputs), contract.channels
    if frames.ndim != 5 or frames.shape[1:3] != wanted:
        raise ContractError(f"{who} reads {wanted[0]} frames of {wanted[1]} channels; got {tuple(frames.shape)}.")
    height, width = frames.shape[-2:]
    if height % contract.multiple or width % contract.multiple or min(height, width) < contract.minimum:
        raise ContractError(
            f"{who} needs height and width to be multiples of {contract.multiple}, at least {contract.minimum}; "
            f"got {height}×{width}. Pad them (midframe.ops.pad) and cut the result."
        )


def check_future(who: str, batch: Batch, contract: Contract) -> None:
    """Raises ContractError unless the batch's targets are the next frames, one after the other, and fit its past."""
    check_past(who, batch.frames, contract)
    count = batch.targets.shape[1]
    if batch.targets.shape[2:] != batch.frames.shape[2:]:
        raise ContractError(
            f"{who}: targets {tuple(batch.targets.shape[2:])} and frames {tuple(batch.frames.shape[2:])} differ."
        )
    if count > contract.covers[1]:
        raise ContractError(f"{who} looks {contract.covers[1]} frames ahead; the batch has {count} targets.")
    steps = torch.arange(1, count + 1).expand(len(batch.targets), count)
    if not torch.equal(batch.target_times.cpu(), steps.to(batch.target_times.dtype)):
        raise ContractError(f"{who} learns from the next frames in order, at 1 … {count}; the batch has others.")


def choose(
    who: str,
    made: Callable[[int], list[Tensor]],
    t: Time,
    size: tuple[int, int] | None,
    like: Float[Tensor, "b c h w"],
    contract: Contract,
) -> Float[Tensor, "b c h w"]:
    """The frame at `t`, or for each member of the batch the one at its own time.

    made  gives the frames at 1 … n at least, of the size and dtype of `like`

    Raises ContractError for times and sizes that the contract does not hold.
    """
    check_size(who, size, like)
    steps = [round(step) for step in read_times(who, t, like, contract).flatten().tolist()]
    frames = made(max(steps))
    if len(set(steps)) == 1:
        return frames[steps[0] - 1]
    return torch.stack([frames[step - 1][member] for member, step in enumerate(steps)])
