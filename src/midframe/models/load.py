"""From a name to a working system: import its file, build the variant, give it its parts and its weights.

Composition happens here and nowhere else, so that model files stay independent of each other.
"""

import importlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from midframe.errors import ModelError, UsageError
from midframe.models.adapt import Bisected, Enlarged
from midframe.models.catalogue import System, check_effort, check_model, parts_of, resolve, systems
from midframe.types import Classifier, ClipModel, FlowEstimator, GenerativeModel, Propagator, Synthesizer
from midframe.weights import Weights, card, home, load_state, locate

Model = TypeVar("Model")
BISECTION_DEPTH = 4  # a middle-frame model answers t in sixteenths


def load(
    name: str,
    device: str | torch.device = "cpu",
    *,
    weights: str | PathLike[str] | None = None,
    effort: float | None = None,
    task: Literal["interpolate", "predict", "superresolve"] = "interpolate",
) -> Synthesizer:
    """The system that `name` means, ready to `prepare` and `render`.

    name     "dis", or "dis/fast" for a variant; for "superresolve" also two models, as in "midnet+bicubic", frames made
             and then enlarged, or "bicubic+midnet", made between enlarged frames
    device   where a network is put; a classical method computes on the CPU and answers on its frames' device
    weights  name of a weights card or path of a .safetensors file; None takes the user's own NAME.safetensors in the
             weights folder if there is one for a system without its authors' weights, else the variant's card
    effort   0.1 to 1, for a system that can do less than all of its work; None: as it was trained
    task     what it is wanted for: "interpolate", frames between frames, "predict", frames after the last one, or
             "superresolve", frames of another size

    Raises UsageError for an unknown name or device, for a system of another task and for an effort that it cannot take,
    ModelError if weights are missing or do not fit.
    """
    check_model(name, task, effort=effort)
    if "+" in name:
        return _join(name, device, weights, effort)
    model: Synthesizer = _load(name, device, weights, effort)
    return model


def _join(
    name: str, device: str | torch.device, weights: str | PathLike[str] | None, effort: float | None
) -> Synthesizer:
    """Two models as one; in `check_model` one was found to be of time, the other of space."""
    loaded: dict[str, Synthesizer] = {}
    for part, given in weights_of(name, weights):
        row, _ = resolve(part)
        loaded[row.task] = quicken(_load(part, device, given, effort if row.effort else None))
    between = loaded["interpolate"]
    if between.contract.times is not None and between.contract.inputs == (0, 1):
        between = Bisected(between, depth=BISECTION_DEPTH)
    return Enlarged(between, loaded["superresolve"], larger_first=next(iter(loaded)) == "superresolve")


def weights_of(name: str, weights: str | PathLike[str] | None = None) -> list[tuple[str, str | PathLike[str] | None]]:
    """The models that a name is made of, each with the weights it is given.

    Raises UsageError where it is open which of two models they are for.
    """
    parts = parts_of(name)
    trained = [part for part in parts if resolve(part)[0].needs_weights]
    if weights is not None and len(parts) > 1 and len(trained) != 1:
        raise UsageError(f"{name}: it is not clear for which of them {weights} is. Give --weights with one model only.")
    return [(part, weights if len(parts) == 1 or part in trained else None) for part in parts]


def load_flow(
    name: str, device: str | torch.device = "cpu", *, weights: str | PathLike[str] | None = None
) -> FlowEstimator:
    """The flow estimator that `name` means. Arguments and errors as of `load`."""
    row, _ = resolve(name)
    if row.task != "flow":
        there = ", ".join(other.name for other in systems() if other.task == "flow")
        raise UsageError(f"{row.name} is no estimator of flow. These are: {there}.")
    model: FlowEstimator = _load(name, device, weights)
    return model


def load_propagator(
    name: str, device: str | torch.device = "cpu", *, weights: str | PathLike[str] | None = None
) -> Propagator:
    """What carries labels along a film, by its name. Arguments and errors as of `load`."""
    row, _ = resolve(name)
    if row.task != "propagate":
        there = ", ".join(other.name for other in systems() if other.task == "propagate")
        raise UsageError(f"{row.name} carries no labels along a film. These do: {there}.")
    model: Propagator = _load(name, device, weights)
    return model


def load_generative(
    name: str, device: str | torch.device = "cpu", *, weights: str | PathLike[str] | None = None
) -> GenerativeModel:
    """The model of pictures that `name` means. Arguments and errors as of `load`."""
    row, _ = resolve(name)
    if row.task != "generate":
        there = ", ".join(other.name for other in systems() if other.task == "generate")
        raise UsageError(f"{row.name} makes no pictures of its own. These do: {there}.")
    model: GenerativeModel = _load(name, device, weights)
    return model


def load_classifier(
    name: str, device: str | torch.device = "cpu", *, weights: str | PathLike[str] | None = None
) -> Classifier:
    """The classifier that `name` means. Arguments and errors as of `load`."""
    row, _ = resolve(name)
    if row.task != "classify":
        there = ", ".join(other.name for other in systems() if other.task == "classify")
        raise UsageError(f"{row.name} does not say what a picture shows. These do: {there}.")
    model: Classifier = _load(name, device, weights)
    return model


