"""How far a job is, on stderr: a bar on a terminal, lines of JSON otherwise. stdout is left to the film.

JSON lines are events of `engine.job` with their name under "event": started, progress, note, and at the end result.
Rich's bars are imported where one is shown: help and mistakes are answered without them.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from midframe.engine import job

ProgressMode = Literal["auto", "bar", "json", "none"]
STAGES = {
    "render": "frames",
    "assemble": "putting together",
    "verify": "verifying",
    "spool": "reading stdin",
    "select": "choosing frames",
    "compare": "comparing with the source",
}
LINE_EVERY = 1.0  # seconds between progress lines of JSON


class Reporter(Protocol):
    """Takes a job's events; shows the result. `at` is the last known (frames done, frames in all)."""

    at: tuple[int, int] | None

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...

    def __call__(self, event: job.Event) -> None: ...

    def finish(self, result: job.Finished) -> None: ...


def make_reporter(mode: ProgressMode, *, quiet: bool, summary: Callable[[str], None]) -> Reporter:
    """The reporter for a mode; "auto" is a bar if stderr is a terminal, else JSON. `summary` prints the final lines."""
    if quiet:
        return Plain(say=lambda text: None, summary=lambda text: None)
    if mode == "auto":
        mode = "bar" if sys.stderr.isatty() else "json"
    if mode == "bar":
        return Bar(summary)
    if mode == "json":
        return Lines()
    return Plain(say=lambda text: print(text, file=sys.stderr), summary=summary)


class Plain:
    """Notes and the summary, no progress."""

    def __init__(self, *, say: Callable[[str], None], summary: Callable[[str], None]) -> None:
        self.at: tuple[int, int] | None = None
        self._say, self._summary = say, summary

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...

    def __call__(self, event: job.Event) -> None:
        self.at = _where(event) or self.at
        if isinstance(event, job.Note):
            self._say(f"note: {event.text}")

    def finish(self, result: job.Finished) -> None:
        self._summary(format_result(result))


class Lines(Plain):
    """One JSON object a line."""

    def __init__(self) -> None:
        super().__init__(say=lambda text: None, summary=lambda text: None)
        self._last: tuple[float, str] = (0.0, "")

    def __call__(self, event: job.Event) -> None:
        super().__call__(event)
        if isinstance(event, job.Progress):
            now = time.monotonic()
            whole = event.frames >= event.total
            if event.stage == self._last[1] and now - self._last[0] < LINE_EVERY and not whole:
                return
            self._last = (now, event.stage)
        values = asdict(event)
        for key in ("fps", "eta"):
            if isinstance(values.get(key), float):
                values[key] = round(values[key], 2)
        _print_line({"event": type(event).__name__.lower(), **values})

    def finish(self, result: job.Finished) -> None:
        _print_line({"event": "result", **asdict(result)})


