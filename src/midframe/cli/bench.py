"""`midframe bench`: quality of models on triplets with a known middle frame."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def bench(
    triplets: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of DIR/SCENE/frame10.png, frame10i11.png (the truth), frame11.png.")
    ],
    models: Annotated[
        str, typer.Option(metavar="NAMES", help="Models to measure, separated by commas, e.g. dis,dis/fast,blend.")
    ] = "dis",
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the rows as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print the table nor how far it is.")] = False,
) -> None:
    """Measure models on triplets: PSNR, SSIM and interpolation error of 8-bit RGB, and seconds per frame."""
    from midframe.errors import UsageError
    from midframe.models.catalogue import resolve

    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise UsageError("--models names none: give e.g. --models dis,blend.")
    for name in names:
        resolve(name)  # a misspelt name is refused before the first one is measured

    from midframe.bench.report import describe_environment, format_markdown, write_json, write_markdown
    from midframe.bench.suite import run_triplets
    from midframe.models.load import load

    def tell(model: str, scene: str, done: int, total: int) -> None:
        if not quiet and sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\r\x1b[K{done}/{total} {model} {scene}", end=end, file=sys.stderr, flush=True)

    rows = run_triplets(triplets, names, load=load, on_progress=tell)
    environment = describe_environment()
    if json is not None:
        write_json(json, rows, environment)
    if markdown is not None:
        write_markdown(markdown, rows, environment)
    if not quiet:
        typer.echo(format_markdown(rows, environment), nl=False)
