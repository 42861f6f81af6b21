"""What the paper fixes about UGSP: sizes, nested masks, the share of work; what is left out changes nothing else."""

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.api import make_job
from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.load import build
from midframe.models.ugsp import UGSP
from midframe.ops import block_sparse

TINY = {"widths": (4, 8, 8, 8), "depths": (2, 2, 2, 2)}


def draw_pair(height=96, width=128, batch=1):
    return torch.rand(batch, 2, 3, height, width, generator=torch.Generator().manual_seed(4))


def make(**options):
    torch.manual_seed(0)
    return UGSP(**TINY, **options).eval()


@torch.no_grad()
def decode(net, frames):
    return net.decode(**net.prepare(frames))


@pytest.mark.parametrize(("name", "params"), [("ugsp", 6_764_702), ("ugsp-s", 1_467_078)])
def test_parameters_are_the_published_ones_and_those_of_the_row(name, params):
    row = find(name)
    with torch.device("meta"):
        assert count(UGSP(**row.variants["base"])) == row.params == params


def test_parts_have_the_published_parameters():
    with torch.device("meta"):
        net = UGSP()
    assert count(net.encoder) == 268_544
    assert count(net.first) + count(net.bids[0]) == 2_081_886
    assert [count(net.levels[k]) + count(net.bids[k + 1]) for k in (0, 1)] == [2_684_478, 1_216_286]
    assert count(net.levels[2]) + count(net.last) == 513_508


@pytest.mark.parametrize("tiles", [(4, 8, 8), (1, 1, 1), (2, 4, 8)])
def test_masks_are_nested_tiles(tiles):
    net = make(tiles=tiles)
    for bid in net.bids:
        torch.nn.init.normal_(bid.weight)
    found = decode(net, draw_pair(112, 144))  # 14 × 18 places at 1/8: parts of tiles at the edges
    above = None
    for mask, tile, flow in zip(found["masks"], tiles, found["flows"], strict=False):
        size = flow.shape[-2:]
        places = mask.repeat_interleave(tile, 2).repeat_interleave(tile, 3)[..., : size[0], : size[1]]
        assert mask.dtype == torch.bool and places.shape[-2:] == size
        if above is not None:
            assert not (places & ~above.repeat_interleave(2, 2).repeat_interleave(2, 3)).any()
        above = places


def test_a_share_of_035_is_that_of_the_labels():
    shares = UGSP(effort=0.35).shares
    assert shares == pytest.approx((0.7, 0.45, 0.25), abs=0.01)


@pytest.mark.parametrize("effort", [0.1, 0.2, 0.35, 0.5, 0.9])
def test_the_share_of_work_is_what_was_asked_for(effort):
    net = make(effort=effort)
    found = decode(net, draw_pair(256, 256))
    masks = [mask.float() for mask in found["masks"]]
    assert net._measure(masks).item() == pytest.approx(effort, abs=0.02)  # tiles are whole
    always, *others = net.weights
    exact = (always + sum(w * share for w, share in zip(others, net.shares, strict=True))) / sum(net.weights)
    assert exact == pytest.approx(effort, abs=1e-6)


def test_full_effort_has_no_masks_and_is_what_all_tiles_kept_gives():
    net, frames = make(effort=1.0), draw_pair()
    found = decode(net, frames)
    assert found["masks"] == []
    kept = make()
    for bid in kept.bids:
        torch.nn.init.constant_(bid.bias[:1], 1e3)  # "keep" wins everywhere
    assert torch.allclose(decode(kept, frames)["frame"], found["frame"], atol=1e-5)


def test_where_nothing_is_kept_flow_grows_by_a_constant():
    net = make()
    for bid in net.bids:
        torch.nn.init.constant_(bid.bias[1:], 1e3)  # "drop" wins everywhere
    found = decode(net, draw_pair())
    step = found["flows"][1] - 2 * torch.nn.functional.interpolate(
        found["flows"][0], scale_factor=2, mode="bilinear", align_corners=False
    )
    assert torch.allclose(step, net.levels[0].gather.bias[:4].view(1, 4, 1, 1).expand_as(step), atol=1e-5)


