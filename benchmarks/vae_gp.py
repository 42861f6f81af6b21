"""What a Gaussian process is worth between frames, and what it costs as films grow.

    python benchmarks/vae_gp.py [--steps 1500] [--seeds 1] [--kernel matern52] [--growth 250,1000,4000] [--threads 1]

First: a film of 120 frames of a ball on a way drawn from a Gaussian process; every fourth frame is learnt from, the
others between are compared. "joint" is the paper's training, "after" an autoencoder, then a process, "linear" an
autoencoder and straight lines. Bend: root mean square second difference of a path over that of its first difference,
steps of an eighth of a frame, of the latent numbers and of the frames; lower is smoother.

Then: seconds and MiB of one regression from n frames to 100 times, of exact (Cholesky), inducing (a point for every 4
frames), Toeplitz (conjugate gradients, frames at even times with equal noise) and state-space (Kalman smoother), and
the greatest difference of their means from the exact ones. Each runs in a program of its own, so that its memory is.

Exit code 1 if "joint" is not better than "after" on missing frames, or not smoother than "linear".
"""

import argparse
import math
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from midframe.data.moving_ball import draw_ways, paint_balls
from midframe.models.vae_gp import VAEGP, ExactProcess, exactly
from midframe.types import Batch

FRAMES, KEPT = 120, 4
LENGTHSCALE = 10.0  # of the ball's way, frames: what every fourth frame can tell
RATE = 4e-3
SPACING, TIMES, NOISE = 4, 100, 1e-2  # frames a point, times asked, variance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500, help="0 leaves the comparison out")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--kernel", default="matern52", choices=("matern52", "matern32", "rbf"))
    parser.add_argument("--growth", default="250,1000,4000", help="numbers of frames; empty leaves it out")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    reached = True
    if given.steps:
        reached = compare(given.steps, given.seeds, given.kernel)
    if given.growth:
        grow([int(count) for count in given.growth.split(",")])
    sys.exit(0 if reached else 1)


def compare(steps: int, seeds: int, kernel: str) -> bool:
    print(f"{'':8} {'known':>6} {'missing':>8}  bend: latent  frames  length scale  seconds")
    found: dict[str, list[float]] = {}
    for training in ("joint", "after", "linear"):
        rows = [fit_ball(training, steps, seed, kernel) for seed in range(1, seeds + 1)]
        found[training] = [statistics.fmean(column) for column in zip(*rows, strict=True)]
        known, missing, latent, frames, scale, seconds = found[training]
        print(
            f"{training:8} {known:6.2f} {missing:8.2f}  {latent:12.4f}  {frames:6.4f}  {scale:12.2f}  {seconds:7.0f}",
            flush=True,
        )
    better = found["joint"][1] - found["after"][1]
    smoother = [found["joint"][k] < found["linear"][k] for k in (2, 3)]
    print(f"missing frames, joint over after: {better:+.2f} dB: {'reached' if better > 0 else 'MISSED'}")
    print(f"smoother than linear, latent and frames: {smoother}: {'reached' if all(smoother) else 'MISSED'}")
    return better > 0 and all(smoother)


def fit_ball(training: str, steps: int, seed: int, kernel: str) -> tuple[float, ...]:
    """PSNR of known and of missing frames, bend of latents and frames, length scale at the end, seconds."""
    way = draw_ways(1, FRAMES, lengthscale=LENGTHSCALE, generator=torch.Generator().manual_seed(seed))
    film = paint_balls(way)[0]
    known = torch.arange(0, FRAMES, KEPT)
    missing = torch.tensor([k for k in range(int(known[-1])) if k % KEPT])
    torch.manual_seed(seed)
    model = VAEGP(
        frames=FRAMES, size=(32, 32), channels=1, learnt=len(known), latent_size=8, width=32, stages=3,
        kernel=kernel, training=training, warm_up=max(1, steps // 5),
    )  # fmt: skip
    batch = Batch(film[None, :0], torch.zeros(1, 0), film[known][None], known[None].float())
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.0)
    began = time.monotonic()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)
        optimiser.zero_grad()
        model.loss(batch)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    seconds = time.monotonic() - began
    model.eval()
    model.observe([(film[known], known.float())])
    with torch.no_grad():
        times = torch.arange(8 * int(known[-1]) + 1) / 8
        path = model.latent(times)
        frames = torch.cat([model.decode(part) for part in path.split(120)]).flatten(1)
        return (
            psnr(model(known.float()), film[known]), psnr(model(missing.float()), film[missing]), bend(path),
            bend(frames), model.kernel.base_kernel.lengthscale.item(), seconds,
        )  # fmt: skip


