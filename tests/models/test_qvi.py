"""What the paper fixes about QVI: its motion, its parts, their sizes; and what happens where a frame is missing."""

import math

import pytest
import torch
from clips import cut, write_clip
from networks import count, train_a_little
from safetensors.torch import save_file

from midframe.errors import ContractError, ModelError, UsageError
from midframe.models.catalogue import find
from midframe.models.load import build, load
from midframe.models.qvi import QVI, REACH, accelerate, blend, filter_flow, move
from midframe.nn.pwc import PWCNet
from midframe.ops.splat import reverse
from midframe.testing import check_synthesizer
from midframe.types import Batch, Contract

WIDTHS = (4, 8, 8, 8)
PWC = {"widths": (4, 4, 4, 4, 8, 8), "decoder": (8, 8, 8, 4, 4), "md": 2}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return QVI(widths=WIDTHS, flow="dis")


def throw(height, width):
    """Two pictures moving with constant acceleration, 8 pixels a frame² to the right: at −10, 0, 2, −4 at the four
    times; and the truth at 1/2, which is at 2, too, where a line would say 1."""
    coarse = torch.rand(2, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(1))
    wide = torch.nn.functional.interpolate(coarse, (height, width + 12), mode="bicubic").clamp(0, 1)
    frames = torch.stack([wide[..., 10 + x : 10 + x + width] for x in (-10, 0, 2, -4)], 1)
    times = torch.tensor([-1.0, 0.0, 1.0, 2.0]).expand(2, 4)
    return Batch(frames, times, frames[:, 2:3].clone(), torch.full((2, 1), 0.5))


@pytest.fixture(scope="module")
def thrown():
    return throw(48, 64)


def vector(x, y):
    return torch.tensor([x, y]).view(1, 2, 1, 1)


def path(time, *, velocity=(6.0, -2.0), acceleration=(3.0, 4.0)):
    """Where something is at `time` that is at 0 at time 0, pixels."""
    return vector(*velocity) * time + vector(*acceleration) * time**2 / 2


@pytest.mark.parametrize("t", [0.125, 0.5, 0.75])
def test_constant_acceleration_is_followed_exactly_and_a_line_is_off_by_its_bend(t):
    time, acceleration = torch.tensor(t).view(1, 1, 1, 1), vector(3.0, 4.0)
    from0 = accelerate(path(1.0), path(-1.0))
    from1 = accelerate(path(0.0) - path(1.0), path(2.0) - path(1.0))
    assert torch.allclose(from0, acceleration) and torch.allclose(from1, acceleration)
    assert torch.allclose(move(path(1.0), from0, time), path(t), atol=1e-6)
    assert torch.allclose(move(-path(1.0), from1, 1 - time), path(t) - path(1.0), atol=1e-6)
    miss = move(path(1.0), torch.zeros_like(from0), time) - path(t)
    assert torch.allclose(miss, acceleration * t * (1 - t) / 2, atol=1e-6)


def test_the_motion_is_the_papers_equation():
    forth, back, t = torch.randn(2, 2, 4, 4), torch.randn(2, 2, 4, 4), torch.tensor([0.3, 0.8]).view(2, 1, 1, 1)
    published = (forth + back) / 2 * t**2 + (forth - back) / 2 * t
    assert torch.allclose(move(forth, accelerate(forth, back), t), published, atol=1e-6)


def test_the_guard_lets_agreeing_flows_pass_and_stops_others():
    ahead = vector(8.0, 0.0).expand(1, 2, 3, 3)
    for back, kept in ((-7.0, 1.0), (-4.0, 1.0), (-2.0, 0.5), (0.0, 0.0), (8.0, 0.0)):
        behind = vector(back, 0.0).expand(1, 2, 3, 3)
        assert torch.allclose(accelerate(ahead, behind, 0.5), kept * (ahead + behind)), back
    tiny = 0.05 * ahead
    assert torch.equal(accelerate(tiny, tiny, 0.5), 2 * tiny)  # below what flow can tell
    still = torch.zeros(1, 2, 3, 3, requires_grad=True)
    accelerate(still, still, 0.5).sum().backward()
    assert still.grad.isfinite().all()


