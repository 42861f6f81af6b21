"""What the paper fixes about RAFT: sizes, names, iterations, the loss; and what a model of flow may be asked for."""

from dataclasses import replace

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError, ModelError, UsageError
from midframe.models.catalogue import find
from midframe.models.load import load, load_flow
from midframe.nn import raft
from midframe.nn.raft import RAFT, from_official, sequence_loss, upsample_convex

TINY = {"small": True, "shrink": 4, "iterations": 3}
SIZES = {"raft": (5_257_536, 1_066_848, 1_069_728), "raft-s": (990_162, 55_264, 58_368)}  # all, fnet, cnet


@pytest.fixture
def net():
    torch.manual_seed(0)
    return RAFT(**TINY).eval()


@pytest.mark.parametrize("name", SIZES)
def test_parameters_are_the_published_ones(name):
    row = find(name)
    with torch.device("meta"):
        model = RAFT(**row.variants["base"])
    assert (count(model), count(model.fnet), count(model.cnet)) == SIZES[name]
    assert row.params == SIZES[name][0]


def test_names_are_those_of_the_authors_files():
    with torch.device("meta"):
        full, small = RAFT().state_dict(), RAFT(small=True).state_dict()
    assert (len(full), len(small)) == (169, 106)  # theirs: 179 and 106, see `from_official`
    of_full = {
        "fnet.conv1.weight": (64, 3, 7, 7),
        "fnet.layer3.0.downsample.0.weight": (128, 96, 1, 1),
        "cnet.layer2.0.downsample.1.running_var": (96,),
        "cnet.norm1.weight": (64,),
        "update_block.encoder.convc1.weight": (256, 324, 1, 1),
        "update_block.encoder.conv.weight": (126, 256, 3, 3),
        "update_block.gru.convz1.weight": (128, 384, 1, 5),
        "update_block.gru.convq2.weight": (128, 384, 5, 1),
        "update_block.flow_head.conv2.weight": (2, 256, 3, 3),
        "update_block.mask.2.weight": (576, 256, 1, 1),
    }
    of_small = {
        "fnet.layer2.0.conv3.weight": (64, 16, 1, 1),
        "cnet.conv2.weight": (160, 96, 1, 1),
        "update_block.encoder.convc1.weight": (96, 196, 1, 1),
        "update_block.encoder.conv.weight": (80, 128, 3, 3),
        "update_block.gru.convr.weight": (96, 242, 3, 3),
        "update_block.flow_head.conv1.weight": (128, 96, 3, 3),
    }
    for state, wanted in ((full, of_full), (small, of_small)):
        assert {name: tuple(state[name].shape) for name in wanted} == wanted


@pytest.mark.parametrize("small", [False, True])
def test_the_authors_checkpoint_fits(small):
    model = RAFT(small=small, shrink=8)
    theirs = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    if not small:  # the norm of a shortcut is there under two names
        twice = {name.replace("downsample.1", "norm3"): value for name, value in theirs.items() if "ple.1." in name}
        assert len(twice) == 10
        theirs |= twice
    model.load_state_dict(from_official(theirs))


@pytest.mark.parametrize("size", [(64, 64), (70, 91), (5, 130)])
@pytest.mark.parametrize("small", [False, True])
def test_flow_of_any_size(size, small):
    model = RAFT(small=small, shrink=8, iterations=2).eval()
    frames = torch.rand(2, 2, 3, *size)
    with torch.no_grad():
        flow = model.flow(frames[:, 0], frames[:, 1])
    assert flow.shape == (2, 2, *size) and flow.isfinite().all()


@pytest.mark.parametrize("small", [False, True])
def test_a_batch_is_its_members(small):
    model = RAFT(small=small, shrink=8, iterations=2).eval()
    frames = torch.rand(2, 2, 3, 64, 72)
    with torch.no_grad():
        both = model.flow(frames[:, 0], frames[:, 1])
        single = torch.cat([model.flow(frames[k : k + 1, 0], frames[k : k + 1, 1]) for k in (0, 1)])
    torch.testing.assert_close(both, single, atol=1e-4, rtol=0)


def test_more_iterations_go_on_where_fewer_stop(net):
    frames = torch.rand(2, 1, 3, 64, 64)
    with torch.no_grad():
        three, same, five = (net.flow(*frames, iterations=n) for n in (None, 3, 5))
    assert torch.equal(three, same) and not torch.equal(three, five)


def test_without_change_the_flow_stays_zero():
    for small in (False, True):
        model = RAFT(small=small, shrink=8, iterations=2).eval()
        torch.nn.init.zeros_(model.update_block.flow_head.conv2.weight)
        torch.nn.init.zeros_(model.update_block.flow_head.conv2.bias)
        assert model.flow(*torch.rand(2, 1, 3, 64, 64)).abs().max() == 0


