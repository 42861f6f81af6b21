"""What a model costs: operations, parameters, time and memory.

FLOPs and MACs: one multiply-accumulate is two floating-point operations, and most tables of the field print MACs under
the name FLOPs; some count transposed convolutions at their output's resolution, which adds 14 to 17 % to IFRNet. Here
`Operations.flops` is 2 · `macs` and a transposed convolution costs what it multiplies.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from midframe.errors import ModelError, UsageError

STATUS = Path("/proc/self/status")
RESET_PEAK = Path("/proc/self/clear_refs")  # writing 5 sets VmHWM back to what is resident now


@dataclass(frozen=True, slots=True)
class Operations:
    """Floating-point operations of convolutions and matrix products, by operator ("aten.convolution": …)."""

    flops: int
    by_operator: dict[str, int]

    @property
    def macs(self) -> float:
        """Multiply-accumulates: half the operations. What papers call FLOPs, mostly."""
        return self.flops / 2


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes `before` the call and at the `peak` during it: resident on "cpu", allocated by PyTorch on "cuda:…"."""

    before: int
    peak: int
    device: str

    @property
    def added(self) -> int:
        """What the call needs on top of the interpreter, libraries and weights that were there before it."""
        return self.peak - self.before


@dataclass(frozen=True, slots=True)
class Seconds:
    """Wall-clock seconds of a call: the fastest run, the median, the slowest, and how many runs."""

    fastest: float
    median: float
    slowest: float
    runs: int


def count_operations(call: Callable[[], object]) -> Operations:
    """FLOPs of what `call` does, by PyTorch's own counter (torch.utils.flop_counter).

    Counted: convolutions, transposed convolutions, matrix products, attention. Not counted: everything elementwise,
    sampling (warps), resizing, and whatever is not PyTorch: OpenCV's flow in `dis` counts 0. Runs on the meta device,
    too: `with torch.device("meta")` a model of any size is counted in no time and memory.

    >>> count_operations(lambda: torch.ones(2, 3) @ torch.ones(3, 5)).macs
    30.0
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    table = counter.get_flop_counts().get("Global", {})
    return Operations(counter.get_total_flops(), {str(operator): int(flops) for operator, flops in table.items()})


def count_parameters(model: object, *, trainable: bool = False) -> int:
    """Numbers in the parameters of a module, each shared tensor once; buffers do not count. 0 for what has none.

    trainable  count only those with requires_grad
    """
    if not isinstance(model, nn.Module):
        return 0
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def measure_seconds(
    call: Callable[[], object],
    *,
    runs: int = 5,
    warm_up: int = 1,
    device: torch.device | str = "cpu",
) -> Seconds:
    """Time `call`, `runs` times after `warm_up` untimed ones; waits for the GPU before each look at the clock.

    For seconds per new frame let `call` prepare and render one pair, and divide by the frames rendered. On a shared
    machine the fastest run says most about the code, the median about the machine.
    Raises UsageError if `runs` is under 1 or `warm_up` under 0.
    """
    if runs < 1 or warm_up < 0:
        raise UsageError(f"Timing needs 1 run or more and no negative warm-up, got {runs} and {warm_up}.")
    place = torch.device(device)
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(runs):
        _wait(place)
        began = time.perf_counter()
        call()
        _wait(place)
        times.append(time.perf_counter() - began)
    return Seconds(min(times), statistics.median(times), max(times), runs)


def measure_memory(call: Callable[..., object], *arguments: Any, device: torch.device | str = "cpu") -> Memory:
    """Peak memory of `call(*arguments)`.

    CPU   the resident set of a fresh process (Linux): `call` and `arguments` go there by pickle, so `call` is a
          function of a module, and what it needs (a model's name, a size) is built inside it. `before` is read when
          the module is imported and the arguments are there; the peak is the kernel's VmHWM, which nothing escapes:
          OpenCV's memory counts, too. Let `call` build its model and it is part of `added`.
    CUDA  in this process: the most that PyTorch had allocated during the call, and before it. Memory that other
          libraries or the driver hold is not seen.

    Raises UsageError on a CPU without /proc, ModelError if the process does not end well.
    """
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.synchronize(place)
        torch.cuda.reset_peak_memory_stats(place)
        before = torch.cuda.memory_allocated(place)
        call(*arguments)
        torch.cuda.synchronize(place)
        return Memory(before, torch.cuda.max_memory_allocated(place), str(place))
    if place.type != "cpu":
        raise UsageError(f"Peak memory is measured on cpu and cuda, not on {place.type}.")
    if not STATUS.exists():
        raise UsageError(f"Peak memory on a CPU is read from {STATUS}, which {sys.platform} has not; measure on Linux.")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    worker = context.Process(target=_report_memory, args=(there, call, arguments))
    worker.start()
    there.close()
    try:
        before, peak = here.recv()
    except EOFError:
        worker.join()
        raise ModelError(f"Measuring memory: the call failed in its process (exit code {worker.exitcode}).") from None
    finally:
        here.close()
    worker.join()
    return Memory(before, peak, "cpu")


def _report_memory(pipe: Any, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    RESET_PEAK.write_text("5")
    before = _read_status("VmRSS")
    call(*arguments)
    pipe.send((before, _read_status("VmHWM")))
    pipe.close()


def _read_status(field: str) -> int:
    """Bytes of a line such as "VmHWM:   123 kB"."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def _wait(place: torch.device) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize(place)
