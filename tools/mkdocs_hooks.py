"""Parts of the documentation that are taken from the program itself while the pages are built, so that they are never
out of date: `{{ commands }}` is the reference of the command line, `{{ models }}` the catalogue, `{{ exit_codes }}` the
exit codes."""

import html
import inspect
from typing import Any

import typer

from midframe.cli.main import EXIT_CODES, app
from midframe.models.catalogue import SYSTEMS


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    parts = {"{{ commands }}": write_commands, "{{ models }}": write_models, "{{ exit_codes }}": write_exit_codes}
    for placeholder, write in parts.items():
        if placeholder in markdown:
            markdown = markdown.replace(placeholder, write())
    return markdown


def write_commands() -> str:
    """A section for each command: what it does, how it is called, a table of its options, its examples. Examples that
    the commands of a group share stand below its last one."""
    parts = []
    listed = list_commands()
    for index, (name, command) in enumerate(listed):
        parts.append(f"## midframe {name}\n\n{inspect.cleandoc(command.help or '')}\n")
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(["midframe", name, *(p.metavar or p.name.upper() for p in arguments), "[OPTIONS]"])
        parts.append(f"```text\n{usage}\n```\n")
        context = typer.Context(command, info_name=name)
        rows = [describe(p, context) for p in command.params if p.name != "help"]
        if rows:
            parts.append("| option | value | default | what it does |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
        repeated = index + 1 < len(listed) and listed[index + 1][1].epilog == command.epilog
        if command.epilog and not repeated:
            parts.append("```text\n" + inspect.cleandoc(command.epilog.replace("\\[", "[")) + "\n```\n")
    return "\n".join(parts)


def list_commands() -> list[tuple[str, Any]]:
    """Every command by what is typed after `midframe`: "check", and "weights pull" of a group."""
    group: Any = typer.main.get_command(app)
    listed = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        listed += [(name, command)] if inner is None else [(f"{name} {word}", part) for word, part in inner.items()]
    return listed


def describe(parameter: Any, context: typer.Context) -> str:
    """One row of the table of options."""
    if parameter.param_type_name == "argument":
        names, value = f"`{parameter.metavar or parameter.name.upper()}`", ""
    else:
        negative = [f"`{flag}`" for flag in parameter.secondary_opts]
        names = ", ".join([f"`{flag}`" for flag in parameter.opts] + negative)
        value = "" if parameter.is_flag else f"`{parameter.metavar or parameter.display_type(context).strip('[]')}`"
    default = parameter.default
    shown = "" if default is None or default is False or parameter.required else f"`{plain(default)}`"
    text = html.escape((parameter.help or "").replace("\\[", "["), quote=False)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (names, value, shown, text)) + " |"


def plain(default: Any) -> str:
    return "on" if default is True else str(default)


def write_models() -> str:
    """A table of the catalogue."""
    lines = [
        "| name | variants (first: default) | times | trained parameters | weights | published as |",
        "|---|---|---|--:|---|---|",
    ]
    for system in SYSTEMS:
        bare = system.untrained if system.weights != "none" else ()
        variants = ", ".join(f"`{variant}`" + r"\*" * (variant in bare) for variant in system.variants)
        paper = f"{system.paper} ({system.year})" if system.year else system.paper
        name = f"[{system.name}]({system.page or system.name}.md)"
        times = system.times if system.task == "interpolate" else system.task
        cells = (name, variants, times, str(system.params or "none"), system.weights, paper)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", r"\* has no weights yet: [train it](../training.md), or give `--weights`."])


def write_exit_codes() -> str:
    """A table of the exit codes."""
    rows = [f"| {code} | {text} |" for code, text in EXIT_CODES.items()]
    return "\n".join(["| code | meaning |", "|--:|---|", *rows])
