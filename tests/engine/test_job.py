"""The contracts of a whole job, from file to file: time, colour, cuts, resume, workers, memory, faults."""

import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
import torch
from audio_offset import measure_offsets
from corpus import names
from decoded import read_planes, same
from safetensors.torch import save_file

from midframe.engine import work as engine_work
from midframe.engine.job import InterpolateJob, Note, Progress, Started
from midframe.engine.run import run
from midframe.errors import (
    ContractError,
    DamagedError,
    InputError,
    MidframeError,
    ModelError,
    OutputError,
    UsageError,
)
from midframe.models.load import build
from midframe.video.probe import probe


def times(path):
    return [stamp for stamp, _ in read_planes(path)]


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


# ---- time --------------------------------------------------------------------------------------------------------


def test_twice_the_frames_keeps_every_source_frame_and_puts_one_between(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(10), 25)
    result = work(source, factor="2")
    was, now = read_planes(source), read_planes(result.output)
    assert (result.frames, result.copied, result.rendered, result.held) == (20, 10, 9, 1)
    assert all(same(was[n][1], now[2 * n][1]) for n in range(10))
    assert all(not same(now[2 * n + 1][1], now[2 * n][1]) for n in range(9))
    assert (result.rate, result.duration) == (50, Fraction(10, 25))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(("end", "frames"), [("hold", 20), ("drop", 19), ("loop", 20)])
def test_what_follows_the_last_frame_is_as_asked(work, tmp_path, end, frames):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(10), 25)
    now = read_planes(work(source, factor="2", end=end).output)
    assert len(now) == frames
    if end == "hold":
        assert same(now[19][1], now[18][1])
    if end == "loop":
        expected = (now[18][1][0].astype(float) + now[0][1][0]) / 2
        assert np.abs(now[19][1][0] - expected).max() <= 1


@pytest.mark.parametrize("fps", ["60", "60000/1001", "59.94", "source*3", "12.5"])
def test_a_rate_gives_an_even_grid_without_drift(work, tmp_path, fps):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(24), Fraction(24000, 1001))
    result = work(source, "out.mp4", fps=fps, preset="ultrafast")
    stamps = times(result.output)
    assert stamps == [n / result.rate for n in range(len(stamps))]
    assert len(stamps) == -(-Fraction(24 * 1001, 24000) * result.rate // 1)


def test_slow_motion_keeps_the_rate_and_stretches_the_sound(work, tmp_path):
    sound = clips.Sound(clips.clicks(1, at=[Fraction(1, 2)]), codec="pcm_s16le")
    source = clips.write_clip(tmp_path / "in.mkv", clips.moving(25), 25, sounds=[sound])
    result = work(source, slow="4")
    assert (result.frames, result.rate, result.duration) == (100, 25, 4)
    with av.open(str(result.output)) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) == 4 * 48000


def test_variable_stamps_stay_variable_or_become_even(work, tmp_path):
    stamps = [0, 30, 80, 100, 190, 240, 251, 300]
    source = clips.write_clip(
        tmp_path / "in.mkv", clips.moving(8), None, stamps=stamps, time_base=Fraction(1, 1000), last_duration=50
    )
    kept = times(work(source, factor="2").output)
    assert kept[::2] == [Fraction(n, 1000) for n in stamps]
    assert kept[3] in (Fraction(55, 1000), Fraction(54, 1000), Fraction(56, 1000))
    even = work(source, "even.mp4", factor="2", vfr="constant", preset="ultrafast")
    assert times(even.output) == [n / even.rate for n in range(even.frames)]


def test_a_part_is_cut_out_by_time(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(50), 25)
    result = work(source, factor="2", start_time="0.4", end_time="0:01.2")
    was, now = read_planes(source), read_planes(result.output)
    assert result.frames == 40 and now[0][0] == 0
    assert all(same(was[10 + n][1], now[2 * n][1]) for n in range(20))


@pytest.mark.parametrize("name", names("sync"))
def test_sound_stays_in_step(work, corpus, name):
    file = corpus[name]
    kind = file.path.suffix if file.path.suffix in (".mp4", ".mkv", ".mov", ".webm") else ".mkv"
    result = work(file.path, f"out{kind}", fps="60", codec=None, overlays=False)
    was, now = measure_offsets(file.path), measure_offsets(result.output)
    assert max(abs(a - b) for a, b in zip(was, now, strict=True)) < 1e-3