def test_a_constant_flow_reversed_is_its_opposite_inside():
    back, known = reverse(vector(2.25, -1.5).expand(1, 2, 12, 12))
    inside = known.expand_as(back)
    assert torch.allclose(back[inside], vector(-2.25, 1.5).expand_as(back)[inside], atol=1e-5)
    assert known[:, :, :10, 3:].all()


def test_the_filter_takes_a_flow_from_nearby_and_never_further_than_it_reaches():
    flow = torch.zeros(1, 2, 32, 32)
    flow[..., 16:] = 5.0
    none, right = torch.zeros_like(flow), vector(100.0, 0.0).expand_as(flow)
    assert torch.equal(filter_flow(flow, none, none), flow)
    assert torch.allclose(filter_flow(flow, none + 1, none), flow + 1)
    looked = filter_flow(flow, none, right)
    edge = 16 - int(REACH)
    assert torch.equal(looked[..., edge:], torch.full_like(looked[..., edge:], 5.0))
    assert torch.equal(looked[..., :edge], torch.zeros_like(looked[..., :edge]))


@pytest.mark.parametrize("t", [0.001, 0.25, 0.5, 0.999])
def test_the_blend_is_the_papers_equation(t):
    warped0, warped1, logit = torch.rand(1, 3, 4, 4) * 2, torch.rand(1, 3, 4, 4), 3 * torch.randn(1, 1, 4, 4)
    mask, time = torch.sigmoid(logit), torch.tensor(t).view(1, 1, 1, 1)
    near, far = (1 - t) * mask, t * (1 - mask)
    expected = (near * warped0 + far * warped1) / (near + far)
    assert torch.allclose(blend(warped0, warped1, logit, time), expected, atol=1e-5)
    sure = torch.full_like(logit, 200.0)
    assert torch.equal(blend(warped0, warped1, sure, time), warped0)
    assert blend(warped0, warped1, -sure, time).isfinite().all()


def test_parameters_are_the_published_ones():
    with torch.device("meta"):
        net, small = QVI(), QVI(**find("qvi-s").variants["base"])
    assert count(net) == find("qvi").params == 29_226_699
    assert count(net.flow) == 9_374_274
    assert count(net.refine) == 19_817_224
    assert count(net.mask) == 35_201
    assert count(small) == find("qvi-s").params


def test_it_reads_four_frames_and_renders_any_time(net):
    assert net.contract == Contract(inputs=(-1, 0, 1, 2), multiple=8, minimum=8)
    state = net.prepare(torch.rand(1, 4, 3, 64, 64))
    assert not torch.equal(net.render(state, 0.1), net.render(state, 0.5))


def test_it_keeps_its_contract_with_pwc_net():
    torch.manual_seed(0)
    check_synthesizer(QVI(widths=WIDTHS, flow=PWCNet(**PWC)).eval(), size=(64, 64), still=None)


@pytest.mark.parametrize("side", ["before", "after", "both"])
def test_where_an_outer_frame_is_missing_motion_is_linear(net, thrown, side):
    frames = thrown.frames.clone()
    if side != "after":
        frames[0, 0] = frames[0, 1]  # as the engine fills a window at a cut; the other member is whole
    if side != "before":
        frames[0, 3] = frames[0, 2]
    bent = net.prepare(frames)["accelerations"].flatten(2).abs().amax(2) > 0
    missing = {"before": [0, 0, 1, 1], "after": [1, 1, 0, 0], "both": [0, 0, 0, 0]}[side]
    assert bent.int().tolist() == [missing, [1, 1, 1, 1]]
    if side == "both":
        line = QVI(widths=WIDTHS, flow="dis", linear=True)
        line.load_state_dict(net.state_dict())
        state, straight = net.prepare(frames[:1]), line.prepare(thrown.frames[:1])
        assert torch.equal(net.render(state, 0.3), line.render(straight, 0.3))


def test_at_ends_and_cuts_of_a_film_motion_is_linear_on_that_side(work, tmp_path, monkeypatch):
    weights = tmp_path / "weights.safetensors"
    save_file(build("qvi-s/tiny").state_dict(), weights)
    film = write_clip(tmp_path / "film.mkv", cut(8, at=(4,), size=(64, 96)), codec="ffv1")
    prepare, bent = QVI.prepare, []

    def look(self, frames, generator=None):
        state = prepare(self, frames, generator)
        bent.append(tuple(bool(side.any()) for side in state["accelerations"][0].chunk(2)))
        return state

    monkeypatch.setattr(QVI, "prepare", look)
    result = work(film, model="qvi-s/tiny", weights=str(weights), threads=1)
    assert len(result.cuts) == 1
    assert bent == 2 * [(False, True), (True, True), (True, False)]  # the pairs of two shots of four frames


