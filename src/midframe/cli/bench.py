"""`midframe bench`: quality of models on triplets with a known middle frame."""

from pathlib import Path
from typing import Annotated

import typer

from midframe.cli.progress import counting

EXAMPLES = """Examples:
  midframe bench --triplets middlebury --models dis,dis/fast,blend
  midframe bench --triplets middlebury --models phase --json phase.json"""
LAYOUT = "Folder of triplets: DIR/SCENE/frame10.png, frame10i11.png (the truth), frame11.png."


def bench(
    triplets: Annotated[Path, typer.Option(metavar="DIR", help=LAYOUT)],
    models: Annotated[
        str, typer.Option(metavar="NAMES", help="Models to measure, separated by commas, e.g. dis,dis/fast,blend.")
    ] = "dis",
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the rows as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print the table nor how far it is.")] = False,
) -> None:
    """Measure models on triplets: PSNR, SSIM and interpolation error of 8-bit RGB, and seconds per frame."""
    from midframe.errors import OutputError, UsageError
    from midframe.models.catalogue import resolve

    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise UsageError("--models names none: give e.g. --models dis,blend.")
    for name in names:
        resolve(name)  # a misspelt name is refused before the first one is measured
    for path in (json, markdown):
        if path is not None and not path.resolve().parent.is_dir():
            raise OutputError(f"{path}: no such folder; make it first, or give another place.")

    from midframe.bench.report import describe_environment, format_markdown, write_json, write_markdown
    from midframe.bench.suite import run_triplets
    from midframe.models.load import load

    with counting("measuring", quiet=quiet) as count:
        rows = run_triplets(
            triplets, names, load=load, on_progress=lambda model, scene, done, total: count(done, total)
        )
    environment = describe_environment()
    if json is not None:
        write_json(json, rows, environment)
    if markdown is not None:
        write_markdown(markdown, rows, environment)
    if not quiet:
        typer.echo(format_markdown(rows, environment), nl=False)
