"""`midframe train` and `midframe eval` on a tiny network and store, and what they say when something is wrong."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import clips
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_networks import tiny_network

from midframe.bench import flow
from midframe.cli.train import read_duration
from midframe.data.pack import find_clips, pack
from midframe.errors import UsageError
from midframe.models.load import build, find_weights
from midframe.ops import perception
from midframe.train.log import read_rows
from midframe.weights import load_state

RECIPE = """
system = "ifrnet-s/tiny"
[data]
crop = 32
batch = 2
synthetic = 0.25
flow = true
[optim]
steps = {steps}
warm_up = 0
[run]
precision = "fp32"
log_every = 1
validate_every = 2
save_every = 2
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a store, a clip to measure on, and recipes of three steps and of very many."""
    folder = tmp_path_factory.mktemp("train")
    clips.write_images(folder / "frames", clips.moving(6, (48, 64)))
    pack(find_clips([folder / "frames"]), folder / "store")
    (folder / "val").mkdir()
    clips.write_clip(folder / "val" / "clip.mkv", clips.moving(6, (48, 64)), 25, codec="ffv1", pix_fmt="bgr0")
    (folder / "small.toml").write_text(RECIPE.format(steps=3))
    (folder / "endless.toml").write_text(RECIPE.format(steps=1_000_000))
    flow = RECIPE.format(steps=3).replace("ifrnet-s/tiny", "raft-s/tiny").replace("synthetic = 0.25", "synthetic = 1.0")
    (folder / "flow.toml").write_text(flow.replace("crop = 32", "crop = 64"))
    (folder / "blend.toml").write_text('system = "blend"')
    midnet = RECIPE.format(steps=1).replace("ifrnet-s/tiny", "midnet/tiny").replace("flow = true", "")
    (folder / "lpips.toml").write_text(midnet.replace("[optim]", "[optim]\nlpips = 1.0"))
    (folder / "blind.toml").write_text(RECIPE.format(steps=1).replace("[optim]", "[optim]\nlpips = 1.0"))
    (folder / "woven.toml").write_text((folder / "flow.toml").read_text().replace("[optim]", "[optim]\ntexture = 0.1"))
    larger = RECIPE.format(steps=2).replace("ifrnet-s/tiny", "videoinr-s/tiny").replace("synthetic = 0.25", "")
    (folder / "larger.toml").write_text(larger.replace("flow = true", "shrink = [2.0, 4.0]\ntargets = 2"))
    (folder / "begun.toml").write_text('start = "midnet"\n' + midnet)
    (folder / "astray.toml").write_text('start = "dis"\n' + midnet)
    return folder


@pytest.fixture
def train(midframe, place, tmp_path):
    """train("--resume", recipe="small") → (exit code, stdout, stderr); results in tmp_path/run."""

    def call(*options, recipe="small"):
        command = (place / f"{recipe}.toml", "--data", place / "store", "-o", tmp_path / "run", "--device", "cpu")
        return midframe("train", *command, *options)

    return call


def test_a_training_leaves_what_it_promises_and_eval_takes_its_weights(train, midframe, place, tmp_path):
    code, out, err = train("--validate", place / "val")
    run = tmp_path / "run"
    assert (code, out) == (0, ""), err
    lines = err.splitlines()
    assert re.match(r"step 1/3  loss \d\.\d{5}  rate 3\.00e-04  \S+ samples/s, \S+ TFLOP/s, \d+% waiting", lines[0])
    assert re.fullmatch(rf"{run}: step 3 of 3 after \S+ s, best \d+\.\d{{3}} dB", lines[-1])
    names = {path.name for path in run.iterdir()}
    assert {"best.safetensors", "last.safetensors", "last.pt", "log.csv", "curve.png", "worst0.png"} <= names
    rows = read_rows(run / "log.csv")
    assert [row["step"] for row in rows if "val psnr" in row] == ["2", "3"]
    assert {"loss", "reconstruction", "geometry", "rate", "norm", "val psnr 2x", "val psnr 4x"} <= set().union(*rows)

    best = run / "best.safetensors"
    code, out, err = midframe("eval", "ifrnet-s/tiny", "--weights", best, "--clips", place / "val", "--per-clip")
    assert (code, err) == (0, "")
    assert re.fullmatch(
        r"2x  \d+\.\d{3} dB  sharpness \S+  \(2 frames\)\n"
        r"4x  \S+ dB  \S+ \S+  \(3 frames\)\nclip\S*  \S+ dB  \S+ \S+  \(5 frames\)\n",
        out,
    )
    code, _, err = train("--weights", best, "-o", tmp_path / "second", "-q")
    assert (code, err) == (0, "")


def test_a_budget_ends_it_and_resume_goes_on(train, tmp_path):
    code, _, err = train("--budget", "0.1s", recipe="endless")
    assert code == 0 and re.search(r"step \d+ of 1000000 after \S+ s; --resume goes on$", err.strip())
    before = len(read_rows(tmp_path / "run" / "log.csv"))
    code, _, err = train(recipe="endless")
    assert (code, err.count("\n")) == (2, 1) and f"holds a training at step {before}; --resume goes on" in err
    code, _, err = train("--budget", "0.1s", "--resume", recipe="endless")
    assert code == 0 and f"goes on at step {before} of 1000000" in err
    assert len(read_rows(tmp_path / "run" / "log.csv")) > before
    code, _, err = train("--resume")
    assert (code, err.count("\n")) == (2, 1) and "was made by another recipe" in err


def test_a_signal_leaves_a_checkpoint_and_says_how_to_go_on(place, tmp_path):
    words = [place / "endless.toml", "--data", place / "store", "-o", tmp_path / "run", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "midframe.cli.main", "train", *map(str, words)],
        stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    until = time.monotonic() + 120
    while len(read_rows(tmp_path / "run" / "log.csv")) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    last = err.splitlines()[-1]
    assert process.returncode == 143, err
    assert last == f"midframe: error: Terminated. The same command with --resume goes on from {tmp_path / 'run'}."
    assert load_file(tmp_path / "run" / "last.safetensors") and (tmp_path / "run" / "last.pt").is_file()


@pytest.mark.parametrize(
    ("recipe", "options", "code", "message"),
    [
        ("nowhere", [], 3, "nowhere.toml: cannot be read"),
        ("blend", [], 2, "blend cannot be trained: it has no loss."),
        ("blind", [], 2, "ifrnet-s/tiny cannot be trained on LPIPS"),
        ("woven", [], 2, "raft-s/tiny makes no frames whose texture could be seen: leave [optim] texture away."),
        ("astray", [], 2, "midnet/tiny cannot start from dis"),
        ("small", ["--budget", "soon"], 2, "--budget soon: give a time such as 20m"),
        ("small", ["--data", "nowhere"], 3, "nowhere is not a packed store"),
        ("small", ["--validate", "nowhere"], 3, "nowhere: no such file or folder"),
        ("small", ["--weights", "nowhere.safetensors"], 7, "nowhere.safetensors"),
        ("small", ["--device", "gpu"], 2, "No device is called 'gpu'"),
        ("small", ["--windows", "0"], 2, "--windows"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_of_train_is_one_line(train, tmp_path, monkeypatch, recipe, options, code, message):
    monkeypatch.chdir(tmp_path)
    found, out, err = train(*options, recipe=recipe)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err and not (tmp_path / "run").exists()


def test_training_on_lpips_says_its_lpips(train, place, tmp_path, monkeypatch):
    monkeypatch.setattr(perception, "load_network", lambda kind: tiny_network(kind).to(torch.float32))
    code, _, err = train("--validate", place / "val", recipe="lpips")
    assert code == 0 and re.search(r"best LPIPS \d\.\d{4}", err)
    assert "val lpips 4x" in (tmp_path / "run" / "log.csv").read_text()


@pytest.fixture
def few_scenes(monkeypatch):
    monkeypatch.setattr(flow, "FlowScenes", partial(flow.FlowScenes, count=2, size=(64, 96)))


def test_a_model_of_flow_is_judged_by_its_error(midframe, few_scenes, place, tmp_path):
    run = tmp_path / "run"
    code, out, err = midframe("train", place / "flow.toml", "-o", run, "--device", "cpu")
    assert (code, out) == (0, ""), err
    best = re.fullmatch(rf"{run}: step 3 of 3 after \S+ s, best EPE (\d+\.\d{{3}}) px", err.splitlines()[-1])
    rows = [row for row in read_rows(run / "log.csv") if "val epe" in row]
    assert [row["step"] for row in rows] == ["2", "3"] and {"val epe visible", "val over 3 px"} <= set(rows[0])
    assert float(best[1]) == pytest.approx(min(float(row["val epe"]) for row in rows), abs=1e-3)

    code, out, err = midframe("eval", "raft-s/tiny", "--weights", run / "best.safetensors")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(r"\s+EPE\s+visible\s+> 3 px", lines[0])
    assert re.fullmatch(r"raft-s/tiny\s+\d+\.\d{3}\s+\d+\.\d{3}\s+\d+\.\d\d%", lines[1])
    assert [line.split()[0] for line in lines[2:]] == ["dis/best", "dis/balanced", "dis/fast", "farneback"]


def test_a_model_of_flow_is_measured_on_photographs_only(midframe, place, tmp_path):
    command = ("train", place / "flow.toml", "-o", tmp_path / "run", "--device", "cpu", "--validate", place / "val")
    code, _, err = midframe(*command)
    assert (code, err.count("\n")) == (3, 1) and "val: holds no photographs" in err


def test_a_recipe_begins_with_what_fits_of_another_system(train, tmp_path):
    code, _, err = train("--budget", "1s", recipe="begun")
    assert code == 0, err
    begun, whole = load_file(tmp_path / "run" / "last.safetensors"), load_state(find_weights("midnet"))
    fitting = [name for name, value in begun.items() if whole[name].shape == value.shape]
    assert fitting
    for name in fitting:  # one step of 3e-4 has not led far from them
        assert float((begun[name].float() - whole[name].float()).abs().max()) < 2e-3


def test_a_missing_store_is_one_line(midframe, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = midframe("train", place / "small.toml", "--device", "cpu")
    assert (code, err.count("\n")) == (2, 1) and "small is trained on footage: give a store with --data" in err


def test_weights_of_another_model_are_one_line(train, midframe, place, tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    found = [
        train("--weights", tmp_path / "other.safetensors"),
        midframe("eval", "ifrnet-s/tiny", "--weights", tmp_path / "other.safetensors", "--clips", place / "val"),
    ]
    for code, _, err in found:
        assert (code, err.count("\n")) == (7, 1) and "other.safetensors does not fit" in err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["dis", "--clips", "nowhere"], 3, "nowhere: no such file or folder"),
        (["diss", "--clips", "val"], 2, "Did you mean 'dis'?"),
        (["blend", "--clips", "val", "--factors", "two"], 2, "--factors two: give whole numbers such as 2,4."),
        (["blend", "--clips", "val", "--factors", "1"], 2, "different numbers of 2 or more"),
        (["blend", "--clips", "val", "--factors", "9"], 3, "6 frames, one more than 9 is the least"),
        (["blend", "--clips", "val", "--weights", "x.safetensors"], 2, "blend has no weights to load"),
        (["ifrnet-s/tiny", "--clips", "val", "--weights", "x.safetensors"], 7, "x.safetensors: no such file."),
        (["ifrnet-m", "--clips", "val"], 7, "has no published weights"),
        (["blend"], 2, "Give the clips to measure on: --clips DIR."),
        (["blend", "--clips", "val", "--photos", "val"], 2, "blend is measured on clips: leave out --photos."),
        (["raft-s", "--clips", "val"], 2, "raft-s estimates flow, and clips have no true flow: leave out --clips"),
        (["raft"], 7, "raft/base has no published weights"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_of_eval_is_one_line(midframe, place, tmp_path, monkeypatch, options, code, message):
    monkeypatch.chdir(place)
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    found, out, err = midframe("eval", *options)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err


def test_eval_measures_a_classical_model(midframe, place):
    code, out, _ = midframe("eval", "dis/tiny", "--clips", place / "val", "--factors", "2", "--windows", "1")
    assert code == 0 and re.fullmatch(r"2x  \d+\.\d{3} dB  sharpness \d\.\d{3}  \(1 frames\)\n", out)


def test_eval_counts_where_shapes_go_in_sampled_futures(midframe, tmp_path):
    weights = tmp_path / "tiny.safetensors"
    save_file(build("visual-dynamics/tiny").state_dict(), weights)
    code, out, _ = midframe(
        "eval", "visual-dynamics/tiny", "--weights", weights, "--pictures", 1, "--samples", 2, "--quiet"
    )
    assert code == 0 and [line.split("|")[1].strip() for line in out.splitlines()[2:5]] == [
        "truth", "still", "visual-dynamics/tiny"
    ]  # fmt: skip


def test_samples_are_for_models_of_futures_and_pictures(midframe):
    code, _, err = midframe("eval", "extrapolate/tiny", "--samples", 2)
    assert code == 2 and "measured frame by frame: leave out --samples and --pictures" in err


def test_a_system_that_enlarges_is_trained_and_measured_beside_bicubic(train, midframe, place, tmp_path):
    code, _, err = train("--validate", place / "val", recipe="larger")
    assert code == 0, err
    rows = read_rows(tmp_path / "run" / "log.csv")
    assert {"val psnr", "val psnr kept", "val psnr left out"} <= set(rows[-1]) | set(rows[-2])
    best = tmp_path / "run" / "best.safetensors"
    code, out, err = midframe(
        "eval", "videoinr-s/tiny", "--weights", best, "--clips", place / "val", "--scale", 3, "--factors", "1,4", "-q"
    )
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("1 times the frames, 3 times the size, ")
    assert lines[4].startswith("4 times the frames, 3 times the size, 5 frames; PSNR / SSIM of Y")
    assert [line.split("  ")[0] for line in lines if "." in line] == ["videoinr-s/tiny", "bicubic, cross-fade"] * 2
    code, out, _ = midframe("eval", "blend+bicubic", "--clips", place / "val", "--scale", 3, "--factors", "4", "-q")
    joined, crossfade = out.splitlines()[-2:]
    assert code == 0 and joined.startswith("blend+bicubic ") and joined.split()[1:] == crossfade.split()[2:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["blend", "--clips", "val", "--scale", "2"], "blend keeps the size: leave out --scale 2."),
        (["videoinr-s/tiny", "--scale", "40"], "videoinr-s/tiny enlarges 1 to 16 times: --scale 40 is not within that"),
        (["zooming-slowmo/tiny", "--factors", "4"], "zooming-slowmo/tiny renders only t = 0, 1/2"),
        (["zooming-slowmo/tiny", "--factors", "2"], "no clip has 7 frames"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_measured_of_a_system_that_enlarges_is_one_line(
    midframe, place, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(place)
    weights = tmp_path / "tiny.safetensors"
    if "/" in options[0]:
        save_file(build(options[0]).state_dict(), weights)
        options = [*options, "--weights", weights, "--clips", "val"]
    code, out, err = midframe("eval", *options)
    assert code in (2, 3) and (out, err.count("\n")) == ("", 1)
    assert message in err


def test_a_budget_is_read():
    assert [read_duration(text) for text in ("20m", "90s", "1h30m", "45", "0.5h", "1h1m1s")] == [
        1200, 90, 5400, 45, 1800, 3661,
    ]  # fmt: skip
    for text in ("", "0", "soon", "5d", "-3m", "m"):
        with pytest.raises(UsageError, match="--budget"):
            read_duration(text)


def test_a_propagator_is_measured_by_its_masks(midframe, place, tmp_path, monkeypatch):
    from midframe.bench import masks

    films = masks.made_films(count=1, size=(48, 64), length=5)
    monkeypatch.setattr(masks, "few_films", lambda photos=None: films)
    text = RECIPE.format(steps=3).replace("ifrnet-s/tiny", "colorization-s/tiny")
    text = text.replace("synthetic = 0.25\nflow = true", "inputs = 3\ngaps = [1]")
    # oneDNN's backward pass of convolutions of 4 channels, channels last, writes past its memory (torch 2.13)
    text = text.replace("[run]", "[run]\nchannels_last = false")
    (tmp_path / "tracker.toml").write_text(text)
    code, _, err = midframe("train", tmp_path / "tracker.toml", "--data", place / "store", "-o", tmp_path / "out")
    assert code == 0 and re.search(r"best J&F [\d.]+ %", err)
    assert (tmp_path / "out" / "best.safetensors").is_file()
    assert "val J&F" in set().union(*read_rows(tmp_path / "out" / "log.csv"))
    code, out, _ = midframe("data", "colours", place / "store", "-q")
    assert code == 0 and len(out.splitlines()) == 16
