"""Zooming SlowMo: what the paper fixes, what it promises, what it refuses, and that it learns."""

from fractions import Fraction

import pytest
import torch
from networks import count, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models.load import build
from midframe.models.zooming_slowmo import ZoomingSlowMo
from midframe.nn.space_time import blend
from midframe.ops.resize import resize_cubic
from midframe.types import Batch

SMALL = {"width": 8, "groups": 2, "front": 1, "back": 1}


def test_parameters_are_the_published_count():
    assert count(ZoomingSlowMo()) == 11_102_771
    assert count(build("zooming-slowmo-s")) == 217_991
    assert count(build("zooming-slowmo-s/aligned")) == 516_719
    assert count(build("zooming-slowmo/tiny")) < 300_000


def test_its_times_are_all_halves_with_the_ends():
    contract = ZoomingSlowMo(**SMALL).contract
    assert contract.times == tuple(Fraction(k, 2) for k in range(7)) and contract.covers == (0, 3)
    assert contract.scale == (4, 4) and contract.inputs == (0, 1, 2, 3)


@torch.no_grad()
@pytest.mark.parametrize("inputs", [2, 3, 5])
def test_any_number_of_frames(inputs):
    torch.manual_seed(0)
    model = ZoomingSlowMo(inputs=inputs, **SMALL)
    state = model.prepare(torch.rand(1, inputs, 3, 8, 12))
    frames = [model.render(state, Fraction(k, 2)) for k in range(2 * inputs - 1)]
    assert all(frame.shape == (1, 3, 32, 48) for frame in frames)
    assert len({float(frame.sum()) for frame in frames}) == 2 * inputs - 1


@torch.no_grad()
def test_each_member_of_a_batch_may_have_a_time_of_its_own():
    torch.manual_seed(0)
    model = ZoomingSlowMo(**SMALL)
    frames = torch.rand(2, 4, 3, 8, 8)
    state = model.prepare(frames)
    mixed = model.render(state, torch.tensor([0.5, 3.0]))
    assert torch.allclose(mixed[0], model.render(state, 0.5)[0], atol=1e-5)
    assert torch.allclose(mixed[1], model.render(state, 3.0)[1], atol=1e-5)


@torch.no_grad()
def test_the_small_form_begins_as_an_enlarged_cross_fade():
    torch.manual_seed(0)
    model = build("zooming-slowmo-s")
    frames = torch.rand(1, 4, 3, 8, 8)
    for t in (0, 1.5, 3):
        fade = resize_cubic(blend(frames, torch.tensor([t]).view(1, 1, 1, 1)), (32, 32))
        assert torch.allclose(model(frames, t), fade, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, s: m.prepare(torch.rand(1, 2, 3, 8, 8)), "reads 4 RGB frames"),
        (lambda m, s: m.prepare(torch.rand(1, 4, 3, 8, 10)), "multiples of 4"),
        (lambda m, s: m.render(s, 0.25), "renders only t = 0, 1/2, 1, 3/2, 2, 5/2, 3"),
        (lambda m, s: m.render(s, 3.5), "renders only"),
        (lambda m, s: m.render(s, 0.5, (16, 16)), "8×8 frames 4 times as large, asked for 16×16"),
    ],
)
def test_what_it_cannot_do_is_one_line(call, message):
    model = ZoomingSlowMo(**SMALL)
    state = model.prepare(torch.rand(1, 4, 3, 8, 8))
    with pytest.raises(ContractError, match=message) as caught:
        call(model, state)
    assert "\n" not in str(caught.value)


def test_one_frame_is_too_few():
    with pytest.raises(UsageError, match="2 frames or more"):
        ZoomingSlowMo(inputs=1)


def test_it_learns():
    torch.manual_seed(0)
    model = ZoomingSlowMo(inputs=2, residual=True, align=False, **{**SMALL, "width": 16})
    coarse = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(2))
    wide = torch.nn.functional.interpolate(coarse, (40, 48), mode="nearest")
    truth = torch.stack([wide[..., 4:36, 6 * k : 6 * k + 32] for k in range(3)], 1)
    frames = resize_cubic(truth[:, ::2], (8, 8))
    times = torch.tensor([[0.0, 0.5, 1.0]])
    losses = train_a_little(model, Batch(frames, times[:, ::2], truth, times), steps=40, rate=3e-3)
    assert losses[-1] < 0.95 * losses[0]
