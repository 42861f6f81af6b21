"""Cost volumes: slow twins, order of channels, and reading with and without the volume."""

import math

import pytest
import torch

from midframe.errors import ContractError, UsageError
from midframe.ops.correlate import correlate, correlate_all, look_up, look_up_directly, pool


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def correlate_slowly(f0, f1, radius):
    height, width = f0.shape[-2:]
    around = torch.nn.functional.pad(f1, (radius,) * 4)
    planes = [
        (f0 * around[..., dy : dy + height, dx : dx + width]).mean(1)
        for dy in range(2 * radius + 1)
        for dx in range(2 * radius + 1)
    ]
    return torch.stack(planes, 1)


@pytest.mark.parametrize(("size", "radius"), [((8, 8), 4), ((9, 13), 2), ((1, 3), 1), ((20, 7), 0), ((3, 3), 4)])
def test_the_local_volume_is_what_the_slow_one_finds(size, radius):
    f0, f1 = draw(2, 5, *size), draw(2, 5, *size, seed=1)
    torch.testing.assert_close(correlate(f0, f1, radius), correlate_slowly(f0, f1, radius), atol=1e-5, rtol=0)


def test_channels_run_row_by_row():
    f0, f1 = torch.ones(1, 1, 5, 5), torch.zeros(1, 1, 5, 5)
    f1[0, 0, 1, 4] = 1  # from the middle: one up, two to the right
    hit = correlate(f0, f1, 2)[0, :, 2, 2].nonzero().flatten().tolist()
    assert hit == [(-1 + 2) * 5 + 2 + 2]


def test_gradients_of_the_local_volume_are_right():
    f0, f1 = draw(1, 2, 3, 9, dtype=torch.float64), draw(1, 2, 3, 9, seed=1, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: correlate(a, b, 1), (f0.requires_grad_(), f1.requires_grad_()))


def test_sums_are_float32_under_autocast():
    f0, f1 = draw(1, 64, 8, 8), draw(1, 64, 8, 8, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        volume, pyramid = correlate(f0, f1, 1), correlate_all(f0, f1, 1)
    assert volume.dtype == pyramid[0].dtype == torch.float32
    torch.testing.assert_close(volume, correlate(f0, f1, 1))
    torch.testing.assert_close(pyramid[0], correlate_all(f0, f1, 1)[0])


def grid(height, width, batch=1):
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows])[None].float().repeat(batch, 1, 1, 1)


def test_reading_at_whole_positions_is_indexing():
    f0, f1 = draw(1, 4, 6, 7), draw(1, 4, 6, 7, seed=1)
    offset = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1)
    read = look_up(correlate_all(f0, f1, 1), grid(6, 7) + offset, 1).view(1, 3, 3, 6, 7)
    for i, dx in enumerate((-1, 0, 1)):  # x is the slow index
        for j, dy in enumerate((-1, 0, 1)):
            wanted = (f0[0, :, 3, 2] * f1[0, :, 3 - 1 + dy, 2 + 2 + dx]).sum() / math.sqrt(4)
            torch.testing.assert_close(read[0, i, j, 3, 2], wanted, atol=1e-4, rtol=0)
    assert read[0, :, :, :, 6].abs().max() == 0  # there x + 2 and its neighbours lie outside


def test_coarser_levels_are_read_at_half_the_position():
    f0, f1 = draw(1, 4, 4, 8), draw(1, 4, 4, 8, seed=1)
    read = look_up(correlate_all(f0, f1, 2), torch.full((1, 2, 4, 8), 2.0), 0)
    mean = f1[..., 2:4, 2:4].mean((2, 3))
    wanted = torch.einsum("bchw,bc->bhw", f0, mean)[:, None] / math.sqrt(4)
    torch.testing.assert_close(read[:, 1:], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(8, 8), (9, 21)])
def test_reading_with_and_without_the_volume_agrees(size, monkeypatch):
    monkeypatch.setattr("midframe.ops.correlate.PLACES", 50)
    f0, f1 = draw(2, 6, *size), draw(2, 6, *size, seed=1)
    positions = grid(*size, 2) + 8 * draw(2, 2, *size, seed=2)  # many of them outside
    positions[0, 0, 0, 0] = 1e30
    whole = look_up(correlate_all(f0, f1, 4), positions, 3)
    assert whole.shape == (2, 4 * 49, *size)
    torch.testing.assert_close(look_up_directly(f0, pool(f1, 4), positions, 3), whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("direct", [False, True])
def test_gradients_of_reading_are_right(direct):
    f0, f1 = draw(1, 2, 2, 4, dtype=torch.float64), draw(1, 2, 2, 4, seed=1, dtype=torch.float64)
    positions = grid(2, 4).double() + 0.3 + 0.4 * torch.rand(1, 2, 2, 4, dtype=torch.float64)

    def read(a, b, at):
        if direct:
            return look_up_directly(a, pool(b, 1), at, 1)
        return look_up(correlate_all(a, b, 1), at, 1)

    assert torch.autograd.gradcheck(
        read, (f0.requires_grad_(), f1.requires_grad_(), positions.detach().requires_grad_())
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(ContractError, match="features of one size"):
        correlate(draw(1, 2, 3, 4), draw(1, 2, 4, 3), 1)
    with pytest.raises(UsageError, match="not be negative"):
        correlate(draw(1, 2, 3, 4), draw(1, 2, 3, 4), -1)
    with pytest.raises(ContractError, match="4 levels need 8 rows"):
        correlate_all(draw(1, 2, 7, 9), draw(1, 2, 7, 9), 4)
