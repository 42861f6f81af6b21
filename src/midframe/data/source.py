"""Where batches come from: the one protocol the trainer knows, and mixtures of sources."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from midframe.errors import UsageError
from midframe.types import Batch


class Source(Protocol):
    """Draws batches without end.

    `generator` is a CPU generator and the only source of chance: the same state gives the same batch, on every device
    up to rounding. Each sample has a generator of its own, seeded from it, so that it does not depend on the samples
    beside it. The tensors are on the source's device; nothing waits for that device.
    """

    def sample(self, generator: torch.Generator, count: int) -> Batch: ...


class Mixture:
    """Each sample of a batch comes from one of `sources`, chosen with probabilities proportional to `weights`.

    The sources must agree in sizes, in the numbers of frames and targets, and in device. A label that only some of
    them give is zero for the samples of the others (every synthetic sample has "has_flow" 1, so theirs is 0).
    The samples of one source lie together, in the order of `sources`.
    """

    def __init__(self, sources: Sequence[Source], weights: Sequence[float]) -> None:
        if not sources or len(sources) != len(weights):
            raise UsageError(f"a mixture of {len(sources)} sources needs as many weights; there are {len(weights)}.")
        if min(weights) < 0 or sum(weights) <= 0:
            raise UsageError(f"the weights of a mixture are positive numbers, not {', '.join(map(str, weights))}.")
        self.sources = tuple(sources)
        self.weights = tuple(float(weight) / sum(weights) for weight in weights)

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        """`count` samples. Raises UsageError if the sources' batches do not fit together."""
        chosen = torch.multinomial(torch.tensor(self.weights), count, replacement=True, generator=generator)
        counts = torch.bincount(chosen, minlength=len(self.sources)).tolist()
        return join_batches(
            [source.sample(generator, n) for source, n in zip(self.sources, counts, strict=True) if n > 0]
        )


def join_batches(batches: Sequence[Batch]) -> Batch:
    """One batch of all samples, in order; labels that some lack are zero there. Raises UsageError if shapes differ."""
    if len(batches) == 1:
        return batches[0]
    shapes = {(tuple(batch.frames.shape[1:]), tuple(batch.targets.shape[1:])) for batch in batches}
    if len(shapes) > 1:
        seen = " and ".join(f"frames {frames}, targets {targets}" for frames, targets in sorted(shapes))
        raise UsageError(f"sources of different shapes cannot be mixed: {seen} (count, channels, height, width).")
    labels: dict[str, Tensor] = {}
    for name in dict.fromkeys(name for batch in batches for name in batch.labels):
        like = next(batch.labels[name] for batch in batches if name in batch.labels)
        labels[name] = torch.cat(
            [
                batch.labels[name] if name in batch.labels else like.new_zeros((len(batch.frames), *like.shape[1:]))
                for batch in batches
            ]
        )
    return Batch(
        frames=torch.cat([batch.frames for batch in batches]),
        times=torch.cat([batch.times for batch in batches]),
        targets=torch.cat([batch.targets for batch in batches]),
        target_times=torch.cat([batch.target_times for batch in batches]),
        labels=labels,
    )


def draw_generators(generator: torch.Generator, count: int) -> list[np.random.Generator]:
    """One NumPy generator for each sample, seeded by `generator`."""
    seeds = torch.randint(2**62, (count,), generator=generator, dtype=torch.int64).tolist()
    return [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]


def put(values: np.ndarray, device: torch.device) -> Tensor:
    """A small array on a device. Pinned memory on the way to a GPU, so that the copy waits for nothing there."""
    tensor = torch.from_numpy(np.array(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
