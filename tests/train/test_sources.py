"""What a recipe asks for is what its batches hold; what does not fit together is refused before anything is opened."""

from dataclasses import replace
from fractions import Fraction

import clips
import numpy as np
import pytest
import torch

from midframe.data import mnist
from midframe.data.pack import find_clips, pack
from midframe.errors import InputError, UsageError
from midframe.nn.ahead import ahead
from midframe.train.recipe import DataRecipe, Recipe
from midframe.train.sources import open_made, open_source
from midframe.types import Contract

ANY, MIDDLE = Contract(multiple=16, minimum=32), Contract(times=(Fraction(1, 2),))
FOUR = Contract(inputs=(-1, 0, 1, 2))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Twelve frames of 64x48, and a clip that is smaller than the crop."""
    folder = tmp_path_factory.mktemp("sources")
    clips.write_images(folder / "clip0", clips.moving(12, (48, 64)))
    clips.write_images(folder / "clip1", clips.moving(5, (24, 32)))
    pack(find_clips([folder / "clip0", folder / "clip1"]), folder / "store")
    return folder / "store"


def recipe(**data):
    return Recipe(name="some", system="ifrnet-s/tiny", data=DataRecipe(**{"crop": 32, **data}))


def draw(source, count=8, seed=0):
    return source.sample(torch.Generator().manual_seed(seed), count)


def test_footage_alone(store):
    said = []
    batch = draw(open_source(recipe(gaps=(2, 4), shares=(1.0, 1.0)), ANY, store, tell=said.append), 24)
    assert batch.frames.shape == (24, 2, 3, 32, 32) and batch.targets.shape == (24, 1, 3, 32, 32)
    assert set(batch.target_times.flatten().tolist()) == {0.25, 0.5, 0.75}
    assert said == [f"{store}: 1 clips are smaller than the crop of 32 and are left out"]


def test_synthetic_motion_alone():
    batch = draw(open_source(recipe(synthetic=1.0, flow=True), ANY))
    assert batch.frames.shape == (8, 2, 3, 32, 32) and batch.targets.shape == (8, 1, 3, 32, 32)
    assert len(set(batch.target_times.flatten().tolist())) == 8
    assert batch.labels["flow_t0"].shape == (8, 1, 2, 32, 32)
    assert "flow_t0" not in draw(open_source(recipe(synthetic=1.0), ANY)).labels


def test_a_system_of_flow_gets_larger_motion():
    def mean_motion(name):
        wanted = replace(recipe(synthetic=1.0, flow=True, crop=64), system=name)
        return draw(open_source(wanted, ANY), 16).labels["flow_t0"].norm(dim=2).mean()

    assert mean_motion("raft-s/tiny") > 1.5 * mean_motion("ifrnet-s/tiny")


def test_a_mixture_labels_only_what_is_synthetic(store):
    batch = draw(open_source(recipe(synthetic=0.5, flow=True), ANY, store), 32)
    has = batch.labels["has_flow"] != 0
    assert 4 < int(has.sum()) < 28
    assert not batch.labels["flow_t0"][~has].any() and batch.labels["flow_t0"][has].any()


def test_a_system_of_the_middle_gets_the_middle_of_wider_gaps(store):
    batch = draw(open_source(recipe(gaps=(2, 4), shares=(1.0, 1.0)), MIDDLE, store), 24)
    assert set(batch.target_times.flatten().tolist()) == {0.5}
    assert batch.labels["motion"].max() > 1.5 * batch.labels["motion"].min()


def test_a_teacher_labels_footage_too(store):
    batch = draw(open_source(recipe(flow=True, teacher="dis"), ANY, store))
    assert batch.labels["has_flow"].tolist() == [1] * 8
    assert batch.labels["flow_t0"].shape == (8, 1, 2, 32, 32) and batch.labels["flow_t0"].any()
    mixed = draw(open_source(recipe(flow=True, teacher="dis", synthetic=0.5), ANY, store), 32)
    assert mixed.labels["has_flow"].tolist() == [1] * 32


def test_four_inputs_lie_evenly_around_the_gap(store):
    for given, options in [(store, {}), (None, {"synthetic": 1.0}), (store, {"synthetic": 0.5})]:
        batch = draw(open_source(recipe(inputs=4, **options), FOUR, given))
        assert batch.frames.shape == (8, 4, 3, 32, 32)
        assert batch.times.tolist() == [[-1, 0, 1, 2]] * 8


def test_a_system_of_the_middle_gets_only_the_middle(store):
    batch = draw(open_source(recipe(synthetic=0.5), MIDDLE, store), 16)
    assert set(batch.target_times.flatten().tolist()) == {0.5}


def test_photographs_are_taken(tmp_path):
    clips.write_images(tmp_path / "photos", clips.moving(2, (64, 64)))
    wanted = recipe(synthetic=1.0)
    with_photos = draw(open_source(wanted, ANY, photos=tmp_path / "photos"))
    assert not torch.equal(with_photos.frames, draw(open_source(wanted, ANY)).frames)


def test_the_seed_of_the_recipe_chooses_the_textures():
    first = recipe(synthetic=1.0)
    batches = [draw(open_source(one, ANY)).frames for one in (first, first, replace(first, seed=2))]
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])


@pytest.mark.parametrize(
    ("data", "contract", "given", "message"),
    [
        ({}, ANY, (), "give a store with --data"),
        ({"synthetic": 1.0}, ANY, ("store",), "takes no footage: leave out --data"),
        ({}, ANY, ("store", "photos"), "takes no photographs: leave out --photos"),
        ({"inputs": 4}, ANY, ("store",), "ifrnet-s/tiny reads 2 frames, \\[data\\] inputs is 4"),
        ({"crop": 40}, ANY, ("store",), "crop is 40; ifrnet-s/tiny takes multiples of 16 from 32 on"),
        ({"gaps": (2, 3), "shares": (1.0, 1.0)}, MIDDLE, ("store",), "renders t = 1/2 only, .* in a gap of 3"),
        ({"gaps": (1,)}, ANY, ("store",), "nothing lies between frames of a gap of 1"),
        ({"gaps": (40,)}, ANY, ("store",), "no window of 41 evenly spaced frames"),
        ({"crop": 512}, ANY, ("store",), "no clip is as large as the crop"),
        ({}, ANY, ("nowhere",), "not a packed store"),
        ({"synthetic": 1.0}, ANY, (None, "nowhere"), "nowhere"),
    ],
)
def test_what_does_not_fit_is_one_line(store, tmp_path, data, contract, given, message):
    places = {"store": store, "photos": tmp_path, "nowhere": tmp_path / "nowhere", None: None}
    with pytest.raises((UsageError, InputError), match=message) as caught:
        open_source(recipe(**data), contract, *(places[name] for name in given))
    assert "\n" not in str(caught.value)


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """MNIST of three pictures a part, each part of one grey: 0, 51 and 102."""
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    arrays = {}
    for number, part in enumerate(mnist.COUNTS):
        arrays[f"{part}_pictures"] = np.full((3, 28, 28), 51 * number, np.uint8)
        arrays[f"{part}_digits"] = np.arange(3)
    np.savez(mnist.path_of_mnist(), **arrays)


def test_made_data_comes_in_parts(digits):
    for number, part in enumerate(mnist.COUNTS):
        batch = draw(open_made(recipe(made="mnist"), part))
        assert batch.frames.shape == (8, 1, 1, 28, 28) and set(batch.frames.unique().tolist()) == {
            np.float32(0.2) * number
        }
        pair = draw(open_made(recipe(made="two-digits"), part))
        assert pair.frames.shape == (8, 1, 1, 28, 56) and int(pair.labels["class"].max()) <= 22
        drawn = draw(open_made(recipe(made="mnist", binarise=True), part)).frames
        assert set(drawn.unique().tolist()) == ({0.0, 1.0} if number else {0.0})


def test_made_data_that_is_not_here_or_not_asked_for_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    with pytest.raises(InputError, match="Run: midframe data get mnist"):
        open_made(recipe(made="mnist"))
    with pytest.raises(UsageError, match=r"some has no \[data\] made; there are: mnist"):
        open_made(recipe())


def test_a_system_without_a_contract_takes_made_data_only():
    with pytest.raises(UsageError, match=r"cannot learn from footage or photographs; give it \[data\] made"):
        open_source(recipe(), None)


def test_a_predictor_gets_the_past_and_as_much_future_as_it_looks_ahead(store):
    wanted = replace(recipe(inputs=4, gaps=(1, 2), shares=(1.0, 1.0)), system="simvp-s/colour")
    batch = draw(open_source(wanted, ahead(4, 3), store))
    assert batch.frames.shape[:3] == (8, 4, 3) and batch.targets.shape[:3] == (8, 3, 3)
    assert batch.times[0].tolist() == [-3, -2, -1, 0] and batch.target_times[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("system", "data", "contract", "message"),
    [
        ("simvp-s/colour", {"inputs": 2}, ahead(4, 4), r"reads 4 frames, \[data\] inputs is 2"),
        (
            "simvp-s/colour",
            {"inputs": 4, "synthetic": 0.5},
            ahead(4, 4),
            "learns from frames and those after them, of footage",
        ),
        ("simvp-s", {"inputs": 4}, ahead(4, 4, channels=1), "predicts grey pictures, and footage has colour"),
    ],
)
def test_what_a_predictor_cannot_learn_from_is_one_line(store, system, data, contract, message):
    with pytest.raises(UsageError, match=message):
        open_source(replace(recipe(**data), system=system), contract, store)


LARGER = Contract(scale=(1.0, 16.0), multiple=4, minimum=4)
HALVES = Contract(
    inputs=(0, 1, 2), covers=(0, 2), times=tuple(Fraction(k, 2) for k in range(5)), scale=(4, 4), multiple=4, minimum=4
)


def enlarging(**data):
    return replace(recipe(**{"shrink": (2.0, 4.0), **data}), system="videoinr-s/tiny")


def test_a_system_that_enlarges_gets_small_inputs_and_targets_at_their_times_too(store):
    batch = draw(open_source(enlarging(gaps=(2, 4), shares=(1.0, 1.0), targets=2), LARGER, store), 32)
    side = batch.targets.shape[-1]
    assert batch.frames.shape == (32, 2, 3, 8, 8) and batch.targets.shape[:3] == (32, 2, 3) and 16 <= side <= 32
    assert set(batch.target_times.flatten().tolist()) == {0, 0.25, 0.5, 0.75, 1}
    whole = replace(enlarging(shrink=(4.0, 4.0)).data, inputs=3)
    batch = draw(open_source(replace(enlarging(), data=whole), HALVES, store))
    assert batch.frames.shape == (8, 3, 3, 8, 8) and batch.targets.shape == (8, 5, 3, 32, 32)
    assert batch.target_times[0].tolist() == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize(
    ("data", "contract", "message"),
    [
        ({"synthetic": 0.5}, LARGER, "enlarges, which is learnt from footage alone"),
        ({"shrink": (1.0, 1.0)}, LARGER, r"\[data\] shrink = \[1.0, 1.0\] is not within that"),
        ({"shrink": (2.0, 4.0), "inputs": 3}, HALVES, "enlarges 4 to 4 times"),
        ({"shrink": (4.0, 4.0), "inputs": 3, "gaps": (3,)}, HALVES, "renders t = 0, 1/2, 1.* in a gap of 3"),
        ({"crop": 40}, LARGER, "a crop of 40 shrunk 4 times is 10; videoinr-s/tiny reads multiples of 4 from 4 on"),
        ({}, ANY, "keeps the size: leave"),
        ({"shrink": (1.0, 1.0), "targets": 2}, ANY, "keeps the size: leave"),
    ],
)
def test_what_a_system_that_enlarges_cannot_learn_from_is_one_line(store, data, contract, message):
    with pytest.raises(UsageError, match=message) as caught:
        open_source(enlarging(**data), contract, store)
    assert "\n" not in str(caught.value)


def test_moving_mnist_has_as_many_frames_as_the_system_wants(digits):
    made = replace(recipe(made="moving-mnist"), system="simvp-s")
    batch = draw(open_made(made, "valid", contract=ahead(4, 3, channels=1)))
    assert batch.frames.shape == (8, 4, 1, 64, 64) and batch.targets.shape == (8, 3, 1, 64, 64)
    assert set(batch.frames.unique().tolist()) == {0.0, np.float32(0.2)}
    for contract in (None, Contract(), ahead(4, 3)):
        with pytest.raises(UsageError, match="does not predict grey pictures"):
            open_made(made, contract=contract)


def test_shapes_are_pairs_of_the_size_of_the_crop():
    one = ahead(1, 1)
    assert draw(open_made(recipe(made="shapes", crop=64), contract=one)).frames.shape[1:] == (1, 3, 64, 64)
    with pytest.raises(UsageError, match="Shapes of 24 pixels"):
        open_made(recipe(made="shapes", crop=24), contract=one)
    for contract in (None, Contract(), ahead(1, 1, channels=1)):
        with pytest.raises(UsageError, match="does not look ahead from one frame of colour"):
            open_made(recipe(made="shapes", crop=64), contract=contract)


@pytest.mark.parametrize(("name", "inputs"), [("corrflow-s/tiny", 2), ("colorization-s/tiny", 3)])
def test_a_propagator_gets_a_window_of_frames_in_true_colours(store, name, inputs):
    from midframe.models.load import build

    wanted = replace(recipe(inputs=inputs, gaps=(1, 2), shares=(1.0, 1.0), whole=True), system=name)
    model = build(name)
    batch = draw(open_source(wanted, model.contract, store), 16)
    assert batch.frames.shape == (16, inputs, 3, 32, 32) and batch.targets.shape == (16, 1, 3, 32, 32)
    assert batch.target_times.eq(1).all() and batch.times[0].tolist() == list(range(1 - inputs, 1))
    assert model.loss(batch)["loss"].isfinite()
    # of whole frames the mean colour is that of the store, whatever is mirrored
    from midframe.data.store import open_store

    whole = torch.from_numpy(np.concatenate([open_store(store).frames(k).mean((1, 2)) for k in (0, 1)])) / 255
    means = batch.frames.mean((-1, -2)).flatten(0, 1)
    assert all((whole - mean).abs().max(1).values.min() < 0.01 for mean in means)


def test_a_propagator_refuses_what_it_cannot_learn_from(store):
    contract = ahead(3, 1, multiple=8)
    for data, said in (
        ({"inputs": 2, "gaps": (1,)}, "reads 3 frames, .* inputs is 2"),
        ({"inputs": 3, "gaps": (1,), "synthetic": 0.5}, "learns from frames and those after them"),
    ):
        with pytest.raises(UsageError, match=said):
            open_source(replace(recipe(**data), system="colorization-s/tiny"), contract, store)
