"""Generative models from the command line: trained on made data, measured by their bound, sampled as grid and film."""

import re

import av
import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from midframe.cli.sample import ENLARGE, GAP, RED, STAND, outline, tile
from midframe.data import mnist
from midframe.models.load import build
from midframe.train.log import read_rows

RECIPE = """
system = "{system}"
[data]
made = "mnist"
binarise = true
batch = 8
[optim]
steps = 4
warm_up = 0
[run]
precision = "fp32"
log_every = 1
validate_every = 2
save_every = 2
held_out = 20
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Twenty made-up pictures a part in MNIST's place, recipes, and weights of random numbers."""
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    chance = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    arrays = {f"{part}_pictures": chance.integers(0, 256, (20, 28, 28), np.uint8) for part in mnist.COUNTS}
    arrays |= {f"{part}_digits": np.arange(20) % 10 for part in mnist.COUNTS}
    np.savez(mnist.path_of_mnist(), **arrays)
    for system in ("vae", "draw"):
        (tmp_path / f"{system}.toml").write_text(RECIPE.format(system=f"{system}/tiny"))
        torch.manual_seed(0)
        save_file(build(f"{system}/tiny").state_dict(), tmp_path / f"{system}.safetensors")
    (tmp_path / "footage.toml").write_text('system = "vae/tiny"')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("system", ["vae", "draw"])
def test_a_training_says_what_its_best_is_counted_in(midframe, place, system):
    code, out, err = midframe("train", f"{system}.toml", "-o", "run", "--device", "cpu")
    assert (code, out) == (0, ""), err
    best = re.fullmatch(
        r"run: step 4 of 4 after \S+ s, best held-out loss (\d+\.\d{4}) nats a picture", err.splitlines()[-1]
    )
    rows = [row for row in read_rows(place / "run" / "log.csv") if "val loss (nats a picture)" in row]
    assert [row["step"] for row in rows] == ["2", "4"] and {"val reconstruction", "val kl"} <= set(rows[0])
    values = [float(row["val loss (nats a picture)"]) for row in rows]
    assert float(best[1]) == pytest.approx(min(values), abs=0.01)
    assert re.search(r"^step 2: loss \(nats a picture\) \d+\.\d{4}, reconstruction ", err, re.MULTILINE)
    code, out, err = midframe("eval", f"{system}/tiny", "--weights", "run/best.safetensors")
    assert (code, err) == (0, "")
    assert re.fullmatch(
        r"-ln p\(x\) ≤ \d+\.\d\d ± \d+\.\d\d nats a picture \(negative evidence lower bound\)\n"
        r" +== \d+\.\d\d reconstruction \+ \d+\.\d\d divergence\n20 pictures of MNIST's test set, .*\n".replace(
            "==", "="
        ),
        out,
    )


def test_more_samples_are_asked_for_by_number(midframe, place):
    code, out, _ = midframe("eval", "vae/tiny", "--weights", "vae.safetensors", "--samples", "4", "--pictures", "10")
    assert code == 0 and "(importance weighted bound, 4 samples)\n10 pictures of" in out


def read(path):
    return cv2.imread(str(path))[..., ::-1]


def test_a_grid_holds_what_the_model_samples(midframe, place):
    code, out, err = midframe("sample", "vae/tiny", "--weights", "vae.safetensors", "-o", "a.png", "--count", "5")
    assert (code, out, err) == (0, "a.png: 5 pictures\n", "")
    page = read("a.png")
    side = 28 * ENLARGE + GAP
    assert page.shape == (2 * side + GAP, 3 * side + GAP, 3)
    midframe("sample", "vae/tiny", "--weights", "vae.safetensors", "-o", "b.png", "--count", "5")
    midframe("sample", "vae/tiny", "--weights", "vae.safetensors", "-o", "c.png", "--count", "5", "--seed", "2")
    assert np.array_equal(page, read("b.png")) and not np.array_equal(page, read("c.png"))


def test_a_film_of_draw_paints_and_stands_at_its_end(midframe, place):
    weights = ("--weights", "draw.safetensors", "--count", "4", "--seed", "3")
    code, out, err = midframe("sample", "draw/tiny", *weights, "-o", "film.gif", "--boxes")
    assert (code, out, err) == (0, f"film.gif: 4 pictures, {3 + STAND} frames\n", "")
    with av.open("film.gif") as film:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
    assert frames[0].shape == (2 * (28 * ENLARGE + GAP) + GAP,) * 2 + (3,)
    reddish = [int((np.abs(frame - RED).max(-1) < 40).sum()) for frame in frames]
    assert all(count > 20 for count in reddish[:3]) and reddish[-1] == 0
    midframe("sample", "draw/tiny", *weights, "-o", "end.png")
    assert np.abs(frames[-1] - read("end.png").astype(int)).mean() < 12  # 256 colours of a GIF


