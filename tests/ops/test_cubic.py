"""The quick bicubic sampler gives torch's numbers, everywhere."""

import numpy as np
import pytest
import torch

from midframe.ops.cubic import sample_cubic
from midframe.ops.warp import warp


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 2), (17, 23), (40, 64)])
@pytest.mark.parametrize("far", [0.3, 3.0, 60.0])
def test_the_numbers_are_torchs(size, far):
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 3, *size, generator=generator)
    flow = far * torch.randn(2, 2, *size, generator=generator)
    slow = warp(image.requires_grad_(), flow, kernel="bicubic").detach()
    quick = warp(image.detach(), flow, kernel="bicubic")
    torch.testing.assert_close(quick, slow, atol=2e-5 * max(1.0, far), rtol=0)


def test_whole_steps_copy():
    image = np.random.default_rng(0).random((1, 3, 12, 16), np.float32)
    flow = np.zeros((1, 2, 12, 16), np.float32)
    flow[:, 0], flow[:, 1] = 2, -1
    out = sample_cubic(image, flow)
    np.testing.assert_array_equal(out[..., 1:, :-2], image[..., :-1, 2:])


def test_monstrous_flow_reads_the_edge():
    image = np.random.default_rng(0).random((1, 1, 6, 6), np.float32)
    out = sample_cubic(image, np.full((1, 2, 6, 6), 1e30, np.float32))
    np.testing.assert_allclose(out, image[0, 0, -1, -1], rtol=1e-6)


def test_threads_do_not_show():
    generator = torch.Generator().manual_seed(2)
    image, flow = torch.randn(1, 3, 50, 40, generator=generator), torch.randn(1, 2, 50, 40, generator=generator)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(warp(image, flow, kernel="bicubic"))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
