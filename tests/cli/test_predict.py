"""`midframe predict`: a clip made longer."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from midframe.models.load import build
from midframe.video.probe import probe


def test_eight_frames_are_put_after_the_clip(midframe, clip):
    code, out, err = midframe("predict", clip, "--progress", "none")
    made = clip.with_name("clip.midframe.mp4")
    assert (code, err) == (0, "")
    assert out.startswith(f"{made}\n") and "20 (12 from the source, 8 new)" in out
    assert probe(str(made)).declared_frames == 20
    code, out, err = midframe("predict", clip)
    assert (code, out) == (5, "") and "--overwrite" in err


def test_a_network_predicts_with_weights_of_ones_own(midframe, clip, tmp_path):
    torch.manual_seed(0)
    save_file(build("simvp-s/tiny").state_dict(), tmp_path / "mine.safetensors")
    options = ("--model", "simvp-s/tiny", "--weights", tmp_path / "mine.safetensors", "-n", 4)
    code, out, err = midframe("predict", clip, "-o", tmp_path / "longer.mkv", *options, "-q")
    assert (code, out, err) == (0, "", "")
    assert midframe("info", tmp_path / "longer.mkv", "--json")[0] == 0


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--model", "simvp"), 7, "simvp/base has no published weights to pull. Train it, then keep the file as"),
        (("--model", "simvq"), 2, "Did you mean 'simvp'?"),
        (("--model", "midnet"), 2, "midnet makes frames between frames, not after the last one. extrapolate,"),
        (("--samples", "4"), 2, "extrapolate sees one future only: leave out --samples 4."),
        (("-o", "out.xyz"), 2, ".xyz is not written"),
        (("-o", "none/out.mp4"), 5, "no such folder"),
        (("-n", "0"), 2, "--frames"),
    ],
)
def test_mistakes_are_one_line(midframe, clip, monkeypatch, tmp_path, more, code, said):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "home"))
    found, out, err = midframe("predict", clip, *more, "--progress", "none")
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert said in err


def test_a_missing_clip_is_said(midframe, tmp_path):
    code, _, err = midframe("predict", tmp_path / "none.mp4")
    assert code == 3 and "no such file" in err


def test_interpolation_says_that_predictors_do_something_else(midframe, clip):
    code, _, err = midframe("interpolate", clip, "--model", "extrapolate", "--progress", "none")
    assert code == 2 and "extrapolate makes frames after the last one, not between frames. midnet, dis" in err


def test_predictors_are_measured_beside_the_last_frame_repeated(midframe, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "home"))
    code, out, _ = midframe("eval", "extrapolate/tiny", "--clips", clip.parent, "-q")
    table = out.splitlines()
    assert code == 0 and table[-1] == f"2 windows of {clip.parent}"
    mean = [float(value) for value in table[2].split()[1:]]
    assert mean[3] > mean[7] + 2  # dB
    for more, said, expected in (
        (("extrapolate",), "Give the clips to measure on", 2),
        (("simvp",), "simvp/base has no published weights", 7),
        (("extrapolate", "--clips", clip.parent, "--photos", clip.parent), "leave out --photos", 2),
    ):
        code, _, err = midframe("eval", *more)
        assert code == expected and said in err and err.count("\n") == 1


def test_grey_predictors_are_measured_on_moving_mnist(midframe, tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "home"))
    save_file(build("simvp/tiny").state_dict(), tmp_path / "mine.safetensors")
    given = ("eval", "simvp/tiny", "--weights", tmp_path / "mine.safetensors", "--windows", 3, "-q")
    code, _, err = midframe(*given)
    assert code == 3 and "midframe data get mnist" in err
    monkeypatch.setattr("midframe.data.mnist.read_mnist", lambda part: (np.full((2, 28, 28), 200, np.uint8), None))
    code, out, _ = midframe(*given)
    assert code == 0 and out.splitlines()[-1].startswith("3 clips of Moving MNIST")
    assert [line.split()[0] for line in out.splitlines()[2:-1]] == ["mean", "1", "2", "3"]
    code, _, err = midframe(*given, "--clips", tmp_path)
    assert code == 2 and "predicts grey pictures and is measured on Moving MNIST" in err
