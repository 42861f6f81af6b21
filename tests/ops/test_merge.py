"""The quick passes give what torch's operations give, which are the definition."""

import pytest
import torch

from midframe.ops.merge import lay_out, merge_laid_out


def frames(batch=2, height=6, width=10):
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(batch, 3, height, width, generator=generator) for _ in range(2)]


def wanting_gradients(*tensors):
    return [tensor.clone().requires_grad_() for tensor in tensors]


def test_layout_is_mean_and_difference_side_by_side():
    warped0, warped1 = frames(1, 2, 4)
    more = torch.rand(1, 2, 1, 2)
    seen = lay_out(warped0, warped1, more)
    assert seen.shape == (1, 17, 1, 2) and torch.equal(seen[:, 15:], more)
    both = torch.stack([warped0, warped1])[..., :2]  # the four pixels of the first point
    torch.testing.assert_close(seen[0, :3, 0, 0], both.mean((0, 1, 3, 4)) - 0.5)
    torch.testing.assert_close(seen[0, 3:15, 0, 0].view(3, 2, 2), (warped0 - warped1)[0, :, :, :2])


def test_quick_layout_equals_the_differentiable_one():
    seen = (*frames(), torch.rand(2, 3, 3, 5))
    torch.testing.assert_close(lay_out(*seen), lay_out(*wanting_gradients(*seen)).detach())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_quick_merge_equals_the_differentiable_one(layout):
    warped0, warped1 = frames()
    logit, answer = torch.randn(2, 1, 6, 10), torch.randn(2, 16, 3, 5).to(memory_format=layout)
    for step in (0.1, 0.0):
        quick = merge_laid_out(warped0, warped1, logit, answer, step)
        slow = merge_laid_out(*wanting_gradients(warped0, warped1, logit, answer), step)
        torch.testing.assert_close(quick, slow.detach())


def test_no_answer_leaves_the_mask_to_decide():
    warped0, warped1 = frames()
    logit = torch.full((2, 1, 6, 10), 3.0).log()
    made = merge_laid_out(warped0, warped1, logit, torch.zeros(2, 16, 3, 5), 0.1)
    torch.testing.assert_close(made, 0.75 * warped0 + 0.25 * warped1)
