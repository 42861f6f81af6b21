"""The reported failure and its cure: first weights, chance, the alarm, and that the cured network learns."""

import math

import pytest
import torch
import torch.nn.functional as F
from networks import count

from midframe.bench.classify import calibration_error, score_classifier, sound_alarm
from midframe.errors import ContractError, UsageError
from midframe.models.bayesian_hypernet import BayesianHyperNet, multiply
from midframe.models.catalogue import find, resolve
from midframe.models.load import build, load, load_classifier
from midframe.types import Batch

SMALL = {"size": (16, 16), "classes": 4, "widths": (4, 8), "hidden": 32}
FORMS = ("image", "shared", "anchored")


def corners(number=64, seed=0):
    """A bright corner out of four on noise: something easy to say."""
    generator = torch.Generator().manual_seed(seed)
    pictures = 0.2 * torch.rand(number, 1, 16, 16, generator=generator)
    said = torch.randint(4, (number,), generator=generator)
    for picture, k in zip(pictures, said.tolist(), strict=True):
        picture[:, 8 * (k // 2) : 8 * (k // 2) + 8, 8 * (k % 2) : 8 * (k % 2) + 8] += 0.8
    return pictures, said


def batch_of(pictures, said):
    times = torch.zeros(len(pictures), 1)
    return Batch(pictures[:, None], times, pictures[:, None], times, {"class": said})


def trained(steps, rate, **settings):
    torch.manual_seed(0)
    model = BayesianHyperNet(**SMALL, **settings)
    optimiser = torch.optim.Adam(model.parameters(), rate)
    for step in range(steps):
        loss = model.loss(batch_of(*corners(seed=step)))["loss"]
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


def test_parameters():
    for name in ("bayesian-hypernet", "bayesian-hypernet-s"):
        assert count(build(name, "meta")) == find(name).params
        assert count(build(f"{name}/tiny", "meta")) < 300_000
    base = 2 * 65 * (8 * 25 + 16 * 200 + 100 * 128) + 8 + 16 + 100 + (25 + 1) * 8 + (200 + 1) * 16 + (128 + 1) * 64
    assert find("bayesian-hypernet-s").params == base


@pytest.mark.parametrize("conditioning", FORMS)
def test_generated_weights_have_the_deviation_that_is_meant(conditioning):
    """Within 10 % of sqrt(2 / fan-in), layer by layer (Chang et al. 2020)."""
    torch.manual_seed(0)
    model = BayesianHyperNet(conditioning=conditioning)
    h = model.condition(torch.rand(8, 1, 28, 56))
    for head in model.heads:
        mean, log_variance = head(h)
        found = float(mean.detach().square().mean().sqrt())
        assert found == pytest.approx(math.sqrt(2 / head.shape[1]), rel=0.1)
        assert bool((log_variance == -10).all())


def test_the_loss_begins_at_chance_when_cured_and_far_above_when_not():
    digits = torch.rand(64, 1, 28, 56) * (torch.rand(64, 1, 28, 56) < 0.2)
    said = torch.randint(100, (64,))
    for variant, low, high in (("base", 4.4, 5.2), ("naive", 15.0, 1e5)):
        torch.manual_seed(0)
        model = build(f"bayesian-hypernet-s/{variant}")
        assert low < model.loss(batch_of(digits, said))["loss"].item() < high, variant


def test_the_cured_one_learns_where_the_naive_one_stays_at_chance():
    pictures, said = corners(200, seed=10**6)
    scores, alarms = {}, {}
    for faulty in (False, True):
        model = trained(25, 3e-3, faulty=faulty)
        found = score_classifier(model, pictures, said, draws=3)
        scores[faulty] = found.mean
        alarms[faulty] = sound_alarm(model, found.single.cross_entropy, pictures, 3e-3)
    assert scores[False].accuracy > 0.95 and scores[True].accuracy < 0.5
    assert alarms[False] == ""
    assert alarms[True].startswith("nothing is learnt: cross entropy") and "chance is ln 4 = 1.386" in alarms[True]


def test_the_alarm_names_what_is_wrong():
    pictures, _ = corners()
    torch.manual_seed(0)
    cured, naive = BayesianHyperNet(**SMALL), BayesianHyperNet(**SMALL, faulty=True)
    good, bad = cured.examine(pictures, 1e-4), naive.examine(pictures, 1e-4)
    assert good["deviation of μ / target"] == pytest.approx(1, rel=0.2) and good["σ / |μ|"] < 0.1
    assert bad["σ / |μ|"] > 1 and bad["deviation of μ / target"] > 2
    assert cured.examine(pictures, 1e-1)["step / target"] > 1 > good["step / target"]
    for entropy, fires in ((math.log(4) - 0.2, False), (math.log(4) - 0.05, True), (math.log(4) + 3, True)):
        assert bool(sound_alarm(cured, entropy, pictures, 1e-4)) == fires


def test_drawing_outputs_is_drawing_weights():
    """Local reparameterisation: the same mean and variance of each output."""
    generator = torch.Generator().manual_seed(0)
    x, mean = (torch.randn(shape, generator=generator) for shape in ((1, 6, 1), (1, 3, 6)))
    spread = torch.randn(1, 3, 6, generator=generator) - 1
    many = multiply(x.expand(20_000, -1, -1), mean, spread, generator, True)[..., 0]
    weights = mean + (0.5 * spread).exp() * torch.randn(20_000, 3, 6, generator=generator)
    drawn = (weights @ x)[..., 0]
    assert torch.allclose(many.mean(0), drawn.mean(0), atol=0.1)
    assert torch.allclose(many.std(0), drawn.std(0), rtol=0.05)


def test_each_picture_has_its_own_convolution():
    generator = torch.Generator().manual_seed(0)
    x, kernels = (torch.randn(shape, generator=generator) for shape in ((2, 3, 9, 9), (2, 4, 3, 5, 5)))
    patches = F.unfold(x, 5, padding=2, stride=2)
    made = multiply(patches, kernels.flatten(2), torch.zeros(2, 4, 75), None, False)
    wanted = torch.cat([F.conv2d(x[k : k + 1], kernels[k], stride=2, padding=2) for k in range(2)])
    assert torch.allclose(made, wanted.flatten(2), atol=1e-4)


@pytest.mark.parametrize("conditioning", FORMS)
def test_every_parameter_gets_a_finite_gradient(conditioning):
    torch.manual_seed(0)
    model = BayesianHyperNet(**SMALL, conditioning=conditioning, kl=1.0, examples=100)
    parts = model.loss(batch_of(*corners(5)))
    parts["loss"].backward()
    assert set(parts) == {"loss", "cross entropy", "accuracy", "kl"}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


def test_the_divergence_is_that_of_normal_distributions():
    torch.manual_seed(0)
    model = BayesianHyperNet(**SMALL, conditioning="shared", kl=1.0, examples=10, warm_up=4)
    made = [head(model.condition(corners(2)[0])) for head in model.heads]
    wanted = sum(
        torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, (0.5 * spread).exp()), torch.distributions.Normal(0.0, head.target)
        ).sum()
        for head, (mean, spread) in zip(model.heads, made, strict=True)
    )
    assert model.divergence(made).item() == pytest.approx(wanted.item(), rel=1e-4)
    shares = []
    for _ in range(6):
        parts = model.loss(batch_of(*corners(4)))
        shares.append((parts["loss"] - parts["cross entropy"]).item() * 10 / parts["kl"].item())
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1], rel=1e-3)


