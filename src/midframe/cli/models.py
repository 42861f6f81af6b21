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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "task", "variants", "times", "parameters", "weights", "published as"):
        table.add_column(heading)
    for row in rows:
        year = str(row["year"] or "")
        paper = row["paper"] if year in row["paper"] else f"{row['paper']} ({year})"
        table.add_row(
            row["name"],
            row["task"],
            ", ".join(row["variants"]),
            row["times"],
            f"{row['params']:,}" if row["params"] else "none",
            row["weights"],
            paper,
        )
    Console(markup=False, highlight=False, emoji=False).print(table)
    typer.echo("\nThe first variant is the default; --model NAME/VARIANT takes another.")
