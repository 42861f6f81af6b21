"""What the paper fixes about DBVI: its gradients, its steps, their sizes; what folding keeps; missing frames."""

import copy

import pytest
import torch
from networks import count, train_a_little
from torch.nn.functional import interpolate

from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.dbvi import DBVI, Block, Step, descend_image, from_official, move
from midframe.nn.raft import RAFT
from midframe.ops.warp import warp
from midframe.testing import check_synthesizer
from midframe.types import Batch, Contract

TINY = find("dbvi").variants["tiny"]
SMALL = find("dbvi-s").variants["tiny"]


class Still:
    """An estimator of flow that says how far it was asked to look."""

    def flow(self, frame0, frame1):
        return torch.ones_like(frame0[:, :2]) * (frame1 - frame0).mean((1, 2, 3), keepdim=True)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return DBVI(**SMALL)


@pytest.fixture(scope="module")
def batch():
    """Four frames of a smooth picture that moves by 4 pixels a frame, and the one between."""
    coarse = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    wide = interpolate(coarse, (48, 64 + 16), mode="bicubic").clamp(0, 1)
    frames = torch.stack([wide[..., start : start + 64] for start in (0, 4, 8, 12)], 1)
    return Batch(
        frames, torch.tensor([-1.0, 0.0, 1.0, 2.0]).expand(2, 4), wide[:, None, :, :, 6:70], torch.full((2, 1), 0.5)
    )


def smooth_flow(seed=0):
    return interpolate(3 * torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(seed)), (16, 20))


def test_parameters_are_the_published_ones():
    eight, two, folded, folded2 = (
        DBVI(alpha=(1.0,) * number, folded=folded, flow="dis").steps
        for folded, number in ((False, 4), (False, 6), (True, 4), (True, 6))
    )
    small = DBVI(**find("dbvi-s").variants["base"])
    assert count(eight) == find("dbvi").params == 15_186_048
    assert (count(two), count(folded), count(folded2)) == (22_779_072, 7_436_416, 11_154_624)
    assert count(small) == find("dbvi-s").params < 7e6
    step = eight[0]
    parts = [step.mapping, step.blocks, step.last, step.first, step.hidden, step.prior, step.to_flow, step.to_image]
    assert [count(part) for part in parts] == [1_904_640, 1_871_264, 2_336, 5_648, 4_672, 3_392, 2_880, 464]
    assert (step.turn.numel(), count(step.compress), count(folded[0])) == (1024, 192, 1_859_104)


def test_convolutions_have_no_bias():
    assert all(part.bias is None for part in DBVI(**TINY).modules() if isinstance(part, torch.nn.Conv2d))


def test_without_motion_and_without_difference_there_is_nothing_to_descend():
    frame, none = torch.rand(2, 3, 12, 16), torch.zeros(2, 2, 12, 16)
    assert descend_image(frame, frame, none).abs().max() < 1e-6
    other = torch.rand_like(frame)
    assert torch.allclose(descend_image(other, frame, none), frame - other, atol=1e-6)


def test_a_picture_that_explains_the_frame_has_no_slope():
    picture, flow = torch.rand(1, 3, 16, 20), smooth_flow()
    slope = descend_image(picture, warp(picture, flow), flow)
    assert slope.abs().max() < 1e-5


def test_it_is_the_gradient_of_the_likelihood_divided_by_what_lands():
    frame, flow = torch.rand(1, 3, 16, 20), smooth_flow()
    picture = torch.rand(1, 3, 16, 20, requires_grad=True)
    columns = torch.arange(20) + flow[:, :1]
    rows = torch.arange(16)[:, None] + flow[:, 1:]
    inside = (columns >= 0) & (columns <= 19) & (rows >= 0) & (rows <= 15)
    energy = 0.5 * (inside * (frame - warp(picture, flow, border="zero"))).square().sum()
    (gradient,) = torch.autograd.grad(energy, picture)
    landed = torch.zeros(1, 1, 16, 20, requires_grad=True)
    (weight,) = torch.autograd.grad(warp(landed, flow, border="zero").sum(), landed)
    expected = -gradient / weight.where(weight > 0, 1)
    assert torch.allclose(descend_image(picture.detach(), frame, flow), expected, atol=1e-5)


