"""Batches of packed footage: windows drawn by motion, cropped and augmented, on the CPU or all on a GPU."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from midframe.data.augment import Augment, Draw, as_floats, read_region, region_index, resize
from midframe.data.source import draw_generators, put
from midframe.data.store import Store
from midframe.data.windows import Shape, find_windows, neighbours
from midframe.errors import InputError
from midframe.types import Batch


class Footage:
    """A `Source` of windows of a store.

    shapes     what a window is (see `data.windows`); all with as many inputs and as many targets
    resident   keep the whole store in the device's memory and cut there; None: on a GPU, if it fits
    clips, motion, power   see `find_windows`

    On a GPU with a resident store a batch costs a few kernels and one small copy each way of which none is waited
    for. Without, it is cut on the CPU and copied. Clips smaller than the crop are left out: `left_out` counts them.
    `labels`: "motion" (B, pixels between the ends of the gap) and "clip" (B, int64).
    """

    def __init__(
        self,
        store: Store,
        shapes: Sequence[Shape] = (neighbours(),),
        augment: Augment | None = None,
        *,
        device: torch.device | str = "cpu",
        resident: bool | None = None,
        clips: Sequence[int] | None = None,
        motion: tuple[float, float] = (0.0, np.inf),
        power: float = 1.0,
    ) -> None:
        self.store, self.augment, self.device = store, augment or Augment(), torch.device(device)
        wanted = range(len(store)) if clips is None else clips
        large = [i for i in wanted if self.augment.fits(store.clips[i].height, store.clips[i].width)]
        self.left_out = len(wanted) - len(large)
        if not large:
            height, width = self.augment.size
            raise InputError(
                f"{store.path}: no clip is as large as the crop of {width}x{height}; make the crop smaller."
            )
        self.windows = find_windows(store, shapes, clips=large, motion=motion, power=power)
        if resident is None:
            resident = self.device.type == "cuda" and store.fits(self.device)
        self._flat = store.to(self.device) if resident else None

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        """`count` windows."""
        drawn = [self._draw(one) for one in draw_generators(generator, count)]
        frames = self._cut_resident(drawn) if self._flat is not None else self._cut(drawn)
        read = len(self.windows.shapes[0].inputs)
        return Batch(
            frames=frames[:, :read],
            times=put(np.array([one.times for one in drawn], np.float32), self.device),
            targets=frames[:, read:],
            target_times=put(np.array([one.target_times for one in drawn], np.float32), self.device),
            labels={
                "motion": put(np.array([one.motion for one in drawn], np.float32), self.device),
                "clip": put(np.array([one.clip for one in drawn], np.int64), self.device),
            },
        )

    def _draw(self, generator: np.random.Generator) -> "_Sample":
        window = self.windows.draw(generator)
        shape = self.windows.shapes[self.windows.shape[window]]
        clip, start = int(self.windows.clip[window]), int(self.windows.start[window])
        entry = self.store.clips[clip]
        targets = shape.targets
        if shape.choose is not None and shape.choose < len(targets):
            targets = tuple(sorted(generator.choice(targets, shape.choose, replace=False).tolist()))
        draw = self.augment.draw(generator, entry.height, entry.width)
        inputs, times = shape.inputs, tuple(map(shape.time, shape.inputs))
        target_times = tuple(map(shape.time, targets))
        if draw.reversed and shape.is_ahead:
            inputs, targets = (tuple(shape.length - 1 - offset for offset in row) for row in (inputs, targets))
        elif draw.reversed:
            inputs, targets = inputs[::-1], targets[::-1]
            around = times[0] + times[-1]
            times, target_times = (tuple(around - t for t in reversed(row)) for row in (times, target_times))
        frames = tuple(start + offset for offset in (*inputs, *targets))
        return _Sample(clip, frames, draw, times, target_times, float(self.windows.motion[window]))

    def _cut(self, drawn: Sequence["_Sample"]) -> Float[Tensor, "b f 3 h w"]:
        """Regions copied out of the memory map one by one: rows of bytes, no index."""
        size = self.augment.size
        out = torch.empty(len(drawn), len(drawn[0].frames), 3, *size, pin_memory=self.device.type == "cuda")
        for sample, target in zip(drawn, out, strict=True):
            film = self.store.frames(sample.clip)
            regions = np.stack([read_region(film[index], sample.draw) for index in sample.frames])
            if sample.draw.size == size:
                as_floats(torch.from_numpy(regions), sample.draw, target)
            else:
                whole = torch.empty(len(regions), 3, *sample.draw.size)
                as_floats(torch.from_numpy(regions), sample.draw, whole)
                target.copy_(resize(whole[None], size)[0])
        return out.to(self.device, non_blocking=True)

    def _cut_resident(self, drawn: Sequence["_Sample"]) -> Float[Tensor, "b f 3 h w"]:
        """The same with an index built on the device, for all samples whose regions have one size at once."""
        assert self._flat is not None
        out = torch.empty(len(drawn), len(drawn[0].frames), 3, *self.augment.size, device=self.device)
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, sample in enumerate(drawn):
            groups[sample.draw.size].append(number)
        for (height, width), members in groups.items():
            rows = [self._origin(drawn[number]) for number in members]
            origin = put(np.array([row[0] for row in rows], np.int64), self.device)[:, :, None, None, None]
            down, right = (
                put(np.array([row[i] for row in rows], np.int64), self.device)[:, None, None, None, None]
                for i in (1, 2)
            )
            order = put(np.array([drawn[number].draw.channels for number in members], np.int64), self.device)
            gain = put(np.array([drawn[number].draw.gain for number in members], np.float32), self.device)
            y = torch.arange(height, device=self.device)[:, None]
            x = torch.arange(width, device=self.device)
            index = origin + (y * down + x * right) + order[:, None, :, None, None]
            floats = self._flat[index].float() * (gain / 255)[:, None, None, None, None]
            if max(drawn[number].draw.gain for number in members) > 1:
                floats.clamp_(max=1)
            if len(groups) == 1:
                return resize(floats, self.augment.size)
            out.index_copy_(0, put(np.array(members, np.int64), self.device), resize(floats, self.augment.size))
        return out

    def _origin(self, sample: "_Sample") -> tuple[list[int], int, int]:
        """In bytes: where each frame's region begins, one row down, one column right."""
        entry = self.store.clips[sample.clip]
        origin, down, right = region_index(sample.draw, entry.width)
        return [entry.offset + i * entry.frame_bytes + 3 * origin for i in sample.frames], 3 * down, 3 * right


class _Sample:
    __slots__ = ("clip", "draw", "frames", "motion", "target_times", "times")

    def __init__(
        self,
        clip: int,
        frames: tuple[int, ...],
        draw: Draw,
        times: tuple[float, ...],
        target_times: tuple[float, ...],
        motion: float,
    ) -> None:
        self.clip, self.frames, self.draw = clip, frames, draw
        self.times, self.target_times, self.motion = times, target_times, motion
