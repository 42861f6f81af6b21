import math

import cv2
import numpy as np
import pytest
import torch

from midframe.errors import ContractError
from midframe.losses.flow import flow_distillation, privileged_distillation, robustness, smoothness


def tensors(*shapes, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]


def test_robustness_by_hand():
    flow, target = torch.zeros(1, 2, 1, 2), torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]]])
    torch.testing.assert_close(robustness(flow, target), torch.tensor([[[[math.exp(-1.5), 1.0]]]]))


def test_flow_distillation_equals_opencv_and_numpy():
    coarse, half, final, target = tensors((1, 2, 4, 6), (1, 2, 8, 12), (1, 2, 16, 24), (1, 2, 16, 24), scale=2.0)
    weight = np.exp(-0.3 * np.sqrt(((final - target) ** 2).sum(1)[0].numpy()))
    expected = 0.0
    for flow, scale in ((coarse, 4), (half, 2)):
        for k in range(2):
            large = scale * cv2.resize(flow[0, k].numpy(), (24, 16), interpolation=cv2.INTER_LINEAR)
            epsilon = 10 ** (-(10 * weight - 1) / 3)
            expected += (((large - target[0, k].numpy()) ** 2 + epsilon**2) ** (weight / 2)).mean() / 2
    value = flow_distillation([coarse, half], target, final=final)
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_where_the_final_flow_agrees_distillation_is_charbonnier():
    (target,) = tensors((2, 2, 8, 8))
    coarse = torch.zeros(2, 2, 4, 4, dtype=torch.float64)
    expected = (target.square() + 1e-6).sqrt().mean()
    torch.testing.assert_close(flow_distillation([coarse], target, final=target), expected)


def test_where_the_final_flow_has_left_the_teacher_it_is_not_heard():
    coarse, target = tensors((1, 2, 4, 4), (1, 2, 8, 8))
    coarse.requires_grad_()
    (near,) = torch.autograd.grad(flow_distillation([coarse], target, final=target + 0.1), coarse)
    (far,) = torch.autograd.grad(flow_distillation([coarse], target, final=target + 100), coarse)
    assert far.abs().max() < 1e-9 < near.abs().max()


def test_equal_flows_cost_epsilon_at_every_level():
    target = torch.full((1, 2, 8, 8), 3.0, dtype=torch.float64)
    value = flow_distillation([target[..., :4, :4] / 2, target[..., :2, :2] / 4], target, final=target)
    assert value.item() == pytest.approx(2e-3)


def test_distillation_scales_each_axis_by_itself():
    target = torch.stack([torch.full((4, 6), 6.0), torch.full((4, 6), 4.0)])[None]
    level = torch.stack([torch.full((2, 2), 2.0), torch.full((2, 2), 2.0)])[None]
    assert flow_distillation([level], target, final=target).item() == pytest.approx(1e-3, rel=1e-4)


def test_only_the_levels_get_gradients_and_they_are_right():
    coarse, final, target = tensors((1, 2, 2, 3), (1, 2, 4, 6), (1, 2, 4, 6))
    coarse.requires_grad_(), final.requires_grad_(), target.requires_grad_()
    flow_distillation([coarse], target, final=final).backward()
    assert final.grad is None and target.grad is None and coarse.grad.abs().sum() > 0
    assert torch.autograd.gradcheck(
        lambda flow: flow_distillation([flow], target.detach(), final=final.detach()), (coarse,)
    )


@pytest.mark.parametrize("level", [(2, 2, 4, 4), (1, 3, 4, 4), (1, 2, 9, 4)])
def test_flow_distillation_refuses_levels_that_do_not_fit(level):
    target = torch.zeros(1, 2, 8, 8)
    with pytest.raises(ContractError, match="does not fit"):
        flow_distillation([torch.zeros(level)], target, final=target)


def test_flow_distillation_refuses_no_levels_and_another_final_size():
    target = torch.zeros(1, 2, 8, 8)
    with pytest.raises(ContractError, match="no flows"):
        flow_distillation([], target, final=target)
    with pytest.raises(ContractError, match="robustness"):
        flow_distillation([target], target, final=target[..., :4])


