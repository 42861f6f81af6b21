"""The house rules that a machine can hold: layers, what importing costs, public names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import midframe

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "midframe"
HEAVY = ("torch", "cv2", "numba", "av", "matplotlib", "torchvision")

light = pytest.mark.parametrize(
    "module", ["midframe", "midframe.cli.main", "midframe.models.catalogue", "midframe.errors", "midframe.api"]
)


def test_every_file_imports_lower_layers_only(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS


@light
def test_importing_costs_no_torch(module):
    code = f"import {module}, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["interpolate", "--help"], ["models", "--json"], ["--version"]])
def test_help_and_the_catalogue_cost_no_torch(arguments):
    run = f"from midframe.cli.main import run_command; run_command({arguments})"
    code = f"import sys; {run}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_are_those_of_all():
    assert sorted(midframe.__all__) == dir(midframe)
    assert {*midframe._HOMES, "__version__"} == set(midframe.__all__)
    for name in midframe.__all__:
        assert getattr(midframe, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'midframe' has no attribute 'interpolat'"):
        _ = midframe.interpolat


def test_type_checkers_see_the_names_that_are_loaded_lazily():
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    guarded = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname or alias.name
        for block in guarded
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == set(midframe._HOMES)


def modules():
    return sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_says_what_it_is_and_keeps_the_house_rules(path):
    tree = ast.parse(path.read_text())
    if tree.body:
        assert ast.get_docstring(tree), "no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module != "__future__", "jaxtyping reads annotations as they are"
            assert node.level == 0, "imports name the whole path"
    assert path.stem not in ("utils", "helpers", "base", "misc", "common")


def test_the_version_is_one():
    import tomllib

    with open(ROOT / "pyproject.toml", "rb") as file:
        assert tomllib.load(file)["project"]["version"] == midframe.__version__
