"""One segment of a film, from decoded pictures to a written segment file.

  reader thread → window of source frames → marks (cuts, repeats, overlays) → plan's action for each slot
                → copy | render | mix → writer thread → segment file

Memory is the window (a few frames on both sides of the gap being filled) and two short queues; it does not depend on
the length of the film. What a gap looks like is decided from a fixed number of frames around it, so a segment gives the
same frames whoever renders it and wherever rendering began.
"""

import math
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from midframe.analysis.cuts import is_cut
from midframe.analysis.duplicates import MAX_RUN, is_bridged
from midframe.analysis.glance import CONTEXT, Glance, Pairs, glance
from midframe.analysis.overlays import find_overlay
from midframe.engine.job import InterpolateJob
from midframe.engine.journal import Journal, Record
from midframe.engine.plan import (
    Action,
    Copy,
    CutSet,
    KeySet,
    Mix,
    Plan,
    Render,
    Segment,
    choose_pair,
    choose_window,
    decide,
)
from midframe.errors import ContractError, MemoryLimitError
from midframe.models.adapt import Bisected, Padded, Resized, Tiled
from midframe.models.load import BISECTION_DEPTH
from midframe.types import Contract, State, Synthesizer
from midframe.video.colour import Colour
from midframe.video.pixel import compose, from_rgb, to_rgb
from midframe.video.probe import VideoInfo
from midframe.video.reader import Reader
from midframe.video.writer import EncoderSettings, SegmentWriter

QUEUE = 4
TILE_ABOVE = 4096 * 2304  # pixels; larger frames are rendered in tiles unless the job says otherwise
TILE = 1536  # of the larger of source and output
LARGEST_FRAME = 1 << 28  # pixels
TILE_OVERLAP = 128
FINEST_GRID = 16  # pixels; a frame is padded by fewer than this so that an enlargement fits it exactly


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a worker needs to render any segment of a job; plain values, so that it travels between processes."""

    job: InterpolateJob
    info: VideoInfo
    plan: Plan
    segments: tuple[Segment, ...]
    settings: EncoderSettings
    colour: Colour
    output: Path
    cut_list: frozenset[int] | None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the output."""
        return self.settings.height, self.settings.width

    @property
    def new_size(self) -> tuple[int, int] | None:
        """`size` if it is not the source's."""
        return None if self.size == (self.info.height, self.info.width) else self.size


@dataclass(slots=True)
class Held:
    """A source frame in the window, with what was computed from it so far."""

    picture: av.VideoFrame
    glance: Glance
    rgb: Tensor | None = None


class Window:
    """Source frames around the gap being filled, read ahead in a thread. Owns the reader's position and the frames."""

    def __init__(self, reader: Reader, first: int, stop: int) -> None:
        self._reader = reader
        self.first, self.stop = first, stop
        self._held: dict[int, Held] = {}
        self._next = -1
        self._frames: ReadAhead | None = None

    def need(self, low: int, high: int) -> None:
        """Make frames [low, high), clipped to the kept part, available; frames below `low` may be let go."""
        low, high = max(low, self.first), min(high, self.stop)
        for index in [i for i in self._held if i < low]:
            del self._held[index]
        if self._next < low or (self._held and min(self._held) > low) or (not self._held and self._next > low):
            self._restart(low)
        while self._next < high:
            assert self._frames is not None
            index, held = self._frames.take()
            assert index == self._next, f"reader gave frame {index}, expected {self._next}"
            self._held[index] = held
            self._next += 1

    def __getitem__(self, index: int) -> Held:
        return self._held[index]

    def close(self) -> None:
        if self._frames is not None:
            self._frames.close()
            self._frames = None

    def _restart(self, low: int) -> None:
        self.close()
        self._held.clear()
        self._next = low
        self._frames = ReadAhead(self._reader.frames(low, self.stop))


class ReadAhead:
    """Reads and glances at source frames in a thread, at most QUEUE frames ahead."""

    def __init__(self, frames: Iterator[Any]) -> None:
        self._queue: queue.Queue[tuple[int, Held] | BaseException | None] = queue.Queue(QUEUE)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(frames,), daemon=True, name="midframe-reader")
        self._thread.start()

    def take(self) -> tuple[int, Held]:
        """The next frame. Raises what the reader raised."""
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        assert item is not None, "asked for a frame after the last one"
        return item

    def close(self) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
        self._thread.join()

    def _run(self, frames: Iterator[Any]) -> None:
        try:
            for frame in frames:
                if not self._put((frame.index, Held(frame.picture, glance(frame.picture)))):
                    return
            self._put(None)
        except BaseException as error:  # handed to the consumer, which raises it
            self._put(error)

    def _put(self, item: tuple[int, Held] | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False


class Output(Protocol):
    def write(self, picture: av.VideoFrame, pts_tick: int, duration_tick: int) -> None: ...

    def close(self) -> None: ...


class WriteBehind:
    """Runs a writer in a thread; an error there is raised by the next `write` or by `close`."""

    def __init__(self, writer: Output) -> None:
        self._writer = writer
        self._queue: queue.Queue[tuple[av.VideoFrame, int, int] | None] = queue.Queue(QUEUE)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="midframe-writer")
        self._thread.start()

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        self._raise()
        self._queue.put((picture, pts, duration))

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        ended = False
        try:
            while (item := self._queue.get()) is not None:
                self._writer.write(*item)
            ended = True
        except BaseException as error:  # handed to the producer
            self._error = error
        try:
            self._writer.close()
        except BaseException as error:
            self._error = self._error or error
        while not ended:  # after an error: take what still comes, so that the producer is never stuck on a full queue
            ended = self._queue.get() is None


