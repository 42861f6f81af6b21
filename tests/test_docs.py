"""What the documentation says is so: commands parse, Python runs, links lead somewhere, names have docstrings."""

import ast
import inspect
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

import midframe
from midframe.cli.main import EXIT_CODES, app
from midframe.models.catalogue import SYSTEMS, parts_of, resolve

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "recipes" / "QUEUE.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"`(midframe(?: [^`]+)?)`")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(*languages: str) -> list[Any]:
    return [
        pytest.param(found.group(2), id=f"{name_of(page)}:{page.read_text()[: found.start()].count(chr(10)) + 1}")
        for page in PAGES
        for found in BLOCK.finditer(page.read_text())
        if found.group(1) in languages
    ]


def commands() -> list[Any]:
    """Every `midframe ...` of shell blocks and of running text; and the examples the program itself prints."""
    found: dict[str, str] = {}
    for page in PAGES:
        text = page.read_text()
        lines = [
            line for match in BLOCK.finditer(text) if match.group(1) == "sh" for line in match.group(2).splitlines()
        ]
        lines += [match.group(1) for match in INLINE.finditer(BLOCK.sub("", text))]
        for line in lines:
            for part in line.split(" #")[0].split("|"):
                if re.match(r"\s*(\S*/)?midframe\s", part):
                    found.setdefault(" ".join(part.split()), name_of(page))
    for name, command in every_command():
        for line in (command.epilog or "").splitlines():
            for part in line.split("  " if line.startswith("  ") else "\0"):
                if part.strip().startswith("midframe "):
                    found.setdefault(part.strip(), f"midframe {name} --help")
    return [pytest.param(line, id=f"{page}: {line}") for line, page in found.items()]


def every_command() -> list[tuple[str, Any]]:
    """Commands and groups, and the commands of groups, by what is typed after `midframe`."""
    group: Any = typer.main.get_command(app)
    return [
        (" ".join(names), command)
        for name, outer in group.commands.items()
        for names, command in [([name], outer), *(([name, k], v) for k, v in getattr(outer, "commands", {}).items())]
    ]


@pytest.mark.parametrize("line", commands())
def test_each_command_line_is_understood(line):
    words = shlex.split(line.split(">")[0].split("|")[0], comments=True)[1:]
    if words[0] != "COMMAND":
        parse(words)


def test_a_wrong_flag_would_be_noticed():
    with pytest.raises(typer.TyperException):
        parse(["interpolate", "clip.mp4", "--fsp", "60"])


def parse(words: list[str]) -> None:
    """Parse as the program does, without running: commands, flags, choices, numbers; then the job's own checks."""
    from midframe.api import make_job

    group: Any = typer.main.get_command(app)
    if words[0] in ("--version", "--help"):
        return
    command, name, words = group.commands[words[0]], words[0], words[1:]
    if words and words[0] != "--help" and hasattr(command, "commands"):
        command, name, words = command.commands[words[0]], words[0], words[1:]
    if words == ["--help"]:
        return
    bare = not words  # "`midframe check`" in a sentence names the command
    context = command.make_context(name, words, resilient_parsing=bare)
    if name in ("interpolate", "upscale") and not bare:
        values = dict(context.params)
        for name in ("progress", "quiet"):
            values.pop(name)
        make_job(values.pop("input"), values.pop("output"), **values)
    for option in ("model", "models"):
        for model in (context.params.get(option) or "").split(","):
            for part in parts_of(model) if model else ():
                resolve(part)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_compile(code):
    compile(code, "<documentation>", "exec")


def runnable() -> list[Any]:
    """Python blocks that need no file."""
    return [block for block in blocks("python") if '"clip.mp4"' not in block.values[0]]


@pytest.mark.parametrize("code", runnable())
def test_python_blocks_without_files_run(code):
    exec(compile(code, "<documentation>", "exec"), {"__name__": "documentation"})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in LINK.findall(BLOCK.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        if re.match(r"https?:", target):
            continue
        goal = (page.parent / path).resolve() if path else page
        assert goal.is_file(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(goal), f"{target}: no such heading"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_name_no_place_of_one_machine(page):
    assert not re.search(r"(^|[\s`(\"])/(home|root|work|tmp|Users)/", page.read_text())


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}


def test_every_system_has_a_page():
    for system in SYSTEMS:
        page = ROOT / "docs" / "models" / f"{system.page or system.name}.md"
        text = page.read_text()
        for heading in ("## Quality", "## Use", "## How to train", "## Limits"):
            assert heading in text, f"{page}: {heading} is missing"


@pytest.mark.parametrize("name", [name for name in midframe.__all__ if name != "__version__"])
def test_every_public_name_is_documented(name):
    value = getattr(midframe, name)
    assert inspect.getdoc(value)
    module = value.__module__
    text = (ROOT / "docs" / "python.md").read_text() + (ROOT / "docs" / "exit_codes.md").read_text()
    assert f"::: {module}.{value.__name__}\n" in text or f"::: {module}\n" in text


def test_every_option_of_a_job_has_its_text():
    from dataclasses import fields

    for field in fields(midframe.InterpolateJob):
        assert field.metadata["help"].endswith((".", ")")), field.name


@pytest.mark.parametrize("name", ["api", "errors", "types", "testing", "engine.job", "engine.plan", "models.catalogue"])
def test_public_functions_and_classes_have_docstrings(name):
    tree = ast.parse((ROOT / "src" / "midframe" / (name.replace(".", "/") + ".py")).read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "overload" for d in node.decorator_list):
            continue
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            raised = isinstance(node, ast.ClassDef) and name == "errors"  # the drawn tree says what each one means
            assert raised or ast.get_docstring(node), node.name


def test_the_readme_lists_the_exit_codes():
    table = (ROOT / "README.md").read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    listed = {int(code) for row in rows for code in re.findall(r"\d+", row)}
    assert listed >= set(EXIT_CODES)


def test_the_command_line_reference_names_every_flag(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from mkdocs_hooks import on_page_markdown

    page = on_page_markdown((ROOT / "docs" / "cli.md").read_text())
    for name, command in every_command():
        assert f"## midframe {name}\n" in page or hasattr(command, "commands")
        for parameter in command.params:
            for flag in parameter.opts if parameter.param_type_name == "option" else ():
                assert f"`{flag}`" in page or flag in ("--help", "-h")
    assert "{{" not in page


def test_the_pictures_are_small_enough_to_keep():
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.suffix in (".png", ".gif") and picture.stat().st_size < 400_000


def test_constraints_pin_every_dependency():
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {re.split(r"[\[><=]", line)[0].lower() for line in wanted} - {"midframe"}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.\-]+==[\w.]+", line) for line in lines)
    assert names <= {line.partition("==")[0].lower() for line in lines}


def test_the_demo_film_is_a_function_of_time(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    pytest.importorskip("skimage")
    import numpy as np
    import scene

    film = scene.shots()
    early, late, again = (scene.paint(film, t) for t in (0.5, 0.55, 0.5))
    assert early.shape == (scene.HEIGHT, scene.WIDTH, 3) and early.dtype == np.uint8
    assert np.array_equal(early, again) and not np.array_equal(early, late)
    assert not early[: scene.BAR].any()  # the letterbox
    assert all(scene.height_of_jump(t) < 1e-9 for t in scene.click_times())
    sys.modules.pop("scene")
