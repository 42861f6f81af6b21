"""`midframe models`: what there is to choose from."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from midframe.models.catalogue import systems


def models(as_json: Annotated[bool, typer.Option("--json", help="A JSON list instead of a table.")] = False) -> None:
    """List the models, their variants and where their weights come from."""
    rows = [system.row() for system in systems()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    lines = [("name", "variants", "times", "parameters", "weights", "published as")]
    for row in rows:
        year = str(row["year"] or "")
        lines.append(
            (
                row["name"],
                ", ".join(
                    variant + "*" * (row["weights"] != "none" and variant in row["untrained"])
                    for variant in row["variants"]
                    if variant != "tiny"
                ),
                row["times"] if row["task"] == "interpolate" else row["task"],
                f"{row['params']:,}" if row["params"] else "none",
                row["weights"],
                row["paper"] if year in row["paper"] else f"{row['paper']} ({year})",
            )
        )
    console = Console(markup=False, highlight=False, emoji=False)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rest = console.width - sum(widths[:-1]) - 2 * len(widths[:-1])
    shown = (
        len(widths) if rest >= len(lines[0][-1]) else len(widths) - 1
    )  # titles are cut, or left out in narrow windows
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, width in zip(lines[0][:shown], widths, strict=False):
        table.add_column(heading, no_wrap=True, min_width=min(width, rest) if heading == lines[0][-1] else width)
    for line in lines[1:]:
        table.add_row(*line[:shown])
    console.print(table)
    typer.echo("\nThe first variant is the default; --model NAME/VARIANT takes another. All of it: --json.")
    typer.echo("*: has no weights yet; train it, or give --weights.")
