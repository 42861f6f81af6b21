"""Windows of packed footage: which frames a sample reads, which it must give, and how often each is drawn.

A window never crosses a cut, and its frames are evenly spaced in time: repeats are left out of a store, and where one
was left out, or where a variable frame rate changes, the steps differ and the window is not taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from midframe.data.store import PackedClip, Store
from midframe.errors import InputError, UsageError

EVEN = 1.2  # largest step over smallest, up to which a window counts as evenly spaced
LEAST, MOST = 0.5, 24.0  # pixels of motion below and above which more or less makes no difference to the weight


@dataclass(frozen=True, slots=True)
class Shape:
    """Frames of a window by their offsets from its first: read `inputs`, give `choose` of `targets` (None: all).

    Times: the two inputs around the targets are 0 and 1; where all targets come after the inputs (`ahead`), the last
    input is 0 and the first target 1; where they lie anywhere from the first input to the last (`anywhere`), inputs
    among them, the first two inputs are 0 and 1. `share` is how often this shape is drawn among others.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    choose: int | None = None
    share: float = 1.0
    anywhere: bool = False

    def __post_init__(self) -> None:
        offsets = sorted({*self.inputs, *self.targets} if self.anywhere else (*self.inputs, *self.targets))
        if len(set(offsets)) != len(offsets) or not self.targets or len(self.inputs) < 2 or offsets[0] != 0:
            raise UsageError(f"a window of inputs {self.inputs} and targets {self.targets} cannot be meant.")
        left, right = self.gap
        if self.is_ahead and len({after - before for before, after in pairwise(offsets)}) > 1:
            raise UsageError(f"the targets {self.targets} must follow the inputs {self.inputs} at their distance.")
        last = offsets[-1] == self.inputs[-1] and len(set(self.targets)) == len(self.targets)
        inside = last if self.anywhere else self.is_ahead or all(left < target < right for target in self.targets)
        if not inside or list(self.inputs) != sorted(self.inputs):
            raise UsageError(f"the targets {self.targets} must lie in one gap of the inputs {self.inputs}.")
        if self.choose is not None and not 1 <= self.choose <= len(self.targets):
            raise UsageError(f"{self.choose} of {len(self.targets)} targets cannot be chosen.")

    @property
    def is_ahead(self) -> bool:
        """The targets come after all inputs: they are to be predicted."""
        return min(self.targets) > max(self.inputs)

    @property
    def gap(self) -> tuple[int, int]:
        """Offsets of the times 0 and 1: the inputs around the targets, or the last input and the first target."""
        if self.is_ahead:
            return max(self.inputs), min(self.targets)
        if self.anywhere:
            return self.inputs[0], self.inputs[1]
        below = [offset for offset in self.inputs if offset < self.targets[0]]
        above = [offset for offset in self.inputs if offset > self.targets[0]]
        if not below or not above:
            raise UsageError(f"the targets {self.targets} must lie between two of the inputs {self.inputs}.")
        return below[-1], above[0]

    @property
    def length(self) -> int:
        return max(*self.inputs, *self.targets) + 1

    @property
    def target_count(self) -> int:
        return self.choose or len(self.targets)

    def time(self, offset: int) -> float:
        left, right = self.gap
        return (offset - left) / (right - left)


def neighbours(count: int = 1, *, stride: int = 1, share: float = 1.0) -> Shape:
    """`count` frames on either side of the one to give: a triplet (1), quintuplet (2) or septuplet (3).

    `stride` frames apart: 2 reads every second frame, so that motion is twice as large. The inputs lie at
    …, −½, 0, 1, 1½, …: the middle frame is missing from an even row.
    """
    if count < 1 or stride < 1:
        raise UsageError(f"neighbours({count}, stride={stride}): both are at least 1.")
    row = range(0, (2 * count + 1) * stride, stride)
    return Shape(tuple(i for i in row if i != count * stride), (count * stride,), share=share)


