"""Adaptive warping against its definition, written as loops; its laws; its limits."""

import math

import pytest
import torch

from midframe.errors import ContractError
from midframe.ops.adaptive_warp import BILINEAR, _Gather, _sum_rows, adaptive_warp
from midframe.ops.warp import warp


def slow_twin(image, flow, kernels):
    batch, _, height, width = image.shape
    out = torch.empty_like(image)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                dx, dy = flow[b, :, y, x].tolist()
                px, py = x + dx, y + dy
                inside = 0 <= px <= width - 1 and 0 <= py <= height - 1
                if not inside or abs(dx) >= width / 2 or abs(dy) >= height / 2:
                    out[b, :, y, x] = image[b, :, y, x]
                    continue
                x0, y0 = math.floor(px), math.floor(py)
                shares = ((1 - px + x0, px - x0), (1 - py + y0, py - y0))
                total = 0
                for j in range(4):
                    for i in range(4):
                        row, column = min(max(y0 - 1 + j, 0), height - 1), min(max(x0 - 1 + i, 0), width - 1)
                        share = shares[0][i // 2] * shares[1][j // 2]
                        total = total + share * kernels[b, 4 * j + i, y, x] * image[b, :, row, column]
                out[b, :, y, x] = total
    return out


def bilinear(*shape):
    kernels = torch.zeros(shape[0], 16, *shape[1:])
    kernels[:, BILINEAR] = 1
    return kernels


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 5, 9, 12, generator=generator)
    flow = 3 * torch.randn(2, 2, 9, 12, generator=generator)
    return image, flow, torch.randn(2, 16, 9, 12, generator=generator)


def test_it_is_what_it_says(inputs):
    assert torch.allclose(adaptive_warp(*inputs), slow_twin(*inputs), atol=1e-5)


def test_centre_taps_are_bilinear_sampling(inputs):
    image, flow, _ = inputs
    flow = flow / 3
    made, wanted = adaptive_warp(image, flow, bilinear(2, 9, 12)), warp(image, flow)
    inside = warp(torch.ones_like(image), flow, border="zero") > 1 - 1e-5
    assert torch.allclose(made[inside], wanted[inside], atol=1e-5)


def test_outside_the_picture_and_for_half_its_size_the_pixel_is_copied(inputs):
    image, _, kernels = inputs
    for shift in ((-20.0, 0.0), (0.0, 9.0), (6.0, 0.0), (0.0, -4.5), (math.nan, 0.0), (math.inf, 0.0)):
        flow = torch.tensor(shift).view(1, 2, 1, 1).expand(2, 2, 9, 12)
        assert torch.equal(adaptive_warp(image, flow, kernels), image)


def test_a_kernel_acts_on_all_channels_alike_and_linearly(inputs):
    image, flow, kernels = inputs
    flow = flow.clamp(-1, 1)[..., 2:7, 2:9]
    image, kernels = image[..., 2:7, 2:9], kernels[..., 2:7, 2:9]
    flow[..., 0, :] = flow[..., -1, :] = flow[..., :, 0] = flow[..., :, -1] = 0
    both = adaptive_warp(image, flow, kernels + 2 * bilinear(2, 5, 7))
    parts = adaptive_warp(image, flow, kernels) + 2 * adaptive_warp(image, flow, bilinear(2, 5, 7))
    assert torch.allclose(both, parts, atol=1e-5)
    alone = adaptive_warp(image[:, 3:4], flow, kernels)
    assert torch.allclose(adaptive_warp(image, flow, kernels)[:, 3:4], alone, atol=1e-6)


def test_gradients_are_those_of_the_definition(inputs):
    image, flow, kernels = (value[:1, ..., :5, :6].double() for value in inputs)
    flow = (flow / 4).requires_grad_()
    image, kernels = image.requires_grad_(), kernels.requires_grad_()
    assert torch.autograd.gradcheck(adaptive_warp, (image, flow, kernels), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("wanted", [(True, False), (False, True), (True, True)])
def test_the_way_back_on_a_cpu_is_that_of_torch(wanted):
    generator = torch.Generator().manual_seed(1)
    index = torch.randint(0, 30, (2, 40, 16), generator=generator, dtype=torch.int32)
    grad = torch.randn(2, 40, 7, generator=generator)
    found = []
    for function in (_Gather.apply, _sum_rows):
        generator.manual_seed(2)
        table = torch.randn(2, 30, 7, generator=generator).requires_grad_(wanted[0])
        weight = torch.randn(2, 40, 16, generator=generator).requires_grad_(wanted[1])
        function(table, index, weight).backward(grad)
        found.append((table.grad, weight.grad))
    for ours, theirs, asked in zip(*found, wanted, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5) if asked else ours is None


def test_half_precision_comes_back_as_it_went_in(inputs):
    image, flow, kernels = inputs
    made = adaptive_warp(image.bfloat16(), flow, kernels.bfloat16())
    assert made.dtype == torch.bfloat16
    assert torch.allclose(made.float(), adaptive_warp(image, flow, kernels), atol=0.1)


def test_other_sizes_are_refused(inputs):
    image, flow, kernels = inputs
    with pytest.raises(ContractError, match=r"needs flow and kernels of \(2, 2, 9, 12\) and \(2, 16, 9, 12\)"):
        adaptive_warp(image, flow[..., :8, :], kernels)
    with pytest.raises(ContractError, match="needs flow and kernels"):
        adaptive_warp(image, flow, kernels[:, :9])
