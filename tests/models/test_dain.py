"""What the paper fixes about DAIN: its parts' sizes, what depth does to the flow, times, losses."""

import math
from dataclasses import replace

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.dain import DAIN, ORDER, DepthNet, RectifyNet
from midframe.models.load import build

TINY = find("dain/tiny").variants["tiny"]


class Constant(torch.nn.Module):
    """An estimator that knows: everything moves by `shift` pixels to the right from frame 0 to frame 1."""

    def __init__(self, shift):
        super().__init__()
        self.shift = shift

    def flow(self, frame0, frame1):
        way = torch.ones(len(frame0), 1, 1, 1)
        way[len(frame0) // 2 :] = -1  # the second half of the batch is read backwards
        return way * torch.tensor([self.shift, 0.0]).view(1, 2, 1, 1).expand(len(frame0), 2, *frame0.shape[-2:])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return DAIN(**TINY)


def without_repair(model):
    """Kernels that are plain bilinear sampling, depth without relief and nothing added to the blend."""
    for head in model.kernels.heads:
        torch.nn.init.zeros_(head[1].weight)
    for last in (model.depth.head, model.rectify.last):
        torch.nn.init.zeros_(last.weight)
    return model.eval()


def psnr(made, truth):
    return -10 * math.log10((made - truth).detach().square().mean())


def test_parameters_of_each_part_are_the_published_ones():
    with torch.device("meta"):
        model = DAIN()
    parts = {name: count(part) for name, part in model.named_children()}
    assert parts == {
        "estimator": 9_374_340,
        "depth": 5_357_153,
        "kernels": 5_514_112,
        "context": 156_864,
        "rectify": 3_629_187,
    }
    assert count(model) == find("dain").params == 24_031_656
    assert model.rectify.first[0].in_channels == 437
    with torch.device("meta"):
        assert count(DAIN(**find("dain-s").variants["base"])) == find("dain-s").params < 5e6


def test_translation_is_carried_to_any_time():
    model = without_repair(DAIN(**TINY | {"flow": Constant(8.0)}))
    wide = torch.rand(1, 3, 32, 72)
    frames = torch.stack([wide[..., 8:], wide[..., :-8]], 1)
    state = model.prepare(frames)
    for t in (0.25, 0.5, 0.875):
        shift = round(8 * t)
        made = model.render(state, t)[..., 8:-8]
        assert torch.allclose(made, wide[..., 16 - shift : 64 - shift], atol=1e-5)


def test_where_two_motions_meet_the_nearer_one_wins():
    """A near square of 16 crosses a far ground that comes towards it, 8 pixels each."""
    torch.manual_seed(0)
    model = without_repair(DAIN(**TINY))
    shift, size = 8, 64
    ground, thing = torch.rand(3, size, size + 2 * shift) / 2, torch.rand(3, 16, 16) / 2 + 0.5

    def at(t):
        offset, left = round(2 * shift * t), 16 + round(2 * shift * t)
        frame = ground[..., offset : offset + size].clone()
        frame[:, 24:40, left : left + 16] = thing
        mask = torch.zeros(1, size, size, dtype=torch.bool)
        mask[:, 24:40, left : left + 16] = True
        return frame, mask

    (frame0, near0), (frame1, near1), (truth, near) = at(0), at(1), at(0.5)
    motion = torch.tensor([2.0 * shift, 0.0]).view(2, 1, 1)
    state = model.prepare(torch.stack([frame0, frame1])[None])
    state["flow01"] = torch.where(near0, motion, -motion)[None]
    state["flow10"] = torch.where(near1, -motion, motion)[None]
    flat = model.render(state, 0.5)[0]
    state["log_depth"] = torch.stack([torch.where(near0, -6.0, 6.0), torch.where(near1, -6.0, 6.0)])[None]
    made = model.render(state, 0.5)[0]
    assert torch.allclose(made[:, near[0]], truth[:, near[0]], atol=1e-2)
    assert (flat - truth)[:, near[0]].abs().mean() > 0.1  # two flows averaged lead nowhere
    around = slice(24, 40), slice(8, 56)
    assert psnr(made[:, *around], truth[:, *around]) > psnr(flat[:, *around], truth[:, *around]) + 2


def test_holes_are_filled():
    model = without_repair(DAIN(**TINY))
    frames = torch.rand(1, 2, 3, 32, 32)
    state = model.prepare(frames)
    columns = torch.arange(32.0)
    flow = torch.stack([columns * 0.5, torch.zeros(32)]).view(1, 2, 1, 32).expand(1, 2, 32, 32)
    flow = torch.where(columns < 16, 0, flow + 4)  # the right half jumps away: nothing lands beside the break
    state["flow01"], state["flow10"] = flow, torch.zeros_like(flow)
    seen = []
    model.rectify.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0][:, 9:11]))
    model.render(state, 0.5)
    beside = seen[0][0, 0, 16, 17:20]  # between flows of 0 on the left and below −5 on the right; 0 above and below
    assert (beside < -1).all() and (beside > -5).all()


