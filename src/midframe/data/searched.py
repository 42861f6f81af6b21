"""Batches with the flow of dense inverse search beside them, found while the step before is learnt from."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from midframe.data.source import Source
from midframe.errors import UsageError
from midframe.ops.dense_search import SEARCHES, search_pairs
from midframe.types import Batch

GRID = 2


class Searched:
    """A `Source` that adds the label "searched": flow01 and flow10 between the two frames around the gap.

    B 2 2 h w with h = H/2, (dx, dy) in points of that grid. Of several presets each member of a batch takes the next,
    so that one set of weights learns to live with all of them.

    Raises UsageError for a preset that there is not.
    """

    def __init__(self, source: Source, presets: Sequence[str]) -> None:
        known = {str(name): search for name, search in SEARCHES.items()}
        for name in presets:
            if name not in known:
                raise UsageError(f"no search is called {name!r}. There are: {', '.join(known)}.")
        if not presets:
            raise UsageError(f"name a search. There are: {', '.join(known)}.")
        self.source = source
        self.searches = tuple(known[name] for name in presets)

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        """`count` samples. Raises ContractError if height and width are not multiples of 2."""
        batch = self.source.sample(generator, count)
        middle = batch.frames.shape[1] // 2
        pairs = batch.frames[:, middle - 1 : middle + 1]
        height, width = pairs.shape[-2:]
        found = pairs.new_empty(len(pairs), 2, 2, height // GRID, width // GRID)
        for turn, search in enumerate(self.searches[:count]):
            some = slice(turn, None, len(self.searches))
            found[some] = search_pairs(pairs[some], search, grid=GRID)
        return replace(batch, labels={**batch.labels, "searched": found})
