"""`midframe eval`: weights become figures."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midframe.cli.progress import counting
from midframe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midframe.bench.clips import Scores
    from midframe.types import Batch

EXAMPLES = """Examples:
  midframe eval dis --clips val/
  midframe eval ifrnet-s --weights runs/ifrnet-s/best.safetensors --clips val/ --lpips
  midframe eval raft-s --weights runs/raft-s-cpu/best.safetensors
  midframe eval extrapolate --clips val/ --long-side 320 --windows 2
  midframe eval videoinr-s --clips val/ --scale 4 --factors 2,8
  midframe eval midnet+bicubic --clips val/ --scale 4
  midframe eval corrflow-s --weights runs/corrflow-s-cpu/best.safetensors
  midframe eval corrflow-s --masks DAVIS/ --weights runs/corrflow-s-cpu/best.safetensors
  midframe eval vae --weights runs/vae-cpu/best.safetensors
  midframe eval vae --weights runs/vae-cpu/best.safetensors --samples 50 --pictures 1000
  midframe eval bayesian-hypernet-s --weights runs/bayesian-hypernet-s-cpu/best.safetensors"""
DIGIT_CLIPS = 1000  # of Moving MNIST that a predictor is measured on


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name of `midframe models`.")],
    clips: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of clips, or one clip.")] = None,
    weights: Annotated[str | None, typer.Option(metavar="FILE", help="Other weights than the published ones.")] = None,
    factors: Annotated[
        str | None,
        typer.Option(
            help="2 leaves out every second frame, 4 three of four; 1, for a model that enlarges, none. [default: 2,4]"
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="For a model that enlarges: how many times smaller its inputs are. [default: 4]"),
    ] = None,
    long_side: Annotated[int | None, typer.Option(min=64, help="Reduce larger pictures to this.")] = None,
    windows: Annotated[int | None, typer.Option(min=1, help="At most so many gaps of each clip.")] = None,
    lpips: Annotated[bool, typer.Option("--lpips", help="LPIPS, too; takes about as long again.")] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="Where a network computes, e.g. cuda.")] = "cpu",
    per_clip: Annotated[bool, typer.Option("--per-clip", help="A line for each clip.")] = False,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="For a model of pictures, or of futures, or a classifier: samples a picture; more come nearer to the "
            "truth.",
        ),
    ] = None,
    pictures: Annotated[
        int | None,
        typer.Option(min=1, help="For the same: the first so many of the test set only."),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="For a model of flow or a propagator: photographs to set in motion. [default: made up]"
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For a propagator: sequences in DAVIS's layout. [default: --made]"),
    ] = None,
    made: Annotated[bool, typer.Option("--made", help="For a propagator: made films with exact masks.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show how far it is.")] = False,
) -> None:
    """Leave frames out of clips, make them again, compare: PSNR of 8-bit RGB, sharpness (1: as sharp as the true
    frames), and LPIPS if asked for.

    A model of flow is measured on synthetic motion, whose flow is known, beside classical methods. A model of pictures
    (vae, draw): the bound of its likelihood on MNIST's test set in black and white, nats a picture. A model that
    predicts: frame by frame, on clips, or on Moving MNIST if it predicts grey pictures; vpn by what a frame costs, in
    nats; visual-dynamics by where Shapes go in the futures it draws (--pictures, --samples). A model that enlarges: all
    frames, from fewer and smaller ones (--scale), PSNR and SSIM of Y, beside a cross-fade enlarged (bicubic). A model
    that propagates (corrflow, colorization): J and F of masks it carries from the first frame, on made films or on
    annotated ones (--masks), beside the first mask kept and masks carried along flow. A classifier
    (bayesian-hypernet): how often it is right on MNIST's test set, and how well it knows when.
    """
    if factors is not None and not re.fullmatch(r"\d+(,\d+)*", factors):
        raise UsageError(f"--factors {factors}: give whole numbers such as 2,4.")
    from midframe.models.catalogue import task_of

    task = task_of(model)
    if task == "generate":
        for option, path in (("--clips", clips), ("--photos", photos)):
            if path is not None:
                raise UsageError(f"{model} is measured on MNIST's test set: leave out {option} {path}.")
        evaluate_pictures(model, weights, samples or 1, pictures, device, quiet)
        return
    if task != "superresolve" and scale is not None:
        raise UsageError(f"{model} keeps the size: leave out --scale {scale:g}.")
    if task == "classify":
        for option, path in (("--clips", clips), ("--photos", photos)):
            if path is not None:
                raise UsageError(f"{model} is measured on MNIST's test set: leave out {option} {path}.")
        evaluate_classifier(model, weights, samples or 10, pictures, device, quiet)
        return
    if task != "predict" and (samples is not None or pictures is not None):
        raise UsageError(f"{model} is no model of pictures: leave out --samples and --pictures.")
    if task == "propagate":
        if clips is not None:
            raise UsageError(f"{model} is measured on films with masks: --masks DIR or --made, not --clips {clips}.")
        evaluate_masks(model, weights, masks, made, photos, device, per_clip, quiet)
        return
    if masks is not None or made:
        raise UsageError(f"{model} carries no masks: leave out --masks and --made.")
    if task == "flow":
        if clips is not None:
            raise UsageError(f"{model} estimates flow, and clips have no true flow: leave out --clips {clips}.")
        evaluate_flow(model, weights, photos, device, quiet)
        return
    if photos is not None:
        raise UsageError(f"{model} is measured on clips: leave out --photos.")
    if task == "predict":
        evaluate_ahead(model, weights, clips, long_side, windows, device, quiet, samples, pictures)
        return
    if clips is None:
        raise UsageError("Give the clips to measure on: --clips DIR.")
    chosen = None if factors is None else [int(factor) for factor in factors.split(",")]
    if task == "superresolve":
        scale = 4.0 if scale is None else scale
        evaluate_space(model, weights, clips, scale, chosen, long_side, windows, lpips, device, per_clip, quiet)
        return

    from midframe.bench.clips import FACTORS, ValidationClips
    from midframe.models.load import load
    from midframe.ops.perception import load_network

    judged = load(model, device, weights=weights)
    found = ValidationClips(clips, long_side, chosen or FACTORS, windows)
    with counting("measuring", quiet=quiet) as count:
        scores = found.score(judged, device, lpips=load_network("alex") if lpips else None, worst=0, on_progress=count)
    for factor in found.factors:
        typer.echo(f"{factor}x  {describe_scores(scores.of(factor))}")
    if per_clip:
        for name, part in scores.clips.items():
            typer.echo(f"{name}  {describe_scores(part)}")


def evaluate_space(
    model: str,
    weights: str | None,
    clips: Path,
    scale: float,
    factors: list[int] | None,
    long_side: int | None,
    windows: int | None,
    lpips: bool,
    device: str,
    per_clip: bool,
    quiet: bool,
) -> None:
    """Print the figures of a model that enlarges, beside those of a cross-fade enlarged, a table for each factor."""
    from fractions import Fraction

    from midframe.bench.clips import FACTORS
    from midframe.bench.space_time import SpaceTimeClips, format_table
    from midframe.models.load import load
    from midframe.ops.perception import load_network

    judged = load(model, device, weights=weights, task="superresolve")
    contract = judged.contract
    least, most = contract.scale
    if not least <= scale <= most:
        raise UsageError(f"{model} enlarges {least:g} to {most:g} times: --scale {scale:g} is not within that.")
    if contract.inputs is None or contract.inputs[0] != 0:
        raise UsageError(f"{model} reads frames before the first one that it makes: it is not measured like this.")
    times = contract.times
    able = [n for n in factors or FACTORS if times is None or all(Fraction(k, n) in times for k in range(n + 1))]
    if factors and able != factors:
        raise UsageError(f"{model} renders only t = {', '.join(map(str, times or ()))}: --factors 2 is what it can.")
    network = load_network("alex") if lpips else None
    for factor in able:
        films = SpaceTimeClips(
            clips, inputs=len(contract.inputs), scale=scale, factor=factor, long_side=long_side, limit=windows
        )
        with counting(f"measuring {factor}x", quiet=quiet) as count:
            scores = films.score(judged, device, lpips=network, on_progress=count)
        blended = films.score_blend(lpips=network)
        typer.echo(
            f"{factor} times the frames, {scale:g} times the size, {len(scores.frames)} frames; PSNR / SSIM of Y"
        )
        typer.echo(format_table([(model, scores), ("bicubic, cross-fade", blended)]))
        if per_clip:
            typer.echo(format_table(list(scores.clips.items())))


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


def evaluate_masks(
    model: str,
    weights: str | None,
    masks: Path | None,
    made: bool,
    photos: Path | None,
    device: str,
    per_clip: bool,
    quiet: bool,
) -> None:
    """Print J and F of a propagator and of what it is compared with, on annotated films, made ones, or both."""
    from midframe.bench.masks import baselines, format_table, made_films, read_davis, score_masks
    from midframe.metrics.segmentation import average
    from midframe.models.load import load_propagator

    if photos is not None and masks is not None and not made:
        raise UsageError(f"--photos {photos} is for made films: add --made, or leave it out.")
    judged = {model: load_propagator(model, device, weights=weights), **baselines()}
    suites = {}
    if masks is not None:
        suites[str(masks)] = read_davis(masks)
    if made or masks is None:
        suites["made films"] = made_films(photos)
    for name, films in suites.items():
        rows = []
        for who, one in judged.items():
            with counting(f"measuring {who}", quiet=quiet) as count:
                objects = score_masks(one, films, device, on_progress=count)
            if per_clip and who == model:
                for film in films:
                    own = average([part for part in objects if part.sequence == film.name])
                    typer.echo(f"{film.name}  J&F {100 * own.both:.1f}  ({own.objects} objects)")
            rows.append((who, average(objects)))
        typer.echo(format_table(rows))
        frames = sum(len(film.masks) for film in films)
        typer.echo(
            f"per cent, means over {rows[0][1].objects} objects in {len(films)} films of {frames} frames: {name}"
        )


def evaluate_ahead(
    model: str,
    weights: str | None,
    clips: Path | None,
    long_side: int | None,
    windows: int | None,
    device: str,
    quiet: bool,
    samples: int | None = None,
    pictures: int | None = None,
) -> None:
    """Print the figures of a predictor, beside those of the last frame repeated: on clips, or, if it predicts grey
    pictures, on Moving MNIST of the test digits. Of one that tells probabilities, what a frame costs; of one that draws
    futures of one frame, where Shapes go in them."""
    import torch

    from midframe.bench import ahead
    from midframe.data.mnist import read_mnist
    from midframe.data.moving_mnist import MovingMNIST
    from midframe.models.catalogue import resolve
    from midframe.models.load import load
    from midframe.models.visual_dynamics import VisualDynamics

    judged: Any = load(model, device, weights=weights, task="predict")
    contract = judged.contract
    if isinstance(judged, VisualDynamics) and clips is None:
        evaluate_futures(model, judged, pictures or 100, samples or 100, device, quiet)
        return
    if samples is not None or pictures is not None:
        raise UsageError(f"{model} is measured frame by frame: leave out --samples and --pictures.")
    if contract.channels == 1:
        if clips is not None:
            raise UsageError(
                f"{model} predicts grey pictures and is measured on Moving MNIST: leave out --clips {clips}."
            )
        assert contract.inputs is not None
        count = windows or DIGIT_CLIPS
        source = MovingMNIST(read_mnist("test")[0], inputs=len(contract.inputs), targets=contract.covers[1])
        sizes = [min(10, count - first) for first in range(0, count, 10)]
        batches: Iterable[Batch] = (
            source.sample(torch.Generator().manual_seed(ahead.SEED + k), n) for k, n in enumerate(sizes)
        )
        what = f"{count:,} clips of Moving MNIST, digits of the test set"
        if unit := resolve(model)[0].unit:
            with counting("measuring", quiet=quiet) as tell:
                cost, least = ahead.score_nats(judged, batches, device, on_progress=lambda done: tell(done, count))
            typer.echo(f"{cost:.2f} {unit}, told the true frames before it; the least is {least:.2f}\n{what}")
            return
        what += "; errors are sums over a frame"
    else:
        if clips is None:
            raise UsageError("Give the clips to measure on: --clips DIR.")
        found = list(ahead.cut_ahead(clips, contract, long_side, windows))
        batches, count = found, len(found)
        what = f"{count} windows of {clips}"
    with counting("measuring", quiet=quiet) as tell:
        own, held = ahead.score_ahead(
            judged, batches, device, sums=contract.channels == 1, on_progress=lambda done: tell(done, count)
        )
    typer.echo(ahead.format_ahead(model, own, held))
    typer.echo(what)


def evaluate_futures(model: str, judged: Any, pictures: int, samples: int, device: str, quiet: bool) -> None:
    """Print how far the motion of Shapes in sampled futures is from the true one."""
    from midframe.bench.futures import Futures, format_table

    futures = Futures(judged.size, pictures=pictures, samples=samples)
    rows = [("truth", futures.score_truth()), ("still", futures.score_still())]
    with counting("measuring", quiet=quiet) as tell:
        rows.append((model, futures.score(judged, device, on_progress=tell)))
    typer.echo(format_table(rows))


def evaluate_pictures(
    model: str, weights: str | None, samples: int, count: int | None, device: str, quiet: bool
) -> None:
    """Print the bound of −ln p(x) of a generative model on black and white MNIST, and what was measured."""
    from midframe.bench.likelihood import binary_mnist, score_likelihood
    from midframe.models.load import load_generative

    judged = load_generative(model, device, weights=weights)
    pictures = binary_mnist(count)
    with counting("measuring", quiet=quiet) as tell:
        found = score_likelihood(judged, pictures, samples=samples, device=device, on_progress=tell)
    kind = "negative evidence lower bound" if samples == 1 else f"importance weighted bound, {samples} samples"
    typer.echo(f"-ln p(x) ≤ {found.bound:.2f} ± {found.error:.2f} nats a picture ({kind})")
    if found.reconstruction is not None and found.divergence is not None:
        typer.echo(f"           = {found.reconstruction:.2f} reconstruction + {found.divergence:.2f} divergence")
    typer.echo(
        f"{found.count:,} pictures of MNIST's test set, black and white, each pixel drawn once by its grey value"
    )


def evaluate_classifier(
    model: str, weights: str | None, draws: int, count: int | None, device: str, quiet: bool
) -> None:
    """Print how often a classifier is right, its cross entropy and its calibration error, a line for each way to ask
    it, and what was measured."""
    from midframe.bench.classify import COUNT, open_test_set, score_classifier
    from midframe.models.load import load_classifier

    judged = load_classifier(model, device, weights=weights)
    pictures, truth = open_test_set(judged.classes, COUNT if count is None else count)
    with counting("measuring", quiet=quiet) as tell:
        found = score_classifier(judged, pictures, truth, draws=draws, device=device, on_progress=tell)
    rows = {
        "mean weights": found.mean,
        "one drawing": found.single,
        f"{draws} drawings averaged": found.averaged,
    }
    for name, one in rows.items():
        typer.echo(
            f"{name:22} {one.accuracy:.2%} right, cross entropy {one.cross_entropy:.4f} nats, "
            f"calibration error {one.calibration:.2%}"
        )
    what = "pictures" if judged.classes == 10 else "pairs of pictures"
    typer.echo(f"{found.count:,} {what} of MNIST's test set, {judged.classes} classes")


def describe_scores(scores: "Scores") -> str:
    lpips = "" if scores.lpips is None else f"  LPIPS {scores.lpips:.4f}"
    sharp = "" if scores.sharpness is None else f"  sharpness {scores.sharpness:.3f}"
    return f"{scores.psnr:.3f} dB{lpips}{sharp}  ({len(scores.frames)} frames)"
