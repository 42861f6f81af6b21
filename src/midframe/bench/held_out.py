"""A model's own loss on made samples that its training never sees: the same ones at each look, with the same chance."""

from collections.abc import Mapping
from typing import Any

import torch

from midframe.data.source import Source
from midframe.errors import UsageError

SEED = 2**31 - 1  # recipes count from 1


class HeldOut:
    """Samples of `source`, which must be one that is not trained on, drawn anew from the same seed at each look.

    count  of samples
    batch  how many are measured at a time; changes which numbers a loss draws

    Raises UsageError for no samples.
    """

    def __init__(self, source: Source, *, count: int, batch: int) -> None:
        if min(count, batch) < 1:
            raise UsageError(f"a loss is measured on 1 sample or more, not {count} in batches of {batch}.")
        self._source, self._count, self._batch = source, count, batch

    def score(self, model: Any) -> Mapping[str, float]:
        """The mean over all samples of "loss" and of each of its parts. The state of torch's chance is as before."""
        sums: dict[str, float] = {}
        with torch.random.fork_rng(), torch.no_grad():
            for first in range(0, self._count, self._batch):
                size = min(self._batch, self._count - first)
                batch = self._source.sample(torch.Generator().manual_seed(SEED + first), size)
                torch.manual_seed(SEED - 1 - first)
                for name, value in model.loss(batch).items():
                    if value.ndim == 0:  # not the frames that it hands back
                        sums[name] = sums.get(name, 0.0) + float(value) * size
        return {name: total / self._count for name, total in sums.items()}
