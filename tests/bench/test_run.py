import json

import cv2
import numpy as np
import pytest
import stand_ins

from midframe.bench import run, speed
from midframe.bench.page import format_page, parts, plot_quality, summarise, write_sheet
from midframe.bench.quality import METRICS, Record
from midframe.bench.run import canonical, run_bench
from midframe.errors import InputError, ModelError, OutputError


@pytest.fixture
def data(tmp_path):
    """Three scenes in Middlebury's layout and a clip of nine frames."""
    noise = np.random.default_rng(0)
    for name in "abc":
        first = noise.integers(0, 100, (32, 40, 3)).astype(np.uint8)
        folder = tmp_path / "data" / "middlebury" / name
        folder.mkdir(parents=True)
        for number, file in enumerate(("frame10", "frame10i11", "frame11")):
            cv2.imwrite(str(folder / f"{file}.png"), first + np.uint8(20 * number))
    folder = tmp_path / "data" / "val"
    folder.mkdir()
    for number in range(9):
        cv2.imwrite(str(folder / f"{number}.png"), noise.integers(0, 256, (64, 80, 3)).astype(np.uint8))
    return tmp_path / "data"


@pytest.fixture
def bench(data, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "COUNTED", (64, 48))
    monkeypatch.setattr("midframe.bench.page.COUNTED", (64, 48))
    monkeypatch.setattr(speed, "measure_memory", lambda *a, **k: type("Memory", (), {"added": 2**20}))

    noise = np.random.default_rng(1)
    monkeypatch.setattr(
        speed, "make_pair", lambda width, height: noise.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    )

    def no_weights(kind):
        raise ModelError("The weights of LPIPS are not installed.")

    monkeypatch.setattr(run, "load_network", no_weights)

    def call(suites, models, **options):
        options = {"load": stand_ins.load, "data": data, "sizes": ((64, 48),), "runs": 1, **options}
        return run_bench(suites, models, output=tmp_path / "out", **options)

    return call


def test_a_run_writes_page_plot_and_results(bench, tmp_path):
    said = []
    report = bench(["middlebury", "val"], ["blend", "dis/fast"], say=said.append)
    out = tmp_path / "out"
    assert report.failures == []
    assert report.written == [out / name for name in ("middlebury.md", "middlebury.png", "val.md", "val.png")]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["cost.json", "middlebury.json", "middlebury.md", "middlebury.png", "val.json", "val.md", "val.png"]
    )
    page = (out / "middlebury.md").read_text()
    assert "midframe bench --suite middlebury --data DIR --models blend,dis/fast" in page
    assert "| `blend` | 100.00 | 1.0000 | 1.0000 | 0.00 | – |" in page
    assert "IFRNet-S | 37.24" in page and "0.00 M" in page
    assert "### 2×" in (out / "val.md").read_text() and "### 4×" in (out / "val.md").read_text()
    assert "LPIPS is left out. The weights of LPIPS are not installed." in said
    # JSON that any program reads: no NaN, no infinity
    for name in ("middlebury", "val", "cost"):
        json.loads((out / f"{name}.json").read_text(), parse_constant=pytest.fail)


def test_what_was_measured_is_kept_and_models_join_the_page(bench, tmp_path):
    bench(["middlebury"], ["blend"])
    loads = []

    def load(name, device):
        loads.append(name)
        model = stand_ins.load(name)
        if name == "blend":
            model.render = None  # must not be asked again
        return model

    bench(["middlebury"], ["blend", "dis"], load=load)
    page = (tmp_path / "out" / "middlebury.md").read_text()
    assert page.count("| `blend` |") == 2 and page.count("| `dis` |") == 2  # quality and cost
    bench(["middlebury"], ["dis"], refresh=True)
    records = json.loads((tmp_path / "out" / "middlebury.json").read_text())
    assert [record["model"] for record in records] == ["blend", "dis"]


