import pytest
import torch
from tiny_networks import tiny_network

from midframe.errors import ContractError
from midframe.losses.perceptual import WEIGHTS, lpips, perceptual
from midframe.ops.perception import features, lpips_distance


def pictures(dtype=torch.float64, size=(35, 33)):
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(2, 3, *size, dtype=dtype, generator=generator) for _ in range(2))


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_perceptual_is_the_weighted_sum_of_mean_differences(kind):
    network = tiny_network(kind)
    made, truth = pictures()
    maps = zip(features(network, made), features(network, truth), strict=True)
    parts = [float((f - g).abs().sum() / f.numel()) for f, g in maps]
    assert all(part > 0 for part in parts)
    assert perceptual(made, truth, network).item() == pytest.approx(sum(map(float.__mul__, WEIGHTS, parts)))
    assert perceptual(made, truth, network, weights=(0, 2, 0, 0, 0)).item() == pytest.approx(2 * parts[1])


def test_lpips_as_a_loss_is_the_mean_over_the_batch():
    network = tiny_network("alex")
    made, truth = pictures()
    torch.testing.assert_close(lpips(made, truth, network), lpips_distance(network, made, truth).mean())


@pytest.mark.parametrize("loss", [perceptual, lpips])
def test_equal_pictures_cost_nothing_and_pull_nowhere(loss):
    network = tiny_network("vgg").to(torch.float32)
    made = next(pictures(torch.float32)).requires_grad_()
    value = loss(made, made.detach().clone(), network)
    value.backward()
    assert value == 0 and made.grad.abs().max() == 0


@pytest.mark.parametrize("loss", [perceptual, lpips])
def test_gradients_of_perceptual_losses_are_right(loss):
    network = tiny_network("vgg", channels=2)
    made, truth = (x[:1, :, :16, :16].contiguous() for x in pictures())
    direction = torch.randn(made.shape, dtype=made.dtype, generator=torch.Generator().manual_seed(1))
    (slope,) = torch.autograd.grad(loss(made.requires_grad_(), truth, network), made)
    step = 1e-6
    with torch.no_grad():
        ends = [loss(made + sign * step * direction, truth, network) for sign in (1, -1)]
    torch.testing.assert_close((slope * direction).sum(), (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=0)


def test_black_pictures_have_finite_gradients():
    network = tiny_network("alex", bias=-100.0).to(torch.float32)  # every feature is 0
    made = torch.zeros(1, 3, 33, 33, requires_grad=True)
    lpips(made, torch.ones(1, 3, 33, 33), network).backward()
    assert made.grad.abs().max() == 0


def test_the_truth_gets_no_gradient_from_perceptual():
    made, truth = pictures()
    perceptual(made.requires_grad_(), truth.requires_grad_(), tiny_network("alex")).backward()
    assert truth.grad is None and made.grad.abs().sum() > 0


def test_perceptual_losses_refuse_what_they_cannot_compare():
    network = tiny_network("alex")
    made, truth = pictures()
    with pytest.raises(ContractError, match="differ"):
        perceptual(made, truth[..., :32], network)
    with pytest.raises(ContractError, match="differ"):
        lpips(made, truth[..., :32], network)
    with pytest.raises(ContractError, match="5 feature maps"):
        perceptual(made, truth, network, weights=(1.0,))
    with pytest.raises(ContractError, match="31×31"):
        perceptual(made[..., :30], truth[..., :30], network)
