"""Bicubic: linear in space and time, at home where the kernels are."""

import pytest
import torch

from midframe.errors import ContractError
from midframe.models.bicubic import Bicubic
from midframe.ops.resize import resize_cubic


@pytest.fixture
def frames():
    return torch.rand(2, 2, 3, 20, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kernel", ["cubic", "lanczos"])
@pytest.mark.parametrize("size", [(40, 48), (33, 31), (10, 12)])
def test_a_flat_picture_stays_flat_and_a_slope_a_slope(kernel, size):
    model = Bicubic(kernel=kernel)
    flat = torch.full((1, 2, 3, 20, 24), 0.3)
    assert (model.render(model.prepare(flat), 0.5, size) - 0.3).abs().max() < 1e-5
    slope = torch.linspace(0, 1, 24).expand(1, 2, 3, 20, 24)
    made = model.render(model.prepare(slope), 0.0, size)
    centres = (torch.arange(size[1]) + 0.5) * 24 / size[1] - 0.5  # of the pixels, where the source counts them
    inside = slice(size[1] // 4, -size[1] // 4)
    assert (made[0, 0, 0] - centres / 23)[inside].abs().max() < 0.005


def test_source_frames_at_their_own_size_come_back(frames):
    model = Bicubic()
    state = model.prepare(frames)
    for t in (0, 1):
        assert torch.equal(model.render(state, t), frames[:, t])
    assert torch.equal(model.render(state, 0.25), torch.lerp(frames[:, 0], frames[:, 1], 0.25))


def test_time_and_space_do_not_mind_their_order(frames):
    model = Bicubic()
    made = model.render(model.prepare(frames), torch.tensor([0.25, 0.75]), (31, 50))
    first, last = (resize_cubic(frames[:, k], (31, 50)) for k in (0, 1))
    torch.testing.assert_close(made, torch.lerp(first, last, torch.tensor([0.25, 0.75]).view(-1, 1, 1, 1)))


@pytest.mark.parametrize("t", [-0.01, 1.01])
def test_other_times_are_refused(frames, t):
    model = Bicubic()
    with pytest.raises(ContractError, match="renders 0 to 1"):
        model.render(model.prepare(frames), t)
