"""Compression by interpolation: keep the frames that others can be made from (`condense`), make those again (`expand`).

  condense   encode all frames (the draft) → choose frames, as if made from those of the draft → encode these alone, at
             their own times → make the others from them, as `expand` will, and compare each with the source → keep
             more where one fell short, and once more

The file is an ordinary film of fewer frames, with sound and all other streams; its record (`engine.record`) says what
was left out. What the encoder costs the kept frames, it costs those that are made from them: hence the draft, which is
also what an encoder alone makes of the film, and its size is told beside the result's. Frames are coded a little
differently when fewer are left, so the last step measures, and nothing is published before every frame that was left
out reaches the tolerance.

A stopped `condense` goes on: the frames chosen so far, and the encoded segments, lie in the folder of its journal.
Memory is that of two windows of `longest` frames, and a few numbers for each frame of the film.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import midframe
from midframe.analysis.cuts import is_cut, read_cut_list
from midframe.analysis.glance import CONTEXT, Pairs
from midframe.engine import run as engine
from midframe.engine.job import Condensed, Event, InterpolateJob, Note, Progress, Result
from midframe.engine.journal import Journal
from midframe.engine.keyframes import choose_keys, from_the_middle
from midframe.engine.pipeline import Pipeline, Setup, Tally, Window, fit, prepare_window, render_at
from midframe.engine.plan import Grid, parse_rate, plan_grid
from midframe.engine.record import (
    CONDENSED_TAG,
    LONGEST,
    SIDECAR,
    Record,
    all_times,
    find_record,
    kept_grid,
    restored_grid,
)
from midframe.engine.work import Meter, limit_threads
from midframe.errors import ContractError, InputError, UsageError, VerifyError
from midframe.files import replacing
from midframe.models.load import find_remark, find_weights, load, quicken
from midframe.types import Synthesizer
from midframe.video.pixel import resolve, to_rgb, working_format
from midframe.video.probe import VideoInfo, probe, scan
from midframe.video.reader import Reader
from midframe.video.timeline import Timeline

Listener = Callable[[Event], None]
CODEC, CRF = "hevc", 20.0  # of the kept frames unless told otherwise
CEILING = 100.0  # dB, counted in place of the infinite PSNR of an equal frame
CONTAINERS = ("matroska", "images")


@dataclass(slots=True)
class _Comparison:
    """What comparing the restored film with the source found. `short`: frames made again below the tolerance."""

    total: float = 0.0
    worst_kept: float = CEILING
    worst_made: float | None = None
    short: tuple[int, ...] = ()


def condense(
    job: InterpolateJob, *, tolerance: float, longest: int = 16, on_event: Listener | None = None
) -> Condensed:
    """Write the frames of `job.input` from which the others can be made again, to `job.output`.

    job        model, weights, effort and tile of the interpolation; codec, crf, preset, pix_fmt and audio of the file;
               cut_list, rate, deinterlace, threads, overwrite. Its options of time must be left alone
    tolerance  dB of PSNR, over RGB, that every frame which is left out reaches when it is made again
    longest    frames from one kept frame to the next, at most; memory grows with it

    Raises UsageError, ContractError for a model that does not read two frames, and what `run` raises. VerifyError if
    the tolerance is not reached after all.
    """
    tell = on_event or (lambda event: None)
    began = time.monotonic()
    notes: list[str] = []

    def hear(event: Event) -> None:
        """Pass on what concerns this job; what the encoder's own job plans and notes of its model does not."""
        if isinstance(event, Note):
            if event.text in notes:
                return
            notes.append(event.text)
        if isinstance(event, Note | Progress):
            tell(event)

    if not math.isfinite(tolerance) or not 1 <= tolerance < CEILING:
        raise UsageError(f"--tolerance {tolerance:g}: give dB of PSNR from 1 to {CEILING:g}; 38 is hardly seen.")
    if not 2 <= longest <= LONGEST:
        raise UsageError(f"--longest {longest}: give 2 to {LONGEST} frames.")
    if "-" in (job.input, job.output):
        raise UsageError("a film is read several times to be condensed: give files, not -.")
    if job.output is None:
        job = replace(job, output=str(_default_output(job.input)))
    output, container = engine.check_paths(job)
    if container not in CONTAINERS:
        raise UsageError(f"{output}: a condensed film is .mkv, or a folder of images; `midframe expand` writes others.")
    model = _load(job)
    info = probe(job.input)
    rate = parse_rate(job.rate) if job.rate is not None else None
    timeline = scan(info, rate=rate)
    # with a rate, for a variable one is neither kept nor made even: it is as it was
    engine.check_source(replace(job, fps="source"), info, timeline, lambda text: hear(Note(text)))
    if remark := find_remark(job.model, job.weights):
        hear(Note(remark))
    film = _Film(job, info, timeline)
    with Journal(output) as journal:
        journal.begin(_fingerprint(job, film, tolerance, longest), anew=job.overwrite)
        times, finish, origin = all_times(timeline)
        settled = (job.model, _hash_weights(job), job.effort, job.tile, tolerance)
        draft, plain = film, None
        if container != "images":  # which are not lossy
            path = journal.folder / "draft.mkv"
            if not path.exists():
                _encode(
                    job, path, Record(tuple(range(len(times))), times, finish, timeline.rate, *settled), origin, hear
                )
            draft, plain = _Film(job, info := probe(path), scan(info)), path.stat().st_size
        keys, cuts = _select(film, draft, model, tolerance, longest, journal.folder, tell)
        kept = journal.folder / ("kept" if container == "images" else "kept.mkv")
        rounds = 0
        while True:  # ends: each round keeps frames that the one before left out
            record = Record(tuple(sorted(keys)), times, finish, timeline.rate, *settled)
            encoded = _encode(job, kept, record, origin, hear)
            found = _compare(film, encoded, record, tolerance, tell)
            rounds += 1
            if not found.short:
                break
            keys.update(found.short)
            _append(journal.folder, {"short": found.short})
        if found.worst_kept < tolerance:
            hear(Note(f"some kept frames are coded below {tolerance:g} dB, down to {found.worst_kept:.2f}: "
                      "a lower --crf codes them better."))  # fmt: skip
        size, source_size = _size(kept), sum(_size(Path(name)) for name in film.info.images or (film.info.path,))
        if size > source_size and plain is not None:
            hear(Note("the result is larger than the source, which is coded in fewer bits: raise --crf."))
        engine.publish(kept, output, job)
        journal.remove()
    return Condensed(
        output=output,
        frames=len(times),
        kept=len(record.keys),
        bytes=size,
        source_bytes=source_size,
        tolerance=tolerance,
        psnr=found.total / len(times),
        worst_kept=found.worst_kept,
        worst_made=found.worst_made,
        cuts=tuple(times[gap + 1] for gap in sorted(cuts)),
        duration=finish - times[0],
        plain_bytes=plain,
        rounds=rounds,
        seconds=time.monotonic() - began,
        notes=tuple(notes),
    )


