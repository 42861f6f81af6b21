"""Moving MNIST is made as the published protocol says: paths, pasting, entropy."""

import importlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from midframe.data.moving_mnist import MovingMNIST, bounce
from midframe.errors import MidframeError, UsageError


@pytest.fixture(scope="module")
def blobs():
    """Digit-like pictures: grey strokes on black, nothing at the border."""
    made = np.zeros((20, 28, 28), np.uint8)
    made[:, 4:24, 4:24] = np.random.default_rng(0).integers(0, 256, (20, 20, 20)) // 128 * 200
    made[:, 4, 4:24] = 90
    return made


@pytest.fixture(scope="module")
def real():
    """The test digits of MNIST, where they have been got."""
    try:
        read_mnist = importlib.import_module("midframe.data.mnist").read_mnist
        return read_mnist("test")[0]
    except (ImportError, MidframeError) as error:
        pytest.skip(f"MNIST is not here: {error}")


def draw(source, count, seed=0):
    return source.sample(torch.Generator().manual_seed(seed), count)


def film_of(batch):
    return torch.cat([batch.frames, batch.targets], 1)


def entropies(frames):
    """Binary entropy of grey values taken as probabilities, nats of each frame."""
    return F.binary_cross_entropy(frames, frames, reduction="none").sum((2, 3, 4))


def slow_clip(digits, x, y, angle, steps, size=64):
    """One digit, step by step as the published procedure is told."""
    dx, dy = np.cos(angle) * 0.1, np.sin(angle) * 0.1
    film = np.zeros((steps, size, size), np.uint8)
    height, width = digits.shape
    for frame in film:
        x, y = x + dx, y + dy
        if x <= 0:
            x, dx = 0.0, -dx
        if x >= 1:
            x, dx = 1.0, -dx
        if y <= 0:
            y, dy = 0.0, -dy
        if y >= 1:
            y, dy = 1.0, -dy
        top, left = int((size - height) * y), int((size - width) * x)
        frame[top : top + height, left : left + width] = digits
    return film


def test_a_clip_is_that_of_the_slow_procedure(blobs):
    source = MovingMNIST(blobs, together=1, inputs=10, targets=30)
    rng = np.random.default_rng(1)
    for digit in range(5):
        x, y, angle = rng.random(), rng.random(), 2 * np.pi * rng.random()
        paths = bounce(np.array([[[x, y]]]), np.array([[angle]]), 40)
        fast = source._paint(np.array([[digit]]), paths)[0]
        assert np.array_equal(fast, slow_clip(blobs[digit], x, y, angle, 40))


@given(
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    angle=st.floats(0, 6.283),
    speed=st.sampled_from([0.02, 0.1, 0.3]),
)
def test_paths_stay_inside_and_keep_their_speed_between_bounces(place, angle, speed):
    paths = bounce(np.array([place]), np.array([angle]), 40, speed=speed)[:, 0]
    assert paths.min() >= 0 and paths.max() <= 1
    inside = ((paths > 0) & (paths < 1)).all(1)
    free = inside[1:] & inside[:-1]
    assert np.allclose(np.linalg.norm(np.diff(paths, axis=0), axis=1)[free], speed)


def test_a_batch_has_past_and_future_on_one_axis(blobs):
    batch = draw(MovingMNIST(blobs, inputs=4, targets=3), 5)
    assert batch.frames.shape == (5, 4, 1, 64, 64) and batch.targets.shape == (5, 3, 1, 64, 64)
    assert batch.times[0].tolist() == [-3, -2, -1, 0] and batch.target_times[0].tolist() == [1, 2, 3]
    assert batch.frames.dtype == torch.float32 and batch.frames.max() == pytest.approx(200 / 255)


def test_the_same_seed_gives_the_same_clips_and_a_sample_is_its_own(blobs):
    source = MovingMNIST(blobs)
    once, again, other = draw(source, 3), draw(source, 3), draw(source, 3, seed=1)
    assert torch.equal(film_of(once), film_of(again)) and not torch.equal(film_of(once), film_of(other))
    assert torch.equal(film_of(draw(source, 2)), film_of(once)[:2])


def test_a_digit_is_never_cut_and_the_lighter_value_counts(blobs):
    one = film_of(draw(MovingMNIST(blobs, together=1), 50))
    sums = one.sum((2, 3, 4))
    assert torch.allclose(sums, sums[:, :1].expand_as(sums))
    two = film_of(draw(MovingMNIST(blobs), 50)).sum((2, 3, 4))
    assert (two.amin(1) < two.amax(1) - 1).any()  # digits met in some clip: less is seen of both


def test_entropy_of_a_frame_is_that_of_its_digits(blobs):
    """What lies on black keeps its entropy wherever it is; digits over each other have less than both."""
    alone = draw(MovingMNIST(blobs, together=1), 40)
    found = entropies(film_of(alone))
    assert torch.allclose(found, found[:, :1].expand_as(found), rtol=1e-5)
    each = entropies(torch.from_numpy(blobs).float().div(255)[:, None, None])
    assert all(torch.isclose(each.flatten(), value, rtol=1e-5).any() for value in found[:, 0])
    assert (entropies(film_of(draw(MovingMNIST(blobs), 40))) <= 2 * each.max() + 1e-3).all()


def test_entropy_of_mnist_is_the_published_bound(real):
    """Published: 86.3 nats for a frame of the ten to be predicted; other draws differ by a fraction of a nat."""
    batch = draw(MovingMNIST(real), 2000, seed=7)
    assert entropies(batch.targets).mean().item() == pytest.approx(86.3, abs=1.0)


def test_repeating_the_last_frame_of_mnist_has_the_known_error(real):
    batch = draw(MovingMNIST(real), 2000, seed=7)
    error = (batch.targets - batch.frames[:, -1:]).square().sum((2, 3, 4)).mean().item()
    assert error == pytest.approx(285, abs=3)


@pytest.mark.parametrize(
    ("digits", "settings", "said"),
    [
        (np.zeros((3, 28, 28), np.float32), {}, "N H W uint8"),
        (np.zeros((0, 28, 28), np.uint8), {}, "one at least"),
        (np.zeros((3, 28, 28), np.uint8), {"targets": 0}, "1 or more"),
        (np.zeros((3, 28, 28), np.uint8), {"size": 20}, "do not fit"),
    ],
)
def test_what_cannot_be_meant_is_refused(digits, settings, said):
    with pytest.raises(UsageError, match=said):
        MovingMNIST(digits, **settings)
