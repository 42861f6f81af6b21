"""Objects and points followed through a clip: files whole and in place, one mask a frame, cuts, mistakes."""

import csv
import weakref
from fractions import Fraction

import clips
import numpy as np
import pytest
import torch
from decoded import read_planes
from PIL import Image

from midframe.engine import track as module
from midframe.engine.job import Note, Progress, Started
from midframe.engine.track import TrackJob, read_points_file, track
from midframe.errors import InputError, OutputError, UsageError
from midframe.types import Contract
from midframe.video.masks import read_mask
from midframe.video.probe import probe


class Shifts:
    """Propagator whose labels move by one place to the right in every frame."""

    contract = Contract(inputs=(-1, 0), multiple=8)
    stride = 4

    def __init__(self):
        self.seen = []

    def start(self, frame, labels):
        self.seen.append(tuple(frame.shape))
        return labels

    def step(self, memory, frame):
        self.seen.append(tuple(frame.shape))
        moved = torch.roll(memory, 1, -1)
        return moved, moved


@pytest.fixture
def model(monkeypatch):
    shifts = Shifts()
    monkeypatch.setattr(module, "load_propagator", lambda *args, **options: shifts)
    monkeypatch.setattr(module, "find_remark", lambda *args: "")
    return shifts


@pytest.fixture
def clip(tmp_path):
    return clips.write_clip(tmp_path / "clip.mp4", clips.moving(12), 25, sounds=[clips.Sound(clips.clicks(0.48))])


def two_objects(path, size=(72, 96)):
    mask = np.zeros(size, np.uint8)
    mask[10:30, 20:40] = 3
    mask[40:60, 50:60] = 7
    image = Image.fromarray(mask)
    image.putpalette([0, 0, 0] * 3 + [200, 30, 30] + [0, 0, 0] * 3 + [30, 200, 30])
    image.save(path)
    return mask


def do(source, **options):
    events = []
    return track(TrackJob(input=str(source), **options), events.append), events


def test_a_mask_for_each_frame_and_the_clip_with_them_drawn_in(clip, tmp_path, model):
    mask = two_objects(tmp_path / "first.png")
    result, events = do(clip, mask=str(tmp_path / "first.png"))
    assert (result.output, result.found) == (tmp_path / "clip.tracked.mp4", tmp_path / "clip.tracked-masks")
    assert (result.frames, result.count, result.kind, result.cuts) == (12, 2, "objects", ())
    files = sorted(result.found.iterdir())
    assert [one.name for one in files] == [f"{k:05d}.png" for k in range(12)]
    for k, file in enumerate(files):
        found = read_mask(file)
        assert np.array_equal(found.numbers, np.roll(mask, k, 1)), k  # 96 is a multiple of 8: no padding
        assert found.colours[3] == (200, 30, 30) and found.colours[7] == (30, 200, 30)
    info = probe(str(result.output))
    assert (info.width, info.height, info.declared_frames) == (96, 72, 12) and result.audio_offset
    assert isinstance(events[0], Started) and [e for e in events if isinstance(e, Progress)][-1].frames == 12
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "clip.mp4", "clip.tracked-masks", "clip.tracked.mp4", "first.png",
    ]  # fmt: skip


def test_the_rest_of_the_picture_is_as_it_was(tmp_path, model):
    source = clips.write_y4m(tmp_path / "in.y4m", clips.moving(6), Fraction(30000, 1001))
    two_objects(tmp_path / "first.png")
    do(source, mask=str(tmp_path / "first.png"), output=str(tmp_path / "out.y4m"))
    own, made = ([planes for _, planes in read_planes(path)] for path in (source, tmp_path / "out.y4m"))
    assert len(made) == 6
    for before, after in zip(own, made, strict=True):
        changed = np.abs(before[0].astype(int) - after[0]) > 1
        assert changed[10:60, 20:70].any() and not changed[:9].any() and not changed[61:].any()