def expand(job: InterpolateJob, on_event: Listener | None = None) -> Result:
    """Make all frames of a condensed film again: `job.input` to `job.output`, every frame at its old, exact time.

    job  codec, crf, preset, pix_fmt, audio, weights, workers, threads, segment and overwrite; model, effort and tile
         are those that the film was condensed with

    Raises InputError if the file was not condensed or was changed since, UsageError for other weights.
    """
    if job.input == "-":
        raise UsageError("a condensed film is read from a file, not from -.")
    info = probe(job.input)
    record = find_record(job.input, info.metadata)
    job = _expanding(job, record)
    if (found := _hash_weights(job)) != record.weights:
        raise UsageError(
            f"{job.input} was condensed with other weights of {record.model} (SHA-256 {record.weights[:12] or 'none'}…"
            f", here {found[:12] or 'none'}…): give them with --weights."
        )
    shift = _find_shift(info, record, scan(info, rate=record.rate))
    made = engine.run(job, on_event, grid=restored_grid(record, shift))
    # not how long the kept frames alone are shown, which no container says of the last one
    return replace(made, source_duration=record.finish - record.times[0])


# ---- choosing frames ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Film:
    """The source, and how to read it: RGB in [0, 1] of any part of it."""

    job: InterpolateJob
    info: VideoInfo
    timeline: Timeline

    def reader(self) -> Reader:
        return Reader(
            self.info, self.timeline, pix_fmt=working_format(self.info.pix_fmt), deinterlace=self.job.deinterlace
        )

    def rgb(self, picture: Any) -> Float[Tensor, "c h w"]:
        return to_rgb(picture, resolve(self.info.colour, picture.format.name, self.info.height))

    def listed_cuts(self) -> frozenset[int] | None:
        """Gaps of the job's list of cuts; None if there is none."""
        if self.job.cut_list is None:
            return None
        gaps = (engine.gap_before(self.timeline, t) for t in read_cut_list(self.job.cut_list))
        return frozenset(gap for gap in gaps if gap is not None)