def test_the_priors_gradient_is_that_of_a_gaussian_in_turned_coordinates():
    torch.manual_seed(0)
    step = Step((8, 8, 16), 12, 1, folded=True)
    assert torch.allclose(step.turn @ step.turn.t(), torch.eye(12), atol=1e-5)
    torch.nn.init.normal_(step.turn)
    hidden, error = torch.randn(1, 8, 5, 6), torch.randn(1, 12, 5, 6, requires_grad=True)
    mean, spread = step.prior(hidden).detach().chunk(2, 1)
    turned = torch.einsum("ij,bjhw->bihw", step.turn, error)
    energy = 0.5 * (torch.sigmoid(spread) * (turned - mean).square()).sum()
    (gradient,) = torch.autograd.grad(energy, error)
    assert torch.allclose(step.descend_flow(hidden, error), gradient, atol=1e-4)


@pytest.mark.parametrize("t", [0.125, 0.5, 0.75])
def test_constant_acceleration_is_followed_exactly(t):
    def path(time):
        return torch.tensor([6.0, -2.0]).view(1, 2, 1, 1) * time + torch.tensor([3.0, 4.0]).view(1, 2, 1, 1) * time**2

    parts = []
    for here, there, outer in ((0, 1, -1), (1, 0, 2)):
        ahead, behind = path(there) - path(here), path(outer) - path(here)
        parts += [(ahead + behind) / 2, (ahead - behind) / 2]
    found = move(torch.cat(parts, 1), torch.tensor(t).view(1, 1, 1, 1))
    assert torch.allclose(found, torch.cat([path(t) - path(0), path(t) - path(1)], 1), atol=1e-5)


@pytest.mark.parametrize("side", ["before", "after"])
def test_where_an_outer_frame_is_missing_motion_is_linear(side):
    net = DBVI(**{**TINY, "flow": Still()})
    frames = torch.rand(2, 4, 3, 16, 16)
    outer, inner = (0, 1) if side == "before" else (3, 2)
    frames[0, outer] = frames[0, inner]  # as the engine fills a window at a cut; the other member is whole
    bend0, line0, bend1, line1 = net.prepare(frames)["flows"].chunk(4, 1)
    bend, line, there = (bend0, line0, 2) if side == "before" else (bend1, line1, 1)
    assert not bend[0].any() and bend[1].any()
    assert torch.equal(line[0], Still().flow(frames[:1, inner], frames[:1, there])[0])
    assert (bend1 if side == "before" else bend0)[0].any()


def test_it_reads_four_frames_and_renders_any_time(net, batch):
    assert net.contract == Contract(inputs=(-1, 0, 1, 2), multiple=8, minimum=8)
    state = net.prepare(batch.frames)
    assert not torch.equal(net.render(state, 0.1), net.render(state, 0.5))


def test_as_published_it_begins_with_the_mean_and_the_motion_it_is_given(batch):
    net = DBVI(**TINY)
    state = net.prepare(batch.frames)
    half = torch.full((2, 1, 1, 1), 0.5)
    for picture, flow in net.descend(state, half):
        assert torch.allclose(picture, batch.frames.mean((1, 3, 4))[..., None, None].expand_as(picture), atol=1e-6)
        assert torch.equal(flow, move(state["flows"], half))


def test_greedy_it_begins_with_the_frames_along_their_motion(net, batch):
    inside = (..., slice(12, -12), slice(16, -16))
    truth = batch.targets[:, 0][inside]
    with torch.no_grad():
        found = net.descend(net.prepare(batch.frames), torch.full((2, 1, 1, 1), 0.5))
    first, last = ((picture[inside] - truth).abs().mean() for picture, _ in found)
    assert last <= first < 0.1 * (batch.frames[:, 1:3].mean(1)[inside] - truth).abs().mean()


