"""What is published about ConvLSTM: parameters, no biases, scheduled sampling, reading its own frames."""

import pytest
import torch
from networks import count, drifting_batch, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.convlstm import ConvLSTM

TINY = find("convlstm").variants["tiny"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return ConvLSTM(**TINY).eval()


@pytest.mark.parametrize("name", ["convlstm", "convlstm-s"])
def test_parameters_are_those_of_the_catalogue(name):
    row = find(name)
    with torch.device("meta"):
        assert count(ConvLSTM(**row.variants[row.default])) == row.params
        assert count(ConvLSTM(**row.variants["tiny"])) < 300_000


@pytest.mark.parametrize(("variant", "published"), [("base", 15.0), ("large", 33.7)])
def test_parameters_are_the_published_ones_less_those_that_nothing_reads(variant, published):
    """Published in millions, cut off: each cell there owns a 5×5 and a 1×1 convolution from 2 memories to 1, unused."""
    with torch.device("meta"):
        net = ConvLSTM(**find("convlstm").variants[variant])
    unused = sum(2 * cell.hidden**2 * (25 + 1) for cell in net.layers)
    assert int((count(net) + unused) / 1e5) / 10 == published
    assert not any(name.endswith("bias") for name, _ in net.named_parameters())


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_of_grey_and_of_colour(channels):
    net = ConvLSTM(**TINY, channels=channels).eval()
    state = net.prepare(torch.rand(2, 3, channels, 32, 40))
    assert net.render(state, 2).shape == (2, channels, 32, 40)
    assert [tuple(memory.cell.shape) for memory in state["memory"]] == [(2, 8, 8, 10)] * 2


def test_what_it_made_is_read_as_if_it_had_been_seen(net):
    """The frame at 3 is the frame at 1 of a network that has seen two frames more, those it made itself."""
    frames = torch.rand(1, 3, 1, 32, 32)
    state = net.prepare(frames)
    made = [net.render(state, t) for t in (1, 2, 3)]
    longer = ConvLSTM(**{**TINY, "inputs": 5}).eval()
    longer.load_state_dict(net.state_dict())
    seen = torch.cat([frames, made[0][:, None], made[1][:, None]], 1)
    assert torch.allclose(longer(seen, 1), made[2], atol=1e-6)


def test_times_can_be_asked_for_in_any_order_and_mixed(net):
    frames = torch.rand(2, 3, 1, 32, 32)
    late, early = net.prepare(frames), net.prepare(frames)
    assert torch.equal(net.render(late, 4), [net.render(early, t) for t in (1, 2, 3, 4)][-1])
    mixed = net.render(net.prepare(frames), torch.tensor([1.0, 3.0]))
    assert torch.equal(mixed, torch.stack([net.render(early, 1)[0], net.render(early, 3)[1]]))


def test_the_loss_free_running_is_that_of_what_is_rendered(net):
    batch = drifting_batch()
    state = net.prepare(batch.frames)
    errors = [(net.render(state, t) - batch.targets[:, t - 1]).square() for t in (1, 2)]
    parts = net.loss(batch)
    assert torch.allclose(parts["mse"], torch.stack(errors).sum((2, 3, 4)).mean(), rtol=1e-5)
    past = []
    for known in (1, 2):  # the frames after the first of the past are to be made, too
        shorter = ConvLSTM(**{**TINY, "inputs": known}).eval()
        shorter.load_state_dict(net.state_dict())
        past.append((shorter(batch.frames[:, :known], 1) - batch.frames[:, known]).square())
    assert torch.allclose(parts["loss"], torch.stack(past + errors).mean(), rtol=1e-5)


def test_true_frames_are_read_ever_more_rarely(net):
    assert not net._known(100, 50).any()  # not in training
    net.train()
    shares = []
    for batches in (0, 5, 10, 20, 30):  # of 20
        net.batches.fill_(batches)
        assert torch.equal(net._known(100, 50), net._known(100, 50))  # the number of the batch decides
        shares.append(net._known(100, 50).float().mean().item())
    assert shares == pytest.approx([1, 0.75, 0.5, 0, 0], abs=0.03) and shares[0] == 1 and shares[-1] == 0


def test_batches_are_counted_in_training_only_and_saved(net):
    net.loss(drifting_batch())
    assert net.batches == 0
    net.train()
    net.loss(drifting_batch())
    assert net.state_dict()["batches"] == 1


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(bf16):
    torch.manual_seed(0)
    losses = train_a_little(ConvLSTM(**TINY), drifting_batch(), steps=25, rate=1e-2, bf16=bf16)
    assert losses[-1] < 0.5 * losses[0]


def test_every_parameter_gets_a_finite_gradient(net):
    net.loss(drifting_batch())["loss"].backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
        assert parameter.grad.abs().max() > 0, name


def test_what_does_not_fit_is_refused(net):
    state = net.prepare(torch.rand(1, 3, 1, 32, 32))
    for t in (0, 5, 1.5):
        with pytest.raises(ContractError, match="renders only t = 1, 2, 3, 4"):
            net.render(state, t)
    with pytest.raises(ContractError, match="keeps the size"):
        net.render(state, 1, (64, 64))
    with pytest.raises(ContractError, match="reads 3 frames of 1 channels"):
        net.prepare(torch.rand(1, 3, 3, 32, 32))
    with pytest.raises(ContractError, match="multiples of 4"):
        net.prepare(torch.rand(1, 3, 1, 30, 32))
    batch = drifting_batch()
    with pytest.raises(ContractError, match=r"next frames in order, at 1 … 2"):
        net.loss(type(batch)(batch.frames, batch.times, batch.targets, batch.target_times + 1))
    with pytest.raises(ContractError, match="looks 4 frames ahead; the batch has 5"):
        net.loss(drifting_batch(targets=5))
    with pytest.raises(ContractError, match="differ"):
        net.loss(type(batch)(batch.frames, batch.times, batch.targets[..., :16], batch.target_times))
    for wrong in ({"widths": ()}, {"channels": 2}, {"horizon": 0}, {"sampling": 0}):
        with pytest.raises(UsageError):
            ConvLSTM(**{**TINY, **wrong})
