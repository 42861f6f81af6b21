"""Flow beside the batch is that of the two frames around the gap, found by each preset in turn."""

import pytest
import torch

from midframe.data.searched import Searched
from midframe.errors import UsageError
from midframe.ops.dense_search import SEARCHES, search_pairs
from midframe.types import Batch


class Noise:
    def __init__(self, inputs=2):
        self.inputs = inputs

    def sample(self, generator, count):
        frames = torch.rand(count, self.inputs, 3, 64, 64, generator=generator)
        return Batch(frames, torch.zeros(count, self.inputs), frames[:, :1], torch.full((count, 1), 0.5), {"own": 1})


def draw(source, count):
    return source.sample(torch.Generator().manual_seed(1), count)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_presets_take_turns(count):
    batch = draw(Searched(Noise(), ["tiny", "fast"]), count)
    found = batch.labels["searched"]
    assert found.shape == (count, 2, 2, 32, 32) and batch.labels["own"] == 1
    for k in range(count):
        alone = search_pairs(batch.frames[k : k + 1], SEARCHES[("tiny", "fast")[k % 2]], grid=2)
        assert torch.equal(found[k : k + 1], alone)


def test_of_four_frames_the_middle_ones_count():
    batch = draw(Searched(Noise(4), ["fast"]), 2)
    assert torch.equal(batch.labels["searched"], search_pairs(batch.frames[:, 1:3], SEARCHES["fast"], grid=2))


@pytest.mark.parametrize("presets", [[], ["fast", "quick"]])
def test_an_unknown_search_is_refused(presets):
    with pytest.raises(UsageError, match="There are: best, balanced, fast, tiny"):
        Searched(Noise(), presets)
