"""`midframe sample`: pictures that a generative model makes, as a grid or as a film of how they come about."""

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midframe.cli.between import PICTURES, write_picture
from midframe.errors import OutputError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXAMPLES = """Examples:
  midframe sample draw-s -o pictures.png
  midframe sample draw-s -o drawing.gif --count 16 --boxes
  midframe sample vae --weights runs/vae-cpu/best.safetensors -o walk.gif"""
ENLARGE = 3  # MNIST's pictures are 28 pixels wide
GAP = 2  # pixels between pictures, and around them; even, as videos want their sizes
GREY = 64  # of the gaps
RED = (255, 40, 40)
STAND = 12  # frames for which the last one stays, of a film that has an end


def sample(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of pictures: vae, draw, draw-s.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="A picture, or a film: .gif, .mp4 and others.")
    ],
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, help="Pictures.")] = 64,
    seed: Annotated[int, typer.Option(metavar="SEED", min=0, help="Another one gives other pictures.")] = 1,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="FILE", help="Weights in place of the model's own.")
    ] = None,
    boxes: Annotated[bool, typer.Option("--boxes", help="In a film of draw, outline where each step writes.")] = False,
    fps: Annotated[str, typer.Option("--fps", metavar="RATE", help="Frames a second of a film.")] = "12",
    device: Annotated[str, typer.Option(metavar="NAME", help="Where it computes, e.g. cuda.")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Pictures out of nothing, side by side. As a film: how draw paints them step by step, or how one turns into
    another (vae)."""
    from midframe.models.catalogue import resolve
    from midframe.video.writer import container_of

    resolve(model)
    alone = output.suffix.lower() in PICTURES
    if not alone:
        container_of(output)  # a name that says no format is refused before anything is computed
    if boxes and alone:
        raise UsageError(f"--boxes is for a film: give -o a name such as drawing.gif, not {output}.")
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists; --overwrite replaces it.")

    import torch

    from midframe.api import interpolate
    from midframe.models.load import load_generative

    network = load_generative(model, device, weights=weights)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        if alone:
            write_picture(tile(network.sample(count, generator).cpu().numpy()), output)
        else:
            film = network.film(count, generator)
            if boxes and film.boxes is None:
                raise UsageError(f"{model} works on the whole picture at all times: leave out --boxes.")
            pages = [tile(frame) for frame in film.frames.cpu().numpy()]
            if boxes and film.boxes is not None:
                for page, places in zip(pages, film.boxes.cpu().numpy(), strict=True):
                    outline(page, places, film.frames.shape[-2:])
            pages += [tile(film.frames[-1].cpu().numpy())] * (0 if film.loops else STAND)
            with tempfile.TemporaryDirectory(prefix="midframe-") as folder:
                for number, page in enumerate(pages):
                    write_picture(page, Path(folder) / f"{number:06}.png")
                interpolate(folder, output, rate=fps, factor=1, model="blend", overwrite=overwrite)
    if not quiet:
        typer.echo(f"{output}: {count} picture{'s' * (count > 1)}{'' if alone else f', {len(pages)} frames'}")


def tile(pictures: "NDArray[Any]") -> "NDArray[Any]":
    """Pictures N 1 H W or N 3 H W in [0, 1], enlarged and side by side in rows, as many each way: H W 3 uint8 RGB."""
    import numpy as np

    count, _, height, width = pictures.shape
    columns = find_columns(count)
    high, wide = height * ENLARGE, width * ENLARGE
    page = np.full((-(-count // columns) * (high + GAP) + GAP, columns * (wide + GAP) + GAP, 3), GREY, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = find_corner(number, columns, height, width)
        levels = np.rint(picture.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
        page[top : top + high, left : left + wide] = levels.repeat(ENLARGE, 0).repeat(ENLARGE, 1)
    return page


def outline(page: "NDArray[Any]", boxes: "NDArray[Any]", size: "tuple[int, ...]") -> None:
    """Draw boxes, N 4 in pixels of the pictures, into a page of `tile`; what lies outside its picture is cut off."""
    import numpy as np

    height, width = size
    columns = find_columns(len(boxes))
    limits = np.array([width, height, width, height]) * ENLARGE - 1
    for number, box in enumerate(boxes):
        top, left = find_corner(number, columns, height, width)
        x0, y0, x1, y1 = np.clip(np.rint((box + 0.5) * ENLARGE), 0, limits).astype(int)
        page[top + y0 : top + y1 + 1, [left + x0, left + x1]] = RED
        page[[top + y0, top + y1], left + x0 : left + x1 + 1] = RED


def find_columns(count: int) -> int:
    return math.ceil(math.sqrt(count))


def find_corner(number: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """Row and column of a page where a picture begins."""
    row, column = divmod(number, columns)
    return row * (height * ENLARGE + GAP) + GAP, column * (width * ENLARGE + GAP) + GAP
