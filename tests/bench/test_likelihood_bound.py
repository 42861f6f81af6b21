"""Bounds of likelihoods: means over all pictures, the same at each look, tighter with more samples."""

import math

import numpy as np
import pytest
import torch

from midframe.bench.likelihood import binary_mnist, score_likelihood
from midframe.data import mnist
from midframe.errors import UsageError


class Known:
    """ln p(x) is known: the mean of the picture; one of two z is drawn, with weights that average to p(x)."""

    def bound(self, pictures, generator=None):
        level = pictures.mean((1, 2, 3))
        return 2 - level, torch.full_like(level, 0.5)

    def log_weights(self, pictures, count, generator=None):
        level = pictures.mean((1, 2, 3))
        choice = torch.rand(len(level), count, generator=generator) < 0.5
        return level[:, None] + torch.where(choice, math.log(0.2), math.log(1.8))


PICTURES = torch.rand(230, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_it_is_the_mean_over_all_pictures_with_its_halves():
    told = []
    found = score_likelihood(Known(), PICTURES, on_progress=lambda *at: told.append(at))
    levels = PICTURES.mean((1, 2, 3)).double()
    assert found.count == 230 and found.divergence == pytest.approx(0.5)
    assert found.reconstruction == pytest.approx(2 - levels.mean().item(), abs=1e-6)
    assert found.bound == pytest.approx(found.reconstruction + 0.5)
    assert found.error == pytest.approx((levels.std(correction=0) / 230**0.5).item(), rel=1e-4)
    assert told[-1] == (230, 230)


@pytest.mark.parametrize(("samples", "within"), [(2, None), (120, 0.02), (900, 0.004)])
def test_more_samples_come_down_to_the_likelihood(samples, within):
    truth = -PICTURES.mean().item()
    found = score_likelihood(Known(), PICTURES, samples=samples)
    assert found.reconstruction is None and found == score_likelihood(Known(), PICTURES, samples=samples)
    if within is None:
        assert found.bound > truth + 0.1
    else:
        assert truth - within / 4 < found.bound < truth + within


def test_nothing_to_measure_is_refused():
    for pictures, samples in [(PICTURES[:0], 1), (PICTURES, 0)]:
        with pytest.raises(UsageError, match="1 picture and 1 sample or more"):
            score_likelihood(Known(), pictures, samples=samples)


def test_the_test_set_is_drawn_once_for_all(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    grey = np.full((50, 28, 28), 51, np.uint8)
    np.savez(mnist.path_of_mnist(), test_pictures=grey, test_digits=np.zeros(50, np.int64))
    pictures = binary_mnist()
    assert pictures.shape == (50, 1, 28, 28) and set(pictures.unique().tolist()) == {0.0, 1.0}
    assert pictures.mean().item() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(pictures, binary_mnist()) and torch.equal(pictures[:7], binary_mnist(7))
    for count in (0, 51):
        with pytest.raises(UsageError, match="the test set has 50 pictures"):
            binary_mnist(count)
