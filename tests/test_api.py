import doctest
import itertools
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest
import torch
from PIL import Image

import midframe
from midframe import api
from midframe.engine.job import InterpolateJob, Progress, Started
from midframe.errors import ContractError, InputError, UsageError
from midframe.types import Contract


@pytest.fixture
def clip(tmp_path):
    return clips.write_clip(tmp_path / "clip.mp4", clips.moving(8), 25)


def examples():
    return [test for test in doctest.DocTestFinder().find(api, "midframe.api") if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda test: test.name)
def test_examples_do_what_they_show(example, clip, monkeypatch, capsys):
    monkeypatch.chdir(clip.parent)
    mask = np.zeros((72, 96), np.uint8)
    mask[20:40, 30:60] = 255
    Image.fromarray(mask).save("first.png")
    ran = doctest.DocTestRunner().run(example)
    assert ran.attempted and not ran.failed, capsys.readouterr().out


def test_the_package_shows_its_names():
    assert set(midframe.__all__) <= set(dir(midframe))
    for name in midframe.__all__:
        assert getattr(midframe, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'interpolat'"):
        midframe.interpolat  # noqa: B018


# ---- interpolate -------------------------------------------------------------------------------------------------


def test_interpolate_takes_numbers_and_paths_and_tells_how_far_it_is(clip, tmp_path):
    events = []
    result = midframe.interpolate(
        clip, tmp_path / "out.mkv", factor=2.5, model="blend", codec="ffv1", workers=1, on_event=events.append
    )
    assert isinstance(result, midframe.Result)
    assert result.output == tmp_path / "out.mkv" and result.output.exists()
    assert (result.frames, result.rate, result.duration) == (20, Fraction(125, 2), Fraction(8, 25))
    assert isinstance(events[0], Started) and isinstance(events[-1], Progress)


def test_options_become_fields_of_the_job():
    job = midframe.api.make_job(Path("in.mp4"), fps=Fraction(60000, 1001), start_time=1.5, crf=17, overwrite=True)
    assert job == InterpolateJob(input="in.mp4", fps="60000/1001", start_time="1.5", crf=17, overwrite=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factr": 2}, "Did you mean 'factor'"),
        ({"zzz": 2}, "There are: model, weights, effort, size, factor"),
        ({"cuts": "hol"}, "choose one of hold, nearest, blend, ignore"),
        ({"workers": 2.5}, "whole number"),
        ({"workers": True}, "a number"),
        ({"overwrite": 1}, "True or False"),
        ({"factor": True}, "text or a number"),
        ({"crf": "good"}, "a number"),
        ({"crf": float("inf")}, "from 0"),
        ({"factor": 2, "fps": 60}, "one of them"),
        ({"model": "none"}, "No model is called"),
        ({"start_time": 3, "end_time": 2}, "does not lie after"),
        ({"segment": -1}, "must not be negative"),
    ],
    ids=str,
)
def test_interpolate_refuses_what_cannot_be_meant(options, message):
    with pytest.raises(UsageError, match=message):
        midframe.interpolate("in.mp4", **options)


