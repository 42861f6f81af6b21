"""midnet before any training is a classical method that works; trained, it learns without leaving that behind."""

from dataclasses import replace

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError
from midframe.metrics.psnr import psnr
from midframe.models.catalogue import find
from midframe.models.load import load
from midframe.models.midnet import FINE, Midnet, carry, find_hidden, in_pairs, swap
from midframe.ops.dense_search import search_pairs

TINY = dict(find("midnet").variants["tiny"])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Midnet(**TINY).eval()


def shifted(step, size=96):
    """Two frames of one smooth picture `step` pixels apart, and the truth half-way."""
    coarse = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(5))
    wide = torch.nn.functional.interpolate(coarse, (size, size + 2 * step), mode="bicubic").clamp(0, 1)
    ends = torch.stack([wide[..., :size], wide[..., 2 * step : size + 2 * step]], 1)
    return ends, wide[..., step : size + step]


def test_parameters_are_counted_right():
    assert count(Midnet()) == find("midnet").params < 1_500_000


def test_untrained_it_follows_motion(net):
    frames, truth = shifted(4)
    with torch.no_grad():
        made = net(frames, 0.5)
    inner = (slice(None), slice(None), slice(16, -16), slice(16, -16))
    blend = frames.mean(1)
    assert psnr(made[inner][0], truth[inner][0]) > psnr(blend[inner][0], truth[inner][0]) + 6


def test_one_preparation_serves_all_times(net):
    frames, _ = shifted(3)
    with torch.no_grad():
        state = net.prepare(frames)
        kept = {name: value.clone() for name, value in state.items()}
        several = [net.render(state, t) for t in (0.25, 0.5, 0.75)]
        assert all(torch.equal(kept[name], state[name]) for name in kept)
        assert torch.equal(several[1], net(frames, 0.5))
    assert not torch.equal(several[0], several[2])


def test_members_of_a_batch_do_not_touch_each_other(net):
    (first, _), (second, _) = shifted(2), shifted(5)
    with torch.no_grad():
        both = net(torch.cat([first, second]), torch.tensor([0.3, 0.6]))
        alone = torch.cat([net(first, 0.3), net(second, 0.6)])
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=0)


def test_flow_beside_the_batch_is_taken():
    torch.manual_seed(0)
    model, batch = Midnet(**TINY), moving_batch()
    plain = model.loss(batch)["loss"]
    found = search_pairs(batch.frames, model.search, grid=FINE)
    assert torch.equal(plain, model.loss(replace(batch, labels={"searched": found}))["loss"])
    assert not torch.equal(plain, model.loss(replace(batch, labels={"searched": found + 1}))["loss"])


def test_a_flow_is_carried_along_itself():
    x = torch.arange(32.0).expand(1, 1, 8, 32)
    flow = torch.cat([0.1 * x, 0 * x], 1)  # flow(x) = x/10: what is at x after ½ began at x/1.05
    found = carry(flow, 0.5)[0, 0, 4, 4:24]
    torch.testing.assert_close(found, (0.1 * x / 1.05)[0, 0, 4, 4:24], atol=2e-3, rtol=0)


def test_what_does_not_close_is_hidden():
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0, :, 4:] = 3.0
    hidden = find_hidden(flow, torch.zeros_like(flow))
    assert hidden[..., :4].max() < 1e-6 and hidden[..., 4:].min() > 0.6


def test_frames_of_a_pair_are_swapped():
    maps = torch.arange(4.0).view(4, 1, 1, 1)
    assert swap(maps).flatten().tolist() == [1, 0, 3, 2]
    assert in_pairs(maps).shape == (2, 2, 1, 1, 1)


def test_super_whites_survive(net):
    frames = torch.full((1, 2, 3, 64, 64), 1.05)
    with torch.no_grad():
        assert float((net(frames, 0.5) - 1.05).abs().max()) < 0.01


@pytest.mark.parametrize("bf16", [False, True])
def test_the_loss_falls(bf16):
    torch.manual_seed(0)
    losses = train_a_little(Midnet(**TINY), moving_batch(times=(0.25, 0.5)), steps=12, bf16=bf16)
    assert losses[-1] < losses[0] - 0.02


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = Midnet(**TINY)
    train_a_little(model, moving_batch(), steps=2)  # the last layers begin near 0, where nothing passes
    model.zero_grad()
    model.loss(moving_batch())["loss"].backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters())


def test_mistakes_are_named(net):
    with pytest.raises(ContractError, match="two RGB frames"):
        net.prepare(torch.rand(1, 3, 3, 64, 64))
    with pytest.raises(ContractError, match="multiples of 16"):
        net.prepare(torch.rand(1, 2, 3, 72, 64))
    state = net.prepare(torch.rand(1, 2, 3, 64, 64))
    with pytest.raises(ContractError, match="0 < t < 1"):
        net.render(state, 1.0)
    with pytest.raises(ContractError, match="keeps the size"):
        net.render(state, 0.5, (32, 32))


@pytest.mark.parametrize("variant", ["base", "fast", "best"])
def test_the_weights_that_come_along_follow_motion(variant):
    model = load(f"midnet/{variant}")
    frames, truth = shifted(4)
    with torch.no_grad():
        made = model.render(model.prepare(frames), 0.5)
    inner = (slice(None), slice(None), slice(16, -16), slice(16, -16))
    assert psnr(made[inner][0], truth[inner][0]) > psnr(frames.mean(1)[inner][0], truth[inner][0]) + 6
