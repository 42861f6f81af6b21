"""The convolutional LSTM is the equations of its paper."""

import pytest
import torch
import torch.nn.functional as F
from networks import count

from midframe.errors import ContractError, UsageError
from midframe.nn.conv_lstm import ConvLSTMCell, Memory


@pytest.fixture(params=[False, True], ids=["plain", "peepholes"])
def cell(request):
    torch.manual_seed(0)
    made = ConvLSTMCell(3, 5, 3, peepholes=request.param)
    if request.param:
        torch.nn.init.normal_(made.peepholes)
    return made


def by_hand(cell, x, memory):
    """The paper's equations (3), each gate with convolutions of its own."""
    h, c = memory
    weights, biases = cell.gates.weight.chunk(4), cell.gates.bias.chunk(4)

    def gate(k):
        own, other = weights[k][:, : cell.inputs], weights[k][:, cell.inputs :]
        return F.conv2d(x, own, biases[k], padding=1) + F.conv2d(h, other, padding=1)

    p = cell.peepholes if cell.peepholes is not None else torch.zeros(3, cell.hidden, 1, 1)
    i, f = (gate(0) + p[0] * c).sigmoid(), (gate(1) + p[1] * c).sigmoid()
    c = f * c + i * gate(2).tanh()
    return Memory((gate(3) + p[2] * c).sigmoid() * c.tanh(), c)


def test_a_step_is_the_papers_equations(cell):
    x = torch.randn(2, 3, 6, 7)
    memory = Memory(torch.randn(2, 5, 6, 7), torch.randn(2, 5, 6, 7))
    for made, wanted in zip(cell(x, memory), by_hand(cell, x, memory), strict=True):
        assert torch.allclose(made, wanted, atol=1e-5)


def test_no_memory_is_a_memory_of_zeros(cell):
    x = torch.randn(2, 3, 6, 7)
    for made, wanted in zip(cell(x), cell(x, cell.start(x)), strict=True):
        assert torch.equal(made, wanted)


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"inputs": 256, "hidden": 256, "kernel": 3}, 4_719_616),  # the layer of Video Pixel Networks
        ({"inputs": 16, "hidden": 64, "kernel": 7}, 1_003_776),  # that of the spatio-temporal video autoencoder
        ({"inputs": 16, "hidden": 128, "kernel": 5, "bias": False}, 1_843_200),
        ({"inputs": 4, "hidden": 8, "kernel": 3, "peepholes": True}, 4 * 8 * (12 * 9 + 1) + 3 * 8),
    ],
)
def test_parameters_are_those_of_the_published_layers(settings, parameters):
    assert count(ConvLSTMCell(**settings)) == parameters


def test_an_open_forget_gate_and_a_shut_input_gate_keep_the_cell():
    cell = ConvLSTMCell(1, 2)
    with torch.no_grad():
        cell.gates.bias[0:2] = -1e4
        cell.gates.bias[2:4] = 1e4
    memory = Memory(torch.zeros(1, 2, 4, 4), torch.randn(1, 2, 4, 4))
    assert torch.equal(cell(torch.randn(1, 1, 4, 4), memory).cell, memory.cell)


def test_what_does_not_fit_is_refused(cell):
    with pytest.raises(ContractError, match="reads 3 channels"):
        cell(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ContractError, match="memory of 5 of one size"):
        cell(torch.zeros(1, 3, 4, 4), cell.start(torch.zeros(1, 3, 5, 5)))
    with pytest.raises(UsageError, match="kernel is odd"):
        ConvLSTMCell(3, 5, 4)
