"""Models that tests can be sure of."""

import torch
from torch import nn

from midframe.errors import ContractError
from midframe.types import Contract


class Fade:
    """A cross-fade, brightened by `offset`; counts how often it prepares."""

    def __init__(self, offset=0.0, **contract):
        self.contract = Contract(**contract)
        self.offset, self.prepared = offset, 0

    def prepare(self, frames, generator=None):
        self.prepared += 1
        return frames

    def render(self, state, t, size=None):
        return (1 - t) * state[:, 0] + t * state[:, 1] + self.offset


class Learned(nn.Module):
    """A cross-fade through one 3×3 convolution of `width` channels that changes nothing."""

    contract = Contract(multiple=8)

    def __init__(self, width=3):
        super().__init__()
        self.layer = nn.Conv2d(3, width, 3, padding=1, bias=False)
        nn.init.dirac_(self.layer.weight)

    def prepare(self, frames, generator=None):
        return frames

    def render(self, state, t, size=None):
        return self.layer((1 - t) * state[:, 0] + t * state[:, 1])[:, :3]


class Broken(Fade):
    """Fails as a model may."""

    def render(self, state, t, size=None):
        raise ContractError("It does not like these frames.")


def load(name, device="cpu"):
    torch.manual_seed(0)
    return {"blend": Fade, "dis": lambda: Fade(5 / 255), "dis/fast": Learned, "phase": Broken}[name]()
