"""From a propagator to masks and points at the frames' own size."""

import numpy as np
import pytest
import torch

from midframe.bench.masks import Carried, Identity
from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import SYSTEMS, System
from midframe.models.follow import MaskFollower, PointFollower, reduce
from midframe.models.load import build, load_propagator
from midframe.nn.labels import draw_points, harden, read_points


def test_masks_keep_their_numbers_at_any_size():
    mask = np.zeros((50, 70), np.uint8)
    mask[10:30, 10:40], mask[30:45, 40:60] = 9, 200
    follow = MaskFollower(Identity(), mask, short_side=25)
    frame = torch.rand(3, 50, 70)
    assert np.array_equal(follow(frame), mask)
    found = follow(frame)
    assert set(np.unique(found)) == {0, 9, 200} and np.mean(found == mask) > 0.95


def test_flow_carries_a_mask_along():
    generator = torch.Generator().manual_seed(0)
    wide = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 16, generator=generator), (96, 136), mode="bicubic")[0]
    mask = np.zeros((96, 128), np.uint8)
    mask[30:60, 40:80] = 1
    follow = MaskFollower(Carried(), mask)
    follow(wide[..., :128].contiguous())
    found = follow(wide[..., 4:132].contiguous())  # all moves four pixels to the left
    moved = np.roll(mask, -4, 1)
    assert np.logical_and(found, moved).sum() / np.logical_or(found, moved).sum() > 0.93


def test_points_that_stand_still_stay():
    class Still(Identity):
        stride = 4

    points = np.array([[10.0, 12.0], [40.2, 30.7]])
    follow = PointFollower(Still(), points)
    follow(torch.rand(3, 48, 64))
    places, sure = follow(torch.rand(3, 48, 64))
    assert np.abs(places - points).max() < 2 and sure == pytest.approx([1, 1])


def test_heat_maps_have_a_sum_of_one_and_are_read_back():
    points = torch.tensor([[3.0, 2.0], [6.0, 5.0]])
    maps = draw_points(points, (8, 10))
    assert maps.shape == (1, 3, 8, 10) and torch.allclose(maps.sum(1), torch.ones(1, 8, 10))
    # σ = 0.5: a neighbour has e^−2 of the peak; two of four equal neighbours are among the three
    places, peak = read_points(maps)
    assert (places - points).abs().max() < 0.25 and peak.min() > 0.9
    assert read_points(torch.zeros(1, 2, 4, 4))[0].tolist() == [[-1, -1]]


def test_hard_labels_give_all_to_the_largest():
    labels = torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1)
    assert harden(labels).flatten().tolist() == [0, 1, 0]


def test_reducing_goes_by_the_shorter_side():
    assert reduce(torch.rand(1, 3, 100, 50), 25).shape == (1, 3, 50, 25)
    frame = torch.rand(1, 3, 20, 50)
    assert reduce(frame, 25) is frame


@pytest.mark.parametrize("row", [row for row in SYSTEMS if row.task == "propagate"], ids=lambda row: row.name)
def test_a_propagator_keeps_its_protocol(row: System):
    """Weights with a sum of 1 at the size they were given in; a batch is its members; nothing stays on the object."""
    torch.manual_seed(0)
    model = build(f"{row.name}/tiny")
    contract, stride = model.contract, model.stride
    side = -(-48 // contract.multiple) * contract.multiple
    film, other = torch.rand(4, 1, 3, side, side), torch.rand(4, 1, 3, side, side)
    labels = torch.rand(1, 3, side, side).softmax(1)

    def follow(frames, given):
        memory, made = model.start(frames[0], given), []
        for frame in frames[1:]:
            found, memory = model.step(memory, frame)
            made.append(found)
        return torch.stack(made)

    with torch.no_grad():
        alone, beside = follow(film, labels), follow(other, labels.flip(1))
        assert alone.shape == (3, 1, 3, side, side)
        assert torch.allclose(alone.sum(2), torch.ones(3, 1, side, side), atol=1e-5)
        start = model.start(film[0], labels)
        first, _ = model.step(start, film[1])
        model.step(model.start(other[0], labels), other[1])
        assert torch.equal(model.step(start, film[1])[0], first), "another clip came between"
        both = follow(torch.cat([film, other], 1), torch.cat([labels, labels.flip(1)]))
        assert torch.allclose(both, torch.cat([alone, beside], 1), atol=1e-4), "a batch of two differs from its members"
        grid = labels[..., : side // stride, : side // stride]
        assert follow(film, grid).shape == (3, 1, 3, side // stride, side // stride)
        with pytest.raises(ContractError):
            model.start(film[0][..., 1:, :], labels[..., 1:, :])


def test_what_does_not_fit_is_refused():
    frame = torch.rand(3, 40, 40)
    with pytest.raises(UsageError, match="marks nothing"):
        MaskFollower(Identity(), np.zeros((40, 40), np.uint8))
    with pytest.raises(UsageError, match="the mask is 30x40, the frames are 40x40"):
        MaskFollower(Identity(), np.ones((40, 30), np.uint8))(frame)
    with pytest.raises(UsageError, match="no points"):
        PointFollower(Identity(), np.zeros((0, 2)))(frame)
    with pytest.raises(UsageError, match=r"the point \(3, 40\) lies outside"):
        PointFollower(Identity(), np.array([[3.0, 40.0]]))(frame)
    with pytest.raises(UsageError, match="raft carries no labels along a film"):
        load_propagator("raft")