@pytest.mark.parametrize("way", ["rows", "tiles"])
def test_the_sparse_ways_give_the_frame_of_the_dense_one(way, monkeypatch):
    net, frames = make(effort=0.4), draw_pair(batch=2)
    monkeypatch.setattr(block_sparse, "choose_way", lambda *_: "dense")
    dense = decode(net, frames)["frame"]
    monkeypatch.setattr(block_sparse, "choose_way", lambda *_: way)
    assert torch.allclose(decode(net, frames)["frame"], dense, atol=1e-4)


def test_without_flow_and_residual_the_answer_is_the_mean():
    net = make()
    for part in (net.first.gather, *(level.gather for level in net.levels), net.last[1]):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    frames = draw_pair() * 1.4 - 0.2  # beyond [0, 1], as video frames may be
    with torch.no_grad():
        assert torch.allclose(net(frames, 0.5), frames.mean(1), atol=1e-5)


@pytest.mark.parametrize("straight", [False, True])
def test_masks_in_training_are_soft_or_rounded(straight):
    net = make(straight=straight).train()
    frames = draw_pair()
    masks = net._refine(frames, net._encode(frames), net._draw)["masks"]
    assert all(((mask.round() - mask).abs() < 1e-6).all() for mask in masks) == straight
    assert all(mask.requires_grad and mask.min() >= 0 and mask.max() <= 1 for mask in masks)


def test_labels_are_the_tiles_that_the_flow_so_far_makes_worst():
    net, batch = make(), moving_batch(128)
    truth = batch.targets[:, 0].clone()
    truth[:, :, 64:, 64:] += 1.0  # a quarter of the picture cannot be made
    still = [torch.zeros(2, 4, 128 // k, 128 // k) for k in (8, 4, 2, 1)]
    first, _, last = net._label(batch.frames, truth, still)
    assert first.shape == (2, 1, 4, 4) and last.shape == (2, 1, 8, 8)
    assert first[..., 2:, 2:].all() and last[..., 4:, 4:].all()
    assert first.sum() <= 0.75 * first.numel() and last.sum() <= last.numel() / 4 + 1


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(bf16):
    net = make(straight=True, distil=True).train()
    losses = train_a_little(net, moving_batch(48, labels=True), steps=10, bf16=bf16)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("straight", [False, True])
def test_every_parameter_learns(straight):
    net = make(straight=straight, distil=True).train()
    net.loss(moving_batch(64, labels=True))["loss"].backward()
    wrong = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.isfinite().all()]
    assert wrong == []


def test_distillation_of_flow_is_for_members_with_labels_only():
    net = make(distil=True)
    batch = moving_batch(48, labels=True)

    def distilled(**labels):
        given = {**batch.labels, **labels} if labels else {}
        return net.loss(type(batch)(batch.frames, batch.times, batch.targets, batch.target_times, given))[
            "distillation"
        ].item()

    torch.manual_seed(0)
    without = distilled()
    torch.manual_seed(0)
    assert distilled(has_flow=torch.zeros(2)) == without
    torch.manual_seed(0)
    assert distilled(has_flow=torch.ones(2)) > without
    assert "distillation" not in make().loss(batch)


def test_wrong_settings_and_frames_are_refused():
    with pytest.raises(UsageError, match="divides twice"):
        UGSP(**TINY, tiles=(4, 16, 8))
    with pytest.raises(UsageError, match=r"between 0\.1 and 1"):
        UGSP(**TINY, effort=0.05)
    net = make()
    with pytest.raises(ContractError, match="multiples of 16"):
        net.prepare(draw_pair(40, 48))
    with pytest.raises(ContractError, match="renders only t = 1/2"):
        net.loss(moving_batch(48, times=(0.25,)))
    batch = moving_batch(48)
    with pytest.raises(ContractError, match="differ"):
        net.loss(type(batch)(batch.frames, batch.times, batch.targets[..., :32], batch.target_times))


def test_effort_is_an_option_of_models_that_have_it():
    assert build("ugsp/tiny", effort=0.3).effort == 0.3
    assert make_job("in.mp4", model="ugsp-s", effort=0.3).effort == 0.3
    with pytest.raises(UsageError, match=r"^dis always does all of its work: --effort is for ugsp, ugsp-s\.$"):
        make_job("in.mp4", model="dis", effort=0.3)
    with pytest.raises(UsageError, match="dis always does"):
        build("dis", effort=0.3)
    with pytest.raises(UsageError, match=r"from 0\.1 to 1"):
        make_job("in.mp4", model="ugsp", effort=2)
