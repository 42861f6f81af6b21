"""What every network of two frames asks of its caller: two RGB frames of a size it can halve, a time it can render."""

from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.types import Contract

Time = float | Fraction | Float[Tensor, " b"]


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


def check_size(who: str, size: tuple[int, int] | None, frames: Tensor) -> None:
    """Raises ContractError if another (height, width) than the frames' is asked for."""
    if size is not None and tuple(size) != tuple(frames.shape[-2:]):
        raise ContractError(f"{who} keeps the size {tuple(frames.shape[-2:])}, asked for {tuple(size)}; resize after.")


def read_times(who: str, t: Time, frames: Tensor, contract: Contract) -> Float[Tensor, "b 1 1 1"]:
    """One time for each member of the batch, in the frames' dtype. Raises ContractError for times it cannot render."""
    batch = frames.shape[0]
    # compared as float64: a list of times such as (1/2,) must not be blurred by the frames' precision
    exact = torch.as_tensor(float(t) if isinstance(t, Fraction) else t, dtype=torch.float64).reshape(-1).cpu()
    if exact.numel() not in (1, batch):
        raise ContractError(f"{who} takes one time or {batch} of them, got {exact.numel()}.")
    if contract.times is not None:
        allowed = torch.tensor([float(time) for time in contract.times], dtype=torch.float64)
        if not bool((exact[:, None] - allowed).abs().amin(1).le(1e-6).all()):
            names = ", ".join(map(str, contract.times))
            raise ContractError(
                f"{who} renders only t = {names}, asked for {exact.tolist()}. Wrap it: Bisected(model)."
            )
    elif not bool(((exact > contract.covers[0]) & (exact < contract.covers[1])).all()):
        first, last = contract.covers
        raise ContractError(f"{who} renders {first} < t < {last}, asked for {exact.tolist()}. Copy the source frames.")
    return exact.to(frames.device, frames.dtype).expand(batch).view(batch, 1, 1, 1)