class Marks:
    """Cuts, bridged repeats and overlays, found gap by gap as the window moves. Forgets what lies behind."""

    def __init__(self, setup: Setup, window: Window) -> None:
        self._job, self._plan = setup.job, setup.plan
        self._listed = setup.cut_list
        self._pairs = Pairs(lambda index: window[index].glance)
        self._cuts: dict[int, bool] = {}
        self._repeats: dict[int, bool] = {}

    def around(self, i: int) -> tuple[CutSet, KeySet]:
        """Marks of the frames that slots in gap `i` can depend on."""
        low, high = max(i - MAX_RUN, self._plan.first), min(i + MAX_RUN + 2, self._plan.stop)
        for known in (self._cuts, self._repeats):
            for old in [k for k in known if k < low]:
                del known[old]
        self._pairs.forget(low - CONTEXT)
        cuts = frozenset(g for g in range(low, high) if self._cut(g))
        repeats = frozenset(f for f in range(low, high) if self._repeat(f))
        return CutSet(cuts), KeySet(repeats)

    def is_cut(self, gap: int) -> bool:
        return self._cut(gap)

    def overlay(self, gap: int) -> NDArray[np.bool_] | None:
        """Pixels that stand still in `gap` while what is around them moves, H W; None if there are none."""
        return find_overlay(self._pairs, gap, self._plan.first, self._plan.stop)

    def _cut(self, gap: int) -> bool:
        if self._listed is None and self._job.cuts == "ignore":
            return False
        if gap not in self._cuts:
            if self._listed is not None:
                self._cuts[gap] = gap in self._listed
            else:
                within = gap + 1 < self._plan.stop
                self._cuts[gap] = within and is_cut(self._pairs, gap, self._plan.first, self._plan.stop)
        return self._cuts[gap]

    def _repeat(self, frame: int) -> bool:
        if self._job.duplicates == "keep":
            return False
        if frame not in self._repeats:
            cadence = self._job.duplicates == "auto"
            self._repeats[frame] = is_bridged(self._pairs, frame, self._plan.first, self._plan.stop, cadence=cadence)
        return self._repeats[frame]


@dataclass(slots=True)
class Tally:
    copied: int = 0
    rendered: int = 0
    held: int = 0
    cuts: set[int] = field(default_factory=set)