def _load(job: InterpolateJob) -> Synthesizer:
    """Raises ContractError for a model of another contract."""
    model = load(job.model, weights=job.weights, effort=job.effort)
    if model.contract.inputs != (0, 1):
        raise ContractError(f"{job.model} does not make a frame from the two around it alone: choose midnet or dis.")
    return quicken(model)


def _select(
    film: _Film, draft: _Film, model: Synthesizer, tolerance: float, longest: int, folder: Path, tell: Listener
) -> tuple[set[int], set[int]]:
    """(kept frames, gaps that are cuts). Frames made from those of `draft` are held against those of `film`.

    Goes on from what the folder holds, and notes there each frame it chooses.
    """
    count = len(film.timeline)
    keys, cuts, last = _read_chosen(folder)
    meter = Meter(count, last + 1, tell, "select")
    if last == count - 1:
        return keys, cuts
    limit_threads(film.job)
    with film.reader() as reader, draft.reader() as coded, torch.no_grad():
        windows = Window(reader, 0, count), Window(coded, 0, count)
        try:
            maker = _Maker((film, draft), windows, model, tolerance, longest)
            for key in choose_keys(count, maker.fits, maker.is_cut, longest=longest, start=last):
                seen = [gap for gap in range(last, key) if maker.is_cut(gap)]
                _append(folder, {"key": key, "cuts": seen})
                keys.add(key)
                cuts.update(seen)
                meter.add(key - last)
                last = key
                maker.forget(key)
        finally:
            for window in windows:
                window.close()
    meter.report(final=True)
    return keys, cuts


class _Maker:
    """Tries whether frames can be made from two others. Owns what it knows of cuts, and the windows' position.

    films, windows  the source, and the draft from whose frames others are made
    """

    def __init__(
        self,
        films: tuple[_Film, _Film],
        windows: tuple[Window, Window],
        model: Synthesizer,
        tolerance: float,
        longest: int,
    ) -> None:
        film, self._draft = films
        window, self._coded = windows
        self._film, self._window = film, window
        self._tolerance, self._longest = tolerance, longest
        times, finish, origin = all_times(film.timeline)
        everything = Grid(tuple(map(Fraction, range(len(times)))), times, finish, origin=origin)
        size = (film.info.height, film.info.width)
        self._model = fit(model, film.job, film.info, plan_grid(everything, film.timeline), size)
        self._listed = film.listed_cuts()
        self._pairs = Pairs(lambda index: window[index].glance)
        self._known: dict[int, bool] = {}
        self._low = -1

    def fits(self, a: int, b: int) -> bool:
        """Whether every frame between a and b, made from these two, reaches the tolerance."""
        self._look(a)
        state = prepare_window(self._model, torch.stack([self._coded_rgb(a), self._coded_rgb(b)]))
        begin, span = self._film.timeline.pts(a), self._film.timeline.pts(b) - self._film.timeline.pts(a)
        for n in from_the_middle(a, b):
            truth = self._film.rgb(self._window[n].picture)
            size = truth.shape[-2], truth.shape[-1]
            made = render_at(self._model, state, (self._film.timeline.pts(n) - begin) / span, size)
            if measure(made, truth) < self._tolerance:
                return False
        return True

    def is_cut(self, gap: int) -> bool:
        if self._listed is not None:
            return gap in self._listed
        if self._film.job.cuts == "ignore":
            return False
        if gap not in self._known:
            if self._low < 0:
                self._look(gap)
            self._known[gap] = is_cut(self._pairs, gap, 0, len(self._film.timeline))
        return self._known[gap]

    def forget(self, key: int) -> None:
        """Frames before `key` are not asked for again."""
        self._look(key)
        self._known = {gap: cut for gap, cut in self._known.items() if gap >= key}
        self._pairs.forget(key - CONTEXT)

    def _look(self, key: int) -> None:
        """Have what stretches from `key` on, and the cuts in them, depend on."""
        if key != self._low:
            self._low = key
            self._window.need(key - CONTEXT, key + self._longest + CONTEXT + 2)
            self._coded.need(key, key + self._longest + 1)

    def _coded_rgb(self, index: int) -> Tensor:
        return self._draft.rgb(self._coded[index].picture)


