import cv2
import numpy as np
import pytest

from midframe.bench.cases import SUITES, open_suite
from midframe.bench.published import PUBLISHED
from midframe.bench.strengths import STRENGTHS
from midframe.errors import InputError, UsageError


def write(path, value=0, size=(20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))


def write_middlebury(folder, scenes=("Venus", "Grove2")):
    for scene in scenes:
        for number, name in enumerate(("frame10", "frame10i11", "frame11")):
            write(folder / scene / f"{name}.png", 10 * number)


@pytest.mark.parametrize("inner", ["eval/middlebury_other", "middlebury", "."])
def test_middlebury_is_found_in_the_data_folder_or_below(tmp_path, inner):
    write_middlebury(tmp_path / inner)
    cases = open_suite("middlebury", tmp_path)
    windows = list(cases.windows())
    assert cases.count == len(windows) == 2 and cases.protocol_name == "middlebury/rife"
    assert [window.clip for window in windows] == ["Grove2", "Venus"]
    first = windows[0]
    assert (first.factor, first.frame0[0, 0, 0], first.targets[0][0, 0, 0], first.frame1[0, 0, 0]) == (2, 0, 10, 20)


def test_clips_are_cut_for_twice_and_four_times_the_frames(tmp_path):
    for number in range(9):
        write(tmp_path / "val" / f"{number}.png", number)
    cases = open_suite("val", tmp_path, long_side=16, limit=None)
    windows = list(cases.windows())
    assert cases.count == len(windows) == 4 + 2
    assert [len(window.targets) for window in windows] == [1] * 4 + [3] * 2
    assert windows[0].frame0.shape == (13, 16, 3)
    assert open_suite("val", tmp_path, long_side=16, limit=None).digest == cases.digest
    assert open_suite("val", tmp_path, limit=None).digest != cases.digest
    few = open_suite("val", tmp_path, long_side=16)
    assert few.digest != cases.digest and few.count == 2 + 2


def test_made_scenes_are_the_same_every_time(monkeypatch):
    monkeypatch.setattr("midframe.bench.cases.SCENES", 2)
    one, other = (list(open_suite("synthetic").windows()) for _ in range(2))
    assert len(one) == 2
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a.frame0, b.frame0) and np.array_equal(a.targets, b.targets)
        assert a.factor == 4 and a.frame0.shape == (256, 448, 3) and not np.array_equal(a.frame0, a.frame1)


def test_gopro_gives_seven_frames_of_the_middle(tmp_path):
    for number in range(9):
        write(tmp_path / "GOPRO_Large_all" / "test" / "A" / f"{number:06d}.png", number, (520, 530))
    cases = open_suite("gopro", tmp_path)
    (window,) = cases.windows()
    assert window.factor == 8 and len(window.targets) == 7 and window.frame0.shape == (512, 512, 3)
    assert cases.protocol.rounding == "float"


def test_xiph_is_reduced_or_cropped(tmp_path, monkeypatch):
    from midframe.data import layouts

    monkeypatch.setattr(layouts, "XIPH_CLIPS", ("Tango",))
    monkeypatch.setattr(layouts, "XIPH_FRAMES", 4)
    for number in (1, 2, 3, 4):
        write(tmp_path / "xiph" / f"Tango-{number:03d}.png", number, (2160, 4096))
    for name in ("xiph-2k", "xiph-4k"):
        (window,) = open_suite(name, tmp_path).windows()
        assert window.frame0.shape == (1080, 2048, 3) and window.targets[0][0, 0, 0] == 2


def test_a_suite_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No suite is called 'vimoe'"):
        open_suite("vimoe")
    with pytest.raises(UsageError, match="needs --data"):
        open_suite("vimeo")
    with pytest.raises(InputError, match="no such folder"):
        open_suite("vimeo", tmp_path / "nowhere")
    for name in sorted(set(SUITES) - {"synthetic", *STRENGTHS}):
        with pytest.raises(InputError):
            open_suite(name, tmp_path)


def test_published_figures_are_of_suites_there_are():
    assert set(PUBLISHED) <= set(SUITES)
    for rows in PUBLISHED.values():
        for row in rows:
            assert row.psnr is None or 20 < row.psnr < 50
            assert row.ssim is None or 0.7 < row.ssim < 1
