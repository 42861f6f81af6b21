"""How well the motion of sampled futures is distributed: which motion a picture shows, and the divergence of counts."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from midframe.errors import UsageError

SMOOTHING = 1e-6  # added to each bin's share, so that a motion that never came does not cost infinity
TIE = 1e-4  # squared error, summed over a picture of values in [0, 1], below which two motions look the same


def match_motion(
    made: Float[Tensor, "b c h w"], candidates: Float[Tensor, "*bins c h w"]
) -> tuple[Int64[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Which of the pictures in `candidates` each of `made` is nearest to, and for which of its n parts that is clear.

    candidates  what the picture looks like for each motion of each of n things, on a grid of as many dimensions

    Returns the bin of each thing, that of the smallest squared error of all combinations; and whether no other bin of
    that thing comes as near, whatever the others do: a thing that is hidden has no clear motion. Where things move on
    one picture only inside their own swept areas, this is the comparison inside those.

    Raises UsageError if the sizes of pictures differ.
    """
    bins = candidates.shape[:-3]
    if not bins or made.shape[1:] != candidates.shape[-3:]:
        raise UsageError(f"pictures {tuple(made.shape)} cannot be matched with {tuple(candidates.shape)} (bins C H W).")
    flat = candidates.flatten(0, len(bins) - 1).flatten(1).float()
    # without the expansion of the square, which would lose what tells two near candidates apart
    errors = torch.cdist(made.flatten(1).float(), flat, compute_mode="donot_use_mm_for_euclid_dist").square()
    grid = errors.view(len(made), *bins)
    best, clear = [], []
    for thing in range(len(bins)):
        others = [1 + other for other in range(len(bins)) if other != thing]
        profile = grid.amin(others) if others else grid  # B × bins of this thing: the best that the others can do
        first, *second = profile.topk(min(2, profile.shape[1]), largest=False).values.unbind(1)
        best.append(profile.argmin(1))
        clear.append(second[0] - first > TIE if second else torch.ones_like(first, dtype=torch.bool))
    return torch.stack(best, 1), torch.stack(clear, 1)


def motion_divergence(
    truth: Float[Tensor, "*bins"], counts: Float[Tensor, "*bins"], *, smoothing: float = SMOOTHING
) -> float:
    """KL(truth ‖ counts) of two distributions over the same motions, in nats; 0 is best.

    truth   probabilities, which sum to 1
    counts  how often each motion came; as shares, each with `smoothing` added, then made to sum to 1 again

    A finite number of draws from the truth itself has a divergence of about (bins − 1) / (2 draws). Bins that never
    came cost up to ln 1/smoothing, 13.8 nats, times their probability. Source: Xue et al., "Visual Dynamics", NIPS
    2016, table of KL divergences on Shapes; their smoothing is not published.

    Raises UsageError if shapes differ, the truth is no distribution, or nothing was counted.

    >>> motion_divergence(torch.tensor([0.5, 0.5]), torch.tensor([30.0, 30.0]))
    0.0
    """
    if truth.shape != counts.shape:
        raise UsageError(f"motions of {tuple(truth.shape)} and {tuple(counts.shape)} bins have no divergence.")
    if bool((truth < 0).any()) or abs(float(truth.sum()) - 1) > 1e-6:
        raise UsageError(f"the truth is no distribution: it sums to {float(truth.sum()):g}.")
    if not float(counts.sum()) > 0:
        raise UsageError("no motion was counted: every thing was hidden, or there were no samples.")
    shares = counts.double() / counts.sum() + smoothing
    p, q = truth.double(), shares / shares.sum()
    return float(torch.special.xlogy(p, p / q).sum())
