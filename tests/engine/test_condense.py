"""Condensed films: what is kept, what comes back and when, and what is refused."""

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import clips
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midframe.engine import condense as module
from midframe.engine.condense import condense, expand
from midframe.engine.job import InterpolateJob, Note
from midframe.engine.plan import Copy, CutSet, KeySet, Render, decide, plan_grid
from midframe.engine.record import (
    CONDENSED_TAG,
    Record,
    find_record,
    kept_grid,
    read_record,
    read_tolerance,
    restored_grid,
)
from midframe.errors import ContractError, InputError, OutputError, UsageError
from midframe.video.pixel import to_rgb, working_format
from midframe.video.probe import probe, scan
from midframe.video.reader import Reader
from midframe.video.timeline import timeline_from_ticks

SIZE = (48, 64)


def slow(frames=14):
    """A texture that glides half a pixel a frame."""
    return clips.moving(frames, SIZE, scene=clips.Scene(velocity=(0.5, 0.25), disc_velocity=()))


@pytest.fixture
def press(tmp_path):
    """press(source, "out.mkv", tolerance=…, crf=…, …) → Condensed, by cross-fades unless told otherwise."""

    def start(source, output="small.mkv", *, tolerance=30.0, longest=16, on_event=None, **options):
        options = {"model": "blend", "preset": "ultrafast" if str(output).endswith(".mkv") else None, **options}
        job = InterpolateJob(input=str(source), output=str(tmp_path / output), **options)
        return condense(job, tolerance=tolerance, longest=longest, on_event=on_event)

    return start


def unfold(source, output, **options):
    return expand(InterpolateJob(input=str(source), output=str(output), **options))


def pictures(path):
    """RGB of every frame, in the format and colour of the file."""
    info = probe(path)
    with Reader(info, scan(info), pix_fmt=working_format(info.pix_fmt)) as reader:
        shown = [frame.picture for frame in reader.frames()]
    return [to_rgb(one, info.colour).clamp(0, 1).numpy() for one in shown]


def fidelity(made, truth):
    return [-10 * np.log10(max(1e-10, np.square(a - b).mean())) for a, b in zip(made, truth, strict=True)]


# ---- the record --------------------------------------------------------------------------------------------------


@st.composite
def records(draw):
    gaps = draw(st.lists(st.integers(1, 9), max_size=12))
    keys = tuple(np.cumsum([0, *gaps]).tolist())
    start = draw(st.fractions(0, 5, max_denominator=1000))
    if draw(st.booleans()):
        rate = draw(st.sampled_from([Fraction(25), Fraction(24000, 1001)]))
        times = tuple(start + n / rate for n in range(keys[-1] + 1))
        finish = times[-1] + 1 / rate
    else:
        rate = None
        steps = draw(st.lists(st.integers(1, 90), min_size=keys[-1] + 1, max_size=keys[-1] + 1))
        times = tuple(start + Fraction(int(n), 1000) for n in np.cumsum([0, *steps[:-1]]))
        finish = times[-1] + Fraction(steps[-1], 1000)
    return Record(keys, times, finish, rate, "dis/fast", "ab" * 32, draw(st.none() | st.just(0.5)), 0, 38.5)


@given(records())
def test_a_record_is_read_as_it_was_written(record):
    assert read_record(record.write(), "x.mkv") == record


@given(records())
def test_all_frames_have_their_old_times_and_kept_ones_are_copies(record):
    ticks = [round(record.times[key] * 1000) for key in record.keys]  # as Matroska rounds them
    if any(b <= a for a, b in pairwise(ticks)):
        return
    timeline = timeline_from_ticks(ticks, Fraction(1, 1000), last_duration=40, rate_hints=[])
    plan = plan_grid(restored_grid(record, Fraction(0)), timeline)
    assert [plan.time(n) for n in range(plan.count)] == list(record.times) and plan.finish == record.finish
    for n in range(plan.count):
        action = decide(plan, n, cuts=CutSet(), keys=KeySet(), policy="ignore")
        if n in record.keys:
            assert action == Copy(record.keys.index(n))
        else:
            assert isinstance(action, Render) and action.right == action.left + 1
            a, b = (record.times[record.keys[end]] for end in (action.left, action.right))
            assert a + action.t * (b - a) == record.times[n]
    kept = kept_grid(record, Fraction(0))
    assert [record.times[int(position)] for position in kept.positions] == list(kept.times)
    assert [plan.first_slot(k) for k in range(len(record.keys))] == list(record.keys)


