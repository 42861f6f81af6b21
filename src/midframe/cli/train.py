"""`midframe train` and `midframe eval`: a recipe becomes weights; weights become figures."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midframe.cli.interpolate import InterruptedJob, name_stop, terminable
from midframe.cli.progress import counting, format_seconds
from midframe.errors import UsageError

if TYPE_CHECKING:
    import torch

    from midframe.bench.clips import Scores, ValidationClips
    from midframe.bench.flow import FlowScenes
    from midframe.ops.perception import Network
    from midframe.train.loop import Step, Validation

TRAIN_EXAMPLES = """Examples:
  midframe train recipes/ifrnet-s.toml --data train.store --validate val/ --budget 20m
  midframe train recipes/ifrnet-s.toml --data train.store --validate val/ --budget 2h --resume
  midframe train recipes/raft-s-cpu.toml --photos photos/ --threads 1 --budget 1h
  torchrun --nproc-per-node 4 -m midframe train recipes/ifrnet-l.toml --data train.store"""
EVAL_EXAMPLES = """Examples:
  midframe eval dis --clips val/
  midframe eval ifrnet-s --weights runs/ifrnet-s/best.safetensors --clips val/ --lpips
  midframe eval raft-s --weights runs/raft-s-cpu/best.safetensors"""


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
            help="Clips to measure on; without them no weights are called the best. For a model of flow: photographs "
            "to set in motion; without them textures are made up.",
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
    seconds = None if budget is None else read_duration(budget)

    import torch

    from midframe.models.catalogue import resolve
    from midframe.models.load import build
    from midframe.ops.perception import load_network
    from midframe.train.loop import train as run
    from midframe.train.sources import open_source
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

    source = open_source(found, model.contract, data, photos, place, say)
    clips, scenes = None, None
    if resolve(found.system)[0].task == "flow":
        from midframe.bench.flow import FlowScenes

        scenes = FlowScenes(validate)
    elif validate is not None and rank == 0:
        from midframe.bench.clips import ValidationClips

        clips = ValidationClips(validate, long_side, limit=windows)
        clips.windows()  # a clip that cannot be read is said now, not at the first validation

    def tell(event: "Step | str") -> None:
        say(event if isinstance(event, str) else describe_step(event))

    def judge(one: "torch.nn.Module") -> "Validation":
        if scenes is not None:
            return judge_flow(scenes, one, place)
        assert clips is not None
        return judge_on(clips, one, place, network)

    folder = output or Path("runs") / found.name
    try:
        with terminable():
            outcome = run(
                found, model, source, folder,
                evaluate=None if clips is None and scenes is None else judge,
                budget=seconds, resume=resume, device=place, tell=tell,
            )  # fmt: skip
    except KeyboardInterrupt as stop:
        what, code = name_stop(stop)
        raise InterruptedJob(f"{what}. The same command with --resume goes on from {folder}.", code) from None
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    best = ""
    if outcome.best == outcome.best:
        best = f", best {outcome.best:.3f} dB"
        if network is not None:
            best = f", best LPIPS {-outcome.best:.4f}"
        elif scenes is not None:
            best = f", best EPE {-outcome.best:.3f} px"
    more = "" if outcome.finished else "; --resume goes on"
    say(f"{folder}: step {outcome.step} of {found.optim.steps} after {format_seconds(outcome.seconds)}{best}{more}")


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name of `midframe models`.")],
    clips: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of clips, or one clip.")] = None,
    weights: Annotated[str | None, typer.Option(metavar="FILE", help="Other weights than the published ones.")] = None,
    factors: Annotated[str, typer.Option(help="2 leaves out every second frame, 4 three of four.")] = "2,4",
    long_side: Annotated[int | None, typer.Option(min=64, help="Reduce larger pictures to this.")] = None,
    windows: Annotated[int | None, typer.Option(min=1, help="At most so many gaps of each clip.")] = None,
    lpips: Annotated[bool, typer.Option("--lpips", help="LPIPS, too; takes about as long again.")] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="Where a network computes, e.g. cuda.")] = "cpu",
    per_clip: Annotated[bool, typer.Option("--per-clip", help="A line for each clip.")] = False,
    photos: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For a model of flow: photographs to set in motion. [default: made up]"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show how far it is.")] = False,
) -> None:
    """Leave frames out of clips, make them again, compare: PSNR of 8-bit RGB, and LPIPS if asked for.

    A model of flow is measured on synthetic motion, whose flow is known, beside classical methods.
    """
    if not re.fullmatch(r"\d+(,\d+)*", factors):
        raise UsageError(f"--factors {factors}: give whole numbers such as 2,4.")
    from midframe.models.catalogue import resolve

    if resolve(model)[0].task == "flow":
        if clips is not None:
            raise UsageError(f"{model} estimates flow, and clips have no true flow: leave out --clips {clips}.")
        evaluate_flow(model, weights, photos, device, quiet)
        return
    if clips is None:
        raise UsageError("Give the clips to measure on: --clips DIR.")
    if photos is not None:
        raise UsageError(f"{model} is measured on clips: leave out --photos.")

    from midframe.bench.clips import ValidationClips
    from midframe.models.load import load
    from midframe.ops.perception import load_network

    judged = load(model, device, weights=weights)
    found = ValidationClips(clips, long_side, [int(factor) for factor in factors.split(",")], windows)
    with counting("measuring", quiet=quiet) as count:
        scores = found.score(judged, device, lpips=load_network("alex") if lpips else None, worst=0, on_progress=count)
    for factor in found.factors:
        typer.echo(f"{factor}x  {describe_scores(scores.of(factor))}")
    if per_clip:
        for name, part in scores.clips.items():
            typer.echo(f"{name}  {describe_scores(part)}")


def evaluate_flow(model: str, weights: str | None, photos: Path | None, device: str, quiet: bool) -> None:
    """Print the figures of a flow estimator and of classical methods, a line each."""
    from midframe.bench.flow import FlowScenes, classical, format_table
    from midframe.models.load import load_flow

    estimators = {model: load_flow(model, device, weights=weights), **classical()}
    scenes = FlowScenes(photos)
    rows = []
    with counting("measuring", quiet=quiet) as count:
        for number, (name, estimator) in enumerate(estimators.items()):
            count(number, len(estimators))
            rows.append((name, scenes.score(estimator, device)))
    typer.echo(format_table(rows))


def read_duration(text: str) -> float:
    """Seconds of "20m", "90s", "1h30m" or a bare number of seconds. Raises UsageError."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    values = [float(part or 0) for part in match.groups()] if match else []
    seconds = sum(value * unit for value, unit in zip(values, (3600, 60, 1), strict=True)) if values else 0.0
    if seconds <= 0:
        raise UsageError(f"--budget {text}: give a time such as 20m, 90s or 1h30m.")
    return seconds


