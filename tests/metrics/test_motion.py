"""The motion of sampled pictures: found again where it can be seen, and its divergence from the true one."""

import math

import pytest
import torch

from midframe.errors import UsageError
from midframe.metrics.motion import match_motion, motion_divergence


def test_divergence_is_zero_for_the_truth_and_grows_with_what_is_missing():
    truth = torch.tensor([0.25, 0.25, 0.5])
    assert motion_divergence(truth, torch.tensor([10.0, 10.0, 20.0])) == pytest.approx(0, abs=1e-5)
    assert motion_divergence(truth, torch.tensor([11.0, 9.0, 20.0])) < motion_divergence(truth, torch.ones(3))
    nothing = motion_divergence(torch.full((11,), 1 / 11), torch.eye(11)[5])  # never moves
    assert nothing == pytest.approx(10 / 11 * math.log(1e6 / 11) + 1 / 11 * math.log(1 / 11), abs=1e-3)


def test_divergence_is_that_of_its_definition():
    truth, counts = torch.tensor([[0.5, 0.0], [0.25, 0.25]]), torch.tensor([[3.0, 1.0], [4.0, 2.0]])
    shares = counts / 10
    wanted = sum(p * math.log(p / q) for p, q in zip(truth.flatten(), shares.flatten(), strict=True) if p > 0)
    assert motion_divergence(truth, counts, smoothing=0) == pytest.approx(float(wanted), abs=1e-6)


def test_finite_samples_of_the_truth_have_the_divergence_that_is_told():
    truth = torch.full((11,), 1 / 11)
    generator = torch.Generator().manual_seed(0)
    found = [
        motion_divergence(truth, torch.bincount(torch.randint(11, (2000,), generator=generator), minlength=11).float())
        for _ in range(200)
    ]
    assert sum(found) / 200 == pytest.approx(10 / (2 * 2000), rel=0.1)


@pytest.mark.parametrize(
    "truth, counts, complaint",
    [
        (torch.ones(2) / 2, torch.ones(3), "bins"),
        (torch.ones(2), torch.ones(2), "no distribution"),
        (torch.tensor([1.5, -0.5]), torch.ones(2), "no distribution"),
        (torch.ones(2) / 2, torch.zeros(2), "no motion was counted"),
    ],
)
def test_what_has_no_divergence_is_refused(truth, counts, complaint):
    with pytest.raises(UsageError, match=complaint):
        motion_divergence(truth, counts)


def bars(rows, columns):
    """A bright row and a bright column of a black picture."""
    made = torch.zeros(1, 8, 8)
    made[:, rows] = 1.0
    made[:, :, columns] = 0.5
    return made


def test_the_nearest_combination_is_found_through_noise():
    grid = torch.stack([torch.stack([bars(r, c) for c in range(5)]) for r in range(3)])
    noisy = bars(2, 4)[None] + 0.1 * torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    steps, clear = match_motion(noisy, grid)
    assert steps.tolist() == 6 * [[2, 4]] and bool(clear.all())


def test_what_cannot_be_seen_has_no_clear_motion():
    grid = torch.stack([bars(r, slice(0, 0)) for r in range(3)])[:, None].expand(-1, 4, -1, -1, -1)
    steps, clear = match_motion(bars(1, slice(0, 0))[None], grid)
    assert steps[0, 0] == 1 and clear.tolist() == [[True, False]]


def test_pictures_of_other_sizes_are_refused():
    with pytest.raises(UsageError, match="cannot be matched"):
        match_motion(torch.rand(1, 1, 8, 8), torch.rand(3, 1, 8, 9))
