"""Stores: they appear whole or not at all, and damage is noticed."""

import json

import clips
import numpy as np
import pytest

from midframe.data.pack import Clip, find_clips, pack
from midframe.data.store import HEADER, StoreWriter, open_store
from midframe.errors import DamagedError, InputError, MidframeError, OutputError, UsageError

LOSSLESS = {"codec": "ffv1", "pix_fmt": "bgr0"}


@pytest.fixture
def film(tmp_path):
    return clips.write_clip(tmp_path / "film.mkv", clips.moving(8), 25, **LOSSLESS)


def as_8bit(film):
    return np.clip(np.rint(film.astype(np.float64) * 255), 0, 255).astype(np.uint8)


def test_a_finished_store_is_left_alone(tmp_path, film):
    pack(find_clips([film]), tmp_path / "store")
    before = (tmp_path / "store" / "index.json").stat().st_mtime_ns
    assert pack(find_clips([film]), tmp_path / "store").resumed == 1
    assert (tmp_path / "store" / "index.json").stat().st_mtime_ns == before
    with pytest.raises(OutputError, match="exists already"):
        pack(find_clips([film]), tmp_path / "store", long_side=48)


def test_other_settings_do_not_go_on_with_a_partial_store(tmp_path, film):
    with StoreWriter(tmp_path / "store", identity="other", settings={}) as writer:
        writer.add(np.zeros((4, 4, 3), np.uint8))
        writer.add(np.zeros((4, 4, 3), np.uint8))
        writer.close_clip(name="a", source_sha256="", sha256="", frames=2, height=4, width=4, rate="25", repeats=0,
                          times=(0.0, 0.04), shots=(0,), flow_mean=(0.0,), flow_p95=(0.0,))  # fmt: skip
    with pytest.raises(OutputError, match="other sources or settings"):
        pack(find_clips([film]), tmp_path / "store")
    with (
        StoreWriter(tmp_path / "elsewhere", identity="one", settings={}),
        pytest.raises(OutputError, match="another process"),
        StoreWriter(tmp_path / "elsewhere", identity="one", settings={}),
    ):
        pass


@pytest.mark.parametrize(
    "damage, says",
    [
        (lambda folder: (folder / "frames.bin").write_bytes(b"x" * 99), "promises"),
        (lambda folder: (folder / "frames.bin").unlink(), "0 bytes"),
        (lambda folder: (folder / "index.json").write_text("{"), "cannot be read as an index"),
        (lambda folder: (folder / "index.json").write_text("[]"), "cannot be read as an index"),
        (lambda folder: edit(folder, lambda c: c.update(version=99)), "version 99"),
        (lambda folder: edit(folder, lambda c: c.update(id="other")), "does not belong"),
        (lambda folder: edit(folder, lambda c: c["clips"][0].pop("shots")), "an entry is damaged"),
        (lambda folder: edit(folder, lambda c: c["clips"][0].update(flow_mean=[])), "its lists do not fit"),
        (lambda folder: edit(folder, lambda c: c["clips"][0].update(offset=3)), "lies at 3"),
    ],
)
def test_damage_is_noticed_when_opening(tmp_path, film, damage, says):
    pack(find_clips([film]), tmp_path / "store")
    damage(tmp_path / "store")
    with pytest.raises(MidframeError, match=says) as caught:
        open_store(tmp_path / "store")
    assert "\n" not in str(caught.value)


def edit(folder, change):
    content = json.loads((folder / "index.json").read_text())
    change(content)
    (folder / "index.json").write_text(json.dumps(content))


def test_a_changed_pixel_is_noticed_when_checking(tmp_path, film):
    store = pack(find_clips([film]), tmp_path / "store").store
    with open(tmp_path / "store" / "frames.bin", "r+b") as file:
        file.seek(HEADER + 1000)
        file.write(bytes([store.flat[1000] ^ 1]))
    with pytest.raises(DamagedError, match=r"frames of film\.mkv are damaged"):
        open_store(tmp_path / "store").check()


@pytest.mark.parametrize(
    "call, error, says",
    [
        (lambda at: find_clips([at / "missing"]), InputError, "no such file"),
        (lambda at: find_clips([at]), InputError, "neither videos nor images"),
        (lambda at: pack([], at / "store"), UsageError, "nothing to pack"),
        (lambda at: pack([Clip("a", at / "a")], at / "store", long_side=8), UsageError, "at least 16"),
        (lambda at: open_store(at / "store"), InputError, "not a packed store"),
        (lambda at: pack([Clip("a", at / "a.mp4")], at / "store"), InputError, "cannot be read"),
    ],
)
def test_mistakes_get_one_line(tmp_path, call, error, says):
    with pytest.raises(error, match=says):
        call(tmp_path)


def test_nothing_is_left_of_an_attempt_that_packed_nothing(tmp_path, film):
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(b"no film")
    with pytest.raises(InputError, match="broken"):
        pack(find_clips([broken, film]), tmp_path / "store")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.mkv", "film.mkv"]
    assert len(pack(find_clips([film]), tmp_path / "store").store) == 1


def test_a_damaged_store_under_the_name_is_one_line(tmp_path, film):
    pack(find_clips([film]), tmp_path / "store")
    (tmp_path / "store" / "index.json").write_text("{")
    with pytest.raises(DamagedError, match="cannot be read as an index"):
        pack(find_clips([film]), tmp_path / "store")
