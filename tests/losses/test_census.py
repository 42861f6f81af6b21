import numpy as np
import pytest
import torch

from midframe.errors import ContractError
from midframe.losses.census import census, geometry


def pictures(shape=(2, 3, 10, 12), seed=0):
    noise = np.random.default_rng(seed)
    return noise.random(shape), noise.random(shape)


def written_out(a, b, patch):
    """Of maps (channels, h, w): pixel by pixel, neighbour by neighbour, as the definition reads."""
    channels, height, width = a.shape
    radius = patch // 2
    total = 0.0
    for y in range(radius, height - radius):
        for x in range(radius, width - radius):
            for c in range(channels):
                for dy in range(-radius, radius + 1):
                    for dx in range(-radius, radius + 1):
                        steps = [m[c, y + dy, x + dx] - m[c, y, x] for m in (a, b)]
                        signs = [step / np.sqrt(0.81 + step**2) for step in steps]
                        apart = (signs[0] - signs[1]) ** 2
                        total += apart / (0.1 + apart)
    return total / (channels * patch**2 * height * width)


def test_census_equals_its_definition_written_out():
    a, b = pictures()
    expected = np.mean(
        [written_out(x.mean(0, keepdims=True), y.mean(0, keepdims=True), 7) for x, y in zip(a, b, strict=True)]
    )
    assert census(torch.tensor(a), torch.tensor(b)).item() == pytest.approx(expected, rel=1e-12)


def test_geometry_equals_its_definition_written_out():
    a, b = pictures((2, 4, 5, 6))
    expected = np.mean([written_out(3 * x, 3 * y, 3) for x, y in zip(a, b, strict=True)])
    assert geometry(3 * torch.tensor(a), 3 * torch.tensor(b)).item() == pytest.approx(expected, rel=1e-12)


def test_census_of_one_bright_pixel_by_hand():
    # 3×3 patch on 3×3 pixels: only the centre counts, its 8 steps are −1 in one picture and 0 in the other.
    made, truth = torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)
    made[0, 0, 1, 1] = 1
    square = 1 / 1.81
    assert census(made, truth, patch=3).item() == pytest.approx(8 / 9 * square / (0.1 + square) / 9, rel=1e-6)


@pytest.mark.parametrize("loss", [census, geometry])
def test_a_shift_of_brightness_changes_nothing(loss):
    a, b = (torch.tensor(x) for x in pictures())
    torch.testing.assert_close(loss(a + 0.3, b - 0.1), loss(a, b), rtol=1e-9, atol=0)
    assert loss(a + 0.3, a).item() == pytest.approx(0, abs=1e-12)


def test_geometry_lets_each_channel_shift_by_itself():
    a, b = (torch.tensor(x) for x in pictures())
    shifted = a + torch.tensor([1.0, -2.0, 5.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(geometry(shifted, b), geometry(a, b), rtol=1e-9, atol=0)


@pytest.mark.parametrize("loss", [census, geometry])
def test_census_losses_are_symmetric_and_below_one(loss):
    a, b = (torch.tensor(x) for x in pictures())
    torch.testing.assert_close(loss(a, b), loss(b, a))
    torch.testing.assert_close(loss(a.flip(-1), b.flip(-1)), loss(a, b))
    torch.testing.assert_close(loss(a.mT, b.mT), loss(a, b))
    assert 0 < loss(1e6 * a, 1e6 * b) < 1


def test_gradients_are_right():
    a, b = (torch.tensor(x, requires_grad=True) for x in pictures((1, 2, 5, 5)))
    assert torch.autograd.gradcheck(geometry, (a, b))
    assert torch.autograd.gradcheck(lambda made: census(made, b.detach(), patch=3), (a,))


def test_the_truth_gets_gradients_from_geometry_only():
    a, b = (torch.tensor(x, requires_grad=True) for x in pictures())
    census(a, b).backward()
    assert b.grad is None
    geometry(a, b).backward()
    assert b.grad.abs().sum() > 0


def test_half_precision_is_compared_in_float32():
    a, b = (torch.tensor(x, dtype=torch.float32).bfloat16() for x in pictures())
    for loss in (census, geometry):
        assert loss(a, b).dtype == torch.float32
        torch.testing.assert_close(loss(a, b), loss(a.float(), b.float()))


@pytest.mark.parametrize("loss", [census, geometry])
@pytest.mark.parametrize(
    ("shapes", "patch", "complaint"),
    [
        (((1, 3, 8, 8), (1, 3, 8, 9)), 3, "differ"),
        (((1, 3, 8, 8), (1, 3, 8, 8)), 4, "odd"),
        (((1, 3, 8, 4), (1, 3, 8, 4)), 5, "smaller"),
    ],
)
def test_census_losses_refuse_what_they_cannot_compare(loss, shapes, patch, complaint):
    with pytest.raises(ContractError, match=complaint):
        loss(torch.zeros(shapes[0]), torch.zeros(shapes[1]), patch=patch)
