"""VideoINR: what the paper fixes, any size and time, strips that change nothing, and that it learns."""

import math

import pytest
import torch
from networks import count, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models import videoinr
from midframe.models.load import build
from midframe.models.videoinr import Grid, Siren, VideoINR, read
from midframe.nn.space_time import blend
from midframe.ops.resize import resize_cubic
from midframe.types import Batch

UNUSED = 2 * (64 * 256 * 9 + 256) + (64 * 64 * 9 + 64) + (64 * 3 * 9 + 3)  # the head that the authors' code builds
SMALL = {"width": 8, "groups": 2, "front": 1, "back": 1, "hidden": (16, 16), "mix": (16, 16)}
KINDS = [{}, {"motion": "splat"}, {"motion": "splat", "mapper": "fourier"}]
OURS = {"residual": True, "relative": True}


def make(**options):
    torch.manual_seed(0)
    return VideoINR(**{**SMALL, **options})


def test_parameters_are_the_published_count():
    model = VideoINR()
    assert count(model) == 10_978_615 and count(model) + UNUSED == 11_312_698
    assert [count(part) for part in (model.decoder.space, model.decoder.motion, model.decoder.colour)] == [
        50_176, 38_724, 121_027,
    ]  # fmt: skip
    assert count(build("videoinr/splat")) == 10_944_630 and count(build("videoinr/fourier")) == 10_965_110
    small = {name: count(build(f"videoinr-s/{name}")) for name in ("base", "splat", "fourier", "aligned")}
    assert small == {"base": 220_604, "splat": 215_898, "fourier": 217_146, "aligned": 519_332}
    assert count(build("videoinr/tiny")) < 300_000 and count(build("videoinr-s/tiny")) < 300_000


def test_a_siren_that_is_entered_part_by_part_is_the_same_siren():
    torch.manual_seed(0)
    siren = Siren((3, 2, 1), (16, 8), 4)
    a, b, c = torch.randn(2, 3, 4, 5), torch.randn(2, 2, 4, 5), torch.randn(2, 1, 1, 1)
    x = torch.cat([a, b, c.expand(-1, -1, 4, 5)], 1)
    for layer in siren.layers[:-1]:
        x = torch.sin(30 * layer(x))
    entered = siren.enter(torch.cat([b, a], 1), 1, 0) + siren.enter(c, 2)
    assert torch.allclose(siren(entered), siren.layers[-1](x), atol=1e-5)


@torch.no_grad()
def test_the_first_weights_of_a_siren_are_those_of_its_paper():
    torch.manual_seed(0)
    first, inner, last = Siren((100,), (200, 50), 30).layers
    for layer, bound in ((first, 1 / 100), (inner, (6 / 200) ** 0.5 / 30), (last, (6 / 50) ** 0.5 / 30)):
        assert 0.95 * bound < float(layer.weight.abs().max()) <= bound
    louder = Siren((100,), (200, 50), 30, gain=4.0).layers
    assert 3.8 / 100 < float(louder[0].weight.abs().max()) <= 4 / 100
    assert float(louder[1].weight.abs().max()) <= (6 / 200) ** 0.5 / 30


@pytest.mark.parametrize("size", [(8, 8), (21, 13), (32, 17)])
def test_each_pixel_knows_its_cell_and_its_place_in_it(size):
    maps = torch.arange(64.0, dtype=torch.float64).view(1, 1, 8, 8)
    grid = Grid(size, slice(0, size[0]), maps)
    cells, within = grid.nearest(maps)[0, 0], grid.within(maps)[0]
    for i in range(size[0]):
        for j in range(size[1]):
            y, x = (i + 0.5) * 8 / size[0], (j + 0.5) * 8 / size[1]
            assert cells[i, j] == 8 * math.floor(y) + math.floor(x)
            assert within[:, i, j].tolist() == pytest.approx([2 * (y % 1) - 1, 2 * (x % 1) - 1])


