"""Windows and batches of packed footage: the right frames, the right times, the same on both ways to cut."""

import clips
import numpy as np
import pytest
import torch

from midframe.data.augment import NONE, Augment, read_region
from midframe.data.footage import Footage
from midframe.data.pack import find_clips, pack
from midframe.data.windows import ahead, between, neighbours, throughout
from midframe.errors import InputError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two clips of different sizes; each pixel of frame i of clip c is known to be of that frame."""
    folder = tmp_path_factory.mktemp("footage")
    for number, (frames, size) in enumerate([(12, (40, 56)), (9, (48, 36))]):
        clips.write_images(folder / f"clip{number}", clips.moving(frames, size, scene=clips.Scene(number)))
    return pack(find_clips([folder / "clip0", folder / "clip1"]), folder / "store").store


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_without_augmentation_a_batch_is_the_footage(store):
    whole = Augment((40, 56), flips=False, transpose=False, reverse=False, channels=False)
    source = Footage(store, [between(4, choose=None)], whole)
    assert source.left_out == 1
    batch = source.sample(generator(), 5)
    film = torch.from_numpy(np.array(store.frames(0))).permute(0, 3, 1, 2).float() / 255
    assert batch.frames.shape == (5, 2, 3, 40, 56) and batch.targets.shape == (5, 3, 3, 40, 56)
    for k in range(5):
        (start,) = [i for i in range(12) if torch.allclose(film[i], batch.frames[k, 0])]
        assert torch.allclose(batch.frames[k, 1], film[start + 4])
        assert torch.allclose(batch.targets[k], film[start + 1 : start + 4])
    assert batch.times.tolist() == [[0, 1]] * 5
    assert batch.target_times.tolist() == [[0.25, 0.5, 0.75]] * 5
    assert set(batch.labels) == {"motion", "clip"} and (batch.labels["motion"] > 0).all()


def test_backwards_a_window_has_its_times_mirrored(store):
    """Of frames at 0, 1 and 2 and all between, read in either order, the targets at whole times are the inputs."""
    source = Footage(store, [throughout(3, factor=2)], Augment((24, 24), brightness=0.2))
    batch = source.sample(generator(), 16)
    assert batch.times.tolist() == [[0, 1, 2]] * 16 and batch.target_times.tolist() == [[0, 0.5, 1, 1.5, 2]] * 16
    assert torch.equal(batch.targets[:, ::2], batch.frames)
    some = Footage(store, [throughout(2, factor=4, choose=2)], Augment((24, 24))).sample(generator(), 64)
    assert set(some.target_times.flatten().tolist()) == {0, 0.25, 0.5, 0.75, 1}
    for k in range(64):
        for time, target in zip(some.target_times[k].tolist(), some.targets[k], strict=True):
            if time in (0, 1):
                assert torch.equal(target, some.frames[k, int(time)])


@pytest.mark.parametrize("scales", [(1.0,), (0.8, 1.0, 1.5)])
def test_both_ways_to_cut_give_the_same(store, scales):
    augment = Augment((24, 32), brightness=0.3, scales=scales)
    shapes = [neighbours(2), neighbours(2, stride=2)]
    ways = [Footage(store, shapes, augment, resident=resident) for resident in (False, True)]
    first, second = (way.sample(generator(3), 24) for way in ways)
    assert torch.allclose(first.frames, second.frames, atol=1e-6)
    assert torch.allclose(first.targets, second.targets, atol=1e-6)
    assert torch.equal(first.times, second.times) and torch.equal(first.labels["clip"], second.labels["clip"])
    assert first.frames.min() >= 0 and first.frames.max() <= 1


def test_the_same_seed_gives_the_same_batch_and_another_another(store):
    source = Footage(store, augment=Augment((24, 24)))
    again = source.sample(generator(1), 4)
    assert torch.equal(source.sample(generator(1), 4).frames, again.frames)
    assert not torch.equal(source.sample(generator(2), 4).frames, again.frames)
    one = generator(1)
    assert not torch.equal(source.sample(one, 4).frames, source.sample(one, 4).frames)
    # a sample is its own seed's: it does not change with the samples after it
    assert torch.equal(source.sample(generator(1), 2).frames, again.frames[:2])


def test_time_reversal_turns_times_and_frames_about(store):
    shape = between(5, choose=1)
    source = Footage(store, [shape], Augment((30, 30), flips=False, transpose=False, channels=False))
    batch = source.sample(generator(), 64)
    backwards = forwards = 0
    for k in range(64):
        frames = np.stack([read_region(f, whole_draw()) for f in store.frames(int(batch.labels["clip"][k]))])
        places = [find_frame(frames, picture) for picture in (*batch.frames[k], *batch.targets[k])]
        step = (places[1] - places[0]) / 5
        assert abs(step) == 1
        assert batch.target_times[k, 0] == pytest.approx((places[2] - places[0]) / (places[1] - places[0]))
        forwards, backwards = forwards + (step == 1), backwards + (step == -1)
    assert min(forwards, backwards) > 10


def whole_draw():
    return NONE.draw(np.random.default_rng(0), 256, 256)


def find_frame(frames, crop):
    """Index of the frame that holds the crop somewhere."""
    wanted = (crop * 255).round().byte().permute(1, 2, 0).numpy()
    height, width = wanted.shape[:2]
    for index, frame in enumerate(frames):
        views = np.lib.stride_tricks.sliding_window_view(frame, (height, width), (0, 1))  # y x c h w
        if (views == wanted.transpose(2, 0, 1)).all((2, 3, 4)).any():
            return index
    raise AssertionError("the crop is of no frame")


def test_a_crop_larger_than_every_clip_is_refused(store):
    with pytest.raises(InputError, match="no clip is as large as the crop of 64x64"):
        Footage(store, augment=Augment((64, 64)))


def test_a_batch_can_be_learnt_from(store):
    batch = Footage(store, augment=Augment((24, 24))).sample(generator(), 3)
    assert batch.frames.dtype == batch.targets.dtype == batch.times.dtype == torch.float32
    assert batch.frames.shape == (3, 2, 3, 24, 24) and batch.targets.shape == (3, 1, 3, 24, 24)


def test_the_future_follows_the_past_forwards_and_backwards(store):
    source = Footage(store, [ahead(3, 2)], Augment((40, 56), flips=False, transpose=False, channels=False))
    film = torch.from_numpy(np.array(store.frames(0))).permute(0, 3, 1, 2).float() / 255
    steps = set()
    for seed in range(12):
        batch = source.sample(generator(seed), 1)
        shown = torch.cat([batch.frames, batch.targets], 1)[0]
        order = [next(i for i in range(12) if torch.allclose(film[i], frame)) for frame in shown]
        steps |= set(np.diff(order).tolist())
        assert len(set(np.diff(order).tolist())) == 1
        assert batch.times.tolist() == [[-2, -1, 0]] and batch.target_times.tolist() == [[1, 2]]
    assert steps == {1, -1}