def spaced(
    count: int = 4,
    *,
    factor: int = 2,
    choose: int | None = None,
    share: float = 1.0,
    times: Sequence[Fraction] | None = None,
) -> Shape:
    """`count` inputs at the integers, `factor` frames apart; the frames in the middle gap are the targets, or those of
    them that lie at one of `times`.

    spaced(4) is what four-frame systems read: −1, 0, 1, 2 from a window of seven frames, to give the middle one.
    """
    if count < 2 or count % 2 or factor < 2:
        raise UsageError(f"spaced({count}, factor={factor}): an even number of inputs and a factor of at least 2.")
    left = (count // 2 - 1) * factor
    able = [k for k in range(1, factor) if times is None or Fraction(k, factor) in times]
    if not able:
        raise UsageError(f"no frame lies at {', '.join(map(str, times or ()))} of a gap of {factor} frames.")
    return Shape(
        tuple(range(0, count * factor - factor + 1, factor)),
        tuple(left + k for k in able),
        choose=choose,
        share=share,
    )


def between(frames: int, *, choose: int | None = 1, share: float = 1.0) -> Shape:
    """Two ends `frames` apart and every frame between as truth, of which `choose` are drawn (None: all of them)."""
    return spaced(2, factor=frames, choose=choose, share=share)


def ahead(inputs: int, targets: int, *, stride: int = 1, share: float = 1.0) -> Shape:
    """What predictors read and must give: `inputs` frames at …, −1, 0 and the `targets` after them, at 1, 2, …, all
    `stride` frames apart."""
    if inputs < 2 or min(targets, stride) < 1:
        raise UsageError(f"ahead({inputs}, {targets}, stride={stride}): at least 2 inputs, 1 target and a stride of 1.")
    row = tuple(range(0, (inputs + targets) * stride, stride))
    return Shape(row[:inputs], row[inputs:], share=share)


def throughout(
    count: int = 2,
    *,
    factor: int = 2,
    choose: int | None = None,
    share: float = 1.0,
    times: Sequence[Fraction] | None = None,
) -> Shape:
    """What systems that enlarge read and must give: `count` inputs at 0, 1, …, `factor` frames apart, and as targets
    all frames from the first input to the last, these themselves among them, or those of them at one of `times`."""
    if count < 2 or factor < 1:
        raise UsageError(f"throughout({count}, factor={factor}): at least 2 inputs and a factor of 1.")
    last = (count - 1) * factor
    targets = tuple(k for k in range(last + 1) if times is None or Fraction(k, factor) in times)
    return Shape(tuple(range(0, last + 1, factor)), targets, choose=choose, share=share, anywhere=True)


@dataclass(frozen=True, slots=True)
class Windows:
    """All windows of some shapes in a store. Arrays of one length: shape, clip, first frame, motion, and the
    cumulative probability by which they are drawn. `motion` is in pixels from one end of the gap to the other."""

    shapes: tuple[Shape, ...]
    shape: NDArray[np.int32]
    clip: NDArray[np.int32]
    start: NDArray[np.int32]
    motion: NDArray[np.float32]
    cumulative: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start)

    def draw(self, generator: np.random.Generator) -> int:
        return int(np.searchsorted(self.cumulative, generator.random(), side="right"))


def find_windows(
    store: Store,
    shapes: Sequence[Shape],
    *,
    clips: Sequence[int] | None = None,
    motion: tuple[float, float] = (0.0, np.inf),
    power: float = 1.0,
) -> Windows:
    """Every window of `shapes` in `clips` of `store` (None: all) whose motion lies within `motion`.

    A window's motion is the mean over its gap of the 95th percentile of the flow, times the frames of the gap, in
    pixels of the store. It is drawn with a weight of motion^power (held between LEAST and MOST; power 0: all alike);
    each shape as often as its `share` says.

    Raises UsageError if the shapes differ in their numbers of inputs or targets, InputError if there is no window.
    """
    if len({(len(shape.inputs), shape.target_count) for shape in shapes}) != 1:
        raise UsageError("the shapes of one source must read as many frames and give as many, each of them.")
    parts: list[tuple[NDArray, NDArray, NDArray, NDArray, NDArray]] = []
    for number, shape in enumerate(shapes):
        found = [
            (index, start, moved)
            for index in (range(len(store)) if clips is None else clips)
            for start, moved in _windows_of(store.clips[index], shape)
        ]
        rows = np.array(found, np.float64).reshape(-1, 3)
        rows = rows[(rows[:, 2] >= motion[0]) & (rows[:, 2] <= motion[1])]
        if len(rows):
            weight = np.clip(rows[:, 2], LEAST, MOST) ** power
            parts.append(
                (np.full(len(rows), number), rows[:, 0], rows[:, 1], rows[:, 2], weight / weight.sum() * shape.share)
            )
    if not parts:
        longest = max((clip.frames for clip in store.clips), default=0)
        raise InputError(
            f"{store.path}: no window of {min(shape.length for shape in shapes)} evenly spaced frames without a cut "
            f"and within the limits of motion; its longest clip has {longest} frames."
        )
    kinds, clip, start, moved, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    cumulative = np.cumsum(weight / weight.sum())
    cumulative[-1] = 1.0
    return Windows(
        tuple(shapes),
        kinds.astype(np.int32),
        clip.astype(np.int32),
        start.astype(np.int32),
        moved.astype(np.float32),
        cumulative,
    )


def _windows_of(clip: PackedClip, shape: Shape) -> list[tuple[int, float]]:
    """(first frame, motion) of the windows of one clip."""
    if clip.frames < shape.length:
        return []
    views = np.lib.stride_tricks.sliding_window_view
    steps = views(np.diff(np.array(clip.times)), shape.length - 1)
    flow = views(np.array(clip.flow_p95), shape.length - 1)
    begins = np.zeros(clip.frames, bool)
    begins[list(clip.shots)] = True
    fine = (steps.max(1) <= EVEN * steps.min(1)) & ~views(begins[1:], shape.length - 1).any(1)
    left, right = shape.gap
    moved = flow[:, left:right].mean(1) * (right - left)
    return [(int(start), float(moved[start])) for start in np.flatnonzero(fine)]