# ---- colour ------------------------------------------------------------------------------------------------------

STILLS = [
    ("yuv420p", clips.BT709), ("yuv420p", clips.BT601), ("yuv420p", clips.BT709_FULL), ("yuv422p", clips.BT709),
    ("yuv444p", clips.BT709), ("yuv420p10le", clips.BT709), ("yuv420p10le", clips.BT2020),
    ("yuv444p10le", clips.BT2020), ("yuv422p10le", clips.BT709), ("yuv420p", clips.UNTAGGED),
]  # fmt: skip


@pytest.mark.parametrize("model", ["blend", "dis/fast", "phase/tiny"])
@pytest.mark.parametrize(("pix_fmt", "tags"), STILLS)
@pytest.mark.parametrize("film", [clips.still(3), clips.ramp(3)], ids=["still", "ramp"])
def test_in_a_still_clip_made_and_source_frames_are_equal(work, tmp_path, model, pix_fmt, tags, film):
    source = clips.write_clip(tmp_path / "in.mkv", film, 25, codec="ffv1", pix_fmt=pix_fmt, tags=tags)
    result = work(source, model=model, factor="2", overlays=False, end="drop")
    assert result.rendered == 2
    now = read_planes(result.output)
    assert all(same(frame, now[0][1]) for _, frame in now), [
        max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(frame, now[0][1], strict=True)) for _, frame in now
    ]
    assert probe(result.output).colour == probe(source).colour


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_the_way_between_two_greys_is_halved_exactly(work, tmp_path, pix_fmt):
    film = np.stack([np.full((64, 64, 3), 0.25, np.float32), np.full((64, 64, 3), 0.5, np.float32)])
    source = clips.write_clip(tmp_path / "in.mkv", film, 25, codec="ffv1", pix_fmt=pix_fmt, tags=clips.BT709)
    now = read_planes(work(source, factor="2", cuts="ignore", overlays=False).output)
    luma = [frame[0].astype(float).mean() for _, frame in now[:3]]
    assert abs(luma[1] - (luma[0] + luma[2]) / 2) <= 0.5
    assert all((frame[1] == 128 << (2 if "10" in pix_fmt else 0)).all() for _, frame in now)


# ---- cuts, repeats, overlays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["hold", "nearest", "blend"])
def test_nothing_is_mixed_across_a_cut(work, tmp_path, policy):
    source = clips.write_clip(tmp_path / "in.mkv", clips.cut(24, at=(12,)), 25, codec="ffv1")
    result = work(source, model="dis/fast", factor="3", cuts=policy)
    assert result.cuts == (Fraction(12, 25),)
    now = read_planes(result.output)
    before, after = now[33][1], now[36][1]
    if policy == "hold":
        assert same(now[34][1], before) and same(now[35][1], before)
    elif policy == "nearest":
        assert same(now[34][1], before) and same(now[35][1], after)
    else:
        mixed = before[0] + (after[0].astype(float) - before[0]) / 3
        assert np.abs(now[34][1][0] - mixed).mean() < 1