def judge_on(
    clips: "ValidationClips", model: Any, device: "torch.device", network: "Network | None" = None
) -> "Validation":
    """Figures of the clips by factor, LPIPS with a `network`, and the worst frames beside what they should be."""
    import numpy as np

    from midframe.train.loop import Validation

    scores = clips.score(model, device, lpips=network, worst=3)
    figures = {"psnr": scores.psnr} | {f"psnr {n}x": scores.of(n).psnr for n in clips.factors}
    if scores.lpips is not None:
        figures |= {"lpips": scores.lpips} | {f"lpips {n}x": scores.of(n).lpips or 0.0 for n in clips.factors}
    rows = [np.concatenate([worst.made, worst.truth], 1) for worst in scores.worst]
    return Validation(figures, {f"worst{k}": row for k, row in enumerate(rows)})


def judge_flow(scenes: "FlowScenes", model: Any, device: "torch.device") -> "Validation":
    from midframe.train.loop import Validation

    scores = scenes.score(model, device)
    return Validation({"epe": scores.epe, "epe visible": scores.visible, "over 3 px": scores.far})


def describe_step(step: "Step") -> str:
    """One line for a terminal or a log file."""
    rate = f"{step.samples_per_second:.1f} samples/s, {step.teraflops:.3g} TFLOP/s, {step.data:.0%} waiting for data"
    loss = f"loss {step.loss:.5f}  rate {step.rate:.2e}"
    return f"step {step.step}/{step.steps}  {loss}  {rate}  {format_seconds(step.seconds)}"


def describe_scores(scores: "Scores") -> str:
    lpips = "" if scores.lpips is None else f"  LPIPS {scores.lpips:.4f}"
    return f"{scores.psnr:.3f} dB{lpips}  ({len(scores.frames)} frames)"


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
