"""A clip and what comes after it: own frames untouched, predicted ones at the right times, no look across a cut."""

from fractions import Fraction

import clips
import numpy as np
import pytest
import torch
from decoded import read_planes, same

from midframe.engine import extend as module
from midframe.engine.extend import ExtendJob, extend
from midframe.engine.job import Note, Progress, Started
from midframe.errors import OutputError, UsageError
from midframe.models.extrapolate import Extrapolate
from midframe.nn.ahead import ahead, check_past, choose
from midframe.video.probe import probe, scan


class Recorder:
    """Gives the mean of what it reads, plus noise where it is random; keeps what it has been shown."""

    def __init__(self, inputs=2, horizon=3, *, channels=3, multiple=1, random=False):
        self.contract = ahead(inputs, horizon, channels=channels, multiple=multiple, random=random)
        self.shown = []

    def prepare(self, frames, generator=None):
        check_past("Recorder", frames, self.contract)
        self.shown.append(frames)
        noise = torch.rand((), generator=generator) if self.contract.random else 0.0
        return [frames.mean(1) * 0.5 + 0.3 * noise] * self.contract.covers[1]

    def render(self, state, t, size=None):
        return choose("Recorder", lambda count: state, t, size, state[0], self.contract)


@pytest.fixture
def put(monkeypatch):
    """put(model): whatever name is asked for, this is what is loaded."""

    def replace(model):
        monkeypatch.setattr(module, "load", lambda *args, **options: model)
        return model

    return replace


@pytest.fixture
def clip(tmp_path):
    return clips.write_clip(tmp_path / "clip.mp4", clips.moving(12), 25, sounds=[clips.Sound(clips.clicks(0.48))])


def pictures(path):
    return [planes for _, planes in read_planes(path)]


def do(source, output, **options):
    events = []
    results = extend(ExtendJob(input=str(source), output=str(output), **options), events.append)
    return results, events


def test_own_frames_stay_and_predicted_ones_follow_at_the_same_rate(clip, tmp_path):
    source = clips.write_y4m(tmp_path / "in.y4m", clips.moving(12), Fraction(30000, 1001))
    (result,), _ = do(source, tmp_path / "out.y4m", frames=5)
    assert (result.frames, result.copied, result.rendered, result.held) == (17, 12, 5, 0)
    own, made = pictures(source), pictures(tmp_path / "out.y4m")
    assert len(made) == 17 and all(same(one, other) for one, other in zip(own, made, strict=False))
    assert not same(made[12], own[11])
    (result,), _ = do(clip, tmp_path / "out.mp4", frames=5)
    timeline = scan(probe(str(tmp_path / "out.mp4")))
    assert timeline.rate == 25 and timeline.duration == result.duration == Fraction(17, 25)
    assert result.source_duration == Fraction(12, 25) and set(result.audio_offset)


def test_motion_goes_on(tmp_path):
    film = clips.moving(16, size=(96, 128))
    source = clips.write_y4m(tmp_path / "in.y4m", film[:12])
    do(source, tmp_path / "out.y4m", frames=4)
    truth = pictures(clips.write_y4m(tmp_path / "whole.y4m", film))
    made = pictures(tmp_path / "out.y4m")
    inside = slice(16, -16)

    def far(one, other):
        lumas = [planes[0][inside, inside].astype(float) for planes in (one, other)]
        return np.abs(lumas[0] - lumas[1]).mean()

    for k in (12, 13, 14):
        assert far(made[k], truth[k]) < 0.5 * far(truth[11], truth[k])


def test_variable_rates_go_on_at_their_mean(tmp_path):
    source = clips.write_clip(
        tmp_path / "in.mkv",
        clips.moving(5),
        stamps=[0, 40, 100, 140, 200],
        time_base=Fraction(1, 1000),
        last_duration=40,
    )
    do(source, tmp_path / "out.mkv", frames=2)
    stamps = [float(scan(probe(str(tmp_path / "out.mkv"))).pts(i)) for i in range(7)]
    assert stamps == pytest.approx([0, 0.04, 0.1, 0.14, 0.2, 0.24, 0.288], abs=0.0015)


def test_beyond_its_horizon_a_model_reads_what_it_made(clip, tmp_path, put):
    model = put(Recorder(inputs=2, horizon=3))
    do(clip, tmp_path / "out.mp4", frames=7)
    assert len(model.shown) == 3
    assert torch.allclose(model.shown[1][:, 0], model.shown[1][:, 1])  # frames 2 and 3 of its own
    assert torch.allclose(model.shown[1][:, 0], 0.5 * model.shown[0].mean(1))