def test_flow_is_in_pixels_of_the_answer():
    image = torch.rand(1, 2, 6, 9)
    grid = Grid((6, 9), slice(0, 6), image)
    flow = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 6, 9)
    moved = read(image, grid.at(flow))
    assert torch.allclose(moved[..., 1:, :-2], image[..., :-1, 2:], atol=1e-5)
    assert torch.allclose(read(image, grid.here(image)), image, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("options", [*KINDS, *({**kind, **OURS} for kind in KINDS)], ids=str)
def test_any_size_at_any_time(options):
    model = make(**options)
    state = model.prepare(torch.rand(1, 2, 3, 8, 12))
    assert model.render(state, 0.5).shape == (1, 3, 32, 48)
    for t, size in ((0, (8, 12)), (1, (13, 47)), (0.37, (20, 30)), (0.5, (128, 192))):
        made = model.render(state, t, size)
        assert made.shape == (1, 3, *size) and bool(made.isfinite().all())


@torch.no_grad()
@pytest.mark.parametrize("options", [*KINDS, *({**kind, **OURS} for kind in KINDS)], ids=str)
def test_strips_give_the_same_as_the_whole(monkeypatch, options):
    model = make(**options)
    state = model.prepare(torch.rand(2, 2, 3, 8, 8))
    whole = model.render(state, 0.3, (29, 35))
    monkeypatch.setattr(videoinr, "PIXELS", 4 * 35)
    assert len(videoinr.cut_rows((29, 35), 2)) == 15
    assert torch.allclose(model.render(state, 0.3, (29, 35)), whole, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_with_a_residual_it_begins_as_an_enlarged_cross_fade(kind):
    model = make(**kind, **OURS)
    frames = torch.rand(2, 2, 3, 8, 12)
    state, large = model.prepare(frames), resize_cubic(frames, (20, 30))
    for t in (0.0, 0.3, 1.0):
        fade = blend(large, torch.full((2, 1, 1, 1), t))
        assert torch.allclose(model.render(state, t, (20, 30)), fade, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_members_of_a_batch_have_times_of_their_own(kind):
    model = make(**kind)
    frames = torch.rand(2, 2, 3, 8, 8)
    mixed = model(frames, torch.tensor([0.2, 1.0]))
    alone = torch.cat([model(frames[:1], 0.2), model(frames[1:], 1.0)])
    assert torch.allclose(mixed, alone, atol=1e-4)


@torch.no_grad()
def test_relative_flow_means_the_same_motion_at_each_size():
    """A bias of two input pixels to the right moves both enlarged frames by one half-way, by none at their own time."""
    model = make(**OURS)
    model.decoder.motion.layers[-1].bias.copy_(torch.tensor([2.0, 0.0, 2.0, 0.0]))
    frames = torch.rand(1, 1, 3, 8, 8).expand(1, 2, 3, 8, 8)
    state = model.prepare(frames)
    for scale in (2, 4):
        large = resize_cubic(frames[:, 0], (8 * scale, 8 * scale))
        made = model.render(state, 0.5, (8 * scale, 8 * scale))
        assert torch.allclose(made[..., :-scale], large[..., scale:], atol=1e-4)
        assert torch.allclose(model.render(state, 0.0, (8 * scale, 8 * scale)), large, atol=1e-4)


@torch.no_grad()
def test_what_is_splatted_goes_further_the_further_away_its_frame_is():
    model = make(motion="splat", **OURS)
    model.decoder.motion.layers[-1].bias.copy_(torch.tensor([2.0, 0.0, 0.0]))
    frames = torch.rand(1, 1, 3, 8, 8).expand(1, 2, 3, 8, 8)
    state, large = model.prepare(frames), resize_cubic(frames[:, 0], (32, 32))
    assert torch.allclose(model.render(state, 0.0), large, atol=1e-2)
    half = model.render(state, 0.5)
    assert torch.allclose(half[..., 4:], large[..., :-4], atol=1e-2)  # from both frames half of two cells of four


@pytest.mark.parametrize("kind", [{}, {"motion": "splat", "mapper": "fourier"}], ids=str)
def test_it_learns_and_knows_frames_it_has_seen_better_than_those_between(kind):
    model = make(**kind, **OURS, align=False, width=16, hidden=(32, 32), mix=(32, 32))
    generator = torch.Generator().manual_seed(1)
    background = torch.nn.functional.interpolate(
        torch.rand(1, 3, 5, 5, generator=generator), (48, 48), mode="bicubic"
    ).clamp(0, 1)

    def at(t):
        """Three squares on their ways."""
        picture = background.clone()
        for (y, x, dy, dx), colour in zip(
            ((4, 30, 0, -16), (20, 6, 4, 12), (30, 32, -8, -8)), torch.eye(3), strict=True
        ):
            top, left = round(y + t * dy), round(x + t * dx)
            picture[..., top : top + 12, left : left + 12] = colour.view(3, 1, 1)
        return picture

    times = torch.tensor([[0.0, 0.5, 1.0]])
    truth = torch.stack([at(float(t)) for t in times[0]], 1)
    frames = resize_cubic(truth[:, ::2], (12, 12))
    batch = Batch(frames, times[:, ::2], truth, times)

    def error(t):
        with torch.no_grad():
            return float((model(frames, t) - at(t)).square().mean())

    first = error(0.0), error(0.5)
    train_a_little(model, batch, steps=40, rate=1e-3)
    last = error(0.0), error(0.5)
    assert last[1] < 0.95 * first[1] and last[0] < 1.02 * first[0]
    assert last[0] < last[1]


def test_the_published_form_has_gradients_everywhere():
    for kind in KINDS:
        model = make(**kind)
        times = torch.tensor([[0.0, 0.4]])
        batch = Batch(torch.rand(1, 2, 3, 8, 8), torch.tensor([[0.0, 1.0]]), torch.rand(1, 2, 3, 20, 20), times)
        found = model.loss(batch)
        assert found["made"].shape == (2, 3, 20, 20)
        found["loss"].backward()
        without = [name for name, value in model.named_parameters() if value.grad is None]
        assert without == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, s: m.prepare(torch.rand(1, 3, 3, 8, 8)), "VideoINR reads 2 RGB frames"),
        (lambda m, s: m.prepare(torch.rand(1, 2, 3, 8, 10)), "multiples of 4, at least 4; got 8×10"),
        (lambda m, s: m.render(s, 1.5), "VideoINR renders 0 <= t <= 1, asked for"),
        (lambda m, s: m.render(s, float("nan")), "VideoINR renders 0 <= t <= 1"),
        (lambda m, s: m.render(s, 0.5, (4, 8)), "8×8 frames 1 to 16 times as large, asked for 4×8"),
        (lambda m, s: m.render(s, 0.5, (8, 130)), "asked for 8×130"),
    ],
)
def test_what_it_cannot_do_is_one_line(call, message):
    model = make()
    state = model.prepare(torch.rand(1, 2, 3, 8, 8))
    with pytest.raises(ContractError, match=message) as caught:
        call(model, state)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"motion": "swim"},
        {"mapper": "fourier"},
        {"hidden": ()},
        {"omega": 0.0},
        {"gain": 0.0},
        {"width": 9, "groups": 1},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options):
    with pytest.raises(UsageError, match="VideoINR: "):
        make(**options)
