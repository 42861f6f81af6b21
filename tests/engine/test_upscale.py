"""Another size through the same engine: sizes, times, cuts, windows, colour, tiles, resume, and what is refused."""

import itertools
from dataclasses import replace
from fractions import Fraction

import clips
import numpy as np
import pytest
import torch
from decoded import planes, read_planes, same
from hypothesis import given
from hypothesis import strategies as st

from midframe.engine import run as run_module
from midframe.engine import work as work_module
from midframe.engine.job import InterpolateJob, Note, Progress, Started
from midframe.engine.plan import CutSet, KeySet, Render, choose_pair, choose_window, make_plan
from midframe.engine.size import Pixels, parse_size
from midframe.errors import ContractError, OutputError, UsageError
from midframe.models.adapt import Enlarged
from midframe.models.bicubic import Bicubic
from midframe.models.blend import Blend
from midframe.ops.resize import resize_cubic
from midframe.types import Contract
from midframe.video import pixel
from midframe.video.probe import probe, scan
from midframe.video.reader import Reader
from midframe.video.timeline import timeline_from_ticks


class Recorder:
    """Enlarges by the nearest pixel; answers with the frame nearest in time, and keeps what it was asked."""

    def __init__(self, inputs=(0, 1), *, times=None, scale=(1, 4), multiple=1):
        self.contract = Contract(inputs, (0, max(inputs)), times, scale, multiple)
        self.shown, self.asked = [], []

    def prepare(self, frames, generator=None):
        assert all(side % self.contract.multiple == 0 for side in frames.shape[-2:])
        assert not torch.is_grad_enabled()
        self.shown.append(frames)
        return frames

    def render(self, state, t, size=None):
        assert 0 <= t <= self.contract.covers[1] and (self.contract.times is None or Fraction(t) in self.contract.times)
        assert not torch.is_grad_enabled()
        low, high = self.contract.scale
        assert all(low <= now / was <= high for now, was in zip(size, state.shape[-2:], strict=True))
        self.asked.append((float(t), size))
        return torch.nn.functional.interpolate(state[:, round(t)], size=size, mode="nearest-exact")


HALVES = tuple(Fraction(k, 2) for k in range(7))


@pytest.fixture
def put(monkeypatch):
    """put(model): whatever name is asked for, this is what is loaded."""

    def put(model):
        for module in (run_module, work_module):
            monkeypatch.setattr(module, "load", lambda *given, **options: model)
        return model

    return put


@pytest.fixture
def enlarge(work):
    """work, with a size, and bicubic unless told otherwise."""

    def start(source, output="out.mkv", **options):
        options.setdefault("model", "bicubic")
        options.setdefault("size", "2x")
        return work(source, output, **options)

    return start


def pictures(path):
    return [planes for _, planes in read_planes(path)]


def expected(path, size, *, colour=None):
    """What bicubic makes of every frame of a file, sample by sample."""
    info = probe(str(path))
    colour = pixel.resolve(colour or info.colour, info.pix_fmt, info.height)
    with Reader(info, scan(info)) as reader:
        for frame in reader.frames():
            rgb = resize_cubic(pixel.to_rgb(frame.picture, colour), size)
            yield planes(pixel.from_rgb(rgb, pix_fmt=frame.picture.format.name, colour=colour, average=True))


# ---- how large ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [("2x", 2), ("1.5X", Fraction(3, 2)), ("3/2x", Fraction(3, 2)), (" 1920x1080 ", Pixels(1920, 1080)),
     ("0.5x", Fraction(1, 2)), ("640×480", Pixels(640, 480))],
)  # fmt: skip
def test_sizes_are_read(text, meant):
    assert parse_size(text) == meant


@pytest.mark.parametrize(
    "text", ["2", "x", "0x", "1/0x", "-2x", "17x", "0.01x", "0x100", "two", "1920x", "1e3x", "nanx"]
)
def test_other_words_are_no_size(text):
    with pytest.raises(UsageError, match=r"^--size "):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "output", "wanted"),
    [("2x", "out.mp4", (192, 144)), ("1.5x", "out.mkv", (144, 108)), ("1.51x", "out.mkv", (144, 108)),
     ("1.51x", "out", (145, 109)), ("0.5x", "out.webm", (48, 36)), ("1.7x", "out.gif", (163, 122)),
     ("128x96", "out.mov", (128, 96)), ("1.3x", "out.apng", (125, 94)), ("145x109", "out.y4m", (145, 109))],
)  # fmt: skip
def test_the_output_has_the_size_asked_for(enlarge, tmp_path, size, output, wanted):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(3), 25)
    result = enlarge(source, output, size=size)
    info = probe(str(result.output))
    assert (info.width, info.height) == wanted and result.size == wanted[::-1]
    assert (result.frames, result.copied, result.rendered) == (3, 3, 0)