def measure(made: Float[Tensor, "c h w"], truth: Float[Tensor, "c h w"]) -> float:
    """PSNR in dB of two pictures in [0, 1], clamped to it; 100 for equal ones. Alpha counts if both have it."""
    channels = min(len(made), len(truth))
    error = float((made[:channels].clamp(0, 1) - truth[:channels].clamp(0, 1)).square().mean(dtype=torch.float64))
    return CEILING if error == 0 else min(CEILING, -10 * math.log10(error))


def _read_chosen(folder: Path) -> tuple[set[int], set[int], int]:
    """(kept frames, cuts, frame at which choosing goes on) of an earlier run."""
    keys, cuts, last = {0}, set[int](), 0
    path = folder / "keys.jsonl"
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):  # the machine stopped while it was written
            with replacing(path) as file:
                file.writelines(line.encode() for line in whole)
        for line in map(json.loads, whole):
            if "key" in line:
                last = line["key"]
                cuts.update(line["cuts"])
            keys.update(line.get("short", [last]))
    return keys, cuts, last


def _append(folder: Path, line: dict[str, Any]) -> None:
    with open(folder / "keys.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


# ---- encoding and comparing --------------------------------------------------------------------------------------


def _encode(job: InterpolateJob, kept: Path, record: Record, origin: Fraction, tell: Listener) -> InterpolateJob:
    """Write the record's frames, and the record, as a film or a folder of images. Returns the job that expands it."""
    is_film = kept.suffix != ""
    quality = (job.codec or CODEC, CRF if job.crf is None and job.codec is None else job.crf)
    encoding = replace(
        job, output=str(kept), model="blend", weights=None, effort=None, tile=0, cuts="ignore", cut_list=None,
        duplicates="keep", overlays=False, overwrite=True, codec=quality[0] if is_film else job.codec,
        crf=quality[1] if is_film else job.crf,
    )  # fmt: skip
    text = record.write()
    engine.run(encoding, tell, grid=kept_grid(record, origin), tags={CONDENSED_TAG: text} if is_film else {})
    if not is_film:
        with replacing(kept / SIDECAR) as file:
            file.write(text.encode())
    restored = InterpolateJob(input=str(kept), output=str(kept.with_name("restored.mkv")), weights=job.weights)
    return _expanding(replace(restored, codec="ffv1", threads=job.threads), record)


def _expanding(job: InterpolateJob, record: Record) -> InterpolateJob:
    """A job with what the record says of the frames to be made."""
    return replace(
        job, model=record.model, effort=record.effort, tile=record.tile, cuts="ignore", duplicates="keep",
        overlays=False,
    )  # fmt: skip


def _compare(film: _Film, encoded: InterpolateJob, record: Record, tolerance: float, tell: Listener) -> _Comparison:
    """Make all frames as `expand` does and hold each against the source's. Raises VerifyError if one is missing."""
    info = probe(encoded.input)
    found = find_record(encoded.input, info.metadata)
    if found != record:
        raise VerifyError(f"{encoded.input}: its record is not what was written into it.")
    shift = _find_shift(info, record, scan(info, rate=record.rate))
    setup = engine.prepare(
        encoded, Path("restored.mkv"), "matroska", lambda text: None, grid=restored_grid(record, shift)
    )
    keys = frozenset(record.keys)
    comparison, short, count = _Comparison(), [], 0
    meter = Meter(len(record.times), 0, tell, "compare")
    limit_threads(setup.job)
    with (
        film.reader() as reader,
        torch.no_grad(),
        closing(Pipeline(setup, _load(encoded))) as pipeline,
        closing(_pictures(pipeline, setup)) as restored,
    ):
        for frame, (n, picture) in zip(reader.frames(), restored, strict=False):
            assert frame.index == n == count
            value = measure(to_rgb(picture, setup.colour), film.rgb(frame.picture))
            comparison.total += value
            if n in keys:
                comparison.worst_kept = min(comparison.worst_kept, value)
            else:
                worst = comparison.worst_made
                comparison.worst_made = value if worst is None else min(worst, value)
                if value < tolerance:
                    short.append(n)
            count += 1
            meter.add()
    if count != len(record.times):
        raise VerifyError(f"{encoded.input}: {count} frames can be made again, the source has {len(record.times)}.")
    comparison.short = tuple(_spread(short, record.keys))
    return comparison


def _pictures(pipeline: Pipeline, setup: Setup) -> Generator[tuple[int, Any], None, None]:
    for segment in setup.segments:
        yield from pipeline.pictures(segment, Tally())


def _spread(short: list[int], keys: tuple[int, ...]) -> Iterator[int]:
    """Of each stretch between kept frames the frame in the middle of those that fell short: to keep it may help all."""
    number = 0
    groups: dict[int, list[int]] = {}
    for n in short:
        while keys[number + 1] < n:
            number += 1
        groups.setdefault(number, []).append(n)
    for group in groups.values():
        yield group[len(group) // 2]


def _find_shift(info: VideoInfo, record: Record, timeline: Timeline) -> Fraction:
    """By how much the file's own stamps are late: Matroska moves all streams where sound begins before zero.

    Raises InputError if the file does not hold the frames of its record.
    """
    if len(timeline) != len(record.keys):
        raise InputError(
            f"{info.path}: holds {len(timeline)} frames, {len(record.keys)} were kept: it was changed after "
            "`midframe condense` wrote it."
        )
    if info.is_images:
        return Fraction(0)
    slack = Fraction(1, 1000)  # what Matroska rounds to
    late = timeline.pts(0) - record.times[0]
    shift = Fraction(0) if abs(late) <= slack else Fraction(round(late * 1000), 1000)
    for number, key in enumerate(record.keys):
        if abs(timeline.pts(number) - record.times[key] - shift) > slack:
            raise InputError(
                f"{info.path}: frame {number} is not at its time: the file was changed after `midframe condense` "
                "wrote it."
            )
    return shift


# ---- files -------------------------------------------------------------------------------------------------------


def _default_output(source: str) -> Path:
    path = Path(source)
    return path.with_name(f"{path.name if path.is_dir() else path.stem}.condensed.mkv")


def _hash_weights(job: InterpolateJob) -> str:
    path = find_weights(job.model, job.weights)
    return "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


def _fingerprint(job: InterpolateJob, film: _Film, tolerance: float, longest: int) -> dict[str, object]:
    """All that the choice of frames depends on."""
    values = job.as_dict()
    for irrelevant in ("threads", "overwrite", "output", "weights", "workers", "segment"):
        values.pop(irrelevant)
    stat = Path(film.info.path).stat() if not film.info.is_images else None
    listed = film.listed_cuts()
    return {
        "midframe": midframe.__version__,
        **values,
        "weights": _hash_weights(job),
        "tolerance": tolerance,
        "longest": longest,
        "source size": stat.st_size if stat else None,
        "source time": stat.st_mtime_ns if stat else None,
        "frames": len(film.timeline),
        "cut list": sorted(listed) if listed is not None else None,
    }


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(one.stat().st_size for one in path.iterdir()) if path.is_dir() else path.stat().st_size
