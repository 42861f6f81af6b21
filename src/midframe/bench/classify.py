"""How well a classifier of digits knows what it sees, and how well it knows that; the alarm if it does not learn.

The test set: MNIST's 10,000 test pictures for ten classes, for a hundred 10,000 pairs of them from a fixed seed. A
classifier whose parameters are drawn answers in three ways: by their means, by one drawing of them, and by the
probabilities of several drawings averaged, which is what a Bayesian means.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from midframe.data.mnist import TwoDigits, read_mnist
from midframe.errors import UsageError
from midframe.types import Classifier

SEED = 1  # of the pairs, and of what is drawn
COUNT = 10_000
BATCH = 200
BINS = 15  # of the calibration error (Guo et al. 2017)
NEAR = 0.1  # nats: a cross entropy no better than chance less this is chance


@dataclass(frozen=True, slots=True)
class Answer:
    """Means over the pictures: share that is right, cross entropy in nats, expected calibration error; 0…1."""

    accuracy: float
    cross_entropy: float
    calibration: float


@dataclass(frozen=True, slots=True)
class Classified:
    """By the mean parameters, by one drawing (the mean over all of them), and by all drawings averaged."""

    mean: Answer
    single: Answer
    averaged: Answer
    draws: int
    count: int


def open_test_set(classes: int, count: int = COUNT) -> tuple[Float[Tensor, "n 1 h w"], Int64[Tensor, " n"]]:
    """Pictures of the test set for 10 or 100 classes, and which they show; always the same.

    Raises UsageError for another number of classes and for no pictures, InputError if MNIST is not here.
    """
    if classes not in (10, 100) or not 1 <= count <= COUNT:
        raise UsageError(f"the test set is 1 to {COUNT} pictures of 10 or 100 classes, not {count} of {classes}.")
    pictures, digits = read_mnist("test")
    if classes == 10:
        return torch.from_numpy(pictures[:count, None]).float() / 255, torch.from_numpy(digits[:count])
    batch = TwoDigits(pictures, digits).sample(torch.Generator().manual_seed(SEED), count)
    return batch.frames[:, 0], batch.labels["class"]


def score_classifier(
    model: Classifier,
    pictures: Float[Tensor, "n 1 h w"],
    truth: Int64[Tensor, " n"],
    *,
    draws: int = 10,
    device: torch.device | str = "cpu",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Classified:
    """What the classifier, whose network is on `device`, knows. Raises UsageError for no pictures or no draws."""
    if len(pictures) < 1 or draws < 1:
        raise UsageError(f"a classifier is measured on 1 picture and draw or more, not {len(pictures)} and {draws}.")
    generator = torch.Generator().manual_seed(SEED)
    means, singles = [], []
    with torch.no_grad():
        for part in torch.split(pictures, BATCH):
            x = part.to(device)
            means.append(F.log_softmax(model.classify(x, sampled=False).double(), 1).cpu())
            drawn = [model.classify(x, generator).double() for _ in range(draws)]
            singles.append(F.log_softmax(torch.stack(drawn), 2).cpu())
            on_progress(sum(map(len, means)), len(pictures))
    each = torch.cat(singles, 1)  # draws N C
    averaged = each.logsumexp(0) - math.log(draws)
    alone = [judge(one, truth) for one in each]
    single = Answer(
        sum(one.accuracy for one in alone) / draws,
        sum(one.cross_entropy for one in alone) / draws,
        sum(one.calibration for one in alone) / draws,
    )
    return Classified(judge(torch.cat(means), truth), single, judge(averaged, truth), draws, len(pictures))


def judge(log_probabilities: Float[Tensor, "n c"], truth: Int64[Tensor, " n"]) -> Answer:
    sure, said = log_probabilities.exp().max(1)
    right = (said == truth).to(sure.dtype)
    entropy = F.nll_loss(log_probabilities, truth)
    return Answer(float(right.mean()), float(entropy), calibration_error(sure, right))


def calibration_error(sure: Float[Tensor, " n"], right: Float[Tensor, " n"], bins: int = BINS) -> float:
    """Expected calibration error, 0…1: how far being sure is from being right, in bins of equal width of the former,
    weighted by how many fall into each (Guo, Pleiss, Sun, Weinberger 2017, arXiv 1706.04599).

    >>> calibration_error(torch.tensor([0.9, 0.9]), torch.tensor([1.0, 0.0]))
    0.4
    """
    place = (sure * bins).ceil().long().clamp(1, bins) - 1
    apart = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, (sure - right).double())
    return round(float(apart.abs().sum()) / len(sure), 9)


def sound_alarm(model: Classifier, cross_entropy: float, pictures: Float[Tensor, "b 1 h w"], rate: float) -> str:
    """What may be wrong with a classifier that has been trained for a while at this rate of Adam, one line; "" if its
    cross entropy, nats, is below chance."""
    chance = math.log(model.classes)
    if cross_entropy < chance - NEAR:
        return ""
    found = ", ".join(f"{name} = {value:.3g}" for name, value in model.examine(pictures, rate).items())
    return f"nothing is learnt: cross entropy {cross_entropy:.3f}, chance is ln {model.classes} = {chance:.3f}; {found}"