def test_odd_sizes_are_said_to_be_unusual(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(2), 25)
    result = enlarge(source, "out.mp4", size="97x73")
    assert probe(str(result.output)).pix_fmt == "yuv444p"
    assert any("odd size 97x73" in note for note in result.notes)


def test_the_shape_of_a_pixel_stays_and_gives_way_to_another_shape_of_the_picture(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(2), 25, sar=Fraction(4, 3))
    for size, sar, notes in (
        ("2x", Fraction(4, 3), 0), ("143x108", Fraction(4, 3), 0), ("128x72", Fraction(1), 1),
        ("200x100", Fraction(8, 9), 1),
    ):  # fmt: skip
        result = enlarge(source, "out.mkv", size=size, overwrite=True)
        found = probe(str(result.output)).sar
        assert abs(found - sar) < Fraction(1, 50)
        assert len([note for note in result.notes if "another shape than 96x72" in note]) == notes


def test_pixels_are_those_of_the_picture_as_it_is_shown(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(2), 25, rotation=90)
    result = enlarge(source, "out.mp4", size="144x192")
    info = probe(str(result.output))
    assert (info.width, info.height, info.rotation, info.sar) == (192, 144, 90, 1)


def test_a_colour_matrix_that_players_guess_from_the_size_is_written(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(1, (72, 120)), 25)
    result = enlarge(source, "out.mp4", size="1280x768", preset="ultrafast")
    assert probe(str(source)).colour.matrix == 2 and probe(str(result.output)).colour.matrix == 6
    assert any("BT.601" in note for note in result.notes)
    tagged = clips.write_clip(tmp_path / "tagged.mp4", clips.moving(1, (72, 120)), 25, tags=clips.BT709)
    assert probe(str(enlarge(tagged, "two.mp4", size="1280x768", preset="ultrafast").output)).colour.matrix == 1


# ---- what frames are ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pix_fmt", "tags"),
    [("yuv420p", clips.BT709), ("yuv420p", clips.BT601), ("yuv422p10le", clips.BT2020), ("yuv444p", clips.BT709_FULL),
     ("gray", clips.UNTAGGED), ("yuva420p", clips.BT709)],
)  # fmt: skip
def test_every_frame_is_what_bicubic_makes_of_its_own(enlarge, tmp_path, pix_fmt, tags):
    film = clips.with_alpha(clips.moving(3)) if pix_fmt == "yuva420p" else clips.moving(3)
    source = clips.write_clip(tmp_path / "in.mkv", film, 25, codec="ffv1", pix_fmt=pix_fmt, tags=tags)
    now = pictures(enlarge(source, size="1.5x").output)
    truth = list(expected(source, (108, 144)))
    assert len(now) == 3
    for one, other in zip(now, truth, strict=True):
        if pix_fmt == "yuva420p":  # colour is enlarged multiplied by alpha, and counts where something is seen
            opaque = other[3] > 250
            assert np.abs(one[3].astype(int) - other[3]).max() <= 1
            assert np.abs(one[0].astype(int) - other[0])[opaque].mean() < 1
        else:
            assert same(one, other)


def test_a_still_clip_stays_what_bicubic_makes_of_it(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mkv", clips.still(4), 25, codec="ffv1")
    truth = next(expected(source, (144, 192)))
    for model in ("bicubic", "blend+bicubic", "bicubic+blend", "dis/fast+bicubic"):
        result = enlarge(source, model=model, fps="60", overlays=False, overwrite=True)
        assert result.frames == 10 and all(same(one, truth) for one in pictures(result.output)), model


@pytest.mark.parametrize("model", ["blend+bicubic", "bicubic+blend"])
def test_frames_between_are_of_one_model_and_their_size_of_the_other(enlarge, tmp_path, model):
    source = clips.write_y4m(tmp_path / "in.y4m", clips.moving(5))
    plain = pictures(enlarge(source, "plain.mkv", fps="62.5").output)
    made = pictures(enlarge(source, "made.mkv", fps="62.5", model=model).output)
    assert len(plain) == len(made) == 13
    for one, other in zip(plain, made, strict=True):  # both are linear: the order changes nothing but rounding
        assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(one, other, strict=True))


