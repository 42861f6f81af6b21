"""`midframe between`: pictures between two pictures."""

import cv2
import numpy as np
import pytest

from midframe.video.probe import probe


@pytest.fixture
def pair(tmp_path):
    """Two grey pictures, 40 and 200, as a.png and b.png; mask.png holds their left half."""
    for name, value in (("a", 40), ("b", 200)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((48, 64, 3), value, np.uint8))
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :32] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    return tmp_path / "a.png", tmp_path / "b.png"


def test_one_frame_lies_beside_the_first_picture(midframe, pair):
    code, out, err = midframe("between", *pair, "--model", "blend")
    made = pair[0].with_name("a.between.png")
    assert (code, out) == (0, f"{made}: 1 frame\n")
    assert (cv2.imread(str(made)) == 120).all()
    code, out, err = midframe("between", *pair, "--model", "blend")
    assert (code, out) == (5, "") and "--overwrite" in err


def test_several_frames_fill_a_folder_along_a_curve(midframe, pair):
    folder = pair[0].with_name("made")
    curve = ("--curve", "0:0,0.5:0.1,1:1")
    assert midframe("between", *pair, "--model", "blend", "-n", 3, "-o", folder, *curve, "-q") == (0, "", "")
    values = [int(cv2.imread(str(path))[0, 0, 0]) for path in sorted(folder.iterdir())]
    assert values == [48, 56, 128]  # 0.05, 0.1 and 0.55 of the way from 40 to 200


def test_a_folder_is_written_anew(midframe, pair):
    folder = pair[0].with_name("made")
    assert midframe("between", *pair, "--model", "blend", "-n", 3, "-o", folder, "-q")[0] == 0
    assert midframe("between", *pair, "--model", "blend", "-n", 2, "-o", folder, "-q")[0] == 5
    assert midframe("between", *pair, "--model", "blend", "-n", 2, "-o", folder, "-q", "--overwrite") == (0, "", "")
    assert len([path for path in folder.iterdir() if path.suffix == ".png"]) == 2


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp", ".png"])
def test_a_picture_has_the_format_of_its_name(midframe, pair, suffix):
    made = pair[0].with_name(f"made{suffix}")
    assert midframe("between", *pair, "--model", "blend", "-o", made, "-q") == (0, "", "")
    start = made.read_bytes()[:4]
    assert start.startswith({".jpg": b"\xff\xd8", ".tif": b"II", ".webp": b"RIFF", ".png": b"\x89PNG"}[suffix])
    assert (cv2.imread(str(made)) == 120).all()


def test_sixteen_bits_stay_sixteen(midframe, pair):
    deep = pair[0].with_name("deep.png")
    cv2.imwrite(str(deep), np.full((48, 64, 3), 10000, np.uint16))
    made = pair[0].with_name("made.png")
    assert midframe("between", deep, pair[1], "--model", "blend", "-o", made, "-q") == (0, "", "")
    picture = cv2.imread(str(made), cv2.IMREAD_UNCHANGED)
    assert picture.dtype == np.uint16 and (picture == (10000 + 200 * 257) // 2).all()


def test_transparency_is_said_to_be_left_out(midframe, pair):
    cv2.imwrite(str(pair[0]), np.full((48, 64, 4), 40, np.uint8))
    code, _, err = midframe("between", *pair, "--model", "blend")
    assert (code, err) == (0, f"note: {pair[0]}: its transparency is left out.\n")


def test_what_weights_cannot_do_is_said(midframe, pair):
    assert "hardly" in midframe("between", *pair, "--model", "phasenet-s")[2]


def test_all_frames_come_of_one_look_at_the_pair(midframe, pair, monkeypatch):
    from midframe.models.blend import Blend

    looks = []
    prepare = Blend.prepare
    monkeypatch.setattr(Blend, "prepare", lambda self, *a, **k: looks.append(1) or prepare(self, *a, **k))
    folder = pair[0].with_name("made")
    assert midframe("between", *pair, "--model", "blend", "-n", 5, "-o", folder, "-q")[0] == 0
    assert len(looks) == 1


def test_a_video_holds_both_pictures_and_those_between(midframe, pair):
    film = pair[0].with_name("film.mp4")
    assert midframe("between", *pair, "--model", "blend", "-n", 3, "-o", film, "--fps", "12")[0] == 0
    info = probe(str(film))
    assert (info.declared_frames, info.declared_rate) == (5, 12)


def test_a_region_has_its_own_time(midframe, pair):
    made = pair[0].with_name("made.png")
    region = f"{pair[0].with_name('mask.png')}=0"
    assert midframe("between", *pair, "--region", region, "-o", made, "-q") == (0, "", "")
    picture = cv2.imread(str(made)).astype(int)
    assert np.abs(picture[:, :20] - 40).max() <= 3
    assert picture[:, 44:].mean() > 80


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--region", "mask.png"), 2, "give a mask and a curve"),
        (("--region", "mask.png=0,2"), 2, "runs from 0 to 1"),
        (("--region", "none.png=0"), 3, "cannot be read"),
        (("--model", "dis", "--region", "mask.png=0"), 2, "not a map of times"),
        (("-n", "3", "-o", "one.png"), 2, "holds one frame, not 3"),
        (("--curve", "up"), 2, "is not a curve"),
        (("--model", "dis", "--effort", "0.5"), 2, "always does all of its work"),
        (("-o", "made.xyz"), 2, ".xyz is not written"),
        (("-o", "a.png/made.png"), 5, "cannot be written"),
    ],
)
def test_mistakes_are_one_line(midframe, pair, monkeypatch, more, code, said):
    monkeypatch.chdir(pair[0].parent)
    found, out, err = midframe("between", *pair, *more)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert said in err


def test_pictures_and_masks_must_have_one_size(midframe, pair, monkeypatch):
    monkeypatch.chdir(pair[0].parent)
    cv2.imwrite("small.png", np.full((24, 32), 255, np.uint8))
    assert "64x48 and 32x24" in midframe("between", pair[0], "small.png")[2]
    assert "make it fit" in midframe("between", *pair, "--region", "small.png=0")[2]
    cv2.imwrite("mask.png", np.zeros((48, 64), np.uint8))
    assert "nothing of it is white" in midframe("between", *pair, "--region", "mask.png=0")[2]