def test_folding_keeps_the_answers_and_drops_the_networks(batch):
    torch.manual_seed(0)
    net = DBVI(**{**TINY, "folded": False})
    for name, value in net.named_parameters():  # zeros say nothing about constants
        if "mapping" in name or "style" in name or "to_image.2" in name or "to_flow.1.2" in name:
            torch.nn.init.normal_(value, std=0.1)
    with torch.no_grad():
        before = net(batch.frames, 0.3)
        folded = copy.deepcopy(net).fold()
        after = folded(batch.frames, 0.3)
    assert torch.allclose(before, after, atol=1e-5)
    assert not torch.allclose(before, DBVI(**TINY)(batch.frames, 0.3), atol=1e-2)
    constants = [part.constants for part in folded.modules() if isinstance(part, Block)]
    assert len(constants) == 4 and all(one.abs().max() > 1e-3 for one in constants)
    fresh = DBVI(**TINY)
    fresh.load_state_dict(folded.state_dict())
    assert torch.equal(fresh(batch.frames, 0.3), after)
    assert torch.equal(folded.fold()(batch.frames, 0.3), after)  # nothing more to fold


def test_later_steps_weigh_more(batch):
    torch.manual_seed(0)
    net = DBVI(**{**SMALL, "alpha": (0.25, 1.0)})
    with torch.no_grad():
        pictures = [picture for picture, _ in net.descend(net.prepare(batch.frames), torch.full((2, 1, 1, 1), 0.5))]
        parts = net.loss(batch)
    apart = [(picture - batch.targets[:, 0]).abs().mean() for picture in pictures]
    assert torch.allclose(parts["loss"], 0.25 * apart[0] + apart[1])
    assert torch.allclose(parts["l1"], apart[1])


def test_the_loss_falls_and_everything_but_flow_learns(batch):
    torch.manual_seed(0)
    net = DBVI(**{**SMALL, "flow": RAFT(small=True, shrink=4, iterations=1)})
    losses = train_a_little(net.train(), batch, steps=5, rate=3e-3)
    assert losses[-1] < 0.97 * losses[0]
    net.loss(batch)["loss"].backward()
    assert not net.flow.training and all(value.grad is None for value in net.flow.parameters())
    wanted = {name: value.grad for name, value in net.steps.named_parameters()}
    # the last step's motion is for a step that does not come
    assert all(grad is not None and grad.isfinite().all() for name, grad in wanted.items() if "1.to_flow" not in name)


def test_it_runs_under_bfloat16(net, batch):
    with torch.autocast("cpu", torch.bfloat16):
        loss = net.loss(batch)["loss"]
    loss.backward()
    assert loss.isfinite() and loss.dtype == torch.float32


def test_several_targets_are_as_several_samples(net, batch):
    times = torch.tensor([0.5, 0.25]).expand(2, 2)
    targets = torch.cat([batch.targets, batch.targets.flip(-1)], 1)
    with torch.no_grad():
        both = net.loss(Batch(batch.frames, batch.times, targets, times))["loss"]
        singles = [
            net.loss(Batch(batch.frames, batch.times, targets[:, k, None], times[:, k, None]))["loss"] for k in (0, 1)
        ]
    assert torch.allclose(both, (singles[0] + singles[1]) / 2, atol=1e-6)


def test_it_keeps_its_contract_with_raft():
    torch.manual_seed(0)
    raft = RAFT(small=True, shrink=8, iterations=1)
    check_synthesizer(DBVI(**{**TINY, "flow": raft}).eval(), size=(64, 64), still=None)


def test_large_frames_are_given_to_raft_at_half_the_size(monkeypatch):
    net = DBVI(**TINY)
    seen = []

    class Once:
        def flow(self, frame0, frame1):
            seen.append((tuple(frame0.shape[-2:]), frame0.mean().item()))
            return torch.full_like(frame0[:, :2], 3.0)

    net.flow, net.centred = Once(), True  # as with "raft"
    frames = torch.rand(1, 4, 3, 16, 24) + 0.3
    assert net.prepare(frames)["flows"][:, 2:4].abs().max() == 0 and seen[0][0] == (16, 24)
    assert sum(mean for _, mean in seen) / 4 == pytest.approx(0.5, abs=0.05)
    monkeypatch.setattr("midframe.models.dbvi.LARGE", 16 * 24)
    flows = net.prepare(frames)["flows"]
    assert seen[-1][0] == (8, 12) and torch.equal(flows[:, :2], torch.full((1, 2, 16, 24), 6.0))


def test_super_whites_survive(net):
    frames = torch.full((1, 4, 3, 32, 32), 1.5)
    assert torch.allclose(net(frames, 0.4), frames[:, 0], atol=1e-5)


