"""How good predictions are: each frame ahead beside the true one, and the last known frame repeated in its place.

On digits as published tables have it (OpenSTL): mean squared and absolute errors are sums over a frame's values, taken
before anything is clipped; SSIM (scikit-image's, with a range of 1 stated, which some older figures lack) and PSNR are
of frames clipped to [0, 1]. On clips the errors are means over a frame's values: sums would depend on its size.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from midframe.bench.clips import read_frames
from midframe.data.pack import find_clips
from midframe.errors import InputError, UsageError
from midframe.metrics.psnr import psnr
from midframe.metrics.ssim import ssim
from midframe.types import Batch, Contract, Synthesizer, Trainable

SEED = 2**31 - 1  # of the digits that are measured; recipes count from 1
NAMES = ("MSE", "MAE", "SSIM", "PSNR")


@dataclass(frozen=True, slots=True)
class AheadScores:
    """Figures by frame ahead, the first of them one frame ahead: a row for each, in the order of NAMES."""

    steps: Float[np.ndarray, "t 4"]

    @property
    def mean(self) -> Float[np.ndarray, "4"]:
        """Over all frames ahead."""
        return self.steps.mean(0)


def score_ahead(
    model: Synthesizer,
    batches: Iterable[Batch],
    device: torch.device | str = "cpu",
    *,
    sums: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[AheadScores, AheadScores]:
    """The figures of `model`, and those of the last known frame repeated.

    sums         errors are sums over a frame's values, not means
    on_progress  called with the number of samples that are measured
    """
    totals: list[list[Float[np.ndarray, "4"]]] = []  # by frame ahead, each the model's and the repeated frame's
    done = 0
    for batch in batches:
        with torch.no_grad():
            state = model.prepare(batch.frames.to(device), torch.Generator().manual_seed(SEED + done))
            for k in range(batch.targets.shape[1]):
                truth = batch.targets[:, k]
                made = model.render(state, k + 1).to("cpu", torch.float32)
                pair = [measure(one, truth, sums=sums).sum(0) for one in (made, batch.frames[:, -1])]
                if k == len(totals):
                    totals.append([np.zeros(4), np.zeros(4)])
                totals[k] = [total + one for total, one in zip(totals[k], pair, strict=True)]
        done += len(batch.frames)
        if on_progress:
            on_progress(done)
    own, held = np.stack(totals).transpose(1, 0, 2) / done
    return AheadScores(own), AheadScores(held)


def score_nats(
    model: Trainable,
    batches: Iterable[Batch],
    device: torch.device | str = "cpu",
    *,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[float, float]:
    """What a frame costs a model whose loss is the exact −ln p of a frame given the true ones before it, and the least
    it can cost, both in nats: grey values being probabilities, the entropy of the true frames.

    Raises UsageError if there are no batches.
    """
    cost, least, done = 0.0, 0.0, 0
    for batch in batches:
        there = Batch(
            batch.frames.to(device), batch.times.to(device), batch.targets.to(device), batch.target_times.to(device)
        )
        with torch.no_grad():
            cost += float(model.loss(there)["loss"]) * len(batch.frames)
        entropy = torch.special.entr(batch.targets) + torch.special.entr(1 - batch.targets)
        least += float(entropy.flatten(2).sum(2).mean()) * len(batch.frames)
        done += len(batch.frames)
        if on_progress:
            on_progress(done)
    if not done:
        raise UsageError("nats are measured on 1 clip or more.")
    return cost / done, least / done


def measure(made: Float[Tensor, "b c h w"], truth: Float[Tensor, "b c h w"], *, sums: bool) -> Float[np.ndarray, "b 4"]:
    """NAMES of each picture."""
    difference = (made - truth).flatten(1)
    squared, absolute = difference.square(), difference.abs()
    errors = [(one.sum(1) if sums else one.mean(1)).tolist() for one in (squared, absolute)]
    clipped = made.clamp(0, 1)
    likeness = [ssim(a, b, "uniform2d") for a, b in zip(clipped, truth, strict=True)]
    decibels = [min(psnr(a, b), 100.0) for a, b in zip(clipped, truth, strict=True)]
    return np.array([*errors, likeness, decibels]).T


def cut_ahead(
    folder: str | PathLike[str], contract: Contract, long_side: int | None = None, limit: int | None = None
) -> Iterator[Batch]:
    """What a predictor of this contract reads and must give, from clips: windows side by side, one a batch.

    long_side  larger pictures are reduced to this
    limit      at most this many windows of each clip, spread evenly; None: all

    Sizes are cut at the right and below to what the contract takes. Raises InputError if there are no clips, or none is
    long enough.
    """
    assert contract.inputs is not None
    known = len(contract.inputs)
    length = known + contract.covers[1]
    found = 0
    for clip in find_clips([str(folder)]):
        frames = read_frames(clip, long_side)
        starts = list(range(0, len(frames) - length + 1, length))
        for start in spread(starts, limit):
            film = as_film(frames[start : start + length], contract.multiple)
            times = torch.arange(1.0 - known, length - known + 1.0)[None]
            yield Batch(film[:, :known], times[:, :known], film[:, known:], times[:, known:])
            found += 1
    if not found:
        raise InputError(f"{folder}: no clip has {length} frames, which is what is read and predicted.")


def spread(starts: Sequence[int], limit: int | None) -> list[int]:
    """`limit` of them, evenly."""
    if limit is None or len(starts) <= limit:
        return list(starts)
    return [starts[int((k + 0.5) * len(starts) / limit)] for k in range(limit)]


def as_film(frames: Sequence[np.ndarray], multiple: int) -> Float[Tensor, "1 n 3 h w"]:
    """8-bit pictures H W 3 as tensors in [0, 1], cut to multiples."""
    height, width = (side // multiple * multiple for side in frames[0].shape[:2])
    film = torch.from_numpy(np.stack(frames)[:, :height, :width]).permute(0, 3, 1, 2)
    return film.float().div(255)[None]


def format_ahead(name: str, own: AheadScores, held: AheadScores) -> str:
    """Lines for a terminal: the mean over all frames ahead, then each of them; the model's figures, then those of the
    last frame repeated."""
    titles = "".join(f"{title:>9}" for title in NAMES)
    lines = [f"{'':<7}{name:>36}{'last frame repeated':>38}", f"{'ahead':<7}{titles}  {titles}"]
    lines.append(f"{'mean':<7}{_figures(own.mean)}  {_figures(held.mean)}")
    for step, (one, other) in enumerate(zip(own.steps, held.steps, strict=True), 1):
        lines.append(f"{step:<7}{_figures(one)}  {_figures(other)}")
    return "\n".join(lines)


def _figures(values: Float[np.ndarray, "4"]) -> str:
    mse, mae, likeness, decibels = values
    digits = 2 if mae > 1 else 5  # sums, or means
    return f"{mse:>9.{digits}f}{mae:>9.{digits}f}{likeness:>9.4f}{decibels:>9.2f}"
