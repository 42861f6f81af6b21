"""Published data sets, each on a tiny tree of its exact layout: which files, in which order, at which times."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from midframe.data import layouts
from midframe.data.layouts import LAYOUTS, XIPH_CLIPS, layout_clips, read_sample
from midframe.data.pack import pack
from midframe.errors import InputError, UsageError

HALF = (Fraction(1, 2),)


def write(root, *names, size=(6, 8)):
    """Images, each of one colour that its place in `names` gives."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((*size, 3), number + 1, np.uint8))


def touch(root, *names):
    """Files of which only the names are looked at."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listing(root, name, *lines):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n\n")  # as published, with an empty line at the end


def names(root, paths):
    return [path.relative_to(root).as_posix() for path in paths]


def test_vimeo_triplets(tmp_path):
    listing(tmp_path, "tri_trainlist.txt", "00001/0001", "00002/0010")
    listing(tmp_path, "tri_testlist.txt", "00001/0389")
    for scene in ("00001/0001", "00002/0010", "00001/0389"):
        write(tmp_path, *(f"sequences/{scene}/im{i}.png" for i in (1, 2, 3)))
    (sample,) = layouts.vimeo_triplets(tmp_path)
    assert sample.name == "00001/0389"
    assert names(tmp_path, sample.inputs) == [f"sequences/00001/0389/im{i}.png" for i in (1, 3)]
    assert names(tmp_path, sample.targets) == ["sequences/00001/0389/im2.png"]
    assert (sample.times, sample.target_times) == ((0, 1), HALF)
    assert [one.name for one in layouts.vimeo_triplets(tmp_path, "train")] == ["00001/0001", "00002/0010"]
    batch = read_sample(sample)
    assert batch.frames.shape == (1, 2, 3, 6, 8) and batch.targets.shape == (1, 1, 3, 6, 8)
    assert (batch.frames[0, :, 0, 0, 0] * 255).tolist() == pytest.approx([1, 3])
    assert float(batch.targets[0, 0, 0, 0, 0]) * 255 == pytest.approx(2)
    assert batch.times.tolist() == [[0, 1]] and batch.target_times.tolist() == [[0.5]]
    assert batch.frames.dtype == torch.float32


def test_vimeo_septuplets(tmp_path):
    listing(tmp_path, "sep_testlist.txt", "00001/0266")
    touch(tmp_path, *(f"sequences/00001/0266/im{i}.png" for i in range(1, 8)))
    (sample,) = layouts.vimeo_septuplets(tmp_path)
    assert [path.name for path in sample.inputs] == ["im1.png", "im3.png", "im5.png", "im7.png"]
    assert [path.name for path in sample.targets] == ["im4.png"]
    assert (sample.times, sample.target_times) == ((-1, 0, 1, 2), HALF)
    (whole,) = layouts.vimeo_septuplets(tmp_path, inputs=(1, 7), targets=range(2, 7))
    assert whole.target_times == tuple(Fraction(i, 6) for i in range(1, 6))
    for wrong in ({"inputs": (0, 7)}, {"inputs": (1, 4, 7)}, {"inputs": (1, 3)}, {"targets": (2, 4)}):
        with pytest.raises(UsageError):
            layouts.vimeo_septuplets(tmp_path, **wrong)


@pytest.mark.parametrize("lists", ["eval_modes/", ""])
def test_snu_film(tmp_path, lists):
    """The lists' paths begin with folders of their authors' machine."""
    folders = ("GOPRO_test/GOPR0384_11_00", "YouTube_test/0000")
    lines = []
    for folder in folders:
        row = [f"test/{folder}/{i:05d}.png" for i in (1, 5, 9)]
        touch(tmp_path, *row)
        lines.append(" ".join(f"data/SNU-FILM/{name}" for name in row))
    listing(tmp_path, f"{lists}test-hard.txt", *lines)
    samples = layouts.snu_film(tmp_path, "hard")
    for sample, folder in zip(samples, folders, strict=True):
        assert names(tmp_path, sample.inputs) == [f"test/{folder}/00001.png", f"test/{folder}/00009.png"]
        assert names(tmp_path, sample.targets) == [f"test/{folder}/00005.png"]
        assert (sample.times, sample.target_times) == ((0, 1), HALF)
    with pytest.raises(InputError, match="test-easy"):
        layouts.snu_film(tmp_path, "easy")
    with pytest.raises(UsageError, match="choose easy"):
        layouts.snu_film(tmp_path, "harder")
    listing(tmp_path, f"{lists}test-hard.txt", "a b")
    with pytest.raises(InputError, match=r"test-hard.txt:1: expected three paths"):
        layouts.snu_film(tmp_path, "hard")
    listing(tmp_path, f"{lists}test-hard.txt", "a/1.png a/2.png a/3.png")
    with pytest.raises(InputError, match="is missing"):
        layouts.snu_film(tmp_path, "hard")


@pytest.mark.parametrize("outer", ["ucf101_interp_ours/", ""])
def test_ucf101_of_deep_voxel_flow(tmp_path, outer):
    for scene in (1, 10, 2):
        for name in ("frame_00", "frame_01_gt", "frame_01_ours", "frame_02"):
            touch(tmp_path, f"{outer}{scene}/{name}.png")
    samples = layouts.ucf101(tmp_path)
    assert [sample.name for sample in samples] == ["1", "2", "10"]
    assert [path.name for path in samples[0].inputs] == ["frame_00.png", "frame_02.png"]
    assert [path.name for path in samples[0].targets] == ["frame_01_gt.png"]


@pytest.mark.parametrize("truths", ["other-gt-interp", "other-data"])
def test_middlebury(tmp_path, truths):
    """In the two trees of its site, or merged. Army, of the evaluation set, has no true middle frame."""
    for scene in ("Venus", "Beanbags", "Army"):
        touch(tmp_path, f"other-data/{scene}/frame10.png", f"other-data/{scene}/frame11.png")
        if scene != "Army":
            touch(tmp_path, f"{truths}/{scene}/frame10i11.png")
    samples = layouts.middlebury(tmp_path)
    assert [sample.name for sample in samples] == ["Beanbags", "Venus"]
    assert names(tmp_path, samples[1].inputs) == ["other-data/Venus/frame10.png", "other-data/Venus/frame11.png"]
    assert names(tmp_path, samples[1].targets) == [f"{truths}/Venus/frame10i11.png"]
    if truths == "other-data":
        assert len(layouts.middlebury(tmp_path / "other-data")) == 2


def test_middlebury_without_its_truths_says_what_is_missing(tmp_path):
    touch(tmp_path, "other-data/Venus/frame10.png", "other-data/Venus/frame11.png")
    with pytest.raises(InputError, match="unpack other-gt-interp"):
        layouts.middlebury(tmp_path)


def test_x4k1000fps(tmp_path):
    touch(tmp_path, *(f"test/Type1/TEST01_003_f0433/{i:04d}.png" for i in range(33)))
    touch(tmp_path, *(f"test/Type2/TEST06_001_f0273/{i:04d}.png" for i in range(33)))
    touch(tmp_path, *(f"train/002/occ008.320_f2881/{i:04d}.png" for i in range(65)))
    samples = layouts.x4k1000fps(tmp_path)
    assert [sample.name for sample in samples] == ["Type1/TEST01_003_f0433", "Type2/TEST06_001_f0273"]
    assert [path.name for path in samples[0].inputs] == ["0000.png", "0032.png"]
    assert [path.name for path in samples[0].targets] == [f"{4 * k:04d}.png" for k in range(1, 8)]
    assert samples[0].target_times == tuple(Fraction(k, 8) for k in range(1, 8))
    train = layouts.x4k1000fps(tmp_path, "train")
    assert [[path.name for path in sample.inputs] for sample in train] == [
        ["0000.png", "0032.png"],
        ["0032.png", "0064.png"],
    ]
    (clip,) = layout_clips("x4k", tmp_path, "train")
    assert len(clip.images) == 65 and clip.rate == 1000
    (tmp_path / "test/Type1/TEST01_003_f0433/0032.png").unlink()
    with pytest.raises(InputError, match="has 32 frames, not 33"):
        layouts.x4k1000fps(tmp_path)


def test_adobe240_as_one_folder_of_videos(tmp_path):
    """Every tenth video of the listing is for testing; frames are not padded with zeros."""
    for video in range(1, 11):
        touch(tmp_path, *(f"IMG_{video:02d}/{i}.png" for i in range(18)))
    samples = layouts.adobe240(tmp_path)
    assert [sample.name for sample in samples] == ["IMG_10/00000", "IMG_10/00008"]
    assert [path.name for path in samples[1].inputs] == ["8.png", "16.png"]
    assert [path.name for path in samples[1].targets] == [f"{i}.png" for i in range(9, 16)]
    assert len(layout_clips("adobe240", tmp_path, "train")) == 9


@pytest.mark.parametrize("outer", ["frame/", ""])
def test_adobe240_in_parts(tmp_path, outer):
    for part, video in (("train", "a"), ("test", "b")):
        touch(tmp_path, *(f"{outer}{part}/{video}/{i}.png" for i in range(9)))
    (sample,) = layouts.adobe240(tmp_path)
    assert sample.name == "b/00000" and len(sample.targets) == 7
    assert [clip.name for clip in layout_clips("adobe240", tmp_path, "train")] == ["a"]


@pytest.mark.parametrize("outer", ["GOPRO_Large_all/", ""])
def test_gopro(tmp_path, outer):
    touch(tmp_path, *(f"{outer}test/GOPR0384_11_00/{i:06d}.png" for i in range(1, 19)))
    touch(tmp_path, *(f"{outer}train/GOPR0372_07_00/{i:06d}.png" for i in range(47, 57)))
    samples = layouts.gopro(tmp_path)
    assert [[path.stem for path in sample.inputs] for sample in samples] == [
        ["000001", "000009"],
        ["000009", "000017"],
    ]
    assert samples[0].target_times == tuple(Fraction(k, 8) for k in range(1, 8))
    (clip,) = layout_clips("gopro", tmp_path, "train")
    assert (clip.name, clip.rate, len(clip.images)) == ("GOPR0372_07_00", 240, 10)


def test_gopro_large_is_not_gopro_large_all(tmp_path):
    touch(tmp_path, "test/GOPR0384_11_00/sharp/000001.png", "test/GOPR0384_11_00/blur/000001.png")
    with pytest.raises(InputError, match="GOPRO_Large_all is needed"):
        layouts.gopro(tmp_path)


@pytest.mark.parametrize("outer", ["netflix/", ""])
def test_xiph(tmp_path, outer):
    for name in XIPH_CLIPS:
        touch(tmp_path, *(f"{outer}{name}-{i:03d}.png" for i in range(1, 101)))
    samples = layouts.xiph(tmp_path)
    assert len(samples) == 392
    assert [path.name for path in samples[0].inputs] == ["BoxingPractice-001.png", "BoxingPractice-003.png"]
    assert [path.name for path in samples[48].targets] == ["BoxingPractice-098.png"]
    assert len({sample.name for sample in samples}) == 392
    (tmp_path / f"{outer}Tango-100.png").unlink()
    with pytest.raises(InputError, match=r"Tango-100.png: is missing"):
        layouts.xiph(tmp_path)


def test_davis(tmp_path):
    touch(tmp_path, *(f"JPEGImages/480p/{name}/{i:05d}.jpg" for name in ("bear", "blackswan") for i in range(6)))
    listing(tmp_path, "ImageSets/2017/val.txt", "blackswan")
    listing(tmp_path, "ImageSets/2017/train.txt", "bear")
    rows = [f"/JPEGImages/480p/blackswan/{i:05d}.jpg /Annotations/480p/blackswan/{i:05d}.png" for i in range(6)]
    listing(tmp_path, "ImageSets/480p/val.txt", *rows)
    samples = layouts.davis(tmp_path)
    assert [sample.name for sample in samples] == ["blackswan/00000", "blackswan/00002"]
    assert [path.name for path in samples[1].inputs] == ["00002.jpg", "00004.jpg"]
    assert layouts.davis(tmp_path, year="2016") == samples  # its list names each frame and its mask
    assert [clip.name for clip in layout_clips("davis", tmp_path, "train")] == ["bear"]


def test_layouts_are_packed_as_clips_in_order_of_time(tmp_path):
    listing(tmp_path, "tri_trainlist.txt", "00001/0001", "00001/0002")
    for scene in ("00001/0001", "00001/0002"):
        write(tmp_path, *(f"sequences/{scene}/im{i}.png" for i in (1, 2, 3)), size=(20, 24))
    store = pack(layout_clips("vimeo-triplet", tmp_path, "train"), tmp_path / "store").store
    assert [clip.name for clip in store.clips] == ["00001/0001", "00001/0002"]
    assert store.frames(1)[:, 0, 0, 0].tolist() == [1, 2, 3]


def test_damaged_or_different_images_are_one_line(tmp_path):
    listing(tmp_path, "tri_testlist.txt", "a")
    write(tmp_path, *(f"sequences/a/im{i}.png" for i in (1, 2, 3)))
    (sample,) = layouts.vimeo_triplets(tmp_path)
    write(tmp_path, "sequences/a/im3.png", size=(6, 9))
    with pytest.raises(InputError, match="differ in size"):
        read_sample(sample)
    (tmp_path / "sequences/a/im3.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match=r"im3.png: not an image"):
        read_sample(sample)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_a_missing_or_empty_root_is_one_line(tmp_path, name):
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError) as caught:
            layout_clips(name, root, "test")
        assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("load", [layouts.snu_film, layouts.ucf101, layouts.middlebury, layouts.xiph])
def test_a_missing_or_empty_folder_is_one_line(tmp_path, load):
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError) as caught:
            load(root)
        assert str(Path(root)) in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_names_and_splits_are_refused(tmp_path):
    with pytest.raises(UsageError, match="choose adobe240"):
        layout_clips("vimeo", tmp_path, "train")
    with pytest.raises(UsageError, match="choose train or test"):
        layout_clips("gopro", tmp_path, "val")
