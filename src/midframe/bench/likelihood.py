"""How likely pictures are under a generative model: upper bounds of −ln p(x), in nats a picture; lower is better.

MNIST as the literature has it: the 10,000 pictures of the test set, made black and white once by drawing each pixel
with its grey value as probability. The drawing of Salakhutdinov and Murray 2008, which many published figures are of,
is in no package; ours is another one of the same kind, from a fixed seed, so that figures agree to about a nat.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from midframe.data.mnist import draw_binary, read_mnist
from midframe.errors import UsageError
from midframe.losses.likelihood import average_weights
from midframe.types import GenerativeModel

SEED = 1  # of the black and white test set, and of what a model draws
BATCH = 100  # pictures, or vectors drawn for them, that are computed together
CHUNK = 50  # vectors drawn for a picture at a time


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Means over `count` pictures, nats: the bound of −ln p(x); its two halves (None for several samples a picture);
    and the standard error of the bound's mean."""

    bound: float
    error: float
    count: int
    reconstruction: float | None = None
    divergence: float | None = None


def binary_mnist(count: int | None = None) -> Float[Tensor, "n 1 28 28"]:
    """The first `count` pictures of the test set, all by default, in black and white: 0 and 1, always the same.

    Raises UsageError for no pictures or more than there are, InputError if MNIST is not here.
    """
    pictures, _ = read_mnist("test")
    if count is not None and not 1 <= count <= len(pictures):
        raise UsageError(f"the test set has {len(pictures)} pictures; {count} of them cannot be measured.")
    binary = draw_binary(pictures, np.random.default_rng(SEED))[:count]
    return torch.from_numpy(binary)[:, None]


def score_likelihood(
    model: GenerativeModel,
    pictures: Float[Tensor, "n 1 h w"],
    *,
    samples: int = 1,
    device: torch.device | str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> Likelihood:
    """The bound of a model whose network is on `device`.

    samples      vectors drawn for a picture: with 1 it is the negative evidence lower bound, whose divergence is known
                 in closed form; with more the importance weighted bound (Burda et al. 2016), which comes down towards
                 −ln p(x) and takes so many times as long
    on_progress  called with pictures done, and in all

    Raises UsageError for no pictures or no samples.
    """
    if len(pictures) < 1 or samples < 1:
        raise UsageError(f"a likelihood needs 1 picture and 1 sample or more, not {len(pictures)} and {samples}.")
    generator = torch.Generator().manual_seed(SEED)
    size = BATCH if samples == 1 else max(1, BATCH // samples)
    bounds, halves = [], []
    with torch.no_grad():
        for part in torch.split(pictures, size):
            x = part.to(device)
            if samples == 1:
                both = torch.stack(model.bound(x, generator), 1).double().cpu()
                halves.append(both)
                bounds.append(both.sum(1))
            else:
                counts = [min(CHUNK, samples - first) for first in range(0, samples, CHUNK)]
                weights = [model.log_weights(x, count, generator).double().cpu() for count in counts]
                bounds.append(-average_weights(torch.cat(weights, 1)))
            if on_progress:
                on_progress(sum(map(len, bounds)), len(pictures))
    bound = torch.cat(bounds)
    error = float(bound.std(correction=0)) / math.sqrt(len(bound))
    means = torch.cat(halves).mean(0).tolist() if halves else [None, None]
    return Likelihood(float(bound.mean()), error, len(bound), *means)
