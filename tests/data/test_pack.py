"""Packing: what becomes of films and images, that it goes on where it stopped, that damage is one line."""

import clips
import cv2
import numpy as np
import pytest

from midframe.data.pack import Clip, find_clips, measure_motion, pack
from midframe.data.store import StoreWriter, open_store, partial_folder
from midframe.engine.marks import mark_pictures
from midframe.errors import DamagedError, InputError

LOSSLESS = {"codec": "ffv1", "pix_fmt": "bgr0"}


@pytest.fixture
def film(tmp_path):
    return clips.write_clip(tmp_path / "film.mkv", clips.moving(8), 25, **LOSSLESS)


def as_8bit(film):
    return np.clip(np.rint(film.astype(np.float64) * 255), 0, 255).astype(np.uint8)


def test_frames_are_those_of_the_film(tmp_path, film):
    store = pack(find_clips([film]), tmp_path / "store").store
    assert np.array_equal(store.frames(0), as_8bit(clips.moving(8)))
    (clip,) = store.clips
    assert clip.name == "film.mkv" and clip.exact_rate == 25 and clip.shots == (0,)
    assert np.allclose(np.diff(clip.times), 0.04)
    store.check()


def test_large_pictures_are_reduced_by_area(tmp_path, film):
    store = pack(find_clips([film]), tmp_path / "store", long_side=48).store
    wanted = cv2.resize(clips.moving(1)[0], (48, 36), interpolation=cv2.INTER_AREA)
    assert np.abs(store.frames(0)[0] / 255.0 - wanted).max() < 1.01 / 255
    assert store.frames(0).shape == (8, 36, 48, 3)


def test_the_motion_of_a_known_scene_is_measured(tmp_path):
    scene = clips.Scene(velocity=(3.0, 0.0), disc_velocity=())
    path = clips.write_clip(tmp_path / "film.mkv", clips.moving(3, (96, 128), scene=scene), 25, **LOSSLESS)
    (clip,) = pack(find_clips([path]), tmp_path / "store").store.clips
    assert clip.flow_mean == pytest.approx([3.0, 3.0], abs=0.3)


def test_motion_is_counted_in_pixels_of_the_store(tmp_path):
    film = as_8bit(clips.moving(2, (96, 640), scene=clips.Scene(velocity=(4.0, 0.0), disc_velocity=())))
    images = clips.write_images(tmp_path / "images", film / np.float32(255))
    (clip,) = pack(find_clips([images]), tmp_path / "store").store.clips
    assert clip.flow_mean[0] == pytest.approx(4.0, abs=0.5)
    assert measure_motion(*(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in film))[0] == pytest.approx(4, abs=0.3)


def test_cuts_are_marked_and_repeats_left_out(tmp_path):
    shots = clips.cut(16, at=(8,))
    shots = np.concatenate([shots[:4], shots[3:]])  # frame 3 twice
    path = clips.write_clip(tmp_path / "film.mkv", shots, 25, **LOSSLESS)
    (clip,) = pack(find_clips([path]), tmp_path / "store", mark=mark_pictures).store.clips
    assert clip.frames == 16 and clip.repeats == 1
    assert clip.shots == (0, 8)
    assert clip.flow_mean[7] == 0
    assert np.diff(clip.times)[3] == pytest.approx(0.08)


def test_marks_are_those_of_the_whole_film_at_once(tmp_path):
    from midframe.analysis.cuts import find_cuts
    from midframe.analysis.duplicates import find_duplicates
    from midframe.analysis.glance import glance

    film = np.concatenate([clips.cut(30, at=(11, 19)), clips.held(30, 2)])
    pictures = [clips.picture(image, "yuv420p") for image in film]
    glances = [glance(picture) for picture in pictures]
    marked = list(mark_pictures(iter(pictures), len(pictures)))
    cuts = [one.begins_shot for one in marked]
    assert cuts[1:] == find_cuts(glances)
    repeats = [d and not c for d, c in zip(find_duplicates(glances), cuts, strict=True)]
    assert [one.repeats for one in marked] == repeats and any(repeats)


def test_a_turned_film_is_packed_upright(tmp_path):
    path = clips.write_clip(tmp_path / "film.mp4", clips.moving(3), 25, rotation=90)
    store = pack(find_clips([path]), tmp_path / "store").store
    assert store.frames(0).shape[1:] == (96, 72, 3)
    turned = np.rot90(as_8bit(clips.moving(1))[0])
    assert np.abs(store.frames(0)[0].astype(float) - turned).mean() < 4


def test_a_folder_of_images_is_one_clip_and_a_folder_of_videos_many(tmp_path, film):
    clips.write_images(tmp_path / "take", clips.moving(3))
    (tmp_path / "many").mkdir()
    for name in ("b.mkv", "a.mkv"):
        (tmp_path / "many" / name).write_bytes(film.read_bytes())
    found = find_clips([tmp_path / "take", tmp_path / "many"])
    assert [clip.name for clip in found] == ["take", "a.mkv", "b.mkv"]
    store = pack([*found, found[1]], tmp_path / "store").store
    assert [clip.name for clip in store.clips] == ["take", "a.mkv", "b.mkv", "a.mkv#2"]
    assert np.array_equal(store.frames(0), as_8bit(clips.moving(3)))


def test_packing_goes_on_where_it_stopped(tmp_path, film, monkeypatch):
    sources = [Clip(name, film) for name in "abcd"]
    real, seen = StoreWriter.close_clip, []

    def stop(self, **fields):
        if fields["name"] == "c" and "c" not in seen:
            seen.append("c")
            raise KeyboardInterrupt
        seen.append(fields["name"])
        return real(self, **fields)

    monkeypatch.setattr(StoreWriter, "close_clip", stop)
    with pytest.raises(KeyboardInterrupt):
        pack(sources, tmp_path / "store")
    with pytest.raises(InputError, match="not finished"):
        open_store(tmp_path / "store")
    with open(partial_folder(tmp_path / "store") / "journal.jsonl", "a") as journal:
        journal.write('{"name": "half a li')
    packed = pack(sources, tmp_path / "store")
    assert packed.resumed == 2 and seen == ["a", "b", "c", "c", "d"]
    packed.store.check()
    whole = pack(sources, tmp_path / "other").store
    assert np.array_equal(whole.flat, packed.store.flat) and whole.clips == packed.store.clips
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.mkv", "other", "store"]


def test_what_cannot_be_read_stops_or_is_left_out(tmp_path, film):
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with pytest.raises(DamagedError, match="broken"):
        pack(find_clips([broken, film]), tmp_path / "store")
    packed = pack(find_clips([broken, film]), tmp_path / "store", skip_damaged=True)
    assert [clip.name for clip in packed.store.clips] == ["film.mkv"]
    assert len(packed.left_out) == 1 and "broken" in packed.left_out[0]
    packed.store.check()
    with pytest.raises(InputError, match="none of the 1 clips"):
        pack(find_clips([broken]), tmp_path / "nothing", skip_damaged=True)


def test_images_of_different_sizes_are_no_clip(tmp_path):
    clips.write_images(tmp_path / "take", clips.moving(2))
    clips.write_images(tmp_path / "take", clips.moving(1, (64, 64)), first=3)
    with pytest.raises(InputError, match="differ in size"):
        pack(find_clips([tmp_path / "take"]), tmp_path / "store")
