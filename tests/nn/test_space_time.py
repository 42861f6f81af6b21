"""The encoder of frames and of those between: its parameters, what it is at first, that time has two directions."""

import pytest
import torch
import torch.nn.functional as F
from networks import count

from midframe.errors import ContractError, UsageError
from midframe.nn.space_time import (
    AlignBoth,
    Deform,
    Pyramid,
    ResidualBlock,
    SpaceTimeEncoder,
    blend,
    check_batch,
    check_window,
    choose_size,
)
from midframe.types import Batch, Contract

SMALL = {"width": 8, "groups": 2, "front": 1, "back": 1}
TWO = Contract(scale=(1.0, 16.0), multiple=4, minimum=4)


def test_the_published_encoder_has_the_published_parameters():
    assert count(SpaceTimeEncoder()) == 10_768_688
    both = AlignBoth(64, 8)
    assert count(both.first) == count(both.second) == 1_112_008
    assert count(SpaceTimeEncoder()) - count(SpaceTimeEncoder(align=False)) == 2 * (147_712 + count(both))


def test_an_untrained_deformable_convolution_is_half_a_plain_one():
    torch.manual_seed(0)
    deform = Deform(8, 2)
    torch.nn.init.normal_(deform.bias)
    x, guide = torch.randn(2, 8, 5, 7), torch.randn(2, 8, 5, 7)
    plain = F.conv2d(x, deform.weight, padding=1)
    assert torch.allclose(deform(x, guide), 0.5 * plain + deform.bias[:, None, None], atol=1e-5)


@torch.no_grad()
def test_a_residual_block_is_quiet_at_first():
    torch.manual_seed(0)
    x = torch.randn(1, 16, 8, 8)
    assert 0 < float((ResidualBlock(16)(x) - x).abs().mean()) < 0.05


def test_levels_halve_the_size():
    levels = Pyramid(8)(torch.randn(1, 8, 12, 20))
    assert [tuple(level.shape[-2:]) for level in levels] == [(12, 20), (6, 10), (3, 5)]


@pytest.mark.parametrize("frames", [2, 3, 4])
def test_maps_lie_at_the_frames_and_between_them(frames):
    torch.manual_seed(0)
    encoder = SpaceTimeEncoder(**SMALL)
    assert encoder(torch.rand(2, frames, 3, 8, 12)).shape == (2, 2 * frames - 1, 8, 8, 12)


@torch.no_grad()
def test_each_map_depends_on_each_frame():
    """What is remembered comes from both directions."""
    torch.manual_seed(0)
    encoder = SpaceTimeEncoder(**SMALL)
    frames = torch.rand(1, 3, 3, 8, 8)
    before = encoder(frames)
    for k in range(3):
        changed = frames.clone()
        changed[:, k] += 0.5
        moved = (encoder(changed) - before).abs().amax((0, 2, 3, 4))
        assert bool((moved > 0).all()), f"frame {k} moves maps {moved.tolist()}"


def test_numbers_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="width divides by its groups"):
        SpaceTimeEncoder(width=9, groups=2)


def test_a_cross_fade_takes_the_two_frames_around():
    frames = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(3, 4, 1, 2, 2) ** 2
    faded = blend(frames, torch.tensor([0.0, 1.5, 3.0]).view(3, 1, 1, 1))
    assert faded[:, 0, 0, 0].tolist() == [0.0, 2.5, 9.0]


@pytest.mark.parametrize("shape", [(1, 3, 3, 8, 8), (1, 2, 1, 8, 8), (2, 3, 8, 8), (1, 2, 3, 6, 8)])
def test_windows_that_do_not_fit_are_refused(shape):
    with pytest.raises(ContractError, match=r"reads 2 RGB frames|multiples of 4") as caught:
        check_window("It", torch.rand(shape), TWO)
    assert "\n" not in str(caught.value)


def test_sizes_are_those_of_the_contract():
    frames = torch.rand(1, 2, 3, 8, 12)
    assert choose_size("It", None, frames, TWO, 4.0) == (32, 48)
    assert choose_size("It", (8, 12), frames, TWO, 4.0) == (8, 12)
    assert choose_size("It", (21, 31), frames, TWO, 4.0) == (21, 31)
    for size in ((7, 12), (8, 193)):
        with pytest.raises(ContractError, match="It makes 8×12 frames 1 to 16 times as large, asked for"):
            choose_size("It", size, frames, TWO, 4.0)


def test_a_batch_of_another_size_or_time_is_refused():
    frames, times = torch.rand(1, 2, 3, 8, 8), torch.tensor([[0.0, 1.0]])
    assert check_batch("It", Batch(frames, times, torch.rand(1, 2, 3, 20, 20), times), TWO).flatten().tolist() == [0, 1]
    with pytest.raises(ContractError, match="times as large"):
        check_batch("It", Batch(frames, times, torch.rand(1, 1, 3, 4, 4), times[:, :1]), TWO)
    with pytest.raises(ContractError, match="renders 0 <= t <= 1"):
        check_batch("It", Batch(frames, times, torch.rand(1, 1, 3, 8, 8), times[:, :1] - 0.5), TWO)
