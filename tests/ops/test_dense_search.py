"""Flow by dense inverse search: the luma it sees, pictures of any size, the same whatever the threads."""

import numpy as np
import pytest
import torch

from midframe.ops.dense_search import SEARCHES, DenseSearch, find_flows, find_luma


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_half_luma_is_the_mean_of_four(size):
    frame = torch.rand(3, *size, generator=torch.Generator().manual_seed(7)).numpy()
    padded = np.pad(frame, ((0, 0), (0, size[0] % 2), (0, size[1] % 2)), mode="edge")
    luma = 255 * (0.299 * padded[0] + 0.587 * padded[1] + 0.114 * padded[2])
    expected = luma.reshape(luma.shape[0] // 2, 2, luma.shape[1] // 2, 2).mean((1, 3))
    assert np.abs(find_luma(frame, 1) - expected).max() <= 0.51


def test_luma_alone_is_clamped():
    frame = np.stack([np.full((2, 2), value, np.float32) for value in (1.5, 1.5, 1.5)])
    assert find_luma(frame, 0).max() == 255
    assert find_luma(-frame, 1).max() == 0


@pytest.mark.parametrize("size", [(12, 12), (15, 100), (20, 20), (64, 64), (40, 500)])
def test_flow_of_small_pictures_is_found(size):
    luma = np.random.default_rng(0).integers(0, 255, (2, *size), np.uint8)
    for preset in SEARCHES.values():
        assert find_flows(luma, preset).shape == (2, *size, 2)


def test_flow_does_not_depend_on_threads():
    luma = np.random.default_rng(1).integers(0, 255, (2, 120, 160), np.uint8)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(find_flows(luma, SEARCHES["fast"]))
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_flow_of_a_shift_is_the_shift_in_both_directions():
    wide = torch.nn.functional.interpolate(
        torch.rand(1, 1, 20, 30, generator=torch.Generator().manual_seed(0)), (160, 240), mode="bicubic"
    )
    plane = (255 * wide[0, 0].clamp(0, 1)).byte().numpy()
    flows = find_flows(np.stack([plane[10:138, 12:172], plane[7:135, 8:168]]), SEARCHES["balanced"])
    inner = flows[:, 20:-20, 20:-20].reshape(2, -1, 2)
    np.testing.assert_allclose(np.median(inner, 1), [[4, 3], [-4, -3]], atol=0.1)


def test_flow_between_any_of_several_pictures():
    luma = np.random.default_rng(2).integers(0, 255, (3, 64, 80), np.uint8)
    search = SEARCHES["fast"]
    apart = find_flows(luma, search, [(2, 0), (0, 1)])
    assert np.array_equal(apart[0], find_flows(luma[[2, 0]], search)[0])
    assert np.array_equal(apart[1], find_flows(luma[:2], search)[0])


@pytest.mark.parametrize("preset", ["balanced", "fast"])
def test_estimator_finds_the_shift_of_each_pair(preset):
    wide = torch.nn.functional.interpolate(
        torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0)), (161, 241), mode="bicubic"
    ).clamp(0, 1)
    frame0, frame1 = wide[..., 10:137, 12:173], wide[..., 7:134, 8:169]  # odd sizes: half luma does not divide them
    flow = DenseSearch(preset).flow(frame0, frame1)
    assert flow.shape == (2, 2, 127, 161)
    assert flow.is_contiguous()
    shift = flow[..., 20:-20, 20:-20].flatten(2).median(-1).values
    torch.testing.assert_close(shift, torch.tensor([[4.0, 3.0], [4.0, 3.0]]), atol=0.3, rtol=0)