def test_frames_are_worked_on_smaller_and_masks_come_back_whole(tmp_path, model):
    source = clips.write_clip(tmp_path / "clip.mkv", clips.moving(4, (130, 200)), 25)
    mask = two_objects(tmp_path / "first.png", (130, 200))
    result, _ = do(source, mask=str(tmp_path / "first.png"), short_side=65)
    assert set(model.seen) == {(1, 3, 72, 104)}  # half of 130 × 200, padded to eights
    last = read_mask(result.found / "00003.png").numbers
    assert last.shape == (130, 200) and np.mean(last == np.roll(mask, 6, 1)) > 0.98


def test_points_become_lines_of_a_table(clip, tmp_path, model):
    (tmp_path / "p.csv").write_text("x,y,name\n20,30,nose\n61.5,45.5,tail\n")
    result, _ = do(clip, points=str(tmp_path / "p.csv"), output=str(tmp_path / "out.mkv"))
    assert (result.kind, result.count, result.found.name) == ("points", 2, "out-points.csv")
    with open(result.found) as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24 and list(rows[0]) == ["frame", "time", "name", "x", "y", "confidence"]
    tail = [row for row in rows if row["name"] == "tail"]
    for k in range(1, 8):  # one place of the grid, 4 pixels, a frame
        assert float(tail[k]["x"]) == pytest.approx(61.5 + 4 * k, abs=1.5)
        assert float(tail[k]["y"]) == pytest.approx(45.5, abs=1.5)
        assert float(tail[k]["confidence"]) == pytest.approx(1.0, abs=0.01)
        assert float(tail[k]["time"]) == pytest.approx(k / 25)
    assert (tail[0]["x"], tail[0]["y"], tail[0]["confidence"]) == ("61.50", "45.50", "1.0000")


@pytest.mark.parametrize("stops", [False, True])
def test_a_cut_is_said_and_can_end_it(tmp_path, model, stops):
    source = clips.write_clip(tmp_path / "clip.mkv", clips.cut(24, at=(12,)), 25)
    two_objects(tmp_path / "first.png")
    result, events = do(source, mask=str(tmp_path / "first.png"), stop_at_cuts=stops)
    assert result.cuts == (Fraction(12, 25),)
    (said,) = [event.text for event in events if isinstance(event, Note)]
    assert said.startswith("another shot begins with frame 12 (0.48 s): " + ("nothing" if stops else "what is marked"))
    masks = [read_mask(one).numbers for one in sorted(result.found.iterdir())]
    assert len(masks) == 24 and masks[11].any() and masks[23].any() != stops
    assert len(model.seen) == (12 if stops else 24)


def test_memory_does_not_grow_with_the_clip(tmp_path, model, monkeypatch):
    """Only the frames that finding cuts needs are held at once."""
    alive, most = set(), 0
    real = module.to_rgb

    def watched(picture, colour):
        nonlocal most
        frame = real(picture, colour)
        alive.add(weakref.ref(frame, alive.discard))
        most = max(most, len(alive))
        return frame

    monkeypatch.setattr(module, "to_rgb", watched)
    two_objects(tmp_path / "first.png")
    do(clips.write_clip(tmp_path / "clip.mkv", clips.moving(40), 25), mask=str(tmp_path / "first.png"))
    assert most <= 2


def test_nothing_is_left_of_a_run_that_ends_early(clip, tmp_path, model, monkeypatch):
    two_objects(tmp_path / "first.png")
    before = sorted(tmp_path.iterdir())

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        do(clip, mask=str(tmp_path / "first.png"))
    assert sorted(tmp_path.iterdir()) == before


def test_outputs_are_replaced_only_when_told(clip, tmp_path, model):
    two_objects(tmp_path / "first.png")
    do(clip, mask=str(tmp_path / "first.png"))
    with pytest.raises(OutputError, match=r"clip\.tracked\.mp4 exists; --overwrite"):
        do(clip, mask=str(tmp_path / "first.png"))
    with pytest.raises(OutputError, match="masks exists; --overwrite"):
        do(clip, mask=str(tmp_path / "first.png"), output=str(tmp_path / "o.mkv"),
           found=str(tmp_path / "clip.tracked-masks"))  # fmt: skip
    (tmp_path / "clip.tracked-masks" / "99999.png").write_bytes(b"old")
    result, _ = do(clip, mask=str(tmp_path / "first.png"), overwrite=True)
    assert len(list(result.found.iterdir())) == 12


