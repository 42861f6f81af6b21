"""A recipe: one system's training as data. Read from TOML; every key has a default and an unknown one is refused."""

import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from midframe.errors import InputError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """What a batch is made of.

    made       "mnist", "two-digits", "moving-mnist", "shapes": samples of a data set that comes along or is made up,
               in place of footage; nothing else here but batch, binarise and, of shapes, crop has a meaning then. "":
               footage, or moving photographs
    binarise   with "mnist": each pixel is black or white, drawn anew each time, with its grey value as probability
    crop       height and width of a sample, pixels
    batch      samples a step, over all processes
    inputs     frames read: 2, or 4 or 6 with as many on each side of the gap; 3, too, of a system that propagates
    gaps       distances in frames of the two around the target; one target, drawn from those between, so 2 is the
               frame in the middle. Of a system that predicts or propagates: of each frame from the next, 1 takes
               every frame
    shares     how often each of the gaps is drawn, in proportion
    scales     enlargements to draw from; 0.5 reads a region of twice the size
    whole      nothing is cut out: whole frames are brought to the crop's size, whatever their own shape
    power      windows are drawn with a weight of motion^power; 0: all alike
    brightness gain drawn from 1 ± this
    synthetic  share of samples drawn from moving photographs instead of clips, 0…1
    flow       labels of flow, for losses that use them: exact with the synthetic samples
    teacher    who guesses the labels of flow for footage: "dis" (dense inverse search), "" nobody
    distance   labels of how far along its way each pixel is (`data.distance`), for systems told that in place of time
    reference  one more label: a frame whose distance is known, too, for systems that start from one; gaps of 3 or more
    shrink     for systems that enlarge: how many times smaller than the targets the inputs are, drawn between these two
               for each batch; `crop` is the targets' size at the second
    targets    for systems that enlarge: how many of a window's frames are drawn as targets; 0: all they can render
    """

    made: str = ""
    binarise: bool = False
    crop: int = 224
    batch: int = 16
    inputs: int = 2
    gaps: tuple[int, ...] = (2,)
    shares: tuple[float, ...] = (1.0,)
    scales: tuple[float, ...] = (1.0,)
    whole: bool = False
    power: float = 1.0
    brightness: float = 0.0
    synthetic: float = 0.0
    flow: bool = False
    teacher: str = ""
    distance: bool = False
    reference: bool = False
    shrink: tuple[float, ...] = (1.0, 1.0)
    targets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimRecipe:
    """AdamW with a linear warm-up, then half a cosine down.

    steps       how many batches are learnt from
    rate        highest learning rate; final_rate: the one at the end
    warm_up     steps in which the rate rises from 0 to its highest
    betas       how slowly AdamW's means of gradient and squared gradient follow
    decay       weight decay, of tensors of two dimensions or more
    clip        longest gradient, all parameters together; a longer one is shortened to this
    ema         decay a step of the moving average that is measured and kept
    frozen      parameters whose names begin with one of these stay as they are
    lpips       weight of LPIPS (AlexNet) in the loss, for systems that take it; what is best is then decided by LPIPS
    texture     weight of the texture consistency loss (`losses.texture`) beside the system's own, for systems that make
                frames; 0.1 is usual
    """

    steps: int = 100_000
    rate: float = 3e-4
    final_rate: float = 1e-5
    warm_up: int = 500
    betas: tuple[float, float] = (0.9, 0.999)
    decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    frozen: tuple[str, ...] = ()
    lpips: float = 0.0
    texture: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecipe:
    """How it runs. Intervals are in steps.

    precision       "bf16": autocast on a GPU, weights stay float32; "fp32". A CPU always computes in fp32
    channels_last   how pictures lie in memory; changes speed only
    compile         torch.compile, on a GPU only
    log_every, validate_every, save_every   a line of the log; the clips measured; the checkpoint written
    held_out       made samples that are measured at a validation, none of which is trained on
    """

    precision: Literal["fp32", "bf16"] = "bf16"
    channels_last: bool = True
    compile: bool = False
    log_every: int = 20
    validate_every: int = 1000
    save_every: int = 500
    held_out: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole training.

    system  a name of `midframe models`, with or without a variant
    start   another such name, from whose weights it begins, as far as names and shapes of parameters agree; "": none
    """

    name: str
    system: str
    seed: int = 1
    start: str = ""
    data: DataRecipe = field(default_factory=DataRecipe)
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_recipe(path: Path) -> Recipe:
    """Raises InputError if the file cannot be read as TOML, UsageError for a key or a value that cannot be meant."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file ({error}).") from error
    if "system" not in found:
        raise UsageError(f'{path}: says no system; add a line such as system = "ifrnet-s".')
    parts: dict[str, Any] = {"data": DataRecipe, "optim": OptimRecipe, "run": RunRecipe}
    values: dict[str, Any] = {"name": path.stem}
    for key, value in found.items():
        if key in parts:
            if not isinstance(value, dict):
                raise UsageError(f"{path}: {key} is a section; write [{key}].")
            values[key] = _part(parts[key], value, f"{path}: [{key}]")
        else:
            values[key] = value
    recipe: Recipe = _part(Recipe, values, str(path))
    _check(recipe, path)
    return recipe


