"""Inputs smaller than their targets: one size of inputs, targets as large as the scale drawn says, 8 bits."""

import pytest
import torch

from midframe.data.shrunk import Shrunk
from midframe.ops.resize import resize_cubic
from midframe.types import Batch


class Given:
    """The same pictures whatever is drawn; the first target is the first input."""

    def __init__(self, side=48):
        self.frames = torch.rand(2, 2, 3, side, side, generator=torch.Generator().manual_seed(0))

    def sample(self, generator, count):
        times = torch.tensor([[0.0, 1.0]]).expand(2, 2)
        return Batch(self.frames, times, self.frames, times)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_targets_are_cut_to_what_the_inputs_show():
    given = Given()
    sizes = set()
    for seed in range(12):
        batch = Shrunk(given, (2.0, 4.0)).sample(generator(seed), 2)
        side = batch.targets.shape[-1]
        assert batch.frames.shape == (2, 2, 3, 12, 12) and 24 <= side <= 48
        assert torch.equal(batch.targets, given.frames[..., :side, :side])
        assert (batch.frames - resize_cubic(batch.targets, (12, 12))).abs().max() <= 0.5 / 255 + 1e-6
        sizes.add(side)
    assert len(sizes) > 5


def test_inputs_are_of_8_bits():
    frames = Shrunk(Given(), (4.0, 4.0)).sample(generator(0), 2).frames * 255
    assert torch.allclose(frames, frames.round(), atol=1e-4) and frames.min() >= 0 and frames.max() <= 255


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_batch(seed):
    one, other = (Shrunk(Given(), (2.0, 4.0)).sample(generator(seed), 2) for _ in range(2))
    assert torch.equal(one.frames, other.frames) and one.targets.shape == other.targets.shape
