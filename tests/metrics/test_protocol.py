import statistics
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.color import rgb2yuv
from skimage.metrics import structural_similarity

from midframe.errors import UsageError
from midframe.metrics.protocol import PROTOCOLS, Protocol, measure, quantise
from midframe.metrics.psnr import psnr
from midframe.metrics.ssim import ssim


def pictures(height=24, width=31):
    noise = np.random.default_rng(0)
    truth = np.rint(255 * noise.random((height, width, 3))) / 255
    return truth + 0.1 * noise.standard_normal(truth.shape), truth


def test_rounding_by_hand():
    codes = np.array([-3.0, 0.49, 0.51, 127.5, 128.5, 254.9, 300])
    assert (255 * quantise(codes / 255, "round")).tolist() == pytest.approx([0, 0, 1, 128, 128, 255, 255])
    assert (255 * quantise(codes / 255, "truncate")).tolist() == pytest.approx([0, 0, 0, 127, 128, 254, 255])
    assert (255 * quantise(codes / 255, "float")).tolist() == pytest.approx([0, 0.49, 0.51, 127.5, 128.5, 254.9, 255])


def test_eight_bit_pictures_stay_under_every_rounding():
    codes = np.arange(256.0)
    for rounding in ("float", "round", "truncate"):
        for scale in (np.float64, np.float32):
            picture = (codes.astype(scale) / scale(255)).astype(np.float64)
            assert np.array_equal(np.rint(255 * quantise(picture, rounding)), codes)


@pytest.mark.parametrize("rounding", ["round", "truncate"])
def test_psnr_is_that_of_8_bit_codes(rounding):
    made, truth = pictures()
    codes = (np.rint if rounding == "round" else np.floor)(255 * made).clip(0, 255).astype(np.uint8)
    expected = psnr(codes, np.rint(255 * truth).astype(np.uint8), peak=255)
    assert measure(made, truth, Protocol(rounding))["psnr"] == pytest.approx(expected)


def test_y_is_scikit_images():
    made, truth = pictures()
    luma = [rgb2yuv(np.rint(255 * x.clip(0, 1)) / 255)[..., 0] for x in (made, truth)]
    expected = 10 * np.log10(1 / np.mean((luma[0] - luma[1]) ** 2))
    assert measure(made, truth, PROTOCOLS["hd/rife"])["psnr"] == pytest.approx(expected, abs=1e-9)


def test_the_error_is_of_rounded_rgb_whatever_the_protocol():
    made, truth = pictures()
    expected = np.abs(np.rint(255 * made).clip(0, 255) - 255 * truth).mean()
    for protocol in PROTOCOLS.values():
        assert measure(made, truth, protocol)["ie"] == pytest.approx(expected)


def test_layouts_and_scales_agree():
    made, truth = pictures()
    for protocol in set(PROTOCOLS.values()):
        expected = measure(made, truth, protocol)
        assert measure(255 * made, 255 * truth, protocol, peak=255) == pytest.approx(expected)
        tensors = (torch.from_numpy(x).permute(2, 0, 1) for x in (made, truth))
        assert measure(*tensors, protocol) == expected


def test_measure_refuses_y_of_grey_and_unknown_roundings():
    grey = np.zeros((20, 20))
    with pytest.raises(UsageError, match="grey"):
        measure(grey, grey, PROTOCOLS["hd/rife"])
    with pytest.raises(UsageError, match="truncate"):
        quantise(grey, "up")


MIDDLEBURY = Path(__file__).parents[3] / "shared/data/eval/middlebury_other"
middlebury = pytest.mark.skipif(not MIDDLEBURY.is_dir(), reason="the evaluation data is not part of the project")


@cache
def overlaps():
    """Truth and the two inputs of each of the 12 scenes, H W 3 in 8-bit codes."""
    scenes = []
    for scene in sorted(MIDDLEBURY.iterdir()):
        names = ("frame10i11.png", "frame10.png", "frame11.png")
        scenes.append([cv2.imread(str(scene / name))[..., ::-1].astype(np.float64) for name in names])
    assert len(scenes) == 12
    return scenes


def means(score):
    return statistics.fmean(score(truth, first, last) for truth, first, last in overlaps())


@middlebury
@pytest.mark.data
def test_the_mean_of_both_inputs_has_its_known_psnr_on_middlebury():
    adacof = PROTOCOLS["middlebury/adacof"]
    blended = means(lambda truth, first, last: measure((first + last) / 2, truth, adacof, peak=255)["psnr"])
    halves = means(lambda truth, first, last: measure(first // 2 + last // 2, truth, adacof, peak=255)["psnr"])
    assert (round(blended, 2), round(halves, 2)) == (28.02, 28.01)


@middlebury
@pytest.mark.data
@pytest.mark.parametrize(("variant", "golden"), [("gaussian3d", 0.8794), ("uniform2d", 0.8044), ("gaussian2d", 0.7993)])
def test_the_rounded_mean_of_both_inputs_has_its_known_ssim(variant, golden):
    assert round(means(lambda truth, a, b: ssim((a + b + 1) // 2, truth, variant, peak=255)), 4) == golden


@middlebury
@pytest.mark.data
def test_the_rounded_mean_of_both_inputs_has_its_known_ssim_in_grey():
    def score(truth, first, last):
        pictures = ((first + last + 1) // 2, truth)
        return ssim(*(cv2.cvtColor(x.astype(np.float32), cv2.COLOR_RGB2GRAY) for x in pictures), "gaussian2d", peak=255)

    assert round(means(score), 4) == 0.8137


def test_gaussian2d_equals_scikit_images_gaussian_weights():
    made, truth = (x.clip(0, 1) for x in pictures())
    expected = structural_similarity(
        made, truth, channel_axis=2, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(made, truth, "gaussian2d") == pytest.approx(expected, abs=1e-12)
    with pytest.raises(UsageError, match="11×11"):
        ssim(made[:10], truth[:10], "gaussian2d")


def test_luma_equals_xvfis_ssim():
    made, truth = pictures()
    matrix = np.array([65.481, 128.553, 24.966]) / 255  # BT.601: the coefficients MATLAB prints
    luma = [(np.rint(255 * x.clip(0, 1)) * matrix).sum(-1) + 16 for x in (made, truth)]
    expected = structural_similarity(luma[1], luma[0], data_range=np.ptp(luma[0]))
    assert ssim(made, truth, "luma") == pytest.approx(expected, abs=1e-9)
    assert ssim(255 * made, 255 * truth, "luma", peak=255) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(UsageError, match="flat"):
        ssim(np.zeros((9, 9, 3)), np.ones((9, 9, 3)), "luma")
    with pytest.raises(UsageError, match="colour"):
        ssim(np.zeros((9, 9)), np.ones((9, 9)), "luma")
