"""`midframe train`: a recipe becomes weights."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midframe.cli.interpolate import InterruptedJob, name_stop, terminable
from midframe.cli.judge import open_judge
from midframe.cli.progress import format_seconds
from midframe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from midframe.train.loop import Step
    from midframe.train.recipe import Recipe

EXAMPLES = """Examples:
  midframe train recipes/ifrnet-s.toml --data train.store --validate val/ --budget 20m
  midframe train recipes/ifrnet-s.toml --data train.store --validate val/ --budget 2h --resume
  midframe train recipes/raft-s-cpu.toml --photos photos/ --threads 1 --budget 1h
  midframe train recipes/vae-cpu.toml --threads 1
  torchrun --nproc-per-node 4 -m midframe train recipes/ifrnet-l.toml --data train.store"""


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="TOML file, see recipes/.")],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="STORE", help="Footage packed by `midframe data pack`.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photographs to set in motion, if the recipe wants any.")
    ] = None,
    validate: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Clips to measure on; without them no weights are called the best. For a model of flow, or one "
            "that propagates: photographs to set in motion; without them textures are made up. For a model that "
            "predicts: a store. Not for made data.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where it all goes. [default: runs/RECIPE]")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after this long, e.g. 20m, 90s, 1h30m.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint, if there is one.")] = False,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Begin with these weights, not with random ones.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1; auto takes a GPU if there is one.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the computation.")] = None,
    long_side: Annotated[int, typer.Option(min=64, help="Clips to measure on are reduced to this.")] = 448,
    windows: Annotated[int, typer.Option(min=1, help="Gaps measured in each of these clips.")] = 2,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a model by a recipe. Ctrl-C and --budget leave a checkpoint that --resume goes on from, step for step.

    The folder gets best.safetensors and last.safetensors (moving average of the weights, 16 bit), log.csv, curve.png,
    pictures of the worst frames, the checkpoint, and TensorBoard's files if tensorboard is installed.
    """
    from midframe.train.recipe import read_recipe

    found = read_recipe(recipe)
    refuse_beside_made(found, {"--data": data, "--photos": photos, "--validate": validate})
    seconds = None if budget is None else read_duration(budget)

    import torch

    from midframe.models.catalogue import resolve
    from midframe.models.load import build
    from midframe.ops.perception import load_network
    from midframe.train.loop import train as run
    from midframe.train.sources import open_made, open_source
    from midframe.weights import load_state

    if resolve(found.system)[0].task == "fit":
        raise UsageError(f"{found.system} is fitted to one clip: `midframe fit CLIP` does it, without a recipe.")
    if threads is not None:
        torch.set_num_threads(threads)
    rank, place = _join(device)
    torch.manual_seed(found.seed)
    model = build(found.system, place)
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "loss"):
        raise UsageError(f"{found.system} cannot be trained: it has no loss.")
    if weights is not None:
        _fill(model, load_state(weights, device=place), weights)
    elif found.start:
        _begin(model, found.system, found.start, place)

    network = None
    if found.optim.lpips > 0:
        perceive: Any = getattr(model, "perceive", None)
        if perceive is None:
            raise UsageError(f"{found.system} cannot be trained on LPIPS: leave [optim] lpips away.")
        network = load_network("alex").to(place)
        perceive(network, found.optim.lpips)
    if found.optim.texture > 0 and resolve(found.system)[0].task != "interpolate":
        raise UsageError(f"{found.system} makes no frames whose texture could be seen: leave [optim] texture away.")

    def say(text: str) -> None:
        if not quiet and rank == 0:
            typer.echo(text, err=True)

    row = resolve(found.system)[0]
    contract = getattr(model, "contract", None)
    others = None
    if found.data.made:
        source = open_made(found, device=place, contract=contract)
        others = open_made(found, "valid", place, contract=contract)
    else:
        source = open_source(found, contract, data, photos, place, say)
        if row.task == "predict" and validate is not None:
            others = open_source(found, contract, validate, None, place)
    judge = None
    if rank == 0:
        judge = open_judge(
            found, place, others=others, validate=validate, long_side=long_side, windows=windows, network=network,
            say=say,
        )  # fmt: skip

    def tell(event: "Step | str") -> None:
        say(event if isinstance(event, str) else describe_step(event))

    folder = output or Path("runs") / found.name
    try:
        with terminable():
            outcome = run(
                found, model, source, folder,
                evaluate=judge.score if judge is not None else None,
                budget=seconds, resume=resume, device=place, tell=tell,
            )  # fmt: skip
    except KeyboardInterrupt as stop:
        what, code = name_stop(stop)
        raise InterruptedJob(f"{what}. The same command with --resume goes on from {folder}.", code) from None
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    best = ""
    if judge is not None and outcome.best == outcome.best:
        best = f", best {judge.say(outcome.best)}"
    more = "" if outcome.finished else "; --resume goes on"
    say(f"{folder}: step {outcome.step} of {found.optim.steps} after {format_seconds(outcome.seconds)}{best}{more}")


