import math

import pytest
import torch

from midframe.errors import ContractError
from midframe.losses.pixel import charbonnier, l1


def pictures(dtype=torch.float64, shape=(2, 3, 5, 7)):
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(shape, dtype=dtype, generator=generator) for _ in range(2))


def test_l1_by_hand():
    made = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    truth = torch.tensor([[[[0.25, 0.0], [0.5, 1.25]]]])
    assert l1(made, truth).item() == pytest.approx((0.25 + 1 + 0 + 0.75) / 4)


def test_charbonnier_by_hand():
    made, truth = torch.zeros(1, 1, 1, 2), torch.tensor([[[[3e-3, -4.0]]]])
    expected = (math.sqrt(9e-6 + 1e-6) + math.sqrt(16 + 1e-6)) / 2
    assert charbonnier(made, truth).item() == pytest.approx(expected, rel=1e-6)
    assert charbonnier(made, truth, epsilon=4e-3).item() == pytest.approx((5e-3 + math.sqrt(16 + 16e-6)) / 2, rel=1e-6)


def test_charbonnier_lies_between_l1_and_l1_plus_epsilon():
    made, truth = pictures()
    assert 0 < charbonnier(made, truth) - l1(made, truth) < 1e-3
    assert charbonnier(made, made).item() == pytest.approx(1e-3)
    assert l1(made, made) == 0


def test_charbonnier_is_smooth_even_where_pictures_agree():
    made, truth = pictures(shape=(1, 2, 3, 3))
    truth[0, 0] = made[0, 0]
    assert torch.autograd.gradcheck(
        lambda a, b: charbonnier(a, b, epsilon=0.1), (made.requires_grad_(), truth.requires_grad_())
    )


@pytest.mark.parametrize("loss", [l1, charbonnier])
def test_pixel_losses_do_not_mind_order_of_pixels_and_a_common_shift(loss):
    made, truth = pictures()
    expected = loss(made, truth)
    torch.testing.assert_close(loss(truth, made), expected)
    torch.testing.assert_close(loss(made.flip(-1, 0), truth.flip(-1, 0)), expected)
    torch.testing.assert_close(loss(made + 0.25, truth + 0.25), expected)


@pytest.mark.parametrize("loss", [l1, charbonnier])
def test_half_precision_is_compared_in_float32(loss):
    made, truth = pictures(torch.float32)
    value = loss(made.bfloat16(), truth)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(made.bfloat16().float(), truth))


@pytest.mark.parametrize("loss", [l1, charbonnier])
def test_pixel_losses_refuse_to_broadcast(loss):
    with pytest.raises(ContractError, match=loss.__name__):
        loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4))


def test_charbonnier_refuses_an_epsilon_that_is_not_positive():
    with pytest.raises(ContractError, match="epsilon"):
        charbonnier(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), epsilon=0)
