"""What the paper fixes about Video Pixel Networks: blocks, masks, exact probabilities, and samples that have them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import count, train_a_little

from midframe.data.moving_mnist import MovingMNIST
from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.vpn import RMB, VPN, Cache, Unit, groups_of, mask_of
from midframe.types import Batch

TINY = find("vpn").variants["tiny"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make(**settings):
    torch.manual_seed(0)
    return VPN(**{**TINY, **settings}).eval()


def film(count=2, size=16, seed=0):
    """Bars and rings of 8 × 8 that drift and bounce: three frames, and the next three."""
    row, column = np.mgrid[:8, :8]
    ring = np.abs(np.hypot(row - 3.5, column - 3.5) - 2.5) < 0.8
    digits = np.stack([ring, np.abs(column - 3.5) < 1, ring & (row < 4), np.abs(row - column) < 2]) * np.uint8(255)
    digits[:, 2] //= 2  # grey values, too
    return MovingMNIST(digits, inputs=3, targets=3, size=size).sample(generator(seed), count)


@pytest.mark.parametrize("name", ["vpn", "vpn-s"])
def test_parameters_are_those_of_the_catalogue(name):
    row = find(name)
    with torch.device("meta"):
        assert count(VPN(**row.variants["base"])) == row.params
        assert count(VPN(**row.variants["tiny"])) < 300_000


def test_parts_have_as_many_parameters_as_the_published_ones():
    with torch.device("meta"):
        model = VPN()
    assert count(model.encoder[0]) == count(model.decoder.blocks[1]) == 1_246_592
    assert count(model.encoder) == 8 * 1_246_592
    assert count(model.memory) == 4_719_616
    # the first block leaves one channel of its 1×1 to the frame, 256 + 1 numbers; the logit of 1×1 has as many
    assert count(model.decoder) == 12 * 1_246_592


def test_a_unit_is_gates_around_a_candidate():
    torch.manual_seed(0)
    unit, h = Unit(3), torch.randn(2, 3, 5, 6)
    weights, biases = unit.gates.weight.chunk(4), unit.gates.bias.chunk(4)
    w1, w2, w3, w4 = (F.conv2d(h, w, b, padding=1) for w, b in zip(weights, biases, strict=True))
    wanted = w1.sigmoid() * torch.tanh(w2.sigmoid() * h + w3.sigmoid() * w4.tanh())
    assert torch.allclose(unit(h), wanted, atol=1e-6)
    unit.blind = True
    wanted = w1.sigmoid() * torch.tanh(w2.sigmoid() + w3.sigmoid() * w4.tanh())
    assert torch.allclose(unit(h), wanted, atol=1e-6)


def test_a_block_adds_its_input_unless_told_not_to():
    torch.manual_seed(0)
    block, x = RMB(4), torch.randn(1, 8, 5, 5)
    inside = block.expand(block.second(block.first(block.reduce(x))))
    assert torch.allclose(block(x), x + inside)
    block.skip = False
    assert torch.allclose(block(x), inside)


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_dilation_is_that_of_all_convolutions_of_a_block(dilation):
    block = RMB(4, dilation)
    x = torch.zeros(1, 8, 33, 33, requires_grad=True)
    (rows, columns) = torch.nonzero(
        torch.autograd.grad(block(x)[0, :, 16, 16].sum(), x)[0][0].abs().sum(0), as_tuple=True
    )
    assert rows.min() == 16 - 2 * dilation and columns.max() == 16 + 2 * dilation
    assert not ((rows - 16) % dilation).any() and not ((columns - 16) % dilation).any()


def test_masks_are_those_of_the_paper():
    one = torch.zeros(1, dtype=torch.int64)
    before = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    assert torch.equal(mask_of(one, one, 3, itself=False)[0, 0], before)
    assert mask_of(one, one, 3, itself=True)[0, 0].sum() == 5
    context = torch.tensor([-1])
    assert mask_of(context, one, 3, itself=False)[0, 0].sum() == 5  # the context is never hidden where the pixel is
    rgb = groups_of(3, 3)
    a, b = (mask_of(rgb, rgb, 3, itself=itself)[:, :, 1, 1] for itself in (False, True))
    assert torch.equal(a, torch.ones(3, 3).tril(-1).bool()) and torch.equal(b, torch.ones(3, 3).tril().bool())
    assert groups_of(7, 3).tolist() == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("colours", [1, 3])
def test_no_pixel_sees_itself_or_what_comes_after(colours):
    """The Jacobian of every logit by every value of the frame: only what comes before in the order of drawing."""
    model = make(colours=colours, blocks=3, width=9)
    height, width = 5, 6
    context = torch.randn(1, 18, height, width)
    frame = torch.rand(1, colours, height, width)
    levels = torch.randn(model.levels, 1, 1)  # a random mixture of a colour's logits leaks if any of them does

    def mixed(f):
        return (model.decoder(context, f).view(colours, model.levels, height, width) * levels).sum(1)

    jacobian = torch.autograd.functional.jacobian(mixed, frame)[:, :, :, 0].abs()
    order = torch.arange(height * width * colours).view(height, width, colours).permute(2, 0, 1)
    hidden = order.view(1, 1, 1, *order.shape) >= order.view(*order.shape, 1, 1, 1)
    assert not jacobian[hidden].any()
    for colour, row, column in np.ndindex(colours, height - 1, width - 2):
        seen = jacobian[colour, row + 1, column + 1]  # each pixel does see its neighbours, and the colours before
        assert (seen[:, row, column : column + 3] > 0).all() and (seen[:, row + 1, column] > 0).all()
        assert (seen[:colour, row + 1, column + 1] > 0).all()


@pytest.mark.parametrize("masked", [True, False], ids=["vpn", "baseline"])
def test_a_frame_is_told_from_earlier_frames_only(masked):
    model, batch = make(masked=masked), film(1, 8)
    targets = batch.targets.clone().requires_grad_()
    contexts = model.read(Batch(batch.frames, batch.times, targets, batch.target_times))
    for m in range(3):
        seen = torch.autograd.grad(contexts[:, m].sum(), targets, retain_graph=True, allow_unused=True)[0]
        seen = torch.zeros_like(targets) if seen is None else seen  # the first context reads no target at all
        assert not seen[:, m:].any() and all(seen[:, k].any() for k in range(m))


def test_the_baseline_does_not_look_at_the_frame_and_has_no_masks():
    model = make(masked=False)
    context = torch.randn(1, 16, 6, 6)
    assert torch.equal(model.decoder(context, torch.rand(1, 1, 6, 6)), model.decoder(context, torch.rand(1, 1, 6, 6)))
    seen = torch.zeros(1, 16, 9, 9, requires_grad=True)
    gradient = torch.autograd.grad(model.decoder(seen, seen[:, :1])[0, 0, 4, 4], seen)[0]
    assert gradient[0, :, 5:].any() and gradient[0, :, 4, 5:].any()


def all_frames(height=2, width=2):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * (height * width)).view(-1, 1, height, width)


@pytest.mark.parametrize("masked", [True, False], ids=["vpn", "baseline"])
def test_probabilities_of_all_frames_sum_to_one(masked):
    model, frames = make(masked=masked), all_frames()
    context = torch.randn(1, 16, 2, 2).expand(16, -1, -1, -1)
    chances = (-model.nats(model.decoder(context, frames), frames)).exp()
    assert chances.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("masked", [True, False], ids=["vpn", "baseline"])
def test_samples_come_as_often_as_their_probability_says(masked):
    model, frames = make(masked=masked), all_frames()
    model.decoder.out.weight.data *= 20  # far from one half each
    context = torch.randn(1, 16, 2, 2, generator=generator(1))
    with torch.no_grad():
        chances = (-model.nats(model.decoder(context.expand(16, -1, -1, -1), frames), frames)).exp().double()
    made = model.make(context.expand(6000, -1, -1, -1), torch.rand(6000, 1, 2, 2, generator=generator(2)))
    index = (made.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1).long()
    counts = torch.bincount(index, minlength=16)
    assert chances.max() > 2 * chances.min()
    assert (((counts - 6000 * chances) ** 2) / (6000 * chances)).sum() < 37.7  # χ², 15 degrees: once in a thousand


@pytest.mark.parametrize("draw", ["sample", "mean"])
@pytest.mark.parametrize("colours", [1, 3])
def test_pixels_from_the_cache_are_those_of_whole_passes(colours, draw):
    model = make(colours=colours, blocks=3, width=9, draw=draw)
    context = torch.randn(2, 18, 5, 7, generator=generator(3))
    numbers = torch.rand(2, colours, 5, 7, generator=generator(4))
    fast, slow = (model.make(context, numbers, cached=cached) for cached in (True, False))
    assert torch.allclose(fast, slow, atol=1e-5)
    assert fast.std() > (0.2 if draw == "sample" else 0.001)


def test_logits_from_the_cache_are_those_of_a_whole_pass():
    model, frame = make(blocks=4), torch.rand(2, 1, 6, 5)
    context = torch.randn(2, 16, 6, 5)
    with torch.no_grad():
        whole = model.decoder(context, frame)
        cache = Cache(model.decoder, context)
        for row in range(6):
            for column in range(5):
                assert torch.allclose(cache.logits(row, column), whole[:, :, row, column], atol=1e-6)
                cache.put(row, column, 0, frame[:, 0, row, column])


def test_sampling_a_frame_makes_no_whole_pass(monkeypatch):
    model = make()

    def refuse(*_):
        raise AssertionError("a whole pass of the decoder")

    monkeypatch.setattr(model.decoder, "forward", refuse)
    assert model.render(model.prepare(film(1, 8).frames, generator())).shape == (1, 1, 8, 8)


@pytest.mark.parametrize("masked", [True, False], ids=["vpn", "baseline"])
def test_one_generator_gives_one_future_whatever_is_asked_for_first(masked):
    model, frames = make(masked=masked), film(2, 8).frames
    with torch.no_grad():
        one, other = model.prepare(frames, generator(1)), model.prepare(frames, generator(1))
        forwards = [model.render(one, t) for t in (1, 2, 3)]
        backwards = [model.render(other, t) for t in (3, 2, 1)][::-1]
        assert all(map(torch.equal, forwards, backwards))
        assert not torch.equal(forwards[0], model.render(model.prepare(frames, generator(2))))
        each = model.render(one, torch.tensor([3.0, 1.0]))
        assert torch.equal(each, torch.stack([forwards[2][0], forwards[0][1]]))
    assert set(forwards[0].unique().tolist()) == {0, 1}


def test_the_mean_needs_no_chance():
    model, frames = make(draw="mean"), film(1, 8).frames
    assert not model.contract.random and make().contract.random
    with torch.no_grad():
        one, other = (model.render(model.prepare(frames, generator(seed))) for seed in (1, 2))
    assert torch.equal(one, other) and 0 < one.min() < one.max() < 1


def test_the_loss_is_the_mean_of_nats_of_a_frame():
    model, batch = make(), film(2, 8)
    contexts, wanted = model.read(batch), []
    for b in range(2):
        for m in range(3):
            y = model.decoder(contexts[b, m][None], batch.targets[b, m][None]).sigmoid()
            z = batch.targets[b, m][None]
            wanted.append(-(z * y.log() + (1 - z) * (1 - y).log()).sum())
    assert torch.allclose(model.loss(batch)["loss"], torch.stack(wanted).mean(), rtol=1e-5)


def test_reading_is_the_memory_step_by_step():
    model, batch = make(), film(2, 8)
    contexts = model.read(batch)
    state = model.prepare(batch.frames)
    assert torch.allclose(contexts[:, 0], state["memory"].hidden, atol=1e-6)
    again = model.memory(model._encode(batch.targets[:, 0]), state["memory"])
    assert torch.allclose(contexts[:, 1], again.hidden, atol=1e-6)


def test_colours_have_256_levels_and_their_nats():
    model = make(colours=3, width=9)
    frames = torch.rand(2, 3, 3, 4, 4)
    batch = Batch(frames, torch.zeros(2, 3), torch.rand(2, 1, 3, 4, 4), torch.ones(2, 1))
    assert model.loss(batch)["loss"].item() == pytest.approx(48 * math.log(256), rel=0.05)  # untrained: all alike
    with torch.no_grad():
        made = model.render(model.prepare(frames, generator()))
    assert torch.allclose(made * 255, (made * 255).round(), atol=1e-4) and made.min() >= 0 and made.max() <= 1


def test_the_blocks_of_a_batch_do_not_mix():
    model, frames = make(), film(2, 8).frames
    with torch.no_grad():
        state = model.prepare(frames, generator())
        alone = model.prepare(frames[1:])
        alone["numbers"] = state["numbers"][:, 1:]
        assert torch.equal(model.render(state, 2)[1:], model.render(alone, 2))


def entropy(frames):
    return F.binary_cross_entropy(frames, frames, reduction="none").flatten(2).sum(2).mean()


def test_after_equal_training_masks_pay_and_none_is_below_the_entropy():
    batch = film(4, 16)
    last = {}
    for masked in (True, False):
        losses = train_a_little(make(masked=masked).train(), batch, steps=60, rate=1e-2)
        last[masked] = losses[-1]
        assert losses[-1] < 0.75 * losses[0]
    bound = float(entropy(batch.targets))
    assert bound < last[True] < last[False]


def test_bf16_gives_finite_falling_losses():
    losses = train_a_little(make().train(), film(1, 8), steps=3, rate=5e-3, bf16=True)
    assert all(map(math.isfinite, losses)) and losses[-1] < losses[0]


@pytest.mark.parametrize("settings", [{}, {"masked": False}, {"colours": 3, "width": 9}], ids=str)
def test_every_parameter_gets_a_finite_gradient(settings):
    model = make(**settings).train()
    batch = film(1, 8)
    if model.colours == 3:
        batch = Batch(
            batch.frames.expand(-1, -1, 3, -1, -1), batch.times, batch.targets.expand(-1, -1, 3, -1, -1),
            batch.target_times,
        )  # fmt: skip
    model.loss(batch)["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


def test_what_does_not_fit_is_refused():
    model, batch = make(), film(1, 8)
    with pytest.raises(ContractError, match="reads 3 frames of 1 channels"):
        model.prepare(batch.frames[:, :2])
    state = model.prepare(batch.frames)
    for t in (0.5, 4.0):
        with pytest.raises(ContractError, match="renders only t = 1, 2, 3"):
            model.render(state, t)
    with pytest.raises(ContractError, match="keeps the size"):
        model.render(state, 1.0, (16, 16))
    with pytest.raises(ContractError, match="in order"):
        model.loss(Batch(batch.frames, batch.times, batch.targets, batch.target_times + 1))


@pytest.mark.parametrize("wrong", [{"width": 1}, {"blocks": 1}, {"dilations": ()}, {"dilations": (0,)}, {"draw": "x"}])
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError, match="VPN: width"):
        VPN(**{**TINY, **wrong})
