"""What the paper fixes about SepConv: sizes, names, kernels, the middle only; and that strips change nothing."""

from fractions import Fraction

import pytest
import torch
from networks import count, moving_batch, train_a_little
from tiny_networks import tiny_network

from midframe.errors import ContractError, ModelError, UsageError
from midframe.models import sepconv
from midframe.models.catalogue import find
from midframe.models.load import load
from midframe.models.sepconv import SepConv, from_official

TINY = dict(find("sepconv").variants["tiny"])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return SepConv(**TINY)


@pytest.fixture
def frames():
    return torch.rand(1, 2, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2  # beyond [0, 1], too


def make_constant(net, **kernels):
    """All kernels of a head, "Vertical1" …, are what is given, whatever the frames."""
    for name, values in kernels.items():
        last = net.get_submodule(f"net{name}.7")
        torch.nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(values)


def unsettle(net):
    """Kernels that differ from pixel to pixel, as after training."""
    for name in ("Vertical1", "Vertical2", "Horizontal1", "Horizontal2"):
        torch.nn.init.normal_(net.get_submodule(f"net{name}.7").weight, std=0.1)


@pytest.mark.parametrize(("name", "params"), [("sepconv", 21_675_452), ("sepconv-s", 5_468_236)])
def test_parameters_are_the_published_ones(name, params):
    row = find(name)
    with torch.device("meta"):
        assert count(SepConv(**row.variants["base"])) == row.params == params


def test_names_are_those_of_the_authors_files():
    with torch.device("meta"):
        state = SepConv().state_dict()
    assert len(state) == 2 * (9 * 3 + 4 * 1 + 4 * 4)
    sample = {
        "netConv1.0.weight": (32, 6, 3, 3),
        "netConv5.4.bias": (512,),
        "netDeconv5.2.weight": (512, 512, 3, 3),
        "netUpsample5.1.weight": (512, 512, 3, 3),
        "netDeconv2.0.weight": (64, 128, 3, 3),
        "netUpsample2.1.weight": (64, 64, 3, 3),
        "netVertical1.0.weight": (64, 64, 3, 3),
        "netVertical2.4.weight": (51, 64, 3, 3),
        "netHorizontal1.7.weight": (51, 51, 3, 3),
        "netHorizontal2.7.bias": (51,),
    }
    assert {name: tuple(state[name].shape) for name in sample} == sample


def test_the_authors_checkpoint_gives_in_rgb_what_it_gave_in_bgr(net, frames):
    unsettle(net)
    old = {name.replace("net", "module"): value for name, value in net.state_dict().items()}
    turned = SepConv(**TINY)
    turned.load_state_dict(from_official(old))
    torch.testing.assert_close(turned(frames, 0.5), net(frames.flip(2), 0.5).flip(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("gradient", [False, True])
def test_a_kernel_of_one_gives_its_frame_exactly(net, frames, side, gradient):
    delta = torch.zeros(5)
    delta[2] = 1
    shown, hidden = side + 1, 2 - side
    make_constant(net, **{f"Vertical{shown}": delta, f"Horizontal{shown}": delta})
    make_constant(net, **{f"Vertical{hidden}": 0 * delta, f"Horizontal{hidden}": 0 * delta})
    with torch.set_grad_enabled(gradient):
        assert torch.equal(net(frames, 0.5), frames[:, side])


def test_the_first_tap_is_the_pixel_above_and_before(net, frames):
    delta, above = torch.zeros(2, 5)
    delta[2], above[0] = 1, 1
    make_constant(net, Vertical1=above, Horizontal1=delta, Vertical2=0 * delta, Horizontal2=delta)
    made = net(frames, 0.5)
    assert torch.equal(made[:, :, 2:], frames[:, 0, :, :-2])
    assert torch.equal(made[:, :, :2], frames[:, 0, :, :1].expand(-1, -1, 2, -1))  # the edge is repeated
    make_constant(net, Vertical1=delta, Horizontal1=above)
    assert torch.equal(net(frames, 0.5)[..., 2:], frames[:, 0, ..., :-2])


@pytest.mark.parametrize("settings", [{}, {"divide": True}])
def test_it_begins_with_the_mean_of_both_frames(frames, settings):
    with torch.no_grad():
        made = SepConv(**TINY, **settings)(frames, 0.5)
    assert float((made - frames.mean(1)).abs().max()) < 0.01
    assert not torch.equal(made, frames.mean(1))


def test_divided_kernels_leave_a_flat_picture_as_it_is(net, frames):
    divided = SepConv(**TINY, divide=True)
    divided.load_state_dict(net.state_dict())
    unsettle(divided)
    flat = torch.full_like(frames, 0.7)
    with torch.no_grad():
        torch.testing.assert_close(divided(flat, 0.5), flat[:, 0], atol=1e-4, rtol=0)
    zeros = {name: torch.zeros(5) for name in ("Vertical1", "Vertical2", "Horizontal1", "Horizontal2")}
    make_constant(divided, **zeros)
    assert not divided(flat, 0.5).any()  # nothing is divided by nothing


@pytest.mark.parametrize("strip", [1, 3 * 96, 7 * 96, 1 << 20])
def test_strips_change_nothing(net, frames, strip, monkeypatch):
    unsettle(net)
    monkeypatch.setattr(sepconv, "STRIP", strip)
    whole = net(frames, 0.5)
    with torch.no_grad():
        torch.testing.assert_close(net(frames, 0.5), whole.detach(), atol=1e-5, rtol=0)


def test_the_smallest_frames_have_an_answer(net):
    unsettle(net)
    frames = torch.rand(1, 2, 3, 32, 32)
    with torch.no_grad():
        made = net(frames, Fraction(1, 2))
    torch.testing.assert_close(made, net(frames, 0.5).detach(), atol=1e-5, rtol=0)


def test_kernels_can_be_looked_at(net, frames):
    unsettle(net)
    with torch.no_grad():
        state = net.prepare(frames)
        kernels = net.find_kernels(state)
        made = net.render(state, 0.5)
    assert kernels.shape == (1, 2, 2, 5, 64, 96)
    y, x = 30, 40
    patches = frames[0, ..., y - 2 : y + 3, x - 2 : x + 3]
    v, h = kernels[0, :, 0, :, y, x], kernels[0, :, 1, :, y, x]
    torch.testing.assert_close(torch.einsum("ncij,ni,nj->c", patches, v, h), made[0, :, y, x], atol=1e-5, rtol=1e-5)


def test_members_of_a_batch_do_not_touch_each_other(net, frames):
    unsettle(net)
    other = frames.flip(1)
    with torch.no_grad():
        both = net(torch.cat([frames, other]), 0.5)
        alone = torch.cat([net(frames, 0.5), net(other, 0.5)])
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(net, bf16):
    losses = train_a_little(net, moving_batch(), steps=16, bf16=bf16)
    assert losses[-1] < 0.97 * losses[0]


def test_every_parameter_learns(net):
    net.loss(moving_batch())["loss"].backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert all(g is not None and bool(g.isfinite().all()) and bool(g.abs().sum() > 0) for g in gradients.values())


def test_brightness_survives_sixteen_bit(net, frames):
    with torch.no_grad():
        wanted = net(frames, 0.5)
        with torch.autocast("cpu", torch.bfloat16):
            made = net(frames, 0.5)
    torch.testing.assert_close(made, wanted, atol=1e-3, rtol=0)


def test_looks_are_a_part_of_the_loss_if_asked_for(net):
    batch = moving_batch()
    plain = net.loss(batch)
    assert set(plain) == {"loss", "l1"}
    net.perceive(tiny_network("alex").to(torch.float32), 0.5)
    perceived = net.loss(batch)
    assert set(perceived) == {"loss", "l1", "lpips"}
    assert torch.equal(perceived["l1"], plain["l1"]) and float(perceived["lpips"].detach()) > 0
    perceived["loss"].backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in net.parameters())


def test_mistakes_are_named(net, frames):
    with pytest.raises(UsageError, match="taps must be odd"):
        SepConv(**{**TINY, "taps": 4})
    with pytest.raises(ContractError, match="multiples of 32"):
        net.prepare(frames[..., :48])
    state = net.prepare(frames)
    with pytest.raises(ContractError, match="only t = 1/2"):
        net.render(state, 0.25)
    with pytest.raises(ContractError, match="keeps the size"):
        net.render(state, 0.5, (32, 32))
    with pytest.raises(ContractError, match="only t = 1/2"):
        net.loss(moving_batch(times=(0.25,)))
    batch = moving_batch()
    with pytest.raises(ContractError, match="differ"):
        net.loss(type(batch)(batch.frames, batch.times, batch.targets[..., :32], batch.target_times))


def test_missing_weights_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"sepconv/base has no published weights.*sepconv\.safetensors"):
        load("sepconv")
