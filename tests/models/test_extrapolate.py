"""Extrapolate goes on at the speed that it saw, and stands still where nothing moved."""

import pytest
import torch
from networks import drifting_batch

from midframe.errors import ContractError
from midframe.models.extrapolate import Extrapolate


def test_an_even_motion_goes_on():
    batch = drifting_batch(3, inputs=2, targets=3, size=96)
    net = Extrapolate()
    state = net.prepare(batch.frames)
    inside = slice(12, -12)
    for t in (1, 2, 3):
        truth = batch.targets[:, t - 1]
        held = (batch.frames[:, -1] - truth)[..., inside, inside].abs().mean()
        made = (net.render(state, t) - truth)[..., inside, inside].abs().mean()
        assert made < 0.15 * held


def test_a_still_picture_stays_as_it_is():
    frame = torch.rand(1, 1, 3, 40, 56) * 1.4 - 0.2
    net = Extrapolate()
    made = net.render(net.prepare(frame.expand(1, 2, -1, -1, -1)), 7)
    assert torch.allclose(made, frame[:, 0], atol=1e-5)


def test_what_does_not_fit_is_refused():
    net = Extrapolate()
    with pytest.raises(ContractError, match="reads 2 frames of 3 channels"):
        net.prepare(torch.rand(1, 2, 1, 32, 32))
    with pytest.raises(ContractError, match="renders only t = 1"):
        net.render(net.prepare(torch.rand(1, 2, 3, 32, 32)), 11)