def test_acceleration_puts_thrown_things_where_they_are():
    """Untrained: what the closed forms do by themselves, as the last layers begin near 0."""
    torch.manual_seed(0)
    net = QVI(widths=WIDTHS, flow="dis")
    line = QVI(widths=WIDTHS, flow="dis", linear=True)
    line.load_state_dict(net.state_dict())
    batch = throw(96, 128)
    inside = (..., slice(16, -16), slice(24, -24))  # all that is there is in all four frames
    truth = batch.targets[:, 0][inside]
    with torch.no_grad():
        bent, straight = ((model(batch.frames, 0.5)[inside] - truth).square().mean() for model in (net, line))
    assert 10 * math.log10(straight / bent) > 10.0  # dB


def test_super_whites_survive(net):
    frames = (torch.rand(1, 1, 3, 32, 32) * 1.4 - 0.2).expand(1, 4, 3, 32, 32)
    torch.nn.init.zeros_(net.refine.last[0].weight)
    assert torch.allclose(net(frames, 0.4), frames[:, 0], atol=1e-5)


def test_the_flow_network_learns_only_where_it_is_asked_to(thrown):
    torch.manual_seed(0)
    frozen = QVI(widths=WIDTHS, flow=PWCNet(**PWC))
    frozen.loss(thrown)["loss"].backward()
    assert {name.split(".")[0] for name, value in frozen.named_parameters() if value.grad is not None} == {
        "refine",
        "mask",
    }
    assert not any(value.requires_grad for value in frozen.flow.parameters())
    assert frozen.train().refine.training and not frozen.flow.training
    joint = QVI(widths=WIDTHS, flow=PWCNet(**PWC), frozen=False)
    joint.loss(thrown)["loss"].backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in joint.parameters())


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(net, thrown, bf16):
    torch.nn.init.normal_(net.refine.last[0].weight, std=0.5)  # where it begins by itself there is little to gain
    losses = train_a_little(net, thrown, steps=8, rate=5e-3, bf16=bf16)
    assert losses[-1] < 0.9 * losses[0]


def test_several_targets_are_as_several_samples(net, thrown):
    twice = Batch(
        thrown.frames,
        thrown.times,
        torch.cat([thrown.targets, thrown.targets.flip(-1)], 1),
        torch.tensor([0.5, 0.25]).expand(2, 2),
    )
    with torch.no_grad():
        both = net.loss(twice)["loss"]
        parts = [
            net.loss(Batch(thrown.frames, thrown.times, twice.targets[:, k : k + 1], twice.target_times[:, k : k + 1]))
            for k in range(2)
        ]
    assert torch.allclose(both, (parts[0]["loss"] + parts[1]["loss"]) / 2, atol=1e-6)


def test_lpips_joins_the_loss_when_asked_for(net, thrown, monkeypatch):
    assert set(net.loss(thrown)) == {"loss", "l1"}
    monkeypatch.setattr(
        "midframe.models.qvi.lpips_distance", lambda network, made, truth: torch.full((len(made),), 0.5)
    )
    net.perceive(None, 0.1)
    parts = net.loss(thrown)
    assert parts["lpips"].item() == pytest.approx(0.05)
    assert torch.allclose(parts["loss"], parts["l1"] + parts["lpips"])


def test_wrong_frames_and_settings_are_refused(net, thrown):
    with pytest.raises(ContractError, match="four RGB frames"):
        net.prepare(torch.rand(1, 2, 3, 32, 32))
    with pytest.raises(ContractError, match="multiples of 8"):
        net.prepare(torch.rand(1, 4, 3, 36, 32))
    with pytest.raises(ContractError, match="differ"):
        net.loss(Batch(thrown.frames, thrown.times, thrown.targets[..., :32], thrown.target_times))
    with pytest.raises(UsageError, match='"pwc", "dis"'):
        QVI(flow="raft")
    with pytest.raises(UsageError, match="two widths or more"):
        QVI(widths=(8,), flow="dis")


def test_missing_weights_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"qvi/base has no published weights.*qvi\.safetensors"):
        load("qvi")
