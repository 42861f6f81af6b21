"""The made scenes for single strengths: their formulas, and that models of two and of four frames are measured."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from midframe.bench import strengths
from midframe.bench.cases import open_suite
from midframe.bench.quality import Record, measure_suite
from midframe.bench.strengths import BEND, SIZE, STRENGTHS, TIMES, make_windows
from midframe.errors import InputError
from midframe.types import Contract


class Clock:
    """A scene whose picture is white times `shade(time)`; remembers at which times it was rendered."""

    def __init__(self, shade=lambda time: 1.0):
        self.shade, self.times = shade, []

    def render(self, time):
        self.times.append(time)
        return SimpleNamespace(rgb=torch.full((1, 3, *SIZE), float(self.shade(time))))


@pytest.fixture
def small(monkeypatch):
    """Two cases of each suite in small pictures, for what does not depend on either."""
    monkeypatch.setattr(strengths, "SIZE", (48, 64))
    monkeypatch.setattr(strengths, "TEXTURES", 2)
    few = {
        name: strengths.Strength(one.title, one.style, dict(list(one.cases.items())[:2]))
        for name, one in STRENGTHS.items()
        if name in ("acceleration", "depth")
    }
    monkeypatch.setattr(strengths, "STRENGTHS", few)


def test_each_strength_has_a_few_named_cases_and_gives_the_same_pictures_again():
    assert all(4 <= len(one.cases) <= 6 for one in STRENGTHS.values())
    windows, again = make_windows("light"), make_windows("light")
    assert [window.clip for window in windows] == list(STRENGTHS["light"].cases)
    for window, other in zip(windows, again, strict=True):
        pictures = [window.frame0, *window.targets, window.frame1, *window.outer]
        assert {picture.shape for picture in pictures} == {(*SIZE, 3)} and len(pictures) == len(TIMES)
        assert len({picture.tobytes() for picture in pictures}) == len(pictures)
        assert np.array_equal(window.targets[0], other.targets[0])


@pytest.mark.parametrize("render", STRENGTHS["light"].cases.values(), ids=STRENGTHS["light"].cases)
def test_light_stays_within_what_a_picture_can_show(render):
    shown = torch.stack([render(Clock(), time) for time in TIMES])
    assert shown.min() > 0.05 and shown.max() <= 1


def test_light_that_rises_is_the_same_everywhere_and_linear_in_time():
    light = [STRENGTHS["light"].cases["brighter"](Clock(), time) for time in TIMES]
    assert all(torch.equal(picture, picture[:1, :1, :1].expand_as(picture)) for picture in light)
    assert [picture[0, 0, 0].item() for picture in light] == pytest.approx([0.4, 0.6, 0.7, 0.8, 1.0])


def test_a_lamp_moves_evenly():
    def brightest(time):
        picture = STRENGTHS["light"].cases["lamp to the right"](Clock(), time)[0]
        return divmod(int(picture.argmax()), SIZE[1])

    (y0, x0), (y, x), (y1, x1) = (brightest(time) for time in (0, 0.5, 1))
    assert (
        y0 == y == y1 and x1 - x0 == pytest.approx(0.12 * SIZE[0], abs=1.5) and x == pytest.approx((x0 + x1) / 2, abs=1)
    )


@pytest.mark.parametrize(("case", "bend"), [("faster 0", BEND), ("slower 0", -BEND)])
def test_speed_changes_evenly_and_four_frames_tell_by_how_much(case, bend):
    scene = Clock()
    for time in TIMES:
        STRENGTHS["acceleration"].cases[case](scene, time)
    before, first, middle, last, after = scene.times
    assert (first, last) == (0, 1) and middle == pytest.approx(0.5 - bend / 4)
    assert np.diff([before, first, last, after], 2) == pytest.approx([2 * bend] * 2)
    # the cubic through four points, which a quadratic path obeys
    assert middle == pytest.approx((9 * (first + last) - before - after) / 16)


@pytest.mark.parametrize(("case", "share"), [("shutter 180 degrees", 0.5), ("shutter 360 degrees", 1.0)])
def test_motion_blur_is_the_mean_of_what_is_seen_while_the_shutter_is_open(case, share):
    scene = Clock(shade=lambda time: 0.5 + 0.3 * (time > 1))  # a lamp that is switched on at 1
    picture = STRENGTHS["blur"].cases[case](scene, 1.0)
    assert picture.mean().item() == pytest.approx(0.65) and len(scene.times) == strengths.OPEN
    step = share / strengths.OPEN
    assert np.diff(scene.times) == pytest.approx([step] * (strengths.OPEN - 1))
    assert np.mean(scene.times) == pytest.approx(1) and max(scene.times) - 1 == pytest.approx((share - step) / 2)


def test_focus_is_pulled_towards_sharpness():
    point = torch.zeros(1, 3, *SIZE)
    point[..., 100, 100] = 1
    scene = SimpleNamespace(render=lambda time: SimpleNamespace(rgb=point))
    heights = [STRENGTHS["blur"].cases["focus pulled"](scene, time).max().item() for time in TIMES]
    # a Gaussian's height is 1 / (2π σ²); σ = 4, 3, 2.5, 2, 1
    assert heights == pytest.approx([1 / (2 * np.pi * s**2) for s in (4, 3, 2.5, 2, 1)], rel=0.03)


def test_photographs_are_taken_if_they_are_there(tmp_path, small):
    plain = open_suite("depth", tmp_path)
    assert plain.count == 2 and "made-up" in plain.title and plain.digest == open_suite("depth").digest
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(InputError, match="holds no photographs"):
        open_suite("depth", tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    assert cv2.imwrite(str(folder / "a.png"), noise)
    cases = open_suite("depth", tmp_path)
    assert "photographs" in cases.title and cases.digest != plain.digest


class Four:
    """Knows how things accelerate: the cubic through four frames, which here are grey."""

    contract = Contract(inputs=(-1, 0, 1, 2))

    def prepare(self, frames, generator=None):
        assert frames.shape[1] == 4
        return frames

    def render(self, state, t, size=None):
        return (9 * (state[:, 1] + state[:, 2]) - state[:, 0] - state[:, 3]) / 16


class Two:
    contract = Contract()

    def prepare(self, frames, generator=None):
        assert frames.shape[1] == 2
        return frames

    def render(self, state, t, size=None):
        return state.mean(1)


def test_models_of_two_and_of_four_frames_are_measured(small, monkeypatch):
    scene = Clock(shade=lambda time: 0.2 * (time + 2))
    scene.render = lambda time: SimpleNamespace(rgb=torch.full((1, 3, 48, 64), 0.2 * (time + 2)))
    monkeypatch.setattr(strengths.Synthetic, "scene", lambda self, generators: scene)
    cases = open_suite("acceleration")
    records = [Record(name, cases.suite, "", cases.digest) for name in ("two", "four")]
    outcome = measure_suite(cases, {"two": Two(), "four": Four()}, records)
    assert outcome.failures == {} and all(record.done for record in records)
    two, four = (min(record.frames["psnr"]) for record in records)
    assert four > two + 10


def test_a_model_of_four_frames_is_refused_where_there_are_two(small):
    cases = open_suite("depth")
    alone = [replace(window, outer=None) for window in cases.windows()]
    cases = replace(cases, windows=lambda: alone)
    record = Record("four", cases.suite, "", cases.digest)
    assert "reads the frames" in measure_suite(cases, {"four": Four()}, [record]).failures["four"]
