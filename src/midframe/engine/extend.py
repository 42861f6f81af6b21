"""`extend`: a clip and the frames that a predictor puts after its last one, as one or several verified files.

  the clip's own frames → segments, as any job writes them (gone on with after an interruption)
  its last frames, back to the last cut → predictor → one more segment for each future
  own segments + that one → assemble → verify → rename

Every future shares the clip's own segments: they are encoded once.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

import midframe
from midframe.analysis.cuts import is_cut
from midframe.analysis.glance import CONTEXT, Glance, Pairs, glance
from midframe.engine import work
from midframe.engine.job import Event, InterpolateJob, Note, Progress, Result, Started
from midframe.engine.journal import Journal
from midframe.engine.pipeline import Setup
from midframe.engine.plan import output_rate
from midframe.engine.run import Listener, check_paths, default_output, finish, prepare, publish
from midframe.errors import UsageError
from midframe.models.catalogue import systems
from midframe.models.load import find_remark, load, quicken
from midframe.types import Synthesizer
from midframe.video.pixel import from_rgb, to_rgb
from midframe.video.reader import Reader
from midframe.video.writer import SegmentWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendJob:
    """What a user may decide about a prediction. Paths are strings.

    input    a video file or a folder of images
    output   None: IN.midframe.EXT beside it. Of several futures each gets its number before the suffix: OUT-1.mp4
    frames   how many are put after the last one
    samples  how many futures; more than one only of a model that draws them
    seed     of the first future; the next ones count on from it
    rate     of a folder of images, frames a second
    """

    input: str
    output: str | None = None
    model: str = "extrapolate"
    weights: str | None = None
    frames: int = 8
    samples: int = 1
    seed: int = 0
    rate: str | None = None
    overwrite: bool = False


def extend(job: ExtendJob, on_event: Listener | None = None) -> tuple[Result, ...]:
    """Do `job`. Returns what was made, a result for each file; tells `on_event` how far it is.

    Raises MidframeError subclasses for everything a user can cause or cure. KeyboardInterrupt leaves work that the same
    call goes on with.
    """
    tell = on_event or (lambda event: None)
    began = time.monotonic()
    notes: list[str] = []

    def note(text: str) -> None:
        if text not in notes:
            notes.append(text)
            tell(Note(text))

    if min(job.frames, job.samples) < 1:
        raise UsageError(f"--frames {job.frames}, --samples {job.samples}: at least 1 of each.")
    if "-" in (job.input, job.output):
        raise UsageError("predict reads and writes files: give names, not -.")
    model = quicken(load(job.model, weights=job.weights, task="predict"))
    if job.samples > 1 and not model.contract.random:
        raise UsageError(f"{job.model} sees one future only: leave out --samples {job.samples}.")
    own = InterpolateJob(  # the clip as it is: every slot a copy
        input=job.input, output=job.output, model="blend", factor="1", cuts="ignore", duplicates="keep", rate=job.rate,
        overwrite=job.overwrite,
    )  # fmt: skip
    base = Path(job.output) if job.output is not None else default_output(job.input)
    targets = [base.with_stem(f"{base.stem}-{k + 1}") for k in range(job.samples)] if job.samples > 1 else [base]
    for target in targets:
        _, container = check_paths(replace(own, output=str(target)))
    with Journal(base) as journal:
        setup = prepare(own, base, container, note)
        if remark := find_remark(job.model, job.weights):
            note(remark)
        past = read_past(setup, model, job.model, note)
        plan, total = setup.plan, setup.plan.count + job.frames * job.samples
        done = journal.begin(_fingerprint(setup), anew=job.overwrite)
        tell(
            Started(
                model=job.model,
                source_frames=plan.count,
                frames=total,
                done=sum(record.frames for record in done.values()),
                segments=len(setup.segments) + job.samples,
                resumed_segments=len(done),
                rate=str(output_rate(plan) or f"{float(plan.count / plan.duration):.3f}"),
                encoder=f"{setup.settings.codec} {setup.settings.pix_fmt}",
            )
        )

        def tell_of_all(event: Event) -> None:
            tell(replace(event, total=total) if isinstance(event, Progress) else event)

        work.render(setup, journal, done, tell_of_all)
        results = []
        for number, target in enumerate(targets):
            chance = torch.Generator().manual_seed(job.seed + number)
            future = predict_frames(model, past, job.frames, chance)
            segment = journal.folder / f"future-{number}.nut"
            before = plan.count + number * job.frames

            def count(done: int, before: int = before) -> None:
                tell(Progress(before + done, total, 0.0, None))

            stamps = write_future(setup, segment, future, job.frames, count)
            own_stamps = [plan.stamp(n) for n in range(plan.count)]
            segments = [*(journal.segment_path(one.number) for one in setup.segments), segment]
            made, offset = finish(
                setup, journal, segments, target, container, [*own_stamps, *stamps[:-1]], stamps[-1], note
            )
            publish(made, target, replace(own, output=str(target)))
            segment.unlink()
            end = stamps[-1] * setup.settings.time_base
            results.append(
                Result(
                    output=target,
                    frames=plan.count + job.frames,
                    copied=plan.count,
                    rendered=job.frames,
                    held=0,
                    cuts=(),
                    source_rate=plan.timeline.rate or plan.timeline.average_rate,
                    rate=output_rate(plan) or plan.count / plan.duration,
                    source_duration=plan.duration,
                    duration=end - plan.time(0),
                    seconds=time.monotonic() - began,
                    notes=tuple(notes),
                    audio_offset=offset,
                )
            )
        journal.remove()
    return tuple(results)


class Past:
    """The last frames of a clip as a predictor reads them: 1 N C H W, or 2 N 3 H W where alpha is a picture of its own,
    colour then premultiplied."""

    def __init__(self, frames: Float[Tensor, "n c h w"], channels: int) -> None:
        self.alpha = frames.shape[1] == 4
        if self.alpha:
            alpha = frames[:, 3:]
            self.frames = torch.stack([frames[:, :3] * alpha, alpha.expand(-1, 3, -1, -1)])
        else:
            self.frames = frames[None, :, :channels]

    def show(self, made: Float[Tensor, "b c h w"]) -> Float[Tensor, "c h w"]:
        """A predicted frame as RGB, or RGB and alpha."""
        if not self.alpha:
            return made[0].expand(3, -1, -1)
        alpha = made[1].mean(0, keepdim=True).clamp(0, 1)
        return torch.cat([made[0] / alpha.clamp(min=1 / 255), alpha])


def read_past(setup: Setup, model: Synthesizer, name: str, note: Callable[[str], None]) -> Past:
    """The frames that `model` reads before a clip's end. Where its last shot has fewer, the first of them is repeated.

    Raises UsageError if the model reads grey pictures and the clip has colour.
    """
    contract, plan = model.contract, setup.plan
    assert contract.inputs is not None
    grey = setup.settings.pix_fmt.startswith("gray")
    if contract.channels == 1 and not grey:
        able = [f"{row.name}/colour" for row in systems() if row.task == "predict" and "colour" in row.variants]
        raise UsageError(
            f"{name} predicts grey pictures, {setup.info.path} has colour: take extrapolate, {' or '.join(able)}."
        )
    count, stop = len(contract.inputs), plan.stop
    first = max(plan.first, stop - count - CONTEXT)
    glances: dict[int, Glance] = {}
    held: list[Tensor] = []
    with Reader(setup.info, plan.timeline, pix_fmt=setup.settings.pix_fmt, colour=setup.settings.colour) as reader:
        for frame in reader.frames(first, stop):
            glances[frame.index] = glance(frame.picture)
            if frame.index >= stop - count:
                held.append(to_rgb(frame.picture, setup.colour))
    pairs = Pairs(glances.__getitem__)
    cut = next((gap for gap in range(stop - 2, stop - len(held) - 1, -1) if is_cut(pairs, gap, first, stop)), None)
    if cut is not None:
        held = held[cut + 1 - stop :]
    if len(held) < count:
        where = "last shot" if cut is not None else "clip"
        note(f"{name} reads {count} frames, the {where} has {len(held)}: its first one is repeated before it.")
    frames = torch.stack([held[0]] * (count - len(held)) + held)
    return Past(frames, contract.channels)


def predict_frames(
    model: Synthesizer, past: Past, count: int, chance: torch.Generator
) -> "Iterator[Float[Tensor, 'c h w']]":
    """The next `count` frames, as they are made. Beyond what the model makes of one look, it looks again, at what it
    made."""
    contract = model.contract
    assert contract.inputs is not None
    frames = list(past.frames.unbind(1))
    height, width = frames[0].shape[-2:]
    goal = [-(-max(side, contract.minimum) // contract.multiple) * contract.multiple for side in (height, width)]
    margin = (0, goal[1] - width, 0, goal[0] - height)
    window, made = len(contract.inputs), 0
    while made < count:
        seen = torch.stack(frames[-window:], 1)
        padded = F.pad(seen.flatten(0, 1), margin, mode="replicate").view(*seen.shape[:3], *goal)
        with torch.no_grad():
            state = model.prepare(padded, chance)
        for step in range(1, min(contract.covers[1], count - made) + 1):
            with torch.no_grad():
                frames.append(model.render(state, step)[..., :height, :width])
            made += 1
            yield past.show(frames[-1])


def write_future(
    setup: Setup, path: Path, future: "Iterator[Float[Tensor, 'c h w']]", count: int, tell: Callable[[int], None]
) -> list[int]:
    """Write the predicted frames as a segment. Returns the stamps of these frames and where the last one ends, ticks.

    They follow each other as the clip's own do, on average if its rate varies.
    """
    plan, settings = setup.plan, setup.settings
    step = 1 / (output_rate(plan) or plan.count / plan.duration)
    end = plan.stamp(plan.count)
    stamps = [end + round(k * step / plan.time_base) for k in range(count + 1)]
    writer = SegmentWriter(path, settings)
    try:
        for k, frame in enumerate(future):
            picture = from_rgb(frame, pix_fmt=settings.pix_fmt, colour=setup.colour)
            writer.write(picture, stamps[k], stamps[k + 1] - stamps[k])
            tell(k + 1)
    finally:
        writer.close()
    return stamps


def _fingerprint(setup: Setup) -> dict[str, object]:
    """All that the clip's own segments depend on."""
    source = Path(setup.info.path)
    stat = source.stat() if source.exists() else None
    return {
        "midframe": midframe.__version__,
        "predict": str(source),
        "source size": stat.st_size if stat else None,
        "source time": stat.st_mtime_ns if stat else None,
        "rate": setup.job.rate,
        "frames": setup.plan.count,
        "encoder": str(setup.settings),
    }
