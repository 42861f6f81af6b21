"""midnet: motion of the middle carried to any time; what it does before and after it has learnt."""

from dataclasses import replace

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError
from midframe.metrics.psnr import psnr
from midframe.models import midnet
from midframe.models.catalogue import find
from midframe.models.load import load
from midframe.models.midnet import Midnet, carry, log_distance
from midframe.models.rife_practical import RIFE426
from midframe.nn.layers import resize

TINY = dict(find("midnet").variants["tiny"])
INNER = (slice(None), slice(None), slice(16, -16), slice(16, -16))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Midnet(**TINY).eval()


def shifted(step, size=96, parts=2):
    """Two frames of one smooth picture, `parts` × `step` pixels apart, and the truth at 1/parts."""
    coarse = torch.rand(1, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(5))
    whole = size + parts * step
    wide = torch.nn.functional.interpolate(coarse, (size, whole), mode="bicubic").clamp(0, 1)
    return torch.stack([wide[..., :size], wide[..., whole - size :]], 1), wide[..., step : step + size]


def moving(net, frames, step):
    """The state of two frames between which everything moves `step` pixels to the left, as if it had been found."""
    state = net.prepare(frames)
    grid = frames.shape[-1] // state["motion"].shape[-1]
    motion = torch.zeros_like(state["motion"])
    motion[:, 0] = -step / grid
    return {**state, "motion": motion, "bend": torch.zeros_like(motion), "hint": torch.zeros_like(state["hint"])}


def test_parameters_are_counted_right():
    assert count(Midnet()) == find("midnet").params


def test_names_and_shapes_of_its_blocks_are_those_of_rife_426():
    theirs = {name: value.shape for name, value in RIFE426().state_dict().items() if not name.startswith("block4.")}
    own = {name: value.shape for name, value in Midnet().state_dict().items() if not name.startswith("join.")}
    assert own == theirs


@pytest.mark.parametrize(("step", "parts"), [(4, 2), (3, 4), (5, 3)])
def test_known_motion_gives_the_frame_at_any_time(net, step, parts):
    frames, truth = shifted(step, parts=parts)
    with torch.no_grad():
        made = net.render(moving(net, frames, parts * step), 1 / parts)
    assert psnr(made[INNER][0], truth[INNER][0]) > 35


def test_a_bend_is_largest_in_the_middle_and_the_same_for_both_frames(net):
    frames, _ = shifted(4)
    state = moving(net, frames, 8)
    state["bend"][:, 0] = 1.0  # 2 pixels to the right, seen from both
    with torch.no_grad():
        straight = [net.render({**state, "bend": 0 * state["bend"]}, t) for t in (0.25, 0.5)]
        bent = [net.render(state, t) for t in (0.25, 0.5)]
    torch.testing.assert_close(bent[1][..., 20:70, 20:70], straight[1][..., 20:70, 22:72], atol=0.01, rtol=0)
    torch.testing.assert_close(
        bent[0][..., 20:70, 20:70], straight[0][..., 20:70, 20:72].unfold(-1, 2, 1).mean(-1)[..., 1:], atol=0.05, rtol=0
    )


