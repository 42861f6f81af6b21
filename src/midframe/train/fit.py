"""Fitting a network to one clip: frames → steps of the training loop → one file that shows the clip at any time.

The work lies in the journal's folder beside the output until it is done: the frames at the size of the fit, what the
budget came to in steps, and the loop's checkpoint. The same call goes on with it.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file

from midframe.data.one_clip import OneClip, write_frames
from midframe.errors import InputError, OutputError, UsageError
from midframe.files import replacing
from midframe.metrics.psnr import psnr
from midframe.models.catalogue import resolve
from midframe.models.fitted import Fit, load_fit, save_fit
from midframe.models.load import build_clip_model
from midframe.train.loop import LAST, Step, train
from midframe.train.recipe import DataRecipe, OptimRecipe, Recipe, RunRecipe
from midframe.types import ClipModel
from midframe.video.pixel import resolve as resolve_colour
from midframe.video.pixel import to_rgb, working_format
from midframe.video.probe import VideoInfo, probe, scan
from midframe.video.reader import Reader
from midframe.video.timeline import Timeline

STEPS = 1500
TIMED = 6  # steps that are timed to know what a budget comes to
MOST = 20_000  # frames: more take more than a network of this size can tell
TOGETHER = 32  # frames that are handed over at once when training is done
OWN = ("penalty", "strength", "width", "kernel", "process")  # options that some systems know
PENALTIES = ("curvature", "slope", "variation", "none")
KERNELS = ("rbf", "matern52", "matern32")
PROCESSES = ("exact", "inducing", "state-space")
DECAY = 0.99  # a step, of the moving average that is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a system is fitted: `takes`, which of a user's options are its own; `batch` samples a step, frames or
    windows of so many that follow each other; the highest rate."""

    takes: tuple[str, ...]
    batch: int
    window: int | None = None
    rate: float = 2e-3


