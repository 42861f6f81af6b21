import json
import math

import cv2
import numpy as np
import pytest
import torch

from midframe.bench.report import describe_environment, format_json, format_markdown, write_json, write_markdown
from midframe.bench.suite import run_triplets
from midframe.errors import ContractError, InputError, OutputError
from midframe.metrics.psnr import psnr
from midframe.types import Contract


class Mean:
    """Stand-in model: the mean of both frames, brightened by `offset`; wants sizes that divide by `multiple`."""

    def __init__(self, offset=0.0, **contract):
        self.contract = Contract(**contract)
        self.offset = offset
        self.seen = []

    def prepare(self, frames, generator=None):
        self.seen.append(tuple(frames.shape))
        return frames

    def render(self, state, t, size=None):
        assert t == 0.5
        return state.mean(1) + self.offset


def write_suite(folder, scenes=("b", "a"), size=(13, 18), dtype=np.uint8):
    """Triplets whose truth is exactly the mean of the frames."""
    white = np.iinfo(dtype).max
    random = np.random.default_rng(0)
    for name in scenes:
        (folder / name).mkdir(parents=True)
        first = random.integers(0, white // 2, (*size, 3)).astype(dtype)
        last = first + dtype(white // 2 - 1)
        for file, image in (
            ("frame10", first),
            ("frame10i11", first + dtype((white // 2 - 1) // 2)),
            ("frame11", last),
        ):
            assert cv2.imwrite(str(folder / name / f"{file}.png"), image)
    return folder


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_model_that_is_right_scores_full_marks(tmp_path, dtype):
    row = run_triplets(write_suite(tmp_path / "toy", dtype=dtype), ["mean"], load=lambda name: Mean())[0]
    assert (row["model"], row["suite"], list(row["scenes"])) == ("mean", "toy", ["a", "b"])
    assert row["psnr"] == math.inf
    assert row["ssim"] == row["ssim_gaussian3d"] == pytest.approx(1)
    assert row["ie"] == 0 and row["seconds_per_frame"] >= 0


def test_rows_are_means_over_scenes_of_each_model(tmp_path):
    folder = write_suite(tmp_path)
    models = {"five": Mean(5 / 255), "ten": Mean(10 / 255)}
    rows = run_triplets(folder, ["five", "ten"], load=models.__getitem__)
    assert [row["model"] for row in rows] == ["five", "ten"]
    assert rows[0]["psnr"] == pytest.approx(20 * math.log10(255 / 5))
    assert rows[1]["ie"] == pytest.approx(10)
    assert rows[0]["ie"] == pytest.approx(np.mean([scene["ie"] for scene in rows[0]["scenes"].values()]))
    assert set(rows[0]["scenes"]["a"]) == {"psnr", "ssim", "ssim_gaussian3d", "ie", "seconds_per_frame"}


def test_output_is_rounded_and_clamped_before_it_is_measured(tmp_path):
    folder = write_suite(tmp_path)
    assert run_triplets(folder, ["m"], load=lambda name: Mean(0.4 / 255))[0]["psnr"] == math.inf
    white = run_triplets(folder, ["m"], load=lambda name: Mean(7.0))[0]
    truth = np.stack([cv2.imread(str(folder / s / "frame10i11.png")) for s in "ab"])
    assert white["psnr"] == pytest.approx(np.mean([psnr(np.full_like(x, 255), x, peak=255) for x in truth]))


def test_frames_are_padded_to_what_the_model_accepts(tmp_path):
    model = Mean(multiple=8, minimum=20)
    assert run_triplets(write_suite(tmp_path), ["m"], load=lambda name: model)[0]["psnr"] == math.inf
    assert set(model.seen) == {(1, 2, 3, 24, 24)}


def test_progress_covers_every_frame(tmp_path):
    calls = []
    run_triplets(write_suite(tmp_path), ["m", "n"], load=lambda name: Mean(), on_progress=lambda *x: calls.append(x))
    assert calls == [("m", "a", 0, 4), ("m", "b", 1, 4), ("n", "a", 2, 4), ("n", "b", 3, 4), ("n", "b", 4, 4)]


def test_other_folders_are_passed_over(tmp_path):
    folder = write_suite(tmp_path)
    (folder / "notes").mkdir()
    (folder / "readme.txt").write_text("")
    assert list(run_triplets(folder, ["m"], load=lambda name: Mean())[0]["scenes"]) == ["a", "b"]


def test_a_suite_that_is_not_one_is_refused(tmp_path):
    def run(folder):
        run_triplets(folder, ["m"], load=lambda name: Mean())

    with pytest.raises(InputError, match="no such folder"):
        run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no triplets"):
        run(tmp_path / "empty")
    (write_suite(tmp_path / "part") / "a" / "frame11.png").unlink()
    with pytest.raises(InputError, match=r"frame11\.png missing"):
        run(tmp_path / "part")
    (write_suite(tmp_path / "broken") / "a" / "frame11.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match="not a readable PNG"):
        run(tmp_path / "broken")
    cv2.imwrite(str(write_suite(tmp_path / "sizes") / "a" / "frame11.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InputError, match="differ in size"):
        run(tmp_path / "sizes")


def test_a_model_of_another_contract_is_refused(tmp_path):
    folder = write_suite(tmp_path)
    with pytest.raises(ContractError, match="reads the frames"):
        run_triplets(folder, ["m"], load=lambda name: Mean(inputs=(-1, 0, 1, 2)))
    with pytest.raises(ContractError, match="renders only"):
        run_triplets(folder, ["m"], load=lambda name: Mean(times=()))


def test_reports_hold_the_rows_and_where_they_were_measured(tmp_path):
    rows = run_triplets(
        write_suite(tmp_path), ["right", "off"], load={"right": Mean(), "off": Mean(5 / 255)}.__getitem__
    )
    environment = describe_environment()
    assert environment["threads"] == torch.get_num_threads()
    assert environment["device"].startswith("cpu")
    assert environment["versions"]["torch"] == torch.__version__

    write_json(tmp_path / "bench.json", rows, environment)
    read = json.loads((tmp_path / "bench.json").read_text(), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert read["rows"][0]["psnr"] is None and read["rows"][0]["scenes"]["a"]["psnr"] is None
    assert read["rows"][1]["psnr"] == pytest.approx(rows[1]["psnr"])
    assert read["environment"] == environment
    assert format_json(rows, environment).endswith("}\n")

    write_markdown(tmp_path / "bench.md", rows, environment)
    lines = (tmp_path / "bench.md").read_text().splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|") == lines[3].count("|")
    assert "| inf |" in lines[2] and "34.15" in lines[3]
    assert format_markdown(rows, environment).splitlines() == lines

    with pytest.raises(OutputError, match="cannot be written"):
        write_json(tmp_path / "nowhere" / "bench.json", rows, environment)


def test_the_suite_runs_models_of_the_catalogue(tmp_path):
    from midframe.models.load import load

    row = run_triplets(write_suite(tmp_path, size=(33, 47)), ["blend"], load=load)[0]
    assert row["psnr"] > 50
