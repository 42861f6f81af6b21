"""Films with exact masks, and clusters of colour."""

import numpy as np
import pytest
import torch

from midframe.data.colours import fit_colours
from midframe.data.mask_films import make_films
from midframe.data.store import PackedClip, Store
from midframe.data.textures import make_textures
from midframe.errors import InputError, UsageError
from midframe.ops.lab import lab_to_rgb

TEXTURES = make_textures(count=16, side=64, seed=5)


def films(count=4, seed=7):
    return make_films(TEXTURES, count, size=(48, 64), frames=6, seed=seed)


def test_films_hold_several_moving_objects_that_are_all_in_the_first_frame():
    made = films(8)
    assert max(film.objects for film in made) > 1
    for film in made:
        assert film.frames.shape == (6, 3, 48, 64) and film.masks.shape == (6, 48, 64)
        assert film.frames.min() >= 0 and film.frames.max() <= 1
        assert set(np.unique(film.masks[0])) == set(range(film.objects + 1))
        assert set(np.unique(film.masks)) <= set(range(film.objects + 1))
    moved = np.mean([(film.masks[0] != film.masks[-1]).mean() for film in made])
    assert moved > 0.02


def test_a_mask_is_where_its_thing_is():
    """Where the mask of an object ends, colours change more than elsewhere."""
    edge, plain = [], []
    for film in films(6):
        steps = np.abs(np.diff(film.frames[0], axis=2)).mean(0)
        changes = film.masks[0][:, 1:] != film.masks[0][:, :-1]
        edge.append(steps[changes])
        plain.append(steps[~changes])
    assert np.concatenate(edge).mean() > 2 * np.concatenate(plain).mean()


def test_the_same_seed_gives_the_same_films():
    one, two, other = films(2), films(2), films(2, seed=8)
    assert np.array_equal(one[1].frames, two[1].frames) and not np.array_equal(one[1].frames, other[1].frames)


def test_too_few_frames_are_refused():
    with pytest.raises(UsageError, match="4 frames or more"):
        make_films(TEXTURES, 1, size=(48, 64), frames=3, seed=1)


def store_of(frames):
    count, height, width, _ = frames.shape
    clip = PackedClip("a", "", "", 0, count, height, width, "25", 0, tuple(range(count)), (0,), (), ())
    return Store(None, [clip], {}, frames.reshape(-1))


def test_clusters_of_colour_are_found():
    lab = torch.tensor([[60.0, 30.0, 20.0], [60.0, -30.0, 20.0], [60.0, 0.0, -30.0]]).T[:, None]
    rgb = (lab_to_rgb(lab) * 255).round().clamp(0, 255).byte().numpy()[:, 0].T
    frames = np.repeat(rgb[[0, 0, 0, 1, 1, 2]][None, :, None], 2, 0).repeat(8, 2)  # three, two and one part
    found = fit_colours(store_of(np.ascontiguousarray(frames)), 3)
    assert found == pytest.approx(np.array([[30, 20], [-30, 20], [0, -30]]), abs=1.0)
    assert np.array_equal(found, fit_colours(store_of(np.ascontiguousarray(frames)), 3))


def test_an_empty_store_is_refused():
    empty = Store("nothing.store", [], {}, np.zeros(0, np.uint8))
    with pytest.raises(InputError, match="holds no frames"):
        fit_colours(empty)
