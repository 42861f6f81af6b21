"""The quick kernels give what the definition gives, and gradients are those of finite differences."""

import pytest
import torch
import torch.nn.functional as F

from midframe.errors import ContractError
from midframe.ops.local_conv import separable_conv


def case(taps=5, batch=2, channels=3, height=6, width=7, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(batch, channels, height + taps - 1, width + taps - 1, dtype=dtype, generator=generator)
    kernels = (torch.randn(batch, taps, height, width, dtype=dtype, generator=generator) for _ in range(2))
    return image, *kernels


def by_patches(image, vertical, horizontal):
    """The formula as it stands: every patch of k × k pixels laid out, weighted, summed."""
    batch, taps, height, width = vertical.shape
    patches = F.unfold(image, taps).view(batch, -1, taps, taps, height, width)
    return torch.einsum("bcijyx,biyx,bjyx->bcyx", patches, vertical, horizontal)


@pytest.mark.parametrize("taps", [1, 2, 4, 5, 7])
@pytest.mark.parametrize("width", [7, 131])  # less than a block of pixels, and more
def test_quick_forward_is_the_formula(taps, width):
    inputs = case(taps, width=width)
    torch.testing.assert_close(separable_conv(*inputs), by_patches(*inputs))


@pytest.mark.parametrize(("channels", "dtype"), [(1, torch.float32), (4, torch.float32), (3, torch.float64)])
def test_any_channels_and_double_precision_are_the_formula(channels, dtype):
    inputs = case(channels=channels, dtype=dtype)
    made = separable_conv(*inputs)
    assert made.dtype == dtype
    torch.testing.assert_close(made, by_patches(*inputs))


@pytest.mark.parametrize("taps", [2, 5])
@pytest.mark.parametrize("width", [7, 131])
def test_quick_gradients_are_those_of_the_formula(taps, width):
    inputs = [value.requires_grad_() for value in case(taps, width=width)]
    weights = torch.randn(2, 3, 6, width, generator=torch.Generator().manual_seed(2))
    quick = torch.autograd.grad((separable_conv(*inputs) * weights).sum(), inputs)
    slow = torch.autograd.grad((by_patches(*inputs) * weights).sum(), inputs)
    for found, wanted in zip(quick, slow, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_gradients_are_those_of_finite_differences():
    inputs = case(3, batch=1, channels=2, height=3, width=4, dtype=torch.float64)
    assert torch.autograd.gradcheck(separable_conv, [value.requires_grad_() for value in inputs])


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_only_what_is_asked_for_gets_a_gradient(asked):
    inputs = list(case())
    inputs[asked].requires_grad_()
    separable_conv(*inputs).sum().backward()
    assert [value.grad is not None for value in inputs] == [k == asked for k in range(3)]


def test_layout_in_memory_changes_nothing():
    image, vertical, horizontal = case(width=131)
    wanted = separable_conv(image, vertical, horizontal)
    last = [value.to(memory_format=torch.channels_last).requires_grad_() for value in (vertical, horizontal)]
    made = separable_conv(image.to(memory_format=torch.channels_last), *last)
    assert torch.equal(made, wanted)
    made.sum().backward()
    assert all(bool(value.grad.abs().sum() > 0) for value in last)


def test_the_number_of_threads_changes_nothing():
    inputs = case(width=131)
    wanted = separable_conv(*inputs)
    torch.set_num_threads(2)
    try:
        assert torch.equal(separable_conv(*inputs), wanted)
    finally:
        torch.set_num_threads(1)


def test_a_kernel_of_one_shifts_by_whole_pixels():
    image, vertical, horizontal = case(5)
    vertical[:], horizontal[:] = 0, 0
    vertical[:, 1], horizontal[:, 4] = 1, 1
    assert torch.equal(separable_conv(image, vertical, horizontal), image[..., 1:7, 4:11])


def test_half_precision_is_computed_in_single():
    image, vertical, horizontal = case()
    image = image.bfloat16()
    made = separable_conv(image, vertical.bfloat16(), horizontal.bfloat16())
    assert made.dtype == torch.bfloat16
    wanted = separable_conv(image.float(), vertical.bfloat16().float(), horizontal.bfloat16().float())
    torch.testing.assert_close(made, wanted.bfloat16())


def test_sizes_that_do_not_fit_are_refused():
    image, vertical, horizontal = case()
    with pytest.raises(ContractError, match=r"an image of \(2, 3, 10, 11\), got \(2, 3, 6, 7\)"):
        separable_conv(image[..., :6, :7], vertical, horizontal)
    with pytest.raises(ContractError, match="must be alike"):
        separable_conv(image, vertical, horizontal[:, :3])
