"""`track`: masks or points of a clip's first frame, followed through it.

  first frame's mask or points → propagator, frame by frame → a picture of each mask, or lines of a CSV
                                                            → drawn over the frame → one segment → assemble → verify

Frames come and go: memory does not grow with the clip. Each frame follows from the one before, so there is nothing to
share between workers and nothing to go on from after an interruption. Both outputs take their names when both are
whole.
"""

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from midframe.engine.job import InterpolateJob, Note, Started, Tracked
from midframe.engine.journal import Journal
from midframe.engine.marks import mark_pictures
from midframe.engine.pipeline import Setup
from midframe.engine.plan import output_rate
from midframe.engine.run import Listener, check_paths, default_output, finish, prepare, publish
from midframe.engine.work import Meter
from midframe.errors import InputError, OutputError, UsageError, VerifyError
from midframe.models.follow import SHORT_SIDE, MaskFollower, PointFollower, check_points
from midframe.models.load import find_remark, load_propagator
from midframe.video.masks import Mask, colour_table, read_mask, write_mask
from midframe.video.pixel import from_rgb, to_rgb
from midframe.video.reader import Reader
from midframe.video.writer import SegmentWriter

SEEN_THROUGH = 0.5  # of an object's colour that covers it
COLUMNS = ("frame", "time", "name", "x", "y", "confidence")
DISK = 120  # a point is drawn with a radius of the shorter side by this


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackJob:
    """What a user may decide about following. Paths are strings. One of `mask` and `points` is given.

    input   a video file or a folder of images
    output  the clip with masks or points drawn over it; None: IN.tracked.EXT beside it
    found   a folder for a mask of each frame, or a CSV; None: named after the output
    mask    picture of the first frame's objects (see `video.masks`)
    points  CSV of points in the first frame: columns x, y and perhaps name
    short_side  frames are worked on at this, pixels; they come out at their own size
    stop_at_cuts  from the first cut on nothing is marked
    rate    of a folder of images, frames a second
    """

    input: str
    output: str | None = None
    found: str | None = None
    mask: str | None = None
    points: str | None = None
    model: str = "corrflow-s"
    weights: str | None = None
    device: str = "cpu"
    short_side: int = SHORT_SIDE
    stop_at_cuts: bool = False
    rate: str | None = None
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Points:
    """`places` N × (x, y) in the first frame, pixels; `names` as many, all different."""

    places: Float[np.ndarray, "n 2"]
    names: tuple[str, ...]


def track(job: TrackJob, on_event: Listener | None = None) -> Tracked:
    """Do `job`. Returns what was made; tells `on_event` how far it is.

    Raises MidframeError subclasses for everything a user can cause or cure. Nothing is left of a run that ends early.
    """
    tell = on_event or (lambda event: None)
    began = time.monotonic()
    notes: list[str] = []

    def note(text: str) -> None:
        if text not in notes:
            notes.append(text)
            tell(Note(text))

    if (job.mask is None) == (job.points is None):
        raise UsageError("say what to follow: either a mask of the first frame (--mask) or its points (--points).")
    if job.short_side < 64:
        raise UsageError(f"--short-side {job.short_side}: 64 pixels are the least.")
    if "-" in (job.input, job.output, job.found):
        raise UsageError("track reads and writes files: give names, not -.")
    given = read_mask(Path(job.mask)) if job.mask is not None else read_points_file(Path(job.points or ""))
    if isinstance(given, Mask) and not given.numbers.any():
        raise UsageError(f"{job.mask}: marks nothing; objects have other values than black (index 0).")
    model = load_propagator(job.model, job.device, weights=job.weights)
    own = InterpolateJob(  # the clip as it is: every slot a copy
        input=job.input, output=job.output, model="blend", factor="1", cuts="ignore", duplicates="keep", rate=job.rate,
        overwrite=job.overwrite,
    )  # fmt: skip
    target = Path(job.output) if job.output is not None else default_output(job.input, "tracked")
    own = replace(own, output=str(target))
    _, container = check_paths(own)
    found = Path(job.found) if job.found is not None else _beside(target, given)
    _check_found(found, given, overwrite=job.overwrite)
    with Journal(target) as journal:
        setup = prepare(own, target, container, note)
        plan = setup.plan
        assert plan.count == plan.stop - plan.first, "each frame is one slot"
        _check_size(job, given, setup)
        if remark := find_remark(job.model, job.weights):
            note(remark)
        journal.begin({"track": str(target)}, anew=True)
        journal.clear()
        tell(
            Started(
                model=job.model,
                source_frames=plan.count,
                frames=plan.count,
                done=0,
                segments=1,
                resumed_segments=0,
                rate=str(output_rate(plan) or f"{float(plan.count / plan.duration):.3f}"),
                encoder=f"{setup.settings.codec} {setup.settings.pix_fmt}",
            )
        )
        work = journal.folder / "found"
        try:
            marker: Marker
            if isinstance(given, Mask):
                objects = MaskFollower(model, given.numbers, short_side=job.short_side, device=job.device)
                marker = MaskMarker(objects, given, work)
            else:
                places = PointFollower(model, given.places, short_side=job.short_side, device=job.device)
                marker = PointMarker(places, given, work)
            segment = journal.folder / "tracked.nut"
            cuts = _follow(setup, marker, segment, Meter(plan.count, 0, tell), note, stop_at_cuts=job.stop_at_cuts)
            stamps = [plan.stamp(n) for n in range(plan.count)]
            made, offset = finish(setup, journal, [segment], target, container, stamps, plan.stamp(plan.count), note)
        except VerifyError:
            raise  # what it names is kept for inspection
        except BaseException:
            journal.remove()
            raise
        publish(work, found, own)
        publish(made, target, own)
        journal.remove()
    return Tracked(
        output=target,
        found=found,
        kind="objects" if isinstance(given, Mask) else "points",
        frames=plan.count,
        count=marker.count,
        cuts=tuple(plan.timeline.pts(plan.first + index) for index in cuts),
        duration=plan.duration,
        seconds=time.monotonic() - began,
        notes=tuple(notes),
        audio_offset=offset,
    )


