"""What the paper fixes about AMT: sizes, names, what is looked up where, candidates, losses."""

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models import amt
from midframe.models.amt import AMT, from_official
from midframe.models.catalogue import find
from midframe.types import Batch

TINY = find("amt-s").variants["tiny"]
AGAIN = find("amt-g").variants["tiny"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return AMT(**TINY)


@pytest.mark.parametrize(
    ("name", "parameters", "tensors"),
    [("amt-s", 2_990_543, 213), ("amt-l", 12_935_367, 207), ("amt-g", 30_638_919, 259)],
)
def test_parameters_are_the_published_ones(name, parameters, tensors):
    row = find(name)
    with torch.device("meta"):
        model = AMT(**row.variants["base"])
    assert count(model) == row.params == parameters
    assert len(model.state_dict()) == tensors


def test_names_are_those_of_the_authors_files():
    with torch.device("meta"):
        state = {**AMT(**find("amt-g").variants["base"]).state_dict(), **AMT().state_dict()}
    sample = {
        "feat_encoder.conv1.weight": (32, 3, 7, 7),
        "feat_encoder.layer2.0.downsample.0.weight": (64, 32, 1, 1),
        "feat_encoder.layer3.1.conv3.weight": (96, 24, 1, 1),
        "feat_encoder.layer3_2.1.conv2.weight": (160, 160, 3, 3),
        "encoder.pyramid4.1.1.weight": (56,),
        "decoder4.convblock.0.0.weight": (112, 113, 3, 3),
        "decoder1.convblock.1.prelu.weight": (60,),
        "decoder1.convblock.2.weight": (60, 24, 4, 4),
        "update4.convc1.weight": (64, 392, 1, 1),
        "update4.gru.0.weight": (76, 116, 3, 3),
        "update3.feat_head.2.weight": (32, 76, 3, 3),
        "update3_low.convc2.weight": (192, 256, 3, 3),
        "update2_high.flow_head.2.weight": (4, 192, 3, 3),
        "comb_block.1.weight": (18,),
    }
    assert {name: tuple(state[name].shape) for name in sample} == sample


def test_the_authors_checkpoint_fits(net):
    net.load_state_dict(from_official({f"module.{name}": tensor for name, tensor in net.state_dict().items()}))


@pytest.mark.parametrize("settings", [{"scale": 1.0}, {"scale": 0.5}, AGAIN], ids=["whole", "half", "again"])
def test_any_time_at_any_scale(settings):
    model = AMT(**{**TINY, **settings}).eval()
    side = model.contract.minimum
    state = model.prepare(torch.rand(1, 2, 3, side, side))
    answers = [model.render(state, t) for t in (0.1, 0.5)]
    assert all(answer.shape == (1, 3, side, side) and answer.isfinite().all() for answer in answers)
    assert not torch.equal(*answers)


def test_a_map_of_one_time_is_that_time(net):
    state = net.prepare(torch.rand(1, 2, 3, 64, 64))
    assert torch.allclose(net.decode(state, torch.full((1, 1, 64, 64), 0.3))[0], net.render(state, 0.3), atol=1e-6)


def test_without_flow_and_residual_the_answer_is_the_mean(net):
    for last in (
        *(net.get_submodule(f"decoder{k}.convblock.2") for k in (1, 2, 3, 4)),
        *(net.get_submodule(f"update{k}.flow_head.2") for k in (2, 3, 4)),
        net.comb_block[2],
    ):
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    frames = torch.rand(1, 2, 3, 64, 64) * 1.4 - 0.2  # beyond [0, 1], as video frames may be
    assert torch.allclose(net(frames, 0.3), frames.mean(1), atol=1e-5)
    n = net.candidates
    with torch.no_grad():
        net.decoder1.convblock[2].bias[4 * n : 5 * n] = 20.0  # masks: all of frame 0
        net.decoder1.convblock[2].bias[5 * n : 5 * n + 3] = n  # the first candidate's residual: its share is 1
    assert torch.allclose(net(frames, 0.3), frames[:, 0] + 1, atol=1e-5)


def test_even_motion_reads_the_same_matches_at_every_time(net):
    state = net.prepare(torch.rand(1, 2, 3, 64, 64))
    motion = torch.tensor([1.3, -0.6]).view(1, 2, 1, 1).expand(1, 2, 8, 8)

    def look(t):
        return net._look(state, torch.full((1, 1, 1, 1), t), torch.cat([-t * motion, (1 - t) * motion], 1))

    middle = look(0.5)
    assert middle.shape[1] == 2 * 4 * 7 * 7
    assert torch.allclose(look(0.2), middle, atol=1e-4)
    net.lookup = "published"
    assert torch.equal(look(0.5), middle)
    assert not torch.allclose(look(0.2), middle, atol=1e-2)


def test_the_middle_of_the_window_is_the_match_of_the_place_itself(net):
    state = net.prepare(torch.rand(1, 2, 3, 64, 64))
    g0, g1 = state["compared"]
    matches = net._look(state, torch.full((1, 1, 1, 1), 0.5), torch.zeros(1, 4, 8, 8))
    own = (g0 * g1).sum(1) / g0.shape[1] ** 0.5
    assert torch.allclose(matches[:, 24], own, atol=1e-5)
    assert torch.allclose(matches[:, 4 * 49 + 24], own, atol=1e-5)


def test_volumes_that_are_too_large_are_not_made(net, monkeypatch):
    frames = torch.rand(1, 2, 3, 64, 96)
    with_volumes = net(frames, 0.3)
    monkeypatch.setattr(amt, "LARGEST_VOLUME", 0)
    assert net.prepare(frames)["volumes"] == ()
    assert torch.allclose(net(frames, 0.3), with_volumes, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"scale": 0.7}, "scale must divide 16"),
        ({"scale": 0}, "scale must divide 16"),
        ({"side": 17}, "side is at most"),
        ({"lookup": "other"}, "lookup is"),
        ({"candidates": 0}, "at least 1 candidate"),
        ({"match_widths": (8, 8)}, "three or four match_widths"),
    ],
)
def test_wrong_settings_are_refused(settings, complaint):
    with pytest.raises(UsageError, match=complaint):
        AMT(**{**TINY, **settings})


