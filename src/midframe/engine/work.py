"""Rendering a job's segments: in this process, or shared by worker processes.

Workers are spawned, not forked (PyAV, OpenCV and torch all hold threads). A worker that dies is replaced and its
segment tried again, twice; a segment that kills three workers ends the job. Workers end when their parent does.
"""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

import cv2
import torch

from midframe.engine.job import Event, Progress
from midframe.engine.journal import Journal, Record
from midframe.engine.pipeline import Pipeline, Setup
from midframe.engine.plan import Segment
from midframe.errors import MidframeError, ModelError
from midframe.models.load import load

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

    def __init__(self, total: int, done: int, tell: Listener) -> None:
        self._total, self._done, self._tell = total, done, tell
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
        self._tell(Progress(min(self._done, self._total), self._total, rate, eta))


def limit_threads(setup: Setup) -> None:
    """Threads of this process. OpenCV gets one: its DIS cuts the picture by threads, so their number would show."""
    cores = os.cpu_count() or 1
    torch.set_num_threads(setup.job.threads or max(1, cores // setup.job.workers))
    cv2.setNumThreads(1)


def _here(setup: Setup, journal: Journal, todo: list[Segment], meter: Meter) -> Iterable[Record]:
    limit_threads(setup)
    pipeline = Pipeline(setup, load(setup.job.model))
    try:
        for segment in todo:
            yield pipeline.run(segment, journal, meter.add)
    finally:
        pipeline.close()


@dataclass(slots=True)
class Worker:
    """A process, the queue it takes segments from, and the segment it is busy with."""

    process: BaseProcess
    tasks: Any
    busy: Segment | None = None
    frames: int = 0  # of the busy segment, already counted by the meter


@dataclass(slots=True)
class Pool:
    """The running workers and what is left to do."""

    todo: deque[Segment]
    workers: dict[int, Worker] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)  # segment number → workers it has cost


def _shared(setup: Setup, journal: Journal, todo: list[Segment], count: int, meter: Meter) -> Iterable[Record]:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    pool = Pool(deque(todo))

    def hire(name: int) -> None:
        tasks = context.SimpleQueue()
        process = context.Process(
            target=_work,
            args=(name, setup, journal.folder, tasks, answers, os.getpid()),
            name=f"midframe-worker-{name}",
        )
        process.start()
        pool.workers[name] = Worker(process, tasks)
        feed(name)

    def feed(name: int) -> None:
        worker = pool.workers[name]
        worker.busy, worker.frames = (pool.todo.popleft() if pool.todo else None), 0
        worker.tasks.put(worker.busy)

    next_name = 0
    try:
        for _ in range(count):
            hire(next_name)
            next_name += 1
        while any(worker.busy is not None for worker in pool.workers.values()):
            try:
                kind, name, value = answers.get(timeout=0.5)
            except queue.Empty:
                for name, worker in list(pool.workers.items()):
                    if worker.process.is_alive() or worker.busy is None:
                        continue
                    meter.add(-worker.frames)
                    number = worker.busy.number
                    pool.deaths[number] = pool.deaths.get(number, 0) + 1
                    if pool.deaths[number] >= TRIES:
                        raise ModelError(
                            f"segment {number} ended {TRIES} workers (last exit code {worker.process.exitcode}); "
                            "is there enough memory? Try --workers 1."
                        ) from None
                    pool.todo.appendleft(worker.busy)
                    del pool.workers[name]
                    hire(next_name)
                    next_name += 1
                continue
            if name not in pool.workers:  # the last words of a worker that has been replaced
                continue
            if kind == "frame":
                pool.workers[name].frames += value
                meter.add(value)
            elif kind == "record":
                yield value
                feed(name)
            else:
                raise value
    finally:
        for worker in pool.workers.values():
            if worker.busy is not None:
                worker.process.terminate()
        for worker in pool.workers.values():
            worker.process.join(timeout=10)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        for leftover in journal.folder.glob("*.part"):
            leftover.unlink(missing_ok=True)


def _work(name: int, setup: Setup, folder: Any, tasks: Any, answers: Any, parent: int) -> None:
    """Life of a worker: take segments until told None. Errors go to the parent as values."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C to all; the parent decides
    _follow(parent)
    try:
        limit_threads(setup)
        journal = Journal.at(folder)
        pipeline = Pipeline(setup, load(setup.job.model))
        pending = 0

        def count() -> None:
            nonlocal pending
            pending += 1
            if pending >= 4:
                answers.put(("frame", name, pending))
                pending = 0

        while (segment := tasks.get()) is not None:
            record = pipeline.run(segment, journal, count)
            answers.put(("frame", name, pending))
            pending = 0
            answers.put(("record", name, record))
        pipeline.close()
    except MidframeError as error:
        answers.put(("error", name, error))
    except Exception as error:
        import traceback

        answers.put(("error", name, RuntimeError(f"{error}\n{traceback.format_exc()}")))


def _follow(parent: int) -> None:
    """End this process when its parent has gone (killed, say): nobody would read its answers."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
