"""`midframe info`: what a source is, in words, and what `midframe interpolate` makes of it by default."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from midframe.cli.progress import format_rate, format_seconds, plain
from midframe.errors import MidframeError, UsageError

if TYPE_CHECKING:
    from midframe.engine.job import InterpolateJob
    from midframe.engine.record import Record
    from midframe.video.colour import Colour
    from midframe.video.probe import VideoInfo
    from midframe.video.timeline import Timeline

EXAMPLES = """Examples:
  midframe info clip.mp4
  midframe info scans/ --rate 12
  midframe info clip.mp4 --json | jq .timing.rate"""
JOB_OPTIONS = ("rate", "allow_damaged")
SOURCES = escape("Video file, folder of images, numbered pattern (img%04d.png), GIF or APNG.")

# ITU-T H.273 in the words people use.
RANGES = {1: "limited", 2: "full"}
PRIMARIES = {1: "BT.709", 4: "BT.470 M", 5: "BT.601 (PAL)", 6: "BT.601 (NTSC)", 7: "SMPTE 240M", 8: "film",
             9: "BT.2020", 10: "CIE XYZ", 11: "DCI-P3", 12: "Display P3", 22: "EBU 3213"}  # fmt: skip
TRANSFERS = {1: "BT.709", 4: "gamma 2.2", 5: "gamma 2.8", 6: "BT.601", 7: "SMPTE 240M", 8: "linear", 9: "logarithmic",
             10: "logarithmic (square root)", 11: "xvYCC", 12: "BT.1361", 13: "sRGB", 14: "BT.2020 (10 bit)",
             15: "BT.2020 (12 bit)", 16: "PQ", 17: "SMPTE 428", 18: "HLG"}  # fmt: skip
SITINGS = {1: "left", 2: "centre", 3: "top left", 4: "top", 5: "bottom left", 6: "bottom"}
FILE_TYPE = ("major_brand", "minor_version", "compatible_brands")  # of MP4; says nothing about the film
FIELDS = {"tff": "top field first", "bff": "bottom field first"}


@dataclass(frozen=True, slots=True)
class Facts:
    """One source: what it is, when its frames are shown (None: damaged), what the default job would make of it.

    record: of a condensed film, what was left out.
    """

    info: "VideoInfo"
    timeline: "Timeline | None"
    default: Mapping[str, Any] | None
    refusal: str | None
    record: "Record | None" = None


def info(
    input: Annotated[str, typer.Argument(metavar="IN", help=SOURCES)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    **options: Any,
) -> None:
    """Show what a source is: streams, colour, exact frame rate; and what midframe does with it by default."""
    from midframe.api import make_job

    refuse_stdin(input)
    job = make_job(input, **options)
    from midframe.engine.record import find_record, is_condensed
    from midframe.video.probe import probe

    found = probe(job.input)
    # A file that breaks off still has headers to show; how it breaks off is said after them.
    damage: MidframeError | None = None
    timeline: Timeline | None = None
    try:
        timeline = scan_source(job, found)
    except MidframeError as error:
        damage = error
    default: dict[str, Any] | None = None
    refusal: str | None = None
    if timeline is not None:
        try:
            default = plan_default(job, found, timeline)
        except MidframeError as error:  # e.g. a pixel format that cannot be interpolated: a fact about the file, too
            refusal = str(error)
    record: Record | None = None
    if is_condensed(found.path, found.metadata):
        try:
            record = find_record(found.path, found.metadata)
        except MidframeError as error:
            damage = damage or error
    facts = Facts(found, timeline, default, refusal, record)
    if as_json:
        typer.echo(json.dumps(as_values(facts), indent=2, ensure_ascii=False, default=plain))
    else:
        print_facts(facts)
    if damage is not None:
        raise damage


def refuse_stdin(input: str) -> None:
    if input == "-":
        raise UsageError("stdin can be read only once, by `midframe interpolate -`: give a file here.")


def scan_source(job: "InterpolateJob", found: "VideoInfo") -> "Timeline":
    """The stamps of a source as `midframe interpolate` sees them with these options."""
    from midframe.engine.plan import parse_rate
    from midframe.video.probe import scan

    return scan(found, decode=job.allow_damaged, rate=parse_rate(job.rate) if job.rate is not None else None)


def plan_default(job: "InterpolateJob", found: "VideoInfo", timeline: "Timeline") -> dict[str, Any]:
    """What `midframe interpolate IN` would write. Raises what it would raise."""
    from midframe.engine.plan import make_plan, output_rate
    from midframe.engine.run import check_source, default_output
    from midframe.video.writer import choose_encoder, container_of

    notes: list[str] = []
    check_source(job, found, timeline, notes.append)
    plan = make_plan(job, timeline)
    output = default_output(job.input)
    settings = choose_encoder(
        found,
        container=container_of(output),
        time_base=plan.time_base,
        rate=output_rate(plan),
        notes=notes.append,
    )
    return {
        "output": str(output),
        "model": job.model,
        "frames": plan.count,
        "rate": output_rate(plan),
        "average_rate": plan.count / plan.duration,
        "duration": plan.duration,
        "codec": settings.codec,
        "pix_fmt": settings.final or settings.pix_fmt,
        "crf": settings.options.get("crf"),
        "notes": notes,
    }


def as_values(facts: Facts) -> dict[str, Any]:
    """Everything as plain values for JSON: words and H.273 numbers for colour, exact rates and seconds as text."""
    from midframe.video.pixel import resolve, working_format

    found, timeline = facts.info, facts.timeline
    width, height = found.width, found.height
    try:
        taken = resolve(found.colour, working_format(found.pix_fmt), height)
    except UsageError:  # Bayer and the like: midframe does not work on it, so takes it for nothing
        taken = None
    return {
        "path": found.path,
        "container": found.container,
        "images": len(found.images) or None,
        "video": {
            "stream": found.stream_index,
            "codec": found.codec,
            "width": width,
            "height": height,
            "sar": found.sar,
            "display_width": round(width * found.sar),
            "rotation": found.rotation,
            "pix_fmt": found.pix_fmt,
            "bit_depth": found.bit_depth,
            "alpha": found.has_alpha,
            "interlaced": found.interlaced,
            "hdr": name_hdr(found),
            "hdr_metadata": sorted(found.hdr),
        },
        "colour": name_colour(found.colour),
        "colour_taken_as": name_colour(taken) if taken is not None else None,
        "colour_codes": {
            "range": found.colour.range,
            "matrix": found.colour.matrix,
            "primaries": found.colour.primaries,
            "transfer": found.colour.transfer,
            "chroma_location": found.colour.chroma_location,
        },
        "timing": describe_timing(timeline) if timeline is not None else None,
        "declared": {
            "rate": found.declared_rate,
            "frames": found.declared_frames,
            "duration": found.declared_duration,
        },
        "streams": [
            {
                "index": stream.index,
                "kind": stream.kind,
                "codec": stream.codec,
                "language": stream.language,
                "title": stream.title,
                "start": stream.start,
                "duration": stream.duration,
            }
            for stream in found.streams
        ],
        "chapters": found.chapters,
        "metadata": found.metadata,
        "condensed": describe_record(facts.record) if facts.record is not None else None,
        "default": facts.default,
        "refused": facts.refusal,
    }


def describe_timing(timeline: "Timeline") -> dict[str, Any]:
    """Frames, exact rate (None: variable) with the least, mean and greatest, start and duration in seconds."""
    import numpy as np

    steps = np.diff(timeline.ticks)
    rate = timeline.rate
    return {
        "frames": len(timeline),
        "rate": rate,
        "variable": rate is None,
        "min_rate": rate or (1 / (int(steps.max()) * timeline.time_base) if len(steps) else None),
        "average_rate": timeline.average_rate,
        "max_rate": rate or (1 / (int(steps.min()) * timeline.time_base) if len(steps) else None),
        "start": timeline.start,
        "duration": timeline.duration,
    }


def describe_record(record: "Record") -> dict[str, Any]:
    """What a condensed film holds, and what `midframe expand` makes of it."""
    return {
        "kept": len(record.keys),
        "frames": len(record.times),
        "duration": record.finish - record.times[0],
        "model": record.model,
        "tolerance": record.tolerance,
    }


def name_colour(colour: "Colour") -> dict[str, str | None]:
    """H.273 numbers in words; None = the file does not say."""
    from midframe.video.colour import MATRIX_NAMES

    return {
        "range": RANGES.get(colour.range),
        "matrix": _name(MATRIX_NAMES, colour.matrix),
        "primaries": _name(PRIMARIES, colour.primaries),
        "transfer": _name(TRANSFERS, colour.transfer),
        "chroma_location": SITINGS.get(colour.chroma_location),
    }


def name_hdr(found: "VideoInfo") -> str | None:
    if not found.colour.is_hdr:
        return None
    kind = "HLG" if found.colour.transfer == 18 else "PQ"
    return "HDR10 (PQ with mastering metadata)" if kind == "PQ" and found.hdr else f"HDR ({kind})"


def _name(names: Mapping[int, str], number: int) -> str | None:
    return None if number == 2 else names.get(number, f"number {number} of H.273")


def print_facts(facts: Facts) -> None:
    """The same as `as_values`, for people."""
    from midframe.engine.record import CONDENSED_TAG

    values = as_values(facts)
    video = values["video"]
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("file", values["path"])
    count = values["images"]
    table.add_row("container", f"{count} images" if count else values["container"])
    table.add_row("video", f"{video['codec']}, {video['pix_fmt']}, {video['bit_depth']} bit{_alpha(video)}")
    table.add_row("size", _size(video))
    table.add_row("colour", _colour(values))
    if video["hdr"] or video["hdr_metadata"]:
        names = [name.replace("_", " ").lower() for name in video["hdr_metadata"]]
        table.add_row("HDR", ", ".join([*([video["hdr"]] if video["hdr"] else []), *names]))
    if video["interlaced"]:
        table.add_row("fields", f"interlaced, {FIELDS[video['interlaced']]}")
    for name, text in _timing(values):
        table.add_row(name, text)
    for stream in values["streams"]:
        table.add_row(f"stream {stream['index']}", _stream(stream))
    if values["chapters"]:
        table.add_row("chapters", str(values["chapters"]))
    if (condensed := values["condensed"]) is not None:
        table.add_row(
            "condensed",
            f"{condensed['kept']} of {condensed['frames']} frames kept; `midframe expand` makes the rest, with "
            f"{condensed['model']}, at {condensed['tolerance']:g} dB or more: {float(condensed['duration']):.3f} s",
        )
    for key, text in values["metadata"].items():
        if key not in (*FILE_TYPE, CONDENSED_TAG):
            table.add_row(key, " ".join(text.split()))
    if facts.default is not None:
        default = facts.default
        crf = f", crf {default['crf']}" if default["crf"] else ""
        rate = default["rate"] or default["average_rate"]
        table.add_row("", "")
        table.add_row("by default", default["output"])
        table.add_row(
            "",
            f"{default['frames']} frames at {format_rate(rate)} frames/s{_mean(default)}, made by {default['model']}",
        )
        rest = "; the other streams are copied" if values["streams"] else ""
        table.add_row("", f"{default['codec']}, {default['pix_fmt']}{crf}{rest}")
        for note in default["notes"]:
            table.add_row("", f"note: {note}")
    if facts.refusal is not None:
        table.add_row("", "")
        table.add_row("by default", f"refused: {facts.refusal}")
    Console(markup=False, highlight=False, emoji=False).print(table)


def _alpha(video: Mapping[str, Any]) -> str:
    return ", with alpha" if video["alpha"] else ""


def _mean(timing: Mapping[str, Any]) -> str:
    return " on average (variable)" if timing["rate"] is None else ""


def _size(video: Mapping[str, Any]) -> str:
    text = f"{video['width']} × {video['height']}"
    if video["sar"] != 1:
        text += f", pixels {video['sar'].numerator}:{video['sar'].denominator}"
        text += f" (shown as {video['display_width']} × {video['height']})"
    if video["rotation"]:
        text += f", shown turned by {video['rotation']}° counter-clockwise"
    return text


def _colour(values: Mapping[str, Any]) -> str:
    said, taken = values["colour"], values["colour_taken_as"]
    words = {"range": "range", "matrix": "matrix", "primaries": "primaries", "transfer": "transfer",
             "chroma_location": "chroma"}  # fmt: skip
    parts = []
    for key, word in words.items():
        if said[key] is not None:
            parts.append(f"{word} {said[key]}")
        elif taken is not None and taken[key] is not None:
            if key == "chroma_location" and "420" not in values["video"]["pix_fmt"]:
                continue  # nothing is subsampled both ways: the siting hardly matters
            parts.append(f"{word} untagged (taken as {taken[key]})")
        else:
            parts.append(f"{word} untagged")
    return ", ".join(parts)


def _timing(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    timing = values["timing"]
    if timing is None:
        declared = values["declared"]
        claims = [f"{declared['frames']} frames"] if declared["frames"] else []
        claims += [f"{format_rate(declared['rate'])} frames/s"] if declared["rate"] else []
        claims += [format_seconds(float(declared["duration"]))] if declared["duration"] else []
        return [("says it has", ", ".join(claims) or "nothing about its length")]
    if timing["variable"]:
        ends = [format_rate(timing[key]) for key in ("min_rate", "max_rate") if timing[key] is not None]
        rate = f"variable, {float(timing['average_rate']):.3f} frames/s on average ({' to '.join(ends)})"
    else:
        rate = f"{format_rate(timing['rate'])} frames/s, constant"
    start = f", starts at {float(timing['start']):.3f} s" if timing["start"] else ""
    seconds = float(timing["duration"])
    clock = f" ({format_seconds(seconds)})" if seconds >= 60 else ""
    return [("rate", rate), ("length", f"{timing['frames']} frames, {seconds:.3f} s{clock}{start}")]


def _stream(stream: Mapping[str, Any]) -> str:
    parts = [f"{stream['kind']} {stream['codec']}"]
    parts += [stream[key] for key in ("language", "title") if stream[key]]
    if stream["duration"] is not None:
        parts.append(f"{float(stream['duration']):.3f} s")
    if stream["start"]:
        parts.append(f"starts at {float(stream['start']):.3f} s")
    return ", ".join(parts)