def test_chance_comes_from_the_generator_only():
    torch.manual_seed(0)
    model = BayesianHyperNet(**SMALL, spread=-2.0).eval()
    pictures, _ = corners(3)
    with torch.no_grad():
        one, again, other = (model.classify(pictures, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
        assert torch.equal(one, again) and not torch.equal(one, other)
        mean = model.classify(pictures, sampled=False)
        assert torch.allclose(mean[:1], model.classify(pictures[:1], sampled=False), atol=1e-5)


def test_calibration_counts_how_far_being_sure_is_from_being_right():
    sure, right = torch.tensor([0.8] * 10), torch.tensor([1.0] * 8 + [0.0] * 2)
    assert calibration_error(sure, right) == pytest.approx(0, abs=1e-6)
    assert calibration_error(sure, torch.ones(10)) == pytest.approx(0.2, abs=1e-6)


def test_what_does_not_fit_is_refused():
    model = BayesianHyperNet(**SMALL)
    pictures, said = corners(4)
    with pytest.raises(ContractError, match="was made for grey pictures of 16x16"):
        model.classify(pictures[..., :8])
    with pytest.raises(ContractError, match='label "class"'):
        model.loss(Batch(pictures[:, None], said[:, None], pictures[:, None], said[:, None]))
    for wrong in ({"classes": 1}, {"conditioning": "none"}, {"kl": -1.0}, {"size": (4, 4)}):
        with pytest.raises(UsageError, match="BayesianHyperNet"):
            BayesianHyperNet(**{**SMALL, **wrong})
    with pytest.raises(UsageError, match="says what a picture shows"):
        load("bayesian-hypernet-s")
    with pytest.raises(UsageError, match="These do: bayesian-hypernet"):
        load_classifier("vae")
    with pytest.raises(UsageError, match="1 picture and draw or more"):
        score_classifier(model, pictures, said, draws=0)
    assert resolve("bayesian-hypernet-s/naive")[1] == "naive"
