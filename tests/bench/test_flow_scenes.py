"""Flow on synthetic motion: figures of estimators that one can be sure of, and classical ones on a known shift."""

import pytest
import torch

from midframe.bench.flow import Farneback, FlowScenes, classical, format_table
from midframe.errors import InputError, UsageError


@pytest.fixture(scope="module")
def scenes():
    return FlowScenes(count=3, size=(64, 96))


class Oracle:
    """The true flow, scene by scene, off by `off` pixels in x."""

    def __init__(self, scenes, off=0.0):
        self.labels, self.next, self.off = scenes.scenes().labels["flow01"], 0, off

    def flow(self, frame0, frame1):
        found = self.labels[self.next : self.next + 1] + torch.tensor([self.off, 0.0]).view(1, 2, 1, 1)
        self.next += 1
        return found


def test_the_truth_has_no_error_and_an_offset_is_the_error(scenes):
    exact, near, far = (scenes.score(Oracle(scenes, off)) for off in (0.0, 2.0, 4.0))
    assert (exact.epe, exact.visible, exact.far) == (0, 0, 0)
    assert (near.epe, near.visible, near.far) == (pytest.approx(2), pytest.approx(2), 0)
    assert (far.epe, far.far) == (pytest.approx(4), 1)


def test_the_scenes_are_the_same_each_time(scenes):
    assert torch.equal(scenes.scenes().frames, FlowScenes(count=3, size=(64, 96)).scenes().frames)


@pytest.mark.parametrize("name", list(classical()))
def test_classical_methods_find_a_shift(name):
    coarse = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.interpolate(coarse, (96, 144), mode="bicubic").clamp(0, 1)
    found = classical()[name].flow(wide[..., :93, 4:133], wide[..., :93, 2:131])  # odd sizes
    assert found.shape == (1, 2, 93, 129)
    middle = found[..., 20:-20, 20:-20].mean((0, 2, 3))
    assert middle.tolist() == pytest.approx([2, 0], abs=0.3)


def test_a_batch_is_its_members():
    frames = torch.rand(2, 2, 3, 64, 64)
    for estimator in (classical()["dis/fast"], Farneback()):
        both = estimator.flow(frames[:, 0], frames[:, 1])
        assert torch.equal(both[1:], estimator.flow(frames[1:, 0], frames[1:, 1]))


def test_the_table_has_a_line_for_each(scenes):
    lines = format_table([("one", scenes.score(Oracle(scenes, 4.0)))]).splitlines()
    assert len(lines) == 2 and lines[1].split() == ["one", "4.000", "4.000", "100.00%"]


def test_senseless_scenes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="1 scene or more"):
        FlowScenes(count=0)
    with pytest.raises(InputError, match="holds no photographs"):
        FlowScenes(tmp_path)
