import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from midframe import weights
from midframe.errors import ModelError, UsageError
from midframe.models import catalogue, load
from midframe.models.catalogue import SYSTEMS, System, find, resolve, systems


@pytest.fixture
def plugged_in(monkeypatch):
    """Pretend that packages with these entry points are installed."""

    def plug(*points: EntryPoint) -> None:
        monkeypatch.setattr(catalogue, "entry_points", lambda group: points if group == "midframe.systems" else ())
        systems.cache_clear()

    yield plug
    monkeypatch.undo()
    systems.cache_clear()


EXTRA = System("extra", "midframe.models.blend:Blend", task="interpolate", year=2026, paper="", variants={"tiny": {}})
TWICE = System("dis", "midframe.models.blend:Blend", task="interpolate", year=2026, paper="", variants={"tiny": {}})
NONSENSE = 3


def test_importing_the_catalogue_does_not_import_torch():
    code = "import sys, midframe.models.catalogue as c; c.systems(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("row", SYSTEMS, ids=lambda row: row.name)
def test_row_is_complete(row: System):
    assert "tiny" in row.variants
    assert row.default != "tiny"
    assert set(row.row()) == {
        "name",
        "task",
        "paper",
        "year",
        "params",
        "weights",
        "variants",
        "untrained",
        "times",
        "licence",
    }
    assert (row.weights in ("pull", "repo", "bundled")) == bool(row.cards)
    for variant in row.variants:
        load.build(f"{row.name}/{variant}", "meta" if row.needs_weights else "cpu")
    for name in row.cards:
        card = weights.card(name)
        assert card.system == row.name
        assert set(card.variants) <= set(row.variants)


def test_names_are_unique():
    assert len({row.name for row in SYSTEMS}) == len(SYSTEMS)


def test_name_means_its_default_variant():
    assert resolve("dis") == (find("dis"), "balanced")
    assert resolve("dis/fast") == (find("dis"), "fast")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("diss", "mean 'dis'"), ("", "There are: .*dis, phase"), ("dis/huge", "It has: balanced, best, fast")],
)
def test_unknown_name_is_refused_with_what_there_is(name, hint):
    with pytest.raises(UsageError, match=hint):
        load.load(name)


@pytest.mark.parametrize("device", ["potato", "cuda:99"])
def test_unusable_device_is_refused(device):
    with pytest.raises(UsageError, match="cpu"):
        load.load("blend", device)


def test_weights_for_a_system_without_any_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no weights"):
        load.load("blend", weights=tmp_path / "x.safetensors")


def test_package_adds_a_system(plugged_in):
    plugged_in(EntryPoint("extra", f"{__name__}:EXTRA", "midframe.systems"))
    assert find("extra") is EXTRA
    load.load("extra")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (":TWICE", "another system"),
        (":NONSENSE", "not System"),
        (":MISSING", "cannot be loaded"),
        ("_gone:X", "loaded"),
    ],
)
def test_unusable_package_is_named(plugged_in, value, complaint):
    plugged_in(EntryPoint("bad", f"{__name__}{value}", "midframe.systems"))
    with pytest.raises(ModelError, match=complaint):
        systems()


def test_package_whose_class_is_missing_is_named(plugged_in, monkeypatch):
    gone = System("gone", "midframe.models.blend:Gone", task="interpolate", year=1, paper="", variants={"tiny": {}})
    monkeypatch.setattr(sys.modules[__name__], "EXTRA", gone)
    plugged_in(EntryPoint("extra", f"{__name__}:EXTRA", "midframe.systems"))
    with pytest.raises(ModelError, match="Gone"):
        load.load("gone")


def test_variants_without_weights_are_named():
    assert resolve("midnet")[0].untrained == ("distance",)
    assert resolve("dis")[0].untrained == ()
    assert all(row.untrained for row in SYSTEMS if row.weights == "none")
