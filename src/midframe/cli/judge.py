"""What decides, while a model is trained, which weights are the best: a judge for each kind of system."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from midframe.bench.clips import ValidationClips
    from midframe.bench.flow import FlowScenes
    from midframe.bench.held_out import HeldOut
    from midframe.bench.masks import Film
    from midframe.bench.space_time import SpaceTimeClips
    from midframe.data.source import Source
    from midframe.ops.perception import Network
    from midframe.train.loop import Validation
    from midframe.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Judge:
    """score: figures of a model. say: the best of them, which the loop holds as a number that rises, in words."""

    score: "Callable[[torch.nn.Module], Validation]"
    say: Callable[[float], str]


def open_judge(
    recipe: "Recipe",
    device: "torch.device",
    *,
    others: "Source | None",
    validate: Path | None,
    long_side: int,
    windows: int,
    network: "Network | None",
    say: Callable[[str], None],
) -> Judge | None:
    """The judge of the recipe's system; None if there is nothing to measure on.

    others    samples that are not trained on, of systems that are measured by their own loss
    validate  clips, or photographs for made films and flow
    network   LPIPS decides, not PSNR

    Clips are read now: one that cannot be is said before the first step.
    """
    from midframe.models.catalogue import resolve

    row, _ = resolve(recipe.system)
    if others is not None:
        from midframe.bench.held_out import HeldOut

        held_out = HeldOut(others, count=recipe.run.held_out, batch=recipe.data.batch)
        alarm = _open_alarm(recipe, others, say) if row.task == "classify" else None
        return Judge(
            lambda model: judge_made(held_out, model, row.unit, alarm),
            lambda best: f"held-out loss {-best:.4f} {row.unit}".rstrip(),
        )
    if row.task == "flow":
        from midframe.bench.flow import FlowScenes

        scenes = FlowScenes(validate)
        return Judge(lambda model: judge_flow(scenes, model, device), lambda best: f"EPE {-best:.3f} px")
    if row.task == "propagate":
        from midframe.bench.masks import few_films

        films = few_films(validate)
        return Judge(lambda model: judge_masks(films, model, device), lambda best: f"J&F {best:.2f} %")
    if validate is None:
        return None
    if row.task == "superresolve":
        from midframe.bench.space_time import SpaceTimeClips

        data = recipe.data
        larger = SpaceTimeClips(
            validate, inputs=data.inputs, scale=data.shrink[1], factor=data.gaps[0], long_side=long_side, limit=windows
        )
        larger.windows()
        return Judge(lambda model: judge_space(larger, model, device), lambda best: f"{best:.3f} dB")
    from midframe.bench.clips import ValidationClips

    clips = ValidationClips(validate, long_side, limit=windows)
    clips.windows()
    return Judge(
        lambda model: judge_on(clips, model, device, network),
        lambda best: f"{best:.3f} dB" if network is None else f"LPIPS {-best:.4f}",
    )


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
    return Validation(
        figures, {f"worst{k}": row for k, row in enumerate(rows)}, lowest="" if scores.lpips is None else "lpips"
    )


def judge_space(films: "SpaceTimeClips", model: Any, device: "torch.device") -> "Validation":
    """PSNR of Y of all frames, of those read and of those left out, and the worst beside what they should be."""
    import numpy as np

    from midframe.train.loop import Validation

    scores = films.score(model, device, worst=3)
    parts = {"psnr": scores, "psnr kept": scores.kept, "psnr left out": scores.between}
    rows = [np.concatenate([worst.made, worst.truth], 1) for worst in scores.worst]
    return Validation(
        {name: part.psnr for name, part in parts.items() if part.frames},
        {f"worst{k}": row for k, row in enumerate(rows)},
    )


def judge_flow(scenes: "FlowScenes", model: Any, device: "torch.device") -> "Validation":
    from midframe.train.loop import Validation

    scores = scenes.score(model, device)
    return Validation({"epe": scores.epe, "epe visible": scores.visible, "over 3 px": scores.far}, lowest="epe")


def judge_masks(films: "Sequence[Film]", model: Any, device: "torch.device") -> "Validation":
    """J and F in per cent on made films with exact masks."""
    from midframe.bench.masks import score_masks
    from midframe.metrics.segmentation import average
    from midframe.train.loop import Validation

    scores = average(score_masks(model, films, device))
    figures = {"J&F": scores.both, "J": scores.region.mean, "F": scores.contour.mean}
    return Validation({name: 100 * value for name, value in figures.items()}, highest="J&F")


def judge_made(
    samples: "HeldOut", model: Any, unit: str, alarm: "Callable[[Any, Validation], None] | None" = None
) -> "Validation":
    """The model's own loss, named with what it is counted in, and its parts. `alarm` hears of them, too."""
    from midframe.train.loop import Validation

    scores = samples.score(model)
    name = f"loss ({unit})" if unit else "loss"
    judged = Validation({name if part == "loss" else part: value for part, value in scores.items()}, lowest=name)
    if alarm is not None:
        alarm(model, judged)
    return judged


def _open_alarm(recipe: "Recipe", others: "Source", say: Callable[[str], None]) -> "Callable[[Any, Validation], None]":
    """What says why a classifier may learn nothing, where it is no better than chance."""
    import torch

    from midframe.bench.classify import sound_alarm

    pictures = others.sample(torch.Generator().manual_seed(0), recipe.data.batch).targets[:, 0]

    def alarm(model: Any, judged: "Validation") -> None:
        if text := sound_alarm(model, judged.figures["cross entropy"], pictures, recipe.optim.rate):
            say(text)

    return alarm
