"""Does agreement between matched pixels find the interpolated frames that went wrong, and better than flow does?

    python benchmarks/agreement.py --clips val/ --weights runs/corrflow-s-cpu/best.safetensors
           [--tracker corrflow-s] [--model midnet] [--factor 2] [--long-side 320] [--windows 4] [--threads 1]

Every second frame of the clips is left out and made by --model. Its true error is known: the mean squared error of
8-bit RGB. A detector sees only the two frames around it, or the made frame and these two, and says how doubtful it is:

    agreement   1 − mean of CorrFlow's agreement (the probability that a walk to the other frame and back comes home)
    flow        mean distance in pixels by which flow of dense inverse search there and back misses, at most 10
    change      mean absolute difference of the two frames: what a detector must beat

"pair" looks at the two source frames, "made" at the made frame and each of them. Printed for each detector: Spearman's
rank correlation with the true error over all frames, the mean of those within each clip of 4 frames or more, and how
many of the worst tenth are among the tenth that it doubts most. `check` is to use agreement only if it wins.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from midframe.bench.between import as_tensor
from midframe.bench.clips import ValidationClips, make
from midframe.models.load import load, load_propagator
from midframe.ops.dense_search import DenseSearch
from midframe.ops.pad import pad
from midframe.ops.warp import warp

FAR = 10.0  # pixels: a miss by more counts as this
Doubt = Callable[[Tensor, Tensor], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--weights")
    parser.add_argument("--tracker", default="corrflow-s")
    parser.add_argument("--model", default="midnet")
    parser.add_argument("--factor", type=int, default=2)
    parser.add_argument("--long-side", type=int, default=320)
    parser.add_argument("--windows", type=int, default=4, help="gaps of each clip")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model: Any = load(given.model)
    doubts = detectors(load_propagator(given.tracker, weights=given.weights))
    clips = ValidationClips(given.clips, given.long_side, [given.factor], given.windows)
    table: dict[str, list[float]] = defaultdict(list)
    names: list[str] = []
    for window in clips.windows():
        inputs = [as_tensor(frame, "cpu")[None] for frame in (window.frame0, window.frame1)]
        for made, truth in zip(make(model, window), window.targets, strict=True):
            middle = as_tensor(made, "cpu")[None]
            table["error"].append(float(np.square(made.astype(float) - truth).mean()))
            names.append(window.clip)
            for name, doubt in doubts.items():
                table[f"{name}, pair"].append(doubt(*inputs))
                table[f"{name}, made"].append(np.mean([doubt(inputs[0], middle), doubt(middle, inputs[1])]))
    print(f"{len(names)} frames of {len(set(names))} clips, made by {given.model}")
    print(f"{'':<18}{'over all':>10}{'in a clip':>11}{'worst tenth':>13}")
    error = np.array(table.pop("error"))
    for name, values in table.items():
        over_all, within, worst = judge(np.array(values), error, names)
        print(f"{name:<18}{over_all:>10.3f}{within:>11.3f}{worst:>13.3f}")


def detectors(tracker: Any) -> dict[str, Doubt]:
    search = DenseSearch("balanced")

    def agreement(frame0: Tensor, frame1: Tensor) -> float:
        pair = [pad(frame, multiple=tracker.contract.multiple)[0] for frame in (frame0, frame1)]
        with torch.no_grad():
            return 1 - float(tracker.agreement(*pair).mean())

    def flow(frame0: Tensor, frame1: Tensor) -> float:
        there, back = search.flow(frame0, frame1), search.flow(frame1, frame0)
        missed = (there + warp(back, there)).square().sum(1).sqrt()
        return float(missed.clamp(max=FAR).mean())

    return {"agreement": agreement, "flow": flow, "change": lambda one, other: float((one - other).abs().mean())}


def judge(doubt: Float[np.ndarray, " n"], error: Float[np.ndarray, " n"], clips: list[str]) -> tuple[float, ...]:
    """Rank correlation over all, its mean within clips, and the share of the worst tenth that is found."""
    inside = [np.array([name == clip for name in clips]) for clip in dict.fromkeys(clips)]
    within = [rank_correlation(doubt[one], error[one]) for one in inside if one.sum() >= 4]
    count = max(1, len(error) // 10)
    worst, doubted = set(np.argsort(-error)[:count]), set(np.argsort(-doubt)[:count])
    return rank_correlation(doubt, error), float(np.mean(within)) if within else np.nan, len(worst & doubted) / count


def rank_correlation(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Spearman's, of values without ties."""
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


if __name__ == "__main__":
    main()
