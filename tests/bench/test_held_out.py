"""A loss on held-out samples: the mean over all of them, the same at each look, and no trace left behind."""

import pytest
import torch

from midframe.bench.held_out import HeldOut
from midframe.errors import UsageError
from midframe.types import Batch


class Levels:
    """Pictures of one grey each, drawn from the generator."""

    def sample(self, generator, count):
        frames = torch.rand(count, 1, generator=generator).view(count, 1, 1, 1, 1).expand(count, 1, 1, 4, 4)
        times = torch.zeros(count, 1)
        return Batch(frames, times, frames, times)


class Mean:
    """The grey, and with `noise` a number of torch's own chance beside it; frames that it hands back."""

    def __init__(self, noise=0.0):
        self.noise = noise

    def loss(self, batch):
        grey = batch.frames.mean()
        return {"loss": grey + self.noise * torch.randn(()), "grey": grey, "made": batch.frames}


def test_it_is_the_mean_over_all_samples_whatever_the_batch():
    scores = HeldOut(Levels(), count=1, batch=3).score(Mean())
    assert set(scores) == {"loss", "grey"} and 0 < scores["loss"] == scores["grey"] < 1
    assert HeldOut(Levels(), count=4000, batch=64).score(Mean())["loss"] == pytest.approx(0.5, abs=0.03)


def test_two_looks_are_the_same_and_leave_the_chance_as_it_was():
    held = HeldOut(Levels(), count=10, batch=4)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = held.score(Mean(noise=1.0))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert held.score(Mean(noise=1.0)) == first and first["loss"] != first["grey"]


@pytest.mark.parametrize("wrong", [{"count": 0, "batch": 1}, {"count": 1, "batch": 0}])
def test_no_samples_are_refused(wrong):
    with pytest.raises(UsageError, match="1 sample or more"):
        HeldOut(Levels(), **wrong)