def psnr(made: Tensor, truth: Tensor) -> float:
    return float(-10 * (made - truth).square().mean((1, 2, 3)).clamp(min=1e-10).log10().mean())


def bend(path: Tensor) -> float:
    """Root mean square second difference over that of the first."""
    first = path.diff(dim=0)
    return float(first.diff(dim=0).square().sum(1).mean().sqrt() / first.square().sum(1).mean().sqrt())


# ---- how it grows ----


def problem(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Frames at whole times, a noisy sine of theirs, its variances, and the times to ask."""
    x = torch.arange(count, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    y = (x / 7).sin() + NOISE**0.5 * torch.randn(count, generator=generator, dtype=torch.float64)
    return x, y[None], torch.full((1, count), NOISE, dtype=torch.float64), torch.linspace(0.5, count - 1.5, TIMES)


def fresh(count: int, **settings: object) -> VAEGP:
    return VAEGP(frames=count, size=(2, 2), channels=1, latent_size=1, width=4, stages=1, lengthscale=6.0, **settings)


@torch.no_grad()
def by_exact(count: int) -> Tensor:
    x, y, noise, at = problem(count)
    model = fresh(count)
    with exactly():
        process = ExactProcess(x[None, None, :, None], y[None], noise[None], model.kernel).eval()
        process(at[:1, None].double().expand(1, 1, 1, 1))
        weights = process.prediction_strategy.mean_cache[0].T
    return model.kernel(at[:, None].double(), x[:, None]).to_dense() @ weights


@torch.no_grad()
def by_inducing(count: int) -> Tensor:
    x, y, noise, at = problem(count)
    return (
        fresh(count, process="inducing", inducing=count // SPACING)
        .regress(x[None], y[None], noise[None], at[None])[0][0]
        .T
    )


@torch.no_grad()
def by_toeplitz(count: int) -> Tensor:
    import gpytorch
    from linear_operator.operators import ToeplitzLinearOperator

    x, y, noise, at = problem(count)
    kernel = fresh(count).kernel
    column = kernel(x[:1, None], x[:, None]).to_dense()[0]
    settings = gpytorch.settings
    with settings.max_cholesky_size(0), settings.cg_tolerance(1e-5), settings.max_cg_iterations(1000):
        weights = ToeplitzLinearOperator(column).add_diagonal(noise[0]).solve(y.T)
    return kernel(at[:, None].double(), x[:, None]).to_dense() @ weights


@torch.no_grad()
def by_state_space(count: int) -> Tensor:
    x, y, noise, at = problem(count)
    return fresh(count, process="state-space").regress(x[None], y[None], noise[None], at[None])[0][0].T


WAYS: dict[str, Callable[[int], Tensor]] = {
    "exact": by_exact,
    "inducing": by_inducing,
    "Toeplitz": by_toeplitz,
    "state-space": by_state_space,
}


def measure(name: str, count: int, answer: "multiprocessing.connection.Connection") -> None:
    """In a process of its own: seconds, MiB beyond what it began with, and the means."""
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    began = time.monotonic()
    means = WAYS[name](count)
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send((seconds, max(0.0, after - before), means[:, 0].tolist()))


def grow(counts: list[int]) -> None:
    print(f"\n{'frames':>8}  " + "  ".join(f"{name:^30}" for name in WAYS))
    print(f"{'':8}  " + "  ".join(f"{'s':>9} {'MiB':>8} {'apart':>11}" for _ in WAYS))
    for way in WAYS.values():
        way(64)  # sets things up, which is no cost of a film
    context = multiprocessing.get_context("fork")
    for count in counts:
        cells, truth = [], None
        for name in WAYS:
            here, there = context.Pipe(duplex=False)
            one = context.Process(target=measure, args=(name, count, there))
            one.start()
            there.close()
            try:
                seconds, memory, means = here.recv()
            except EOFError:
                sys.exit(f"{name} with {count} frames ended without an answer: out of memory?")
            one.join()
            truth = means if truth is None else truth
            apart = max(abs(a - b) for a, b in zip(means, truth, strict=True))
            cells.append(f"{seconds:9.3f} {memory:8.1f} {apart:11.1e}")
        print(f"{count:8}  " + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
