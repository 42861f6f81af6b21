from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from midframe.errors import ContractError
from midframe.nn.pair import check_pair, check_size, read_index, read_times, spread_times
from midframe.types import Batch, Contract

ANY, MIDDLE = Contract(multiple=16, minimum=32), Contract(times=(Fraction(1, 2),))
FRAMES = torch.zeros(2, 2, 3, 32, 48)


def test_a_fitting_pair_is_accepted():
    check_pair("Net", FRAMES, ANY)
    check_size("Net", None, FRAMES)
    check_size("Net", (32, 48), FRAMES)


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        ((2, 2, 2, 32, 48), "two RGB frames"),
        ((2, 3, 3, 32, 48), "two RGB frames"),
        ((2, 3, 32, 48), "two RGB frames"),
        ((1, 2, 3, 32, 40), "multiples of 16, at least 32; got 32×40"),
        ((1, 2, 3, 16, 48), "got 16×48"),
    ],
)
def test_other_frames_are_refused_in_one_line(shape, complaint):
    with pytest.raises(ContractError, match=complaint) as error:
        check_pair("Net", torch.zeros(shape), ANY)
    assert "\n" not in str(error.value)


def test_another_size_is_refused():
    with pytest.raises(ContractError, match=r"keeps the size \(32, 48\)"):
        check_size("Net", (64, 96), FRAMES)


@pytest.mark.parametrize("t", [0.25, Fraction(1, 4), torch.tensor(0.25), torch.tensor([0.25, 0.25])])
def test_times_of_every_kind_become_one_for_each_member(t):
    times = read_times("Net", t, FRAMES, ANY)
    assert times.shape == (2, 1, 1, 1) and times.dtype == FRAMES.dtype
    assert times.flatten().tolist() == [0.25, 0.25]


@pytest.mark.parametrize("t", [0, 1, -0.5, 1.5, float("nan"), torch.tensor([0.5, 1.0])])
def test_times_outside_the_gap_are_refused(t):
    with pytest.raises(ContractError, match="0 < t < 1"):
        read_times("Net", t, FRAMES, ANY)


def test_times_that_a_net_cannot_render_are_refused():
    assert read_times("Net", 0.5, FRAMES, MIDDLE).flatten().tolist() == [0.5, 0.5]
    with pytest.raises(ContractError, match=r"only t = 1/2, asked for \[0.25\]. Wrap it"):
        read_times("Net", 0.25, FRAMES, MIDDLE)
    with pytest.raises(ContractError, match="one time or 2 of them, got 3"):
        read_times("Net", torch.full((3,), 0.5), FRAMES, MIDDLE)


def test_a_map_of_times_is_taken_where_the_contract_says_so():
    mapped = Contract(maps=True)
    t = torch.rand(1, 1, *FRAMES.shape[-2:], generator=torch.Generator().manual_seed(0))
    t[..., 0, 0], t[..., 0, 1] = 0, 1  # such pixels stay as they are
    found = read_times("Net", t, FRAMES, mapped)
    assert found.shape == (2, 1, *FRAMES.shape[-2:])
    assert torch.equal(found[1], t[0])
    with pytest.raises(ContractError, match="one time for the whole frame"):
        read_times("Net", t, FRAMES, ANY)
    with pytest.raises(ContractError, match="takes a map of times"):
        read_times("Net", t[..., 1:], FRAMES, mapped)
    with pytest.raises(ContractError, match="the map holds 0 to 2"):
        read_times("Net", 2 * t, FRAMES, mapped)


def test_times_become_a_map_of_any_size():
    assert spread_times(torch.full((2, 1, 1, 1), 0.3), (4, 6)).shape == (2, 1, 4, 6)
    ramp = torch.linspace(0, 1, 8).expand(1, 1, 8, 8)
    torch.testing.assert_close(spread_times(ramp, (4, 4))[0, 0, 0], ramp[0, 0, 0].view(4, 2).mean(1))
    assert spread_times(ramp, (8, 8)) is ramp


def test_the_index_is_the_time_or_the_label():
    batch = Batch(FRAMES, torch.tensor([[0.0, 1.0]] * 2), FRAMES[:, :1], torch.tensor([[0.3], [0.6]]))
    assert read_index("Net", batch, "time").shape == (2, 1, 1, 1, 1)
    with pytest.raises(ContractError, match="distance = true"):
        read_index("Net", batch, "distance")
    maps = torch.zeros(2, 1, 1, 32, 48)
    assert read_index("Net", replace(batch, labels={"distance": maps}), "distance") is maps