def test_at_the_same_size_source_frames_are_copied(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mkv", clips.moving(4), 25, codec="ffv1")
    result = enlarge(source, size="1x", fps="50")
    assert result.size is None and result.copied == 4
    was, now = pictures(source), pictures(result.output)
    assert all(same(was[n], now[2 * n]) for n in range(4))


def test_tiles_give_the_frames_of_the_whole(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mkv", clips.moving(2, (92, 136)), 25, codec="ffv1")
    for size in ("2x", "1.5x", "0.5x"):
        whole = pictures(enlarge(source, "whole.mkv", size=size, overwrite=True).output)
        tiled = pictures(enlarge(source, "tiled.mkv", size=size, tile=48, overwrite=True).output)
        for one, other in zip(whole, tiled, strict=True):
            far = [np.abs(a.astype(int) - b) for a, b in zip(one, other, strict=True)]
            assert max(plane.max() for plane in far) <= 3 and far[0].mean() < 0.01, size


def test_overlays_are_those_of_the_source_enlarged(enlarge, tmp_path):
    film = clips.framed(clips.moving(12))
    source = clips.write_clip(tmp_path / "in.mkv", film, 25, codec="ffv1")
    result = enlarge(source, factor="2", model="blend+bicubic")
    now = pictures(result.output)
    badge = slice(36, 48), slice(16, 50)
    assert all(np.array_equal(now[n][0][badge], now[8][0][badge]) for n in range(8, 16))
    assert not np.array_equal(now[9][0], now[8][0])


def test_repeats_stay_unless_frames_between_are_asked_for(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mkv", clips.held(16, 2), 25, codec="ffv1")
    kept, bridged = (pictures(enlarge(source, overwrite=True, **more).output) for more in ({}, {"factor": "1"}))
    assert all(same(kept[n], kept[n + 1]) for n in range(0, 16, 2))
    assert not same(bridged[6], bridged[7])


# ---- time, sound, jobs -------------------------------------------------------------------------------------------


def test_times_and_sound_come_along(enlarge, tmp_path):
    sound = clips.Sound(clips.clicks(0.48))
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(12), Fraction(24000, 1001), sounds=[sound])
    result = enlarge(source, "out.mp4", preset="ultrafast")
    timeline = scan(probe(str(result.output)))
    assert (timeline.rate, len(timeline), result.duration) == (Fraction(24000, 1001), 12, 12 * Fraction(1001, 24000))
    assert result.audio_offset and all(abs(seconds) < 1e-3 for seconds in result.audio_offset.values())
    slow = enlarge(source, "slow.mp4", slow="2", size="1.5x", preset="ultrafast")
    assert slow.duration == 2 * result.duration and slow.frames == 24
    assert probe(str(slow.output)).width == 144


def test_variable_stamps_are_kept(enlarge, tmp_path):
    stamps = [0, 30, 80, 100, 190]
    source = clips.write_clip(
        tmp_path / "in.mkv", clips.moving(5), stamps=stamps, time_base=Fraction(1, 1000), last_duration=50
    )
    assert [time * 1000 for time, _ in read_planes(enlarge(source).output)] == stamps


def test_a_job_that_was_stopped_goes_on_and_gives_the_same_frames(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mkv", clips.cut(24, at=(13,)), 25, codec="ffv1")
    options = {"model": "dis/fast+bicubic", "factor": "2", "segment": 5}
    whole = pictures(enlarge(source, "whole.mkv", **{**options, "segment": 24}).output)
    events = []

    def stop(event):
        events.append(event)
        if isinstance(event, Progress) and event.frames > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enlarge(source, on_event=stop, **options)
    with pytest.raises(UsageError, match=r"unfinished job with other settings .*size .*2x.* → .*3x"):
        enlarge(source, **{**options, "size": "3x"})
    result = enlarge(source, on_event=events.append, **options)
    assert [event.done for event in events if isinstance(event, Started)][1] >= 10
    now = pictures(result.output)
    assert len(now) == 48 and all(same(one, other) for one, other in zip(now, whole, strict=True))


def test_the_journal_of_a_finished_job_is_gone_and_the_output_is_not_replaced(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(2), 25)
    enlarge(source)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == ["in.mp4", "out.mkv"]
    with pytest.raises(OutputError, match="--overwrite"):
        enlarge(source)


# ---- windows -----------------------------------------------------------------------------------------------------


def plan_of(count, **options):
    timeline = timeline_from_ticks(
        np.arange(count, dtype=np.int64), Fraction(1, 25), last_duration=1, rate_hints=[Fraction(25)]
    )
    return make_plan(InterpolateJob(input="in.mp4", size="2x", **options), timeline)


@given(st.integers(1, 30), st.sets(st.integers(0, 28)), st.integers(1, 4))
def test_windows_hold_their_pair_and_cross_no_cut(count, cuts, span):
    plan, marks = plan_of(count), CutSet(frozenset(cuts))
    windows = []
    for i in range(count):
        pair = choose_pair(plan, i, cuts=marks, keys=KeySet())
        window, place = choose_window(plan, pair, range(span + 1), span, cuts.__contains__)
        windows.append(window)
        assert len(window) == span + 1 and min(window) >= 0 and max(window) < count
        assert not any(gap in cuts for gap in range(min(window), max(window)))
        assert all(b - a in (0, 1) for a, b in itertools.pairwise(window))
        assert window[place + int(pair.t)] == i and (pair.t == 0 or window[place] == i - 1)
    runs = len(list(itertools.groupby(windows)))
    shots = 1 + len({gap for gap in cuts if gap < count - 1})
    assert runs <= -(-count // span) + 2 * shots  # a model of several gaps does not begin anew for each


def test_a_source_frame_is_made_from_the_pair_after_it():
    plan, none = plan_of(6), KeySet()
    pairs = [choose_pair(plan, i, cuts=CutSet(frozenset({1, 4})), keys=none) for i in range(6)]
    ends = [(0, 1, 0), (0, 1, 1), (2, 3, 0), (3, 4, 0), (3, 4, 1), (5, 5, 0)]
    assert pairs == [Render(a, b, Fraction(t)) for a, b, t in ends]
    assert choose_pair(plan, 0, cuts=CutSet(), keys=KeySet(frozenset({1, 2}))) == Render(0, 3, Fraction(0))


def test_a_model_of_two_frames_is_asked_for_source_frames_at_its_ends(enlarge, tmp_path, put):
    model = put(Recorder())
    source = clips.write_clip(tmp_path / "in.mkv", clips.cut(9, at=(5,)), 25, codec="ffv1")
    result = enlarge(source, size="3x")
    assert result.cuts == (Fraction(5, 25),)
    assert [t for t, _ in model.asked] == [0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert len(model.shown) == 7  # the last frame of a shot comes from the pair before it
    now, was = pictures(result.output), pictures(source)
    assert all(np.array_equal(one[0][1::3, 1::3], other[0]) for one, other in zip(now, was, strict=True))


def test_a_model_of_four_frames_answers_for_three_gaps_and_sees_one_shot(enlarge, tmp_path, put):
    model = put(Recorder((0, 1, 2, 3), times=HALVES, scale=(4, 4)))
    source = clips.write_clip(tmp_path / "in.mkv", clips.cut(13, at=(8,)), 25, codec="ffv1")
    result = enlarge(source, size="4x", factor="2")
    assert len(model.shown) == 5  # from frames 0, 3, and 4 to 7; 8 to 11, 9 to 12
    truth = pictures(source)
    for window in model.shown[2:3]:
        assert torch.equal(window[0, 0], model.shown[1][0, 1])  # it reaches back: 4 to 7 after 3 to 6
    now = pictures(result.output)
    assert len(now) == 26 and all(np.array_equal(now[2 * n][0][2::4, 2::4], truth[n][0]) for n in range(13))


def test_a_shot_shorter_than_the_window_repeats_its_last_frame(enlarge, tmp_path, put):
    model = put(Recorder((0, 1, 2, 3), times=HALVES, scale=(4, 4)))
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(2), 25)
    enlarge(source, size="4x")
    (window,) = model.shown
    assert torch.equal(window[0, 1], window[0, 3]) and not torch.equal(window[0, 0], window[0, 1])


def test_times_that_a_model_cannot_make_are_refused(enlarge, tmp_path, put):
    put(Recorder((0, 1, 2, 3), times=HALVES, scale=(4, 4)))
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4), 24)
    for more in ({"fps": "60"}, {"factor": "3"}, {"slow": "4"}):
        with pytest.raises(ContractError, match=r"half-way between frames and no others: take --factor 2"):
            enlarge(source, size="4x", model="bicubic/lanczos", **more)
    for more in ({"fps": "48"}, {"fps": "source"}, {"slow": "2"}, {"factor": "2/3"}):
        enlarge(source, size="4x", overwrite=True, **more)


@pytest.mark.parametrize(("size", "made"), [("2x", (288, 384)), ("5x", (288, 384)), ("4x", (288, 384))])
def test_another_size_than_a_model_makes_is_resampled_and_said(enlarge, tmp_path, put, size, made):
    model = put(Recorder(scale=(4, 4)))
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(2), 25)
    result = enlarge(source, size=size, model="bicubic/lanczos")
    assert {asked for _, asked in model.asked} == {made}
    said = [note for note in result.notes if "bicubic/lanczos makes 384x288 of 96x72; bicubic resampling makes" in note]
    assert len(said) == (size != "4x")
    assert result.size == tuple(int(size[0]) * side for side in (72, 96))


def test_frames_are_padded_to_what_a_model_takes_and_keep_their_place(enlarge, tmp_path, put):
    put(Recorder(multiple=32))
    source = clips.write_clip(tmp_path / "in.mkv", clips.moving(2, (70, 90)), 25, codec="ffv1")
    now, was = (pictures(path) for path in (enlarge(source, size="3x").output, source))
    assert np.array_equal(now[0][0][1::3, 1::3], was[0][0])


def test_two_models_are_one(tmp_path):
    frames = torch.rand(2, 2, 3, 18, 22, generator=torch.Generator().manual_seed(1))
    for first in (False, True):
        model = Enlarged(Blend(), Bicubic(), larger_first=first)
        state = model.prepare(frames)
        size = (36, 33)
        for t in (0.0, 0.25, 1.0):
            truth = resize_cubic(torch.lerp(frames[:, 0], frames[:, 1], t), size)
            torch.testing.assert_close(model.render(state, t, size), truth)
        mixed = model.render(state, torch.tensor([0.25, 1.0]), size)
        for index, t in enumerate((0.25, 1.0)):
            assert torch.equal(mixed[index], model.render(state, t, size)[index])
    with pytest.raises(UsageError, match="enlarges"):
        Enlarged(Blend(), Blend())
    with pytest.raises(UsageError, match="between two frames"):
        Enlarged(Bicubic(), Bicubic())


def test_a_source_frame_costs_no_run_of_the_model_between(tmp_path):
    between = Recorder()
    between.contract = replace(between.contract, scale=(1, 1))
    model = Enlarged(between, Bicubic())
    state = model.prepare(torch.rand(1, 2, 3, 8, 8))
    model.render(state, 0.0, (16, 16))
    assert between.shown == []


# ---- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": "1x"}, "has this size, 96x72, and no other rate is asked for"),
        ({"size": "96x72", "factor": "1"}, "there is nothing to do"),
        ({"size": "1920x10"}, "each side may become 16 times as long"),
        ({"model": "midnet"}, r"keeps their size: midnet\+bicubic enlarges, too"),
        ({"model": "extrapolate"}, "bicubic, .* and others superresolve"),
        ({"model": "midnet+dis"}, "join one model that makes frames between frames and one that enlarges"),
        ({"model": "bicubic+bicubic"}, "join one model"),
        ({"model": "midnet+bicubic", "effort": 0.5}, "always does all of its work"),
        ({"size": None}, "bicubic makes frames of another size"),
        ({"size": None, "model": "midnet+bicubic"}, "to interpolate, name one model"),
        ({"weights": "mine.safetensors"}, "bicubic has no weights to load"),
        ({"model": "dis+bicubic", "weights": "mine.safetensors"}, "for which of them mine.safetensors is"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_work_begins(enlarge, tmp_path, options, said):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(2), 25)
    with pytest.raises(UsageError, match=said):
        enlarge(source, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


def test_a_codec_that_cannot_hold_the_size_says_so(enlarge, tmp_path):
    source = clips.write_clip(tmp_path / "in.mkv", clips.moving(1, (8, 1030)), 25, codec="ffv1")
    with pytest.raises(UsageError, match=r"h264 holds pictures of up to 16384x16384 here, not 16480x128"):
        enlarge(source, "out.mp4", size="16x")


def test_notes_are_said_once(enlarge, tmp_path):
    events = []
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(2), 25)
    enlarge(source, "out.mp4", size="200x100", on_event=events.append)
    assert len([event for event in events if isinstance(event, Note)]) == 1