class Pipeline:
    """Renders segments of one job in this process. Owns the reader, the window and the model; close it when done."""

    def __init__(self, setup: Setup, model: Synthesizer) -> None:
        self._setup = setup
        self._size, self._resizes = setup.size, setup.new_size is not None
        self._model = fit(model, setup.job, setup.info, setup.plan, self._size)
        self._contract: Contract = self._model.contract
        assert self._contract.inputs is not None
        # frames beside the pair; across bridged repeats each is as far away as the pair is wide
        self._reach = (MAX_RUN + 1) * max(-min(self._contract.inputs), max(self._contract.inputs) - 1, 0)
        self._reader = Reader(
            setup.info,
            setup.plan.timeline,
            pix_fmt=setup.settings.pix_fmt,
            colour=setup.settings.colour,
            deinterlace=setup.job.deinterlace,
            allow_damaged=setup.job.allow_damaged,
        )
        self._reader.__enter__()
        self._window = Window(self._reader, setup.plan.first, setup.plan.stop)
        self._marks = Marks(setup, self._window)
        self._state: tuple[tuple[int, ...], State] | None = None
        self._enlarged: tuple[Render, av.VideoFrame] | None = (
            None  # the source frame that was last made at another size
        )
        self._masks: dict[tuple[int, int], NDArray[np.bool_] | None] = {}
        self._opening: Held | None = None

    def close(self) -> None:
        self._window.close()
        self._reader.__exit__(None, None, None)

    def run(self, segment: Segment, journal: Journal, on_frame: Callable[[], None]) -> Record:
        """Render `segment`, write it and enter it in the journal. Leaves nothing behind if it fails."""
        part = journal.part_path(segment.number)
        writer = WriteBehind(SegmentWriter(part, self._setup.settings))
        tally = Tally()
        try:
            try:
                self._render(segment, writer, tally, on_frame)
            finally:
                writer.close()
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        frames = segment.stop_slot - segment.first_slot
        record = Record(
            segment.number,
            frames,
            tally.copied,
            tally.rendered,
            tally.held,
            tuple(sorted(tally.cuts)),
            part.stat().st_size,
        )
        journal.commit(part, record)
        return record

    def _render(self, segment: Segment, writer: WriteBehind, tally: Tally, on_frame: Callable[[], None]) -> None:
        plan = self._setup.plan
        for n, picture in self.pictures(segment, tally):
            stamp = plan.stamp(n)
            writer.write(picture, stamp, plan.stamp(n + 1) - stamp)
            on_frame()

    def pictures(self, segment: Segment, tally: Tally) -> Iterator[tuple[int, av.VideoFrame]]:
        """Every slot of `segment` with its picture, in order; `tally` counts how they came about."""
        plan, policy = self._setup.plan, self._setup.job.cuts
        margin = CONTEXT + MAX_RUN + self._reach
        for i in range(segment.start, segment.stop):
            slots = range(plan.first_slot(i), plan.first_slot(i + 1))
            self._window.need(i - margin, i + margin + 3)
            cuts, keys = self._marks.around(i)
            if cuts.is_cut(i):
                tally.cuts.add(i)
            for n in slots:
                action = decide(plan, n, cuts=cuts, keys=keys, policy=policy)
                picture = self._picture(action, cuts, keys)
                if isinstance(action, Render | Mix):
                    tally.rendered += 1
                elif plan.position(n) == action.index:
                    tally.copied += 1
                else:
                    tally.held += 1
                yield n, picture
            self._masks = {pair: mask for pair, mask in self._masks.items() if pair[1] > i}

    def _picture(self, action: Action, cuts: CutSet, keys: KeySet) -> av.VideoFrame:
        plan = self._setup.plan
        if isinstance(action, Copy):
            return self._shown(choose_pair(plan, action.index, cuts=cuts, keys=keys))
        if isinstance(action, Mix):
            ends = [choose_pair(plan, index, cuts=cuts, keys=keys) for index in (action.left, action.right)]
            return self._to_picture(torch.lerp(self._source(ends[0]), self._source(ends[1]), float(action.t)))
        made = self._synthesise(action)
        picture = self._to_picture(made)
        if self._setup.job.overlays and action.right > action.left:
            mask = self._mask(action.left, action.right)
            if mask is not None:
                compose(picture, self._shown(replace(action, t=Fraction(0))), mask)
        return picture

    def _shown(self, end: Render) -> av.VideoFrame:
        """A source frame, the one at t = 0 or 1 of `end`, as the output shows it: itself, or made at another size."""
        if not self._resizes:
            return self._frame(end.right if end.t else end.left).picture
        if self._enlarged is None or self._enlarged[0] != end:
            self._enlarged = (end, self._to_picture(self._synthesise(end)))
        return self._enlarged[1]

    def _source(self, end: Render) -> Tensor:
        return self._synthesise(end) if self._resizes else self._rgb(end.right if end.t else end.left)

    def _to_picture(self, rgb: Tensor) -> av.VideoFrame:
        # At another size there may be more chroma than the format holds.
        settings = self._setup.settings
        return from_rgb(rgb, pix_fmt=settings.pix_fmt, colour=self._setup.colour, average=self._resizes)

    def _synthesise(self, action: Render) -> Tensor:
        """The frame at `action.t`, 3 or 4 channels. Alpha is rendered as a picture of its own, colour premultiplied."""
        assert self._contract.inputs is not None
        window, place = choose_window(
            self._setup.plan, action, self._contract.inputs, self._contract.covers[1], self._marks.is_cut
        )
        if self._state is None or self._state[0] != window:
            self._state = None  # let the old state go before the new one is made
            frames = torch.stack([self._rgb(index) for index in window])
            self._state = (window, prepare_window(self._model, frames))
        return render_at(self._model, self._state[1], place + action.t, self._size)

    def _mask(self, left: int, right: int) -> NDArray[np.bool_] | None:
        if (left, right) not in self._masks:
            masks = [self._marks.overlay(gap) for gap in range(left, right)]
            found = [m for m in masks if m is not None]
            # A bridged pair spans several gaps: what is kept must be static in all of them.
            mask = np.logical_and.reduce(found) if found and len(found) == len(masks) else None
            self._masks[left, right] = mask if mask is None or not self._resizes else enlarge_mask(mask, self._size)
        return self._masks[left, right]

    def _frame(self, index: int) -> Held:
        plan = self._setup.plan
        if index == plan.first and plan.end == "loop" and index not in self._window._held:
            if self._opening is None:
                with Reader(
                    self._setup.info,
                    plan.timeline,
                    pix_fmt=self._setup.settings.pix_fmt,
                    colour=self._setup.settings.colour,
                    deinterlace=self._setup.job.deinterlace,
                    allow_damaged=self._setup.job.allow_damaged,
                ) as reader:
                    picture = next(iter(reader.frames(index, index + 1))).picture
                self._opening = Held(picture, glance(picture))
            return self._opening
        return self._window[index]

    def _rgb(self, index: int) -> Tensor:
        held = self._frame(index)
        if held.rgb is None:
            held.rgb = to_rgb(held.picture, self._setup.colour)
            # Only the frames of the current gap keep their tensors: 25 MB each at 1080p.
            for other in self._window._held:
                if other < index - 1 - self._reach - MAX_RUN:
                    self._window[other].rgb = None
        return held.rgb


