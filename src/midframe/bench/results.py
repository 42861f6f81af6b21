"""Measured results on disk, as JSON with one record a line: a suite's `Record`s, and the `Cost`s shared by all."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from midframe.bench.quality import Record
from midframe.bench.speed import Cost
from midframe.errors import InputError, OutputError
from midframe.files import replacing

T = TypeVar("T", Record, Cost)


def read_records(path: Path) -> list[Record]:
    """What was measured before on a suite; nothing if there is no file. Raises InputError if it is damaged."""
    return _read(path, Record)


def read_costs(path: Path) -> list[Cost]:
    """As `read_records`."""
    return _read(path, Cost)


def write_results(path: Path, results: Sequence[Record] | Sequence[Cost]) -> None:
    """All at once: a broken run leaves the file as it was. Raises OutputError if it cannot be written."""
    lines = [json.dumps(dataclasses.asdict(one), ensure_ascii=False, separators=(",", ":")) for one in results]
    text = "[\n" + ",\n".join(lines) + "\n]\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another --output.") from error


def put(results: list[T], one: T, key: Callable[[T], object]) -> None:
    """`one` in the place of those of the same `key`, or at the end."""
    places = [index for index, other in enumerate(results) if key(other) == key(one)]
    if not places:
        results.append(one)
        return
    results[places[0]] = one
    for index in reversed(places[1:]):
        del results[index]


def _read(path: Path, kind: type[T]) -> list[T]:
    if not path.exists():
        return []
    try:
        values: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return [kind(**value) for value in values]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not results of midframe bench ({error}); move it away.") from error
