"""Windows: which frames, at which times, never across a cut or a gap, drawn by how much moves."""

from fractions import Fraction

import numpy as np
import pytest

from midframe.data.store import PackedClip, Store
from midframe.data.windows import Shape, ahead, between, find_windows, neighbours, spaced, throughout
from midframe.errors import InputError, UsageError


def packed(frames=20, **changes):
    fields = {
        "name": "clip", "source_sha256": "", "sha256": "", "offset": 0, "frames": frames, "height": 4, "width": 4,
        "rate": "25", "repeats": 0, "times": tuple(i / 25 for i in range(frames)), "shots": (0,),
        "flow_mean": (1.0,) * (frames - 1), "flow_p95": (2.0,) * (frames - 1),
    }  # fmt: skip
    return PackedClip(**{**fields, **changes})


def windows_of(*entries, shapes=None, **options):
    shapes = shapes or [neighbours()]
    return find_windows(Store("store", entries, {}, np.zeros(0, np.uint8)), shapes, **options)


@pytest.mark.parametrize(
    "shape, inputs, targets, times",
    [
        (neighbours(1), (0, 2), (1,), (0, 1, 0.5)),
        (neighbours(2), (0, 1, 3, 4), (2,), (-0.5, 0, 1, 1.5, 0.5)),
        (neighbours(3), (0, 1, 2, 4, 5, 6), (3,), (-1, -0.5, 0, 1, 1.5, 2, 0.5)),
        (neighbours(1, stride=3), (0, 6), (3,), (0, 1, 0.5)),
        (spaced(4), (0, 2, 4, 6), (3,), (-1, 0, 1, 2, 0.5)),
        (spaced(2, factor=4, times=(Fraction(1, 2),)), (0, 4), (2,), (0, 1, 0.5)),
        (between(4, choose=None), (0, 4), (1, 2, 3), (0, 1, 0.25, 0.5, 0.75)),
        (ahead(3, 2), (0, 1, 2), (3, 4), (-2, -1, 0, 1, 2)),
        (ahead(2, 3, stride=2), (0, 2), (4, 6, 8), (-1, 0, 1, 2, 3)),
        (throughout(2, factor=2), (0, 2), (0, 1, 2), (0, 1, 0, 0.5, 1)),
        (throughout(3, factor=1), (0, 1, 2), (0, 1, 2), (0, 1, 2, 0, 1, 2)),
        (
            throughout(2, factor=4, times=(Fraction(0), Fraction(1, 2), Fraction(1))),
            (0, 4),
            (0, 2, 4),
            (0, 1, 0, 0.5, 1),
        ),
    ],
)
def test_shapes(shape, inputs, targets, times):
    assert (shape.inputs, shape.targets) == (inputs, targets)
    assert tuple(map(shape.time, (*inputs, *targets))) == times


@pytest.mark.parametrize(
    "make",
    [
        lambda: neighbours(0),
        lambda: spaced(3),
        lambda: spaced(2, factor=1),
        lambda: spaced(2, factor=3, times=(Fraction(1, 2),)),
        lambda: Shape((0, 2), (3,)),
        lambda: ahead(1, 2),
        lambda: ahead(2, 0),
        lambda: ahead(2, 2, stride=0),
        lambda: Shape((0, 2, 4), (1, 3)),
        lambda: Shape((0, 2), (1,), choose=2),
        lambda: Shape((1, 3), (2,)),
        lambda: throughout(1),
        lambda: throughout(2, factor=0),
        lambda: throughout(2, factor=2, choose=4),
        lambda: Shape((0, 2), (1, 3), anywhere=True),
        lambda: Shape((0, 2), (0, 1, 1), anywhere=True),
    ],
)
def test_shapes_that_cannot_be_meant(make):
    with pytest.raises(UsageError):
        make()


def test_no_window_crosses_a_cut():
    found = windows_of(packed(10, shots=(0, 6)))
    assert found.start.tolist() == [0, 1, 2, 3, 6, 7]


def test_no_window_spans_a_repeat_that_was_left_out():
    times = tuple(i / 25 for i in (0, 1, 2, 3, 5, 6, 7, 8))
    assert windows_of(packed(8, times=times)).start.tolist() == [0, 1, 4, 5]


def test_a_film_drawn_on_twos_is_as_good_as_any():
    times = tuple(2 * i / 25 for i in range(8))
    assert windows_of(packed(8, times=times)).start.tolist() == list(range(6))


def test_what_moves_is_drawn_more_often():
    calm, wild = packed(20), packed(20, flow_p95=(8.0,) * 19)
    found = windows_of(calm, wild)
    drawn = [found.clip[found.draw(np.random.default_rng(i))] for i in range(2000)]
    assert np.mean(drawn) == pytest.approx(0.8, abs=0.03)
    assert windows_of(calm, wild, motion=(5, 100)).clip.tolist() == [1] * 18
    even = windows_of(calm, wild, power=0)
    assert np.allclose(np.diff(even.cumulative), even.cumulative[0])


def test_motion_is_that_of_the_gap():
    flow = (1.0, 1.0, 3.0, 5.0, 1.0, 1.0)
    (moved,) = windows_of(packed(7, flow_p95=flow), shapes=[spaced(4)]).motion
    assert moved == pytest.approx(8.0)


def test_shapes_share_as_they_say():
    found = windows_of(packed(30), shapes=[between(2, share=1), between(8, share=3)])
    drawn = [found.shape[found.draw(np.random.default_rng(i))] for i in range(2000)]
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.03)


def test_no_window_at_all_is_one_clear_line():
    with pytest.raises(InputError, match=r"no window of 7 evenly spaced frames.*longest clip has 5"):
        windows_of(packed(5), shapes=[neighbours(3)])
    with pytest.raises(UsageError, match="as many frames"):
        windows_of(packed(9), shapes=[neighbours(1), neighbours(2)])


@pytest.mark.parametrize("seed", range(20))
def test_every_window_is_a_row_of_even_steps_in_one_shot_and_none_is_missing(seed):
    """Against a slow twin, on films with cuts and with repeats that were left out."""
    random = np.random.default_rng(seed)
    frames = int(random.integers(8, 40))
    steps = random.choice([1, 1, 1, 1, 2], frames - 1) / 25
    times = (0.0, *np.cumsum(steps).tolist())
    shots = (0, *sorted(random.choice(np.arange(1, frames), 2, replace=False).tolist()))
    shape = [neighbours(1), neighbours(2), spaced(4), between(5)][seed % 4]
    entry = packed(frames, times=times, shots=shots)
    wanted = []
    for start in range(frames - shape.length + 1):
        stop = start + shape.length
        even = max(steps[start : stop - 1]) < 1.5 * min(steps[start : stop - 1])
        if even and not any(start < first < stop for first in shots):
            wanted.append(start)
    if wanted:
        assert windows_of(entry, shapes=[shape]).start.tolist() == wanted
    else:
        with pytest.raises(InputError):
            windows_of(entry, shapes=[shape])
