"""What models cost, side by side: seconds per new frame, operations, parameters, memory.

Runs of the models are interleaved (one of each, then again), so that whatever else the machine does falls on all alike.
Timed is from two 8-bit pictures to one: conversion, padding and rounding included, reading and encoding not.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from midframe.bench.between import as_8bit, as_tensor, for_factor, render_times
from midframe.data.synthetic import Synthetic
from midframe.data.textures import make_textures
from midframe.errors import MidframeError, UsageError
from midframe.metrics.cost import STATUS, count_operations, count_parameters, measure_memory
from midframe.models.load import load
from midframe.types import Synthesizer

SIZES = ((448, 256), (1280, 720), (1920, 1080))  # width, height
COUNTED = (1280, 720)  # where operations are counted and memory, 8× against 2× are measured
RUNS = 5
VERSION = 1


@dataclass(slots=True)
class Cost:
    """One model on one device. JSON holds this as it is.

    weights     as `quality.Record.weights`
    device      "cpu" or "cuda:0"; machine: what it is, and how many threads
    parameters  0 for a model without any
    macs        multiply-accumulates of one new frame at 720p; None where PyTorch sees none (classical models)
    seconds     "1280x720" → median seconds for the one new frame of a pair
    ratio       time of a pair at 720p with seven new frames over that with one; None if it was not measured
    memory      bytes at 720p on top of interpreter and libraries, weights included; None where it cannot be measured
    """

    model: str
    weights: str
    device: str
    machine: str
    parameters: int = 0
    macs: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    ratio: float | None = None
    memory: int | None = None
    runs: int = RUNS
    version: int = VERSION
    environment: dict[str, Any] = field(default_factory=dict)


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """ "448x256,1280x720" → ((448, 256), (1280, 720)); "none" → (). Raises UsageError for anything else.

    >>> parse_sizes("448x256")
    ((448, 256),)
    """
    if text == "none":
        return ()
    sizes = []
    for part in text.split(","):
        width, times, height = part.strip().partition("x")
        if not times or not width.isdecimal() or not height.isdecimal() or min(int(width), int(height)) < 16:
            raise UsageError(f"--sizes {text}: give WIDTHxHEIGHT of at least 16x16, separated by commas, or none.")
        sizes.append((int(width), int(height)))
    return tuple(sizes)


def measure_costs(
    models: Mapping[str, Synthesizer],
    costs: Sequence[Cost],
    *,
    device: torch.device | str = "cpu",
    sizes: Sequence[tuple[int, int]] = SIZES,
    runs: int = RUNS,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Fill in `costs`, each named in `models`, in place. Returns why models failed, by name; the others go on."""
    place = torch.device(device)
    failures: dict[str, str] = {}
    steps = len(sizes) * (runs + 1) + 1
    step = 0
    for size in sizes:
        pair = make_pair(*size)
        # Both of a ratio are timed one after the other, under the same weather.
        factors = (2, 8) if size == COUNTED else (2,)
        times: dict[tuple[str, int], list[float]] = {}
        for run in range(runs + 1):  # the first is for compiling and for caches
            for cost in costs:
                if cost.model in failures:
                    continue
                try:
                    for factor in factors:
                        seconds = _time(for_factor(models[cost.model], factor), pair, factor, place)
                        if run:
                            times.setdefault((cost.model, factor), []).append(seconds)
                except (MidframeError, torch.OutOfMemoryError) as error:
                    failures[cost.model] = str(error).splitlines()[0]
            step += 1
            if on_progress:
                on_progress(step, steps)
        for cost in costs:
            if cost.model in failures:
                continue
            median = statistics.median(times[cost.model, 2])
            cost.seconds[f"{size[0]}x{size[1]}"] = median
            if 8 in factors:
                cost.ratio = statistics.median(times[cost.model, 8]) / median
    for cost in costs:
        if cost.model in failures:
            continue
        cost.runs = runs
        try:
            _count(models[cost.model], cost, place)
        except (MidframeError, torch.OutOfMemoryError) as error:
            failures[cost.model] = str(error).splitlines()[0]
    if on_progress:
        on_progress(steps, steps)
    return failures


def make_pair(width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two frames of a made scene, the same for the same size: how long flow takes depends on what moves."""
    source = Synthetic(make_textures(count=4, seed=2), (height, width), targets=(0.5,), labels=False)
    batch = source.sample(torch.Generator().manual_seed(2), 1)
    return as_8bit(batch.frames[0, 0]), as_8bit(batch.frames[0, 1])


def render_once(name: str, width: int, height: int, device: str) -> None:
    """Load a model and make one frame: what the memory of a process is measured of."""
    first, last = (torch.zeros(3, height, width, device=device) for _ in range(2))
    first[:, height // 3 :, width // 3 :] = 1
    last[:, height // 2 :, width // 2 :] = 1
    as_8bit(render_times(load(name, device), first, last, (Fraction(1, 2),))[0])


def _time(
    model: Synthesizer, pair: tuple[NDArray[np.uint8], NDArray[np.uint8]], factor: int, place: torch.device
) -> float:
    times = [Fraction(k, factor) for k in range(1, factor)]
    began = time.perf_counter()
    for frame in render_times(model, as_tensor(pair[0], place), as_tensor(pair[1], place), times):
        as_8bit(frame)  # waits for the GPU, too: the picture is fetched
    return time.perf_counter() - began


def _count(model: Synthesizer, cost: Cost, place: torch.device) -> None:
    cost.parameters = count_parameters(model)
    width, height = COUNTED
    first, last = (as_tensor(picture, place) for picture in make_pair(width, height))
    cost.macs = count_operations(lambda: render_times(model, first, last, (Fraction(1, 2),))).macs or None
    if place.type == "cuda" or STATUS.exists():
        cost.memory = measure_memory(render_once, cost.model, width, height, str(place), device=place).added
