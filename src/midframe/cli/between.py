"""`midframe between`: two pictures, and what lies between them; each region on its own time if wanted."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midframe.cli.progress import counting
from midframe.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
VIDEOS = (".mp4", ".m4v", ".mkv", ".mov", ".webm", ".gif", ".apng")


def between(
    first: Annotated[Path, typer.Argument(metavar="A", help="The first picture.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The second picture, of the same size.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="A .png for one frame, a folder or a video. Default: A.between.png."
        ),
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", "-n", metavar="N", min=1, help="New frames; a video gets A and B around them.")
    ] = 1,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="As in `midframe models`.")] = "midnet",
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
    from midframe.api import between as make
    from midframe.data.pack import read_image
    from midframe.models.catalogue import resolve
    from midframe.retime import map_times, read_curve

    resolve(model)
    base = read_curve(curve)
    goal = output if output is not None else first.with_suffix(".between.png")
    video = goal.suffix.lower() in VIDEOS
    if frames > 1 and goal.suffix.lower() == ".png":
        raise UsageError(f"{goal} holds one frame, not {frames}: give a folder or a video with -o.")
    if goal.exists() and not overwrite:
        raise OutputError(f"{goal} exists; --overwrite replaces it.")
    frame0, frame1 = read_image(first), read_image(second)
    if frame0.shape != frame1.shape:
        sizes = " and ".join(f"{frame.shape[1]}x{frame.shape[0]}" for frame in (frame0, frame1))
        raise UsageError(f"{first} and {second} differ in size: {sizes}.")
    regions = [read_region(text, frame0.shape[:2]) for text in region or []]

    steps = range(frames + 2) if video else range(1, frames + 1)  # a video shows both pictures, too
    places = [step / (frames + 1) for step in steps]
    made: list[NDArray[Any]] = []
    with counting(f"rendering with {model}", quiet=quiet) as count:
        for number, place in enumerate(places):
            time = map_times(frame0.shape[:2], place, regions, base=base) if regions else base(place)
            made.append(make(frame0, frame1, time, model=model))
            count(number + 1, len(places))
    if video:
        write_video(made, goal, fps, overwrite=overwrite)
    elif frames == 1 and goal.suffix:
        write_picture(made[0], goal)
    else:
        goal.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(made):
            write_picture(picture, goal / f"{number + 1:06}.png")
    if not quiet:
        typer.echo(f"{goal}: {len(made)} frame{'s' if len(made) > 1 else ''}")


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
    import cv2

    from midframe.files import replacing

    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    try:
        with replacing(path) as file:
            file.write(data.tobytes())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}).") from error


def write_video(pictures: "Sequence[NDArray[Any]]", path: Path, fps: str, *, overwrite: bool) -> None:
    from midframe.api import interpolate

    with tempfile.TemporaryDirectory(prefix="midframe-") as folder:
        for number, picture in enumerate(pictures):
            write_picture(picture, Path(folder) / f"{number:06}.png")
        interpolate(folder, path, rate=fps, factor=1, model="blend", overwrite=overwrite)
