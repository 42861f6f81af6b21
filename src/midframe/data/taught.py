"""Labels of flow for real clips, guessed by dense inverse search from the true frame.

What IFRNet's authors did with LiteFlowNet (Kong et al., CVPR 2022, section 3.3): flow from the frame that is to be made
to the two beside it, which may see that frame because it is only used for training.
"""

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from midframe.data.source import Source
from midframe.ops.dense_search import DenseSearch
from midframe.ops.warp import warp
from midframe.types import Batch

APART: Final = (0.5, 0.05)  # pixels, and part of the flow's length, by which there and back may disagree


class Taught:
    """The samples of `source`, whose inputs include frames at 0 and 1, with labels beside its own:

    "flow_t0", "flow_t1"    B M 2 H W, pixels, from each target to the frame at 0 and at 1
    "doubt_t0", "doubt_t1"  B M 1 H W, 1 where that flow and the one back disagree or it leaves the picture, else 0
    "has_flow"              B, 1

    Flow is searched for on the CPU, whatever the samples' device.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._search = DenseSearch()

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        batch = self.source.sample(generator, count)
        targets, labels = batch.targets.shape[1], dict(batch.labels)
        device = batch.frames.device
        for end in (0, 1):
            column = int((batch.times[0] == end).nonzero())
            near = batch.frames[:, column].repeat_interleave(targets, 0)
            target = batch.targets.flatten(0, 1)
            flow, back = self._search.flow(target, near), self._search.flow(near, target)
            for name, value in (("flow", flow), ("doubt", find_doubt(flow, back))):
                labels[f"{name}_t{end}"] = value.view(count, targets, *value.shape[1:])
        labels["has_flow"] = torch.ones(count, device=device)
        return replace(batch, labels=labels)


def find_doubt(flow: Tensor, back: Tensor) -> Tensor:
    """1 where flow and the flow back from where it points do not cancel, or it points out of the picture."""
    inside = warp(torch.ones_like(flow[:, :1]), flow, border="zero")
    apart = (flow + warp(back, flow)).norm(dim=1, keepdim=True)
    limit = APART[0] + APART[1] * flow.norm(dim=1, keepdim=True)
    return ((apart > limit) | (inside < 0.5)).float()
