"""What the paper fixes about CAIN: its parameters and their names, folding, attention, one time only."""

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models.cain import CAIN, Attention, from_official
from midframe.models.catalogue import find

TINY = find("cain").variants["tiny"]
TINY_S = find("cain-s").variants["tiny"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return CAIN(**TINY)


@pytest.mark.parametrize("name", ["cain", "cain-s"])
def test_parameters_are_those_of_the_catalogue(name):
    row = find(name)
    with torch.device("meta"):
        assert count(CAIN(**row.variants["base"])) == row.params
        assert count(CAIN(**row.variants["tiny"])) < 300_000


def test_parameters_are_the_published_ones():
    assert find("cain").params == 42_780_432
    assert find("cain-s").params <= 7_000_000


def test_names_and_shapes_are_those_of_the_authors_files():
    net = "encoder.interpolate"
    wanted = {f"{net}.headConv": (192, 384, 3, 3), f"{net}.tailConv": (192, 192, 3, 3)}
    for g in range(5):
        for b in range(12):
            block = f"{net}.body.{g}.body.{b}.body"
            wanted |= {f"{block}.{k}.conv": (192, 192, 3, 3) for k in (0, 2)}
            wanted |= {f"{block}.3.conv_du.0": (12, 192, 1, 1), f"{block}.3.conv_du.2": (192, 12, 1, 1)}
        wanted[f"{net}.body.{g}.body.12.conv"] = (192, 192, 3, 3)
    with torch.device("meta"):
        state = CAIN().state_dict()
    assert len(state) == 2 * len(wanted) == 494
    for name, shape in wanted.items():
        assert tuple(state[f"{name}.weight"].shape) == shape
        assert tuple(state[f"{name}.bias"].shape) == shape[:1]


def test_the_authors_checkpoint_fits(net):
    net.load_state_dict(from_official({f"module.{name}": tensor for name, tensor in net.state_dict().items()}))


def zero_tail(model):
    for parameter in model.encoder.interpolate.tailConv.parameters():
        torch.nn.init.zeros_(parameter)


def test_a_silent_network_gives_the_average_of_the_means(net):
    zero_tail(net)
    frames = torch.rand(1, 2, 3, 32, 40) * 1.4 - 0.2  # beyond [0, 1], as video frames may be
    wanted = frames.mean((1, 3, 4)).view(1, 3, 1, 1).expand(1, 3, 32, 40)
    assert torch.allclose(net(frames), wanted, atol=1e-6)


def test_a_fresh_network_with_residual_gives_the_blend_and_learns_in_every_parameter():
    torch.manual_seed(0)
    model = CAIN(**TINY_S)
    frames = torch.rand(1, 2, 3, 32, 40) * 1.4 - 0.2
    assert torch.allclose(model(frames), frames.mean(1), atol=1e-6)
    train_a_little(model, moving_batch(32), steps=1)
    model.loss(moving_batch(32))["loss"].backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_brightness_of_either_frame_moves_the_answer_by_half_of_it(net):
    frames = torch.rand(1, 2, 3, 32, 32)
    brighter = frames.clone()
    brighter[:, 1] += 0.3
    assert torch.allclose(net(brighter), net(frames) + 0.15, atol=1e-5)


def test_the_tail_writes_each_pixel_of_a_block_by_a_channel_of_its_own(net):
    zero_tail(net)
    tail, fold = net.encoder.interpolate.tailConv, net.encoder.fold
    with torch.no_grad():
        tail.bias[1 * fold**2 + 2 * fold + 3] = 1.0  # green, row 2, column 3
    frames = torch.zeros(1, 2, 3, 4 * fold, 4 * fold)
    expected = torch.zeros(3, 4, fold, 4, fold)
    expected[1, :, 2, :, 3] = 1
    assert torch.equal(net(frames)[0], expected.reshape(3, 4 * fold, 4 * fold))


def test_attention_scales_each_channel_by_one_number():
    torch.manual_seed(0)
    attention = Attention(32, 16)
    x = torch.randn(2, 32, 5, 7)
    scales = attention(x) / x
    assert torch.allclose(scales, scales[..., :1, :1].expand_as(scales), atol=1e-5)
    assert bool(((scales > 0) & (scales < 1)).all())
    hidden = attention.conv_du[0](x.mean((2, 3), keepdim=True)).relu()
    assert torch.allclose(scales[..., :1, :1], attention.conv_du[2](hidden).sigmoid(), atol=1e-5)


def test_only_the_middle_of_frames_that_fit_is_rendered(net):
    frames = torch.rand(1, 2, 3, 32, 32)
    with pytest.raises(ContractError, match="renders only t = 1/2"):
        net(frames, 0.25)
    with pytest.raises(ContractError, match="keeps the size"):
        net.render(net.prepare(frames), 0.5, (64, 64))
    with pytest.raises(ContractError, match="multiples of 8, at least 16"):
        net.prepare(torch.rand(1, 2, 3, 36, 32))
    with pytest.raises(ContractError, match="multiples of 8, at least 16"):
        net.prepare(torch.rand(1, 2, 3, 8, 32))
    batch = moving_batch(32)
    with pytest.raises(ContractError, match="differ"):
        net.loss(type(batch)(batch.frames, batch.times, batch.targets[..., :16], batch.target_times))
    with pytest.raises(ContractError, match="renders only t = 1/2"):
        net.loss(moving_batch(32, times=(0.25,)))


@pytest.mark.parametrize("wrong", [{"fold": 0}, {"groups": 0}, {"blocks": 0}, {"reduction": 0}, {"width": 8}])
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError, match="CAIN: fold"):
        CAIN(**{**TINY, "reduction": 16, **wrong})


@pytest.mark.parametrize("settings", [TINY, TINY_S], ids=["cain", "cain-s"])
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(settings, bf16):
    torch.manual_seed(0)
    losses = train_a_little(CAIN(**settings), moving_batch(32), steps=12, bf16=bf16)
    assert losses[-1] < 0.8 * losses[0]


def test_the_loss_is_l1_of_what_is_rendered(net):
    batch = moving_batch(32)
    wanted = (net(batch.frames) - batch.targets[:, 0]).abs().mean()
    assert torch.allclose(net.loss(batch)["loss"], wanted)


@pytest.mark.parametrize("settings", [TINY, TINY_S], ids=["cain", "cain-s"])
def test_every_parameter_gets_a_finite_gradient(settings):
    torch.manual_seed(0)
    model = CAIN(**settings)
    model.loss(moving_batch(32))["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


def test_a_batch_of_two_is_its_members(net):
    frames = torch.rand(2, 2, 3, 32, 32)
    assert torch.allclose(net(frames), torch.cat([net(frames[:1]), net(frames[1:])]), atol=1e-6)
