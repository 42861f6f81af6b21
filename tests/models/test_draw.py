"""What the paper fixes about DRAW: parameters, windows, the whole divergence, and that all of it learns."""

import math

import pytest
import torch
from networks import count, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.losses.likelihood import average_weights
from midframe.models.catalogue import find
from midframe.models.draw import DRAW, filter_bank
from midframe.types import Batch

TINY = find("draw").variants["tiny"]
PLAIN = {**TINY, "attention": False}


def batch_of(pictures):
    times = torch.zeros(len(pictures), 1)
    return Batch(pictures[:, None], times, pictures[:, None], times)


def blobs(number=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    grey = torch.zeros(number, 1, 28, 28)
    for k, place in enumerate(torch.randint(0, 20, (number, 2), generator=generator).tolist()):
        grey[k, :, place[0] : place[0] + 8, place[1] : place[1] + 8] = 1
    return grey


def numbers(*values):
    return torch.tensor([values], dtype=torch.float64)


def sharp(length, size):
    """A window of a filter for each pixel, as narrow as it can be."""
    return filter_bank(numbers(0.0, 0.0, -8.0, 0.0, 0.0), length, size)


def test_parameters_are_those_of_the_paper():
    for row in (find("draw"), find("draw-s")):
        with torch.device("meta"):
            assert count(DRAW(**row.variants["base"])) == row.params
            assert count(DRAW(**row.variants["tiny"])) < 300_000
    h, z = 256, 100
    cells = 4 * h * (2 * 2**2 + h + h) + 4 * h * (z + h) + 4 * 4 * h
    assert find("draw").params == cells + (h + 1) * (2 * z + 5 + 5 + 25)


@pytest.mark.parametrize("size", [(28, 28), (12, 20)])
def test_filters_sum_to_one_wherever_they_lie_within_the_picture(size):
    torch.manual_seed(0)
    drawn = torch.cat([torch.rand(50, 2) - 0.5, torch.randn(50, 1), torch.randn(50, 1) - 3, torch.randn(50, 1)], 1)
    window = filter_bank(drawn, 5, size)
    assert window.rows.shape == (50, 5, size[0]) and window.columns.shape == (50, 5, size[1])
    for filters in (window.rows, window.columns):
        assert torch.allclose(filters.sum(-1), torch.ones(50, 5), atol=1e-5)


def test_a_window_far_outside_reads_nothing_and_stays_finite():
    numbers_far = numbers(40.0, 40.0, -8.0, 0.0, 0.0).requires_grad_()
    read = filter_bank(numbers_far, 3, (28, 28)).read(torch.ones(1, 1, 28, 28, dtype=torch.float64))
    read.sum().backward()
    assert read.abs().max() < 1e-6 and bool(numbers_far.grad.isfinite().all())


def test_a_filter_for_each_pixel_reads_the_picture_and_writes_it_back():
    picture = torch.rand(1, 2, 9, 9, dtype=torch.float64)
    window = sharp(9, (9, 9))
    assert torch.allclose(window.read(picture), picture, atol=1e-6)
    assert torch.allclose(window.write(window.read(picture)), picture, atol=1e-6)
    assert torch.allclose(window.box, torch.tensor([[-0.5, -0.5, 8.5, 8.5]], dtype=torch.float64))


def test_the_gain_multiplies_what_is_read_and_divides_what_is_written():
    picture = torch.rand(1, 1, 9, 9, dtype=torch.float64)
    once, more = (filter_bank(numbers(0.1, 0.2, 0.0, -1.0, gain), 3, (9, 9)) for gain in (0.0, math.log(3)))
    assert torch.allclose(more.read(picture), 3 * once.read(picture))
    patch = torch.rand(1, 1, 3, 3, dtype=torch.float64)
    assert torch.allclose(3 * more.write(patch), once.write(patch))


def test_the_filters_lie_evenly_around_the_centre_which_counts_pixels_from_one():
    """N = 3 on 11 × 21: δ = 20 / 2 · e^(−ln 5) = 2; g̃ = (0.5, −0.5) is x = 16.5, y = 3 from 1."""
    window = filter_bank(numbers(0.5, -0.5, -3.0, -math.log(5), 0.0), 3, (11, 21))
    columns = (window.columns * torch.arange(1, 22)).sum(-1)[0]
    rows = (window.rows * torch.arange(1, 12)).sum(-1)[0]
    assert torch.allclose(columns, torch.tensor([14.5, 16.5, 18.5], dtype=torch.float64), atol=1e-6)
    assert torch.allclose(rows, torch.tensor([1.0, 3.0, 5.0], dtype=torch.float64), atol=0.02)
    assert torch.allclose(window.box, torch.tensor([[12.5, -1.0, 18.5, 5.0]], dtype=torch.float64))


def test_one_filter_lies_at_the_centre_whatever_its_distance():
    for stride in (-2.0, 2.0):
        window = filter_bank(numbers(0.0, 0.0, -2.0, stride, 0.0), 1, (9, 9))
        assert window.columns.argmax() == 4 and window.rows.argmax() == 4


def test_gradients_reach_all_five_numbers_of_a_window():
    given = numbers(0.1, -0.2, 0.3, -1.0, 0.2).requires_grad_()
    filter_bank(given, 4, (16, 16)).read(torch.rand(1, 1, 16, 16, dtype=torch.float64)).square().sum().backward()
    assert bool((given.grad.abs() > 1e-6).all())


@pytest.fixture(params=[TINY, PLAIN], ids=["attention", "plain"])
def net(request):
    torch.manual_seed(0)
    return DRAW(**request.param)


def test_a_silent_network_costs_a_bit_a_pixel_and_its_numbers_nothing(net):
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    reconstruction, divergence = net.bound(blobs(3))
    assert divergence.tolist() == [0, 0, 0]
    assert torch.allclose(reconstruction, torch.full((3,), 784 * math.log(2)))


def test_the_divergence_is_summed_over_steps_and_numbers(net):
    """With μ = 1 and σ = 1 told at each step it is ½ for each number: the −1 of the formula counts for each of them."""
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        net.told.bias[: net.latent] = 1
    _, divergence = net.bound(blobs(2))
    assert torch.allclose(divergence, torch.full((2,), 0.5 * net.steps * net.latent))


def test_forget_gates_begin_open(net):
    for cell in (net.encoder, net.decoder):
        i, f, g, o = cell.bias_ih.chunk(4)
        assert bool((f == 1).all()) and not bool(torch.cat([i, g, o, cell.bias_hh]).any())


def test_the_canvas_adds_up(net):
    pictures = blobs(2)
    canvases = [step.canvas for step in net._follow(pictures, torch.Generator().manual_seed(0))]
    assert len(canvases) == net.steps == 3
    assert all(canvas.shape == pictures.shape for canvas in canvases)
    film = net.film(2, torch.Generator().manual_seed(0))
    assert torch.equal(film.frames[-1], net.sample(2, torch.Generator().manual_seed(0)))
    assert (film.boxes is not None) == net.attention and not film.loops


def test_more_importance_samples_give_a_tighter_bound(net):
    train_a_little(net, batch_of(blobs()), steps=20, rate=1e-2)
    with torch.no_grad():
        weights = net.log_weights(blobs(16, seed=1), 400, torch.Generator().manual_seed(0))
        bounds = [average_weights(weights.view(-1, k)).mean().item() for k in (1, 4, 40, 400)]
        plain = torch.stack([-sum(net.bound(blobs(16, seed=1))).mean() for _ in range(100)]).mean().item()
    assert bounds == sorted(bounds) and bounds[-1] > bounds[0]
    assert bounds[0] == pytest.approx(plain, rel=0.01)


def test_the_loss_falls_and_every_parameter_learns(net):
    batch = batch_of(blobs())
    net.loss(batch)["loss"].backward()
    for name, parameter in net.named_parameters():
        assert bool(parameter.grad.isfinite().all()) and bool(parameter.grad.any()), name
    losses = train_a_little(net, batch, steps=30, rate=1e-2)
    assert losses[-1] < 0.6 * losses[0]
    parts = net.loss(batch)
    assert torch.allclose(parts["loss"], parts["reconstruction"] + parts["kl"])


def test_pictures_of_another_size_are_refused(net):
    with pytest.raises(ContractError, match="made for grey pictures of 28x28"):
        net.loss(batch_of(torch.rand(2, 1, 28, 14)))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"read": 0}, {"latent": 0}, {"size": (0, 8)}])
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError, match="DRAW: size"):
        DRAW(**{**TINY, **wrong})
