"""Augmentation: chance uses every switch, both ways to read a region agree, values stay what they are."""

import numpy as np
import pytest
import torch

from midframe.data.augment import NONE, Augment, Draw, as_floats, read_region, region_index, resize
from midframe.errors import UsageError

PLAIN = {"top": 0, "left": 0, "height": 4, "width": 6, "transposed": False, "flip_x": False, "flip_y": False,
         "reversed": False, "channels": (0, 1, 2), "gain": 1.0}  # fmt: skip


def drawn(**changes):
    return Draw(**{**PLAIN, **changes})


@pytest.mark.parametrize(
    "change, wanted",
    [
        ({}, lambda frame: frame[:4, :6]),
        ({"top": 2, "left": 1}, lambda frame: frame[2:6, 1:7]),
        ({"flip_x": True}, lambda frame: frame[:4, 5::-1]),
        ({"flip_y": True}, lambda frame: frame[3::-1, :6]),
        ({"transposed": True}, lambda frame: frame[:4, :6].transpose(1, 0, 2)),
        ({"transposed": True, "flip_x": True}, lambda frame: frame[:4, :6].transpose(1, 0, 2)[:, ::-1]),
    ],
)
def test_a_region_is_cut_then_transposed_then_flipped(change, wanted):
    frame = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    assert np.array_equal(read_region(frame, drawn(**change)), wanted(frame))


def test_floats_are_in_the_drawn_order_and_brightened():
    pixels = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    out = torch.empty(1, 3, 1, 1)
    as_floats(pixels, drawn(channels=(2, 0, 1)), out)
    assert out.flatten().tolist() == pytest.approx([1, 0, 0.2])
    as_floats(pixels, drawn(gain=1.2), out)
    assert out.flatten().tolist() == pytest.approx([0, 0.24, 1])
    as_floats(pixels, drawn(gain=0.5), out)
    assert out.flatten().tolist() == pytest.approx([0, 0.1, 0.5])


def test_scales_read_larger_and_smaller_regions_that_are_resized():
    draws = [Augment((8, 10), scales=(0.5, 1.0, 2.0)).draw(np.random.default_rng(i), 40, 40) for i in range(300)]
    counts = {size: sum(draw.size == size for draw in draws) for size in ((16, 20), (8, 10), (4, 5))}
    assert sum(counts.values()) == 300 and min(counts.values()) > 70
    ramp = torch.arange(20.0).expand(1, 1, 3, 16, 20)
    assert resize(ramp, (8, 10))[0, 0, 0, 0, 1:-1].diff().allclose(torch.tensor(2.0), atol=1e-4)
    assert resize(ramp, (16, 20)) is ramp


def test_flow_of_a_flipped_turned_and_reversed_window_is_the_flow_so_changed():
    """The pixels of both frames are moved by one map: a point's displacement is mapped with it."""
    random = np.random.default_rng(0)
    first = random.integers(0, 256, (24, 24, 3), np.uint8)
    second = np.roll(first, (2, 3), (0, 1))  # moves by dx = 3, dy = 2
    for change, dx, dy in [
        ({"flip_x": True}, -3, 2),
        ({"flip_y": True}, 3, -2),
        ({"transposed": True}, 2, 3),
        ({"transposed": True, "flip_x": True, "flip_y": True}, -2, -3),
    ]:
        draw = drawn(height=24, width=24, **change)
        here, there = read_region(first, draw), read_region(second, draw)
        assert np.array_equal(np.roll(here, (dy, dx), (0, 1)), there)


def test_the_index_reads_what_the_slices_read():
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    pixels = frame.reshape(-1, 3)
    for seed in range(40):
        draw = Augment((7, 9)).draw(np.random.default_rng(seed), 20, 30)
        origin, down, right = region_index(draw, 30)
        rows, columns = np.mgrid[:7, :9]
        assert np.array_equal(read_region(frame, draw), pixels[origin + rows * down + columns * right])


def test_chance_uses_every_switch_and_no_other():
    draws = [Augment((8, 8), brightness=0.2).draw(np.random.default_rng(i), 20, 30) for i in range(200)]
    for name in ("transposed", "flip_x", "flip_y", "reversed"):
        assert 60 < sum(getattr(draw, name) for draw in draws) < 140
    assert len({draw.channels for draw in draws}) == 6
    assert 0.8 <= min(draw.gain for draw in draws) < 0.85 and 1.15 < max(draw.gain for draw in draws) <= 1.2
    assert {draw.top for draw in draws} == set(range(13)) and {draw.left for draw in draws} == set(range(23))
    plain = [NONE.draw(np.random.default_rng(i), 300, 300) for i in range(20)]
    assert not any(d.transposed or d.flip_x or d.flip_y or d.reversed for d in plain)
    assert {(d.channels, d.gain) for d in plain} == {((0, 1, 2), 1.0)}


def test_what_does_not_fit_is_left_out():
    tall = Augment((40, 10), scales=(0.5,))
    draws = [tall.draw(np.random.default_rng(i), 40, 12) for i in range(50)]
    assert {draw.size for draw in draws} == {(40, 10)} and not any(draw.transposed for draw in draws)


@pytest.mark.parametrize("options", [{"size": (0, 4)}, {"scales": ()}, {"scales": (-1,)}, {"brightness": 1.0}])
def test_augmentation_that_cannot_be_meant(options):
    with pytest.raises(UsageError):
        Augment(**options)


def test_whole_frames_are_taken_as_they_are():
    augment = Augment((32, 32), whole=True, reverse=False)
    assert augment.fits(10, 20) and not Augment((32, 32)).fits(10, 20)
    draws = [augment.draw(np.random.default_rng(k), 10, 20) for k in range(20)]
    assert all((one.top, one.left, one.height, one.width) == (0, 0, 10, 20) for one in draws)
    assert {one.size for one in draws} == {(10, 20), (20, 10)}
