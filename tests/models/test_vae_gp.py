"""What is known of the process: it meets what it knows, its three forms agree, the joint loss trains all of it."""

import pytest
import torch
from networks import count

from midframe.data.moving_ball import draw_ways, paint_balls
from midframe.errors import ContractError, UsageError
from midframe.models import vae_gp
from midframe.models.catalogue import find
from midframe.models.fitted import Fit, load_fit, save_fit
from midframe.models.load import load
from midframe.models.vae_gp import VAEGP
from midframe.types import Batch

ROW = find("vae-gp")
TINY = {"frames": 24, "size": (16, 16), "channels": 1, "width": 8, "stages": 2, "latent_size": 3}


def film(frames=24, seed=0):
    way = draw_ways(1, frames, lengthscale=6.0, generator=torch.Generator().manual_seed(seed))
    return paint_balls(way, size=16, radius=3)[0], way[0]


def batch_of(frames, times=None):
    times = torch.arange(float(len(frames))) if times is None else times
    return Batch(frames[None, :0], times[None, :0], frames[None], times[None])


def trained(steps, rate=5e-3, **settings):
    torch.manual_seed(0)
    model = VAEGP(**{**TINY, **settings}, warm_up=10)
    frames, _ = film()
    optimiser = torch.optim.Adam(model.parameters(), rate)
    errors = []
    for _ in range(steps):
        parts = model.loss(batch_of(frames))
        optimiser.zero_grad()
        parts["loss"].backward()
        optimiser.step()
        errors.append(parts["error"].item())
    model.eval()
    model.observe([(frames[:10], torch.arange(10.0)), (frames[10:], torch.arange(10.0, 24))])
    return model, errors


def test_parameters():
    assert count(VAEGP()) == ROW.params
    assert count(VAEGP(**ROW.variants["tiny"])) < 300_000


