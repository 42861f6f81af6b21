"""A fitted clip as a file: the network that shows one clip at any time, and what is told of the clip beside it.

What is in the file: the parameters, in 8 bits if wanted; the buffers as they are, for a few of their numbers may say
everything of a clip; and, as JSON, which system it is, with which settings.
"""

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from midframe.errors import ModelError, OutputError, UsageError
from midframe.files import replacing
from midframe.models.load import build_clip_model
from midframe.types import ClipModel

FORMAT = "midframe fit 1"
FORMATS = (FORMAT, "midframe time-to-image 1")  # the second was written while time-to-image was the only system


@dataclass(frozen=True, slots=True)
class Fit:
    """What a file says of the clip beside the weights.

    settings  of the system's class
    start     seconds at which the clip's first frame is shown; rate: frames a second, its mean if it varies
    source    name of the clip's file
    figures   what was measured: "seen" and so on, dB
    system    a name of `midframe models`
    """

    settings: dict[str, Any]
    start: Fraction
    rate: Fraction
    source: str
    figures: dict[str, float]
    system: str = "time-to-image"


def quantise(
    weight: Float[Tensor, "n ..."],
) -> tuple[UInt8[Tensor, "n ..."], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """(codes, least value, step): eight bits, between the least and the greatest value of each output channel."""
    flat = weight.detach().float().flatten(1)
    low = flat.amin(1)
    step = (flat.amax(1) - low) / 255
    codes = ((flat - low[:, None]) / step.clamp(min=1e-12)[:, None]).round().clamp(0, 255)
    return codes.view(weight.shape).to(torch.uint8), low, step


def restore(
    codes: UInt8[Tensor, "n ..."], low: Float[Tensor, " n"], step: Float[Tensor, " n"]
) -> Float[Tensor, "n ..."]:
    """The weights that `quantise` made codes of, to half a step."""
    shape = (-1, *[1] * (codes.ndim - 1))
    return codes.float() * step.view(shape) + low.view(shape)


def save_fit(path: Path, model: nn.Module, fit: Fit, *, bits: Literal[8, 16, 32] = 8) -> None:
    """Write a safetensors file; with 8 bits the weights of layers are quantised, biases have 16. OutputError."""
    tensors: dict[str, Tensor] = {}
    learnt = dict(model.named_parameters())
    for name, value in model.state_dict().items():
        value = value.detach().cpu().contiguous()
        if name not in learnt:
            tensors[name] = value
        elif bits == 8 and value.ndim >= 2:
            tensors[f"{name}.codes"], tensors[f"{name}.low"], tensors[f"{name}.step"] = quantise(value)
        else:
            tensors[name] = value.float() if bits == 32 else value.half()
    about = {"format": FORMAT, **asdict(fit), "start": str(fit.start), "rate": str(fit.rate)}
    try:
        with replacing(path) as file:
            # one key, for the order of several is chance, and equal fits are to be equal files
            file.write(safetensors.torch.save(tensors, {"midframe": json.dumps(about)}))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}).") from error


def load_fit(path: Path) -> tuple[ClipModel, Fit]:
    """The network of a fitted clip, ready to be asked. Raises ModelError if the file is none, or is damaged."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            told = (file.metadata() or {}).get("midframe", "{}")
            names: list[str] = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as safetensors: {error}") from error
    if not any(known in told for known in FORMATS):
        raise ModelError(f"{path} is no clip that `midframe fit` wrote.")
    try:
        about = json.loads(told)
        about.pop("format")
        about |= {name: Fraction(about[name]) for name in ("start", "rate")}
        fit = Fit(**about)
        settings: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fit.settings.items()}
        model = build_clip_model(fit.system, settings)
        state = {}
        for name, value in tensors.items():
            whole = name.removesuffix(".codes")
            if whole != name:
                state[whole] = restore(value, tensors[f"{whole}.low"], tensors[f"{whole}.step"])
            elif not name.endswith((".low", ".step")):
                state[name] = value
        network: Any = model
        network.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, UsageError) as error:
        raise ModelError(f"{path}: what is in it does not fit together ({str(error).splitlines()[0]}).") from error
    return model, fit
