"""Predictions measured frame by frame: errors as tables have them, beside the last frame repeated."""

import clips
import numpy as np
import pytest
import torch
from networks import drifting_batch

from midframe.bench.ahead import cut_ahead, format_ahead, measure, score_ahead, score_nats, spread
from midframe.errors import InputError, UsageError
from midframe.nn.ahead import ahead, choose


class Oracle:
    """Knows the future of one batch, or holds the last frame."""

    def __init__(self, batch, *, channels=1, knows=True):
        inputs, targets = batch.frames.shape[1], batch.targets.shape[1]
        self.contract = ahead(inputs, targets, channels=channels)
        self.future = list(batch.targets.unbind(1)) if knows else [batch.frames[:, -1]] * targets

    def prepare(self, frames, generator=None):
        return self.future

    def render(self, state, t, size=None):
        return choose("Oracle", lambda count: state, t, size, state[0], self.contract)


def test_the_future_itself_has_no_error_and_the_last_frame_that_of_repeating_it():
    batch = drifting_batch(inputs=3, targets=4)
    own, held = score_ahead(Oracle(batch), [batch])
    assert np.array_equal(own.steps, [[0, 0, 1, 100]] * 4)
    assert (np.diff(held.steps[:, 0]) > 0).all() and (np.diff(held.steps[:, 3]) < 0).all()  # ever further away
    own, again = score_ahead(Oracle(batch, knows=False), [batch])
    assert np.array_equal(own.steps, held.steps) and np.array_equal(again.steps, held.steps)
    assert np.allclose(own.mean, held.steps.mean(0))


def test_errors_are_sums_over_a_frame_before_clipping():
    truth = torch.full((2, 1, 8, 8), 0.5)
    made = truth + torch.tensor([0.25, -1.0]).view(2, 1, 1, 1)
    found = measure(made, truth, sums=True)
    assert np.allclose(found[:, 0], [64 / 16, 64]) and np.allclose(found[:, 1], [16, 64])
    assert found[1, 3] == pytest.approx(-10 * np.log10(0.25))  # of the clipped picture
    assert np.allclose(measure(made, truth, sums=False)[:, :2] * 64, found[:, :2])


def test_batches_count_by_their_samples():
    batch = drifting_batch()
    parts = [
        type(batch)(*(value[k : k + 1] for value in (batch.frames, batch.times, batch.targets, batch.target_times)))
        for k in (0, 1)
    ]
    whole, _ = score_ahead(Oracle(batch, knows=False), [batch])
    seen = []
    _, split = score_ahead(Oracle(parts[0]), parts, on_progress=seen.append)
    assert np.allclose(split.steps, whole.steps) and seen == [1, 2]


def test_clips_are_cut_into_windows_side_by_side(tmp_path):
    clips.write_clip(tmp_path / "long.mp4", clips.moving(11, size=(50, 70)), 25)
    clips.write_clip(tmp_path / "short.mp4", clips.moving(4), 25)
    found = list(cut_ahead(tmp_path, ahead(2, 3, multiple=16)))
    assert [batch.frames.shape for batch in found] == [(1, 2, 3, 48, 64)] * 2
    assert found[0].target_times.tolist() == [[1, 2, 3]] and found[0].times.tolist() == [[-1, 0]]
    assert len(list(cut_ahead(tmp_path, ahead(2, 3), limit=1))) == 1
    with pytest.raises(InputError, match="no clip has 20 frames"):
        list(cut_ahead(tmp_path, ahead(10, 10)))


def test_a_limit_takes_windows_from_everywhere():
    assert spread(range(10), 3) == [1, 5, 8] and spread(range(3), 5) == [0, 1, 2]


def test_the_table_has_a_line_for_each_frame_ahead():
    batch = drifting_batch(targets=3)
    lines = format_ahead("simvp", *score_ahead(Oracle(batch, knows=False), [batch])).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["mean", "1", "2", "3"]
    assert lines[2].split()[1:5] == lines[2].split()[5:]
    assert len({len(line) for line in lines}) == 1


class Certain:
    """Says of each pixel what the truth is; its nats are the entropy."""

    def loss(self, batch):
        cost = torch.nn.functional.binary_cross_entropy(batch.targets, batch.targets, reduction="none")
        return {"loss": cost.flatten(2).sum(2).mean()}


def test_who_knows_the_grey_values_pays_their_entropy():
    batches = [drifting_batch(inputs=3, targets=4) for _ in range(2)]
    seen = []
    cost, least = score_nats(Certain(), batches, on_progress=seen.append)
    assert cost == pytest.approx(least, rel=1e-4) and least > 1
    assert seen == [len(batches[0].frames), 2 * len(batches[0].frames)]
    with pytest.raises(UsageError, match="1 clip or more"):
        score_nats(Certain(), [])
