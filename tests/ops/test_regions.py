"""Areas of a frame: found by colour and motion, stacked from masks, described so that one thing is known again."""

import math

import numpy as np
import pytest
import torch

from midframe.errors import ContractError
from midframe.ops.regions import LIMIT, SMALLEST, _find, _grow, _unite, describe_regions, find_regions, stack_masks


def textures(height, width, seed=0):
    """A sharp random texture, values in 0.3…0.7, and one more."""
    generator = torch.Generator().manual_seed(seed)
    return 0.4 + 0.2 * torch.rand(2, 3, height // 4, width // 4, generator=generator).repeat_interleave(
        4, -1
    ).repeat_interleave(4, -2)


def share(labels, truth):
    """How much of the picture is right if each area found belongs to the true one that it covers most of."""
    table = np.zeros((labels.max() + 1, truth.max() + 1))
    np.add.at(table, (labels.ravel(), truth.ravel()), 1)
    return table.max(1).sum() / table.sum()


def test_things_of_different_colour_are_different_areas():
    frame = torch.full((3, 96, 128), 0.2)
    truth = np.zeros((48, 64), int)
    for number, (colour, y, x) in enumerate([((0.9, 0.1, 0.1), 10, 12), ((0.1, 0.8, 0.2), 50, 70)], 1):
        frame[:, y : y + 30, x : x + 30] = torch.tensor(colour).view(3, 1, 1)
        truth[y // 2 : y // 2 + 15, x // 2 : x // 2 + 15] = number
    labels = find_regions(torch.stack([frame, frame])[None])
    assert labels.shape == (1, 2, 48, 64) and labels.dtype == torch.uint8
    assert torch.equal(labels[0, 0], labels[0, 1])
    assert labels.min() == 1 and labels.max() == 3
    assert share(labels[0, 0].numpy(), truth) > 0.97


def test_what_looks_alike_and_moves_apart_is_two_areas():
    tiles = np.indices((8, 8)).sum(0) % 2
    picture = np.zeros((64, 64, 3), np.float32)
    picture[..., 0] = 50 + 10 * tiles.repeat(8, 0).repeat(8, 1)
    flow = np.zeros((64, 64, 2), np.float32)
    assert _find(picture, flow).max() == 1
    flow[:, 32:, 0] = 5
    labels = _find(picture, flow)
    assert labels.max() == 2
    assert (labels[:, :30] == labels[0, 0]).all() and (labels[:, 34:] == labels[0, 63]).all()


def test_a_plain_picture_is_one_area_and_noise_is_not_more_than_the_limit():
    plain = torch.full((1, 2, 3, 64, 64), 0.3)
    assert torch.equal(find_regions(plain), torch.ones(1, 2, 32, 32, dtype=torch.uint8))
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(1, 2, 3, 128, 128, generator=generator)
    labels = find_regions(noise)
    assert 1 < labels.max() <= LIMIT


def test_areas_are_connected_not_tiny_and_numbered_by_size():
    import cv2

    labels = find_regions(textures(128, 160)[None])[0, 0].numpy()
    sizes = np.bincount(labels.ravel())
    assert sizes[0] == 0 and (np.diff(sizes[1:]) <= 0).all()
    assert sizes[1:].min() >= SMALLEST * labels.size
    for label in range(1, len(sizes)):
        parts, _ = cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=4)
        assert parts == 2  # the outside, and the area


@pytest.mark.parametrize(("size", "found"), [((16, 16), (8, 8)), ((1, 3), (1, 2)), ((30, 1300), (8, 325))])
def test_pictures_of_any_size_have_areas(size, found):
    assert find_regions(torch.rand(1, 2, 3, *size)).shape[2:] == found


def test_pairs_are_found_alone_as_in_a_batch_with_any_threads_and_frames_stay_as_they_are():
    frames = torch.stack([textures(64, 64), textures(64, 64, 1)])
    before, threads = frames.clone(), torch.get_num_threads()
    alone = torch.cat([find_regions(frames[:1]), find_regions(frames[1:])])
    try:
        torch.set_num_threads(3)
        assert torch.equal(find_regions(frames), alone)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(frames, before)


