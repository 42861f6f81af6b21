"""From a name to a working system: import its file, build the variant, give it its parts and its weights.

Composition happens here and nowhere else, so that model files stay independent of each other.
"""

import importlib
from os import PathLike

import torch

from midframe.errors import ModelError, UsageError
from midframe.models.catalogue import System, resolve
from midframe.types import Synthesizer
from midframe.weights import card, load_state, locate


def load(name: str, device: str | torch.device = "cpu", *, weights: str | PathLike[str] | None = None) -> Synthesizer:
    """The system that `name` means, ready to `prepare` and `render`.

    name     "dis", or "dis/fast" for a variant
    device   where a network is put; a classical method computes on the CPU and answers on its frames' device
    weights  name of a weights card or path of a .safetensors file; None takes the variant's own card

    Raises UsageError for an unknown name or device, ModelError if weights are missing or do not fit.
    """
    row, variant = resolve(name)
    place = _device(device)
    model = _build(row, variant, place)
    if weights is None and not row.needs_weights:
        return model
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"{row.name} has no weights to load: leave out {weights}.")
    path = locate(card(_card_name(row, variant)) if weights is None else weights)
    try:
        model.load_state_dict(load_state(path, device=place))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{path} does not fit {row.name}/{variant}: {reason}") from error
    return model


def build(name: str, device: str | torch.device = "cpu") -> Synthesizer:
    """The system without its weights, as initialised: for training and for tests. Raises UsageError as `load` does."""
    row, variant = resolve(name)
    return _build(row, variant, _device(device))


def _build(row: System, variant: str, device: torch.device) -> Synthesizer:
    module, _, attribute = row.target.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"{row.name}: {row.target} cannot be imported ({error}).") from error
    parts = {argument: load(system, device) for argument, system in row.parts.items()}
    model: Synthesizer = made(**row.variants[variant], **parts)
    if isinstance(model, torch.nn.Module):
        model.to(device).eval()  # in place
    return model


def _card_name(row: System, variant: str) -> str:
    # "rife/base-vimeo" belongs to the variant "base" of "rife"
    for name in row.cards:
        if card(name).variant == variant:
            return name
    raise ModelError(
        f"No trained weights for {row.name}/{variant}. Give a file (weights=PATH) or train it; cards: {row.cards}."
    )


def _device(device: str | torch.device) -> torch.device:
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"No device is called {device!r}: use cpu, cuda or cuda:1.") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("This machine has no usable CUDA device: use --device cpu.")
    return place
