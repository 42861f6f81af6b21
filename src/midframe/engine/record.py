"""What a condensed film says of itself: which frames of the film it holds, when all are shown, how the rest is made.

It is one line of JSON, in Matroska the global tag MIDFRAME_CONDENSED, in a folder of images the file condensed.json.
Times are exact there, whatever the container rounds its own stamps to.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from midframe.engine.plan import Grid
from midframe.errors import InputError, UsageError
from midframe.video.timeline import Timeline

CONDENSED_TAG = "MIDFRAME_CONDENSED"
SIDECAR = "condensed.json"
FORMAT = 1
LONGEST = 1000  # frames from one kept frame to the next, at most: a damaged record asks for no more memory than this


@dataclass(frozen=True, slots=True)
class Record:
    """keys: numbers of the frames that are kept, from 0 to the last one. times: of all frames, seconds, exact, none
    negative; the last is shown until `finish`. rate: the constant rate of the film, or None.

    model, weights, effort, tile  what makes the other frames; weights: the SHA-256 of their file, "" if there are none
    tolerance  dB that each of them reached
    """

    keys: tuple[int, ...]
    times: tuple[Fraction, ...]
    finish: Fraction
    rate: Fraction | None
    model: str
    weights: str
    effort: float | None
    tile: int
    tolerance: float

    def write(self) -> str:
        """One line of JSON."""
        gaps = [b - a for a, b in pairwise(self.keys)]
        shown: dict[str, Any] = {"start": str(self.times[0]), "finish": str(self.finish)}
        if self.rate is not None:
            shown["rate"] = str(self.rate)
        else:
            shown["steps"] = [str(b - a) for a, b in pairwise(self.times)]
        values = {
            "format": FORMAT,
            "frames": len(self.times),
            "gaps": gaps,
            **shown,
            "model": self.model,
            "weights": self.weights,
            "effort": self.effort,
            "tile": self.tile,
            "tolerance": self.tolerance,
        }
        return json.dumps(values, separators=(",", ":"))


def read_record(text: str, path: str) -> Record:
    """Raises InputError if the text is none, or was written by a later midframe."""
    try:
        values = json.loads(text)
        if values["format"] != FORMAT:
            raise InputError(f"{path} was condensed by a later midframe (format {values['format']}): use that one.")
        gaps = [int(gap) for gap in values["gaps"]]
        keys = tuple(accumulate(gaps, initial=0))
        if any(not 1 <= gap <= LONGEST for gap in gaps) or keys[-1] + 1 != values["frames"]:
            raise ValueError("its gaps do not add up")
        start, rate = Fraction(values["start"]), None
        if "rate" in values:
            rate = Fraction(values["rate"])
            times = tuple(start + n / rate for n in range(keys[-1] + 1))
        else:
            times = tuple(accumulate((Fraction(step) for step in values["steps"]), initial=start))
        finish = Fraction(values["finish"])
        if len(times) != keys[-1] + 1 or any(b <= a for a, b in pairwise((*times, finish))):
            raise ValueError("its times do not rise")
        effort = None if values["effort"] is None else float(values["effort"])
        return Record(
            keys, times, finish, rate, str(values["model"]), str(values["weights"]), effort, int(values["tile"]),
            float(values["tolerance"]),
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(f"{path}: what it says of the frames that were left out cannot be read ({reason}).") from error


def is_condensed(path: str, metadata: Mapping[str, str]) -> bool:
    """Whether a film, or a folder, says that frames of it were left out."""
    return CONDENSED_TAG in metadata or (Path(path) / SIDECAR).is_file()


def find_record(path: str, metadata: Mapping[str, str]) -> Record:
    """The record of a condensed film, from its metadata or from its folder. Raises InputError if it has none."""
    sidecar = Path(path) / SIDECAR
    if CONDENSED_TAG in metadata:
        return read_record(metadata[CONDENSED_TAG], path)
    if sidecar.is_file():
        return read_record(sidecar.read_text(encoding="utf-8", errors="replace"), str(sidecar))
    raise InputError(f"{path} is not condensed: it was not written by `midframe condense`, or lost its metadata since.")


def all_times(timeline: Timeline) -> tuple[tuple[Fraction, ...], Fraction, Fraction]:
    """(times, finish, origin): when all frames of a source are shown, moved as a whole so that none is negative."""
    origin = min(timeline.start, Fraction(0))
    return tuple(timeline.pts(i) - origin for i in range(len(timeline))), timeline.end - origin, origin


def kept_grid(record: Record, origin: Fraction) -> Grid:
    """The slots of the condensed film: the kept frames at their own times, on the source's index axis."""
    whole = len(record.keys) == len(record.times)
    return Grid(
        positions=tuple(Fraction(key) for key in record.keys),
        times=tuple(record.times[key] for key in record.keys),
        finish=record.finish,
        rate=record.rate if whole else None,
        origin=origin,
    )


def restored_grid(record: Record, origin: Fraction) -> Grid:
    """The slots of the restored film: all frames at their old times, on the condensed film's index axis."""
    positions = []
    for number, (a, b) in enumerate(pairwise(record.keys)):
        span = record.times[b] - record.times[a]
        positions += [number + (record.times[n] - record.times[a]) / span for n in range(a, b)]
    positions.append(Fraction(len(record.keys) - 1))
    return Grid(tuple(positions), record.times, record.finish, record.rate, origin)


def read_tolerance(text: str) -> float:
    """ "38dB", "38 dB" or "38" → 38.0. Raises UsageError."""
    body = text.strip().lower().removesuffix("db").strip()
    try:
        return float(body)
    except ValueError:
        raise UsageError(f"--tolerance {text}: give dB of PSNR, as in 38dB.") from None
