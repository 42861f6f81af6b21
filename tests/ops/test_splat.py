"""Splatting, and flows looked at from where they arrive: laws, and slow twins pixel by pixel."""

import math

import pytest
import torch

from midframe.errors import ContractError, UsageError
from midframe.ops.splat import fill_holes, project, reverse, splat
from midframe.ops.warp import warp

MODES = ["sum", "average", "linear", "softmax"]


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def shift(dx, dy, height, width, batch=1):
    return torch.tensor([dx, dy], dtype=torch.float32).view(1, 2, 1, 1).expand(batch, 2, height, width)


def metric_for(mode, like):
    return (
        0.5 + draw(len(like), 1, *like.shape[2:], seed=9, dtype=like.dtype) if mode in ("linear", "softmax") else None
    )


@pytest.fixture
def image():
    return draw(2, 3, 6, 8)


@pytest.mark.parametrize("mode", MODES)
def test_zero_flow_is_identity(image, mode):
    still = splat(image, shift(0, 0, 6, 8, 2), metric=metric_for(mode, image), mode=mode)
    torch.testing.assert_close(still, image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_whole_pixels_shift_and_leave_a_hole(image, mode):
    moved = splat(image, shift(2, -1, 6, 8, 2), metric=metric_for(mode, image), mode=mode)
    torch.testing.assert_close(moved[..., :-1, 2:], image[..., 1:, :-2], atol=1e-6, rtol=0)
    assert moved[..., :2].abs().max() == 0 and moved[..., -1, :].abs().max() == 0


def test_sum_is_the_adjoint_of_warp(image):
    flow = 8 * draw(2, 2, 6, 8, seed=1, dtype=torch.float64) - 4
    one, other = image.double(), draw(2, 3, 6, 8, seed=2, dtype=torch.float64)
    left = (splat(one, flow, mode="sum") * other).sum()
    torch.testing.assert_close(left, (one * warp(other, flow, border="zero")).sum())


def test_nothing_is_lost_inside(image):
    flow = draw(2, 2, 6, 8, seed=1) - 0.5
    flow[..., 0, :] = flow[..., -1, :] = flow[..., 0] = flow[..., -1] = 0
    torch.testing.assert_close(splat(image, flow, mode="sum").sum((2, 3)), image.sum((2, 3)))


def test_sources_on_one_place_mix_by_softmax_of_their_metric():
    image, flow = torch.tensor([[[[3.0, 0.0, 7.0]]]]), torch.zeros(1, 2, 1, 3)
    flow[0, 0, 0] = torch.tensor([1.0, 50.0, -1.0])  # the first and the last meet in the middle, it leaves
    metric = torch.tensor([[[[0.4, 0.0, -0.3]]]])
    share = math.exp(0.4) / (math.exp(0.4) + math.exp(-0.3))
    made = splat(image, flow, metric=metric, mode="softmax").flatten().tolist()
    assert made == pytest.approx([0, 3 * share + 7 * (1 - share), 0])
    assert splat(image, flow, mode="average").flatten().tolist() == [0, 5, 0]
    linear = splat(image, flow, metric=torch.tensor([[[[1.0, 1.0, 3.0]]]]), mode="linear")
    assert linear.flatten().tolist() == pytest.approx([0, 6, 0])


@pytest.mark.parametrize("constant", [-300.0, 40.0, 1000.0])
def test_a_constant_in_the_metric_changes_nothing(image, constant):
    flow, metric = 4 * draw(2, 2, 6, 8, seed=1) - 2, metric_for("softmax", image)
    made = splat(image, flow, metric=metric, mode="softmax")
    torch.testing.assert_close(splat(image, flow, metric=metric + constant, mode="softmax"), made, atol=1e-3, rtol=0)


def test_a_source_far_below_the_largest_metric_is_no_hole(image):
    metric = torch.zeros(2, 1, 6, 8)
    metric[..., :4] = -500
    made = splat(image, shift(0, 0, 6, 8, 2), metric=metric, mode="softmax")
    torch.testing.assert_close(made, image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_a_flow_that_is_not_finite_or_huge_is_skipped(image, value):
    flow = torch.zeros(2, 2, 6, 8)
    flow[0, 1, 2, 3] = value
    flow.requires_grad_()
    made = splat(image, flow, mode="average")
    wanted = image.clone()
    wanted[0, :, 2, 3] = 0
    torch.testing.assert_close(made.detach(), wanted)
    made.sum().backward()
    assert flow.grad.isfinite().all()
    for back in (project(flow.detach(), None), reverse(flow.detach())):
        assert back[0].isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_right_in_every_argument(mode):
    image = draw(1, 2, 3, 4, dtype=torch.float64).requires_grad_()
    flow = (2.4 * draw(1, 2, 3, 4, seed=1, dtype=torch.float64) - 1.2).requires_grad_()
    metric = metric_for(mode, image)
    if metric is None:
        assert torch.autograd.gradcheck(lambda i, f: splat(i, f, mode=mode), (image, flow))
    else:
        metric = metric.detach().clone()
        metric[0, 0, 0, 0] += 1  # one maximum only: it is subtracted, and has no gradient of its own
        assert torch.autograd.gradcheck(
            lambda i, f, m: splat(i, f, metric=m, mode=mode), (image, flow, metric.requires_grad_())
        )


def test_half_precision_is_summed_in_float32(image):
    flow = 4 * draw(2, 2, 6, 8, seed=1) - 2
    half = splat(image.bfloat16(), flow, mode="sum")
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, splat(image.bfloat16().float(), flow, mode="sum").bfloat16())


def test_what_does_not_fit_is_refused(image):
    with pytest.raises(ContractError, match="goes with"):
        splat(image, shift(0, 0, 6, 7, 2), mode="sum")
    with pytest.raises(ContractError, match="flow of B 2 H W"):
        splat(image, image, mode="sum")
    with pytest.raises(ContractError, match="goes with"):
        splat(image, shift(0, 0, 6, 8, 2), metric=image, mode="softmax")
    with pytest.raises(UsageError, match="takes a metric"):
        splat(image, shift(0, 0, 6, 8, 2), mode="softmax")
    with pytest.raises(UsageError, match="takes no metric"):
        splat(image, shift(0, 0, 6, 8, 2), metric=image[:, :1], mode="sum")
    with pytest.raises(ContractError, match="goes with"):
        project(shift(0, 0, 6, 8), torch.ones(1, 1, 6, 7))
    with pytest.raises(ContractError, match="goes with"):
        fill_holes(shift(0, 0, 6, 8), torch.ones(1, 1, 6, 7, dtype=torch.bool))


def look_back_slowly(flow, weight, kernel, *, clamp):
    """One member, pixel by pixel, as the papers say it."""
    height, width = flow.shape[-2:]
    total, count = torch.zeros(2, height, width), torch.zeros(height, width)
    for y in range(height):
        for x in range(width):
            f = flow[0, :, y, x]
            to_x, to_y = x + float(f[0]), y + float(f[1])
            if clamp and not (0 <= to_x <= width - 1 and 0 <= to_y <= height - 1):
                continue
            for column in (math.floor(to_x), math.floor(to_x) + 1):
                for row in (math.floor(to_y), math.floor(to_y) + 1):
                    at_x, at_y = (min(column, width - 1), min(row, height - 1)) if clamp else (column, row)
                    if 0 <= at_x < width and 0 <= at_y < height:
                        share = float(weight[0, 0, y, x]) * kernel(to_x - column, to_y - row)
                        total[:, at_y, at_x] -= share * f
                        count[at_y, at_x] += share
    return torch.where(count > 0, total / count.clamp(min=1e-30), 0)[None], (count > 0)[None, None]


@pytest.mark.parametrize("seed", [0, 1])
def test_projection_is_what_the_slow_one_finds(seed):
    flow, weight = 7 * draw(1, 2, 6, 8, seed=seed) - 3.5, 0.1 + draw(1, 1, 6, 8, seed=seed + 5)
    back, known = project(flow, weight)
    slow, filled = look_back_slowly(flow, weight, lambda dx, dy: 1, clamp=True)
    assert torch.equal(known, filled) and not known.all()
    torch.testing.assert_close(back, slow, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", [0, 1])
def test_reversal_is_what_the_slow_one_finds(seed):
    flow = 7 * draw(1, 2, 6, 8, seed=seed) - 3.5
    back, known = reverse(flow)
    slow, filled = look_back_slowly(
        flow, torch.ones(1, 1, 6, 8), lambda dx, dy: math.exp(-dx * dx - dy * dy), clamp=False
    )
    assert torch.equal(known, filled)
    torch.testing.assert_close(back, slow, atol=1e-5, rtol=0)


@pytest.mark.parametrize("look_back", [lambda flow: project(flow, None), reverse], ids=["project", "reverse"])
def test_a_constant_flow_comes_back_with_its_sign_turned(look_back):
    flow = shift(1.5, -0.75, 6, 8)
    back, known = look_back(flow)
    torch.testing.assert_close(back, -flow * known, atol=1e-6, rtol=0)
    assert known[..., :-1, 2:].all() and not known[..., 0].any()


def test_the_nearest_thing_decides_where_two_arrive():
    flow = torch.zeros(1, 2, 1, 5)
    flow[0, 0, 0, 0] = 2.0
    weight = torch.ones(1, 1, 1, 5)
    weight[..., 0] = 1e6
    back, _ = project(flow, weight)
    assert back[0, 0, 0, 2].item() == pytest.approx(-2, abs=1e-4)


@pytest.mark.parametrize("look_back", [project, lambda flow, weight: reverse(flow)], ids=["project", "reverse"])
def test_gradients_of_looking_back_are_right(look_back):
    flow = (2.4 * draw(1, 2, 3, 4, seed=1, dtype=torch.float64) - 1.2).requires_grad_()
    weight = (0.5 + draw(1, 1, 3, 4, seed=2, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, w: look_back(f, w)[0], (flow, weight))


def fill_slowly(flow, known):
    height, width = flow.shape[-2:]
    filled = flow.clone()
    for member in range(len(flow)):
        for y in range(height):
            for x in range(width):
                if known[member, 0, y, x]:
                    continue
                found = []
                for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                    at_x, at_y = x + dx, y + dy
                    while 0 <= at_x < width and 0 <= at_y < height and not known[member, 0, at_y, at_x]:
                        at_x, at_y = at_x + dx, at_y + dy
                    if 0 <= at_x < width and 0 <= at_y < height:
                        found.append(flow[member, :, at_y, at_x])
                filled[member, :, y, x] = torch.stack(found).mean(0) if found else 0
    return filled


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_holes_are_filled_as_the_slow_one_does(share):
    flow, known = draw(2, 2, 7, 9), draw(2, 1, 7, 9, seed=4) < share
    torch.testing.assert_close(fill_holes(flow, known), fill_slowly(flow, known), atol=1e-6, rtol=0)


def test_filling_is_differentiable():
    flow = draw(1, 2, 3, 4, dtype=torch.float64).requires_grad_()
    known = draw(1, 1, 3, 4, seed=4) < 0.5
    assert torch.autograd.gradcheck(lambda f: fill_holes(f, known), (flow,))
