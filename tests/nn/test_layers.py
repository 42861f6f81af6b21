import pytest
import torch

from midframe.nn.layers import conv_prelu, exact, merge, resize, swap, upconv_prelu, warp_pair


def test_convolutions_keep_halve_and_double_the_size():
    maps = torch.rand(1, 3, 8, 12)
    assert conv_prelu(3, 5)(maps).shape == (1, 5, 8, 12)
    assert conv_prelu(3, 5, kernel=7, stride=2)(maps).shape == (1, 5, 4, 6)
    assert upconv_prelu(3, 5)(maps).shape == (1, 5, 16, 24)


@pytest.mark.parametrize("factor", [0.5, 2, 4])
def test_resizing_keeps_a_ramp_of_pixel_centres(factor):
    ramp = ((torch.arange(16.0) + 0.5) / 16).view(1, 1, 1, 16).expand(1, 1, 16, 16)
    wide = round(16 * factor)
    wanted = (torch.arange(float(wide)) + 0.5) / wide
    inside = slice(wide // 8, -(wide // 8))  # borders repeat the edge
    assert torch.allclose(resize(ramp, factor)[0, 0, 0, inside], wanted[inside])
    assert resize(ramp, 1) is ramp


def test_each_frame_is_warped_by_its_own_flow():
    frame = torch.arange(6.0).view(1, 1, 1, 6).expand(1, 1, 2, 6)
    flow = torch.tensor([1.0, 0.0, -2.0, 0.0]).view(1, 4, 1, 1).expand(1, 4, 2, 6)
    warped0, warped1 = warp_pair(frame, frame, flow)
    assert warped0[0, 0, 0].tolist() == pytest.approx([1, 2, 3, 4, 5, 5], abs=1e-5)
    assert warped1[0, 0, 0].tolist() == pytest.approx([0, 0, 0, 1, 2, 3], abs=1e-5)
    back0, back1 = warp_pair(frame, frame, swap(flow))
    assert torch.equal(back0, warped1) and torch.equal(back1, warped0)


def test_mask_of_one_takes_frame_0():
    one, other = torch.rand(2, 1, 3, 4, 4)
    assert torch.equal(merge(one, other, torch.ones(1, 1, 4, 4)), one)
    assert torch.equal(merge(one, other, torch.zeros(1, 1, 4, 4)), other)


def test_half_precision_is_added_up_in_float32():
    assert exact(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert exact(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
