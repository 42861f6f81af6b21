import numpy as np
import pytest
import torch
from stand_ins import Broken, Fade, Learned
from tiny_networks import tiny_network

from midframe.bench.cases import Cases
from midframe.bench.clips import cut_windows, perceived
from midframe.bench.quality import METRICS, Record, hash_weights, measure_suite
from midframe.metrics.interpolation_error import interpolation_error
from midframe.metrics.protocol import Protocol
from midframe.metrics.psnr import psnr
from midframe.metrics.ssim import ssim
from midframe.metrics.temporal import flow_error


def clip(seed, count=5, size=(40, 48)):
    noise = np.random.default_rng(seed)
    return [noise.integers(0, 256, (*size, 3)).astype(np.uint8) for _ in range(count)]


def cases_of(*clips, factor=4, rounding="round"):
    windows = [window for number, frames in enumerate(clips) for window in cut_windows(f"{number}", frames, factor)]
    return Cases("val", "made", len(windows), "abc", Protocol(rounding, "uniform2d"), "", lambda: windows)


def records_of(*names):
    return [Record(name, "val", "", "abc") for name in names]


def test_every_figure_is_that_of_its_metric():
    frames, network = clip(0), tiny_network("alex").to(torch.float32)
    (record,) = records_of("fade")
    measure_suite(cases_of(frames), {"fade": Fade()}, [record], network=network)
    made = [np.rint((1 - k / 4) * frames[0] + k / 4 * frames[4]).astype(np.uint8) for k in (1, 2, 3)]
    expected = {
        "psnr": [psnr(a, b, peak=255) for a, b in zip(made, frames[1:4], strict=True)],
        "ssim": [ssim(a, b, "uniform2d", peak=255) for a, b in zip(made, frames[1:4], strict=True)],
        "ssim_gaussian3d": [ssim(a, b, "gaussian3d", peak=255) for a, b in zip(made, frames[1:4], strict=True)],
        "ie": [interpolation_error(a, b, peak=255) for a, b in zip(made, frames[1:4], strict=True)],
        "lpips": [perceived(network, a, b) for a, b in zip(made, frames[1:4], strict=True)],
        "tof": [flow_error([frames[0], *made, frames[4]], frames, peak=255)] * 3,
    }
    assert record.done and record.windows == 1 and record.frames["factor"] == [4] * 3
    for metric in METRICS:
        # figures are kept to four places; a half may be rounded either way
        assert record.frames[metric] == pytest.approx(expected[metric], rel=2e-3, abs=2e-4), metric


def test_psnr_is_of_floats_where_the_protocol_says_so():
    frames = [np.full((16, 16, 3), value, np.uint8) for value in (10, 11, 11)]
    for rounding, expected in (("float", 20 * np.log10(255 / 0.5)), ("round", 20 * np.log10(255))):
        (record,) = records_of("fade")
        measure_suite(cases_of(frames, factor=2, rounding=rounding), {"fade": Fade(-1e-7)}, [record])
        assert record.frames["psnr"] == pytest.approx([expected], abs=1e-3)
        assert record.frames["ie"] == [1] and record.frames["lpips"] == [None]


def test_a_run_that_stopped_goes_on_to_the_same_figures():
    cases = cases_of(clip(0), clip(1), clip(2))
    whole, broken = records_of("fade", "fade")
    measure_suite(cases, {"fade": Fade()}, [whole])

    class Stop(Exception):
        pass

    def stop(done, total):
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        measure_suite(cases, {"fade": Fade()}, [broken], on_progress=stop)
    assert broken.windows == 2 and not broken.done
    model = Fade()
    measure_suite(cases, {"fade": model}, [broken])
    assert model.prepared == 1 and broken == whole


def test_a_model_that_fails_does_not_stop_the_others():
    good, bad = records_of("good", "bad")
    outcome = measure_suite(cases_of(clip(0), clip(1)), {"good": Fade(), "bad": Broken()}, [good, bad])
    assert good.done and not bad.done and bad.windows == 0
    assert outcome.failures == {"bad": "It does not like these frames."}


def test_the_worst_frames_are_kept_one_of_a_clip():
    easy, hard = [np.full((16, 16, 3), 3 * k, np.uint8) for k in range(9)], clip(1, 9)
    (record,) = records_of("fade")
    outcome = measure_suite(cases_of(easy, hard), {"fade": Fade()}, [record], worst=1)
    (picture,) = outcome.pictures["fade"]
    assert picture.score.clip == "1"
    assert picture.score.psnr == min(record.frames["psnr"])
    assert np.array_equal(picture.truth, hard[picture.score.index])


def test_results_are_saved_at_the_end_and_progress_is_told():
    saved, told = [], []
    (record,) = records_of("fade")
    measure_suite(
        cases_of(clip(0), clip(1)), {"fade": Fade()}, [record], save=lambda: saved.append(record.windows),
        on_progress=lambda *at: told.append(at),
    )  # fmt: skip
    assert saved == [2] and told == [(1, 2), (2, 2)]


def test_the_hash_is_of_the_weights():
    one, other = Learned(), Learned()
    assert hash_weights(one) == hash_weights(other) != ""
    other.layer.weight.data[0, 0, 0, 0] += 1
    assert hash_weights(one) != hash_weights(other)
    assert hash_weights(Fade()) == ""
