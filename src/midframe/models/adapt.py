"""Synthesizers made of synthesizers: more times (`Bisected`), less memory (`Tiled`), steadier answers (`Ensembled`).

Each holds one model, has a contract of its own and adds no option to the networks. They nest. None of them takes
a map of times.
"""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError, UsageError
from midframe.types import Contract, State, Synthesizer

Flip = Literal["horizontal", "vertical", "time"]
HALF = Fraction(1, 2)


class Bisected:
    """Any model that renders the middle frame, asked again between its own answers: t in steps of 2^−depth.

    F(t) = model(F(t − s), F(t + s)) with s the lowest set bit of t. The contract lists the times it can render;
    times that are not in it are refused, the caller rounds (at most 2^−(depth+1) of a frame interval away).

    Every answer is kept in the state, so that all times of a pair cost 2^depth − 1 runs of the model. The state is
    {"answers": {t: B 3 H W}, "generator": …}; it grows while it is rendered from, and belongs to its caller.
    """

    def __init__(self, model: Synthesizer, depth: int = 3) -> None:
        contract = model.contract
        if contract.inputs != (0, 1) or (contract.times is not None and HALF not in contract.times):
            raise UsageError("Bisected needs a model of two frames that renders t=1/2; use the model as it is.")
        if not 1 <= depth <= 8:
            raise UsageError(f"Bisected goes 1 to 8 levels deep, asked for {depth}.")
        self.model = model
        self.depth = depth
        steps = 2**depth
        self.contract = replace(contract, times=tuple(Fraction(k, steps) for k in range(1, steps)), maps=False)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> State:
        _require_frames("Bisected", frames, self.contract)
        return {"answers": {Fraction(0): frames[:, 0], Fraction(1): frames[:, 1]}, "generator": generator}

    def render(
        self, state: State, t: float | Fraction | Float[Tensor, " b"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The frame at `t`, a multiple of 2^−depth. Raises ContractError for other times."""
        if not isinstance(t, Tensor):
            return self._answer(state, self._exact(t), size)
        times = [self._exact(value) for value in t.flatten().tolist()]
        if len(set(times)) == 1:
            return self._answer(state, times[0], size)
        return torch.stack([self._answer(state, time, size)[index] for index, time in enumerate(times)])

    def _exact(self, t: float | Fraction) -> Fraction:
        # a time that went through float32 is still meant exactly; depth ≤ 8 keeps neighbours far apart
        near = Fraction(round(Fraction(t) * 2**self.depth), 2**self.depth)
        if abs(near - Fraction(t)) > Fraction(1, 10**6) or near not in (self.contract.times or ()):
            raise ContractError(f"Bisected renders multiples of 1/{2**self.depth} between 0 and 1, asked for {t}.")
        return near

    def _answer(self, state: State, t: Fraction, size: tuple[int, int] | None) -> Tensor:
        answers: dict[Fraction, Tensor] = state["answers"]
        if t not in answers:
            step = Fraction(1, t.denominator)
            pair = torch.stack([self._answer(state, t - step, None), self._answer(state, t + step, None)], 1)
            made = self.model.prepare(pair, generator=state["generator"])
            answers[t] = self.model.render(made, 0.5)
        answer = answers[t]
        if size is not None and tuple(size) != tuple(answer.shape[-2:]):
            raise ContractError(f"Bisected keeps the size {tuple(answer.shape[-2:])}, asked for {tuple(size)}.")
        return answer


class Tiled:
    """A model run on overlapping tiles, so that memory follows the tile and not the frame.

    tile     height and width of a tile in pixels, rounded up to what the model's contract wants
    overlap  pixels that neighbours share; answers are cross-faded over it. Motion longer than that is lost at seams.

    Only for models of scale 1. The state is {"size": (H, W), "tiles": one state per tile}, as large as the model's
    own for the whole frame; what falls is the memory at work. A frame no larger than one tile is passed on whole.
    """

    def __init__(self, model: Synthesizer, tile: int = 512, overlap: int = 64) -> None:
        if model.contract.scale != (1, 1):
            raise UsageError(f"Tiled keeps the size of a frame; the model enlarges by {model.contract.scale}.")
        multiple = model.contract.multiple
        tile = -(-max(tile, model.contract.minimum) // multiple) * multiple
        if not 0 <= overlap <= tile // 2:
            raise UsageError(f"Tiled: the overlap is 0 to half the tile ({tile // 2}), got {overlap}.")
        self.model = model
        self.tile = tile
        self.overlap = overlap
        self.contract: Contract = replace(model.contract, maps=False)

    def prepare(self, frames: Float[Tensor, "b n 3 h w"], generator: torch.Generator | None = None) -> State:
        """Prepare every tile. A size that does not divide by the contract's `multiple` is the caller's to pad."""
        _require_frames("Tiled", frames, self.contract)
        height, width = frames.shape[-2:]
        states = [
            self.model.prepare(frames[..., y : y + self.tile, x : x + self.tile].contiguous(), generator=generator)
            for y, x in itertools.product(self._starts(height), self._starts(width))
        ]
        return {"size": (height, width), "tiles": states}

    def render(
        self, state: State, t: float | Float[Tensor, " b"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The frame at `t`. Raises ContractError as the model does, and for another `size`."""
        height, width = state["size"]
        if size is not None and tuple(size) != (height, width):
            raise ContractError(f"Tiled keeps the size {(height, width)}, asked for {tuple(size)}.")
        rows, columns = self._weights(height), self._weights(width)
        tiles = state["tiles"]
        first = self.model.render(tiles[0], t)
        if len(tiles) == 1:
            return first
        out = first.new_zeros(*first.shape[:-2], height, width)
        for index, ((y, along), (x, across)) in enumerate(itertools.product(rows, columns)):
            answer = first if index == 0 else self.model.render(tiles[index], t)
            weight = (along[:, None] * across).to(answer)
            out[..., y : y + self.tile, x : x + self.tile] += weight * answer
        return out

    def _starts(self, length: int) -> list[int]:
        """Where tiles begin along an axis: spread evenly, neighbours sharing `overlap` or more."""
        if length <= self.tile:
            return [0]
        count = -(-(length - self.overlap) // (self.tile - self.overlap))
        return [round(k * (length - self.tile) / (count - 1)) for k in range(count)]

    def _weights(self, length: int) -> list[tuple[int, Tensor]]:
        """(start, weights) of the tiles along an axis; at every pixel the weights add up to 1."""
        starts = self._starts(length)
        extent = min(self.tile, length)
        weights = [torch.ones(extent, dtype=torch.float64) for _ in starts]
        for index, (start, following) in enumerate(itertools.pairwise(starts)):
            shared = start + extent - following
            ramp = (torch.arange(shared, dtype=torch.float64) + 0.5) / shared
            weights[index + 1][:shared] *= ramp
            weights[index][extent - shared :] *= 1 - ramp
        total = torch.zeros(length, dtype=torch.float64)
        for start, weight in zip(starts, weights, strict=True):
            total[start : start + extent] += weight
        return [(start, weight / total[start : start + extent]) for start, weight in zip(starts, weights, strict=True)]


class Ensembled:
    """The mean of a model's answers for the pair as it is and for each of `flips` of it, flipped back.

    flips  any of "horizontal", "vertical", "time" (frames swapped, t → 1−t); all their combinations are run, so the
           cost is 2^len(flips). With "time" the result is symmetric in time even where the model is not.

    The state is a list of the model's states.
    """

    def __init__(self, model: Synthesizer, flips: Iterable[Flip] = ("horizontal",)) -> None:
        chosen = tuple(dict.fromkeys(flips))
        unknown = [flip for flip in chosen if flip not in ("horizontal", "vertical", "time")]
        if unknown or not chosen:
            raise UsageError(f"Ensembled flips horizontal, vertical, time; got {unknown or 'none'}.")
        if "time" in chosen and model.contract.inputs is None:
            raise UsageError("Ensembled cannot reverse a model of whole shots: leave out the flip in time.")
        self.model = model
        self.flips: tuple[Flip, ...] = chosen
        self.contract = replace(model.contract, symmetric=model.contract.symmetric or "time" in chosen, maps=False)

    def prepare(self, frames: Float[Tensor, "b n 3 h w"], generator: torch.Generator | None = None) -> State:
        _require_frames("Ensembled", frames, self.contract)
        return [self.model.prepare(_flip(frames, flips), generator=generator) for flips in self._combinations()]

    def render(
        self, state: State, t: float | Float[Tensor, " b"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h2 w2"]:
        first, last = self.contract.covers
        answers = [
            _flip(self.model.render(one, first + last - t if "time" in flips else t, size), flips)
            for one, flips in zip(state, self._combinations(), strict=True)
        ]
        # deviations from the first: equal answers give exactly themselves
        return answers[0] + sum((answer - answers[0] for answer in answers[1:]), torch.zeros_like(answers[0])) / len(
            answers
        )

    def _combinations(self) -> list[tuple[Flip, ...]]:
        counts = range(len(self.flips) + 1)
        return [chosen for count in counts for chosen in itertools.combinations(self.flips, count)]


def _flip(frames: Tensor, flips: tuple[Flip, ...]) -> Tensor:
    """Mirror the two last axes; frames (B N 3 H W) are also reversed in time, answers (B 3 H W) have no such axis."""
    axes = [-1] if "horizontal" in flips else []
    axes += [-2] if "vertical" in flips else []
    axes += [1] if "time" in flips and frames.ndim == 5 else []
    return frames.flip(axes).contiguous() if axes else frames


def _require_frames(who: str, frames: Tensor, contract: Contract) -> None:
    count = len(contract.inputs) if contract.inputs is not None else None
    if frames.ndim != 5 or frames.shape[2] != 3 or (count is not None and frames.shape[1] != count):
        raise ContractError(f"{who} reads B {count or 'N'} 3 H W frames, got {tuple(frames.shape)}.")