def enlarge_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The nearest pixel's value at every pixel of the size (height, width)."""
    rows, columns = (
        ((np.arange(side) + 0.5) * old / side).astype(np.intp) for side, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]


@torch.no_grad()  # what a gradient needs would be kept for every layer
def prepare_window(model: Synthesizer, frames: Float[Tensor, "n c h w"]) -> State:
    """The state of a model that `fit` gave for a window of source frames, RGB or RGB and alpha."""
    if frames.shape[1] == 4:
        alpha = frames[:, 3:]
        batch = torch.stack((frames[:, :3] * alpha, alpha.expand(-1, 3, -1, -1)))
    else:
        batch = frames[None]
    return model.prepare(batch)


@torch.no_grad()
def render_at(model: Synthesizer, state: State, t: Fraction, size: tuple[int, int]) -> Float[Tensor, "c h2 w2"]:
    """The frame at `t` and of `size` (height, width) from a state of `prepare_window`."""
    known = model.contract.times
    if known is not None:  # a bisected model knows only some times: the nearest will do
        t = min(known, key=lambda one: abs(one - t))
    made = model.render(state, float(t), size)
    if made.shape[0] == 1:
        return made[0]
    colour, alpha = made[0], made[1].mean(0, keepdim=True).clamp(0, 1)
    return torch.cat((colour / alpha.clamp(min=1 / 255), alpha))


def fit(
    model: Synthesizer,
    job: InterpolateJob,
    info: VideoInfo,
    plan: Plan,
    size: tuple[int, int],
    note: Callable[[str], None] = lambda text: None,
) -> Synthesizer:
    """Wrap `model` so that it can answer what this job asks: any t, frames of any size, answers of `size`.

    Raises ContractError if it cannot (a model that needs a whole shot), MemoryLimitError if a frame is too large.
    """
    contract, own = model.contract, (info.height, info.width)
    if contract.inputs is None:
        raise ContractError(f"{job.model} needs a whole shot at once; it cannot interpolate a film frame by frame.")
    if contract.times is not None and not _asks_only(plan, contract.times):
        if contract.enlarges:
            raise ContractError(
                f"{job.model} makes frames half-way between frames and no others: take --factor 2, or leave the rate "
                f"as it is; midnet+{job.model} makes frames at any time."
            )
        model = Bisected(model, depth=BISECTION_DEPTH)
    for width, height in ((info.width, info.height), size[::-1]):
        if width * height > LARGEST_FRAME:
            raise MemoryLimitError(f"{info.path}: frames of {width}x{height} are too large.")
    if contract.enlarges:
        wanted = Resized(model)
        nearest = wanted.nearest(own, size)
        if nearest != size:
            model = wanted
            note(
                f"{job.model} makes {nearest[1]}x{nearest[0]} of {own[1]}x{own[0]}; bicubic resampling makes "
                f"{size[1]}x{size[0]} of that."
            )
    grid = math.lcm(*(old // math.gcd(old, side) for old, side in zip(own, size, strict=True)))
    grid = grid if grid <= FINEST_GRID else 1
    if job.tile or max(math.prod(own), math.prod(size)) > TILE_ABOVE:
        longer = max(1.0, *(side / old for old, side in zip(own, size, strict=True)))
        tile = job.tile or round(TILE / longer)
        model = Tiled(model, tile=tile, overlap=min(TILE_OVERLAP, tile // 4), grid=grid)
    return Padded(model, grid=grid)


def _asks_only(plan: Plan, times: tuple[Fraction, ...]) -> bool:
    """Whether every slot lies at a source frame, or as far after one as one of `times` after a whole number."""
    if plan.grid is not None:
        return False
    step = plan.step
    if step is None:
        assert plan.rate is not None
        if plan.timeline.rate is None:
            return False
        step = plan.timeline.rate / plan.rate / plan.stretch
    known = {time % 1 for time in times}
    return all(Fraction(k, step.denominator) in known for k in range(1, step.denominator))
