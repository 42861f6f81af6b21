"""Rendering a job's segments: in this process, or shared by worker processes.

Workers are spawned, not forked (PyAV, OpenCV and torch all hold threads). A worker that dies is replaced and its
segment tried again, twice; a segment that kills three workers ends the job. Workers end when their parent does.
"""

import gc
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import torch

from midframe.engine.job import Event, InterpolateJob, Progress, Stage
from midframe.engine.journal import Journal, Record
from midframe.engine.pipeline import Pipeline, Setup
from midframe.engine.plan import Segment
from midframe.errors import MidframeError, ModelError
from midframe.models.load import load, quicken
from midframe.types import Synthesizer

CONTEXT = multiprocessing.get_context("spawn")
TRIES = 3
REPORT_EVERY = 0.2  # seconds between progress events
RATE_OVER = 10.0  # seconds that the reported rate looks back

Listener = Callable[[Event], None]


def render(setup: Setup, journal: Journal, done: dict[int, Record], tell: Listener) -> dict[int, Record]:
    """Render every segment that is not `done`. Returns the records of all. Raises what a segment raised."""
    todo = [segment for segment in setup.segments if segment.number not in done]
    meter = Meter(setup.plan.count, sum(record.frames for record in done.values()), tell)
    records = dict(done)
    if not todo:
        return records
    workers = min(setup.job.workers, len(todo))
    made = _here(setup, journal, todo, meter) if workers <= 1 else _shared(setup, journal, todo, workers, meter)
    for record in made:
        records[record.number] = record
    meter.report(final=True)
    return records


class Meter:
    """Counts finished frames and tells the listener, a few times a second, how fast it goes and how long is left."""

    def __init__(self, total: int, done: int, tell: Listener, stage: Stage = "render") -> None:
        self._total, self._done, self._tell, self._stage = total, done, tell, stage
        self._last = 0.0
        self._recent: deque[tuple[float, int]] = deque([(time.monotonic(), done)])

    def add(self, frames: int = 1) -> None:
        self._done += frames
        self.report()

    def report(self, final: bool = False) -> None:
        now = time.monotonic()
        if not final and now - self._last < REPORT_EVERY:
            return
        self._last = now
        self._recent.append((now, self._done))
        while len(self._recent) > 2 and self._recent[0][0] < now - RATE_OVER:
            self._recent.popleft()
        (then, before), seconds = self._recent[0], now - self._recent[0][0]
        rate = max(self._done - before, 0) / seconds if seconds > 0 and then < now else 0.0
        eta = (self._total - self._done) / rate if rate > 0 else None
        self._tell(Progress(min(self._done, self._total), self._total, rate, eta, self._stage))


def limit_threads(job: InterpolateJob) -> None:
    """Threads of this process. OpenCV gets one: its DIS cuts the picture by threads, so their number would show."""
    cores = os.cpu_count() or 1
    torch.set_num_threads(job.threads or max(1, cores // job.workers))
    cv2.setNumThreads(1)


def _load(job: InterpolateJob) -> Synthesizer:
    return quicken(load(job.model, weights=job.weights, effort=job.effort, task=job.task))


def _here(setup: Setup, journal: Journal, todo: list[Segment], meter: Meter) -> Iterable[Record]:
    limit_threads(setup.job)
    with closing(Pipeline(setup, _load(setup.job))) as pipeline:
        for segment in todo:
            yield pipeline.run(segment, journal, meter.add)


@dataclass(slots=True)
class Worker:
    """A process, our end of the pipe to it, and the segment it is busy with."""

    process: BaseProcess
    pipe: Any
    busy: Segment | None = None
    frames: int = 0  # of the busy segment, already counted by the meter


@dataclass(slots=True)
class Pool:
    """The running workers and what is left to do. Each has a pipe of its own: one that dies takes no lock with it."""

    setup: Setup
    folder: Path
    todo: deque[Segment]
    workers: list[Worker] = field(default_factory=list)
    deaths: Counter[int] = field(default_factory=Counter)  # segment number → workers it has cost

    def hire(self) -> None:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(
            target=_work, args=(self.setup, self.folder, theirs, os.getpid()), name="midframe-worker", daemon=True
        )
        process.start()
        theirs.close()  # so that the pipe ends when the worker does
        worker = Worker(process, ours)
        self.workers.append(worker)
        self.feed(worker)

    def feed(self, worker: Worker) -> None:
        """Give a worker its next segment, or None: there is no more."""
        worker.busy, worker.frames = (self.todo.popleft() if self.todo else None), 0
        with suppress(BrokenPipeError, ConnectionResetError):  # it has died: `wait` will tell
            worker.pipe.send(worker.busy)

    def bury(self, worker: Worker) -> None:
        """Put a dead worker's segment back and hire another. Raises ModelError if that segment has killed TRIES."""
        self.workers.remove(worker)
        worker.process.join()
        if worker.busy is None:
            return
        number = worker.busy.number
        self.deaths[number] += 1
        if self.deaths[number] >= TRIES:
            raise ModelError(
                f"segment {number} ended {TRIES} workers (last exit code {worker.process.exitcode}); "
                "is there enough memory? Try --workers 1."
            )
        self.todo.appendleft(worker.busy)
        self.hire()

    def dismiss(self) -> None:
        for worker in self.workers:
            if worker.busy is not None:
                worker.process.terminate()
        for worker in self.workers:
            worker.process.join(timeout=10)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()


def _shared(setup: Setup, journal: Journal, todo: list[Segment], count: int, meter: Meter) -> Iterable[Record]:
    pool = Pool(setup, journal.folder, deque(todo))
    try:
        for _ in range(count):
            pool.hire()
        while busy := {worker.pipe: worker for worker in pool.workers if worker.busy is not None}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]
                try:
                    value = worker.pipe.recv()
                except (EOFError, ConnectionResetError):
                    meter.add(-worker.frames)
                    pool.bury(worker)
                    continue
                if isinstance(value, BaseException):
                    raise value
                if isinstance(value, Record):
                    yield value
                    pool.feed(worker)
                else:
                    worker.frames += value
                    meter.add(value)
    finally:
        pool.dismiss()
        for leftover in journal.folder.glob("*.part"):
            leftover.unlink(missing_ok=True)


def _work(setup: Setup, folder: Path, pipe: Any, parent: int) -> None:
    """Life of a worker: take segments until told None; answer numbers of frames, a Record each, or what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C to all; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _follow(parent)
    pending = 0

    def count() -> None:
        nonlocal pending
        pending += 1
        if pending >= 4:
            pipe.send(pending)
            pending = 0

    try:
        gc.freeze()  # what torch made lives as long as this process: never look through it again
        limit_threads(setup.job)
        journal = Journal.at(folder)
        with closing(Pipeline(setup, _load(setup.job))) as pipeline:
            while (segment := pipe.recv()) is not None:
                record = pipeline.run(segment, journal, count)
                pipe.send(pending)
                pending = 0
                pipe.send(record)
    except MidframeError as error:
        pipe.send(error)
    except Exception as error:  # the parent raises it: our slip must not look like a dead worker
        pipe.send(RuntimeError(f"{error}\n{traceback.format_exc()}"))


def _follow(parent: int) -> None:
    """End this process when its parent has gone (killed, say): nobody would read its answers."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
