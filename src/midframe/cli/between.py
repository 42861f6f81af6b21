"""`midframe between`: two pictures, and what lies between them; each region on its own time if wanted."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midframe.cli.progress import counting
from midframe.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from midframe.retime import Curve, Region

EXAMPLES = """Examples:
  midframe between a.png b.png                       the frame in the middle: a.between.png
  midframe between a.png b.png --frames 30 -o slow.mp4
  midframe between a.png b.png --frames 30 -o slow.mp4 --curve 0:0,0.5:0.1,1:1
  midframe between a.png b.png --frames 30 -o two.mp4 --region ball.png=0:0,1:0.5

A region is a picture of the frames' size, white where it holds. A curve says
time for progress, both from 0 (first picture) to 1: 0:0,0.5:0.1,1:1 begins
slowly; 0.3 alone stands still at that time."""
PICTURES = (".png", ".tif", ".tiff", ".webp", ".jpg", ".jpeg")
SHALLOW = (".webp", ".jpg", ".jpeg")  # hold 8 bits


def between(
    first: Annotated[Path, typer.Argument(metavar="A", help="The first picture.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The second picture, of the same size.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="A picture, a folder of them or a video. Default: A.between.png."
        ),
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", "-n", metavar="N", min=1, help="New frames; a video gets A and B around them.")
    ] = 1,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="As in `midframe models`.")] = "midnet",
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="FILE", help="Weights in place of the model's own.")
    ] = None,
    effort: Annotated[
        float | None, typer.Option("--effort", metavar="E", help="0.1 to 1, for models that can do less work.")
    ] = None,
    curve: Annotated[
        str, typer.Option("--curve", metavar="CURVE", help="Time of all that is in no region. Default: even.")
    ] = "0:0,1:1",
    region: Annotated[
        list[str] | None,
        typer.Option("--region", metavar="MASK=CURVE", help="A region on a time of its own; may be given again."),
    ] = None,
    fps: Annotated[str, typer.Option("--fps", metavar="RATE", help="Frames a second of a video.")] = "24",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Frames between two pictures, at even times or along a curve; regions may move faster, slower or not at all."""
    from midframe.api import each_between, interpolate
    from midframe.models.catalogue import check_model
    from midframe.models.load import find_remark
    from midframe.retime import map_times, read_curve
    from midframe.video.writer import container_of

    check_model(model, effort=effort)
    base = read_curve(curve)
    goal = output if output is not None else first.with_suffix(".between.png")
    alone = goal.suffix.lower() in PICTURES and not goal.is_dir()
    if alone and frames > 1:
        raise UsageError(f"{goal} holds one frame, not {frames}: give a folder or a video with -o.")
    video = not alone and container_of(goal) != "images"
    if goal.exists() and not overwrite:
        raise OutputError(f"{goal} exists; --overwrite replaces it.")

    def note(text: str) -> None:
        if not quiet:
            typer.echo(f"note: {text}", err=True)

    frame0, frame1 = read_picture(first, note), read_picture(second, note)
    if frame0.shape != frame1.shape:
        sizes = " and ".join(f"{frame.shape[1]}x{frame.shape[0]}" for frame in (frame0, frame1))
        raise UsageError(f"{first} and {second} differ in size: {sizes}.")
    if frame0.dtype != frame1.dtype:  # one of 8 bits, one of 16
        frame0, frame1 = deepen(frame0), deepen(frame1)
    regions = [read_region(text, frame0.shape[:2]) for text in region or []]
    if remark := find_remark(model, weights):
        note(remark)

    steps = range(frames + 2) if video else range(1, frames + 1)  # a video shows both pictures, too
    places = [step / (frames + 1) for step in steps]
    size = frame0.shape[:2]
    times = [map_times(size, place, regions, base=base) if regions else base(place) for place in places]
    with tempfile.TemporaryDirectory(prefix="midframe-") as folder:
        with counting(f"rendering with {model}", quiet=quiet) as count:
            made = each_between(frame0, frame1, times, model=model, weights=weights, effort=effort)
            for number, picture in enumerate(made):
                write_picture(picture, goal if alone else Path(folder) / f"{number:06}.png")
                count(number + 1, len(places))
        if not alone:  # as any film: numbered, checked, nothing under the final name before it is whole
            interpolate(folder, goal, rate=fps, factor=1, model="blend", overwrite=overwrite)
    if not quiet:
        typer.echo(f"{goal}: {len(places)} frame{'s' if len(places) > 1 else ''}")


def read_picture(path: Path, note: "Callable[[str], None]") -> "NDArray[Any]":
    """H W 3 RGB, uint8 or uint16 as the file has it. Raises InputError."""
    import cv2

    from midframe.data.pack import read_image

    picture = read_image(path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH)
    if picture.dtype not in ("uint8", "uint16"):
        raise InputError(f"{path}: holds {picture.dtype} values; pictures of 8 or 16 bits are read.")
    if read_image(path, cv2.IMREAD_UNCHANGED).shape[2:] == (4,):
        note(f"{path}: its transparency is left out.")
    return picture


def deepen(picture: "NDArray[Any]") -> "NDArray[Any]":
    """Eight bits as sixteen: 255 becomes 65535."""
    import numpy as np

    return picture.astype(np.uint16) * 257 if picture.dtype == np.uint8 else picture


def read_region(text: str, size: "Sequence[int]") -> "Region":
    """MASK=CURVE. Raises UsageError, or InputError if the mask cannot be read."""
    from midframe.data.pack import read_image
    from midframe.retime import Region, read_curve

    name, equals, curve = text.rpartition("=")
    if not equals or not name:
        raise UsageError(f"--region {text}: give a mask and a curve, as in ball.png=0:0,1:0.5.")
    told: Curve = read_curve(curve)
    mask = read_image(Path(name)).mean(-1) > 127
    if mask.shape != tuple(size):
        raise UsageError(
            f"--region {name} is {mask.shape[1]}x{mask.shape[0]}, the pictures are {size[1]}x{size[0]}: make it fit."
        )
    if not mask.any():
        raise UsageError(f"--region {name} is empty: nothing of it is white.")
    return Region(mask, told)


def write_picture(picture: "NDArray[Any]", path: Path) -> None:
    """H W 3 RGB in the format of the path's suffix, 16 bits only where it holds them. Raises OutputError."""
    import cv2
    import numpy as np

    from midframe.files import replacing

    suffix = path.suffix.lower()
    if picture.dtype == np.uint16 and suffix in SHALLOW:
        picture = ((picture + np.uint32(128)) // 257).astype(np.uint8)
    quality = {
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101],  # lossless
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
        ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    }
    _, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality.get(suffix, []))
    try:
        with replacing(path) as file:
            file.write(data.tobytes())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}).") from error
