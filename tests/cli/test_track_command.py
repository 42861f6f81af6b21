"""`midframe track`, and `midframe eval` of what it works with."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from midframe.bench import masks as bench
from midframe.models.load import build


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    save_file(build("corrflow-s/tiny").state_dict(), tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


@pytest.fixture
def first(tmp_path):
    mask = np.zeros((72, 96), np.uint8)
    mask[20:50, 30:60] = 255
    Image.fromarray(mask).save(tmp_path / "first.png")
    return tmp_path / "first.png"


def test_a_mask_is_followed(midframe, clip, first, weights):
    given = ("--model", "corrflow-s/tiny", "--weights", weights, "--progress", "none")
    code, out, err = midframe("track", clip, "--mask", first, *given)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == str(clip.with_name("clip.tracked.mp4"))
    assert lines[1] == f"  objects   1, in {clip.with_name('clip.tracked-masks')}" and "frames    12" in out
    assert midframe("info", clip.with_name("clip.tracked.mp4"))[0] == 0


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ((), 2, "either a mask of the first frame (--mask) or its points (--points)"),
        (("--mask", "gone.png"), 3, "gone.png: cannot be read as a picture"),
        (("--points", "gone.csv"), 3, "gone.csv: cannot be read as CSV"),
        (("--mask", "FIRST", "--model", "midnet"), 2, "midnet carries no labels along a film. These do: corrflow"),
        (("--mask", "FIRST", "--model", "corrflow"), 7, "corrflow/base has no published weights to pull. Train it"),
        (("--mask", "FIRST", "--model", "corflow"), 2, "Did you mean 'corrflow'?"),
        (("--mask", "FIRST", "--model", "corrflow-s/tiny", "--weights", "OTHER"), 7, "does not fit corrflow-s/tiny"),
    ],
)
def test_mistakes_are_one_line(midframe, clip, first, monkeypatch, tmp_path, more, code, said):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "home"))
    other = tmp_path / "other.safetensors"
    save_file(build("colorization/tiny").state_dict(), other)
    words = [{"FIRST": str(first), "OTHER": str(other)}.get(word, word) for word in more]
    found, out, err = midframe("track", clip, *words, "--progress", "none")
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert said in err


def test_interpolation_says_that_propagators_do_something_else(midframe, clip):
    code, _, err = midframe("interpolate", clip, "--model", "corrflow-s", "--progress", "none")
    assert code == 2 and "corrflow-s carries labels along a film (`midframe track`) and makes no frames" in err


def test_propagators_are_measured_beside_both_baselines(midframe, weights, tmp_path, monkeypatch):
    films = bench.made_films(count=2, size=(64, 96), length=6)
    monkeypatch.setattr(bench, "made_films", lambda photos=None: films)
    given = ("eval", "corrflow-s/tiny", "--weights", weights, "-q")
    code, out, _ = midframe(*given, "--per-clip")
    table = out.splitlines()
    assert code == 0 and table[-1].endswith("in 2 films of 12 frames: made films")
    rows = {line.split()[0]: [float(value) for value in line.split()[1:]] for line in table[3:-1]}
    assert list(rows) == ["corrflow-s/tiny", "identity", "dis"] and all(len(row) == 7 for row in rows.values())
    assert rows["dis"][0] > rows["identity"][0] + 10
    assert table[0].startswith("made-1  J&F ")


def test_annotated_sequences_are_read_in_daviss_layout(midframe, weights, tmp_path):
    film = bench.made_films(count=1, size=(64, 96), length=5)[0]
    pictures, marked = (tmp_path / "D" / kind / "480p" / "bear" for kind in ("JPEGImages", "Annotations"))
    pictures.mkdir(parents=True)
    marked.mkdir(parents=True)
    for k, (frame, mask) in enumerate(zip(film.frames(), film.masks, strict=True)):
        Image.fromarray((frame.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(pictures / f"{k:05d}.jpg")
        Image.fromarray((mask > 0).astype(np.uint8) * 255).save(marked / f"{k:05d}.png")
    given = ("eval", "corrflow-s/tiny", "--weights", weights, "--masks", tmp_path / "D", "-q")
    code, out, _ = midframe(*given)
    assert code == 0 and out.splitlines()[-1].startswith("per cent, means over 1 objects in 1 films of 5 frames")
    (marked / "00004.png").unlink()
    for more, said in (
        (given, "bear has 5 frames and 4 masks"),
        (("eval", "corrflow-s/tiny", "--weights", weights, "--masks", tmp_path), "no sequences in Annotations/480p"),
        (("eval", "corrflow-s/tiny", "--clips", tmp_path), "--masks DIR or --made, not --clips"),
        (("eval", "dis", "--made"), "dis carries no masks"),
    ):
        code, _, err = midframe(*more)
        assert code in (2, 3) and said in err and err.count("\n") == 1
