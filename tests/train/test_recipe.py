"""Recipes: read from TOML, refused with one line, and those of the repository are usable."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from midframe.errors import InputError, UsageError
from midframe.models.load import build
from midframe.train.recipe import DataRecipe, OptimRecipe, Recipe, RunRecipe, read_recipe
from midframe.train.sources import check_fit

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))


def test_a_recipe_is_read(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(
        'system = "ifrnet-s/tiny"\n[data]\nbatch = 8\ngaps = [2, 4]\nshares = [3, 1]\npower = 0\n'
        "[optim]\nsteps = 1_000\nrate = 1e-3\nbetas = [0.9, 0.99]\n"
    )
    recipe = read_recipe(path)
    assert (recipe.name, recipe.system, recipe.seed) == ("small", "ifrnet-s/tiny", 1)
    assert recipe.data == DataRecipe(batch=8, gaps=(2, 4), shares=(3.0, 1.0), power=0.0)
    assert recipe.optim == OptimRecipe(steps=1000, rate=1e-3, betas=(0.9, 0.99))
    assert recipe.run == RunRecipe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "says no system"),
        ("system = 3", "system = 3: give text in quotes"),
        ('system = "x"\nsteps = 5', "no key 'steps'. There are: name, system, seed"),
        ('system = "x"\ndata = 5', r"data is a section; write \[data\]"),
        ('system = "x"\n[optim]\nrat = 1', "no key 'rat'"),
        ('system = "x"\n[data]\nbatch = "many"', "batch = 'many': give a whole number"),
        ('system = "x"\n[data]\nbatch = true', "give a whole number"),
        ('system = "x"\n[data]\nbatch = 8.0', "give a whole number"),
        ('system = "x"\n[data]\ngaps = 2', r"gaps = 2: give a list such as \[2\]"),
        ('system = "x"\n[data]\ngaps = ["two"]', "gaps = 'two': give a whole number"),
        ('system = "x"\n[data]\ngaps = [0]', "gaps are numbers of 1 or more"),
        ('system = "x"\n[data]\ngaps = [2, 4]', "shares are positive, one for each of gaps"),
        ('system = "x"\n[data]\ninputs = 5', "inputs must be 2, 3, 4 or 6"),
        ('system = "x"\n[data]\nwhole = true\nscales = [0.5]', "whole leaves no scales to draw from"),
        ('system = "x"\n[data]\nflow = true', "flow needs synthetic samples"),
        ('system = "x"\n[data]\nsynthetic = 1.5', "synthetic lies between 0 and 1"),
        ('system = "x"\n[data]\nmade = "minst"', 'made is "mnist" or "two-digits" or "moving-mnist" or "shapes" or ""'),
        ('system = "x"\n[data]\nmade = true', "made = True: give text in quotes"),
        ('system = "x"\n[data]\nmade = "mnist"\ncrop = 28\nflow = true', 'made = "mnist" takes no crop, flow'),
        ('system = "x"\n[data]\nshrink = [4.0, 2.0]', "shrink are two numbers from 1 on"),
        ('system = "x"\n[data]\ntargets = -1', "targets must not be negative"),
        ('system = "x"\n[data]\nbinarise = true', 'binarise is for made = "mnist"'),
        ('system = "x"\n[run]\nheld_out = 0', "held_out must be at least 1"),
        ('system = "x"\n[optim]\nrate = "low"', "rate = 'low': give a number"),
        ('system = "x"\n[optim]\nrate = nan', "rate must be more than final_rate"),
        ('system = "x"\n[optim]\nbetas = [0.9]', "betas are two numbers"),
        ('system = "x"\n[optim]\nsteps = 100', "steps must be more than warm_up"),
        ('system = "x"\n[optim]\ndecay = -1', "decay must not be negative"),
        ('system = "x"\n[optim]\ntexture = -0.1', "texture must not be negative"),
        ('system = "x"\n[optim]\ntexture = true', "texture = True: give a number"),
        ('system = "x"\n[run]\nprecision = "fp16"', 'precision is "fp32" or "bf16"'),
        ('system = "x"\n[run]\nsave_every = 0', "intervals must be at least 1"),
        ("system = ", "not a TOML file"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises((UsageError, InputError), match=message) as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_missing_recipe_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_of_the_repository_name_a_trainable_system(path):
    recipe = read_recipe(path)
    model = build(recipe.system)
    assert callable(model.loss)
    if not recipe.data.made:
        check_fit(recipe, model.contract)
    assert path.name in (ROOT / "recipes" / "QUEUE.md").read_text()


def test_every_key_is_documented():
    page = (ROOT / "docs" / "training.md").read_text()
    kinds = [Recipe, DataRecipe, OptimRecipe, RunRecipe]
    names = {field.name for kind in kinds for field in fields(kind)} - {"data", "optim", "run"}
    assert names <= {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}


def test_the_documented_example_is_a_recipe(tmp_path):
    page = (ROOT / "docs" / "training.md").read_text()
    text = page.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "example.toml").write_text(text)
    assert read_recipe(tmp_path / "example.toml").system == tomllib.loads(text)["system"]
