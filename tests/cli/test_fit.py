"""`midframe fit` and `midframe walk`: a clip becomes a network, and frames come out of it at any time."""

from fractions import Fraction

import clips
import cv2
import numpy as np
import pytest
import torch

from midframe.cli.main import run_command
from midframe.models.fitted import load_fit
from midframe.video.probe import probe, scan

QUICK = ("--size", 32, "--steps", 12, "--width", 8)


@pytest.fixture
def short(tmp_path):
    return clips.write_clip(tmp_path / "clip.mp4", clips.moving(8, (48, 64)), 25)


@pytest.fixture(scope="module")
def fitted_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    clips.write_clip(folder / "clip.mp4", clips.moving(8, (48, 64)), 25)
    made = folder / "fitted.safetensors"
    assert run_command(["fit", str(folder / "clip.mp4"), "-o", str(made), *map(str, QUICK), "-q"]) == 0
    return made.read_bytes()


@pytest.fixture
def fit(tmp_path, fitted_once):
    made = tmp_path / "fitted.safetensors"
    made.write_bytes(fitted_once)
    return made


def test_a_clip_becomes_a_small_file(midframe, short):
    code, out, err = midframe("fit", short, *QUICK, "--hold-out")
    made = short.with_suffix(".safetensors")
    assert code == 0 and err == "" and out.startswith(f"{made}\n  clip      8 frames, at 32x24\n")
    assert "on those held out; the mean of both neighbours" in out
    model, fit = load_fit(made)
    assert model.size == (24, 32) and model.frames == 8 and fit.rate == 25
    assert set(fit.figures) == {"seen", "unseen", "blend"}
    assert model.angles.shape == (7,)  # of four frames learnt from, not of eight
    assert not (short.parent / f".{made.name}.midframe").exists()
    assert "--overwrite" in midframe("fit", short, *QUICK)[2]


@pytest.mark.parametrize("variant", ["vae-gp", "vae-gp/linear"])
def test_an_autoencoder_with_a_process_is_fitted_and_walked(midframe, short, variant):
    made = short.with_suffix(".safetensors")
    code, out, err = midframe("fit", short, *QUICK, "--model", variant, "--hold-out")
    assert code == 0 and err == "" and "on those held out; the mean of both neighbours" in out
    model, fit = load_fit(made)
    assert fit.system == "vae-gp" and model.size == (24, 32) and model.points.tolist() == [0, 2, 4, 6]
    one = short.with_name("one.png")
    assert midframe("walk", made, "-o", one, "--from", "0.1", "-q") == (0, "", "")
    with torch.no_grad():
        wanted = (model(torch.tensor([2.5]))[0].permute(1, 2, 0).numpy() * 255).round()
    assert np.array_equal(cv2.imread(str(one))[..., ::-1], wanted)
    code, out, err = midframe("walk", made, "--report", short.with_name("report"), "--steps", 2)
    assert (code, err) == (0, "") and "roughness" in out


def test_a_stopped_fit_goes_on_with_the_same_result(midframe, short, fit, monkeypatch):
    from midframe.data.one_clip import OneClip

    drawn = []
    sample = OneClip.sample

    def stopping(self, generator, count):
        drawn.append(1)
        if len(drawn) == 9:
            raise KeyboardInterrupt
        return sample(self, generator, count)

    monkeypatch.setattr(OneClip, "sample", stopping)
    again = short.with_name("again.safetensors")
    code, _, err = midframe("fit", short, "-o", again, *QUICK, "-q")
    assert (code, err) == (130, "midframe: error: Interrupted. Run the same command again to go on.\n")
    drawn.extend([1] * 9)
    assert midframe("fit", short, "-o", again, *QUICK, "-q") == (0, "", "")
    assert len(drawn) - 18 < 12
    assert again.read_bytes() == fit.read_bytes()


def test_other_settings_do_not_go_on_with_a_stopped_fit(midframe, short, monkeypatch):
    from midframe.train import fit as module

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "train", stop)
        assert midframe("fit", short, *QUICK, "-q")[0] == 130
    code, _, err = midframe("fit", short, "--size", 16, "--steps", 12, "-q")
    assert code == 2 and "size 32 → 16" in err


def test_a_budget_becomes_steps(midframe, short):
    code, out, err = midframe("fit", short, "--size", 32, "--width", 8, "--budget", "3s")
    assert code == 0 and "a step: the budget is" in err and " steps\n" in out


