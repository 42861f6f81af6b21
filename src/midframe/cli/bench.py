"""`midframe bench`: quality and cost of models, on suites or on triplets."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from midframe.cli.progress import counting

EXAMPLES = """Examples:
  midframe bench --suite synthetic --models blend,dis/fast
  midframe bench --suite middlebury,val --data DIR --models dis,dis/fast,blend
  midframe bench --suite vimeo --data DIR --models dis --devices cpu,cuda
  midframe bench --triplets middlebury --models phase --json phase.json
  midframe bench --field"""
LAYOUT = "Folder of triplets instead of a suite: DIR/SCENE/frame10.png, frame10i11.png (the truth), frame11.png."
SUITES = (
    "Suites, separated by commas: middlebury, val, synthetic, light, acceleration, depth, blur, vimeo, ucf101, "
    "snu-film-easy (-medium, -hard, -extreme), xiph-2k, xiph-4k, x4k, gopro, adobe240, davis."
)


def bench(
    suite: Annotated[str | None, typer.Option("--suite", metavar="NAMES", help=SUITES)] = None,
    models: Annotated[
        str, typer.Option(metavar="NAMES", help="Models to measure, separated by commas, e.g. dis,dis/fast,blend.")
    ] = "dis",
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where the suites' data is; made scenes need none.")
    ] = None,
    devices: Annotated[
        str, typer.Option("--devices", metavar="NAMES", help="Time on each, e.g. cpu,cuda; quality on the last.")
    ] = "cpu",
    sizes: Annotated[
        str, typer.Option("--sizes", metavar="WxH,...", help="Sizes for times; none leaves costs out.")
    ] = "448x256,1280x720,1920x1080",
    runs: Annotated[int, typer.Option("--runs", metavar="N", min=1, help="Timed runs, of which the median.")] = 5,
    long_side: Annotated[
        int, typer.Option("--long-side", metavar="PIXELS", min=64, help="val: larger clips are reduced to this.")
    ] = 640,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="val: pairs of frames of each clip; 0 takes all.")
    ] = 2,
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="For SUITE.md, .json and .png, and cost.json.")
    ] = Path("docs/benchmarks"),
    sheets: Annotated[
        Path, typer.Option("--sheets", metavar="DIR", help="For the worst frames of what is measured now, as pictures.")
    ] = Path("bench-sheets"),
    refresh: Annotated[bool, typer.Option("--refresh", help="Measure again what --output holds.")] = False,
    field: Annotated[
        bool,
        typer.Option("--field", help="Measure nothing: all systems in one table, published and ours, as field.md."),
    ] = False,
    triplets: Annotated[Path | None, typer.Option("--triplets", metavar="DIR", help=LAYOUT)] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="--triplets: write the rows as JSON.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="--triplets: write the table as Markdown.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Measure models: PSNR, SSIM, LPIPS, IE, motion; parameters, operations, seconds and memory. Goes on where it was
    stopped, and keeps what was measured. Exit code 7 if a model could not be measured; the others are."""
    from midframe.errors import ModelError, UsageError
    from midframe.models.catalogue import check_model

    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise UsageError("--models names none: give e.g. --models dis,blend.")
    for name in names:
        check_model(name)  # a misspelt name is refused before the first one is measured
    if (suite is not None) + (triplets is not None) + field != 1:
        raise UsageError("Give --suite NAMES, --triplets DIR or --field, one of them.")
    if field:
        from midframe.bench.field import write_field

        path = write_field(output)
        if not quiet:
            typer.echo(path)
        return
    if triplets is not None:
        measure_triplets(triplets, names, json, markdown, quiet)
        return
    if json is not None or markdown is not None:
        raise UsageError("--json and --markdown go with --triplets; a suite writes to --output.")
    assert suite is not None

    from midframe.bench.run import run_bench
    from midframe.bench.speed import parse_sizes
    from midframe.models.load import load

    with counting("measuring", quiet=quiet) as count:
        report = run_bench(
            list(dict.fromkeys(name.strip() for name in suite.split(",") if name.strip())),
            names,
            load=load,
            data=data,
            devices=[device.strip() for device in devices.split(",") if device.strip()] or ["cpu"],
            sizes=parse_sizes(sizes),
            runs=runs,
            output=output,
            sheets=sheets,
            refresh=refresh,
            long_side=long_side,
            limit=limit or None,
            on_progress=lambda what, done, total: count(done, total),
            say=(lambda text: None) if quiet else (lambda text: print(text, file=sys.stderr, flush=True)),
        )
    if not quiet:
        for path in report.written:
            typer.echo(path)
    for failure in report.failures:
        print(f"midframe: error: {failure}", file=sys.stderr)
    if report.failures:
        raise typer.Exit(ModelError.exit_code)


def measure_triplets(triplets: Path, names: list[str], json: Path | None, markdown: Path | None, quiet: bool) -> None:
    """PSNR, SSIM and interpolation error of 8-bit RGB on a folder of triplets, as rows on stdout and in files."""
    from midframe.errors import OutputError

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
