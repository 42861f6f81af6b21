"""Seconds for a new 1280x720 frame half-way, in torch and in OpenVINO, models in turns in one run.

    python benchmarks/runtimes.py [--rounds 5] [--models rife-4.26,midnet,midnet/fast]

Needs `pip install openvino`. RIFE runs whole in OpenVINO. Of midnet the part done once for each pair does; the part
done for each new frame stays in torch and midframe's own kernels. The last column is the largest difference of a pixel
from what torch makes, in 8-bit codes.
"""

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import openvino
import torch
from torch import Tensor, nn

from midframe.bench.between import as_tensor
from midframe.bench.speed import make_pair
from midframe.models.load import load, quicken
from midframe.models.midnet import Midnet
from midframe.ops.pad import pad

KEYS = ("motion", "bend", "hint")


class Whole(nn.Module):
    """Frames to the middle frame."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        return self.model.render(self.model.prepare(frames), 0.5)


class Pair(nn.Module):
    """midnet's part for each pair."""

    def __init__(self, model: Midnet) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        state = self.model.prepare(frames)
        return tuple(state[key] for key in KEYS)


def compile_for(module: nn.Module, frames: Tensor, precision: str, threads: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = openvino.convert_model(module, example_input=frames, input=[tuple(frames.shape)])
    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    return openvino.compile_model(graph, "CPU", hints)


def make_runs(name: str, frames: Tensor, threads: int) -> dict[str, Callable[[], Any]]:
    """What is timed of one model, by runtime."""
    model: Any = load(name)
    frames, _ = pad(frames, multiple=model.contract.multiple)
    runs: dict[str, Callable[[], Any]] = {}
    for precision in ("f32", "bf16"):
        if isinstance(model, Midnet):
            pair = compile_for(Pair(model), frames, precision, threads)

            def run(pair: Any = pair, model: Midnet = model) -> Tensor:
                found = pair(frames.numpy())
                state = {key: torch.from_numpy(found[k]) for k, key in enumerate(KEYS)}
                return model.render({"frames": frames, **state}, 0.5)

            runs[f"OpenVINO {precision}"] = run
        else:
            whole = compile_for(Whole(model), frames, precision, threads)
            runs[f"OpenVINO {precision}"] = lambda whole=whole: torch.from_numpy(whole(frames.numpy())[0])
    quick: Any = quicken(load(name))
    runs["torch f32"] = lambda: quick.render(quick.prepare(frames), 0.5)
    return runs


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="rife-4.26,midnet,midnet/fast")
    options = parser.parse_args()
    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)
    frames = torch.stack([as_tensor(picture) for picture in make_pair(1280, 720)])[None]
    runs = {
        (name, runtime): run
        for name in options.models.split(",")
        for runtime, run in make_runs(name, frames, threads).items()
    }
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    answers: dict[tuple[str, str], Tensor] = {}
    for turn in range(options.rounds + 1):
        for key, run in runs.items():
            began = time.perf_counter()
            answers[key] = run()
            if turn:  # the first round warms up
                seconds[key].append(time.perf_counter() - began)
    print(f"{threads} threads, torch {torch.__version__}, openvino {openvino.__version__}, {options.rounds} rounds")
    first = options.models.split(",")[0]
    best = min(statistics.median(found) for (name, _), found in seconds.items() if name == first)
    for (name, runtime), found in seconds.items():
        median = statistics.median(found)
        apart = 255 * float((answers[name, runtime] - answers[name, "torch f32"]).abs().max())
        print(f"{name:14} {runtime:14} {median:6.3f} s   {best / median:5.2f} of {first}'s best   {apart:6.2f} apart")


if __name__ == "__main__":
    main()