@pytest.mark.parametrize("process", ["exact", "inducing", "state-space"])
def test_without_noise_the_process_meets_what_it_knows(process):
    model = VAEGP(**TINY, process=process, inducing=24)
    x = torch.arange(24.0)[None]
    mean = torch.randn(1, 3, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        middle, spread = model.regress(x, mean, torch.zeros_like(mean), x)
    assert torch.allclose(middle, mean.double(), atol=2e-3) and float(spread.max()) < 1e-3


def test_a_time_far_away_is_the_prior():
    model = VAEGP(**TINY)
    mean = torch.ones(1, 3, 4)
    middle, spread = model.regress(torch.arange(4.0)[None], mean, 0.1 * mean, torch.tensor([[500.0]]))
    assert float(middle.detach().abs().max()) < 1e-6
    assert spread.detach().numpy() == pytest.approx(1.0, abs=1e-6)


def test_the_three_forms_agree():
    x = torch.rand(2, 20, generator=torch.Generator().manual_seed(1)).cumsum(1) * 2
    mean = (x[:, None] / torch.tensor([3.0, 5.0, 7.0])[:, None]).sin()
    variance = torch.full_like(mean, 0.02)
    at = torch.rand(2, 7, generator=torch.Generator().manual_seed(2)) * x[:, -1:]
    answers = {
        process: VAEGP(**TINY, process=process, inducing=200).regress(x, mean, variance, at)
        for process in ("exact", "inducing", "state-space")
    }
    for process, tolerance in (("state-space", 1e-6), ("inducing", 1e-3)):
        for one, other in zip(answers[process], answers["exact"], strict=True):
            assert torch.allclose(one, other, atol=tolerance), process


def test_the_gradient_of_the_marginal_likelihood_is_that_of_differences():
    model = VAEGP(**TINY).double()
    x = torch.arange(12.0, dtype=torch.float64)
    y = torch.randn(3, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.full_like(y, 0.1)
    model.log_marginal(x, y, noise).backward()
    for parameter in model.kernel.parameters():
        step, values = 1e-5, []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step
                values.append(model.log_marginal(x, y, noise).item())
                parameter -= sign * step
        assert parameter.grad.item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


def test_the_marginal_likelihood_is_a_normal_density():
    model = VAEGP(**TINY)
    x, y = torch.arange(5.0).double(), torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).double()
    dense = model.kernel(x[:, None], x[:, None]).to_dense().double() + 0.1 * torch.eye(5)
    wanted = torch.distributions.MultivariateNormal(torch.zeros(5).double(), dense).log_prob(y).sum()
    assert model.log_marginal(x, y, torch.full_like(y, 0.1)).item() == pytest.approx(wanted.item(), rel=1e-4)


@pytest.mark.parametrize("process", ["exact", "inducing", "state-space"])
@pytest.mark.parametrize("training", ["joint", "after", "linear"])
def test_a_film_is_learnt_and_asked_at_any_time(training, process, monkeypatch):
    monkeypatch.setattr(vae_gp, "LIKELY_STEPS", 3)
    model, errors = trained(3, training=training, process=process)
    with torch.no_grad():
        made = model(torch.tensor([0.0, 3.3, 23.0, 40.0]))
        assert made.shape == (4, 1, 16, 16) and made.min() >= 0 and made.max() <= 1 and bool(made.isfinite().all())
    assert int(model.seen) == 3 and all(error == error for error in errors)


def test_a_fitted_film_is_near_its_frames_and_its_process_is_exact():
    model, errors = trained(50, rate=1e-2)
    assert errors[-1] < 0.5 * errors[0]
    frames, _ = film()
    with torch.no_grad():
        times = torch.arange(24.0)
        mean, log_variance = model.encode(frames)
        middle, _ = model.regress(times[None], mean.T[None], log_variance.T[None].exp(), times[None] + 0.4)
        assert torch.allclose(model.latent(times + 0.4), middle[0].T, atol=1e-6)
        assert float((model(times) - frames).square().mean()) < 0.5 * float((frames - frames.mean(0)).square().mean())


def test_state_space_and_dense_leave_the_same_film():
    model, _ = trained(3)
    other, _ = trained(3, process="state-space")
    other.load_state_dict(model.state_dict())
    frames, _ = film()
    for one in (model, other):
        one.observe([(frames, torch.arange(24.0))])
    t = torch.tensor([0.5, 11.3])
    with torch.no_grad():
        assert torch.allclose(model.latent(t), other.latent(t), atol=1e-6)


def test_straight_lines_are_straight():
    model, _ = trained(3, training="linear")
    with torch.no_grad():
        a, middle, b = model.latent(torch.tensor([4.0, 4.5, 5.0]))
    assert torch.allclose(middle, (a + b) / 2)


@pytest.mark.parametrize("training", ["joint", "after"])
def test_every_parameter_gets_a_finite_gradient(training):
    torch.manual_seed(0)
    model = VAEGP(**TINY, training=training)
    parts = model.loss(batch_of(film()[0]))
    parts["loss"].backward()
    assert set(parts) == {"loss", "error", "kl"} | ({"regressed"} if training == "joint" else set())
    for name, parameter in model.named_parameters():
        if training == "joint" or not name.startswith("kernel"):
            assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


def test_a_file_is_the_film(tmp_path):
    model, _ = trained(3)
    path = tmp_path / "ball.safetensors"
    fit = Fit({**TINY, "warm_up": 10}, 0, 25, "ball.mp4", {}, "vae-gp")
    save_fit(path, model, fit, bits=32)
    again, about = load_fit(path)
    t = torch.tensor([0.0, 7.7])
    with torch.no_grad():
        assert about.system == "vae-gp" and torch.allclose(again(t), model(t), atol=1e-6)


def test_what_does_not_fit_is_refused():
    model = VAEGP(**TINY)
    frames, _ = film()
    with pytest.raises(ContractError, match="4 frames or more"):
        model.loss(batch_of(frames[:3]))
    with pytest.raises(ContractError, match="was made for frames of 1 16 16"):
        model.loss(batch_of(frames[..., :8]))
    with pytest.raises(ContractError, match="learn 24 frames; it is told 5"):
        model.observe([(frames[:5], torch.arange(5.0))])
    with pytest.raises(UsageError, match="fitted to one clip"):
        load("vae-gp")
    with pytest.raises(UsageError, match="no state space"):
        VAEGP(process="state-space", kernel="rbf")
    for wrong in ({"frames": 2}, {"kernel": "cosine"}, {"process": "magic"}, {"training": "never"}, {"held": 0.9}):
        with pytest.raises(UsageError, match="VAEGP"):
            VAEGP(**{**TINY, **wrong})


def test_a_ball_is_where_its_way_says():
    frames, way = film()
    line = torch.arange(16.0)
    x = (frames[:, 0].sum(1) * line).sum(1) / frames[:, 0].sum((1, 2))
    assert torch.allclose(x, (way[:, 0] / 2).clamp(-1, 1) * 5 + 7.5, atol=0.02)
    again, _ = film()
    assert torch.equal(frames, again) and not torch.equal(frames, film(seed=1)[0])
