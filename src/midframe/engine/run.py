"""`run`: a job from its options to a verified file.

  check → (spool stdin) → probe, scan → plan → segments, here or in worker processes → assemble → verify → rename

Everything that can be refused is refused before the first frame is rendered. The output appears under its name only
when it is whole and verified; until then the work lies in the journal's folder, and the same call goes on with it.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import midframe
from midframe.analysis.cuts import read_cut_list, write_cut_list
from midframe.engine import work
from midframe.engine.job import Event, InterpolateJob, Note, Progress, Result, Started
from midframe.engine.journal import Journal
from midframe.engine.pipeline import Setup, fit
from midframe.engine.plan import Grid, Plan, make_plan, make_segments, output_rate, parse_rate, plan_grid
from midframe.engine.record import CONDENSED_TAG
from midframe.engine.size import as_shown
from midframe.engine.spool import spool
from midframe.errors import InputError, OutputError, UsageError, VerifyError
from midframe.models.load import find_remark, find_weights, load, weights_of
from midframe.video.mux import AudioMode, TimeMap, assemble
from midframe.video.pixel import resolve
from midframe.video.probe import VideoInfo, probe, scan
from midframe.video.timeline import Timeline
from midframe.video.verify import verify
from midframe.video.writer import choose_encoder, container_of

Listener = Callable[[Event], None]
DEFAULT_IMAGE_RATE = "24"


def run(
    job: InterpolateJob,
    on_event: Listener | None = None,
    *,
    grid: Grid | None = None,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> Result:
    """Do `job`. Returns what was made; tells `on_event` how far it is.

    grid  the slots, in place of those that the job's options of time ask for
    tags  added to the source's metadata

    Raises MidframeError subclasses for everything a user can cause or cure. KeyboardInterrupt leaves a job that the
    same call goes on with.
    """
    tell = on_event or (lambda event: None)
    began = time.monotonic()
    notes: list[str] = []

    def note(text: str) -> None:
        if text not in notes:
            notes.append(text)
            tell(Note(text))

    output, container = check_paths(job)
    with ExitStack() as stack:
        if job.output == "-":  # worked out in full beside the temporary files, then sent
            output = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="midframe-"))) / "stdout.y4m"
        journal = stack.enter_context(Journal(output))
        piped: VideoInfo | None = None
        if job.input == "-":
            path, piped = spool(journal, tell, allow_damaged=job.allow_damaged)
            job = replace(job, input=str(path))
        setup = prepare(job, output, container, note, piped=piped, grid=grid, tags=tags)
        done = journal.begin(_fingerprint(setup), anew=job.overwrite)
        plan = setup.plan
        tell(
            Started(
                model=job.model,
                source_frames=plan.stop - plan.first,
                frames=plan.count,
                done=sum(r.frames for r in done.values()),
                segments=len(setup.segments),
                resumed_segments=len(done),
                rate=_rate_text(plan),
                encoder=f"{setup.settings.codec} {setup.settings.pix_fmt}",
            )
        )
        records = work.render(setup, journal, done, tell)
        missing = [s.number for s in setup.segments if s.number not in records]
        assert not missing, f"segments {missing} were not rendered"
        made = _assemble(setup, journal, container, tell, note)
        audio_offset = _verify(setup, made, job, container, tell)
        cuts = sorted({gap for record in records.values() for gap in record.cuts})
        cut_times = tuple(plan.timeline.pts(gap + 1) for gap in cuts if gap + 1 < len(plan.timeline))
        if job.write_cut_list:
            write_cut_list(job.write_cut_list, cut_times)
        publish(made, output, job)
        journal.remove()
    copied, rendered, held = (
        sum(getattr(record, name) for record in records.values()) for name in ("copied", "rendered", "held")
    )
    return Result(
        output=None if job.output == "-" else output,
        frames=plan.count,
        copied=copied,
        rendered=rendered,
        held=held,
        cuts=cut_times,
        source_rate=plan.timeline.rate or plan.timeline.average_rate,
        rate=output_rate(plan) or Fraction(plan.count) / plan.duration,
        source_duration=plan.end_time - plan.timeline.pts(plan.first),
        duration=plan.duration,
        seconds=time.monotonic() - began,
        notes=tuple(notes),
        audio_offset=audio_offset,
        size=setup.new_size,
    )


def check_paths(job: InterpolateJob) -> tuple[Path, str]:
    """The output's path and container. Raises UsageError or OutputError for what cannot be written."""
    if not job.input:
        raise UsageError("no input: give a video file, a folder of images, or - for y4m on stdin.")
    if job.workers < 1:
        raise UsageError(f"--workers {job.workers}: must be at least 1.")
    if job.threads < 0 or job.tile < 0 or job.segment < 0:
        raise UsageError("--threads, --tile and --segment must not be negative.")
    if job.output == "-":
        return Path("-"), "yuv4mpegpipe"
    output = Path(job.output) if job.output is not None else default_output(job.input)
    container = container_of(output)
    source = Path(job.input)
    if job.input != "-" and output.exists() and source.exists() and output.samefile(source):
        raise UsageError(f"{output}: the output would replace the input; give another name with -o.")
    if output.exists() and not job.overwrite and not (output.is_dir() and not any(output.iterdir())):
        raise OutputError(f"{output} exists; --overwrite replaces it, -o gives another name.")
    if output.is_dir() != (container == "images") and output.exists():
        raise OutputError(f"{output} is {'a folder' if output.is_dir() else 'a file'}; give another name with -o.")
    parent = output.parent
    if not parent.is_dir():
        raise OutputError(f"{parent}: no such folder; make it first, or give another name with -o.")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent}: no permission to write here; give another place with -o.")
    return output, container