def test_a_cut_list_is_written_and_read_again(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mkv", clips.cut(24, at=(8, 16)), 25, codec="ffv1")
    found = work(source, factor="2", write_cut_list=str(tmp_path / "cuts.csv"))
    assert found.cuts == (Fraction(8, 25), Fraction(16, 25))
    again = work(source, "again.mkv", factor="2", cut_list=str(tmp_path / "cuts.csv"))
    assert again.cuts == found.cuts
    assert all(same(a, b) for (_, a), (_, b) in zip(read_planes(found.output), read_planes(again.output), strict=True))


def test_animation_on_twos_is_bridged_with_its_duration_kept(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mkv", clips.held(24, hold=2), 24, codec="ffv1")
    result = work(source, model="dis/fast", factor="2", duplicates="auto")
    assert result.duration == 1
    frames = [frame[0].astype(float) for _, frame in read_planes(result.output)]
    # The last drawing has nothing to be bridged to: it is held.
    steps = [np.abs(b - a).mean() for a, b in itertools.pairwise(frames[:-3])]
    assert min(steps) > 0.2 * max(steps)  # it moves at every frame, not at every fourth


def test_bars_and_a_badge_are_kept_to_the_sample(work, tmp_path):
    film = clips.framed(clips.moving(12, (144, 192)), bars=24, badge=(32, 8, 20, 48))
    source = clips.write_clip(tmp_path / "in.mkv", film, 25, codec="ffv1")
    now = read_planes(work(source, model="dis/fast", factor="2").output)
    for _, frame in now[4:18]:
        assert (frame[0][:23] == 16).all() and (frame[0][-23:] == 16).all()
        assert np.array_equal(frame[0][34:50, 10:54], now[0][1][0][34:50, 10:54])


# ---- resume, workers, memory -------------------------------------------------------------------------------------

CALL = (
    "import sys, json; from midframe.engine.run import run; from midframe.engine.job import InterpolateJob; "
    "run(InterpolateJob(**json.loads(sys.argv[1])))"
)


def call(options, **keywords):
    """The job in a process of its own; the modules it imports are those under test."""
    return subprocess.Popen(
        [sys.executable, "-c", CALL, json.dumps(options)], stderr=subprocess.PIPE, text=True, **keywords
    )


def test_a_killed_job_goes_on_and_gives_the_same_frames(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(48), 25)
    whole = work(source, "whole.mkv", model="dis/fast", factor="3", segment=8)
    out = tmp_path / "out.mkv"
    options = {
        "input": str(source), "output": str(out), "model": "dis/fast", "factor": "3", "segment": 8, "codec": "ffv1",
    }  # fmt: skip
    journal = tmp_path / ".out.mkv.midframe"
    generator = random.Random(5)
    kills = 0
    while not out.exists() and kills < 12:
        process = call(options)
        known = len(list(journal.glob("segment-*.nut")))
        while process.poll() is None and len(list(journal.glob("segment-*.nut"))) <= known:
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 0.05))
        killed = kills < 4 and process.poll() is None
        if killed:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        process.stderr.close()
        assert not out.exists() or kills
    assert kills >= 2, "the job was too quick to be killed: the test tests nothing"
    now = read_planes(out)
    assert all(same(a, b) for (_, a), (_, b) in zip(read_planes(whole.output), now, strict=True))
    # killed after it had published it could not clear up its journal, and leaves nothing else
    assert leftovers(tmp_path) in ([], [".out.mkv.midframe"] if killed else [])


def test_an_interrupted_job_says_how_much_is_done_already(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(32), 25)
    events = []

    def stop(event):
        events.append(event)
        if isinstance(event, Progress) and event.frames > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(source, segment=4, on_event=stop)
    assert not (tmp_path / "out.mkv").exists()
    work(source, segment=4, on_event=events.append)
    started = [event for event in events if isinstance(event, Started)]
    assert started[0].done == 0 and started[1].done >= 24 and started[1].resumed_segments >= 3


def test_other_settings_do_not_mix_with_an_unfinished_job(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(32), 25)

    def stop(event):
        if isinstance(event, Progress) and event.frames > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(source, segment=4, on_event=stop)
    with pytest.raises(UsageError, match=r"unfinished job .*factor.*--overwrite"):
        work(source, segment=4, factor="3")
    assert work(source, segment=4, factor="3", overwrite=True).frames == 96


def test_three_workers_give_the_frames_of_one(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mkv", clips.cut(40, at=(17,)), 25, codec="ffv1")
    options = {"model": "dis/fast", "fps": "60", "segment": 8, "duplicates": "auto"}
    one = work(source, "one.mkv", **options)
    three = work(source, "three.mkv", workers=3, **options)
    assert one.cuts == three.cuts
    assert (one.copied, one.rendered, one.held) == (three.copied, three.rendered, three.held)
    assert all(
        same(a, b) and s == t for (s, a), (t, b) in zip(read_planes(one.output), read_planes(three.output), strict=True)
    )


def test_segments_of_any_length_give_the_same_frames(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(30), 25)
    long = work(source, "long.mkv", model="dis/fast", factor="2", segment=30)
    short = work(source, "short.mkv", model="dis/fast", factor="2", segment=3)
    pairs = zip(read_planes(long.output), read_planes(short.output), strict=True)
    assert all(same(a, b) for (_, a), (_, b) in pairs)


def test_a_worker_that_dies_is_replaced(tmp_path, monkeypatch):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(32), 25)
    killed = []
    hire = engine_work.Pool.hire

    def hire_and_kill(pool):
        hire(pool)
        if not killed:
            killed.append(pool.workers[-1].process.pid)
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(engine_work.Pool, "hire", hire_and_kill)
    job = InterpolateJob(
        input=str(source), output=str(tmp_path / "out.mkv"), model="blend", codec="ffv1", segment=8, workers=2
    )
    assert run(job).frames == 64 and killed