def _load(
    name: str, device: str | torch.device, weights: str | PathLike[str] | None, effort: float | None = None
) -> Any:
    row, variant = resolve(name)
    check_effort(row, effort)
    place = read_device(device)
    model = _build(row, variant, place, effort)
    if weights is None and not row.needs_weights:
        return model
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"{row.name} has no weights to load: leave out {weights}.")
    path = find_weights(name, weights)
    assert path is not None
    state = load_state(path, device=place)
    if reason := _misfit(state, model.state_dict()):
        raise ModelError(f"{path} does not fit {row.name}/{variant}: {reason}. Weights of another model, or variant?")
    model.load_state_dict(state)
    return model


def _misfit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Why tensors are not those of a model, "" if they are: how many, and one of them, for there may be hundreds."""
    kinds = {
        "missing": [name for name in wanted if name not in found],
        "unknown": [name for name in found if name not in wanted],
        "of another shape": [name for name in wanted if name in found and found[name].shape != wanted[name].shape],
    }
    said = [
        f"{len(names)} tensors are {kind} ({names[0]}{', …' * (len(names) > 1)})"
        for kind, names in kinds.items()
        if names
    ]
    return ", ".join(said)


def quicken(model: Model) -> Model:
    """The same model, its weights laid out channels last: up to a fifth faster, the same results up to rounding.

    For computing only: weights that are not contiguous cannot be saved as they are.
    """
    if isinstance(model, torch.nn.Module):
        for weight in model.parameters():
            if weight.ndim == 4:  # Module.to fails where there are weights of 3-D convolutions among them
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return model


def build(name: str, device: str | torch.device = "cpu", *, effort: float | None = None) -> Synthesizer:
    """The system without its weights, as initialised: for training and for tests. Raises UsageError as `load` does."""
    row, variant = resolve(name)
    check_effort(row, effort)
    return _build(row, variant, read_device(device), effort)


def _build(row: System, variant: str, device: torch.device, effort: float | None) -> Synthesizer:
    made = _import(row)
    parts = {argument: _load(system, device, None) for argument, system in row.parts.items()}
    asked = {} if effort is None else {"effort": effort}
    model: Synthesizer = made(**{**row.variants[variant], **parts, **asked})
    if isinstance(model, torch.nn.Module):
        model.to(device).eval()  # in place
    return model


def build_clip_model(name: str, settings: Mapping[str, Any]) -> ClipModel:
    """A network for one clip, with random weights, by the keyword arguments of its class.

    Raises UsageError for a name that is none or is of another kind, and for settings that cannot be meant.
    """
    row = resolve(name)[0]
    if row.task != "fit":
        there = ", ".join(other.name for other in systems() if other.task == "fit")
        raise UsageError(f"{row.name} is not fitted to a clip. These are: {there}.")
    model: ClipModel = _import(row)(**settings).eval()
    return model


def _import(row: System) -> Any:
    module, _, attribute = row.target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"{row.name}: {row.target} cannot be imported ({error}).") from error


def find_weights(name: str, weights: str | PathLike[str] | None = None) -> Path | None:
    """The file that `load(name, weights=weights)` reads, None if there is nothing to load. Raises as `load` does."""
    row, variant = resolve(name)
    if weights is None and not row.needs_weights:
        return None
    return _own_or_published(row, variant) if weights is None else locate(weights)


def find_card(name: str) -> Weights:
    """The card that `name` means: the card's own name, or a model's, with or without a variant.

    Raises UsageError for an unknown name and for a system that has no weights, ModelError if none are published.
    """
    if any(name in row.cards for row in systems()):
        return card(name)
    row, variant = resolve(name)
    if not row.needs_weights:
        raise UsageError(f"{row.name} needs no weights: there is nothing to get.")
    for found in map(card, row.cards):
        if variant in found.variants:
            return found
    if row.cards:
        there = ", ".join(variant for name in row.cards for variant in card(name).variants)
        raise ModelError(f"{row.name}/{variant} has no weights; those of {row.name} fit its variants {there}.")
    raise ModelError(
        f"{row.name}/{variant} has no published weights to pull. Train it, then keep the file as {_own(row)}."
    )


def find_remark(name: str, weights: str | PathLike[str] | None = None) -> str:
    """What a user must know of the weights that `load(name, weights=weights)` reads; "" mostly."""
    return " ".join(filter(None, (_remark(part, given) for part, given in weights_of(name, weights))))


def _remark(name: str, weights: str | PathLike[str] | None) -> str:
    row, variant = resolve(name)
    if weights is not None or not row.needs_weights or _takes_own(row):
        return ""
    return find_card(f"{row.name}/{variant}").remark


def _own_or_published(row: System, variant: str) -> Path:
    return _own(row) if _takes_own(row) else locate(find_card(f"{row.name}/{variant}"))


def _takes_own(row: System) -> bool:
    """What the user trained goes before what we did, not before what the authors published or comes along."""
    return row.weights in ("none", "repo") and _own(row).is_file()


def _own(row: System) -> Path:
    """Where the user keeps what he trained himself."""
    return home() / f"{row.name}.safetensors"


def read_device(device: str | torch.device) -> torch.device:
    """Raises UsageError for a name that is none, or of a device that is not there."""
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"No device is called {device!r}: use cpu, cuda or cuda:1.") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("This machine has no usable CUDA device: use --device cpu.")
    return place
