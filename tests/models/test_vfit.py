"""What the paper fixes about VFIT: sizes, windows, kernels, how three pictures become one; and how it begins."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from networks import count, moving_batch, train_a_little
from torch.nn.functional import interpolate

from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.load import build, quicken
from midframe.models.vfit import VFIT, Attention, Block, Conv, Stage, Synthesis
from midframe.types import Batch, Contract

TINY = find("vfit").variants["tiny"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return VFIT(**TINY)


@pytest.fixture(scope="module")
def batch():
    """Four frames of a smooth picture that moves by 4 pixels a frame, and the one between."""
    coarse = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    wide = interpolate(coarse, (48, 64 + 16), mode="bicubic").clamp(0, 1)
    frames = torch.stack([wide[..., start : start + 64] for start in (0, 4, 8, 12)], 1)
    return Batch(
        frames, torch.tensor([-1.0, 0.0, 1.0, 2.0]).expand(2, 4), wide[:, None, :, :, 6:70], torch.full((2, 1), 0.5)
    )


def test_parameters_are_the_published_ones():
    big, small, smallest = (VFIT(**find(name).variants["base"]) for name in ("vfit", "vfit-s", "vfit-xs"))
    assert count(big) == find("vfit").params == 29_082_065
    assert count(small) == find("vfit-s").params == 7_537_489
    assert count(smallest) == find("vfit-xs").params
    encoder = count(big.stem) + count(big.stages)
    assert (encoder, count(big.up)) == (20_165_920, 5_751_232)
    assert [count(part) for part in big.smooth] == [1_106_112, 663_744, 442_560]
    assert [count(part) for part in big.synthesis] == 3 * [317_499]


def test_it_reads_four_frames_and_renders_the_middle(net):
    assert net.contract == Contract(inputs=(-1, 0, 1, 2), times=(Fraction(1, 2),), multiple=16, minimum=16)


def test_a_centre_tap_of_one_frame_is_that_frame():
    part = Synthesis(8, 5, normalised=False)
    for head in (part.weights, part.alpha, part.beta, part.share):
        torch.nn.init.zeros_(head[5].weight)
    part.weights[5].bias.data = torch.eye(25)[12]
    part.share[5].bias.data = torch.tensor([0.0, 0.0, 200.0, 0.0])
    frames = torch.rand(2, 4, 3, 16, 24) * 2
    assert torch.allclose(part(torch.randn(2, 4, 8, 8, 12), frames), frames[:, 2], atol=1e-6)


def test_only_the_coarsest_weights_add_up_to_one(net):
    assert [part.normalised for part in net.synthesis] == [True, False, False]
    flat = torch.full((1, 4, 3, 16, 16), 0.7)
    assert torch.allclose(net.synthesis[0](torch.randn(1, 4, 8, 8, 8), flat), flat[:, 0], atol=1e-5)


def test_finer_pictures_are_added_to_enlarged_ones(net, batch):
    state = net.prepare(batch.frames)
    quarter, half, full = net.synthesize(batch.frames, state["features"])
    assert [tuple(one.shape[-2:]) for one in (quarter, half, full)] == [(12, 16), (24, 32), (48, 64)]
    own = net.synthesis[2](state["features"][2], batch.frames)
    assert torch.allclose(full, own + interpolate(half, scale_factor=2, mode="bilinear"), atol=1e-5)


@pytest.mark.parametrize("shift", [0, 4])
def test_pixels_are_seen_inside_their_window_only(shift):
    """Of 24 × 16 pixels, padded to nothing: what changes when one pixel does."""
    torch.manual_seed(0)
    block = Block(8, 2, shift)
    x = torch.randn(1, 4, 24, 16, 8)
    other = x.clone()
    other[0, 1, 1, 1] += 1
    seen = (block._in_space(x) - block._in_space(other)).abs().amax((0, 4)) > 1e-7
    assert not seen[[0, 2, 3]].any()  # one frame
    reach = slice(0, 4) if shift else slice(0, 8)  # shifted: the corner's window is cut off from the other edges
    expected = torch.zeros(24, 16, dtype=torch.bool)
    expected[reach, reach] = True
    assert torch.equal(seen[1], expected)


def test_in_time_a_pixel_sees_itself_in_all_frames():
    block = Block(8, 2, 0)
    x = torch.randn(1, 4, 5, 6, 8)
    other = x.clone()
    other[0, 2, 3, 3] += 1
    seen = (block._in_time(x) - block._in_time(other)).abs().amax((0, 4)) > 1e-7
    assert seen[:, 3, 3].all() and seen.sum() == 4


def test_attention_is_a_softmax_of_matches_and_distances():
    torch.manual_seed(0)
    attention = Attention(4, 1, (1, 8, 8))
    attention.bias.data.normal_()
    x = torch.randn(1, 1, 6, 4)  # rows and columns of a group of 2 × 3
    q, k, v = attention.qkv(x)[0, 0].chunk(3, -1)
    matches = q @ k.t() / 2
    for one in range(6):
        for other in range(6):
            row, column = one // 3 - other // 3, one % 3 - other % 3
            matches[one, other] += attention.bias[(row + 7) * 15 + column + 7, 0]
    assert torch.allclose(attention(x, (1, 2, 3))[0, 0], attention.proj(matches.softmax(-1) @ v), atol=1e-5)


def test_every_second_block_has_shifted_windows():
    assert [block.shift for block in Stage(4, 8, 3, 2).blocks] == [0, 4, 0]


def test_a_level_that_no_window_divides_keeps_its_size(net):
    frames = torch.rand(1, 4, 3, 48, 80)
    assert [tuple(maps.shape[-2:]) for maps in net.prepare(frames)["features"]] == [(6, 10), (12, 20), (24, 40)]


def test_it_begins_as_a_cross_fade(net):
    wide = interpolate(torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0)), (96, 96), mode="bicubic")
    frames = torch.stack([wide, wide.flip(-1), wide.flip(-2), wide], 1)
    fade = (frames[:, 1] + frames[:, 2]) / 2
    inside = (..., slice(16, -16), slice(16, -16))
    with torch.no_grad():
        off = (net(frames) - fade)[inside].abs().mean()
    assert off < 0.2 * (fade - frames[:, 1])[inside].abs().mean()


def test_super_whites_survive(net):
    with torch.no_grad():
        assert net(torch.full((1, 4, 3, 32, 32), 1.5)).sub(1.5).abs().max() < 0.2


def test_the_loss_falls_and_everything_learns(net, batch):
    losses = train_a_little(net, batch, steps=7, rate=1e-4)
    assert losses[-1] < 0.95 * losses[0]
    net.loss(batch)["loss"].backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in net.parameters())


def test_it_runs_under_bfloat16(net, batch):
    with torch.autocast("cpu", torch.bfloat16):
        loss = net.loss(batch)["loss"]
    loss.backward()
    assert loss.isfinite() and loss.dtype == torch.float32


def test_a_batch_of_two_is_two_singles(net, batch):
    with torch.no_grad():
        both = net(batch.frames)
        singles = torch.cat([net(batch.frames[:1]), net(batch.frames[1:])])
    assert torch.allclose(both, singles, atol=1e-5)


@pytest.mark.parametrize("up", [False, True])
def test_a_convolution_of_neighbouring_frames_is_one_in_three_dimensions(up):
    flat = Conv(3, 5, stride=1 if up else 2, up=up)
    kind = torch.nn.ConvTranspose3d if up else torch.nn.Conv3d
    solid = kind(3, 5, 3, (1, 2, 2), 1, **({"output_padding": (0, 1, 1)} if up else {}))
    weight = flat.conv.weight  # 9 5 3 3 if transposed, else 5 9 3 3
    parts = (
        weight.view(3, 3, 5, 3, 3).flip(0).permute(1, 2, 0, 3, 4) if up else weight.view(5, 3, 3, 3, 3).transpose(1, 2)
    )
    solid.weight.data, solid.bias = parts.detach(), flat.conv.bias
    x = torch.randn(2, 4, 3, 6, 8)
    assert torch.allclose(flat(x), solid(x.transpose(1, 2)).transpose(1, 2), atol=1e-5)


def test_laid_out_channels_last_it_gives_the_same(batch):
    model = build("vfit/tiny")
    with torch.no_grad():
        before = model(batch.frames)
        assert torch.allclose(quicken(model)(batch.frames), before, atol=1e-5)


def test_wrong_frames_and_settings_are_refused(net, batch):
    with pytest.raises(ContractError, match="four RGB frames"):
        net.prepare(torch.rand(1, 2, 3, 32, 32))
    with pytest.raises(ContractError, match="multiples of 16"):
        net.prepare(torch.rand(1, 4, 3, 40, 32))
    with pytest.raises(ContractError, match="only t = 1/2"):
        net.render(net.prepare(batch.frames), 0.25)
    with pytest.raises(ContractError, match="one target"):
        net.loss(replace(batch, targets=batch.targets.expand(-1, 2, -1, -1, -1)))
    with pytest.raises(ContractError, match="four RGB frames"):
        net.loss(moving_batch())
    with pytest.raises(ContractError, match="only t = 1/2"):
        net.loss(replace(batch, target_times=batch.target_times / 2))
    with pytest.raises(UsageError, match="odd"):
        VFIT(kernel=4)
    with pytest.raises(UsageError, match="heads divide"):
        VFIT(heads=(3, 4, 8, 16))
