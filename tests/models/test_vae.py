"""What the papers fix about the VAE: parameters, the bound, its optimum in the linear case, importance weights."""

import math

import pytest
import torch
from networks import count, train_a_little
from torch.distributions import MultivariateNormal

from midframe.errors import ContractError, UsageError
from midframe.losses.likelihood import average_weights
from midframe.models.catalogue import find
from midframe.models.vae import VAE
from midframe.types import Batch

TINY = find("vae").variants["tiny"]


def digits(number=32, size=(28, 28), seed=0):
    """Black and white blobs, each in one of four places: something that two numbers can tell."""
    generator = torch.Generator().manual_seed(seed)
    grey = torch.zeros(number, 1, *size)
    for k, place in enumerate(torch.randint(4, (number,), generator=generator).tolist()):
        top, left = place // 2 * size[0] // 2, place % 2 * size[1] // 2
        grey[k, :, top : top + size[0] // 2, left : left + size[1] // 2] = 0.9
    return (torch.rand(grey.shape, generator=generator) < grey).float()


def batch_of(pictures):
    times = torch.zeros(len(pictures), 1)
    return Batch(pictures[:, None], times, pictures[:, None], times)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return VAE(**TINY)


def test_parameters_are_those_of_the_papers():
    row = find("vae")
    with torch.device("meta"):
        counts = {name: count(VAE(**settings)) for name, settings in row.variants.items()}
    hidden = 785 * 500 + 501 * 40 + 21 * 500 + 501 * 784
    burda = 785 * 200 + 201 * 200 + 201 * 100 + 51 * 200 + 201 * 200 + 201 * 784
    assert counts["base"] == row.params == hidden == 815_824
    assert counts["deep"] == counts["iwae"] == burda
    assert counts["tiny"] < 300_000


def test_the_loss_is_minus_the_bound_of_the_targets(net):
    pictures = digits()
    torch.manual_seed(1)
    parts = net.loss(batch_of(pictures))
    torch.manual_seed(1)
    reconstruction, divergence = net.bound(pictures)
    assert torch.allclose(parts["reconstruction"], reconstruction.mean())
    assert torch.allclose(parts["kl"], divergence.mean()) and parts["kl"] > 0
    assert torch.allclose(parts["loss"], parts["reconstruction"] + parts["kl"])


def test_a_model_that_knows_nothing_costs_a_bit_a_pixel(net):
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    assert net.loss(batch_of(digits()))["loss"].item() == pytest.approx(784 * math.log(2), rel=1e-6)


def test_beta_weighs_the_divergence():
    torch.manual_seed(0)
    model = VAE(**TINY, beta=4.0)
    parts = model.loss(batch_of(digits()))
    assert torch.allclose(parts["loss"], parts["reconstruction"] + 4 * parts["kl"])


def test_more_importance_samples_give_a_tighter_bound(net):
    train_a_little(net, batch_of(digits(64)), steps=40, rate=5e-3)
    pictures = digits(64, seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        weights = net.log_weights(pictures, 1000, generator)
        bounds = [average_weights(weights.view(-1, k)).mean().item() for k in (1, 2, 10, 100)]
        plain = torch.stack([-sum(net.bound(pictures, generator)).mean() for _ in range(200)]).mean().item()
    assert bounds == sorted(bounds) and bounds[-1] > bounds[0] + 0.05
    assert bounds[0] == pytest.approx(plain, abs=0.2)


def test_trained_by_importance_weights_the_loss_is_their_bound():
    torch.manual_seed(0)
    model, pictures = VAE(**TINY, samples=3), digits()
    torch.manual_seed(1)
    parts = model.loss(batch_of(pictures))
    torch.manual_seed(1)
    assert set(parts) == {"loss"}
    assert torch.allclose(parts["loss"], -average_weights(model.log_weights(pictures, 3)).mean())


def linear_model(seed=0):
    """Probabilistic PCA as a VAE whose encoder is the exact posterior, with the marginal distribution of its pixels.

    x = W z + b + noise of variance s; the columns of W are orthogonal, so that the posterior is diagonal.
    """
    generator = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(6, 2, generator=generator, dtype=torch.float64))
    w, b = axes * torch.tensor([1.5, 0.7]), torch.randn(6, generator=generator, dtype=torch.float64)
    noise = 0.3
    model = VAE((2, 3), hidden=(), latent=2, likelihood="gaussian", squash=False).double()
    precision = w.T @ w / noise + torch.eye(2)  # diagonal
    back = torch.linalg.solve(precision, w.T) / noise
    with torch.no_grad():
        (encoder,), (decoder,) = model.encoder, model.decoder
        encoder.weight.copy_(torch.cat([back, torch.zeros(2, 6)]))
        encoder.bias.copy_(torch.cat([-back @ b, -precision.diag().log()]))
        decoder.weight.copy_(torch.cat([w, torch.zeros(6, 2)]))
        decoder.bias.copy_(torch.cat([b, torch.full((6,), math.log(noise))]))
    return model, MultivariateNormal(b, w @ w.T + noise * torch.eye(6))


def test_with_the_exact_posterior_each_weight_is_the_likelihood_itself():
    model, marginal = linear_model()
    pictures = marginal.sample((20,)).view(20, 1, 2, 3)
    weights = model.log_weights(pictures, 7, torch.Generator().manual_seed(0))
    truth = marginal.log_prob(pictures.flatten(1))
    assert torch.allclose(weights, truth[:, None].expand(-1, 7), atol=1e-9)


def test_the_optimum_of_the_linear_bound_is_the_marginal_likelihood():
    torch.manual_seed(0)
    model, marginal = linear_model()
    pictures = marginal.sample((200,)).view(200, 1, 2, 3)
    truth = -marginal.log_prob(pictures.flatten(1)).mean().item()
    with torch.no_grad():
        best = [sum(model.bound(pictures)).mean().item() for _ in range(200)]
        assert sum(best) / 200 == pytest.approx(truth, abs=0.02)
        model.encoder[0].bias += 0.3  # any other encoder
        worse = [sum(model.bound(pictures)).mean().item() for _ in range(200)]
    assert sum(worse) / 200 > truth + 0.1


def test_a_film_is_a_closed_walk_of_small_steps(net):
    film = net.film(3, torch.Generator().manual_seed(0))
    assert film.loops and film.boxes is None
    steps = (film.frames - film.frames.roll(1, 0)).abs().mean((1, 2, 3, 4))
    assert steps.max() < 3 * steps.mean() and steps.min() > 0


def test_the_plane_puts_the_middle_of_the_distribution_in_its_middle(net):
    made = net.plane(5)
    assert made.shape == (25, 1, 28, 28)
    assert torch.allclose(made[12], net.decode(torch.zeros(1, 2))[0], atol=1e-6)
    step = torch.special.ndtri(torch.tensor(0.725)).item()  # half-way from the middle to 0.95
    assert torch.allclose(made[13], net.decode(torch.tensor([[step, 0.0]]))[0], atol=1e-6)  # the first one in a row
    assert torch.allclose(made[17], net.decode(torch.tensor([[0.0, step]]))[0], atol=1e-6)
    with pytest.raises(UsageError, match="a map has two axes, this model 3"):
        VAE(latent=3).plane(5)


def test_a_walk_has_both_pictures_at_its_ends(net):
    first, last = digits(2)[:1], digits(2)[1:]
    walk = net.walk(first, last, 5)
    assert walk.shape == (5, 1, 1, 28, 28)
    assert torch.allclose(walk[0], net.decode(net.encode(first)[0]))
    assert torch.allclose(walk[-1], net.decode(net.encode(last)[0]))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "discretised_logistic"])
def test_the_loss_falls_and_every_parameter_learns(likelihood):
    torch.manual_seed(0)
    model, batch = VAE((8, 8), hidden=(16,), latent=2, likelihood=likelihood), batch_of(digits(64, (8, 8)))
    model.loss(batch)["loss"].backward()
    for name, parameter in model.named_parameters():
        assert bool(parameter.grad.isfinite().all()) and bool(parameter.grad.any()), name
    losses = train_a_little(model, batch, steps=60, rate=1e-2)
    assert losses[-1] < losses[0] - 5


def test_pictures_of_another_size_are_refused(net):
    for shape in [(2, 3, 28, 28), (2, 1, 14, 28)]:
        with pytest.raises(ContractError, match="made for grey pictures of 28x28"):
            net.loss(batch_of(torch.rand(shape)))


@pytest.mark.parametrize(
    "wrong",
    [{"latent": 0}, {"hidden": (0,)}, {"size": (0, 3)}, {"samples": 0}, {"beta": -1.0}, {"likelihood": "poisson"}],
)
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError, match="VAE: size"):
        VAE(**{**TINY, **wrong})
    with pytest.raises(UsageError, match="leave beta at 1"):
        VAE(samples=2, beta=2.0)
