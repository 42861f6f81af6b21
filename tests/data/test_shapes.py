"""The Shapes data: each kind moves along its line, all steps alike often, and the pictures are those of the labels."""

import pytest
import torch

from midframe.data.shapes import KINDS, Scenes, Shapes, paint, scenes_of, true_motion
from midframe.errors import UsageError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def drawn():
    return Shapes(128).draw(generator(), 11_000)


def test_shapes_and_ranges():
    batch = Shapes(64).sample(generator(), 5)
    assert batch.frames.shape == batch.targets.shape == (5, 1, 3, 64, 64)
    assert torch.equal(batch.times, torch.zeros(5, 1)) and torch.equal(batch.target_times, torch.ones(5, 1))
    assert batch.frames.min() == 0 and 0.2 < batch.frames.max() <= 1
    assert {name: tuple(label.shape) for name, label in batch.labels.items()} == {
        "motion": (5, 3, 2), "centre": (5, 3, 2), "radius": (5, 3), "colour": (5, 3, 3), "depth": (5, 3)
    }  # fmt: skip


def test_each_kind_moves_along_its_own_line(drawn):
    circle, square, triangle = drawn[1].unbind(1)
    assert not circle[:, 0].any() and circle[:, 1].any()
    assert not square[:, 1].any() and square[:, 0].any()
    assert torch.equal(triangle[:, 0], triangle[:, 1])
    assert torch.equal(triangle[:, 1], circle[:, 1])


def chi_squared(values, bins, expected):
    counts = torch.bincount(values, minlength=bins).double()
    return float(((counts - expected) ** 2 / expected).sum())


def test_steps_are_uniform_over_eleven_values(drawn):
    circle, square = drawn[1][:, 0, 1] + 5, drawn[1][:, 1, 0] + 5
    # χ² with 10 degrees of freedom exceeds 29.6 once in a thousand; the seed is fixed
    assert chi_squared(circle, 11, 1000) < 29.6
    assert chi_squared(square, 11, 1000) < 29.6


def test_circle_and_square_are_independent(drawn):
    pairs = (drawn[1][:, 0, 1] + 5) * 11 + drawn[1][:, 1, 0] + 5
    assert chi_squared(pairs, 121, 11_000 / 121) < 171  # 120 degrees of freedom, once in a thousand


def test_true_distributions_sum_to_one_and_agree():
    truth = true_motion(5)
    for kind in KINDS:
        assert truth[kind].shape == (11,)
        assert truth[kind].sum() == pytest.approx(1)
    assert torch.allclose(truth["joint"].sum(0), truth["triangle"])
    assert torch.allclose(truth["joint"].sum(1), truth["circle"])


def test_sizes_places_and_colours_are_those_of_the_canvas(drawn):
    scenes, _ = drawn
    assert scenes.radius.min() == 10 and scenes.radius.max() == 20
    assert scenes.centre.min() == 24 and scenes.centre.max() == 128 - 24 - 1
    assert 0.2 <= scenes.colour.min() < 0.21 and 0.99 < scenes.colour.max() <= 1
    assert len(scenes.depth.unique(dim=0)) == 6
    half = Shapes(64)
    assert half.radii == (5, 10) and half.margin == 12


def one(kind, radius=4, centre=(10, 9)):
    """A scene whose other two shapes are hidden outside the picture."""
    away = torch.full((1, 3, 2), 1000)
    away[0, KINDS.index(kind)] = torch.tensor(centre)
    return Scenes(away, torch.full((1, 3), radius), torch.eye(3)[None], torch.tensor([[2, 0, 1]]))


def test_circle_square_and_triangle_look_like_it():
    circle, square, triangle = (paint(one(kind), 24)[0].amax(0) > 0 for kind in KINDS)
    assert square.sum() == 81 and square[5:14, 6:15].all()
    rows, columns = torch.nonzero(circle, as_tuple=True)
    assert ((rows - 9) ** 2 + (columns - 10) ** 2 <= 16).all() and circle.sum() == 49
    assert triangle[5].sum() == 1 and triangle[5, 10]  # the apex, up
    assert torch.equal(triangle, triangle.roll(3, 1).flip(1))  # symmetric about x = 10
    widths = triangle.sum(1)[5:12]
    assert (widths.diff() >= 0).all() and widths[-1] == 7 and not triangle[12:].any()


def test_nearer_shapes_hide_farther_ones():
    scenes = one("circle")
    stacked = Scenes(scenes.centre[:, :1].expand(-1, 3, -1), scenes.radius, scenes.colour, scenes.depth)
    centre = paint(stacked, 24)[0, :, 9, 10]
    assert torch.equal(centre, torch.tensor([1.0, 0, 0]))  # the circle has depth 2


def test_targets_are_the_scenes_moved():
    batch = Shapes(64).sample(generator(3), 4)
    scenes = scenes_of(batch)
    assert torch.equal(paint(scenes, 64), batch.frames[:, 0])
    assert torch.equal(paint(scenes.moved(batch.labels["motion"]), 64), batch.targets[:, 0])


def test_a_shape_alone_moves_by_whole_pixels():
    scenes = one("triangle", centre=(12, 12))
    moved = paint(scenes.moved(torch.tensor([[[0, 0], [0, 0], [3, 3]]])), 24)
    assert torch.equal(moved, paint(scenes, 24).roll((3, 3), (2, 3)))


def test_a_sample_does_not_depend_on_those_beside_it():
    few, many = Shapes(32).sample(generator(7), 2), Shapes(32).sample(generator(7), 6)
    assert torch.equal(few.frames, many.frames[:2]) and torch.equal(few.targets, many.targets[:2])


@pytest.mark.parametrize("size, reach", [(16, 1), (64, 0), (64, 13)])
def test_settings_that_cannot_be_meant_are_refused(size, reach):
    with pytest.raises(UsageError, match="Shapes of"):
        Shapes(size, reach=reach)
