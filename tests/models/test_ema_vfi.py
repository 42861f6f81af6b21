"""What the paper fixes about EMA-VFI: sizes, names, attention between frames and the motion read from it, losses."""

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.ema_vfi import EMAVFI, Attention, _from_windows, _mask, _to_windows, from_official
from midframe.types import Batch

TINY = find("ema-vfi").variants["tiny"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return EMAVFI(**TINY)


@pytest.mark.parametrize(
    ("name", "parameters"), [("ema-vfi", 65_662_359), ("ema-vfi-s", 14_489_815), ("ema-vfi-xs", 3_642_551)]
)
def test_parameters_are_those_that_the_catalogue_tells(name, parameters):
    row = find(name)
    with torch.device("meta"):
        assert count(EMAVFI(**row.variants["base"])) == row.params == parameters


def test_names_are_those_of_the_authors_files():
    with torch.device("meta"):
        state = EMAVFI().state_dict()
    assert len(state) == 266
    sample = {
        "feature_bone.block1.conv.2.weight": (32, 32, 3, 3),
        "feature_bone.patch_embed3.1.weight": (128,),
        "feature_bone.patch_embed4.layers.0.weight": (32, 128, 3, 3),
        "feature_bone.patch_embed4.layers.2.weight": (32, 64, 3, 3),
        "feature_bone.patch_embed4.layers.6.weight": (32, 32, 3, 3),
        "feature_bone.patch_embed4.proj.weight": (256, 224, 1, 1),
        "feature_bone.block4.1.attn.kv.weight": (512, 256),
        "feature_bone.block4.3.attn.cor_embed.weight": (64, 2),
        "feature_bone.block5.2.attn.motion_proj.weight": (128, 128),
        "feature_bone.block5.3.mlp.dwconv.dwconv.weight": (2048, 1, 3, 3),
        "feature_bone.norm5.bias": (512,),
        "block.0.conv.0.0.weight": (128, 134, 3, 3),
        "block.1.conv.0.0.weight": (128, 81, 3, 3),
        "block.1.conv.2.1.weight": (5,),
        "unet.down0.conv1.0.weight": (128, 81, 3, 3),
        "unet.up0.0.weight": (2048, 512, 4, 4),
        "unet.conv.weight": (3, 64, 3, 3),
    }
    assert {name: tuple(state[name].shape) for name in sample} == sample


def test_the_authors_checkpoint_fits(net):
    stored = {f"module.{name}": tensor for name, tensor in net.state_dict().items()}
    stored["module.feature_bone.block4.1.attn_mask"] = torch.zeros(25, 49, 49)
    stored["module.feature_bone.block4.1.HW"] = torch.zeros(1)
    net.load_state_dict(from_official(stored))


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_any_time_at_any_scale(scale):
    model = EMAVFI(**TINY, scale=scale).eval()
    side = model.contract.minimum
    state = model.prepare(torch.rand(1, 2, 3, side, 2 * side))
    answers = [model.render(state, t) for t in (0.1, 0.5)]
    assert all(answer.shape == (1, 3, side, 2 * side) and answer.isfinite().all() for answer in answers)
    assert not torch.equal(*answers)


def test_a_map_of_one_time_is_that_time(net):
    state = net.prepare(torch.rand(1, 2, 3, 64, 64))
    whole, one = torch.full((1, 1, 64, 64), 0.3), torch.full((1, 1, 1, 1), 0.3)
    for a, b in zip(net.find_flow(state, whole), net.find_flow(state, one), strict=True):
        assert torch.allclose(a[0], b[0], atol=1e-6) and torch.allclose(a[1], b[1], atol=1e-6)


def test_without_flow_and_residual_the_answer_is_the_mean(net):
    for last in (net.block[0].conv[2][0], net.block[1].conv[2][0], net.unet.conv):
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    frames = torch.rand(1, 2, 3, 64, 64) * 1.4 - 0.2  # beyond [0, 1], as video frames may be
    assert torch.allclose(net(frames, 0.3), frames.mean(1), atol=1e-5)
    torch.nn.init.constant_(net.block[0].conv[2][0].bias[4:], 20.0)  # mask: all of frame 0
    assert torch.allclose(net(frames, 0.3), frames[:, 0], atol=1e-5)


def test_attention_that_finds_its_like_knows_where_it_was():
    """49 tokens that differ, the other frame's in another order: each finds its own, and how far it is away."""
    torch.manual_seed(0)
    attention = Attention(49, 6)
    order = torch.randperm(49)
    tokens = torch.eye(49)[None, None]
    with torch.no_grad():
        attention.q.weight.copy_(1000 * torch.eye(49))
        attention.kv.weight.copy_(torch.eye(49).repeat(2, 1))
        attention.proj.weight.copy_(torch.eye(49))
        attention.motion_proj.weight.copy_(torch.eye(6))
        for layer in (attention.q, attention.kv, attention.proj, attention.motion_proj):
            layer.bias.zero_()
        place = torch.rand(1, 1, 49, 2)
        appearance, motion = attention(tokens, tokens[:, :, order], place, None)
    assert torch.allclose(appearance, tokens, atol=1e-5)
    embedded = attention.cor_embed(place)
    assert torch.allclose(motion, embedded[:, :, order.argsort()] - embedded, atol=1e-5)


def test_with_a_span_motion_counts_alike_in_pictures_of_every_size():
    """Attention that finds all alike reads, in a whole window, how far its middle is: in units of the coordinates."""
    torch.manual_seed(0)
    model = EMAVFI(**TINY, span=112).eval()
    for block in model.feature_bone.block4:
        torch.nn.init.zeros_(block.attn.q.weight)
        torch.nn.init.zeros_(block.attn.q.bias)

    def first_window(side):
        return model.prepare(torch.rand(1, 2, 3, side, side))["seen"]["motion"][0][0][..., :7, :7]

    small, large = first_window(224), first_window(448)
    assert torch.allclose(small, large, atol=1e-5)
    model.feature_bone.span = None
    assert torch.allclose(first_window(224) * 27, first_window(448) * 55, atol=1e-4)  # 28 and 56 places at 1/8


def test_windows_come_back_as_they_were():
    maps = torch.rand(2, 14, 21, 3)
    windows = _to_windows(maps)
    assert windows.shape == (2, 6, 49, 3)
    assert torch.equal(windows[0, 1], maps[0, :7, 7:14].flatten(0, 1))
    assert torch.equal(_from_windows(windows, 14, 21), maps)


def test_the_picture_does_not_look_at_its_margins():
    assert _mask(14, 21, 0, 0, 0, torch.device("cpu")) is None
    mask = _mask(5, 7, 1, 0, 0, torch.device("cpu"))  # a margin of one row above and one below
    rows = torch.arange(49) // 7
    inside = (rows >= 1) & (rows < 6)
    assert mask.shape == (1, 1, 49, 49)
    assert (mask[0, 0, inside][:, inside] == 0).all() and (mask[0, 0, inside][:, ~inside] == -100).all()


def test_what_a_shift_brings_together_does_not_meet():
    mask = _mask(14, 14, 0, 0, 3, torch.device("cpu"))[:, 0]
    assert (mask[0] == 0).all()  # the first of four windows lies whole in the picture
    rows, columns = torch.arange(49) // 7, torch.arange(49) % 7
    region = 2 * (rows >= 4).long() + (columns >= 4).long()
    assert torch.equal(mask[3] == 0, region[:, None] == region)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"scale": 0.7}, "scale is 0.25"),
        ({"width": 1}, "width is at least 2"),
        ({"span": 16}, "span is at least 32"),
        ({"depths": (2, 2, 2, 0, 2)}, "1 deep or more"),
        ({"depths": (2, 2, 2, 3, 2)}, "do not divide"),
    ],
)
def test_wrong_settings_are_refused(settings, complaint):
    with pytest.raises(UsageError, match=complaint):
        EMAVFI(**{**TINY, **settings})


def test_wrong_frames_are_refused(net):
    with pytest.raises(ContractError, match="multiples of 32"):
        net.prepare(torch.rand(1, 2, 3, 48, 64))
    batch = moving_batch(64)
    with pytest.raises(ContractError, match="differ"):
        net.loss(Batch(batch.frames, batch.times, batch.targets[..., :32], batch.target_times))


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(net, bf16):
    losses = train_a_little(net, moving_batch(64), steps=8, bf16=bf16)
    assert losses[-1] < 0.9 * losses[0]


def test_several_times_in_one_sample_are_learnt_together(net):
    batch = moving_batch(64, times=(0.25, 0.75))
    with torch.no_grad():
        both = net.loss(batch)["loss"]
        each = [
            net.loss(Batch(batch.frames, batch.times, batch.targets[:, k : k + 1], batch.target_times[:, k : k + 1]))
            for k in (0, 1)
        ]
    assert torch.allclose(both, (each[0]["loss"] + each[1]["loss"]) / 2, atol=1e-5)


def test_every_parameter_learns(net):
    net.loss(moving_batch(64))["loss"].backward()
    assert [
        name for name, value in net.named_parameters() if value.grad is None or not value.grad.isfinite().all()
    ] == []