class Marker(Protocol):
    """Follows what was given, writes down where it is, and draws it over the frame."""

    count: int

    def mark(self, index: int, time: float, frame: Float[Tensor, "c h w"], *, lost: bool) -> Float[Tensor, "c h w"]:
        """The frame with what was found in it; `lost`: it is of another shot, and nothing is to be marked."""
        ...

    def close(self) -> None: ...


class MaskMarker:
    """A picture of a palette for each frame, in `folder`; objects tinted, their rims in full colour."""

    def __init__(self, follow: MaskFollower, mask: Mask, folder: Path) -> None:
        self._follow, self._mask, self._folder = follow, mask, folder
        self.count = len(follow.numbers) - 1
        self._palette = np.array(mask.colours, np.uint8)
        folder.mkdir()

    def mark(self, index: int, time: float, frame: Float[Tensor, "c h w"], *, lost: bool) -> Float[Tensor, "c h w"]:
        numbers = np.zeros_like(self._mask.numbers) if lost else self._follow(frame[:3])
        path = self._folder / f"{index:05d}.png"
        try:
            write_mask(path, numbers, self._mask.colours)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}).") from error
        tint = torch.from_numpy(self._palette[numbers]).permute(2, 0, 1).float().div(255)
        strength = np.where(numbers > 0, SEEN_THROUGH, 0.0).astype(np.float32)
        strength[_rims(numbers)] = 1.0
        drawn = frame.clone()
        drawn[:3] = torch.lerp(frame[:3], tint, torch.from_numpy(strength))
        return drawn

    def close(self) -> None:
        pass


class PointMarker:
    """A line of a CSV for each point in each frame; a disk at each point, the fainter the less sure it is."""

    def __init__(self, follow: PointFollower, points: Points, path: Path) -> None:
        self._follow, self._points = follow, points
        self.count = len(points.names)
        self._colours = colour_table(256)[1:] / 255
        self._file = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115  # closed by `close`
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)

    def mark(self, index: int, time: float, frame: Float[Tensor, "c h w"], *, lost: bool) -> Float[Tensor, "c h w"]:
        if lost:
            self._rows.writerows((index, f"{time:.6f}", name, "", "", 0) for name in self._points.names)
            return frame
        places, sure = self._follow(frame[:3])
        self._rows.writerows(
            (index, f"{time:.6f}", name, f"{x:.2f}", f"{y:.2f}", f"{share:.4f}")
            for name, (x, y), share in zip(self._points.names, places, sure, strict=True)
        )
        height, width = frame.shape[-2:]
        radius = max(2, round(min(height, width) / DISK))
        picture = np.ascontiguousarray(frame[:3].permute(1, 2, 0).numpy())
        for number, ((x, y), share) in enumerate(zip(places, sure, strict=True)):
            disk = np.zeros(picture.shape[:2], np.float32)
            cv2.circle(disk, (round(float(x)), round(float(y))), radius, float(share), -1)
            picture += disk[..., None] * (self._colours[number % 255].astype(np.float32) - picture)
        drawn = frame.clone()
        drawn[:3] = torch.from_numpy(picture).permute(2, 0, 1)
        return drawn

    def close(self) -> None:
        self._file.close()


