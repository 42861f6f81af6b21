"""What is published about PWC-Net: sizes, and what its flow means."""

import pytest
import torch

from midframe.errors import ContractError, UsageError
from midframe.nn.pwc import PWCNet

TINY = {"widths": (4, 4, 4, 8, 8, 8), "decoder": (8, 8, 8, 4, 4), "md": 2}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture
def net():
    torch.manual_seed(0)
    return PWCNet(**TINY).eval()


def lively(net):
    """Layers that say flow begin near 0; with larger weights the answers of random networks differ visibly."""
    for head in (*(decoder.flow for decoder in net.decoders), net.context[-1]):
        torch.nn.init.normal_(head.weight, std=0.003)
    return net


@pytest.mark.parametrize(("unused", "parameters"), [(False, 9_374_274), (True, 9_374_340)])
def test_parameters_are_the_published_ones(unused, parameters):
    with torch.device("meta"):
        assert count(PWCNet(unused_upflow=unused)) == parameters


def test_what_nothing_reads_does_not_learn():
    net = PWCNet(**TINY, unused_upflow=True)
    assert [name for name, value in net.named_parameters() if not value.requires_grad] == [
        "upflow2.weight",
        "upflow2.bias",
    ]
    net.flow(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)).square().sum().backward()
    assert all((value.grad is not None) == value.requires_grad for value in net.parameters())


@pytest.mark.parametrize("fit", ["resize", "pad"])
@pytest.mark.parametrize("size", [(64, 128), (48, 70), (65, 64)])
def test_flow_has_the_frames_size(fit, size):
    net = PWCNet(**TINY, fit=fit).eval()
    with torch.no_grad():
        flow = net.flow(torch.rand(2, 3, *size), torch.rand(2, 3, *size))
    assert flow.shape == (2, 2, *size) and flow.isfinite().all()


def test_both_ways_to_fit_agree_where_nothing_has_to_be_fitted(net):
    other = PWCNet(**TINY, fit="pad").eval()
    other.load_state_dict(net.state_dict())
    frames = torch.rand(2, 3, 64, 128)
    with torch.no_grad():
        assert torch.equal(net.flow(*frames.split(1)), other.flow(*frames.split(1)))


def test_a_flow_of_one_unit_is_twenty_pixels_scaled_back_with_the_frames(net):
    for decoder in net.decoders:
        torch.nn.init.zeros_(decoder.flow.weight)
    torch.nn.init.zeros_(net.context[-1].weight)
    with torch.no_grad():
        net.context[-1].bias.copy_(torch.tensor([1.0, -0.5]))
        flow = net.flow(torch.rand(1, 3, 48, 32), torch.rand(1, 3, 48, 32))  # enlarged to 64 × 64
    wanted = torch.tensor([20.0 * 32 / 64, -10.0 * 48 / 64]).view(1, 2, 1, 1)
    assert torch.allclose(flow, wanted.expand_as(flow), atol=1e-4)


def test_a_mean_is_taken_off_the_frames(net):
    other = PWCNet(**TINY, mean=(0.2, 0.3, 0.4)).eval()
    lively(other).load_state_dict(lively(net).state_dict())
    frames, mean = torch.rand(2, 3, 64, 64), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    with torch.no_grad():
        assert torch.allclose(other.flow(*frames.split(1)), net.flow(*(frames - mean).split(1)), atol=1e-4)


def test_a_batch_is_its_members(net):
    frames = torch.rand(2, 2, 3, 64, 64)
    with torch.no_grad():
        both = lively(net).flow(frames[0], frames[1])
        alone = torch.cat([net.flow(frames[0, k : k + 1], frames[1, k : k + 1]) for k in range(2)])
    assert both.std() > 1e-3
    assert torch.allclose(both, alone, atol=1e-4)


def test_flow_stays_in_float32_under_autocast(net):
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert net.flow(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)).dtype == torch.float32


def test_it_learns_a_shift():
    torch.manual_seed(0)
    net = PWCNet(widths=(8, 8, 12, 12, 12, 12), decoder=(16, 16, 12, 8, 8), md=2)
    wide = torch.nn.functional.interpolate(torch.rand(2, 3, 16, 16), (64, 72), mode="bicubic")
    frame0, frame1 = wide[..., :64], wide[..., 4:68]  # the picture moves 4 pixels to the left
    wanted = torch.tensor([-4.0, 0.0]).view(1, 2, 1, 1)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    errors = []
    for _ in range(12):
        error = (net.flow(frame0, frame1) - wanted).abs().mean()
        errors.append(error.item())
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    assert errors[-1] < 0.5 * errors[0]
    assert all(value.grad.isfinite().all() for value in net.parameters())


def test_wrong_frames_and_settings_are_refused(net):
    with pytest.raises(ContractError, match="two RGB frames"):
        net.flow(torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64))
    with pytest.raises(ContractError, match="of one size"):
        net.flow(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 128))
    with pytest.raises(UsageError, match="six widths"):
        PWCNet(widths=(4, 4))