def test_privileged_distillation_by_hand():
    # Pixel 0: the teacher's frame is better by 0.5, pixel 1: by 0.005 only, pixel 2: worse.
    truth = torch.zeros(1, 3, 1, 3)
    taught = torch.tensor([0.0, 0.0, 0.9]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    made = torch.tensor([0.5, 0.005, 0.1]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    flow, teacher = torch.zeros(1, 4, 1, 3), torch.tensor([1.0, 1.0, 5.0, 3.0]).view(1, 4, 1, 1).expand(1, 4, 1, 3)
    value = privileged_distillation(flow, teacher, made=made, taught=taught, truth=truth)
    assert value.item() == pytest.approx(math.sqrt((1 + 1 + 25 + 9) / 4) / 3)


def test_privileged_distillation_has_finite_gradients_where_flows_agree():
    flow = torch.zeros(1, 4, 2, 2, requires_grad=True)
    teacher = torch.zeros(1, 4, 2, 2, requires_grad=True)
    frames = {"made": torch.ones(1, 3, 2, 2), "taught": torch.zeros(1, 3, 2, 2), "truth": torch.zeros(1, 3, 2, 2)}
    privileged_distillation(flow, teacher, **frames).backward()
    assert flow.grad.abs().max() == 0 and teacher.grad is None
    other, teacher = tensors((1, 4, 2, 3), (1, 4, 2, 3))
    frames = {name: frame[..., :1].expand(1, 3, 2, 3).double() for name, frame in frames.items()}
    assert torch.autograd.gradcheck(lambda x: privileged_distillation(x, teacher, **frames), (other.requires_grad_(),))


def test_privileged_distillation_refuses_sizes_that_do_not_fit():
    flow, frame = torch.zeros(1, 4, 4, 4), torch.zeros(1, 3, 4, 4)
    with pytest.raises(ContractError, match="one shape"):
        privileged_distillation(flow, flow[:, :2], made=frame, taught=frame, truth=frame)
    with pytest.raises(ContractError, match="differ in size"):
        privileged_distillation(flow, flow, made=frame[..., :2], taught=frame[..., :2], truth=frame[..., :2])


def test_smoothness_by_hand():
    # Steps of flow: 1 and 2 along x. Steps of the frame: 0 and 0.1 (mean over its three channels).
    flow = torch.tensor([[0.0, 1.0, 3.0], [0.0, 1.0, 3.0]]).view(1, 1, 2, 3)
    frame = torch.zeros(1, 3, 2, 3)
    frame[:, 0, :, 2] = 0.3
    assert smoothness(flow, frame, edge=10).item() == pytest.approx((1 + 2 * math.exp(-1)) / 2, rel=1e-6)
    assert smoothness(flow, frame, edge=0).item() == pytest.approx(1.5)


def test_smoothness_equals_numpy():
    flow, frame = tensors((2, 2, 5, 6), (2, 3, 5, 6))
    f, i = flow.numpy(), frame.numpy()
    expected = 0.0
    for axis in (2, 3):
        weight = np.exp(-7 * np.abs(np.diff(i, axis=axis)).mean(1, keepdims=True))
        expected += (weight * np.abs(np.diff(f, axis=axis))).mean()
    assert smoothness(flow, frame, edge=7).item() == pytest.approx(expected, rel=1e-12)


def test_smoothness_minds_neither_constant_flow_nor_shifts():
    flow, frame = tensors((1, 2, 5, 6), (1, 3, 5, 6))
    expected = smoothness(flow, frame)
    torch.testing.assert_close(smoothness(flow + 7, frame - 3), expected)
    torch.testing.assert_close(smoothness(flow.mT, frame.mT), expected)
    torch.testing.assert_close(smoothness(3 * flow, frame), 3 * expected)
    assert smoothness(torch.ones_like(flow), frame) == 0


def test_smoothness_trains_the_flow_only():
    flow, frame = (x.requires_grad_() for x in tensors((1, 2, 3, 4), (1, 3, 3, 4)))
    assert torch.autograd.gradcheck(lambda x: smoothness(x, frame, edge=0.5), (flow,))
    smoothness(flow, frame).backward()
    assert frame.grad is None


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 3, 4, 4)])
def test_smoothness_refuses_sizes_that_differ(shape):
    with pytest.raises(ContractError, match="agree in size"):
        smoothness(torch.zeros(1, 2, 4, 4), torch.zeros(shape))
