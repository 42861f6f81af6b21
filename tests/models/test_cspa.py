"""What the paper fixes about CSPA: its stages; what ours adds: a count near the published one, a start at the blend."""

import pytest
import torch
import torch.nn.functional as F
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.losses.texture import texture
from midframe.models.catalogue import find
from midframe.models.cspa import CSPA, Align, CrossScale, Fusion

TINY = find("cspa").variants["tiny"]
TINY_S = find("cspa-s").variants["tiny"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return CSPA(**TINY)


def loosened(net):
    """The same with offsets, so that alignments move something."""
    for module in net.modules():
        if isinstance(module, Align):
            torch.nn.init.normal_(module.point.weight, std=0.05)
            torch.nn.init.normal_(module.point.bias, std=0.5)
    return net


@pytest.mark.parametrize("name", ["cspa", "cspa-s"])
def test_parameters_are_those_of_the_catalogue(name):
    row = find(name)
    with torch.device("meta"):
        assert count(CSPA(**row.variants["base"])) == row.params
        assert count(CSPA(**row.variants["tiny"])) < 300_000


def test_parts_of_the_full_size_add_up_to_about_the_published_28_9_million():
    with torch.device("meta"):
        net = CSPA()
    parts = {name: count(part) for name, part in net.named_children()}
    align, merges = 2_167_512, 442_496 + 295_040
    assert parts == {
        "features": 3_584 + 1_475_840 + 590_336,
        "cross0": 3 * align + merges,
        "cross1": 3 * align + merges,
        "fusion": 295_168,
        "blocks": 11_806_720,
        "last": 3_459,
    }
    assert all(count(one) == align for one in net.cross0.align)
    assert sum(parts.values()) == 28_655_251 == find("cspa").params
    assert find("cspa-s").params <= 7_000_000


def test_every_level_is_given_the_answers_of_all_coarser_ones():
    """Paper, figure 3a: what is aligned at level 2 reaches the merges of level 1 and of level 0."""
    torch.manual_seed(0)
    cross = CrossScale(8, (1, 1, 1), 2)
    features = [torch.rand(1, 8, 16 >> level, 24 >> level) for level in range(3)]
    guides = [torch.rand_like(one) for one in features]
    seen = {}
    for level, merge in enumerate(cross.merge):
        merge.register_forward_hook(lambda _, given, made, level=level: seen.update({level: (given[0], made)}))
    answers = {}
    for level, align in enumerate(cross.align):
        align.register_forward_hook(lambda _, given, made, level=level: answers.update({level: (given, made)}))
    made = cross(features, guides)

    def up(maps, factor):
        return F.interpolate(maps, scale_factor=factor, mode="bilinear")

    twice = up(up(answers[2][1], 2), 2)
    assert torch.allclose(seen[1][0], torch.cat([up(answers[2][1], 2), features[1]], 1))
    assert torch.allclose(seen[0][0], torch.cat([up(answers[1][1], 2), twice, features[0]], 1))
    assert answers[2][0][0] is features[2] and all(answers[level][0][1] is guides[level] for level in range(3))
    assert all(answers[level][0][0] is seen[level][1] for level in (0, 1)) and made is answers[0][1]


def test_a_fresh_alignment_moves_nothing():
    torch.manual_seed(0)
    align = Align(8, 1, 2)
    x, guide = torch.rand(2, 1, 8, 9, 10)
    offset, modulation = align.find(x, guide)
    assert offset.shape == (1, 36, 9, 10) and not offset.any()
    assert modulation.shape == (1, 18, 9, 10) and torch.equal(modulation, torch.full_like(modulation, 0.5))
    wanted = F.conv2d(x, align.move.weight / 2, align.move.bias, padding=1)
    assert torch.allclose(align(x, guide), wanted, atol=1e-6)


def test_an_alignment_can_move_all_channels():
    torch.manual_seed(0)
    align = Align(8, 1, 2)
    with torch.no_grad():
        align.point.bias[:36] = torch.tensor([1.0, -2.0]).repeat(18)  # dy, dx of every tap
        torch.nn.init.dirac_(align.move.weight)
        align.move.weight *= 2
        align.move.bias.zero_()
    x, guide = torch.rand(2, 1, 8, 9, 10)
    assert torch.allclose(align(x, guide)[..., :8, 2:], x[..., 1:, :8], atol=1e-5)


def test_the_gate_mixes_place_by_place():
    torch.manual_seed(0)
    fusion = Fusion(8)
    a, b = torch.rand(2, 1, 8, 5, 6)
    gate = (fusion(a, b) - b) / (a - b)
    assert bool(((gate > 0) & (gate < 1)).all()) and gate.std() > 1e-3
    assert torch.allclose(gate, torch.sigmoid(fusion.conv0(a) * fusion.conv1(b)), atol=1e-3)


def test_a_network_that_begins_at_the_blend_shows_it_and_learns_in_every_parameter():
    torch.manual_seed(0)
    model = CSPA(**TINY_S)
    frames = moving_batch(32).frames * 1.4 - 0.2  # beyond [0, 1], as video frames may be
    assert torch.allclose(model(frames), frames.mean(1), atol=1e-5)
    train_a_little(model, moving_batch(16), steps=2)
    model.loss(moving_batch(16))["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_what_such_a_network_first_moves_is_the_picture():
    torch.manual_seed(0)
    model = CSPA(**TINY_S)
    with torch.no_grad():
        for side, shift in ((model.cross0, 1.0), (model.cross1, -1.0)):
            side.align[0].point.bias[1:72:2] = shift  # dx of all groups and taps, in pixels of level 0: two of a frame
    batch = moving_batch(32, step=2)
    assert torch.allclose(model(batch.frames)[..., 4:-4], batch.targets[:, 0, ..., 4:-4], atol=1e-5)


def test_brightness_of_both_frames_is_that_of_the_answer(net):
    frames = moving_batch(32).frames
    assert torch.allclose(net(frames + 0.3), net(frames) + 0.3, atol=1e-5)


def test_only_the_middle_of_frames_that_fit_is_rendered(net):
    frames = torch.rand(1, 2, 3, 32, 32)
    with pytest.raises(ContractError, match="renders only t = 1/2"):
        net(frames, 0.25)
    with pytest.raises(ContractError, match="keeps the size"):
        net.render(net.prepare(frames), 0.5, (64, 64))
    with pytest.raises(ContractError, match="multiples of 4"):
        net.prepare(torch.rand(1, 2, 3, 34, 32))
    with pytest.raises(ContractError, match="multiples of 8"):
        CSPA(**TINY_S).prepare(torch.rand(1, 2, 3, 36, 32))
    batch = moving_batch(32)
    with pytest.raises(ContractError, match="differ"):
        net.loss(type(batch)(batch.frames, batch.times, batch.targets[..., :16], batch.target_times))
    with pytest.raises(ContractError, match="renders only t = 1/2"):
        net.loss(moving_batch(32, times=(0.25,)))


@pytest.mark.parametrize(
    "wrong",
    [{"width": 0}, {"width": 6}, {"extract": 0}, {"align": (1, 0, 1)}, {"paint": 0}, {"groups": 3}, {"reduce": 2}],
)
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError, match="CSPA: width, extract, align"):
        CSPA(**{**TINY, **wrong})


@pytest.mark.parametrize(("settings", "rate"), [(TINY, 2e-3), (TINY_S, 2e-4)], ids=["cspa", "cspa-s"])
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(settings, rate, bf16):
    torch.manual_seed(0)
    losses = train_a_little(CSPA(**settings), moving_batch(16), steps=6, rate=rate, bf16=bf16)
    assert losses[-1] < 0.95 * losses[0]


def test_the_loss_is_l1_of_what_is_rendered_and_hands_it_back(net):
    batch = moving_batch(32)
    made = net(batch.frames)
    parts = net.loss(batch)
    assert set(parts) == {"loss", "made"} and torch.equal(parts["made"], made)
    assert torch.allclose(parts["loss"], (made - batch.targets[:, 0]).abs().mean())


@pytest.mark.parametrize("settings", [TINY, TINY_S], ids=["cspa", "cspa-s"])
def test_every_parameter_gets_a_finite_gradient_from_both_losses(settings):
    torch.manual_seed(0)
    model = loosened(CSPA(**settings))
    batch = moving_batch(16)
    train_a_little(model, batch, steps=2)  # where it begins at the blend, some first weights are 0
    parts = model.loss(batch)
    (parts["loss"] + 0.1 * texture(parts["made"], *batch.frames.unbind(1))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("settings", [TINY, TINY_S], ids=["cspa", "cspa-s"])
def test_a_batch_of_two_is_its_members(settings):
    torch.manual_seed(0)
    model = loosened(CSPA(**settings))
    frames = torch.rand(2, 2, 3, 32, 32)
    assert torch.allclose(model(frames), torch.cat([model(frames[:1]), model(frames[1:])]), atol=1e-5)