def test_a_fresh_network_is_a_flow_warped_blend():
    torch.manual_seed(0)
    batch = moving_batch(64, step=3)
    made = build("dain-s")(batch.frames, 0.5).detach()
    inner = slice(8, -8)
    assert (
        psnr(made[..., inner], batch.targets[:, 0][..., inner])
        > psnr(batch.frames.mean(1)[..., inner], batch.targets[:, 0][..., inner]) + 3
    )


@pytest.mark.parametrize("flow", ["dis", "pwc"])
def test_any_time_beyond_white(flow):
    torch.manual_seed(0)
    model = without_repair(DAIN(**TINY | {"flow": flow}))
    frames = (torch.rand(1, 1, 3, 32, 48) * 1.4 - 0.2).expand(1, 2, 3, 32, 48)
    state = model.prepare(frames)
    for t in (0.1, 0.9):
        made = model.render(state, t)
        if flow == "dis":  # finds no motion between equal frames
            assert torch.allclose(made, frames[:, 0], atol=1e-5)
        assert made.shape == (1, 3, 32, 48) and made.isfinite().all()


def test_wrong_settings_and_frames_are_refused(net):
    with pytest.raises(UsageError, match="multiple of 8"):
        DAIN(**TINY | {"depth_width": 12})
    with pytest.raises(UsageError, match="two kernel_widths"):
        DAIN(**TINY | {"kernel_widths": (8,)})
    with pytest.raises(UsageError, match="odd rectify_kernel"):
        DAIN(**TINY | {"rectify_kernel": 4})
    with pytest.raises(UsageError, match='"pwc", "dis"'):
        DAIN(**TINY | {"flow": "raft"})
    with pytest.raises(ContractError, match="multiples of 16"):
        net.prepare(torch.rand(1, 2, 3, 40, 48))
    batch = moving_batch(48)
    with pytest.raises(ContractError, match="differ"):
        net.loss(replace(batch, targets=batch.targets[..., :32]))


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(net, bf16):
    batch = moving_batch(32)
    lighter = replace(batch, targets=batch.targets + 0.2)  # what a flow-warped blend cannot say
    losses = train_a_little(net, lighter, steps=8, bf16=bf16)
    assert losses[-1] < 0.9 * losses[0]


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = DAIN(**TINY | {"flow": "pwc"})
    model.loss(moving_batch(64))["loss"].backward()
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, p in learning.items() if p.grad is None or not p.grad.isfinite().all()] == []
    for part in ("estimator", "depth", "kernels", "context", "rectify"):  # depth: through the projection alone
        assert any(p.grad.abs().max() > 0 for name, p in learning.items() if name.startswith(part)), part


def test_the_blend_may_have_a_share_of_the_loss():
    torch.manual_seed(0)
    parts = DAIN(**TINY, alpha=0.5).loss(moving_batch(32, times=(0.25, 0.75)))
    assert set(parts) == {"loss", "reconstruction", "order", "blend"}
    assert torch.equal(parts["loss"], parts["reconstruction"] + parts["blend"])


def layered(batch, has=(1.0, 1.0)):
    """The left half of each frame of `batch` nearer than the right."""
    layer = torch.zeros_like(batch.frames[:, 0, :1])
    layer[..., : layer.shape[-1] // 2] = 2
    return replace(batch, labels={"layer0": layer, "layer1": layer, "has_flow": torch.tensor(has)})


def test_depth_learns_what_is_in_front_where_that_is_known(net):
    batch = layered(moving_batch(32))
    torch.nn.init.zeros_(net.depth.head.weight)
    assert net.loss(batch)["order"].item() == pytest.approx(ORDER * math.log(2))  # flat: each pair undecided
    torch.nn.init.normal_(net.depth.head.weight, std=0.01)
    optimiser = torch.optim.AdamW(net.depth.parameters(), lr=5e-3)
    for _ in range(15):
        optimiser.zero_grad()
        net.loss(batch)["order"].backward()
        optimiser.step()
    depth = net.prepare(batch.frames)["log_depth"]
    assert depth[..., 18:].mean() > depth[..., :14].mean() + 0.5


def test_order_is_for_members_with_labels_only(net):
    batch = moving_batch(48)
    assert net.loss(batch)["order"] == 0
    assert net.loss(layered(batch, has=(0.0, 0.0)))["order"] == 0
    one = layered(batch, has=(0.0, 1.0))
    alone = net.loss(one)["order"]
    one.labels["layer0"][0] = 5  # not read
    assert torch.equal(net.loss(one)["order"], alone)


def test_batch_norm_is_a_choice():
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in DepthNet(8).modules())
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in DepthNet(8, norm=False).modules())


def test_the_repair_begins_near_nothing():
    torch.manual_seed(0)
    assert RectifyNet(12, 8, 3)(torch.rand(1, 12, 32, 32)).abs().max() < 0.05
