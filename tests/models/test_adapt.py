import itertools
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midframe.errors import ContractError, UsageError
from midframe.models.adapt import Bisected, Ensembled, Tiled
from midframe.models.blend import Blend
from midframe.models.dis import DIS
from midframe.testing import check_synthesizer
from midframe.types import Contract


class Middle(Blend):
    """Renders only t=1/2 and counts how often."""

    contract = Contract(times=(Fraction(1, 2),), symmetric=True)

    def __init__(self):
        self.runs = 0

    def render(self, state, t, size=None):
        if float(t) != 0.5:
            raise ContractError(f"only t=1/2, asked for {t}")
        self.runs += 1
        return super().render(state, 0.5, size)


class Leaning(Blend):
    """Depends on the place in the picture and on the order of frames."""

    contract = Contract()

    def render(self, state, t, size=None):
        answer = super().render(state, t, size)
        ramp = torch.arange(answer.shape[-1], dtype=answer.dtype)
        return answer + 0.1 * ramp * (state["frames"][:, 0] - state["frames"][:, 1])


@pytest.fixture
def frames():
    return torch.rand(2, 2, 3, 20, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "wrapped",
    [
        Bisected(Middle(), 2),
        Bisected(Blend(), 1),
        Tiled(Blend(), tile=32, overlap=8),
        Ensembled(Blend(), ("horizontal", "vertical", "time")),
        Ensembled(DIS(preset="tiny"), ("horizontal",)),
        Tiled(Bisected(Middle(), 3), tile=40, overlap=20),
    ],
    ids=lambda model: type(model).__name__,
)
def test_wrapper_keeps_its_contract(wrapped):
    check_synthesizer(wrapped)


def test_bisected_middle_frames_are_the_straight_line(frames):
    model = Bisected(Middle(), 3)
    state = model.prepare(frames)
    for k in range(1, 8):
        expected = torch.lerp(frames[:, 0], frames[:, 1], k / 8)
        torch.testing.assert_close(model.render(state, k / 8), expected)


def test_bisected_runs_the_model_once_per_new_frame(frames):
    model = Bisected(Middle(), 3)
    state = model.prepare(frames)
    for k in (3, 3, 1, 2, 4, 5, 6, 7):
        model.render(state, Fraction(k, 8))
    assert model.model.runs == 7


@pytest.mark.parametrize("t", [0, 1, 1 / 3, 1 / 16, -0.5, 0.3750021])
def test_bisected_refuses_times_between_its_steps(frames, t):
    model = Bisected(Middle(), 3)
    with pytest.raises(ContractError, match="1/8"):
        model.render(model.prepare(frames), t)


@pytest.mark.parametrize("depth", [0, 9])
def test_bisected_refuses_senseless_depth(depth):
    with pytest.raises(UsageError, match="1 to 8"):
        Bisected(Middle(), depth)


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 400), tile=st.integers(4, 90), scale=st.floats(1, 4), data=st.data())
def test_tiles_cover_every_pixel_once(length, tile, scale, data):
    overlap = data.draw(st.integers(0, tile // 2))
    model = Tiled(Blend(), tile=tile, overlap=overlap)
    goal = round(scale * length)
    total = torch.zeros(goal, dtype=torch.float64)
    starts = model._starts(length)
    for start, weight in model._spread(length, goal):
        assert weight.min() > 0
        total[start : start + len(weight)] += weight
    torch.testing.assert_close(total, torch.ones_like(total))
    assert starts[-1] + min(tile, length) == length
    assert all(b - a <= tile - overlap for a, b in itertools.pairwise(starts))


def test_tiled_pointwise_model_equals_the_model(frames):
    tiled = Tiled(Blend(), tile=9, overlap=3)
    expected = Blend().render(Blend().prepare(frames), 0.3)
    torch.testing.assert_close(tiled.render(tiled.prepare(frames), 0.3), expected)


def test_tiled_motion_shorter_than_the_overlap_survives():
    picture = torch.nn.functional.interpolate(
        torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(2)), (128, 200), mode="bicubic"
    )
    pair = torch.stack([picture[..., :192], picture[..., 4:196]], 1)
    whole, tiled = DIS(preset="tiny"), Tiled(DIS(preset="tiny"), tile=96, overlap=48)
    apart = tiled.render(tiled.prepare(pair), 0.5) - whole.render(whole.prepare(pair), 0.5)
    assert apart[..., 16:-16, 16:-16].abs().mean() < 0.005


@pytest.mark.parametrize("overlap", [-1, 33])
def test_tiled_refuses_senseless_overlap(overlap):
    with pytest.raises(UsageError, match="overlap"):
        Tiled(Blend(), tile=64, overlap=overlap)


def test_ensembled_over_time_makes_a_model_symmetric(frames):
    model = Ensembled(Leaning(), ("time",))
    assert model.contract.symmetric
    there = model.render(model.prepare(frames), 0.25)
    back = model.render(model.prepare(frames.flip(1)), 0.75)
    torch.testing.assert_close(there, back)


def test_ensembled_over_flips_makes_a_model_mirror_symmetric(frames):
    model = Ensembled(Leaning(), ("horizontal",))
    there = model.render(model.prepare(frames), 0.25)
    mirrored = model.render(model.prepare(frames.flip(-1).contiguous()), 0.25).flip(-1)
    torch.testing.assert_close(there, mirrored)


@pytest.mark.parametrize("flips", [(), ("sideways",)])
def test_ensembled_refuses_unknown_flips(flips):
    with pytest.raises(UsageError, match="flips"):
        Ensembled(Blend(), flips)
