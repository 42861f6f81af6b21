import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity

from midframe.errors import UsageError
from midframe.metrics.ssim import ssim


def pictures(height=40, width=53, seed=0):
    noise = np.random.default_rng(seed)
    a = noise.random((height, width, 3))
    return a, np.clip(a + 0.2 * noise.standard_normal(a.shape), 0, 1)


def slow_gaussian3d(a, b):
    """The literature's form written out: one conv3d over the 1-channel volume (3, H, W)."""
    taps = torch.exp(-(torch.arange(-5.0, 6.0, dtype=torch.float64) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()
    window = torch.einsum("i,j,k->ijk", taps, taps, taps)[None, None]
    x, y = (torch.from_numpy(image).permute(2, 0, 1)[None, None] for image in (a, b))

    def blur(volume):
        return F.conv3d(F.pad(volume, (5, 5, 5, 5, 5, 5), mode="replicate"), window)

    mx, my = blur(x), blur(y)
    vx, vy, cxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * cxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean().item()


def test_gaussian3d_equals_the_written_out_volume_filter():
    a, b = pictures()
    assert ssim(a, b) == pytest.approx(slow_gaussian3d(a, b), abs=1e-12)


@pytest.mark.parametrize("size", [(7, 7), (40, 53), (8, 31)])
def test_uniform2d_equals_scikit_image(size):
    a, b = pictures(*size)
    assert ssim(a, b, "uniform2d") == pytest.approx(
        structural_similarity(a, b, channel_axis=2, data_range=1.0), abs=1e-12
    )
    a8, b8 = (np.rint(255 * image).astype(np.uint8) for image in (a, b))
    assert ssim(a8, b8, "uniform2d", peak=255) == pytest.approx(
        structural_similarity(a8, b8, channel_axis=2), abs=1e-12
    )


@pytest.mark.parametrize("variant", ["gaussian3d", "uniform2d"])
def test_ssim_of_two_greys_is_the_luminance_term(variant):
    # No structure: (2·0.2·0.6 + C1) / (0.2² + 0.6² + C1) with C1 = 1e-4.
    a, b = np.full((9, 9, 3), 0.2), np.full((9, 9, 3), 0.6)
    assert ssim(a, b, variant) == pytest.approx((0.24 + 1e-4) / (0.4 + 1e-4), abs=1e-9)


@pytest.mark.parametrize("variant", ["gaussian3d", "uniform2d"])
def test_ssim_is_one_for_equal_pictures_symmetric_and_free_of_scale(variant):
    a, b = pictures()
    assert ssim(a, a, variant) == pytest.approx(1)
    assert ssim(a, b, variant) == pytest.approx(ssim(b, a, variant))
    assert ssim(255 * a, 255 * b, variant, peak=255) == pytest.approx(ssim(a, b, variant))
    assert ssim(torch.from_numpy(a).permute(2, 0, 1), torch.from_numpy(b).permute(2, 0, 1), variant) == ssim(
        a, b, variant
    )
    assert -1 <= ssim(a[..., 0], b[..., 0], variant) < 1  # a grey picture is one channel


def test_ssim_rejects_small_pictures_and_unknown_variants():
    a = np.zeros((6, 20, 3))
    with pytest.raises(UsageError, match="7×7"):
        ssim(a, a, "uniform2d")
    assert ssim(a, a, "gaussian3d") == pytest.approx(1)
    with pytest.raises(UsageError, match="gaussian3d"):
        ssim(a, a, "msssim")