def test_a_segment_that_kills_every_worker_ends_the_job_with_one_line(tmp_path, monkeypatch):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(16), 25)
    hire = engine_work.Pool.hire

    def hire_and_kill(pool):
        hire(pool)
        pool.workers[-1].process.kill()

    monkeypatch.setattr(engine_work.Pool, "hire", hire_and_kill)
    job = InterpolateJob(input=str(source), output=str(tmp_path / "out.mkv"), model="blend", segment=8, workers=2)
    with pytest.raises(MidframeError, match=r"ended 3 workers.*memory"):
        run(job)
    assert not (tmp_path / "out.mkv").exists()


# VmHWM, because ru_maxrss of a child begins with what its parent had.
PEAK = CALL + r"; import re; print(re.search(r'VmHWM:\s+(\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_does_not_grow_with_length(tmp_path):
    """Peaks of one and the same job differ by a tenth between runs; frames that stay behind would be far above it."""
    height, width, lengths, peaks = 270, 480, (60, 2400), []
    shown = (255 * clips.moving(30, (height, width))).clip(0, 255).astype(np.uint8)
    for frames in lengths:
        source = tmp_path / f"{frames}.mp4"
        with av.open(str(source), "w") as film:  # forth and back: 2400 drawings would take minutes and gigabytes
            stream = film.add_stream("libx264", rate=25, width=width, height=height, options={"preset": "ultrafast"})
            stream.pix_fmt = "yuv420p"
            for number in range(frames):
                picture = shown[min(number % 58, 58 - number % 58)]
                film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            film.mux(stream.encode(None))
        options = {"input": str(source), "output": str(tmp_path / f"{frames}.mkv"), "model": "dis/fast", "fps": "30"}
        done = subprocess.run(
            [sys.executable, "-c", PEAK, json.dumps(options)], capture_output=True, text=True, check=True
        )
        peaks.append(1024 * int(done.stderr.split()[-1]))
    decoded = height * width * 3 // 2
    assert peaks[1] - peaks[0] < (lengths[1] - lengths[0]) * decoded // 5, peaks


# ---- faults ------------------------------------------------------------------------------------------------------


def refuse(work, tmp_path, error, match, source, output="out.mkv", **options):
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(error, match=match) as caught:
        work(source, output, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / output).is_file() or output in before


@pytest.mark.parametrize(
    ("content", "error", "match"),
    [(b"", InputError, "empty"), (b"not a film" * 100, InputError, r"bad\.mp4"), (None, InputError, "no such file")],
)
def test_what_is_no_film_is_refused(work, tmp_path, content, error, match):
    source = tmp_path / "bad.mp4"
    if content is not None:
        source.write_bytes(content)
    refuse(work, tmp_path, error, match, source)