def test_what_lies_before_the_last_cut_is_not_read(tmp_path, put):
    model = put(Recorder(inputs=4))
    source = clips.write_clip(tmp_path / "in.mp4", clips.cut(24, at=(21,)), 25)
    _, events = do(source, tmp_path / "out.mp4")
    shown = model.shown[0][0]
    assert torch.equal(shown[0], shown[1]) and not torch.equal(shown[1], shown[2])  # three frames of the shot
    assert any("the last shot has 3" in event.text for event in events if isinstance(event, Note))


def test_a_clip_shorter_than_the_window_is_said_to_be(tmp_path, put):
    model = put(Recorder(inputs=4))
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(2), 25)
    _, events = do(source, tmp_path / "out.mp4")
    assert torch.equal(model.shown[0][0, 0], model.shown[0][0, 2])
    assert any("the clip has 2" in event.text for event in events if isinstance(event, Note))


def test_sizes_are_padded_to_what_the_model_takes(tmp_path, put):
    model = put(Recorder(multiple=16))
    source = clips.write_clip(tmp_path / "in.mp4", clips.moving(4, size=(70, 90)), 25)
    do(source, tmp_path / "out.mp4", frames=2)
    assert model.shown[0].shape[-2:] == (80, 96)
    info = probe(str(tmp_path / "out.mp4"))
    assert (info.width, info.height) == (90, 70)


def test_alpha_is_predicted_as_a_picture_of_its_own(tmp_path, put):
    model = put(Recorder())
    folder = tmp_path / "in"
    folder.mkdir()
    clips.write_images(folder, clips.with_alpha(clips.moving(3)), pix_fmt="rgba")
    do(folder, tmp_path / "out", frames=1)
    assert model.shown[0].shape[:3] == (2, 2, 3)
    assert probe(str(tmp_path / "out")).has_alpha and len(list((tmp_path / "out").iterdir())) == 4


def test_each_sample_is_a_file_and_the_seed_decides(clip, tmp_path, put):
    put(Recorder(random=True))
    first, _ = do(clip, tmp_path / "out.y4m", samples=3, frames=2)
    names = [result.output.name for result in first]
    assert names == ["out-1.y4m", "out-2.y4m", "out-3.y4m"]
    futures = [pictures(result.output)[12] for result in first]
    assert not same(futures[0], futures[1]) and not same(futures[1], futures[2])
    (again,), _ = do(clip, tmp_path / "again.y4m", seed=1, frames=2)
    assert same(pictures(again.output)[12], futures[1])
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_grey_models_take_grey_clips_only(clip, tmp_path, put):
    model = put(Recorder(channels=1))
    with pytest.raises(UsageError, match=r"predicts grey pictures, .* has colour: take extrapolate, simvp/colour"):
        do(clip, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
    source = clips.write_clip(tmp_path / "grey.mkv", clips.moving(4), 25, codec="ffv1", pix_fmt="gray")
    (result,), _ = do(source, tmp_path / "out.mkv", frames=2)
    assert result.frames == 6 and model.shown[-1].shape[2] == 1


def test_progress_counts_own_and_predicted_frames(clip, tmp_path):
    _, events = do(clip, tmp_path / "out.mp4", frames=3)
    assert next(event for event in events if isinstance(event, Started)).frames == 15
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.frames, last.total) == (15, 15)


def test_an_interrupted_prediction_goes_on(clip, tmp_path, monkeypatch):
    def interrupt(self, frames, generator=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Extrapolate, "prepare", interrupt)
        with pytest.raises(KeyboardInterrupt):
            do(clip, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists() and (tmp_path / ".out.mp4.midframe").is_dir()
    (result,), events = do(clip, tmp_path / "out.mp4")
    assert next(event for event in events if isinstance(event, Started)).done == 12
    assert result.frames == 20 and not (tmp_path / ".out.mp4.midframe").exists()


def test_what_cannot_be_meant_is_refused_before_any_work(clip, tmp_path):
    for options, said in (
        ({"samples": 2}, "extrapolate sees one future only"),
        ({"frames": 0}, "at least 1 of each"),
        ({"model": "dis"}, "dis makes frames between frames"),
        ({"model": "raft-s"}, "raft-s estimates flow"),
    ):
        with pytest.raises(UsageError, match=said):
            do(clip, tmp_path / "out.mp4", **options)
    with pytest.raises(UsageError, match="give names, not -"):
        extend(ExtendJob(input="-"))
    (tmp_path / "out.mp4").touch()
    with pytest.raises(OutputError, match="--overwrite"):
        do(clip, tmp_path / "out.mp4")
    with pytest.raises(UsageError, match="would replace the input"):
        do(clip, clip, overwrite=True)