@pytest.mark.parametrize(
    "broken",
    [
        {"format": 2}, {"frames": 9}, {"gaps": [2, -1]}, {"gaps": [2, 10**9]}, {"gaps": "two"}, {"rate": "0"},
        {"finish": "0"}, {"model": None, "effort": "much"},
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_meant_is_refused(broken):
    whole = json.loads(
        Record((0, 2, 3), tuple(map(Fraction, range(4))), Fraction(4), Fraction(1), "dis", "", None, 0, 38).write()
    )
    assert read_record(json.dumps(whole), "x.mkv").keys == (0, 2, 3)
    with pytest.raises(InputError, match=r"x\.mkv"):
        read_record(json.dumps({**whole, **broken}), "x.mkv")
    for key in whole.keys() - {"rate"}:
        with pytest.raises(InputError):
            read_record(json.dumps({name: value for name, value in whole.items() if name != key}), "x.mkv")
    with pytest.raises(InputError):
        read_record("[]", "x.mkv")


@pytest.mark.parametrize(("text", "value"), [("38dB", 38), ("38.5 db", 38.5), ("40", 40)])
def test_a_tolerance_is_read(text, value):
    assert read_tolerance(text) == value


# ---- films -------------------------------------------------------------------------------------------------------


def test_what_was_left_out_comes_back_at_its_time_and_within_the_tolerance(press, tmp_path):
    source = clips.write_clip(tmp_path / "clip.mp4", slow(), Fraction(24000, 1001))
    result = press(source, tolerance=30.0)
    assert result.frames == 14 and 2 <= result.kept < 10
    assert result.worst_made >= 30 and result.bytes == (tmp_path / "small.mkv").stat().st_size
    assert len(scan(probe(tmp_path / "small.mkv"))) == result.kept
    full = tmp_path / "full.mkv"
    assert unfold(tmp_path / "small.mkv", full, codec="ffv1").frames == 14
    before, after = scan(probe(source)), scan(probe(full))
    assert after.rate == before.rate == Fraction(24000, 1001)
    assert [after.pts(n) for n in range(14)] == [before.pts(n) for n in range(14)] and after.end == before.end
    found = fidelity(pictures(full), pictures(source))
    assert min(found) >= 30 - 1e-3
    assert np.mean(found) == pytest.approx(result.psnr, abs=1e-3)
    assert CONDENSED_TAG not in probe(full).metadata


def test_nothing_is_left_out_across_a_cut(press, tmp_path):
    source = clips.write_clip(tmp_path / "cut.mkv", clips.cut(16, (7,), SIZE), 25)
    result = press(source, tolerance=10.0)  # at which nearly everything could go
    assert result.cuts == (Fraction(7, 25),)
    record = find_record(str(tmp_path / "small.mkv"), probe(tmp_path / "small.mkv").metadata)
    assert {0, 6, 7, 15} <= set(record.keys) and len(record.keys) <= 8


def test_a_listed_cut_is_one(press, tmp_path):
    source = clips.write_clip(tmp_path / "clip.mkv", clips.still(8, SIZE), 25)
    (tmp_path / "cuts.csv").write_text("time\n0.12\n")
    assert press(source, cut_list=str(tmp_path / "cuts.csv")).kept == 4


def test_a_still_film_keeps_its_ends(press, tmp_path):
    source = clips.write_clip(tmp_path / "still.mkv", clips.still(12, SIZE), 25)
    assert press(source).kept == 2
    assert press(source, "short.mkv", longest=4).kept == 4
    assert press(clips.write_clip(tmp_path / "one.mkv", clips.still(1, SIZE), 25), "one-small.mkv").kept == 1
    assert unfold(tmp_path / "one-small.mkv", tmp_path / "one-full.mkv").frames == 1


def test_a_variable_rate_comes_back_exactly(press, tmp_path):
    stamps = [0, 40, 70, 120, 200, 210, 300, 333, 400, 480]
    film = clips.at_times(
        [stamp / 40 for stamp in stamps], SIZE, scene=clips.Scene(velocity=(0.5, 0), disc_velocity=())
    )
    source = clips.write_clip(tmp_path / "vfr.mkv", film, None, stamps=stamps, time_base=Fraction(1, 1000))
    result = press(source, tolerance=28.0)
    assert result.kept < 10
    unfold(tmp_path / "small.mkv", tmp_path / "full.mkv")
    before, after = scan(probe(source)), scan(probe(tmp_path / "full.mkv"))
    assert [after.pts(n) for n in range(10)] == [before.pts(n) for n in range(10)]
    assert [before.pts(n) for n in range(10)] == [Fraction(stamp, 1000) for stamp in stamps]


def test_sound_comes_along_in_step(press, tmp_path):
    sound = clips.Sound(clips.clicks(1))
    source = clips.write_clip(tmp_path / "clip.mp4", clips.moving(25, SIZE), 25, sounds=[sound])
    press(source, tolerance=20.0)
    result = unfold(tmp_path / "small.mkv", tmp_path / "full.mp4")  # whose range tag x264 does not write, either
    assert all(abs(seconds) <= 1e-3 for seconds in result.audio_offset.values())
    was, now = ([s.kind for s in probe(path).streams] for path in (source, tmp_path / "full.mp4"))
    assert was == now == ["audio"]


def test_frames_that_fall_short_in_the_end_are_kept(press, tmp_path, monkeypatch):
    """As if choosing had been far too hopeful: the comparison puts it right."""
    monkeypatch.setattr(module._Maker, "fits", lambda self, a, b: True)
    source = clips.write_clip(tmp_path / "clip.mp4", slow(), 25)
    result = press(source, tolerance=30.0)
    assert result.rounds > 1 and result.worst_made >= 30


def test_a_folder_of_key_frames_is_a_summary_and_comes_back(press, tmp_path):
    source = clips.write_clip(tmp_path / "clip.mp4", slow(), 25)
    result = press(source, "summary", tolerance=28.0)
    assert len(list((tmp_path / "summary").glob("*.png"))) == result.kept < 14
    assert unfold(tmp_path / "summary", tmp_path / "full.mkv").frames == 14
    assert scan(probe(tmp_path / "full.mkv")).rate == 25


def test_a_stopped_job_goes_on_with_the_same_result(press, tmp_path, monkeypatch):
    source = clips.write_clip(tmp_path / "clip.mp4", slow(), 25)
    whole = press(source, "whole.mkv", longest=3)
    fits, asked = module._Maker.fits, []

    def stopping(self, a, b):
        asked.append(a)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return fits(self, a, b)

    monkeypatch.setattr(module._Maker, "fits", stopping)
    with pytest.raises(KeyboardInterrupt):
        press(source, longest=3)
    again = press(source, longest=3)
    assert min(asked[4:]) > 0  # not from the beginning
    assert replace(again, output=whole.output, seconds=whole.seconds, notes=whole.notes) == whole
    made, wanted = (pictures(tmp_path / name) for name in ("small.mkv", "whole.mkv"))
    assert all(np.array_equal(a, b) for a, b in zip(made, wanted, strict=True))
    assert not (tmp_path / ".small.mkv.midframe").exists()


def test_memory_does_not_grow_with_the_film(press, tmp_path, monkeypatch):
    held = []
    need = module.Window.need
    monkeypatch.setattr(
        module.Window, "need", lambda self, low, high: (need(self, low, high), held.append(len(self._held)))[0]
    )
    press(clips.write_clip(tmp_path / "long.mkv", slow(60), 25), longest=4)
    assert 10 < max(held) <= 32  # of 60


def test_what_cannot_be_condensed_or_expanded_is_refused(press, tmp_path):
    source = clips.write_clip(tmp_path / "clip.mp4", clips.moving(4, SIZE), 25)
    for options, error, said in [
        ({"tolerance": 0.0}, UsageError, "--tolerance 0"),
        ({"longest": 1}, UsageError, "--longest 1"),
        ({"output": "small.mp4"}, UsageError, "is .mkv, or a folder"),
        ({"model": "qvi-s"}, ContractError, "two around it"),
        ({"model": "raft-s"}, UsageError, "makes no frames"),
    ]:
        with pytest.raises(error, match=said):
            press(source, **options)
    with pytest.raises(InputError, match="is not condensed"):
        unfold(source, tmp_path / "full.mkv")
    assert press(source).kept >= 2
    with pytest.raises(OutputError, match="--overwrite"):
        press(source)
    with pytest.raises(UsageError, match="other weights"):
        small = tmp_path / "small.mkv"
        record = find_record(str(small), probe(small).metadata)
        rewrite(small, tmp_path / "other.mkv", replace(record, weights="0" * 64).write())
        unfold(tmp_path / "other.mkv", tmp_path / "full.mkv")
    with pytest.raises(InputError, match="changed after"):
        rewrite(small, tmp_path / "cut-off.mkv", record.write(), drop=1)
        unfold(tmp_path / "cut-off.mkv", tmp_path / "full.mkv")


def rewrite(source, target, text, drop=0):
    """The same packets, without the last `drop`, with another record."""
    import av

    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        new.metadata[CONDENSED_TAG] = text
        packets = [packet for packet in old.demux(video=0) if packet.size]
        for packet in packets[: len(packets) - drop]:
            packet.stream = stream
            new.mux(packet)


def test_interpolating_a_condensed_film_says_what_it_is(press, work, tmp_path):
    press(clips.write_clip(tmp_path / "clip.mp4", clips.moving(4, SIZE), 25))
    heard = []
    work(tmp_path / "small.mkv", on_event=heard.append)
    assert any(isinstance(event, Note) and "midframe expand" in event.text for event in heard)
    assert CONDENSED_TAG not in probe(tmp_path / "out.mkv").metadata