def test_large_pictures_are_read_without_the_volume(net, monkeypatch):
    frames = torch.rand(2, 2, 3, 64, 80)
    with torch.no_grad():
        whole = net.flow(*frames)
        monkeypatch.setattr(raft, "LARGEST_VOLUME", 0)
        monkeypatch.setattr(raft, "correlate_all", None)
        torch.testing.assert_close(net.flow(*frames), whole, atol=1e-3, rtol=0)


def test_convex_upsampling_keeps_a_constant_away_from_the_border():
    flow = torch.tensor([1.5, -2.0]).view(1, 2, 1, 1).expand(1, 2, 4, 5)
    fine = upsample_convex(flow, torch.randn(1, 576, 4, 5))
    assert fine.shape == (1, 2, 32, 40)
    inner = fine[..., 8:-8, 8:-8]
    torch.testing.assert_close(inner, 8 * flow[..., :1, :1].expand_as(inner))
    picked = torch.full((1, 9, 64, 4, 5), -100.0)
    picked[:, 4] = 100  # the middle neighbour
    steps = torch.rand(1, 2, 4, 5)
    enlarged = upsample_convex(steps, picked.view(1, 576, 4, 5))
    torch.testing.assert_close(enlarged, 8 * steps.repeat_interleave(8, 2).repeat_interleave(8, 3))


def test_later_iterations_weigh_more():
    truth, valid = torch.zeros(1, 2, 4, 4), torch.ones(1, 1, 4, 4)
    flows = [torch.full_like(truth, value) for value in (1.0, 2.0, 4.0)]
    assert sequence_loss(flows, truth, valid).item() == pytest.approx(0.64 * 1 + 0.8 * 2 + 4)
    valid[..., 1:] = 0
    assert sequence_loss(flows, truth, valid).item() == pytest.approx(0.64 * 1 + 0.8 * 2 + 4)


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(small, bf16):
    torch.manual_seed(0)
    model = RAFT(small=small, shrink=4 if small else 8, iterations=2)
    losses = train_a_little(model, moving_batch(64, labels=True), steps=8, bf16=bf16)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("small", [False, True])
def test_every_parameter_learns(small):
    model = RAFT(small=small, shrink=8, iterations=2)
    model.loss(moving_batch(64, labels=True))["loss"].backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())


def test_the_loss_is_that_of_the_flow_to_either_frame(net):
    batch = moving_batch(64, times=(0.25, 0.75), labels=True)
    apart = []
    with torch.no_grad():
        parts = net.loss(batch)
        for m in range(2):
            for end in (0, 1):
                found = net.flow(batch.targets[:, m], batch.frames[:, end])
                apart.append((found - batch.labels[f"flow_t{end}"][:, m]).norm(dim=1))
    torch.testing.assert_close(parts["epe"], torch.stack(apart).mean(), atol=1e-4, rtol=0)


def test_only_what_is_labelled_counts(net):
    batch = moving_batch(64, labels=True)
    wild = {name: value.clone() for name, value in batch.labels.items()}
    for value in wild.values():
        value[1], value[0, :, :, 0] = torch.nan, 1e6
    doubt = torch.zeros(2, 1, 1, 64, 64)
    doubt[0, :, :, 1] = 1
    wild["flow_t0"][0, :, :, 1] = 77.0
    labels = {**wild, "has_flow": torch.tensor([1.0, 0.0])}
    loss = net.loss(replace(batch, labels=labels))["loss"]
    masked = net.loss(replace(batch, labels={**labels, "doubt_t0": doubt, "doubt_t1": doubt}))["loss"]
    assert loss.isfinite() and masked < loss - 0.1
    nothing = net.loss(replace(batch, labels={**labels, "has_flow": torch.zeros(2)}))["loss"]
    nothing.backward()
    assert nothing.item() == 0


def test_wrong_settings_and_frames_are_refused(net):
    with pytest.raises(UsageError, match="at least 1 iteration"):
        RAFT(iterations=0)
    with pytest.raises(UsageError, match="at least 1 iteration"):
        net.flow(*torch.rand(2, 1, 3, 64, 64), iterations=0)
    with pytest.raises(ContractError, match="two RGB frames of one size"):
        net.flow(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 72))
    batch = moving_batch(64, labels=True)
    with pytest.raises(ContractError, match="needs flow = true"):
        net.loss(moving_batch(64))
    with pytest.raises(ContractError, match="of one size"):
        net.loss(replace(batch, targets=batch.targets[..., :32]))
    with pytest.raises(ContractError, match="multiples of 8, at least 64"):
        net.loss(moving_batch(48, labels=True))


def test_a_model_of_flow_is_not_taken_for_one_of_frames(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"raft-s estimates flow and makes no frames. midnet, dis"):
        load("raft-s/tiny")
    with pytest.raises(UsageError, match=r"dis is no estimator of flow. These are: raft, raft-s"):
        load_flow("dis")
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"raft/base has no published weights.*raft\.safetensors"):
        load_flow("raft")