def test_interpolate_refuses_a_missing_input(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        midframe.interpolate(tmp_path / "gone.mp4")
    with pytest.raises(UsageError, match="no input"):
        midframe.interpolate("")


# ---- between -----------------------------------------------------------------------------------------------------

PAIR = clips.moving(2, (40, 56))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_arrays_come_back_as_they_were_given(dtype):
    white = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    frame0, frame1 = (PAIR * white).round(0 if white > 1 else 9).astype(dtype)
    made = midframe.between(frame0, frame1, 0.5, model="blend")
    assert made.dtype == dtype and made.shape == frame0.shape
    expected = (frame0.astype(np.float64) + frame1) / 2
    assert np.abs(made - expected).max() <= (0.51 if white > 1 else 1e-6)


@pytest.mark.parametrize("shape", ["3 h w", "b 3 h w"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_tensors_come_back_as_they_were_given(shape, dtype):
    frame0, frame1 = torch.from_numpy(PAIR).permute(0, 3, 1, 2).to(dtype)
    if shape == "b 3 h w":
        frame0, frame1 = torch.stack((frame0, frame1)), torch.stack((frame1, frame0))
    made = midframe.between(frame0, frame1, Fraction(1, 4), model="blend")
    assert (made.dtype, made.shape) == (dtype, frame0.shape)
    torch.testing.assert_close(made, torch.lerp(frame0, frame1, 0.25), atol=2e-3, rtol=0)
    assert not made.requires_grad


def test_arrays_and_tensors_agree():
    tensors = torch.from_numpy(PAIR).permute(0, 3, 1, 2)
    array = midframe.between(*PAIR, 0.5, model="dis/tiny")
    tensor = midframe.between(*tensors, 0.5, model="dis/tiny")
    np.testing.assert_array_equal(array, tensor.permute(1, 2, 0).numpy())


def test_the_ends_are_copies_of_the_frames_and_order_is_kept():
    made = midframe.between(*PAIR, [1, 0.5, 0, 0.5], model="blend")
    assert np.array_equal(made[0], PAIR[1]) and np.array_equal(made[2], PAIR[0])
    assert np.array_equal(made[1], made[3])
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations([*made, *PAIR], 2))


def test_floats_are_not_clipped_and_integers_are():
    bright = PAIR * 1.5
    assert midframe.between(*bright, 0.5, model="blend").max() > 1
    assert midframe.between(*(PAIR * 255).astype(np.uint8), 0.5, model="dis/tiny").dtype == np.uint8


def test_a_moving_pair_lies_nearer_to_the_truth_than_a_cross_fade():
    frames = clips.moving(3, (96, 128))
    made = midframe.between(frames[0], frames[2], 0.5)
    faded = midframe.between(frames[0], frames[2], 0.5, model="blend")
    assert np.abs(made - frames[1]).mean() < np.abs(faded - frames[1]).mean() / 2


@pytest.mark.parametrize(
    ("frame0", "frame1", "t", "message"),
    [
        (PAIR[0], PAIR[1], 1.5, "t is a number from 0"),
        (PAIR[0], PAIR[1], float("nan"), "t is a number from 0"),
        (PAIR[0], PAIR[1], ["half"], "t is a number from 0"),
        (PAIR[0], PAIR[1][:-1], 0.5, "differ"),
        (PAIR[0], PAIR[1].astype(np.float64), 0.5, "differ"),
        (PAIR[0][..., 0], PAIR[1][..., 0], 0.5, "H W 3"),
        (PAIR[0] > 0, PAIR[1] > 0, 0.5, "uint8, uint16 or floating"),
        (PAIR[0], torch.from_numpy(PAIR[1]), 0.5, "two NumPy arrays or two torch tensors"),
        (PAIR[0].tolist(), PAIR[1].tolist(), 0.5, "two NumPy arrays or two torch tensors"),
        (torch.zeros(8, 8, 3), torch.zeros(8, 8, 3), 0.5, "3 H W"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8, dtype=torch.uint8), 0.5, "floating point"),
        (torch.zeros(3, 8, 8), torch.zeros(3, 8, 9), 0.5, "differ"),
    ],
    ids=range(12),
)
def test_between_refuses_what_does_not_fit(frame0, frame1, t, message):
    with pytest.raises(UsageError, match=message):
        midframe.between(frame0, frame1, t, model="blend")


class Middle:
    """A cross-fade that knows only the middle, of frames whose sides divide by 16."""

    contract = Contract(times=(Fraction(1, 2),), multiple=16)

    def prepare(self, frames, generator=None):
        assert frames.shape[-2] % 16 == 0 and frames.shape[-1] % 16 == 0
        return frames

    def render(self, state, t, size=None):
        assert t == 0.5
        return state.mean(1)


def test_a_model_of_the_middle_is_asked_again_for_other_times(monkeypatch):
    monkeypatch.setattr(api, "_load", lambda name, device: Middle())
    made = midframe.between(*PAIR, [0.25, 0.5])
    np.testing.assert_allclose(made[0], 0.75 * PAIR[0] + 0.25 * PAIR[1], atol=1e-6)
    np.testing.assert_allclose(made[1], PAIR.mean(0), atol=1e-6)
    with pytest.raises(ContractError):
        midframe.between(*PAIR, 1 / 3)


def test_a_model_of_more_frames_is_refused(monkeypatch):
    class Four(Middle):
        contract = Contract(inputs=(-1, 0, 1, 2))

    monkeypatch.setattr(api, "_load", lambda name, device: Four())
    with pytest.raises(ContractError, match="use interpolate"):
        midframe.between(*PAIR, 0.5)


def test_load_model_gives_a_synthesizer():
    model = midframe.load_model("dis/tiny")
    assert model.contract.inputs == (0, 1)
    frames = torch.rand(1, 2, 3, 32, 48)
    assert model.render(model.prepare(frames), 0.5).shape == (1, 3, 32, 48)
    with pytest.raises(UsageError, match="No model is called"):
        midframe.load_model("nothing")


# ---- upscale -----------------------------------------------------------------------------------------------------


def test_upscale_takes_a_size_in_words_or_as_height_and_width(clip, tmp_path):
    for number, size in enumerate(("1.5x", (108, 144), "144x108")):
        result = midframe.upscale(clip, tmp_path / f"{number}.mp4", size=size, model="bicubic")
        assert (result.size, result.frames, result.copied) == ((108, 144), 8, 8)


def test_upscale_refuses_what_cannot_be_meant(clip):
    with pytest.raises(UsageError, match="--size"):
        midframe.upscale(clip, size=(0, 10))
    with pytest.raises(UsageError, match="Did you mean 'factor'"):
        midframe.upscale(clip, size="2x", factr=2)
    with pytest.raises(UsageError, match=r"midnet\+bicubic enlarges"):
        midframe.upscale(clip, size="2x", model="midnet")
