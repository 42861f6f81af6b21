"""Every system of the catalogue does what its contract says, in its tiny variant."""

from typing import Any

import pytest
import torch

from midframe.errors import ContractError
from midframe.models.catalogue import SYSTEMS, System
from midframe.models.load import build
from midframe.testing import check_synthesizer
from midframe.types import Contract

# phase goes through Lab and a pyramid and back: a still pair returns within rounding, not exactly
STILL = {"phase": 2e-3}
SMALL = {"vpn": (8, 10), "vpn-s": (8, 10)}  # which draw pixel by pixel; others at the size that is usual
UNTRAINED = None  # a network with random weights promises nothing about still pairs


@pytest.mark.parametrize(
    "row", [row for row in SYSTEMS if row.task in ("interpolate", "predict", "superresolve")], ids=lambda row: row.name
)
def test_system_keeps_its_contract(row: System):
    torch.manual_seed(0)
    still = UNTRAINED if row.needs_weights else STILL.get(row.name, 1e-6)
    check_synthesizer(build(f"{row.name}/tiny"), size=SMALL.get(row.name), still=still)


@pytest.mark.parametrize(
    "row", [row for row in SYSTEMS if row.task not in ("generate", "classify")], ids=lambda row: row.name
)
def test_catalogue_and_contract_agree_about_times(row: System):
    assert (build(f"{row.name}/tiny").contract.times is None) == (row.times == "any")


@pytest.mark.parametrize("row", [row for row in SYSTEMS if row.task == "generate"], ids=lambda row: row.name)
def test_a_generative_system_keeps_its_protocol(row: System):
    torch.manual_seed(0)
    model: Any = build(f"{row.name}/tiny")
    height, width = model.size
    pictures = (torch.rand(3, 1, height, width) < 0.3).float()
    with torch.no_grad():
        made = [model.sample(4, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
        assert made[0].shape == (4, 1, height, width) and made[0].min() >= 0 and made[0].max() <= 1
        assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
        film = model.film(2, torch.Generator().manual_seed(0))
        assert film.frames.shape[1:] == (2, 1, height, width) and len(film.frames) > 1
        assert film.boxes is None or film.boxes.shape == (len(film.frames), 2, 4)
        reconstruction, divergence = model.bound(pictures, torch.Generator().manual_seed(0))
        assert reconstruction.shape == divergence.shape == (3,) and bool((divergence >= 0).all())
        weights = model.log_weights(pictures, 5, torch.Generator().manual_seed(0))
        assert weights.shape == (3, 5) and bool(weights.isfinite().all())
    with pytest.raises(ContractError, match="was made for grey pictures of"):
        model.bound(torch.rand(1, 3, height, width))


@pytest.mark.parametrize("row", [row for row in SYSTEMS if row.task == "classify"], ids=lambda row: row.name)
def test_a_classifier_keeps_its_protocol(row: System):
    torch.manual_seed(0)
    model: Any = build(f"{row.name}/tiny")
    pictures = torch.rand(3, 1, *model.size)
    with torch.no_grad():
        said = [model.classify(pictures, torch.Generator().manual_seed(0)) for _ in range(2)]
        assert said[0].shape == (3, model.classes) and torch.equal(*said)
        mean = model.classify(pictures, sampled=False)
        assert torch.equal(mean, model.classify(pictures, sampled=False))
    assert all(ratio >= 0 for ratio in model.examine(pictures, 1e-3).values())


class Middle:
    """A well-behaved stand-in; subclasses misbehave in one way each."""

    contract = Contract(symmetric=True)

    def prepare(self, frames, generator=None):
        if frames.shape[2] != 3:
            raise ContractError("three channels")
        return {"frames": frames}

    def render(self, state, t, size=None):
        times = torch.as_tensor(t, dtype=torch.float32)
        if not ((times > 0) & (times < 1)).all():
            raise ContractError("0 < t < 1")
        frames = state["frames"]
        return torch.lerp(frames[:, 0], frames[:, 1], times.view(-1, 1, 1, 1))


class Clamps(Middle):
    def render(self, state, t, size=None):
        return super().render(state, t).clamp(0, 1)


class Remembers(Middle):
    def prepare(self, frames, generator=None):
        self.frames = super().prepare(frames)["frames"]
        return {}

    def render(self, state, t, size=None):
        return super().render({"frames": self.frames}, t)


class AnswersAnywhere(Middle):
    def render(self, state, t, size=None):
        return torch.lerp(state["frames"][:, 0], state["frames"][:, 1], torch.as_tensor(t).view(-1, 1, 1, 1))


class Lopsided(Middle):
    def render(self, state, t, size=None):
        return super().render(state, t**3)


class Random(Middle):
    def prepare(self, frames, generator=None):
        return super().prepare(frames + 0.1 * torch.rand(1))


class Scribbles(Middle):
    def prepare(self, frames, generator=None):
        return super().prepare(frames.mul_(0.5))


class MixesTheBatch(Middle):
    def prepare(self, frames, generator=None):
        return super().prepare(frames - frames.mean() + 0.5)


class Doubles(Middle):
    contract = Contract(scale=(1.0, 2.0), symmetric=True)

    def render(self, state, t, size=None):
        frame = super().render(state, t)
        size = size or tuple(2 * side for side in frame.shape[-2:])
        if not all(given <= asked <= 2 * given for asked, given in zip(size, frame.shape[-2:], strict=True)):
            raise ContractError("1 to 2 times the size")
        return torch.nn.functional.interpolate(frame, size, mode="bilinear")


class DoublesAlways(Doubles):
    def render(self, state, t, size=None):
        return super().render(state, t)


class DoublesAndMore(Doubles):
    def render(self, state, t, size=None):
        frame = super().render(state, t)
        return frame if size is None else torch.nn.functional.interpolate(frame, size, mode="bilinear")


class Crops(Middle):
    def render(self, state, t, size=None):
        return super().render(state, t)[..., 1:, :]


def test_check_accepts_a_good_system():
    check_synthesizer(Middle())
    check_synthesizer(Doubles(), still=None)


@pytest.mark.parametrize(
    ("system", "complaint"),
    [
        (Clamps, "still window"),
        (Remembers, "another clip"),
        (AnswersAnywhere, "not refused"),
        (Lopsided, "symmetric"),
        (Random, "two runs differ"),
        (Scribbles, "writes into"),
        (MixesTheBatch, "batch of two"),
        (Crops, "shape"),
        (DoublesAlways, "asked for"),
        (DoublesAndMore, "outside the scale"),
    ],
)
def test_check_names_the_broken_claim(system, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_synthesizer(system())
