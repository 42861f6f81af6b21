"""`midframe predict`: a clip made longer."""

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
