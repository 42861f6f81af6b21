"""What the paper fixes about IFRNet: sizes, names, times, losses."""

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError, ModelError, UsageError
from midframe.models.catalogue import find
from midframe.models.ifrnet import IFRNet, from_official
from midframe.models.load import build, find_remark, load

TINY = {"widths": (8, 8, 12, 16), "side": 8}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return IFRNet(**TINY)


@pytest.mark.parametrize("name", ["ifrnet-s", "ifrnet-m", "ifrnet-l"])
def test_parameters_are_the_published_ones(name):
    row = find(name)
    with torch.device("meta"):
        assert count(IFRNet(**row.variants["base"])) == row.params
    assert row.params in (2_803_610, 4_959_692, 19_699_460)


def test_names_are_those_of_the_authors_files():
    with torch.device("meta"):
        state = IFRNet().state_dict()
    assert len(state) == 104
    sample = {
        "encoder.pyramid1.0.0.weight": (32, 3, 3, 3),
        "encoder.pyramid4.1.1.weight": (96,),
        "decoder4.convblock.0.0.weight": (192, 193, 3, 3),
        "decoder3.convblock.1.conv2.0.weight": (32, 32, 3, 3),
        "decoder2.convblock.1.conv5.weight": (144, 144, 3, 3),
        "decoder1.convblock.1.prelu.weight": (96,),
        "decoder1.convblock.2.weight": (96, 8, 4, 4),
    }
    assert {name: tuple(state[name].shape) for name in sample} == sample


def test_the_authors_checkpoint_fits(net):
    net.load_state_dict(from_official({f"module.{name}": tensor for name, tensor in net.state_dict().items()}))


@pytest.mark.parametrize("scale", [1.0, 0.8, 0.5])
def test_any_time_at_any_scale(net, scale):
    model = IFRNet(**TINY, scale=scale).eval()
    side = 4 * model.contract.multiple
    frames = torch.rand(1, 2, 3, side, side)
    state = model.prepare(frames)
    answers = [model.render(state, t) for t in (0.1, 0.5)]
    assert all(answer.shape == (1, 3, side, side) and answer.isfinite().all() for answer in answers)
    assert not torch.equal(*answers)


def test_without_flow_and_residual_the_answer_is_the_mean(net):
    last = net.decoder1.convblock[2]
    for decoder in (net.decoder1, net.decoder2, net.decoder3, net.decoder4):
        torch.nn.init.zeros_(decoder.convblock[2].weight)
        torch.nn.init.zeros_(decoder.convblock[2].bias)
    frames = torch.rand(1, 2, 3, 32, 32) * 1.4 - 0.2  # beyond [0, 1], as video frames may be
    assert torch.allclose(net(frames, 0.3), frames.mean(1), atol=1e-5)
    torch.nn.init.constant_(last.bias[4:5], 20.0)  # mask: all of frame 0
    assert torch.allclose(net(frames, 0.3), frames[:, 0], atol=1e-5)


def test_wrong_settings_and_frames_are_refused(net):
    with pytest.raises(UsageError, match="scale must divide 16"):
        IFRNet(**TINY, scale=0.7)
    with pytest.raises(UsageError, match="scale must divide 16"):
        IFRNet(**TINY, scale=0)
    with pytest.raises(UsageError, match="side is at most"):
        IFRNet(widths=(8, 8, 8, 8), side=17)
    with pytest.raises(ContractError, match="multiples of 16"):
        net.prepare(torch.rand(1, 2, 3, 40, 48))
    batch = moving_batch(48)
    with pytest.raises(ContractError, match="differ"):
        net.loss(type(batch)(batch.frames, batch.times, batch.targets[..., :32], batch.target_times))


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(net, bf16):
    losses = train_a_little(net, moving_batch(48, labels=True), steps=8, bf16=bf16)
    assert losses[-1] < 0.9 * losses[0]


def test_distillation_is_for_members_with_labels_only(net):
    batch = moving_batch(32, times=(0.25, 0.75), labels=True)
    assert set(net.loss(batch)) == {"loss", "reconstruction", "geometry", "distillation"}
    plain = net.loss(moving_batch(32, times=(0.25, 0.75)))
    assert set(plain) == {"loss", "reconstruction", "geometry"}
    none = type(batch)(
        batch.frames, batch.times, batch.targets, batch.target_times, {**batch.labels, "has_flow": torch.zeros(2)}
    )
    assert torch.equal(net.loss(none)["loss"], plain["loss"])
    wild = batch.labels["flow_t0"].clone()
    wild[1] = torch.nan
    labels = {**batch.labels, "flow_t0": wild, "has_flow": torch.tensor([1.0, 0.0])}
    one = type(batch)(batch.frames, batch.times, batch.targets, batch.target_times, labels)
    assert net.loss(one)["loss"].isfinite()


def test_every_parameter_learns(net):
    net.loss(moving_batch(64, labels=True))["loss"].backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_missing_weights_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"ifrnet-m/base has no published weights.*ifrnet-m\.safetensors"):
        load("ifrnet-m")


def test_ours_are_found_with_a_remark_and_the_users_own_go_before(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    assert "midnet" in find_remark("ifrnet-s") and "\n" not in find_remark("ifrnet-s")
    own = build("ifrnet-s")
    (tmp_path / "weights").mkdir()
    save_file(own.state_dict(), tmp_path / "weights/ifrnet-s.safetensors")
    assert find_remark("ifrnet-s") == find_remark("midnet") == find_remark("dis") == ""
    first = "encoder.pyramid1.0.0.weight"
    assert torch.equal(load("ifrnet-s").get_parameter(first), own.get_parameter(first))
