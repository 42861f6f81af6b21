"""Synthesizers made of synthesizers: more times (`Bisected`), less memory (`Tiled`), steadier answers (`Ensembled`),
frames of any size (`Padded`), answers of any size (`Resized`), and time and space by a model each (`Enlarged`).

Each has a contract of its own and adds no option to the networks. They nest. None of them takes a map of times.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError, UsageError
from midframe.ops.pad import pad
from midframe.ops.resize import resize_cubic
from midframe.types import Contract, State, Synthesizer

Flip = Literal["horizontal", "vertical", "time"]
Size = tuple[int, int]  # (height, width)
HALF = Fraction(1, 2)
ANY_SCALE = (1 / 16, 16.0)


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

    tile     height and width of a tile in pixels of the source, rounded up to what the model's contract wants
    overlap  pixels that neighbours share; answers are cross-faded over it. Motion longer than that is lost at seams.
    grid     tiles begin at multiples of this: what is enlarged by a whole number of `grid`ths meets without a shift;
             otherwise tiles lie up to half a pixel of the answer beside their place

    The state is {"size": (H, W), "tiles": one state per tile}, as large as the model's own for the whole frame; what
    falls is the memory at work. A frame no larger than one tile is passed on whole.
    """

    def __init__(self, model: Synthesizer, tile: int = 512, overlap: int = 64, *, grid: int = 1) -> None:
        multiple = math.lcm(model.contract.multiple, grid)
        tile = -(-max(tile, model.contract.minimum) // multiple) * multiple
        if not 0 <= overlap <= tile // 2:
            raise UsageError(f"Tiled: the overlap is 0 to half the tile ({tile // 2}), got {overlap}.")
        self.model = model
        self.tile = tile
        self.overlap = overlap
        self.grid = grid
        self.contract: Contract = replace(model.contract, multiple=multiple, maps=False)

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
        self, state: State, t: float | Float[Tensor, " b"], size: Size | None = None
    ) -> Float[Tensor, "b 3 h2 w2"]:
        """The frame at `t` and `size`. Raises ContractError as the model does."""
        goal = _asked_size("Tiled", self.contract, state["size"], size)
        rows, columns = (self._spread(*sides) for sides in zip(state["size"], goal, strict=True))
        tiles = state["tiles"]
        if len(tiles) == 1:
            return _render(self.model, tiles[0], t, goal)
        out: Tensor | None = None
        for inner, ((top, along), (left, across)) in zip(tiles, itertools.product(rows, columns), strict=True):
            answer = _render(self.model, inner, t, (len(along), len(across)))
            if out is None:
                out = answer.new_zeros(*answer.shape[:-2], *goal)
            out[..., top : top + len(along), left : left + len(across)] += (along[:, None] * across).to(answer) * answer
        assert out is not None
        return out

    def _starts(self, length: int) -> list[int]:
        """Where tiles begin along an axis: spread evenly, neighbours sharing `overlap` or more."""
        if length <= self.tile:
            return [0]
        count = -(-(length - self.overlap) // (self.tile - self.overlap))
        steps = [k * (length - self.tile) / (count - 1) for k in range(count - 1)]
        return [round(step) // self.grid * self.grid for step in steps] + [length - self.tile]

    def _spread(self, length: int, goal: int) -> list[tuple[int, Tensor]]:
        """(start, weights) of the tiles along an axis of the answer; at every pixel the weights add up to 1."""
        extent = min(self.tile, length)
        spans = [
            (round(start * goal / length), round((start + extent) * goal / length)) for start in self._starts(length)
        ]
        weights = [torch.ones(stop - start, dtype=torch.float64) for start, stop in spans]
        for index, ((start, stop), (following, _)) in enumerate(itertools.pairwise(spans)):
            shared = stop - following
            ramp = (torch.arange(shared, dtype=torch.float64) + 0.5) / shared
            weights[index + 1][:shared] *= ramp
            weights[index][stop - start - shared :] *= 1 - ramp
        total = torch.zeros(goal, dtype=torch.float64)
        for (start, stop), weight in zip(spans, weights, strict=True):
            total[start:stop] += weight
        return [(start, weight / total[start:stop]) for (start, stop), weight in zip(spans, weights, strict=True)]


class Padded:
    """A model whose frames have to divide by a number, or be of some size, given frames of any size.

    grid  the padded size divides by this, too: what is enlarged by a whole number of `grid`ths keeps its place exactly;
          otherwise it lies up to half a pixel of the answer beside it at the far edge

    Padding repeats the last row and column. The state is {"size": (H, W), "padded": (H', W'), "inner": the model's}.
    """

    def __init__(self, model: Synthesizer, *, grid: int = 1) -> None:
        self.model = model
        self.multiple = math.lcm(model.contract.multiple, grid)
        self.contract: Contract = replace(model.contract, multiple=1, minimum=1, maps=False)

    def prepare(self, frames: Float[Tensor, "b n 3 h w"], generator: torch.Generator | None = None) -> State:
        padded, _ = pad(frames, multiple=self.multiple, minimum=self.model.contract.minimum)
        inner = self.model.prepare(padded, generator=generator)
        return {"size": tuple(frames.shape[-2:]), "padded": tuple(padded.shape[-2:]), "inner": inner}

    def render(
        self, state: State, t: float | Float[Tensor, " b"], size: Size | None = None
    ) -> Float[Tensor, "b 3 h2 w2"]:
        """The frame at `t` and `size`. Raises ContractError as the model does."""
        goal = _asked_size("Padded", self.contract, state["size"], size)
        sides = zip(goal, state["size"], state["padded"], strict=True)
        wider = tuple(max(side, round(padded * side / own)) for side, own, padded in sides)
        return _render(self.model, state["inner"], t, wider)[..., : goal[0], : goal[1]]


class Resized:
    """A model that enlarges, at any size: at the enlargement nearest to it that the model makes, then resampled.

    Resampling is `ops.resize.resize_cubic`. The state is {"size": (H, W), "inner": the model's}.
    """

    def __init__(self, model: Synthesizer) -> None:
        self.model = model
        self.contract: Contract = replace(model.contract, scale=ANY_SCALE)

    def nearest(self, own: Size, size: Size) -> Size:
        """The size nearest to `size` that the model makes of frames of the size `own`."""
        low, high = self.model.contract.scale
        height, width = (
            min(max(side, math.ceil(low * given)), math.floor(high * given))
            for side, given in zip(size, own, strict=True)
        )
        return height, width

    def prepare(self, frames: Float[Tensor, "b n 3 h w"], generator: torch.Generator | None = None) -> State:
        return {"size": tuple(frames.shape[-2:]), "inner": self.model.prepare(frames, generator=generator)}

    def render(
        self, state: State, t: float | Float[Tensor, " b"], size: Size | None = None
    ) -> Float[Tensor, "b 3 h2 w2"]:
        """The frame at `t` and `size`; None: as large as the frames. Raises ContractError as the model does."""
        goal = size or state["size"]
        return resize_cubic(_render(self.model, state["inner"], t, self.nearest(state["size"], goal)), goal)


class Enlarged:
    """Two models as one: `between` makes frames between frames and `larger` enlarges frames.

    larger_first  enlarge the source frames, then look for what lies between them; else the other way round

    `larger` is shown one frame at a time. A source frame, t = 0 or 1, is enlarged as it is: `between` does not run for
    it. The state is {"frames": B N 3 H W, "inner": {size: the state of `between` for frames of that size}}; it grows
    while it is rendered from.
    """

    def __init__(self, between: Synthesizer, larger: Synthesizer, *, larger_first: bool = False) -> None:
        first, other = between.contract, larger.contract
        if first.inputs is None or first.covers != (0, 1) or first.enlarges:
            raise UsageError("Enlarged needs a model that makes frames between two frames.")
        if other.inputs is None or other.covers[0] != 0 or not other.enlarges:
            raise UsageError("Enlarged needs a model that enlarges.")
        self.between, self.larger = Padded(between), Padded(larger)
        self.larger_first = larger_first
        times = None if first.times is None else (Fraction(0), *first.times, Fraction(1))
        self.contract: Contract = replace(
            first,
            times=times,
            scale=other.scale,
            multiple=1,
            minimum=1,
            random=first.random or other.random,
            maps=False,
        )

    def prepare(self, frames: Float[Tensor, "b n 3 h w"], generator: torch.Generator | None = None) -> State:
        _require_frames("Enlarged", frames, self.contract)
        return {"frames": frames, "inner": {}, "generator": generator}

    def render(
        self, state: State, t: float | Fraction | Float[Tensor, " b"], size: Size | None = None
    ) -> Float[Tensor, "b 3 h2 w2"]:
        """The frame at `t`, 0 to 1, and `size`. Raises ContractError as the models do."""
        goal = _asked_size("Enlarged", self.contract, tuple(state["frames"].shape[-2:]), size)
        if not isinstance(t, Tensor):
            return self._answer(state, float(t), goal)
        times = t.flatten().tolist()
        answers = {time: self._answer(state, time, goal) for time in set(times)}
        return torch.stack([answers[time][index] for index, time in enumerate(times)])

    def _answer(self, state: State, t: float, goal: Size) -> Tensor:
        frames = state["frames"]
        assert self.contract.inputs is not None
        if t in (0, 1):
            return self._enlarge(frames[:, self.contract.inputs.index(int(t))], goal, state)
        seen = goal if self.larger_first else tuple(frames.shape[-2:])
        if seen not in state["inner"]:
            if self.larger_first:
                frames = torch.stack([self._enlarge(frame, goal, state) for frame in frames.unbind(1)], 1)
            state["inner"][seen] = self.between.prepare(frames, generator=state["generator"])
        made = self.between.render(state["inner"][seen], t)
        return made if self.larger_first else self._enlarge(made, goal, state)

    def _enlarge(self, frame: Tensor, goal: Size, state: State) -> Tensor:
        assert self.larger.contract.inputs is not None
        window = torch.stack([frame] * len(self.larger.contract.inputs), 1)
        return self.larger.render(self.larger.prepare(window, generator=state["generator"]), 0.0, goal)


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


def _asked_size(who: str, contract: Contract, own: Size, size: Size | None) -> Size:
    """(height, width) of an answer: the asked one, or that of the frames, or the nearest to it that the model makes.

    Raises ContractError for another size of a model that keeps it.
    """
    low, high = contract.scale
    if size is None:
        height, width = (round(side * min(max(1, low), high)) for side in own)
        return height, width
    if not contract.enlarges and tuple(size) != tuple(own):
        raise ContractError(f"{who} keeps the size {tuple(own)}, asked for {tuple(size)}.")
    return size[0], size[1]


def _render(model: Synthesizer, state: State, t: float | Tensor, size: Size) -> Tensor:
    """Of a model that keeps the size no size is asked for: it may be told no other."""
    return model.render(state, t, size) if model.contract.enlarges else model.render(state, t)


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