def read_points_file(path: Path) -> Points:
    """Points of a CSV: columns x, y and perhaps name, named in its first line, or in this order without one.

    A point without a name gets its number. Raises InputError for a file that cannot be read, UsageError for one without
    points, with other columns, or with two points of one name.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [
                (number, row) for number, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({getattr(error, 'strerror', None) or error}).") from error
    columns = ["x", "y", "name"]
    if rows and not _is_number(rows[0][1][0]):
        columns = [cell.strip().lower() for cell in rows.pop(0)[1]]
        if not {"x", "y"} <= set(columns) <= {"x", "y", "name"}:
            raise UsageError(f"{path}: its columns are {', '.join(columns)}; x, y and perhaps name are wanted.")
    if not rows:
        raise UsageError(f"{path}: holds no points; give lines such as 120,64.5 or 120,64.5,nose.")
    places, names = [], []
    for number, row in rows:
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        if len(row) > len(columns) or not all(_is_number(cells.get(axis, "")) for axis in "xy"):
            raise UsageError(f"{path}: line {number} ({','.join(row)}) is not x,y or x,y,name.")
        places.append((float(cells["x"]), float(cells["y"])))
        names.append(cells.get("name") or str(len(places)))
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"{path}: two points are called {double}; give each its own name.")
    return Points(np.array(places), tuple(names))


def _follow(
    setup: Setup, marker: Marker, segment: Path, meter: Meter, note: Callable[[str], None], *, stop_at_cuts: bool
) -> list[int]:
    """Write the clip with what the marker draws. Returns the frames that begin other shots, from 0 on."""
    plan, settings, cuts = setup.plan, setup.settings, []
    writer = SegmentWriter(segment, settings)
    try:
        with Reader(setup.info, plan.timeline, pix_fmt=settings.pix_fmt, colour=settings.colour) as reader:
            pictures = (frame.picture for frame in reader.frames(plan.first, plan.stop))
            for index, marked in enumerate(mark_pictures(pictures, plan.count)):
                at = plan.timeline.pts(plan.first + index)
                if marked.begins_shot:
                    cuts.append(index)
                    note(_describe_cut(index, at, stop_at_cuts))
                frame = to_rgb(marked.picture, setup.colour)
                drawn = marker.mark(index, float(at), frame, lost=bool(cuts) and stop_at_cuts)
                picture = from_rgb(drawn, pix_fmt=settings.pix_fmt, colour=setup.colour)
                writer.write(picture, plan.stamp(index), plan.stamp(index + 1) - plan.stamp(index))
                meter.add()
    finally:
        marker.close()
        writer.close()
    meter.report(final=True)
    return cuts


def _describe_cut(index: int, at: Fraction, stops: bool) -> str:
    ends = "nothing is marked from here on" if stops else "what is marked from here on is a guess (--stop-at-cuts)"
    return f"another shot begins with frame {index} ({float(at):.2f} s): {ends}."


def _check_size(job: TrackJob, given: Mask | Points, setup: Setup) -> None:
    """Raises UsageError for a mask of another size than the frames, and for points outside them."""
    height, width = setup.info.height, setup.info.width
    if isinstance(given, Points):
        check_points(given.places, (height, width))
    elif given.numbers.shape != (height, width):
        tall, wide = given.numbers.shape
        turned = " The frames are stored turned: turn the mask, too." if setup.info.rotation % 180 else ""
        raise UsageError(f"{job.mask} is {wide}x{tall}, the frames of {job.input} are {width}x{height}.{turned}")


def _beside(target: Path, given: Mask | Points) -> Path:
    """OUT-masks, a folder, or OUT-points.csv beside the output."""
    stem = target.name if target.is_dir() or not target.suffix else target.stem
    return target.with_name(f"{stem}-masks" if isinstance(given, Mask) else f"{stem}-points.csv")


def _check_found(found: Path, given: Mask | Points, *, overwrite: bool) -> None:
    """Raises OutputError for a place that cannot be written to."""
    folder = isinstance(given, Mask)
    if found.exists() and found.is_dir() != folder:
        raise OutputError(f"{found} is {'a folder' if found.is_dir() else 'a file'}; give another name with --found.")
    if found.exists() and not overwrite and not (folder and not any(found.iterdir())):
        raise OutputError(f"{found} exists; --overwrite replaces it, --found gives another name.")
    if not found.parent.is_dir():
        raise OutputError(f"{found.parent}: no such folder; make it first, or give another name with --found.")


def _rims(numbers: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The pixels of objects that touch something else."""
    widest = cv2.dilate(numbers, np.ones((3, 3), np.uint8))
    least = cv2.erode(numbers, np.ones((3, 3), np.uint8))
    return np.asarray((numbers > 0) & (widest != least))


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