def read_duration(text: str) -> float:
    """Seconds of "20m", "90s", "1h30m" or a bare number of seconds. Raises UsageError."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    values = [float(part or 0) for part in match.groups()] if match else []
    seconds = sum(value * unit for value, unit in zip(values, (3600, 60, 1), strict=True)) if values else 0.0
    if seconds <= 0:
        raise UsageError(f"--budget {text}: give a time such as 20m, 90s or 1h30m.")
    return seconds


def refuse_beside_made(recipe: "Recipe", given: "Mapping[str, Path | None]") -> None:
    """Raises UsageError for files given with a recipe of made data."""
    for option, path in given.items():
        if recipe.data.made and path is not None:
            raise UsageError(
                f'{recipe.name} is trained on made data ("{recipe.data.made}") and measured by its loss on samples of '
                f"it that are held out: leave out {option} {path}."
            )


def describe_step(step: "Step") -> str:
    """One line for a terminal or a log file."""
    rate = f"{step.samples_per_second:.1f} samples/s, {step.teraflops:.3g} TFLOP/s, {step.data:.0%} waiting for data"
    loss = f"loss {step.loss:.5f}  rate {step.rate:.2e}"
    return f"step {step.step}/{step.steps}  {loss}  {rate}  {format_seconds(step.seconds)}"


def _fill(model: "torch.nn.Module", state: Any, path: Path) -> None:
    from midframe.errors import ModelError

    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit this model: {str(error).splitlines()[-1].strip()}") from error


def _begin(model: "torch.nn.Module", system: str, start: str, place: "torch.device") -> None:
    """Takes over the parameters of another system that have the same names and shapes. Raises UsageError for none."""
    from midframe.models.load import find_weights
    from midframe.weights import load_state

    path = find_weights(start)
    own = model.state_dict()
    given = load_state(path, device=place) if path is not None else {}
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise UsageError(f"{system} cannot start from {start}: no parameter of it has the same name and shape.")
    model.load_state_dict(fitting, strict=False)


def _join(device: str) -> "tuple[int, torch.device]":
    """This process's number and device; under torchrun it joins the others."""
    import torch
    import torch.distributed as dist

    from midframe.models.load import read_device

    on_gpu = torch.cuda.is_available() if device == "auto" else device.startswith("cuda")
    if "LOCAL_RANK" in os.environ and "RANK" in os.environ:
        local = int(os.environ["LOCAL_RANK"])
        place = read_device(f"cuda:{local}" if on_gpu else "cpu")
        if on_gpu:
            torch.cuda.set_device(place)
        dist.init_process_group("nccl" if on_gpu else "gloo")
        return dist.get_rank(), place
    if device == "auto":
        device = "cuda" if on_gpu else "cpu"
    return 0, read_device(device)
