"""How far along its way each pixel is: what a time index leaves open, as a map to learn from.

Zhong, Krishnan, Sun, Qiao, Ma, Wang: "Clearer Frames, Anytime: Resolving Velocity Ambiguity in Video Frame
Interpolation", ECCV 2024, arXiv 2311.08007. A thing that gains speed has gone less than half of its way at half of the
time. A network that is told only the time learns the mean of all that may be, which is a blur; one that is told the
distance has nothing to guess.

    D_t(x) = ⟨V_0t, V_01⟩ / |V_01|²      flow from frame 0 to the frame at t, and to frame 1; on the grid of frame 0

The distance leaves the direction open: a thing may bend. With a *reference*, a frame whose distance is known, the way
to go is short and what is left to guess is little; `References` draws one.

Where we differ: flow is that of dense inverse search, not of RAFT. Pixels that hardly move, or whose flow there and
back disagrees, get the time itself, where the authors draw another sample if there is any of them. The authors draw the
reference from all frames of the window, ends included; here it is frame 0, frame 1, the target itself or one other
frame of the gap, each as often.
"""

from dataclasses import replace
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from midframe.data.source import Source
from midframe.data.taught import find_doubt
from midframe.ops.dense_search import DenseSearch
from midframe.types import Batch

STILL: Final = 0.5  # pixels
BLUR: Final = 9  # taps; authors' code, dataset.py
SPREAD: Final = 0.3 * ((BLUR - 1) / 2 - 1) + 0.8  # what OpenCV takes for so many taps


class Distances:
    """The samples of `source`, whose inputs include frames at 0 and 1, with one more label: "distance", B M 1 H W.

    It is 0 where a pixel of frame 0 has not moved yet and 1 where it is as in frame 1. Flow is searched for on the CPU,
    whatever the samples' device.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._search = DenseSearch()

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        batch = self.source.sample(generator, count)
        frame0, frame1 = (batch.frames[:, int((batch.times[0] == end).nonzero())] for end in (0, 1))
        whole = self._search.flow(frame0, frame1)
        lost = find_doubt(whole, self._search.flow(frame1, frame0)) > 0
        maps = []
        for number in range(batch.targets.shape[1]):
            part = self._search.flow(frame0, batch.targets[:, number])
            maps.append(find_distance(part, whole, batch.target_times[:, number].to(part), lost))
        return replace(batch, labels={**batch.labels, "distance": torch.stack(maps, 1)})


class References:
    """One target and one reference for each sample of `source`, which has two targets and labels "distance".

    Labels: "distance", B 1 1 H W, of the target; "reference", B 1 3 H W, a frame, and "reference_distance", B 1 1 H W.
    Labels of the targets other than that, flow for example, must not be there; those of samples (B) stay.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        batch = self.source.sample(generator, count)
        distance = batch.labels["distance"]
        ends = [batch.frames[:, int((batch.times[0] == end).nonzero())] for end in (0, 1)]
        row = torch.arange(count, device=distance.device)
        target = torch.randint(2, (count,), generator=generator).to(row)
        drawn = torch.randint(4, (count,), generator=generator).to(row)
        aims, maps = batch.targets[row, target], distance[row, target]
        frames = torch.stack([*ends, aims, batch.targets[row, 1 - target]], 1)
        whole = torch.zeros_like(maps)
        places = torch.stack([whole, whole + 1, maps, distance[row, 1 - target]], 1)
        return replace(
            batch,
            targets=aims[:, None],
            target_times=batch.target_times[row, target][:, None],
            labels={
                **batch.labels,
                "distance": maps[:, None],
                "reference": frames[row, drawn][:, None],
                "reference_distance": places[row, drawn][:, None],
            },
        )


def find_distance(
    part: Float[Tensor, "b 2 h w"],
    whole: Float[Tensor, "b 2 h w"],
    times: Float[Tensor, " b"],
    lost: Bool[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, "b 1 h w"]:
    """The map in [0, 1], smoothed. `part`, `whole`: flow from frame 0 to the frame at `times` and to frame 1, pixels;
    `lost`: where the time itself is to be taken."""
    length = whole.square().sum(1, keepdim=True)
    still = length < STILL**2
    along = (part * whole).sum(1, keepdim=True) / length.clamp(min=STILL**2)
    unknown = still if lost is None else still | lost
    return _blur(torch.where(unknown, times.view(-1, 1, 1, 1), along.clamp(0, 1)))


def _blur(maps: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    reach = BLUR // 2
    taps = torch.exp(-((torch.arange(BLUR, device=maps.device) - reach) ** 2) / (2 * SPREAD**2)).to(maps.dtype)
    taps = taps / taps.sum()
    padded = F.pad(maps, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))