WAYS = {
    "time-to-image": Way(takes=("penalty", "strength", "width"), batch=6),
    "vae-gp": Way(takes=("kernel", "process", "width"), batch=1, window=24),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """What a user may decide. `size`: pixels of the longer side, None: the clip's own; `budget`: seconds, in place of
    `steps`; `penalty`, `strength`, `width`, `kernel` and `process`: None takes the variant's, and a system that does
    not know them refuses them; `hold_out`: learn from every second frame only, and measure on the others; `bits` of
    the weights in the file."""

    model: str = "time-to-image"
    size: int | None = 160
    steps: int | None = None
    budget: float | None = None
    penalty: str | None = None
    kernel: str | None = None
    process: str | None = None
    strength: float | None = None
    width: int | None = None
    hold_out: bool = False
    bits: Literal[8, 16, 32] = 8
    seed: int = 1
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came of it. PSNR in dB of 8-bit RGB, means over frames, with the weights of the file: of the frames learnt
    from, of those held out, and of the blend of both neighbours there (None without hold_out). `bits_per_pixel`: of the
    file, over all pixels of all frames at the size of the fit."""

    path: Path
    frames: int
    size: tuple[int, int]
    parameters: int
    steps: int
    bytes: int
    bits_per_pixel: float
    seen: float
    unseen: float | None
    blend: float | None
    seconds: float


def fit_clip(
    clip: str,
    output: Path,
    options: FitOptions,
    folder: Path,
    *,
    tell: Callable[[str], None] = lambda text: None,
    on_read: Callable[[int, int], None] = lambda done, total: None,
    on_step: Callable[[Step], None] = lambda step: None,
    device: torch.device | str = "cpu",
) -> Fitted:
    """Fit a network to `clip` and write it as `output`. `folder`, of this job alone, holds what a stopped one left.

    Raises UsageError for options that cannot be meant, and what probing, reading and training raise.
    """
    began = time.monotonic()
    check_options(options)
    system = resolve(options.model)[0].name
    way = WAYS[system]
    info = probe(clip)
    timeline = scan(info)
    count = len(timeline)
    if not 3 <= count <= MOST:
        raise InputError(f"{clip}: holds {count} frames; a network is fitted to 3 to {MOST}.")
    size = fit_size(info, options.size)
    rate = timeline.rate or timeline.average_rate
    times = [float((timeline.pts(n) - timeline.start) * rate) for n in range(count)]
    learnt = list(range(0, count, 2)) if options.hold_out else list(range(count))
    stored = folder / "frames.npy"
    if not stored.exists():
        part = folder / "frames.part.npy"
        write_frames(part, read_frames(info, timeline), count, size, lambda done: on_read(done, count))
        part.replace(stored)
    pictures = np.load(stored, mmap_mode="r")
    source = OneClip(pictures, times, learnt, window=way.window)

    settings = settings_for(options, frames=max(3, math.ceil(times[-1] - 1e-6) + 1), size=size, learnt=len(learnt))
    torch.manual_seed(options.seed)
    model: Any = build_clip_model(system, settings)
    model.to(device)
    steps = _steps(options, model, source, way.batch, folder, tell)
    recipe = Recipe(
        name=Path(clip).name,
        system=options.model,
        seed=options.seed,
        data=DataRecipe(batch=min(way.batch, len(learnt))),
        optim=OptimRecipe(
            steps=steps,
            rate=way.rate,
            final_rate=way.rate / 100,
            warm_up=min(50, steps // 10),
            decay=0.0,
            clip=1.0,
            ema=DECAY,
        ),
        run=RunRecipe(precision="fp32", channels_last=False, log_every=10, validate_every=steps, save_every=200),
    )
    train(
        recipe, model, source, folder / "training", resume=True, device=device,
        tell=lambda event: tell(event) if isinstance(event, str) else on_step(event),
    )  # fmt: skip
    model.load_state_dict(load_file(folder / "training" / LAST))
    model.eval()
    model.observe(_parts(source, times, learnt, device))
    fit = Fit(settings, timeline.start, rate, Path(clip).name, {}, system)
    save_fit(output, model, fit, bits=options.bits)
    shown, _ = load_fit(output)  # measured as it will be shown, not as it was before it was rounded
    figures = measure(shown, source, times, learnt)
    save_fit(output, model, replace(fit, figures=figures), bits=options.bits)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    length = output.stat().st_size
    return Fitted(
        output, count, size, parameters, steps, length, 8 * length / (count * size[0] * size[1]), figures["seen"],
        figures.get("unseen"), figures.get("blend"), time.monotonic() - began,
    )  # fmt: skip


def check_options(options: FitOptions) -> None:
    """Raises UsageError for what no clip could make sensible."""
    row, _ = resolve(options.model)
    if row.name not in WAYS:
        raise UsageError(f"{row.name} is not fitted to a clip. These are: {', '.join(WAYS)}.")
    idle = [name for name in OWN if getattr(options, name) is not None and name not in WAYS[row.name].takes]
    choices = {"penalty": PENALTIES, "kernel": KERNELS, "process": PROCESSES}
    wrong = {
        f"{row.name} knows no --{', --'.join(idle)}": bool(idle),
        **{
            f"--{name} {getattr(options, name)}: choose {', '.join(known)}": getattr(options, name)
            not in (None, *known)
            for name, known in choices.items()
        },
        "--steps and --budget both say how long: give one of them": options.steps is not None
        and options.budget is not None,
        f"--steps {options.steps}: at least 10": options.steps is not None and options.steps < 10,
        f"--size {options.size}: at least 16 pixels": options.size is not None and options.size < 16,
        f"--width {options.width}: at least 4 channels": options.width is not None and options.width < 4,
        f"--strength {options.strength}: not negative": options.strength is not None and not options.strength >= 0,
    }
    for rule, broken in wrong.items():
        if broken:
            raise UsageError(f"{rule}.")


def settings_for(options: FitOptions, *, frames: int, size: tuple[int, int], learnt: int) -> dict[str, Any]:
    """Keyword arguments of the system: the variant's, those that follow from the clip, then the user's."""
    row, name = resolve(options.model)
    variant = dict(row.variants[name])
    asked = {name: getattr(options, name) for name in OWN}
    return {
        **variant,
        "frames": frames,
        "size": size,
        "learnt": learnt,
        **{name: value for name, value in asked.items() if value is not None},
    }


def fit_size(info: VideoInfo, longer: int | None) -> tuple[int, int]:
    """Height and width of the fit: the shape of what is shown, even, never larger than the clip."""
    width, height = info.width, info.height
    scale = min(1.0, longer / max(width, height)) if longer is not None else 1.0
    return max(2, 2 * round(height * scale / 2)), max(2, 2 * round(width * scale / 2))


def measure(model: ClipModel, source: OneClip, times: list[float], learnt: list[int]) -> dict[str, float]:
    """Mean PSNR of 8-bit RGB, dB, of frames learnt from ("seen"), of the others between them ("unseen"), and of what
    the mean of the two neighbours reaches there ("blend")."""
    known = set(learnt)
    found: dict[str, list[float]] = {"seen": [], "unseen": [], "blend": []}
    with torch.no_grad():
        for number, t in enumerate(times):
            truth = source.frame(number)
            made = (model(torch.tensor([t]))[0] * 255).round() / 255
            if number in known:
                found["seen"].append(_finite(psnr(made, truth)))
            elif number + 1 < len(times):
                found["unseen"].append(_finite(psnr(made, truth)))
                a, b = times[number - 1], times[number + 1]
                mixed = torch.lerp(source.frame(number - 1), source.frame(number + 1), (t - a) / (b - a))
                found["blend"].append(_finite(psnr((mixed * 255).round() / 255, truth)))
    return {name: sum(values) / len(values) for name, values in found.items() if values}


def _finite(value: float) -> float:
    return min(value, 100.0)


def read_frames(info: VideoInfo, timeline: Timeline) -> Iterator[torch.Tensor]:
    """Every frame of a clip, RGB in [0, 1], perhaps with alpha: C H W, one after the other."""
    pix_fmt = working_format(info.pix_fmt)
    colour = resolve_colour(info.colour, pix_fmt, info.height)
    with Reader(info, timeline, pix_fmt=pix_fmt) as reader:
        for frame in reader.frames():
            yield to_rgb(frame.picture, colour)


def _parts(
    source: OneClip, times: list[float], learnt: list[int], device: torch.device | str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The frames learnt from with their times, some at a time."""
    for first in range(0, len(learnt), TOGETHER):
        some = learnt[first : first + TOGETHER]
        frames = torch.stack([source.frame(number) for number in some])
        yield frames.to(device), torch.tensor([times[number] for number in some]).to(device)


def _steps(
    options: FitOptions, model: Any, source: OneClip, count: int, folder: Path, tell: Callable[[str], None]
) -> int:
    """How many steps there are; a budget is counted in them once, at the beginning, so that the rate falls in time."""
    if options.budget is None:
        return options.steps or STEPS
    path = folder / "steps.json"
    if path.exists():
        return int(json.loads(path.read_text(encoding="utf-8")))
    generator = torch.Generator().manual_seed(0)
    device = next(model.parameters()).device
    for number in range(TIMED + 1):
        if number == 1:  # the first one also sets things up
            began = time.monotonic()
        batch = source.sample(generator, count)
        moved = type(batch)(
            batch.frames.to(device), batch.times.to(device), batch.targets.to(device), batch.target_times.to(device),
            {name: value.to(device) for name, value in batch.labels.items()},
        )  # fmt: skip
        torch.autograd.backward(model.loss(moved)["loss"])
    model.zero_grad(set_to_none=True)
    a_step = (time.monotonic() - began) / TIMED * 1.15  # and the optimiser's part
    steps = max(10, round(options.budget / a_step))
    tell(f"{a_step:.2f} s a step: the budget is {steps} steps")
    try:
        with replacing(path) as file:
            file.write(json.dumps(steps).encode())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}).") from error
    return steps
