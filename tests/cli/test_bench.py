import cv2
import numpy as np
import pytest


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "middlebury" / "scene"
    folder.mkdir(parents=True)
    for number, name in enumerate(("frame10", "frame10i11", "frame11")):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((48, 64, 3), 40 * number, np.uint8))
    return tmp_path


def test_a_suite_is_measured_and_its_page_named(midframe, data):
    command = ("bench", "--suite", "middlebury", "--data", data, "--models", "blend", "--sizes", "none",
               "--output", data / "out", "--sheets", data / "sheets")  # fmt: skip
    code, out, err = midframe(*command)
    assert code == 0, err
    assert out.split() == [str(data / "sheets" / "middlebury-blend.jpg"), str(data / "out" / "middlebury.md")]
    assert "middlebury: blend" in err
    assert "all measured before" in midframe(*command)[2]


def test_a_model_without_weights_is_one_line_and_exit_code_7(midframe, data, monkeypatch):
    from midframe.errors import ModelError
    from midframe.models import load

    whole = load.load

    def missing(name, device="cpu", **options):
        if name == "dis/fast":
            raise ModelError("Weights of dis/fast are not here.")
        return whole(name, device, **options)

    monkeypatch.setattr(load, "load", missing)
    code, out, err = midframe(
        "bench", "--suite", "middlebury", "--data", data, "--models", "dis/fast,blend", "--sizes", "none",
        "--output", data / "out", "--sheets", data / "sheets", "-q",
    )  # fmt: skip
    assert (code, out, err) == (7, "", "midframe: error: dis/fast: Weights of dis/fast are not here.\n")
    assert "`blend`" in (data / "out" / "middlebury.md").read_text()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "--suite NAMES, --triplets DIR or --field"),
        (["--suite", "val", "--triplets", "x"], "one of them"),
        (["--suite", "vall"], "No suite is called 'vall'"),
        (["--suite", "val"], "needs --data"),
        (["--suite", "synthetic", "--json", "x.json"], "go with --triplets"),
        (["--suite", "synthetic", "--sizes", "720p"], "--sizes 720p"),
        (["--suite", "synthetic", "--models", ","], "names none"),
        (["--suite", "synthetic", "--models", "diss"], "No model is called 'diss'"),
    ],
)
def test_what_cannot_be_meant_is_refused(midframe, options, complaint):
    code, _, err = midframe("bench", *options)
    assert code == 2 and complaint in err