@pytest.mark.parametrize(("height", "width"), [(64, 96), (48, 112), (32, 32)])
@pytest.mark.parametrize("longest", [960, 64, 32])
def test_motion_is_looked_for_in_reduced_frames(height, width, longest):
    net = Midnet(**{**TINY, "longest": longest}).eval()
    with torch.no_grad():
        state = net.prepare(torch.rand(1, 2, 3, height, width))
        grid = height // state["motion"].shape[-2]
        assert net.render(state, 0.3).shape == (1, 3, height, width)
    assert max(height, width) / (grid / 2) <= longest and (grid == 2 or max(height, width) / (grid / 4) > longest)
    assert state["hint"].shape == (1, 9, height // grid, width // grid)


def test_large_motion_is_looked_for_in_smaller_frames(net, monkeypatch):
    frames = torch.cat([shifted(2)[0], torch.rand(1, 2, 3, 96, 96)])
    with torch.no_grad():
        seen = 2 * midnet.PROBE * net._prepare(frames, midnet.PROBE)["motion"].square().sum(1).sqrt()
        lengths = seen.flatten(1).quantile(0.95, 1)
        near = net.prepare(frames)
        monkeypatch.setattr(midnet, "FAR", float(lengths.min()) / 2)
        far = net.prepare(frames)
        monkeypatch.setattr(midnet, "FAR", float(lengths.mean()))
        mixed, alone = net.prepare(frames), [net.prepare(frames[k : k + 1]) for k in (0, 1)]
    for name in ("motion", "bend", "hint"):
        assert near[name].shape == far[name].shape == mixed[name].shape
        assert not torch.allclose(near[name], far[name])
        for k, length in enumerate(lengths):
            wanted = (far if length > lengths.mean() else near)[name][k]
            torch.testing.assert_close(mixed[name][k], wanted)
            torch.testing.assert_close(alone[k][name][0], wanted, atol=1e-5, rtol=1e-4)


def test_motion_seen_in_smaller_frames_is_told_in_the_same_points(net):
    frames, _ = shifted(4)
    with torch.no_grad():
        small = net._prepare(torch.nn.functional.avg_pool2d(frames[0], 2)[None], 1)["motion"]
        lifted = net._prepare(frames, 1, 2)["motion"]
    inner = (..., slice(-2), slice(-2))  # what lies beyond is read before it is cut off
    torch.testing.assert_close(lifted[inner], 2 * resize(small, 2)[inner])


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


def test_motion_is_carried_along_itself():
    x = torch.arange(32.0).expand(1, 1, 8, 32)
    motion = torch.cat([0.1 * x, 0 * x], 1)  # motion(x) = x/10: what is at x after ½ began at x/1.05
    found = carry(motion, 0.5)[0, 0, 4, 4:24]
    torch.testing.assert_close(found, (0.1 * x / 1.05)[0, 0, 4, 4:24], atol=2e-3, rtol=0)


def test_a_map_of_one_time_is_that_time(net):
    frames, _ = shifted(4)
    state = net.prepare(frames)
    torch.testing.assert_close(net.render(state, torch.full((1, 1, 96, 96), 0.3)), net.render(state, 0.3))


def test_each_pixel_goes_as_far_as_its_map_says(net):
    frames, _ = shifted(4, parts=4)
    state = moving(net, frames, 16)
    t = torch.full((1, 1, 96, 96), 0.25)
    t[:, :, 48:] = 0.75
    made = net.render(state, t)
    inner = slice(24, -24)
    for rows, time in ((slice(0, 32), 0.25), (slice(64, 96), 0.75)):
        whole = net.render(state, time)
        torch.testing.assert_close(made[..., rows, inner], whole[..., rows, inner], atol=2e-2, rtol=0)
    assert (net.render(state, 0.25) - net.render(state, 0.75)).abs().mean() > 0.02


@pytest.mark.parametrize("end", [0, 1])
def test_where_the_map_says_0_or_1_the_frame_stays_as_it_is(net, end):
    frames, _ = shifted(4)
    made = net.render(moving(net, frames, 8), torch.full((1, 1, 96, 96), float(end)))
    torch.testing.assert_close(made, frames[:, end], atol=2e-2, rtol=0)


def test_it_can_learn_from_distance_in_place_of_time():
    torch.manual_seed(0)
    net = Midnet(**TINY, index="distance")
    batch = moving_batch()
    with pytest.raises(ContractError, match="distance = true"):
        net.loss(batch)
    count, targets, _, height, width = batch.targets.shape
    even = batch.target_times[:, :, None, None, None].expand(count, targets, 1, height, width)
    found = net.loss(replace(batch, labels={**batch.labels, "distance": even}))["loss"]
    net.index = "time"
    torch.testing.assert_close(found, net.loss(batch)["loss"])


def test_super_whites_survive(net):
    frames = torch.full((1, 2, 3, 64, 64), 1.05)
    with torch.no_grad():
        assert float((net(frames, 0.5) - 1.05).abs().max()) < 0.01


def test_each_picture_counts_by_the_logarithm_of_its_error():
    truth = torch.zeros(2, 3, 16, 16)
    made = torch.stack([torch.full((3, 16, 16), 0.1), torch.full((3, 16, 16), 0.2)])
    # a constant difference d is the same on all four levels: log(4·√(d² + 10⁻⁶))
    expected = torch.tensor([4 * (0.01 + 1e-6) ** 0.5, 4 * (0.04 + 1e-6) ** 0.5]).log()
    torch.testing.assert_close(log_distance(made, truth), expected)


@pytest.mark.parametrize("bf16", [False, True])
def test_the_loss_falls(bf16):
    torch.manual_seed(0)
    losses = train_a_little(Midnet(**TINY), moving_batch(times=(0.25, 0.5)), steps=12, bf16=bf16)
    assert losses[-1] < losses[0] - 0.02


def test_the_loss_is_the_same_whether_a_gradient_is_asked_for_or_not():
    torch.manual_seed(0)
    model, batch = Midnet(**TINY), moving_batch()
    torch.nn.init.normal_(model.join.out.weight)  # a residual that is seen
    wanted = model.loss(batch)
    with torch.no_grad():
        unwanted = model.loss(batch)
    assert unwanted.keys() == wanted.keys()
    for name, value in unwanted.items():
        torch.testing.assert_close(value, wanted[name].detach(), atol=1e-4, rtol=0)


def test_one_sample_is_enough_to_learn_from():
    torch.manual_seed(0)
    batch = moving_batch()
    alone = type(batch)(batch.frames[:1], batch.times[:1], batch.targets[:1], batch.target_times[:1], {})
    assert torch.isfinite(Midnet(**TINY).loss(alone)["loss"])


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = Midnet(**TINY)
    model.loss(moving_batch())["loss"].backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)}
    assert not silent


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
@pytest.mark.parametrize(("step", "parts"), [(4, 2), (3, 4)])
def test_the_weights_that_come_along_follow_motion(variant, step, parts):
    model = load(f"midnet/{variant}")
    frames, truth = shifted(step, size=128, parts=parts)
    blend = frames[:, 0] + (frames[:, 1] - frames[:, 0]) / parts
    with torch.no_grad():
        made = model.render(model.prepare(frames), 1 / parts)
    assert psnr(made[INNER][0], truth[INNER][0]) > psnr(blend[INNER][0], truth[INNER][0]) + 8