def test_other_weights_or_other_pictures_are_measured_again(bench, data, tmp_path):
    bench(["middlebury"], ["dis/fast"])

    def heavier(name, device):
        model = stand_ins.load(name)
        model.layer.weight.data *= 0.5
        return model

    before = (tmp_path / "out" / "middlebury.json").read_text()
    bench(["middlebury"], ["dis/fast"], load=heavier)
    (record,) = json.loads((tmp_path / "out" / "middlebury.json").read_text())
    assert record["frames"]["psnr"] != json.loads(before)[0]["frames"]["psnr"]
    cv2.imwrite(str(data / "middlebury" / "a" / "frame10i11.png"), np.zeros((32, 40, 3), np.uint8))
    bench(["middlebury"], ["blend"])
    assert [r["model"] for r in json.loads((tmp_path / "out" / "middlebury.json").read_text())] == ["blend"]


def test_models_that_cannot_be_measured_are_told_and_the_others_go_on(bench, tmp_path):
    def load(name, device):
        if name == "dis":
            raise ModelError("Weights dis are not here.")
        return stand_ins.load(name)

    report = bench(["middlebury"], ["dis", "phase", "blend"], load=load)
    assert report.failures == [
        "dis: Weights dis are not here.",
        "phase, cost on cpu: It does not like these frames.",
        "phase, middlebury: It does not like these frames.",
    ]
    page = (tmp_path / "out" / "middlebury.md").read_text()
    assert "`blend`" in page and "`phase`" not in page and "`dis`" not in page


def test_sheets_hold_the_worst_frames_and_lie_elsewhere(bench, tmp_path):
    report = bench(["val"], ["blend"], sheets=tmp_path / "sheets", sizes=())
    sheet = tmp_path / "sheets" / "val-blend.jpg"
    assert sheet in report.written and cv2.imread(str(sheet)).shape[1] == 3 * 320
    assert not (tmp_path / "out" / "val.png").exists()  # nothing was timed
    assert "## Cost" not in (tmp_path / "out" / "val.md").read_text()


def test_damaged_results_and_places_are_refused(bench, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "middlebury.json").write_text("[{]")
    with pytest.raises(InputError, match="not results of midframe bench"):
        bench(["middlebury"], ["blend"], sizes=())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        run.write_results(tmp_path / "file" / "cost.json", [])


def test_a_default_variant_goes_by_the_name_of_its_system():
    assert canonical("dis/balanced") == canonical("dis") == "dis"
    assert canonical("dis/fast") == "dis/fast"


def record_of(model, values):
    frames = {"factor": [2] * len(values), **{metric: list(values) for metric in METRICS}}
    return Record(model, "val", "", "abc", windows=len(values), done=True, frames=frames)


def test_the_hard_part_is_the_tenth_that_dis_makes_worst():
    dis, other = record_of("dis", np.arange(200.0)[::-1]), record_of("other", np.arange(200.0))
    ((title, indices),) = parts([other, dis]).items()
    assert "20 frames that dis makes worst" in title and indices == list(range(180, 200))
    assert summarise(other, indices)["psnr"] == pytest.approx(189.5)
    assert summarise(other)["lpips"] == pytest.approx(99.5)
    assert parts([other]) == parts([record_of("dis", range(50))]) == parts([]) == {}


def test_figures_that_were_not_measured_have_no_mean():
    record = record_of("a", [None, None])
    assert summarise(record)["lpips"] is None
    record.frames["lpips"] = [None, 3.0]
    assert summarise(record)["lpips"] == 3


def test_plots_and_sheets_that_cannot_be_written_are_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    cost = speed.Cost("a", "", "cpu", "", seconds={"1280x720": 0.1})
    with pytest.raises(OutputError, match="--output"):
        plot_quality([record_of("a", [1.0])], [cost], tmp_path / "file" / "plot.png")
    assert not plot_quality([record_of("a", [1.0])], [], tmp_path / "none.png")
    from midframe.bench.clips import Picture, Score

    grey = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(OutputError, match="--sheets"):
        write_sheet([Picture(Score("a", 2, 1, 1.0, None), grey, grey)], tmp_path / "file" / "sheet.jpg")


def test_a_suite_without_published_figures_has_no_such_part():
    from midframe.bench.cases import open_suite
    from midframe.bench.report import describe_environment

    record = record_of("blend", [1.0, 2.0])
    record.environment = describe_environment()
    page = format_page(open_suite("synthetic"), [record], [])
    assert "## Published" not in page and "--data" not in page and "1.50" in page
