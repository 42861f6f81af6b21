"""Motion of sampled futures: the truth is found to be true, stillness and one future are not."""

import math

import pytest
import torch

from midframe.bench.futures import Futures, format_table
from midframe.data.shapes import KINDS, paint
from midframe.errors import UsageError
from midframe.models.load import build


@pytest.fixture(scope="module")
def futures():
    return Futures(64, pictures=6, samples=60, reach=3)


def test_painted_steps_are_found_again():
    futures = Futures(64, pictures=6, samples=3, reach=3)
    drawn = []

    def future(frames, scene, generator):
        motion = futures.source.draw(generator, len(frames))[1]
        drawn.append(motion)
        return paint(scene.one(0, len(motion)).moved(motion), 64)

    scores = futures.count(future)
    motion = torch.cat(drawn)
    assert scores.clear > 0.95  # the rest is hidden
    for k, kind in enumerate(KINDS):
        true = torch.bincount(motion[:, k].sum(1) // (2 if kind == "triangle" else 1) + 3, minlength=7)
        assert (scores.counts[kind] <= true).all()
    off_diagonal = scores.counts["joint"] - torch.diag(scores.counts["joint"].diag())
    assert not off_diagonal.any()


def test_true_motion_has_the_divergence_of_finite_samples(futures):
    scores = futures.score_truth()
    assert scores.astray == 0
    for kind in KINDS:
        assert scores.divergence[kind] < 4 * 6 / (2 * 360)
    assert scores.divergence["joint"] < 0.1


@pytest.mark.parametrize("kind", range(3))
def test_a_shape_that_leaves_its_line_is_seen_to_stray(kind):
    futures = Futures(64, pictures=4, samples=4, reach=3)

    def future(frames, scene, generator):
        motion = torch.zeros(len(frames), 3, 2, dtype=torch.int64)
        motion[:, kind] = torch.tensor(((3, 0), (0, 3), (3, -3))[kind])
        return paint(scene.one(0, len(frames)).moved(motion), 64)

    assert futures.count(future).astray == pytest.approx(1 / 3, abs=0.12)  # one of three shapes; some are hidden


def test_stillness_has_nearly_the_largest_divergence(futures):
    scores = futures.score_still()
    for kind in KINDS:
        assert scores.counts[kind].argmax() == 3 and scores.counts[kind].count_nonzero() == 1
        assert scores.divergence[kind] == pytest.approx(6 / 7 * math.log(1e6 / 7) - math.log(7) / 7, abs=0.01)


def test_a_model_is_asked_for_as_many_futures_and_gives_the_same_figures_again():
    futures, model = Futures(32, pictures=2, samples=5, reach=2), build("visual-dynamics/tiny")
    seen = []
    scores = futures.score(model, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert 0 < scores.counts["circle"].sum() <= 10
    assert futures.score(model).divergence == scores.divergence


def test_the_table_has_a_row_for_each_and_the_published_ones(futures):
    lines = format_table([("still", futures.score_still())]).splitlines()
    assert lines[2].startswith("| still | ") and "1.70" in lines[-1]
    assert len({line.count("|") for line in lines}) == 1


def test_nothing_to_count_is_refused():
    with pytest.raises(UsageError, match="1 picture and sample"):
        Futures(64, samples=0)
    with pytest.raises(UsageError, match="Shapes of"):
        Futures(16)
