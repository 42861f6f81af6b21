"""Mixtures of sources."""

import pytest
import torch

from midframe.data.source import Mixture, draw_generators, join_batches
from midframe.errors import UsageError
from midframe.types import Batch


class Constant:
    """Samples of one value; `labelled` ones say so."""

    def __init__(self, value, *, size=4, labelled=False):
        self.value, self.size, self.labelled = value, size, labelled

    def sample(self, generator, count):
        labels = {"has_flow": torch.ones(count), "flow01": torch.ones(count, 2, 4, 4)} if self.labelled else {}
        frames = torch.full((count, 2, 3, self.size, self.size), float(self.value))
        times = torch.tensor([[0.0, 1.0]]).repeat(count, 1)
        return Batch(frames, times, frames[:, :1], times[:, :1] + 0.5, labels)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_weights_are_probabilities():
    batch = Mixture([Constant(0), Constant(1)], [1, 3]).sample(generator(), 4000)
    assert len(batch.frames) == 4000
    assert batch.frames.mean() == pytest.approx(0.75, abs=0.03)


def test_labels_that_some_lack_are_zero_there():
    batch = Mixture([Constant(0), Constant(1, labelled=True)], [1, 1]).sample(generator(), 20)
    made = batch.frames[:, 0, 0, 0, 0]
    assert 0 < made.sum() < 20
    assert torch.equal(batch.labels["has_flow"], made)
    assert torch.equal(batch.labels["flow01"][:, 0, 0, 0], made)


def test_a_source_that_is_not_chosen_is_not_asked():
    batch = Mixture([Constant(0), None], [1, 0]).sample(generator(), 3)
    assert len(batch.frames) == 3


def test_the_same_seed_gives_the_same_mixture():
    mixture = Mixture([Constant(0), Constant(1)], [1, 1])
    assert torch.equal(mixture.sample(generator(1), 9).frames, mixture.sample(generator(1), 9).frames)


def test_sources_of_different_shapes_are_refused():
    with pytest.raises(UsageError, match="different shapes cannot be mixed"):
        join_batches([Constant(0).sample(None, 1), Constant(0, size=5).sample(None, 1)])


@pytest.mark.parametrize("sources, weights", [([], []), ([Constant(0)], [1, 2]), ([Constant(0)], [-1]), ([1], [0])])
def test_weights_that_cannot_be_meant(sources, weights):
    with pytest.raises(UsageError):
        Mixture(sources, weights)


def test_samples_have_generators_of_their_own():
    first, second = draw_generators(generator(), 2)
    again, _, _ = draw_generators(generator(), 3)
    assert first.random() == again.random() != second.random()