def test_sound_alone_is_refused(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.m4a", None, sounds=[clips.Sound(clips.clicks(1))], container="mp4")
    refuse(work, tmp_path, InputError, "video", source)


def test_one_frame_is_held_for_its_duration(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(1), 25)
    result = work(source, factor="2")
    assert (result.frames, result.copied, result.held) == (2, 1, 1)
    assert any("one frame" in note for note in result.notes)


def test_a_truncated_film_is_refused_or_used_as_far_as_it_goes(work, tmp_path):
    source = clips.write_clip(tmp_path / "whole.mkv", clips.moving(50), 25, options={"g": "5"})
    data = source.read_bytes()
    broken = tmp_path / "in.mkv"
    broken.write_bytes(data[: len(data) * 2 // 3])
    try:
        result = work(broken, factor="2")
    except DamagedError as error:
        assert "--allow-damaged" in str(error)
        result = work(broken, factor="2", allow_damaged=True)
    assert 40 < result.frames < 100
    assert len(read_planes(result.output)) == result.frames


def test_a_film_with_damaged_packets_is_refused_unless_allowed(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mkv", clips.moving(50), 25, options={"g": "10"})
    data = bytearray(source.read_bytes())
    generator = np.random.default_rng(3)
    for at in generator.integers(len(data) // 2, len(data) * 3 // 4, 200):
        data[at] ^= 0xFF
    source.write_bytes(data)
    with pytest.raises(DamagedError, match="allow-damaged"):
        work(source, factor="2")
    assert not (tmp_path / "out.mkv").exists()
    result = work(source, factor="2", allow_damaged=True)
    assert 50 < result.frames == len(read_planes(result.output)) <= 100


@pytest.mark.parametrize("size", [(95, 127), (2, 2), (1, 1), (16, 4096)])
@pytest.mark.parametrize("model", ["blend", "dis/fast", "phase/tiny"])
def test_odd_and_tiny_sizes_work(work, tmp_path, size, model):
    film = np.random.default_rng(1).random((4, *size, 3)).astype(np.float32)
    source = clips.write_clip(tmp_path / "in.mkv", film, 25, codec="ffv1", pix_fmt="yuv444p")
    result = work(source, model=model, factor="2")
    assert [plane.shape for plane in read_planes(result.output)[1][1]] == [size] * 3


@pytest.mark.slow
def test_frames_8192_wide_are_tiled(work, tmp_path):
    film = np.stack([np.roll(clips.moving(1, (2160, 8192))[0], 4 * n, 1) for n in range(2)])
    source = clips.write_clip(tmp_path / "in.mkv", film, 25, codec="ffv1", options={"threads": "2"})
    result = work(source, model="dis/fast", factor="2", end="drop")
    truth = clips.picture(np.roll(film[0], 2, 1), "yuv420p")
    made = read_planes(result.output)[1][1][0].astype(float)
    error = made - np.frombuffer(truth.planes[0], np.uint8).reshape(2160, -1)[:, :8192]
    assert np.abs(error[64:-64, 64:-64]).mean() < 2


def test_the_output_may_not_be_the_input(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4), 25)
    os.link(source, tmp_path / "same.mp4")
    for name in ("in.mp4", "same.mp4"):
        refuse(work, tmp_path, UsageError, "replace the input", source, name, overwrite=True)


def test_an_output_that_exists_is_kept_unless_told_otherwise(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4), 25)
    (tmp_path / "out.mkv").write_bytes(b"precious")
    refuse(work, tmp_path, OutputError, "exists", source)
    assert (tmp_path / "out.mkv").read_bytes() == b"precious"
    assert work(source, overwrite=True).frames == 8


@pytest.mark.parametrize(
    ("output", "match"),
    [
        ("out.xyz", "not written"),
        ("missing/out.mkv", "no such folder"),
        ("in.mp4/out.mkv", "no such folder|not a folder"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(work, tmp_path, output, match):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4), 25)
    refuse(work, tmp_path, MidframeError, match, source, output)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"factor": "0"}, UsageError), ({"factor": "x"}, UsageError), ({"fps": "-1"}, UsageError),
        ({"factor": "2", "fps": "60"}, UsageError), ({"model": "nosuch"}, UsageError),
        ({"model": "dis/nosuch"}, UsageError), ({"codec": "prores"}, UsageError), ({"crf": 99.0}, UsageError),
        ({"preset": "nosuch"}, UsageError), ({"pix_fmt": "nosuch"}, UsageError), ({"workers": 0}, UsageError),
        ({"start_time": "9:00"}, UsageError), ({"start_time": "1", "end_time": "0.5"}, UsageError),
        ({"cut_list": "/nowhere.csv"}, InputError),
    ],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused_before_any_work(work, tmp_path, options, error):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4), 25)
    refuse(work, tmp_path, error, ".", source, "out.mp4", **options)
    assert leftovers(tmp_path) == []


def test_a_model_that_needs_the_whole_shot_is_refused(work, tmp_path, monkeypatch):
    from midframe.engine import run as engine_run
    from midframe.types import Contract

    class Whole:
        contract = Contract(inputs=None)

    monkeypatch.setattr(engine_run, "load", lambda name, **options: Whole())
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4), 25)
    refuse(work, tmp_path, ContractError, "whole shot", source)


NAMES = ["日本 – émoji 🎬.mp4", "-dash.mp4", "100%.mp4", "img%04d.mp4", "a'b\"c.mp4", "two  spaces .mp4",
         "new\nline.mp4", "x" * 200 + ".mp4"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_work(work, tmp_path, name):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4), 25).rename(tmp_path / name)
    result = work(source, "out " + name[:40] + ".mp4", preset="ultrafast")
    assert result.frames == 8 and result.output.exists()