def test_wrong_frames_are_refused(net):
    with pytest.raises(ContractError, match="multiples of 16, at least 64"):
        net.prepare(torch.rand(1, 2, 3, 48, 64))
    batch = moving_batch(64)
    with pytest.raises(ContractError, match="differ"):
        net.loss(Batch(batch.frames, batch.times, batch.targets[..., :32], batch.target_times))


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(net, bf16):
    losses = train_a_little(net, moving_batch(64, labels=True), steps=8, bf16=bf16)
    assert losses[-1] < 0.9 * losses[0]


def test_distillation_is_for_members_with_labels_only(net):
    batch = moving_batch(64, times=(0.25, 0.75), labels=True)
    with torch.no_grad():
        assert set(net.loss(batch)) == {"loss", "reconstruction", "distillation"}
        plain = net.loss(moving_batch(64, times=(0.25, 0.75)))
        assert set(plain) == {"loss", "reconstruction"}
        wild = batch.labels["flow_t0"].clone()
        wild[1] = torch.nan
        for has, same in ((torch.zeros(2), True), (torch.tensor([1.0, 0.0]), False)):
            labels = {**batch.labels, "flow_t0": wild, "has_flow": has}
            loss = net.loss(Batch(batch.frames, batch.times, batch.targets, batch.target_times, labels))["loss"]
            assert loss.isfinite() and torch.equal(loss, plain["loss"]) == same


def test_the_candidate_that_is_farthest_off_says_how_much_to_believe(net):
    batch = moving_batch(64, labels=True)
    truth = torch.cat([batch.labels["flow_t0"], batch.labels["flow_t1"]], 2)  # B 1 4 H W
    coarse = [torch.zeros(2, 4, 64 // k, 64 // k) for k in (2, 4, 8)]
    right, one_wrong, all_wrong = (
        net._distil(torch.cat([truth + a, truth + b], 1), coarse, batch) for a, b in ((0, 0), (0, 30), (30, 30))
    )
    assert torch.equal(one_wrong, all_wrong)
    assert not torch.allclose(right, one_wrong)


@pytest.mark.parametrize("settings", [TINY, AGAIN], ids=["once", "again"])
def test_every_parameter_learns(settings):
    torch.manual_seed(0)
    model = AMT(**settings)
    model.loss(moving_batch(64, labels=True))["loss"].backward()
    assert [
        name for name, value in model.named_parameters() if value.grad is None or not value.grad.isfinite().all()
    ] == []