def default_output(source: str, word: str = "midframe") -> Path:
    """IN.midframe.EXT, or with another word, beside the input; .mkv where the input's own kind cannot be written."""
    if source == "-":
        raise UsageError("reading stdin: say where to write with -o.")
    path = Path(source)
    if path.is_dir():
        return path.with_name(f"{path.name}.{word}")
    suffix = (
        path.suffix.lower() if path.suffix.lower() in (".mp4", ".mkv", ".mov", ".webm", ".gif", ".apng") else ".mkv"
    )
    return path.with_name(f"{path.stem}.{word}{suffix}")


def prepare(
    job: InterpolateJob,
    output: Path,
    container: str,
    note: Callable[[str], None],
    *,
    piped: VideoInfo | None = None,
    grid: Grid | None = None,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> Setup:
    """Probe, scan, plan and choose the encoder. Raises before anything is rendered if any of it cannot be.

    piped  what stdin said of itself, where the input is what was spooled from it
    grid, tags  as of `run`
    """
    info = probe(job.input)
    if piped is not None:
        info = replace(info, colour=piped.colour, interlaced=piped.interlaced, sar=piped.sar)
    rate = parse_rate(job.rate or DEFAULT_IMAGE_RATE) if info.is_images or job.rate is not None else None
    timeline = scan(info, decode=job.allow_damaged, rate=rate)
    if grid is None:
        check_source(job, info, timeline, note)
    # What a condensed file says of itself is true of no other.
    kept = {name: value for name, value in info.metadata.items() if name != CONDENSED_TAG}
    info = replace(info, metadata={**kept, **tags})
    plan = make_plan(job, timeline) if grid is None else plan_grid(grid, timeline)
    shown = as_shown(job, info, container, note)
    if (
        job.size is not None
        and (shown.width, shown.height) == (info.width, info.height)
        and plan.step == plan.stretch == 1
    ):
        raise UsageError(
            f"--size {job.size}: {info.path} has this size, {info.width}x{info.height}, and no other rate is asked for "
            "(--fps, --factor, --slow): there is nothing to do."
        )
    if job.keeps_times and job.duplicates == "auto":
        job = replace(job, duplicates="keep")  # nobody asked for frames that were not there
    settings = choose_encoder(
        shown,
        container=container,
        codec=job.codec,
        crf=job.crf,
        preset=job.preset,
        pix_fmt=job.pix_fmt,
        time_base=plan.time_base,
        rate=output_rate(plan),
        threads=max(2, min(8, os.cpu_count() or 2)),
        notes=note,
    )
    colour = resolve(settings.colour, settings.pix_fmt, info.height)
    cut_list: frozenset[int] | None = None
    if job.cut_list is not None:
        times = read_cut_list(job.cut_list)
        cut_list = frozenset(gap for t in times if (gap := gap_before(timeline, t)) is not None)
    setup = Setup(job, info, plan, tuple(make_segments(plan, job.segment)), settings, colour, output, cut_list)
    model = load(job.model, weights=job.weights, effort=job.effort, task=job.task)
    fit(model, job, info, plan, setup.size, note)  # refuse now what this model cannot do
    if remark := find_remark(job.model, job.weights):
        note(remark)
    return setup


def check_source(job: InterpolateJob, info: VideoInfo, timeline: Timeline, note: Callable[[str], None]) -> None:
    """Refuse a source without frames; say what is unusual about one."""
    if len(timeline) == 0:
        raise InputError(f"{info.path}: holds no video frames.")
    if len(timeline) == 1:
        note(f"{info.path} holds one frame; it is repeated, nothing can be interpolated.")
    if CONDENSED_TAG in info.metadata:
        note(f"{info.path} is condensed: `midframe expand` makes the frames that were left out.")
    if info.interlaced and job.deinterlace:
        note(f"{info.path} is interlaced ({info.interlaced}); it is deinterlaced (--no-deinterlace keeps the fields).")
    if timeline.rate is None and len(timeline) > 2 and job.fps is None:
        kept = "kept variable (--vfr constant makes it even)" if job.vfr == "keep" else "made constant"
        note(f"{info.path} has a variable frame rate, {float(timeline.average_rate):.3f} on average; it is {kept}.")


def gap_before(timeline: Timeline, time: Fraction) -> int | None:
    """The gap in front of the frame nearest to `time`; None outside the film."""
    position = timeline.position(time)
    frame = round(position)
    return frame - 1 if 0 < frame < len(timeline) else None


def _fingerprint(setup: Setup) -> dict[str, object]:
    """All that the frames depend on. Two calls with equal fingerprints make the same file."""
    job, grid = setup.job.as_dict(), setup.plan.grid
    for irrelevant in ("workers", "threads", "overwrite", "output", "write_cut_list", "weights"):
        job.pop(irrelevant)
    weights = [find_weights(*part) for part in weights_of(setup.job.model, setup.job.weights)]
    source = Path(setup.info.path)
    stat = source.stat() if setup.job.input != "-" and source.exists() else None
    return {
        "midframe": midframe.__version__,
        **job,
        "weights": [hashlib.sha256(file.read_bytes()).hexdigest() for file in weights if file is not None],
        "source size": stat.st_size if stat else None,
        "source time": stat.st_mtime_ns if stat else None,
        "frames": setup.plan.count,
        "cut list": sorted(setup.cut_list) if setup.cut_list is not None else None,
        "encoder": str(setup.settings),
        "grid": None if grid is None else hashlib.sha256(repr(grid).encode()).hexdigest(),
    }


def _assemble(setup: Setup, journal: Journal, container: str, tell: Listener, note: Callable[[str], None]) -> Path:
    plan, job = setup.plan, setup.job
    tell(Progress(plan.count, plan.count, 0.0, None, "assemble"))
    made = journal.folder / ("assembled" + ("" if container == "images" else setup.output.suffix))
    if made.is_dir():
        shutil.rmtree(made)
    assemble(
        [journal.segment_path(s.number) for s in setup.segments],
        setup.settings,
        setup.info,
        made,
        container=container,
        stamps=[plan.stamp(n) for n in range(plan.count)],
        end_tick=plan.stamp(plan.count),
        audio=audio_mode(job),
        times=time_map(setup.job, setup.plan),
        notes=note,
    )
    return made


def audio_mode(job: InterpolateJob) -> AudioMode:
    """What happens to the sound, with "auto" decided."""
    if job.audio != "auto":
        return job.audio
    return "stretch" if job.slow is not None else "keep"


def time_map(job: InterpolateJob, plan: Plan) -> TimeMap:
    """Where the times of the source's other streams go."""
    trimmed = job.start_time is not None or job.end_time is not None
    return TimeMap(plan.origin, plan.out_start, plan.stretch, plan.end_time if trimmed else None)


def _verify(setup: Setup, made: Path, job: InterpolateJob, container: str, tell: Listener) -> dict[str, float]:
    """Read the finished file again and hold it against the plan. Raises VerifyError if it is not what was promised."""
    plan = setup.plan
    tell(Progress(plan.count, plan.count, 0.0, None, "verify"))
    report = verify(
        made,
        against=setup.info,
        container=container,
        stamps=[plan.stamp(n) * plan.time_base for n in range(plan.count)],
        end=plan.stamp(plan.count) * plan.time_base,
        settings=setup.settings,
        audio=audio_mode(job),
        times=time_map(setup.job, setup.plan),
    )
    if not report.ok:
        failed = "; ".join(f"{check.name}: {check.detail}" for check in report.checks if not check.ok)
        raise VerifyError(f"{made}: the finished file is not what was promised ({failed}). It was kept for inspection.")
    return report.audio_offset


def finish(
    setup: Setup,
    journal: Journal,
    segments: Sequence[Path],
    target: Path,
    container: str,
    stamps: Sequence[int],
    end: int,
    note: Callable[[str], None],
) -> tuple[Path, dict[str, float]]:
    """Segments of a job's own making, put together and verified: the finished work and how far off each sound track
    is, seconds. `stamps` are those of all frames, `end` where the last one ends, ticks.

    Raises VerifyError if it is not what was promised.
    """
    plan, settings = setup.plan, setup.settings
    made = journal.folder / ("assembled" + ("" if container == "images" else target.suffix))
    if made.is_dir():
        shutil.rmtree(made)
    audio, times = audio_mode(setup.job), time_map(setup.job, plan)
    assemble(
        list(segments),
        settings,
        setup.info,
        made,
        container=container,
        stamps=list(stamps),
        end_tick=end,
        audio=audio,
        times=times,
        notes=note,
    )
    report = verify(
        made,
        against=setup.info,
        container=container,
        stamps=[stamp * plan.time_base for stamp in stamps],
        end=end * plan.time_base,
        settings=settings,
        audio=audio,
        times=times,
    )
    if not report.ok:
        failed = "; ".join(f"{check.name}: {check.detail}" for check in report.checks if not check.ok)
        raise VerifyError(f"{made}: the finished file is not what was promised ({failed}). It was kept for inspection.")
    return made, report.audio_offset


def publish(made: Path, target: Path, job: InterpolateJob) -> None:
    """Give the finished work its name, in one step; for stdout, send it there."""
    try:
        if job.output == "-":
            _send_to_standard_output(made)
            return
        if target.is_dir():  # a folder cannot be replaced by a rename: the old one steps aside first
            aside = target.with_name(f".{target.name}.replaced")
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(target, aside)
            os.rename(made, target)
            shutil.rmtree(aside)
        else:
            os.replace(made, target)
    except BrokenPipeError as error:
        raise OutputError("stdout was closed before all frames were written.") from error
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror}); the finished work is in {made}.") from error


def _send_to_standard_output(made: Path) -> None:
    with open(made, "rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
    sys.stdout.buffer.flush()


def _rate_text(plan: Plan) -> str:
    rate = output_rate(plan)
    if rate is None:
        return f"variable, {float(plan.count / plan.duration):.3f} on average"
    return f"{float(rate):g}" if rate.denominator == 1 else f"{rate} ({float(rate):.3f})"