def test_a_full_disk_is_one_line_and_the_job_goes_on_later(tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(24, (270, 480)), 25)
    options = {
        "input": str(source),
        "output": str(tmp_path / "out.mkv"),
        "model": "blend",
        "codec": "ffv1",
        "segment": 4,
    }

    def limit():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    process = call(options, preexec_fn=limit)
    error = process.communicate()[1].strip().splitlines()[-1]
    assert process.returncode and "OutputError" in error, error
    assert os.strerror(errno.EFBIG) in error or "disk" in error
    assert not (tmp_path / "out.mkv").exists()
    process = call(options)
    assert process.communicate()[1] == "" and process.returncode == 0
    assert len(read_planes(tmp_path / "out.mkv")) == 48


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_one_line(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4), 25)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    refuse(work, tmp_path, OutputError, "permission", source, "locked/out.mkv")


def test_two_jobs_do_not_share_an_output(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(8), 25)
    seen = []

    def second(event):
        if isinstance(event, Started) and not seen:
            seen.append(True)
            with pytest.raises(OutputError, match="another midframe"):
                work(source)

    work(source, on_event=second)
    assert seen


# ---- weights ------------------------------------------------------------------------------------------------------


def save_weights(path, seed):
    torch.manual_seed(seed)
    save_file(build("ifrnet-s/tiny").state_dict(), path)
    return str(path)


def test_weights_of_ones_own_make_the_frames(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4), 25)
    films = []
    for seed in (1, 2):
        weights = save_weights(tmp_path / f"{seed}.safetensors", seed)
        films.append(read_planes(work(source, f"{seed}.mkv", model="ifrnet-s/tiny", weights=weights).output))
    assert all(same(films[0][2 * n][1], films[1][2 * n][1]) for n in range(4))
    assert not any(same(films[0][2 * n + 1][1], films[1][2 * n + 1][1]) for n in range(3))


def test_other_weights_are_another_job(tmp_path):
    """What a stopped job has made with one file of weights is not gone on with once the file is another."""
    weights = save_weights(tmp_path / "own.safetensors", 1)
    source = str(clips.write_clip(tmp_path / "in.mp4", clips.moving(8), 25))
    job = InterpolateJob(
        input=source, output=str(tmp_path / "out.mkv"), model="ifrnet-s/tiny", weights=weights, segment=2
    )

    def stop(event):
        if isinstance(event, Progress) and event.frames >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job, stop)
    save_weights(Path(weights), 2)
    with pytest.raises(UsageError, match="weights"):
        run(job)


def test_weights_that_do_not_fit_are_refused_before_anything_is_made(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4), 25)
    weights = save_weights(tmp_path / "own.safetensors", 1)
    refuse(work, tmp_path, ModelError, "does not fit", source, "out.mkv", model="rife-paper/tiny", weights=weights)
    refuse(work, tmp_path, UsageError, "has no weights", source, "out.mkv", model="blend", weights=weights)
    refuse(work, tmp_path, ModelError, "no such file", source, "out.mkv", model="ifrnet-s", weights="none.safetensors")


# ---- pipes and folders -------------------------------------------------------------------------------------------


def test_y4m_goes_in_and_out_through_pipes(tmp_path):
    source = clips.write_y4m(tmp_path / "in.y4m", clips.moving(10))
    with open(source, "rb") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", CALL, json.dumps({"input": "-", "output": "-", "model": "blend", "factor": "2"})],
            stdin=pipe, capture_output=True, check=True,
        )  # fmt: skip
    (tmp_path / "out.y4m").write_bytes(done.stdout)
    assert done.stderr == b""
    was, now = read_planes(source), read_planes(tmp_path / "out.y4m")
    assert len(now) == 20 and all(same(was[n][1], now[2 * n][1]) for n in range(10))
    assert b"F50:1" in done.stdout[:80]


def test_an_interlaced_pipe_is_deinterlaced_once(work, tmp_path):
    film = clips.weave(clips.moving(12, (72, 96)))
    source = clips.write_y4m(tmp_path / "in.y4m", film)
    source.write_bytes(source.read_bytes().replace(b" Ip ", b" It ", 1))
    direct = work(source)
    with open(source, "rb") as pipe:
        options = {"input": "-", "output": str(tmp_path / "piped.mkv"), "model": "blend", "codec": "ffv1"}
        subprocess.run([sys.executable, "-c", CALL, json.dumps(options)], stdin=pipe, check=True)
    assert any("interlaced" in note for note in direct.notes)
    pairs = zip(read_planes(direct.output), read_planes(tmp_path / "piped.mkv"), strict=True)
    assert all(same(a, b) for (_, a), (_, b) in pairs)


