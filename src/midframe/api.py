"""What a Python program calls: `interpolate`, `upscale`, `predict` and `track` for files, `between` for frames."""

import difflib
import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, overload

from midframe.engine.job import Event, InterpolateJob, Result, Tracked
from midframe.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from midframe.types import Synthesizer

Time = float | Fraction
UPSCALER = "midnet+bicubic"  # the model of `upscale` unless another one is asked for
BISECTION_DEPTH = 6  # a model that renders only the middle frame answers t in 64ths


def interpolate(
    input: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> Result:
    """Make a video smoother or slower, from a path to a path.

    input     video file, folder of images, GIF, APNG, or "-" for y4m on stdin
    output    default: IN.midframe.EXT beside the input
    on_event  called with `Started`, `Progress` and `Note` while the job runs
    options   fields of `InterpolateJob`, the flags of `midframe interpolate`: factor=2, fps="60000/1001", slow=4,
              model="dis/fast", start_time="1:02.5", workers=2, overwrite=True ...; numbers may be numbers

    Raises UsageError for a misspelt or senseless option, and the MidframeError subclasses of `midframe.errors`. A job
    that was interrupted goes on when it is called again with the same options.

    >>> import midframe
    >>> result = midframe.interpolate("clip.mp4", "smooth.mp4", fps=60)
    >>> result.rate
    Fraction(60, 1)
    >>> result.frames == result.copied + result.rendered + result.held
    True
    """
    job = make_job(input, output, **options)
    from midframe.engine.run import run

    return run(job, on_event)


def upscale(
    input: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    size: str | tuple[int, int],
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> Result:
    """Make a video larger, or smaller, and smoother or slower at once, from a path to a path.

    size      "2x", "1.5x", "1920x1080", or (height, width) of the picture as it is shown
    options   as of `interpolate`; without factor, fps and slow the frames keep their times. model: one that enlarges
              (task "superresolve" in `midframe models`), or one that makes frames between frames and one that enlarges,
              joined: "midnet+bicubic" (default) makes frames and enlarges them, "bicubic+midnet" enlarges first

    Every frame is made anew, the source's own among them; `copied` of the result counts those. All else is as in
    `interpolate`.

    >>> import midframe
    >>> result = midframe.upscale("clip.mp4", "large.mp4", size="2x", fps=50)
    >>> result.size, result.frames
    ((144, 192), 16)
    """
    text = size if isinstance(size, str) else "x".join(str(side) for side in reversed(size))
    job = make_job(input, output, **{"model": UPSCALER, **options, "size": text})
    from midframe.engine.run import run

    return run(job, on_event)


def predict(
    input: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    frames: int = 8,
    samples: int = 1,
    model: str = "extrapolate",
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
    rate: str | int | float | Fraction | None = None,
    overwrite: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> tuple[Result, ...]:
    """Extend a clip by the frames that a predictor puts after its last one, from a path to a path.

    input     video file or folder of images
    output    default: IN.midframe.EXT beside the input; of several samples each gets its number: OUT-1.mp4, OUT-2.mp4
    frames    how many frames are put after the last one
    samples   how many futures, a file each; more than one only of a model that draws them
    model     a name as in `midframe models`, of one that predicts
    weights   a file in place of the model's own
    seed      of the first future; the next ones count on from it
    rate      of a folder of images, frames a second
    on_event  called with `Started`, `Progress` and `Note` while the job runs

    The clip's own frames, its sound and all else come along as in `interpolate`. Returns a result for each file.
    Raises UsageError for what cannot be meant, and the MidframeError subclasses of `midframe.errors`.

    >>> import midframe
    >>> (result,) = midframe.predict("clip.mp4", "longer.mp4", frames=4)
    >>> result.rendered
    4
    """
    from midframe.engine.extend import ExtendJob, extend

    job = ExtendJob(
        input=os.fspath(input),
        output=None if output is None else os.fspath(output),
        model=model,
        weights=None if weights is None else os.fspath(weights),
        frames=frames,
        samples=samples,
        seed=seed,
        rate=None if rate is None else str(rate),
        overwrite=overwrite,
    )
    return extend(job, on_event)


def track(
    input: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    mask: str | os.PathLike[str] | None = None,
    points: str | os.PathLike[str] | None = None,
    found: str | os.PathLike[str] | None = None,
    model: str = "corrflow-s",
    weights: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    short_side: int = 480,
    stop_at_cuts: bool = False,
    rate: str | int | float | Fraction | None = None,
    overwrite: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Tracked:
    """Follow objects or points of a clip's first frame, from paths to paths.

    input     video file or folder of images
    output    the clip with them drawn in; default: IN.tracked.EXT beside the input
    mask      picture of the objects in the first frame, of the frames' size: indices of a palette, grey values or
              colours; black is the background
    points    CSV of points in the first frame: x, y and perhaps a name; (0, 0) is the middle of the first pixel
    found     a folder for a mask of each frame, or a CSV; default: named after the output
    model     a name as in `midframe models`, of one that propagates
    weights   a file in place of the model's own
    short_side    larger frames are worked on reduced to this, pixels
    stop_at_cuts  mark nothing from the first cut on
    rate      of a folder of images, frames a second
    on_event  called with `Started`, `Progress` and `Note` while the job runs

    One of `mask` and `points` is given. Raises UsageError for what cannot be meant, and the MidframeError subclasses of
    `midframe.errors`.

    >>> import midframe
    >>> result = midframe.track("clip.mp4", mask="first.png")
    >>> result.found
    PosixPath('clip.tracked-masks')
    """
    from midframe.engine.track import TrackJob
    from midframe.engine.track import track as run

    def path(value: str | os.PathLike[str] | None) -> str | None:
        return None if value is None else os.fspath(value)

    job = TrackJob(
        input=os.fspath(input),
        output=path(output),
        found=path(found),
        mask=path(mask),
        points=path(points),
        model=model,
        weights=path(weights),
        device=device,
        short_side=short_side,
        stop_at_cuts=stop_at_cuts,
        rate=None if rate is None else str(rate),
        overwrite=overwrite,
    )
    return run(job, on_event)


def make_job(
    input: str | os.PathLike[str], output: str | os.PathLike[str] | None = None, **options: Any
) -> InterpolateJob:
    """A checked `InterpolateJob`: names, choices and numbers, all that can be known without the input.

    Raises UsageError naming the option, the limit and the nearest name.

    >>> make_job("clip.mp4", factr=2)
    Traceback (most recent call last):
    midframe.errors.UsageError: no option is called 'factr'. Did you mean 'factor'?
    """
    known = {field.name: field for field in fields(InterpolateJob) if field.name not in ("input", "output")}
    given: dict[str, Any] = {}
    for name, value in options.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
            raise UsageError(f"no option is called {name!r}. {hint}")
        given[name] = _as_field(name, value, known[name].type)
    job = InterpolateJob(input=os.fspath(input), output=os.fspath(output) if output is not None else None, **given)
    _check_numbers(job)
    from midframe.models.catalogue import check_model

    check_model(job.model, job.task, effort=job.effort)
    return job


@overload
def between(
    frame0: "NDArray[Any]",
    frame1: "NDArray[Any]",
    t: "Time | NDArray[Any]",
    *,
    model: str = "midnet",
    weights: str | os.PathLike[str] | None = None,
    effort: float | None = None,
) -> "NDArray[Any]": ...
@overload
def between(
    frame0: "NDArray[Any]",
    frame1: "NDArray[Any]",
    t: "Sequence[Time | NDArray[Any]]",
    *,
    model: str = "midnet",
    weights: str | os.PathLike[str] | None = None,
    effort: float | None = None,
) -> "list[NDArray[Any]]": ...
@overload
def between(
    frame0: "Tensor",
    frame1: "Tensor",
    t: "Time | NDArray[Any]",
    *,
    model: str = "midnet",
    weights: str | os.PathLike[str] | None = None,
    effort: float | None = None,
) -> "Tensor": ...
@overload
def between(
    frame0: "Tensor",
    frame1: "Tensor",
    t: "Sequence[Time | NDArray[Any]]",
    *,
    model: str = "midnet",
    weights: str | os.PathLike[str] | None = None,
    effort: float | None = None,
) -> "list[Tensor]": ...


def between(
    frame0: Any,
    frame1: Any,
    t: Any,
    *,
    model: str = "midnet",
    weights: str | os.PathLike[str] | None = None,
    effort: float | None = None,
) -> Any:
    """The frame, or frames, at time `t` between two frames.

    frame0, frame1  NumPy H W 3, RGB: uint8 in 0…255, uint16 in 0…65535 or floating point in [0, 1];
                    or torch 3 H W or B 3 H W, floating point in [0, 1]
    t               0 is frame0, 1 is frame1; a NumPy array H W gives each pixel a time of its own (see
                    `midframe.retime.map_times`); for a sequence a list comes back, made from one look at the two
    model           a name as in `midframe models`
    weights         a file in place of the model's own
    effort          0.1 to 1, for a model that can do less than all of its work

    The answer is of the same kind, type, size and device as the frames. Integers are rounded and clipped; floating
    point is not clipped. At t = 0 and t = 1 it is a copy of the frame given. No gradient flows.

    Raises UsageError for frames that do not match, are of another kind, or t outside [0, 1]; ContractError if the
    model cannot render that t, or no map of times.

    >>> import numpy as np, midframe
    >>> dark, light = np.full((64, 96, 3), 50, np.uint8), np.full((64, 96, 3), 150, np.uint8)
    >>> midframe.between(dark, light, 0.25, model="blend")[0, 0]
    array([75, 75, 75], dtype=uint8)
    >>> len(midframe.between(dark, light, [0.25, 0.5, 0.75]))
    3
    """
    import numpy as np

    single = isinstance(t, float | int | Fraction) or (isinstance(t, np.ndarray) and t.ndim == 2)
    made = list(each_between(frame0, frame1, [t] if single else t, model=model, weights=weights, effort=effort))
    return made[0] if single else made


def each_between(
    frame0: Any,
    frame1: Any,
    times: "Sequence[Time | NDArray[Any]]",
    *,
    model: str = "midnet",
    weights: str | os.PathLike[str] | None = None,
    effort: float | None = None,
) -> Iterator[Any]:
    """What `between` makes of `times`, one frame after the other as it is rendered."""
    import torch

    asked = [_as_time(value) for value in times]
    synthesizer = _Named(model, weights, effort)
    if isinstance(frame0, torch.Tensor) and isinstance(frame1, torch.Tensor):
        return _between_tensors(frame0, frame1, asked, synthesizer)
    return _between_arrays(frame0, frame1, asked, synthesizer)


class _Named(NamedTuple):
    """What names a network: loaded once, kept for the next call."""

    model: str
    weights: str | os.PathLike[str] | None
    effort: float | None


def _between_tensors(
    frame0: "Tensor", frame1: "Tensor", times: "list[Fraction | NDArray[Any]]", named: _Named
) -> "Iterator[Tensor]":
    if frame0.shape != frame1.shape or frame0.dtype != frame1.dtype or frame0.device != frame1.device:
        raise UsageError(
            f"the two frames differ: {tuple(frame0.shape)} {frame0.dtype} on {frame0.device}, "
            f"{tuple(frame1.shape)} {frame1.dtype} on {frame1.device}."
        )
    if frame0.ndim not in (3, 4) or frame0.shape[-3] != 3 or 0 in frame0.shape or not frame0.is_floating_point():
        raise UsageError(
            f"a torch frame is 3 H W or B 3 H W in floating point; this one is {tuple(frame0.shape)} {frame0.dtype}."
        )
    batch = frame0.ndim == 4
    pair = [frame if batch else frame[None] for frame in (frame0, frame1)]
    for t, made in zip(times, _render(pair[0].float(), pair[1].float(), times, named), strict=True):
        if made is None:
            yield (frame1 if t else frame0).detach().clone()
        else:
            yield (made if batch else made[0]).to(frame0.dtype)


def _between_arrays(
    frame0: Any, frame1: Any, times: "list[Fraction | NDArray[Any]]", named: _Named
) -> "Iterator[NDArray[Any]]":
    import numpy as np
    import torch

    for frame in (frame0, frame1):
        if not isinstance(frame, np.ndarray):
            raise UsageError(f"frames are two NumPy arrays or two torch tensors, not {type(frame).__name__}.")
        if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise UsageError(f"a NumPy frame is H W 3; this one is {frame.shape}.")
        if frame.dtype not in (np.uint8, np.uint16) and not np.issubdtype(frame.dtype, np.floating):
            raise UsageError(f"a NumPy frame is uint8, uint16 or floating point; this one is {frame.dtype}.")
    if frame0.shape != frame1.shape or frame0.dtype != frame1.dtype:
        raise UsageError(f"the two frames differ: {frame0.shape} {frame0.dtype}, {frame1.shape} {frame1.dtype}.")
    whole = np.issubdtype(frame0.dtype, np.integer)
    white = np.iinfo(frame0.dtype).max if whole else 1
    pair = [
        torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1), dtype=np.float32) / np.float32(white))[None]
        for frame in (frame0, frame1)
    ]
    for t, made in zip(times, _render(pair[0], pair[1], times, named), strict=True):
        if made is None:
            yield (frame1 if t else frame0).copy()
            continue
        values = np.ascontiguousarray(made[0].permute(1, 2, 0).numpy()) * np.float32(white)
        yield (values.round().clip(0, white) if whole else values).astype(frame0.dtype)


def _render(
    frame0: "Tensor", frame1: "Tensor", times: "list[Fraction | NDArray[Any]]", named: _Named
) -> "Iterator[Tensor | None]":
    """B 3 H W float32 for each of `times`, from one `prepare`; None for 0 and 1, which are the frames themselves."""
    import torch
    import torch.nn.functional as F

    from midframe.errors import ContractError
    from midframe.models.adapt import Bisected

    model = _load(named, str(frame0.device))
    contract = model.contract
    if contract.inputs != (0, 1):
        raise ContractError(f"{named.model} reads frames {contract.inputs} around a gap, not two; use interpolate().")
    asked = [t for t in times if isinstance(t, Fraction) and 0 < t < 1]
    maps = [t for t in times if not isinstance(t, Fraction)]
    if maps and not contract.maps:
        raise ContractError(f"{named.model} renders one time for the whole frame, not a map of times; midnet does.")
    if contract.times is not None and any(t not in contract.times for t in asked):
        model = Bisected(model, depth=BISECTION_DEPTH)
    if not asked and not maps:
        yield from (None for _ in times)
        return
    height, width = frame0.shape[-2:]
    if any(t.shape != (height, width) for t in maps):
        raise UsageError(f"a map of times has the frames' height and width, {height} {width}; got {maps[0].shape}.")
    goal = [-(-max(side, contract.minimum) // contract.multiple) * contract.multiple for side in (height, width)]
    right, below = goal[1] - width, goal[0] - height
    pair = [F.pad(frame.detach(), (0, right, 0, below), mode="replicate") for frame in (frame0, frame1)]
    with torch.no_grad():
        state = model.prepare(torch.stack(pair, dim=1))
    for t in times:
        if isinstance(t, Fraction) and t in (0, 1):
            yield None
            continue
        time: float | Tensor
        if isinstance(t, Fraction):
            time = float(t)
        else:
            plane = torch.from_numpy(t.astype("float32"))[None, None].to(frame0.device)
            time = F.pad(plane, (0, right, 0, below), mode="replicate")
        with torch.no_grad():  # not around the loop: a generator would leave it switched off for its caller
            made = model.render(state, time)
        yield made[..., :height, :width].clone()


@functools.lru_cache(maxsize=4)
def _load(named: _Named, device: str) -> "Synthesizer":
    from midframe.models.load import load, quicken

    return quicken(load(named.model, device, weights=named.weights, effort=named.effort))


def _as_time(t: Any) -> "Fraction | NDArray[Any]":
    import numpy as np

    if isinstance(t, np.ndarray) and t.ndim == 2:
        if not np.issubdtype(t.dtype, np.floating) or not (t.size and t.min() >= 0 and t.max() <= 1):  # NaN fails, too
            raise UsageError(f"a map of times holds floating point numbers from 0 to 1; this one is {t.dtype}.")
        return t
    if not isinstance(t, float | int | Fraction) or not math.isfinite(t) or not 0 <= t <= 1:
        raise UsageError(f"t is a number from 0 (the first frame) to 1 (the second), not {t!r}.")
    return Fraction(t)


def _as_field(name: str, value: Any, kind: Any) -> Any:
    """`value` as the field stores it: numbers and paths become text where the field is text."""
    words = tuple(word for word in get_args(kind) if isinstance(word, str))
    if words:
        if value not in words:
            raise UsageError(f"{name}={value!r}: choose one of {', '.join(words)}.")
        return value
    optional = type(None) in get_args(kind)
    if value is None and optional:
        return None
    types = [part for part in get_args(kind) if part is not type(None)] or [kind]
    if str in types:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, str | int | float | Fraction) and not isinstance(value, bool):
            return str(value)
        raise UsageError(f"{name}={value!r}: give text or a number.")
    if bool in types:
        if isinstance(value, bool):
            return value
        raise UsageError(f"{name}={value!r}: give True or False.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name}={value!r}: give a number.")
    if int in types and not isinstance(value, int):
        raise UsageError(f"{name}={value!r}: give a whole number.")
    return value


def _check_numbers(job: InterpolateJob) -> None:
    """Refuse numbers that no input could make sensible."""
    from midframe.engine.plan import parse_factor, parse_rate, parse_time
    from midframe.engine.size import parse_size

    if not job.input:
        raise UsageError("no input: give a video file, a folder of images, or - for y4m on stdin.")
    if job.size is not None:
        parse_size(job.size)
    if job.factor is not None:
        parse_factor(job.factor, "--factor")
    if job.slow is not None:
        parse_factor(job.slow, "--slow")
    if job.fps is not None:
        parse_rate(job.fps, Fraction(24))  # any rate will do to see whether source*2 can be read
    if job.rate is not None:
        parse_rate(job.rate)
    if job.factor is not None and job.fps is not None:
        raise UsageError("--factor and --fps both set the output rate: give one of them.")
    start = parse_time(job.start_time, "--start") if job.start_time is not None else None
    stop = parse_time(job.end_time, "--end-time") if job.end_time is not None else None
    if stop is not None and stop <= (start or 0):
        raise UsageError(f"--end-time {job.end_time} does not lie after --start {job.start_time or 0}.")
    if job.crf is not None and not (math.isfinite(job.crf) and job.crf >= 0):
        raise UsageError(f"--crf {job.crf:g}: give a number from 0, lower is better.")
    if job.workers < 1:
        raise UsageError(f"--workers {job.workers}: must be at least 1.")
    for name in ("threads", "tile", "segment"):
        if getattr(job, name) < 0:
            raise UsageError(f"--{name} {getattr(job, name)}: must not be negative.")
