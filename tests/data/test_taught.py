"""Flow that the teacher guesses is the motion there is, and says where it is not to be trusted."""

import pytest
import torch

from midframe.data.taught import Taught
from midframe.types import Batch


class Shifted:
    """A texture that moves by `step` pixels to the right from 0 to 1; one target in the middle, and one repeated."""

    def __init__(self, step=8, size=96):
        self.step, self.size = step, size

    def sample(self, generator, count):
        noise = torch.rand(count, 3, self.size // 4 + 8, self.size // 4 + 8, generator=generator)
        wide = torch.nn.functional.interpolate(noise, scale_factor=4, mode="bicubic").clamp(0, 1)

        def at(time):
            begin = 16 - round(time * self.step)
            return wide[..., : self.size, begin : begin + self.size]

        times = torch.tensor([[0.0, 1.0]]).repeat(count, 1)
        middles = torch.full((count, 2), 0.5)
        frames, targets = torch.stack([at(0), at(1)], 1), torch.stack([at(0.5)] * 2, 1)
        return Batch(frames, times, targets, middles, {"clip": torch.zeros(count)})


@pytest.fixture(scope="module")
def batch():
    return Taught(Shifted()).sample(torch.Generator().manual_seed(0), 2)


def test_a_translation_is_found_from_the_target_to_both_frames(batch):
    inner = (..., slice(16, -16), slice(16, -16))
    for end, dx in ((0, -4.0), (1, 4.0)):
        flow = batch.labels[f"flow_t{end}"]
        assert flow.shape == (2, 2, 2, 96, 96)
        assert (flow[inner] - torch.tensor([dx, 0]).view(2, 1, 1)).abs().mean() < 0.1


def test_what_leaves_the_picture_is_doubted_and_the_rest_is_not(batch):
    assert batch.labels["doubt_t0"][..., :3].min() == 1  # these columns came in after frame 0
    assert batch.labels["doubt_t1"][..., -3:].min() == 1
    assert batch.labels["doubt_t0"][..., 16:-16, 16:-16].mean() < 0.02


def test_every_sample_has_flow_and_keeps_its_other_labels(batch):
    assert batch.labels["has_flow"].tolist() == [1, 1]
    assert "clip" in batch.labels