def test_a_film_of_a_vae_goes_round(midframe, place):
    code, out, _ = midframe("sample", "vae/tiny", "--weights", "vae.safetensors", "-o", "walk.mp4", "--count", "1")
    assert code == 0 and out == "walk.mp4: 1 picture, 60 frames\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "vae.toml", "--data", "a.store"], 2, 'vae is trained on made data ("mnist")'),
        (["train", "vae.toml", "--photos", "photos"], 2, "held out: leave out --photos photos"),
        (["train", "vae.toml", "--validate", "val"], 2, "held out: leave out --validate val"),
        (["train", "footage.toml"], 2, "vae/tiny cannot learn from footage or photographs; give it [data] made"),
        (["eval", "draw"], 7, "draw/base has no published weights"),
        (["eval", "vae", "--clips", "val"], 2, "vae is measured on MNIST's test set: leave out --clips val."),
        (["eval", "vae/tiny", "--weights", "vae.safetensors", "--pictures", "21"], 2, "the test set has 20 pictures"),
        (["eval", "vae/tiny", "--weights", "draw.safetensors"], 7, "draw.safetensors does not fit vae/tiny"),
        (
            ["eval", "blend", "--clips", "val", "--samples", "5"],
            2,
            "blend is no model of pictures: leave out --samples",
        ),
        (["sample", "vea", "-o", "a.png"], 2, "Did you mean 'vae'?"),
        (["sample", "blend", "-o", "a.png"], 2, "blend makes no pictures of its own. These do: vae, draw, draw-s."),
        (["sample", "draw", "-o", "a.png"], 7, "draw/base has no published weights"),
        (["sample", "vae", "-o", "vae.toml"], 2, ".toml is not written"),
        (["sample", "vae", "-o", "vae.png"], 5, "vae.png exists; --overwrite replaces it."),
        (["sample", "vae", "-o", "a.png", "--boxes"], 2, "--boxes is for a film"),
        (["sample", "vae/tiny", "--weights", "vae.safetensors", "-o", "a.gif", "--boxes"], 2, "leave out --boxes"),
        (["sample", "vae", "-o", "a.png", "--count", "0"], 2, "--count"),
        (["interpolate", "a.mp4", "--model", "draw"], 2, "draw makes pictures of its own (`midframe sample`)"),
        (["between", "a.png", "b.png", "--model", "vae"], 2, "vae makes pictures of its own (`midframe sample`)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(midframe, place, words, code, message):
    (place / "vae.png").write_bytes(b"")
    for name in ("a", "b"):
        if words[0] == "between":
            cv2.imwrite(f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    found, out, err = midframe(*words)
    assert (found, out, err.count("\n")) == (code, "", 1), err
    assert message in err


def test_pictures_lie_in_rows():
    pictures = np.stack([np.full((1, 4, 6), level) for level in (0.0, 0.5, 1.0)]).astype(np.float32)
    page = tile(pictures)
    high, wide = 4 * ENLARGE + GAP, 6 * ENLARGE + GAP
    assert page.shape == (2 * high + GAP, 2 * wide + GAP, 3)
    for number, level in enumerate((0, 128, 255)):
        top, left = number // 2 * high + GAP, number % 2 * wide + GAP
        assert (page[top : top + 4 * ENLARGE, left : left + 6 * ENLARGE] == level).all()


def test_an_outline_stays_within_its_picture():
    page = tile(np.zeros((2, 1, 4, 6), np.float32))
    outline(page, np.array([[1.0, 1.0, 3.0, 2.0], [-50.0, -50.0, 50.0, 50.0]]), (4, 6))
    red = (page == RED).all(-1)
    first, second = red[GAP:-GAP, GAP : GAP + 6 * ENLARGE], red[GAP:-GAP, GAP * 2 + 6 * ENLARGE : -GAP]
    rows, columns = np.nonzero(first)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == tuple(
        round(e * ENLARGE) for e in (1.5, 2.5, 1.5, 3.5)
    )
    assert second[0].all() and second[-1].all() and second[:, 0].all() and second[:, -1].all()
    assert red.sum() == first.sum() + second.sum()
