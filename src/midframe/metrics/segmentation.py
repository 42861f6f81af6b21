"""J and F of masks along a film, as the DAVIS-2017 benchmark counts them.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016; Pont-Tuset et
al., "The 2017 DAVIS Challenge", arXiv 1704.00675; details as in davis2017-evaluation (BSD).

Each object of a sequence is judged in every frame but the first, which is given, and the last:

    J   region similarity: |P ∩ G| / |P ∪ G|; 1 where both are empty
    F   contour accuracy: 2PR / (P + R) of precision and recall of boundary pixels. A boundary pixel counts as matched
        if the other boundary is within r = ⌈0.008 · √(H² + W²)⌉ pixels (8 at 854 × 480)

Of each of the two, over an object's frames: mean, recall (share of frames above 0.5) and decay (mean of the first
quarter minus mean of the last). A set's figures are means over all objects of all sequences, not over sequences.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from midframe.errors import UsageError

BOUND = 0.008  # of the picture's diagonal
GOOD = 0.5  # recall counts frames above it
QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one measure, over frames or over objects: 0…1, decay may be negative."""

    mean: float
    recall: float
    decay: float


@dataclass(frozen=True, slots=True)
class ObjectScores:
    """One object of one sequence, frame by frame, first and last left out."""

    sequence: str
    number: int
    region: Float[np.ndarray, " n"]
    contour: Float[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class MaskScores:
    """A set of sequences: means over its objects."""

    region: Summary
    contour: Summary
    objects: int

    @property
    def both(self) -> float:
        """J&F: the mean of the two means."""
        return (self.region.mean + self.contour.mean) / 2


def score_region(found: Bool[np.ndarray, "h w"], truth: Bool[np.ndarray, "h w"]) -> float:
    """J of one object in one frame, 0…1."""
    union = np.logical_or(found, truth).sum()
    return float(np.logical_and(found, truth).sum() / union) if union else 1.0


def score_contour(found: Bool[np.ndarray, "h w"], truth: Bool[np.ndarray, "h w"], *, bound: float = BOUND) -> float:
    """F of one object in one frame, 0…1. `bound` is a share of the diagonal below 1, pixels from 1 on."""
    radius = round(bound) if bound >= 1 else math.ceil(bound * math.hypot(*truth.shape))
    ours, theirs = find_boundary(found), find_boundary(truth)
    counted, wanted = int(ours.sum()), int(theirs.sum())
    if not counted and not wanted:
        return 1.0
    if not counted or not wanted:  # one of precision and recall is 0
        return 0.0
    precision = float((ours & _dilate(theirs, radius)).sum() / counted)
    recall = float((theirs & _dilate(ours, radius)).sum() / wanted)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def find_boundary(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that differ from the one to the right, below, or right below (seg2bmap of the BSDS benchmark).

    The last column looks only down, the last row only to the right, the corner nowhere.
    """
    edge = np.zeros_like(mask)
    here, right, below, across = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1], mask[1:, 1:]
    edge[:-1, :-1] = (here ^ right) | (here ^ below) | (here ^ across)
    edge[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    edge[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return edge


def summarise(values: Float[np.ndarray, " n"]) -> Summary:
    """Mean, recall and decay of one object's frames. Quarters share their ends.

    Raises UsageError for no frames.
    """
    if not len(values):
        raise UsageError("J and F leave out the first and the last frame: a sequence needs 3 or more.")
    ends = (np.round(np.linspace(1, len(values), QUARTERS + 1) + 1e-10) - 1).astype(int)
    first, last = values[ends[0] : ends[1] + 1], values[ends[-2] : ends[-1] + 1]
    return Summary(float(values.mean()), float((values > GOOD).mean()), float(first.mean() - last.mean()))


def score_sequence(
    name: str, found: Iterable[UInt8[np.ndarray, "h w"]], truth: Sequence[UInt8[np.ndarray, "h w"]]
) -> list[ObjectScores]:
    """Of every object of the first true frame; masks hold 0 for the background and numbers of objects.

    found  one mask for each of `truth`; read one at a time

    Raises UsageError for a sequence without objects, of fewer than 3 frames, or with masks of different sizes.
    """
    numbers = [int(n) for n in np.unique(truth[0]) if n] if len(truth) else []
    if not numbers or len(truth) < 3:
        raise UsageError(f"{name}: {len(truth)} masks, {len(numbers)} objects; 3 masks and 1 object are the least.")
    rows: list[list[tuple[float, float]]] = []
    for index, (mask, true) in enumerate(zip(found, truth, strict=True)):
        if mask.shape != true.shape:
            raise UsageError(f"{name}: mask {index} is {mask.shape}, its truth {true.shape} (height, width).")
        if 0 < index < len(truth) - 1:
            pairs = [(mask == n, true == n) for n in numbers]
            rows.append([(score_region(p, g), score_contour(p, g)) for p, g in pairs])
    table = np.array(rows)  # frames, objects, (J, F)
    return [ObjectScores(name, n, table[:, k, 0], table[:, k, 1]) for k, n in enumerate(numbers)]


def average(objects: Sequence[ObjectScores]) -> MaskScores:
    """Means over objects. Raises UsageError for none."""
    if not objects:
        raise UsageError("there are no objects to average over.")
    region, contour = (
        _mean([summarise(values) for values in column])
        for column in ([one.region for one in objects], [one.contour for one in objects])
    )
    return MaskScores(region, contour, len(objects))


def _mean(parts: Sequence[Summary]) -> Summary:
    table = np.array([(one.mean, one.recall, one.decay) for one in parts]).mean(0)
    return Summary(*(float(value) for value in table))


def _dilate(edge: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Everything within `radius` pixels of an edge pixel."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x * x + y * y <= radius * radius).astype(np.uint8)
    return np.asarray(cv2.dilate(edge.astype(np.uint8), disk, borderType=cv2.BORDER_CONSTANT, borderValue=0), bool)
