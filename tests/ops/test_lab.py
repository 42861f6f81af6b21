import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from midframe.ops.lab import lab_to_rgb, rgb_to_lab


def colours(low=0.0, high=1.0, dtype=torch.float32):
    steps = torch.linspace(low, high, 12, dtype=dtype)
    return torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij")).reshape(3, 12, 144)


def test_lab_equals_scikit_image():
    rgb = colours(dtype=torch.float64)
    expected = rgb2lab(rgb.permute(1, 2, 0).numpy())
    assert np.abs(rgb_to_lab(rgb).permute(1, 2, 0).numpy() - expected).max() < 1e-3


def test_white_and_black_are_where_they_belong():
    grey = torch.tensor([0.0, 1.0]).expand(3, 1, 2)
    lab = rgb_to_lab(grey)
    torch.testing.assert_close(lab[0, 0], torch.tensor([0.0, 100.0]), atol=1e-4, rtol=0)
    assert lab[1:].abs().max() < 0.01


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.2, 1.3)], ids=["in gamut", "super-white and negative"])
def test_lab_to_rgb_inverts_rgb_to_lab(low, high):
    rgb = colours(low, high)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=2e-5, rtol=0)


def test_batches_of_frames_convert_alike():
    rgb = colours().expand(2, 5, 3, 12, 144)
    assert torch.equal(rgb_to_lab(rgb)[1, 3], rgb_to_lab(colours()))


def test_both_ways_are_differentiable():
    rgb = (colours(0.02, 0.98, torch.float64)[:, :2, :3] + 1e-3).requires_grad_()
    assert torch.autograd.gradcheck(rgb_to_lab, rgb)
    assert torch.autograd.gradcheck(lambda x: lab_to_rgb(rgb_to_lab(x)), rgb)


def test_gradients_of_black_and_white_are_finite():
    rgb = torch.tensor([0.0, 1.0]).expand(3, 1, 2).clone().requires_grad_()
    lab_to_rgb(rgb_to_lab(rgb)).sum().backward()
    assert rgb.grad is not None and bool(rgb.grad.isfinite().all())