@pytest.mark.parametrize("output", ["out.webm", "out.mp4", "out.mov", "out.mkv", "out"])
@pytest.mark.parametrize("pix_fmt", ["gray", "rgb24"])
def test_gray_and_rgb_pictures_go_into_every_container(work, tmp_path, output, pix_fmt):
    ramp = clips.ramp(3, (64, 256))
    clips.write_images(tmp_path / "in", ramp, pix_fmt=pix_fmt)
    options = {"codec": "prores"} if output == "out.mov" else ({"codec": None} if output == "out.mkv" else {})
    if output != "out":
        options["pix_fmt"] = {"out.mov": "yuv422p10le"}.get(output, "yuv420p")
    result = work(tmp_path / "in", output, factor="2", **options)
    first = sorted(result.output.iterdir())[0] if result.output.is_dir() else result.output
    with av.open(str(first)) as file:
        frame = next(file.decode(video=0))
        seen = frame.to_ndarray(format="rgb24") if frame.format.is_rgb else None
        full = frame.color_range == 2
    wanted = np.linspace(0, 255, 256)
    if seen is not None:
        assert np.abs(seen[10, :, 1] - wanted).max() <= 1
    elif "p10" not in frame.format.name:
        plane = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)[10, :256].astype(float)
        assert np.abs((plane if full else (plane - 16) * 255 / 219) - wanted).max() <= 3


def test_a_folder_of_images_becomes_a_folder_of_images(work, tmp_path):
    film = np.round(clips.moving(5) * 255) / 255
    clips.write_images(tmp_path / "in", film)
    result = work(tmp_path / "in", "out", factor="2", rate="10")
    assert (result.rate, result.frames) == (20, 10)
    files = sorted(result.output.iterdir())
    assert [file.name for file in files] == [f"{n:06d}.png" for n in range(1, 11)]
    for n in range(5):
        with av.open(str(files[2 * n])) as file:
            there = next(file.decode(video=0)).to_ndarray(format="rgb24")
        assert np.array_equal(there, np.round(film[n] * 255).astype(np.uint8))


@pytest.mark.parametrize(("tags", "header"), [(clips.BT601, b"C420mpeg2"), (clips.BT709_FULL, b"COLORRANGE=FULL")])
def test_pipes_keep_siting_and_range(tmp_path, tags, header):
    def send(source, options, target):
        with open(source, "rb") as pipe, open(target, "wb") as out:
            command = [sys.executable, "-c", CALL, json.dumps({"output": "-", "model": "blend", **options})]
            subprocess.run(command, stdin=pipe, stdout=out, check=True)
        return target

    source = clips.write_clip(tmp_path / "in.mkv", clips.moving(3), 25, codec="ffv1", tags=tags)
    first = send(os.devnull, {"input": str(source)}, tmp_path / "first.y4m")
    second = send(first, {"input": "-"}, tmp_path / "second.y4m")
    assert header in first.read_bytes()[:120] and header in second.read_bytes()[:120]


@pytest.mark.parametrize("name", ["out.gif", "out.apng", "out.webm", "out.mov"])
def test_every_kind_of_output_has_every_frame(work, tmp_path, name):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(6), 25)
    result = work(source, name, factor="2")
    assert len(read_planes(result.output)) == 12


def test_notes_are_told_once_and_kept_in_the_result(work, tmp_path):
    stamps = [0, 30, 80, 100, 190, 240]
    source = clips.write_clip(tmp_path / "in.mkv", clips.moving(6), None, stamps=stamps, time_base=Fraction(1, 1000))
    events = []
    result = work(source, on_event=events.append)
    told = [event.text for event in events if isinstance(event, Note)]
    assert told == list(result.notes) and any("variable" in text for text in told)


def test_what_is_made_does_not_depend_on_where_it_lies(work, tmp_path):
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(6), 25)
    (tmp_path / "deep").mkdir()
    one, two = work(source, "out.mp4"), work(source, "deep/other.mp4")
    assert Path(one.output).read_bytes() == Path(two.output).read_bytes()