def test_mistakes_are_told_before_any_work(clip, tmp_path, model):
    two_objects(tmp_path / "first.png")
    two_objects(tmp_path / "small.png", (64, 96))
    Image.fromarray(np.zeros((72, 96), np.uint8)).save(tmp_path / "empty.png")
    noise = np.random.default_rng(0).integers(0, 255, (72, 96, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    (tmp_path / "far.csv").write_text("500,20\n")
    for options, kind, said in (
        ({}, UsageError, "either a mask of the first frame"),
        ({"mask": "first.png", "points": "far.csv"}, UsageError, "either a mask"),
        ({"mask": "small.png"}, UsageError, r"small.png is 96x64, the frames of .* are 96x72"),
        ({"mask": "empty.png"}, UsageError, "marks nothing"),
        ({"mask": "photo.png"}, InputError, "255 objects are the most"),
        ({"mask": "gone.png"}, InputError, "cannot be read as a picture"),
        ({"mask": "clip.mp4"}, InputError, "cannot be read as a picture"),
        ({"points": "far.csv"}, UsageError, r"the point \(500, 20\) lies outside the frame of 96x72"),
        ({"mask": "first.png", "found": "none/masks"}, OutputError, "no such folder"),
        ({"mask": "first.png", "found": "first.png"}, OutputError, "is a file"),
        ({"mask": "first.png", "short_side": 8}, UsageError, "64 pixels are the least"),
    ):
        given = {k: str(tmp_path / v) if isinstance(v, str) else v for k, v in options.items()}
        with pytest.raises(kind, match=said):
            do(clip, **given)
    assert not model.seen and not list(tmp_path.glob("*tracked*"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no points"),
        ("x,y,name\n", "holds no points"),
        ("a,b\n1,2\n", "its columns are a, b"),
        ("x,y\n1,two\n", r"line 2 \(1,two\) is not x,y"),
        ("1\n", r"line 1 \(1\) is not x,y"),
        ("1,2,a,b\n", r"line 1 \(1,2,a,b\) is not"),
        ("1,nan\n", "line 1"),
        ("1,2,a\n3,4,a\n", "two points are called a"),
    ],
)
def test_wrong_tables_are_told(tmp_path, text, said):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_points_file(tmp_path / "p.csv")


def test_tables_with_and_without_a_first_line(tmp_path):
    (tmp_path / "p.csv").write_text("\ufeffY, X\n1,2\n\n3,4.5\n", encoding="utf-8")
    found = read_points_file(tmp_path / "p.csv")
    assert found.places.tolist() == [[2, 1], [4.5, 3]] and found.names == ("1", "2")
    (tmp_path / "p.csv").write_text("2,1,nose\n4,3\n")
    assert read_points_file(tmp_path / "p.csv").names == ("nose", "2")


def test_three_kinds_of_masks_are_read(tmp_path):
    grey = np.zeros((4, 6), np.uint8)
    grey[0, 0], grey[1, 1:3] = 255, 90
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert read_mask(tmp_path / "grey.png").numbers[:2, :3].tolist() == [[2, 0, 0], [0, 1, 1]]
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[0, 0], colours[1, 1:3] = (255, 0, 0), (0, 255, 0)
    Image.fromarray(colours).save(tmp_path / "colours.png")
    assert read_mask(tmp_path / "colours.png").numbers[:2, :3].tolist() == [[2, 0, 0], [0, 1, 1]]
    Image.fromarray(grey > 0).save(tmp_path / "two.png")
    assert read_mask(tmp_path / "two.png").numbers[:2, :3].tolist() == [[1, 0, 0], [0, 1, 1]]
