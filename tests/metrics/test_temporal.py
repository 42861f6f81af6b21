import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from midframe.errors import UsageError
from midframe.metrics.temporal import flow_error, reliable, warping_error


def film(count, step, size=(96, 112), seed=0):
    """A smooth random picture moving `step` = (dx, dy) whole pixels a frame, H W 3 in [0, 1]."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((size[0] + 80, size[1] + 80)), 3)
    noise = (noise - noise.min()) / np.ptp(noise)
    colours = np.stack([noise, noise**2, 1 - noise], -1)
    frames = []
    for k in range(count):
        y, x = 40 - k * step[1], 40 - k * step[0]
        frames.append(colours[y : y + size[0], x : x + size[1]])
    return frames


@pytest.mark.parametrize(("crop", "window"), [("none", np.s_[:, :]), ("tecogan", np.s_[16:80, 8:104])])
def test_tof_is_the_mean_distance_of_farneback_flows(crop, window):
    truth, made = film(3, (2, 1)), film(3, (1, 0))
    expected = []
    for k in (1, 2):
        flows = []
        for clip in (truth, made):
            grey = [cv2.cvtColor(np.rint(255 * x).astype(np.uint8), cv2.COLOR_RGB2GRAY) for x in clip]
            flows.append(cv2.calcOpticalFlowFarneback(grey[k - 1], grey[k], None, 0.5, 3, 15, 3, 5, 1.2, 0))
        expected.append(np.hypot(*np.moveaxis(flows[0] - flows[1], -1, 0))[window].mean())
    assert flow_error(made, truth, crop=crop) == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize(("flow", "tolerance"), [("farneback", 0.25), ("dis", 0.15)])
def test_tof_of_two_speeds_is_their_difference(flow, tolerance):
    truth, made = film(3, (3, 0)), film(3, (1, 0))
    assert flow_error(made, truth, flow=flow) == pytest.approx(2, abs=tolerance)
    assert flow_error(truth, truth, flow=flow) == 0


def test_tof_takes_tensors_and_8_bit_pictures():
    truth, made = film(2, (2, 1)), film(2, (1, 0))
    value = flow_error(made, truth)
    eight = [[np.rint(255 * x).astype(np.uint8) for x in clip] for clip in (made, truth)]
    assert flow_error(*eight, peak=255) == value
    assert flow_error(*([torch.from_numpy(x).permute(2, 0, 1) for x in clip] for clip in (made, truth))) == value
    assert flow_error([x[..., 0] for x in made], [x[..., 0] for x in made]) == 0


def test_tof_refuses_what_it_cannot_compare():
    clip = film(3, (1, 0))
    with pytest.raises(UsageError, match="same moments"):
        flow_error(clip[:2], clip)
    with pytest.raises(UsageError, match="two consecutive"):
        flow_error(clip[:1], clip[:1])
    with pytest.raises(UsageError, match="farneback or dis"):
        flow_error(clip, clip, flow="raft")
    with pytest.raises(UsageError, match="leaves nothing"):
        flow_error([x[:40] for x in clip], [x[:40] for x in clip], crop="tecogan")
    with pytest.raises(UsageError, match="change their size"):
        flow_error([clip[0], clip[1][:50]], [clip[0], clip[1][:50]])
    with pytest.raises(UsageError, match="16×16"):
        flow_error([x[:9] for x in clip], [x[:9] for x in clip], flow="dis")


def constant(dx, dy, size=(96, 112)):
    return np.broadcast_to(np.array([dx, dy], np.float32), (*size, 2)).copy()


def test_the_warping_error_of_a_true_shift_is_nothing():
    flows = [(constant(2, 1), constant(-2, -1))] * 2
    assert warping_error(film(3, (2, 1)), flows=flows) == pytest.approx(0, abs=1e-20)


def test_the_warping_error_sums_squares_over_channels():
    still = film(1, (0, 0))[0]
    flows = [(constant(0, 0), constant(0, 0))]
    assert warping_error([still, still + np.array([0.1, 0, -0.2])], flows=flows) == pytest.approx(0.05)
    assert warping_error([255 * still, 255 * still + 25.5], flows=flows, peak=255) == pytest.approx(0.03)


def test_the_warping_error_equals_scipys_interpolation():
    noise = np.random.default_rng(3)
    forward = gaussian_filter(noise.standard_normal((40, 50, 2)), (9, 9, 0)).astype(np.float32) * 20
    clip = film(2, (1, 1), (40, 50))
    rows, columns = np.mgrid[0:40, 0:50].astype(np.float64)
    there = [rows + forward[..., 1], columns + forward[..., 0]]
    backward = -forward
    back = np.stack(
        [map_coordinates(backward[..., k].astype(np.float64), there, order=1, mode="nearest") for k in (0, 1)], -1
    )
    norm = [np.sum(x.astype(np.float64) ** 2, -1) for x in (forward, back)]
    mask = np.sum((forward + back) ** 2, -1) <= 0.01 * (norm[0] + norm[1]) + 0.5
    mask &= (there[0] >= 0) & (there[0] <= 39) & (there[1] >= 0) & (there[1] <= 49)
    slopes = sum(np.gradient(forward[..., k].astype(np.float64), axis=axis) ** 2 for k in (0, 1) for axis in (0, 1))
    mask &= slopes <= 0.01 * norm[0] + 0.002
    assert 0.1 < mask.mean() < 0.95
    assert np.array_equal(reliable(forward, backward), mask)
    moved = np.stack([map_coordinates(clip[1][..., c], there, order=1, mode="nearest") for c in range(3)], -1)
    expected = np.sum((clip[0] - moved) ** 2, -1)[mask].mean()
    assert warping_error(clip, flows=[(forward, backward)]) == pytest.approx(expected, rel=1e-9)


def test_unreliable_flow_is_known():
    inside = reliable(constant(2, 0, (4, 8)), constant(-2, 0, (4, 8)))
    assert inside[:, :6].all() and not inside[:, 6:].any()
    # No way back: |3 + 0|² = 9 > 0.01 · 9 + 0.5
    assert not reliable(constant(3, 0, (4, 8)), constant(0, 0, (4, 8))).any()
    step = constant(0, 0, (4, 8))
    step[:, 4:] = 4
    known = reliable(step, -step)
    assert known[0, :3].all() and not known[:, 3].any()


def test_flicker_costs_and_the_references_motion_is_taken():
    clip = film(4, (2, 0))
    calm = warping_error(clip)
    flicker = [frame + 0.1 * (k % 2) for k, frame in enumerate(clip)]
    assert calm < 1e-4
    assert warping_error(flicker, reference=clip) == pytest.approx(0.03, rel=0.1)
    assert warping_error([clip[0]] * 4, reference=clip) > 10 * calm  # it stands still where the truth moves


def test_the_warping_error_refuses_what_it_cannot_measure():
    clip = film(3, (1, 0))
    flows = [(constant(0, 0), constant(0, 0))]
    with pytest.raises(UsageError, match="two consecutive"):
        warping_error(clip[:1])
    with pytest.raises(UsageError, match="2 pairs of flows, got 1"):
        warping_error(clip, flows=flows)
    with pytest.raises(UsageError, match="not both"):
        warping_error(clip, flows=flows, reference=clip)
    with pytest.raises(UsageError, match="as many reference"):
        warping_error(clip, reference=clip[:2])
    with pytest.raises(UsageError, match="one size"):
        warping_error([clip[0], clip[1][:50]])
    with pytest.raises(UsageError, match="nowhere reliable"):
        warping_error(clip[:2], flows=[(constant(500, 0), constant(0, 0))])