def test_the_authors_names_are_known():
    """As read in their code: one tensor of each kind."""
    with torch.device("meta"):
        net = DBVI()
        theirs = {
            "subNet_3.mapping.14.bias": (512,),
            "subNet_0.convUV.1.block.2.weight": (64, 16, 1, 1),
            "subNet_0.invConv.weight": (32, 32),
            "subNet_0.compConv.block.2.weight": (4, 32, 1, 1),
            "subNet_0.inConv.block.0.weight": (16, 39, 3, 3),
            "module.subNet_0.style_block.0.RDB1.block1.0.downConv1.block.2.weight": (16, 16, 3, 3),
            "subNet_0.style_block.1.RDB1.block1.0.downConv1.block.1.weight": (16, 16, 3, 3),
            "subNet_0.style_block.1.RDB2.block2.0.downConv1.block.2.weight": (64, 16, 3, 3),
            "subNet_0.style_block.0.RDB1.block3.0.downConv1.block.2.weight": (256, 64, 3, 3),
            "subNet_0.style_block.0.RDB1.block3.2.conv1.block.2.weight": (64, 64, 3, 3),
            "subNet_0.style_block.0.RDB1.deBlock0.0.upConv1.1.block.2.weight": (64, 256, 3, 3),
            "subNet_0.style_block.0.RDB1.deBlock1.0.upConv1.1.block.2.weight": (16, 64, 3, 3),
            "subNet_0.style_block.0.RDB1.deBlock2.0.upConv1.1.block.0.weight": (16,),
            "subNet_0.style_block.trans1.weight": (32, 512),
            "subNet_0.style_block.lrConv.block.2.weight": (16, 16, 3, 3),
            "subNet_0.convNext.1.block.2.weight": (16, 16, 3, 3),
            "subNet_0.toRGB.block.2.weight": (3, 16, 3, 3),
            "subNet_0.toFlow.1.block.2.weight": (32, 16, 1, 1),
        }
        found = from_official({name: torch.empty(shape) for name, shape in theirs.items()}, RAFT().state_dict())
    own = net.state_dict()
    assert len(found) == len(theirs) + len(net.flow.state_dict())
    assert {name: value.shape for name, value in found.items()} == {name: own[name].shape for name in found}


def test_wrong_frames_and_settings_are_refused(net, batch):
    with pytest.raises(ContractError, match="four RGB frames"):
        net.prepare(torch.rand(1, 2, 3, 32, 32))
    with pytest.raises(ContractError, match="multiples of 8"):
        net.prepare(torch.rand(1, 4, 3, 36, 32))
    with pytest.raises(ContractError, match="differ"):
        net.loss(Batch(batch.frames, batch.times, batch.targets[..., :32], batch.target_times))
    with pytest.raises(UsageError, match='"raft", "dis"'):
        DBVI(flow="pwc")
    with pytest.raises(UsageError, match="multiples of 4"):
        DBVI(widths=(6, 8, 16), flow="dis")
    with pytest.raises(UsageError, match="multiple of 32"):
        DBVI(widths=(4, 8, 8), flow="dis")
    with pytest.raises(UsageError, match="a weight for each step"):
        DBVI(alpha=(), flow="dis")


def test_a_margin_keeps_the_edge_right_where_motion_points_out_of_the_frame():
    class Pan:
        def flow(self, frame0, frame1):
            return torch.full_like(frame0[:, :2], 0.6 if frame1.mean() > frame0.mean() else -0.6)

    greedy = {"alpha": (1.0,), "widths": (4, 4, 32), "memory": 4, "blocks": 1, "greedy": True, "flow": Pan()}
    grey = torch.full((1, 4, 3, 32, 32), 0.5) + torch.arange(4).view(1, 4, 1, 1, 1) * 1e-3
    grey[..., :16] += 0.3  # or all would be the mean, from which it begins
    bare, wide = (DBVI(**greedy, margin=margin)(grey, 0.5) for margin in (0, 8))
    truth = grey[:, 1:3].mean(1)
    edge = torch.ones(32, 32, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert wide.shape == bare.shape == truth.shape
    assert (bare - truth).abs()[..., edge].max() > 0.02
    assert (wide - truth).abs()[..., :8][..., edge[:, :8]].max() < 0.002


def test_a_margin_is_a_multiple_of_8():
    with pytest.raises(UsageError, match="margin is a multiple of 8, got 4"):
        DBVI(margin=4)
