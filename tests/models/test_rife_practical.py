"""What the release fixes about RIFE 4.26."""

import pytest
import torch
from networks import count

from midframe.errors import ContractError, UsageError
from midframe.models.rife_practical import RIFE426, from_official

TINY = {"widths": (8, 8, 8, 8, 8), "head": 4}


def test_parameters_are_those_of_the_release():
    with torch.device("meta"):
        parts = {name: count(part) for name, part in RIFE426().named_children()}
    assert list(parts.values()) == [6_116, 2_996_212, 1_378_292, 798_724, 375_828, 109_604]


def test_names_are_those_of_the_release():
    with torch.device("meta"):
        state = RIFE426().state_dict()
    sample = {
        "encode.cnn0.weight": (16, 3, 3, 3),
        "encode.cnn3.weight": (16, 4, 4, 4),
        "block0.conv0.0.0.weight": (96, 15, 3, 3),
        "block1.convblock.7.beta": (1, 128, 1, 1),
        "block4.convblock.0.conv.weight": (32, 32, 3, 3),
        "block4.lastconv.0.weight": (32, 52, 4, 4),
    }
    assert {name: tuple(state[name].shape) for name in sample} == sample


def test_the_releases_file_fits():
    model = RIFE426(**TINY)
    theirs = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    extra = {"module.teacher.conv0.0.0.weight": torch.zeros(1), "module.caltime.0.weight": torch.zeros(1)}
    model.load_state_dict(from_official(theirs | extra))


def test_features_are_found_once_for_all_times():
    torch.manual_seed(0)
    model = RIFE426(**TINY).eval()
    calls = []
    model.encode.register_forward_hook(lambda *_: calls.append(1))
    state = model.prepare(torch.rand(1, 2, 3, 64, 128))
    early, late = model.render(state, 0.25), model.render(state, 0.75)
    assert len(calls) == 2
    assert early.shape == (1, 3, 64, 128) and not torch.equal(early, late)


def test_without_flow_the_answer_is_the_mean():
    model = RIFE426(**TINY).eval()
    for k in range(5):
        last = getattr(model, f"block{k}").lastconv[0]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    frames = torch.rand(1, 2, 3, 64, 64) * 1.4 - 0.2  # beyond [0, 1], as video frames may be
    assert torch.allclose(model(frames, 0.3), frames.mean(1), atol=1e-5)


def test_wrong_settings_and_frames_are_refused():
    with pytest.raises(UsageError, match="flow_scale is"):
        RIFE426(flow_scale=3)
    with pytest.raises(ContractError, match="multiples of 128"):
        RIFE426(**TINY, flow_scale=0.5).prepare(torch.rand(1, 2, 3, 64, 64))