class Bar:
    """A bar with frames, frames per second and time left."""

    def __init__(self, summary: Callable[[str], None]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.at: tuple[int, int] | None = None
        self._summary = summary
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[speed]}"),
            console=console,
        )
        self._task = self._bar.add_task("planning", total=1, speed="", start=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: job.Event) -> None:
        self.at = _where(event) or self.at
        match event:
            case job.Started():
                done = f", {event.done} done by an earlier run" if event.done else ""
                work = f"{event.source_frames} frames → {event.frames} at {event.rate}"
                self._say(f"{event.model}: {work}, {event.encoder}{done}")
                self._bar.start_task(self._task)
                self._bar.update(self._task, total=event.frames, completed=event.done)
            case job.Progress():
                speed = f"{event.fps:.1f} frames/s" if event.fps else ""
                if event.eta is not None and event.stage in ("render", "select", "compare"):
                    speed += f", {format_seconds(event.eta)} left"
                self._bar.update(
                    self._task,
                    description=STAGES[event.stage],
                    total=event.total,
                    completed=event.frames,
                    speed=speed,
                )
            case job.Note():
                self._say(f"note: {event.text}")

    def finish(self, result: job.Finished) -> None:
        self._bar.stop()
        self._summary(format_result(result))

    def _say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def counting(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr for work that is only counted: call it with (done, total). Shows nothing off a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        task = bar.add_task(escape(what), total=1)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def format_result(result: job.Finished) -> str:
    """What a finished job made, a few lines for people."""
    if isinstance(result, job.Condensed):
        return _format_condensed(result)
    if isinstance(result, job.Tracked):
        return _format_tracked(result)
    speed = result.frames / result.seconds if result.seconds > 0 else 0.0
    held = f", {result.held} held" if result.held else ""
    cuts = f", {len(result.cuts)} cut{'s' * (len(result.cuts) != 1)}" if result.cuts else ""
    lines = [
        str(result.output) if result.output is not None else "stdout",
        f"  frames    {result.frames} ({result.copied} from the source, {result.rendered} new{held}{cuts})",
        *([f"  size      {result.size[1]}x{result.size[0]}"] if result.size is not None else []),
        f"  rate      {format_rate(result.source_rate)} → {format_rate(result.rate)}",
        f"  duration  {float(result.source_duration):.3f} s → {float(result.duration):.3f} s",
    ]
    if result.audio_offset:
        offsets = ", ".join(f"{name} {1000 * seconds:+.2f} ms" for name, seconds in result.audio_offset.items())
        lines.append(f"  sound     off by {offsets}")
    lines.append(f"  took      {format_seconds(result.seconds)} ({speed:.2f} frames/s)")
    return "\n".join(lines)


def _format_condensed(result: job.Condensed) -> str:
    share = f"{result.bytes / result.source_bytes:.0%} of the source"
    made = result.frames - result.kept
    worst = f", the worst of the {made} made again {result.worst_made:.2f}" if result.worst_made is not None else ""
    if result.plain_bytes:
        share += f", {result.bytes / result.plain_bytes:.0%} of all frames coded alike"
    lines = [
        str(result.output),
        f"  frames    {result.kept} of {result.frames} kept, {made} made again at {result.tolerance:g} dB or more",
        f"  size      {format_size(result.source_bytes)} → {format_size(result.bytes)} ({share})",
        f"  PSNR      {result.psnr:.2f} dB in the mean, the worst kept {result.worst_kept:.2f}{worst}",
        f"  took      {format_seconds(result.seconds)}",
    ]
    return "\n".join(lines)


def _format_tracked(result: job.Tracked) -> str:
    cuts = f", {len(result.cuts)} cut{'s' * (len(result.cuts) != 1)}" if result.cuts else ""
    lines = [
        str(result.output),
        f"  {result.kind:<9} {result.count}, in {result.found}",
        f"  frames    {result.frames}{cuts}",
        f"  duration  {float(result.duration):.3f} s",
        f"  took      {format_seconds(result.seconds)}",
    ]
    return "\n".join(lines)


def format_size(count: int) -> str:
    """Bytes as "312 kB" or "4.1 MB"."""
    return f"{count / 1e3:.0f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def format_rate(rate: Fraction) -> str:
    """24 → "24", 24000/1001 → "24000/1001 (23.976)"."""
    if rate.denominator == 1:
        return str(rate.numerator)
    short = f"{float(rate):.3f}".rstrip("0")
    return f"{rate} ({short})" if rate.denominator <= 1001 else short


def format_seconds(seconds: float) -> str:
    """7.3 → "7.3 s", 3700 → "1:01:40"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def plain(value: Any) -> Any:
    """Values as JSON has them: a Fraction is "24000/1001" or "24", a path its text."""
    if isinstance(value, Fraction | Path):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _where(event: job.Event) -> tuple[int, int] | None:
    match event:
        case job.Started():
            return event.done, event.frames
        case job.Progress() if event.stage != "spool":
            return event.frames, event.total
    return None


def _print_line(fields: dict[str, Any]) -> None:
    print(json.dumps(fields, default=plain), file=sys.stderr, flush=True)
