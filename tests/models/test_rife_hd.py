"""What the releases fix about RIFE 3.1, 3.5, 3.6 and 3.8."""

import pytest
import torch
from networks import count

from midframe.errors import ContractError
from midframe.models.rife_hd import RIFE31, RIFE36, from_official

FRAMES = torch.rand(1, 2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [(RIFE31(), 17_579_312), (RIFE36(), 2_277_600), (RIFE36(head="direct"), 1_899_060)],
    ids=["3.1", "3.6", "3.5"],
)
def test_parameters_are_those_of_the_release(model, parameters):
    assert count(model) == parameters


@pytest.mark.parametrize(
    ("model", "sample"),
    [
        (
            RIFE31(),
            {
                "flownet.block0.conv0.0.0.weight": (80, 6, 3, 3),
                "flownet.block2.convblock2.1.1.weight": (160,),
                "contextnet.conv4.conv2.0.weight": (256, 256, 3, 3),
                "unet.conv.weight": (32, 4, 4, 4),
            },
        ),
        (
            RIFE36(),
            {
                "block0.conv0.0.0.weight": (45, 11, 3, 3),
                "block1.convblock3.1.0.weight": (90, 90, 3, 3),
                "block2.conv1.2.weight": (45, 4, 4, 4),
                "block2.conv2.1.weight": (45,),
            },
        ),
        (RIFE36(head="direct"), {"block0.conv1.0.weight": (90, 4, 4, 4), "block0.conv2.weight": (90, 1, 4, 4)}),
    ],
    ids=["3.1", "3.6", "3.5"],
)
def test_names_are_those_of_the_release(model, sample):
    state = model.state_dict()
    assert {name: tuple(state[name].shape) for name in sample} == sample


def test_the_releases_files_fit():
    merged = RIFE31(width=8, context=2)
    theirs = {}
    for name, tensor in merged.state_dict().items():
        part, _, rest = name.partition(".")
        theirs[f"{part}.module.{rest}"] = tensor
    merged.load_state_dict(from_official(theirs))
    plain = RIFE36(width=8)
    theirs = {f"module.{name}": tensor for name, tensor in plain.state_dict().items()}
    plain.load_state_dict(from_official({**theirs, "module.block_tea.conv1.0.weight": torch.zeros(1)}))


@pytest.mark.parametrize("model", [RIFE31(width=8, context=2), RIFE36(width=8)], ids=["3.1", "3.6"])
def test_only_the_middle_is_rendered(model):
    assert model(FRAMES).shape == (1, 3, 64, 64)
    with pytest.raises(ContractError, match=r"only t = 1/2, asked for \[0.25\]"):
        model(FRAMES, 0.25)


def test_the_average_of_both_orders_is_symmetric_in_time():
    model = RIFE36(width=8).eval()
    assert torch.allclose(model(FRAMES), model(FRAMES.flip(1)), atol=1e-5)
    once = RIFE36(width=8, ensemble=False).eval()
    once.load_state_dict(model.state_dict())
    assert not torch.allclose(once(FRAMES), once(FRAMES.flip(1)), atol=1e-4)
    assert model.contract.symmetric and not once.contract.symmetric


def test_3_8_doubles_its_scales_for_far_motion():
    model = RIFE36(width=8, ensemble=False, adaptive=True).eval()
    scales = []
    model.block0.register_forward_pre_hook(lambda block, inputs: scales.append(inputs[2]))
    model(FRAMES)
    assert scales == [8, 4]  # looked at 1/8, then began at 1/4
    torch.nn.init.constant_(model.block0.conv1[2].bias, 10.0)
    model(FRAMES)
    assert scales[2:] == [8, 8]