def test_a_walk_has_the_pictures_and_the_rate_asked_for(midframe, fit):
    film = fit.with_name("slow.mp4")
    assert midframe("walk", fit, "-o", film, "--steps", 4) == (0, f"{film}: 29 frames\n", "")
    assert scan(probe(film)).rate == 25
    assert midframe("walk", fit, "-o", film, "--fps", 50, "--overwrite")[1] == f"{film}: 15 frames\n"
    timeline = scan(probe(film))
    assert timeline.rate == 50 and timeline.duration == Fraction(15, 50)
    assert midframe("walk", fit, "-o", film, "--fps", 50, "--loop", "--overwrite")[1] == f"{film}: 28 frames\n"


def test_pictures_are_those_of_the_network(midframe, fit):
    one = fit.with_name("one.png")
    assert midframe("walk", fit, "-o", one, "--from", "0.1", "-q") == (0, "", "")
    model, _ = load_fit(fit)
    with torch.no_grad():
        wanted = (model(torch.tensor([2.5]))[0].permute(1, 2, 0).numpy() * 255).round()
    assert np.array_equal(cv2.imread(str(one))[..., ::-1], wanted)
    folder = fit.with_name("pictures")
    assert midframe("walk", fit, "-o", folder, "--steps", 1, "--from", "0.2", "--to", "0.4")[1].endswith(
        "6 frames, 3 of them outside the clip, where nothing was learnt\n"
    )
    assert len(list(folder.glob("*.png"))) == 6


def test_a_straight_walk_has_the_same_ends_and_another_middle(midframe, fit):
    for name, more in (("time", ()), ("straight", ("--straight",)), ("even", ("--even",))):
        assert midframe("walk", fit, "-o", fit.with_name(name), "--steps", 2, "-q", *more) == (0, "", "")

    def picture(name, number):
        return cv2.imread(str(fit.with_name(name) / f"{number:06d}.png")).astype(int)

    for number in (1, 15):
        assert np.abs(picture("time", number) - picture("straight", number)).max() <= 1
        assert np.abs(picture("time", number) - picture("even", number)).max() <= 1
    assert (picture("time", 8) != picture("straight", 8)).any()


def test_a_report_is_three_pictures_and_figures(midframe, short, fit):
    folder = fit.with_name("report")
    code, out, err = midframe("walk", fit, "--report", folder, "--clip", short, "--steps", 2)
    assert (code, err) == (0, "") and "roughness" in out and "clip.mp4: seen" in out
    assert sorted(path.name for path in folder.iterdir()) == ["path.png", "slice.png", "speed.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("fit", "clip.mp4", "--penalty", "much"), 2, "choose curvature"),
        (("fit", "clip.mp4", "--model", "vae-gp", "--penalty", "none"), 2, "vae-gp knows no --penalty"),
        (("fit", "clip.mp4", "--kernel", "rbf", "--process", "exact"), 2, "knows no --kernel, --process"),
        (("fit", "clip.mp4", "--model", "vae-gp", "--kernel", "much"), 2, "--kernel much: choose rbf"),
        (("fit", "clip.mp4", "--model", "dis"), 2, "dis is not fitted to a clip"),
        (("fit", "clip.mp4", "--bits", "7"), 2, "choose 8, 16 or 32"),
        (("fit", "clip.mp4", "--steps", "5"), 2, "at least 10"),
        (("fit", "clip.mp4", "--steps", "50", "--budget", "1m"), 2, "give one of them"),
        (("fit", "clip.mp4", "--model", "time-to-image/huge"), 2, "has no variant 'huge'"),
        (("fit", "clip.mp4", "--size", "8"), 2, "at least 16 pixels"),
        (("fit", "nowhere.mp4"), 3, "no such file"),
        (("fit", "two.mp4"), 3, "holds 2 frames"),
        (("walk", "clip.mp4", "-o", "x.mp4"), 7, "cannot be read as safetensors"),
        (("walk", "clip.mp4"), 2, "say what to make"),
        (("walk", "fitted.safetensors", "-o", "x.xyz"), 2, ".xyz is not written"),
        (("walk", "fitted.safetensors", "-o", "x.mp4", "--from", "x"), 2, "--from x: give seconds"),
        (("walk", "fitted.safetensors", "-o", "x.mp4", "--to", "99:00"), 2, "more than 100000"),
        (("walk", "fitted.safetensors", "--report", "r", "--to", "0"), 2, "three pictures or more"),
        (("walk", "fitted.safetensors", "-o", "x.mp4", "--clip", "clip.mp4"), 2, "--clip is for --report"),
    ],
)
def test_mistakes_are_one_line(midframe, short, fit, monkeypatch, arguments, code, said):
    monkeypatch.chdir(short.parent)
    clips.write_clip("two.mp4", clips.moving(2, (48, 64)), 25)
    found, out, err = midframe(*arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert said in err