def test_values_that_are_no_numbers_do_no_harm():
    frames = textures(32, 32)[None].clone()
    frames[0, 0, 0, :8, :8] = torch.nan
    frames[0, 1, 1, 8:16] = torch.inf
    assert find_regions(frames).min() >= 1
    assert describe_regions(frames, find_regions(frames)).isfinite().all()


def test_superpixels_follow_edges():
    picture = np.zeros((20, 30, 3), np.float32)
    picture[:, 15:] = 40
    pieces = np.empty((20, 30), np.int32)
    assert _grow(picture, 10.0, 1, pieces) == 2
    assert (pieces[:, :15] == pieces[0, 0]).all() and (pieces[:, 15:] == pieces[0, 15]).all()
    picture[5, 5] = 40
    assert _grow(picture, 10.0, 1, pieces) == 3
    assert _grow(picture, 10.0, 2, pieces) == 2  # one pixel is too small


def test_the_cheapest_neighbours_are_united_first():
    def unite(limit, different):
        pairs, mean = np.array([[0, 1], [1, 2], [2, 3]]), np.array([[0.0], [0.1], [3.0], [3.3]])
        return _unite(pairs, mean, np.full(4, 10.0), limit, different).tolist()

    assert unite(64, 1.0) == [0, 0, 2, 2]
    assert unite(3, 0.0) == [0, 0, 2, 3]  # as few as allowed, however different
    assert unite(64, 0.0) == [0, 1, 2, 3]


def test_small_masks_lie_on_large_ones_and_tiny_ones_are_left_out():
    masks = torch.zeros(4, 40, 40, dtype=torch.bool)
    masks[0, 10:20, 10:20] = True
    masks[1, :30, :30] = True
    masks[2, 39, 39] = True  # 1 of 1600: below 0.1 %
    masks[3, 12:14, 12:14] = True
    labels = stack_masks(masks)
    assert labels.dtype == torch.uint8
    assert [labels[y, x].item() for y, x in ((0, 0), (10, 10), (12, 12), (39, 39), (35, 5))] == [1, 2, 3, 0, 0]
    many = torch.zeros(LIMIT + 9, 40, 40, dtype=torch.bool)
    for k in range(len(many)):
        many[k, k // 9 * 4 : k // 9 * 4 + 3, k % 9 * 4 : k % 9 * 4 + 3] = True
    assert stack_masks(many).unique().tolist() == list(range(LIMIT + 1))
    assert stack_masks(masks[:0]).eq(0).all()


def test_descriptors_are_those_of_their_definition():
    frames = torch.zeros(1, 2, 3, 20, 40)
    frames[..., :10, :] = 1  # white above, black below
    labels = torch.ones(1, 2, 20, 40, dtype=torch.int64)
    labels[..., :10, :20] = 5
    labels[0, 1, 0, 0] = 0
    rows = describe_regions(frames, labels)
    assert rows.shape == (1, 2, 6, 9)
    assert torch.allclose(rows[0, 0, 5], torch.tensor([1, 0, 0, 0, 0, 0, -0.5, -0.5, math.log10(0.25) + 1]), atol=1e-3)
    share_white, third = 1 / 3, (2 / 9) ** 0.5 * 100 / 25
    assert torch.allclose(rows[0, 0, 1, [0, 3]], torch.tensor([2 * share_white - 1, third]), atol=1e-3)
    assert rows[:, :, [0, 2, 3, 4]].abs().max() == 0


def test_descriptors_of_a_reduced_map_are_those_of_the_reduced_frame():
    frames = textures(64, 96)[None]
    labels = torch.randint(0, 4, (1, 2, 32, 48), generator=torch.Generator().manual_seed(2))
    small = torch.nn.functional.avg_pool2d(frames.flatten(0, 1), 2).unflatten(0, (1, 2))
    assert torch.allclose(describe_regions(frames, labels), describe_regions(small, labels), atol=1e-4)


def test_descriptors_refuse_what_is_no_label_map():
    frames = torch.rand(1, 2, 3, 32, 32)
    with pytest.raises(ContractError, match="whole numbers"):
        describe_regions(frames, torch.rand(1, 2, 32, 32))
    with pytest.raises(ContractError, match="0 \\(none\\) to 255"):
        describe_regions(frames, torch.full((1, 2, 32, 32), 256))
