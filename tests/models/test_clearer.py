"""Distance and reference in place of the time (Zhong et al., ECCV 2024), in every network that can be told of them."""

import sys
from dataclasses import replace

import pytest
import torch

from midframe.data.distance import References
from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import resolve
from midframe.models.load import build
from midframe.models.rife import RIFE
from midframe.nn.pair import Reference
from midframe.types import Batch

NAMES = ["rife-paper-m", "ifrnet-s", "amt-s", "ema-vfi-xs"]


def tiny(name: str, index: str):
    row, _ = resolve(name)
    module = build(f"{name}/tiny")
    torch.manual_seed(0)
    return type(module)(**row.variants["tiny"], index=index).eval()


def sample(size: tuple[int, int] = (128, 128)) -> Batch:
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(2, 2, 3, *size, generator=generator)
    maps = torch.rand(2, 1, 1, *size, generator=generator)
    return Batch(
        frames,
        torch.tensor([[0.0, 1.0]] * 2),
        frames.mean(1, keepdim=True),
        torch.tensor([[0.3], [0.6]]),
        {"distance": maps, "reference": frames[:, :1], "reference_distance": torch.zeros_like(maps)},
    )


# channels of the authors' changed layers: spec of the paper's code, section 3
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        (
            "rife-paper-m",
            {"block0.conv0.0.0": 11, "block1.conv0.0.0": 22, "block2.conv0.0.0": 22, "block_tea.conv0.0.0": 25},
        ),
        ("ifrnet-s", {"decoder4.convblock.0.0": 3 * 72 + 2}),
        ("amt-s", {"decoder4.convblock.0.0": 3 * 56 + 2}),
        ("ema-vfi-s", {"feature_bone.block1.conv.0": 7}),
    ],
)
def test_only_the_published_layers_read_more(name, layers):
    plain = {key: value.shape for key, value in build(name).state_dict().items()}
    told = {key: value.shape for key, value in build(f"{name}/reference").state_dict().items()}
    assert {key for key in told if told[key] != plain[key]} == {f"{layer}.weight" for layer in layers}
    for layer, channels in layers.items():
        assert told[f"{layer}.weight"][1] == channels


@pytest.mark.parametrize("name", NAMES)
def test_rendering_takes_two_steps_from_frame_0(name, monkeypatch):
    net = tiny(name, "reference")
    module = sys.modules[type(net).__module__]
    frames = sample().frames

    def step(t, reference, distance):
        """The frame at `t` from one reference."""
        start = Reference(reference, torch.full((2, 1, 1, 1), distance))
        with monkeypatch.context() as patch, torch.no_grad():
            patch.setattr(module, "approach", lambda given, goal, make: make(goal, start))
            return net(frames, t)

    first = step(0.3, frames[:, 0], 0.0)
    assert not torch.equal(first, step(0.3, frames[:, 1], 1.0))
    with torch.no_grad():
        torch.testing.assert_close(net(frames, 0.6), step(0.6, first, 0.3))


@pytest.mark.parametrize("name", NAMES)
def test_a_map_of_one_value_is_that_distance(name):
    net = tiny(name, "reference")
    frames = sample().frames
    with torch.no_grad():
        torch.testing.assert_close(
            net(frames, torch.full((2, 1, 128, 128), 0.4)), net(frames, 0.4), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_from_distance_and_reference(name):
    net, batch = tiny(name, "reference").train(), sample()
    found = net.loss(batch)["loss"]
    found.backward()
    assert torch.isfinite(found)
    unused = [key for key, value in net.named_parameters() if value.grad is None]
    assert not unused
    moved = replace(batch, labels={**batch.labels, "reference": batch.frames[:, 1:]})
    assert not torch.equal(net.loss(moved)["loss"], found)
    for label, key in (("distance", "distance"), ("reference", "reference"), ("reference_distance", "reference")):
        lacking = {name: value for name, value in batch.labels.items() if name != label}
        with pytest.raises(ContractError, match=f"{key} = true"):
            net.loss(replace(batch, labels=lacking))


@pytest.mark.parametrize("name", NAMES)
def test_told_the_distance_alone_it_has_the_published_layers(name):
    told, plain = tiny(name, "distance"), tiny(name, "time")
    told.load_state_dict(plain.state_dict())
    batch = sample()
    even = replace(batch, labels={"distance": batch.target_times.view(2, 1, 1, 1, 1).expand(2, 1, 1, 128, 128)})
    torch.testing.assert_close(told.loss(even)["loss"], plain.loss(batch)["loss"], atol=1e-4, rtol=1e-4)


def test_a_network_of_the_middle_has_no_use_for_either():
    for index in ("distance", "reference"):
        with pytest.raises(UsageError, match="any_time"):
            RIFE(index=index)


class Two:
    """Two targets a sample: grey of 0.25 and of 0.75, with those values as their distances."""

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        values = torch.tensor([0.25, 0.75]).view(1, 2, 1, 1, 1)
        ends = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1, 1)
        return Batch(
            ends.expand(count, 2, 3, 8, 8),
            torch.tensor([[0.0, 1.0]]).expand(count, 2),
            values.expand(count, 2, 3, 8, 8),
            torch.tensor([[0.25, 0.75]]).expand(count, 2),
            {"distance": values.expand(count, 2, 1, 8, 8), "motion": torch.zeros(count)},
        )


def test_references_are_ends_target_or_another_frame_and_know_their_distance():
    batch = References(Two()).sample(torch.Generator().manual_seed(0), 400)
    assert batch.targets.shape == (400, 1, 3, 8, 8) and batch.target_times.shape == (400, 1)
    frame, place = batch.labels["reference"], batch.labels["reference_distance"]
    assert frame.shape == (400, 1, 3, 8, 8) and place.shape == (400, 1, 1, 8, 8)
    assert torch.equal(frame[:, :, :1], place)
    assert torch.equal(batch.targets[:, :, :1], batch.labels["distance"])
    assert torch.equal(batch.targets[:, 0, 0, 0, 0], batch.target_times[:, 0])
    kinds = place[:, 0, 0, 0, 0]
    target = batch.target_times[:, 0]
    shares = [(kinds == 0), (kinds == 1), (kinds == target), (kinds == 1 - target)]
    assert all(70 < int(share.sum()) < 130 for share in shares)
    assert 160 < int((target == 0.25).sum()) < 240