def _part(kind: Any, values: dict[str, Any], where: str) -> Any:
    known = {field.name: field for field in fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"{where} has no key {key!r}. There are: {', '.join(known)}.")
        default = known[key].default
        if isinstance(default, tuple):
            if not isinstance(value, list):
                raise UsageError(f"{where} {key} = {value!r}: give a list such as {list(default)}.")
            values[key] = tuple(_plain(one, default[0] if default else "", f"{where} {key}") for one in value)
        elif known[key].default_factory is MISSING:  # those with one are the sections, which are read already
            values[key] = _plain(value, "" if default is MISSING else default, f"{where} {key}")
    return kind(**values)


def _plain(value: Any, like: Any, where: str) -> Any:
    """`value` as the kind of thing that `like` is; a whole number serves as a number. Raises UsageError."""
    if isinstance(like, float) and type(value) is int:
        return float(value)
    if type(value) is not type(like):
        raise UsageError(f"{where} = {value!r}: give {_KINDS[type(like)]}.")
    return value


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}


MADE = ("mnist", "two-digits", "moving-mnist", "shapes")  # what [data] made may be; `sources.open_made` makes them
WITH_MADE = ("made", "binarise", "batch")  # the only keys of [data] that say something about made samples


def _check(recipe: Recipe, path: Path) -> None:
    data, optim, run = recipe.data, recipe.optim, recipe.run
    there = " or ".join(f'"{name}"' for name in MADE)
    spoken = (*WITH_MADE, "crop") if data.made == "shapes" else WITH_MADE
    idle = [key.name for key in fields(data) if key.name not in spoken and getattr(data, key.name) != key.default]
    wrong = {
        f'[data] made is {there} or ""': data.made not in ("", *MADE),
        f'[data] made = "{data.made}" takes no {", ".join(idle)}': bool(data.made and idle),
        '[data] binarise is for made = "mnist"': data.binarise and data.made != "mnist",
        "[data] crop must be at least 32": data.crop < 32,
        "[data] batch must be at least 1": data.batch < 1,
        "[data] inputs must be 2, 3, 4 or 6": data.inputs not in (2, 3, 4, 6),
        "[data] gaps are numbers of 1 or more": not data.gaps or min(data.gaps) < 1,
        "[data] shares are positive, one for each of gaps": len(data.shares) != len(data.gaps) or min(data.shares) <= 0,
        "[data] scales are positive": not data.scales or min(data.scales) <= 0,
        "[data] whole leaves no scales to draw from": data.whole and data.scales != (1.0,),
        "[data] brightness lies between 0 and 1, without 1": not 0 <= data.brightness < 1,
        "[data] power must not be negative": data.power < 0,
        "[data] synthetic lies between 0 and 1": not 0 <= data.synthetic <= 1,
        '[data] flow needs synthetic samples, which have exact flow, or teacher = "dis"': data.flow
        and data.synthetic == 0
        and not data.teacher,
        '[data] teacher is "dis" or ""': data.teacher not in ("", "dis"),
        "[data] teacher needs flow = true, and footage (synthetic below 1)": bool(data.teacher)
        and not (data.flow and data.synthetic < 1),
        "[data] reference needs distance = true, gaps of 3 or more and no labels of flow": data.reference
        and (not data.distance or min(data.gaps) < 3 or data.flow),
        "[data] shrink are two numbers from 1 on, the second not less": len(data.shrink) != 2
        or not 1 <= data.shrink[0] <= data.shrink[1],
        "[data] targets must not be negative": data.targets < 0,
        "[optim] steps must be more than warm_up": not 0 <= optim.warm_up < optim.steps,
        "[optim] rate must be more than final_rate, and both positive": not 0 < optim.final_rate <= optim.rate,
        "[optim] ema lies between 0 and 1, without 1": not 0 <= optim.ema < 1,
        "[optim] betas are two numbers between 0 and 1, without 1": len(optim.betas) != 2
        or not all(0 <= beta < 1 for beta in optim.betas),
        "[optim] decay must not be negative": not optim.decay >= 0,
        "[optim] clip must be positive": not optim.clip > 0,
        "[optim] lpips must not be negative": not optim.lpips >= 0,
        "[optim] texture must not be negative": not optim.texture >= 0,
        '[run] precision is "fp32" or "bf16"': run.precision not in ("fp32", "bf16"),
        "[run] intervals must be at least 1": min(run.log_every, run.validate_every, run.save_every) < 1,
        "[run] held_out must be at least 1": run.held_out < 1,
    }
    for rule, broken in wrong.items():
        if broken:
            raise UsageError(f"{path}: {rule}.")
