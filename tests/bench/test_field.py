"""The table of the field: published figures beside what was measured here."""

import pytest

from midframe.bench.field import format_field, write_field
from midframe.bench.published import FIELD
from midframe.bench.quality import Record
from midframe.bench.results import write_results
from midframe.bench.speed import Cost
from midframe.errors import InputError
from midframe.models.catalogue import SYSTEMS, resolve


def measured(model: str, psnr: float, lpips: float, *, done: bool = True) -> Record:
    record = Record(model, "val", "", "d", done=done)
    for key in record.frames:
        record.frames[key] = {"psnr": [psnr, psnr + 1], "lpips": [lpips, lpips]}.get(key, [2, 2])
    return record


def line(page: str, name: str) -> list[str]:
    return next(
        [cell.strip() for cell in row.split("|")[1:-1]] for row in page.splitlines() if row.startswith(f"| [{name}]")
    )


def test_every_interpolating_system_has_a_line():
    page = format_field(SYSTEMS, [], [], [])
    assert page.count("\n| [") == sum(row.task == "interpolate" for row in SYSTEMS)
    assert "| [raft]" not in page


def test_published_and_measured_stand_side_by_side():
    cost = Cost("sepconv", "", "cpu", "here", macs=2.5e9, seconds={"1280x720": 1.25})
    page = format_field(SYSTEMS, [measured("sepconv", 30, 0.1)], [measured("sepconv", 34, 0.2)], [cost])
    assert line(page, "sepconv")[1:] == [
        "none", "2017", "21.7 M", "33.79 / 0.9702", "21.68 M", "2.5", "1.25", "30.50", "0.1000", "34.50",
    ]  # fmt: skip
    assert line(page, "qvi")[4] == "34.98 / 0.97 *7*"
    assert line(page, "blend")[1:6] == ["needs none", "–", "–", "–", "none"]
    assert line(page, "rife-4.26")[1] == "the authors'"
    assert line(page, "qvi-s")[1].startswith("ours: ")


def test_what_is_not_measured_to_its_end_is_left_out():
    page = format_field(SYSTEMS, [measured("dis", 30, 0.1, done=False)], [], [])
    assert line(page, "dis")[8:] == ["–", "–", "–"]


def test_the_table_names_systems_that_there_are():
    assert all(resolve(name) for row in FIELD for name in row.systems)


def test_it_is_made_of_what_a_folder_holds(tmp_path):
    with pytest.raises(InputError, match="measure first"):
        write_field(tmp_path)
    write_results(tmp_path / "val.json", [measured("dis", 30, 0.1)])
    assert "30.50" in write_field(tmp_path).read_text()
