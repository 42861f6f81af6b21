"""A classifier from the command line: trained on made data, with an alarm if it learns nothing, and measured."""

import numpy as np
import pytest

from midframe.bench.classify import open_test_set
from midframe.data import mnist
from midframe.errors import UsageError

RECIPE = """system = "bayesian-hypernet-s/{variant}"
[data]
made = "{made}"
batch = 4
[optim]
steps = 4
warm_up = 0
[run]
validate_every = 2
held_out = 8
"""


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """MNIST of ten made pictures a part, each with a bar in a place of its own."""
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    pictures = np.zeros((10, 28, 28), np.uint8)
    for k in range(10):
        pictures[k, 2 * k + 3 : 2 * k + 6] = 255
    arrays = {}
    for part in mnist.COUNTS:
        arrays[f"{part}_pictures"], arrays[f"{part}_digits"] = pictures, np.arange(10)
    np.savez(mnist.path_of_mnist(), **arrays)


def write_recipe(path, variant, made="two-digits"):
    path.write_text(RECIPE.format(variant=variant, made=made))
    return path


def test_training_sounds_the_alarm_and_eval_tells_three_ways(midframe, digits, tmp_path):
    recipe = write_recipe(tmp_path / "tiny.toml", "tiny")
    code, out, err = midframe("train", recipe, "-o", "run", "--device", "cpu")
    assert code == 0 and out == ""
    alarms = [line for line in err.splitlines() if line.startswith("nothing is learnt: cross entropy")]
    assert len(alarms) == 2 and all("σ / |μ| = " in line and "step / target = " in line for line in alarms)
    assert "best held-out loss" in err and err.rstrip().endswith("nats a picture")
    weights = ("--weights", "run/best.safetensors")
    code, out, err = midframe("eval", "bayesian-hypernet-s/tiny", *weights, "--samples", 2, "--pictures", 6, "-q")
    lines = out.splitlines()
    assert (code, err) == (0, "") and [line.split("  ")[0] for line in lines[:3]] == [
        "mean weights", "one drawing", "2 drawings averaged",
    ]  # fmt: skip
    assert all("right, cross entropy" in line and "calibration error" in line for line in lines[:3])
    assert lines[3] == "6 pairs of pictures of MNIST's test set, 100 classes"


def test_the_test_set_is_always_the_same(digits):
    pictures, truth = open_test_set(100, 7)
    again, _ = open_test_set(100, 7)
    assert pictures.shape == (7, 1, 28, 56) and bool((pictures == again).all())
    for picture, number in zip(pictures, truth.tolist(), strict=True):
        rows = [2 * (number // 10) + 4, 2 * (number % 10) + 4]
        assert picture[0, rows[0], 0] == picture[0, rows[1], 30] == 1
    singles, digit = open_test_set(10, 3)
    assert singles.shape == (3, 1, 28, 28) and digit.tolist() == [0, 1, 2] and singles.max() == 1
    for classes, count in ((7, 1), (10, 0)):
        with pytest.raises(UsageError, match="of 10 or 100 classes"):
            open_test_set(classes, count)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("eval", "bayesian-hypernet-s", "--clips", "x"), "leave out --clips x"),
        (("eval", "bayesian-hypernet-s", "--pictures", "20000"), "1 to 10000 pictures"),
        (("eval", "bayesian-hypernet"), "bayesian-hypernet/base has no published weights"),
        (("interpolate", "x.mp4", "--model", "bayesian-hypernet-s"), "says what a picture shows"),
        (("train", "one.toml", "--device", "cpu"), "was made for grey pictures of 56x28"),
        (("fit", "x.mp4", "--model", "bayesian-hypernet-s"), "is not fitted to a clip. These are: time-to-image"),
    ],
)
def test_mistakes_are_one_line(midframe, digits, tmp_path, arguments, said):
    write_recipe(tmp_path / "one.toml", "tiny", "mnist")
    if "--pictures" in arguments:
        from safetensors.torch import save_file

        from midframe.models.load import build

        save_file(build("bayesian-hypernet-s").state_dict(), tmp_path / "w.safetensors")
        arguments = (*arguments, "--weights", "w.safetensors")
    code, _, err = midframe(*arguments)
    assert code != 0 and said in err.splitlines()[-1] and err.splitlines()[-1].startswith("midframe: error: ")
