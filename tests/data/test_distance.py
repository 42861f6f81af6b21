"""How far along its way each pixel is: maps of distance from flow, and as labels of samples."""

import pytest
import torch

from midframe.data.distance import Distances, find_distance
from midframe.types import Batch


def constant(dx: float, dy: float) -> torch.Tensor:
    return torch.tensor([dx, dy]).view(1, 2, 1, 1).expand(1, 2, 20, 30)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_distance_of_even_motion_is_the_time(t):
    whole = constant(6.0, -2.0)
    torch.testing.assert_close(find_distance(t * whole, whole, torch.tensor([t])), torch.full((1, 1, 20, 30), t))


def test_distance_of_motion_that_gains_speed_is_less_than_the_time():
    whole = constant(8.0, 0.0)
    found = find_distance(0.25 * whole, whole, torch.tensor([0.5]))
    torch.testing.assert_close(found, torch.full((1, 1, 20, 30), 0.25))


def test_motion_across_the_way_does_not_count():
    found = find_distance(constant(4.0, 3.0), constant(8.0, 0.0), torch.tensor([0.3]))
    torch.testing.assert_close(found, torch.full((1, 1, 20, 30), 0.5))


def test_pixels_that_do_not_move_or_are_lost_get_the_time():
    still = find_distance(constant(0.1, 0.0), constant(0.2, 0.3), torch.tensor([0.7]))
    torch.testing.assert_close(still, torch.full((1, 1, 20, 30), 0.7))
    lost = find_distance(constant(1.0, 0.0), constant(9.0, 0.0), torch.tensor([0.7]), torch.ones(1, 1, 20, 30) > 0)
    torch.testing.assert_close(lost, torch.full((1, 1, 20, 30), 0.7))


def test_distance_lies_between_0_and_1():
    flow = torch.randn(2, 2, 20, 30, generator=torch.Generator().manual_seed(0)) * 9
    found = find_distance(3 * flow, flow.flip(0), torch.tensor([0.2, 0.5]))
    assert found.min() >= 0
    assert found.max() <= 1


class Pan:
    """Samples of one pan: the target has gone a quarter of the way at half of the time."""

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        wide = torch.nn.functional.interpolate(
            torch.rand(count, 3, 20, 30, generator=generator), (160, 240), mode="bicubic"
        ).clamp(0, 1)
        at = [wide[..., 16:144, 16 + shift : 176 + shift] for shift in (0, 8, 2)]
        return Batch(
            frames=torch.stack(at[:2], 1),
            times=torch.tensor([[0.0, 1.0]]).expand(count, 2),
            targets=at[2][:, None],
            target_times=torch.full((count, 1), 0.5),
            labels={"motion": torch.full((count,), 8.0)},
        )


def test_samples_get_the_distance_beside_their_own_labels():
    batch = Distances(Pan()).sample(torch.Generator().manual_seed(0), 2)
    assert set(batch.labels) == {"motion", "distance"}
    assert batch.labels["distance"].shape == (2, 1, 1, 128, 160)
    inner = batch.labels["distance"][..., 24:-24, 24:-24]
    assert inner.median() == pytest.approx(0.25, abs=0.02)
