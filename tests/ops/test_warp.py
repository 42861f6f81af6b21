import pytest
import torch

from midframe.errors import ContractError, UsageError
from midframe.ops.pad import pad, padded_size
from midframe.ops.warp import warp


def shift(dx: float, dy: float, height: int, width: int) -> torch.Tensor:
    return torch.tensor([dx, dy]).view(1, 2, 1, 1).expand(1, 2, height, width)


@pytest.fixture
def image():
    return torch.rand(1, 2, 7, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("border", ["clamp", "zero"])
def test_zero_flow_is_identity(image, border):
    torch.testing.assert_close(warp(image, shift(0, 0, 7, 9), border=border), image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("border", ["clamp", "zero"])
def test_warp_shifts_by_whole_pixels(image, border):
    moved = warp(image, shift(2, -1, 7, 9), border=border)
    torch.testing.assert_close(moved[..., 1:, :-2], image[..., :-1, 2:], atol=1e-5, rtol=0)


def test_half_a_pixel_is_the_mean_of_two(image):
    moved = warp(image, shift(0.5, 0, 7, 9))
    torch.testing.assert_close(moved[..., :-1], (image[..., :-1] + image[..., 1:]) / 2, atol=1e-5, rtol=0)


def test_bicubic_is_exact_at_pixels_and_keys_between_them(image):
    torch.testing.assert_close(warp(image, shift(0, 0, 7, 9), kernel="bicubic"), image, atol=1e-5, rtol=0)
    moved = warp(image, shift(0.5, 0, 7, 9), kernel="bicubic")
    a, b, c, d = (image[..., k : 9 - 3 + k] for k in range(4))
    keys = (-3 * a + 19 * b + 19 * c - 3 * d) / 32  # Keys 1981 at one half, with a = −3/4
    torch.testing.assert_close(moved[..., 1:-2], keys, atol=1e-5, rtol=0)


def test_clamp_repeats_the_edge_and_zero_fades(image):
    far = shift(100, 0, 7, 9)
    torch.testing.assert_close(warp(image, far), image[..., -1:].expand_as(image))
    assert warp(image, far, border="zero").abs().max() == 0


def test_one_row_and_one_column_are_images_too():
    one = torch.full((1, 1, 1, 1), 0.25)
    assert warp(one, shift(3, -3, 1, 1)).item() == pytest.approx(0.25)


def test_half_precision_is_sampled_in_float32(image):
    flow = shift(0.3, 0.7, 7, 9)
    half = warp(image.bfloat16(), flow)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, warp(image.bfloat16().float(), flow).bfloat16())


def test_gradients_are_right_in_both_arguments():
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(1, 1, 4, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    flow = (0.2 + 0.5 * torch.rand(1, 2, 4, 5, dtype=torch.float64, generator=generator)).requires_grad_()
    assert torch.autograd.gradcheck(warp, (image, flow))


def test_warp_rejects_flow_of_other_size(image):
    with pytest.raises(ContractError, match="needs a flow"):
        warp(image, shift(0, 0, 7, 8))


@pytest.mark.parametrize(("size", "padded"), [((5, 7), (8, 8)), ((8, 4), (8, 8)), ((1, 17), (8, 20))])
def test_pad_repeats_the_edge_and_is_undone_by_its_slices(size, padded):
    frames = torch.rand(2, 3, *size)
    larger, (rows, columns) = pad(frames, multiple=4, minimum=7)
    assert larger.shape[-2:] == padded == padded_size(*size, multiple=4, minimum=7)
    assert torch.equal(larger[..., rows, columns], frames)
    assert torch.equal(larger[..., -1, -1], frames[..., -1, -1])


def test_pad_copies_nothing_that_fits():
    frames = torch.rand(1, 3, 8, 8)
    assert pad(frames, multiple=4)[0] is frames


def test_pad_rejects_senseless_sizes():
    with pytest.raises(UsageError, match="1 or more"):
        padded_size(0, 4)
