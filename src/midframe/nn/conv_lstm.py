"""The convolutional LSTM: a memory that is a picture, read and written by convolutions.

Shi, Chen, Wang, Yeung, Wong, Woo: "Convolutional LSTM Network: A Machine Learning Approach for Precipitation
Nowcasting", NeurIPS 2015, arXiv 1506.04214.

    i, f, g, o = convolution([x, h]), 4 · hidden channels
    i, f = σ(i + p_i ∘ c), σ(f + p_f ∘ c)            g = tanh(g)
    c' = f ∘ c + i ∘ g
    h' = σ(o + p_o ∘ c') ∘ tanh(c')

p are the peepholes, 0 unless asked for. The paper gives every place of the picture peepholes of its own, which fixes
the picture's size; here each channel has one of each kind, so that any size can be read.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError


class Memory(NamedTuple):
    """What a cell carries from step to step, both B hidden H W."""

    hidden: Tensor
    cell: Tensor


class ConvLSTMCell(nn.Module):
    """One layer, one step. The memory goes in and out; the object holds parameters only.

    inputs, hidden  channels of what is read and of the memory
    kernel  odd; pictures keep their size, beyond the edge is 0
    bias    of the gates, one for each of 4 · hidden
    peepholes  the gates see the cell, too

    Of the convolution's weights 4·hidden, inputs + hidden, kernel, kernel the blocks of `hidden` rows are i, f, g, o,
    and the first `inputs` columns read x. Raises UsageError for numbers that cannot be meant.
    """

    def __init__(
        self, inputs: int, hidden: int, kernel: int = 3, *, bias: bool = True, peepholes: bool = False
    ) -> None:
        super().__init__()
        if min(inputs, hidden, kernel) < 1 or kernel % 2 == 0:
            raise UsageError(
                f"ConvLSTMCell: channels are 1 or more and the kernel is odd, got {inputs}, {hidden} and {kernel}."
            )
        self.inputs, self.hidden = inputs, hidden
        self.gates = nn.Conv2d(inputs + hidden, 4 * hidden, kernel, padding=kernel // 2, bias=bias)
        self.peepholes = nn.Parameter(torch.zeros(3, hidden, 1, 1)) if peepholes else None  # of i, f, o

    def start(self, x: Float[Tensor, "b c h w"]) -> Memory:
        """The memory before the first step, zeros, for pictures like `x`."""
        nothing = x.new_zeros(x.shape[0], self.hidden, *x.shape[2:])
        return Memory(nothing, nothing)

    def forward(self, x: Float[Tensor, "b c h w"], memory: Memory | None = None) -> Memory:
        """The memory after `x`; `memory` is the one before, None before the first step.

        Raises ContractError if channels or sizes do not fit.
        """
        hidden, cell = self.start(x) if memory is None else memory
        wanted = (x.shape[0], self.hidden, *x.shape[2:])
        if x.shape[1] != self.inputs or hidden.shape != wanted or cell.shape != wanted:
            raise ContractError(
                f"ConvLSTMCell reads {self.inputs} channels with a memory of {self.hidden} of one size, got "
                f"{tuple(x.shape)}, {tuple(hidden.shape)} and {tuple(cell.shape)}."
            )
        i, f, g, o = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
        if self.peepholes is not None:
            i, f = i + self.peepholes[0] * cell, f + self.peepholes[1] * cell
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        if self.peepholes is not None:
            o = o + self.peepholes[2] * cell
        return Memory(torch.sigmoid(o) * torch.tanh(cell), cell)
