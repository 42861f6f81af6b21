"""How often the detectors are wrong: cuts, repeats and overlays, on real clips and on edits made from them.

    python benchmarks/analysis.py [DATA] [--only cuts,duplicates,overlays,time]

DATA holds the folders val/ and train/ (clips of one continuous shot each, no cuts, no repeated frames) and photos/.
Edits are made here: shots joined, flashes, fades, dissolves, pans over photographs, frames repeated on 2s and 3s and
encoded again, subtitles, logos and bars burnt in and encoded again.
"""

import argparse
import io
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from midframe.analysis.cuts import find_cuts, is_cut, measure_change
from midframe.analysis.duplicates import bridge_keys, find_duplicates, measure_difference
from midframe.analysis.glance import Glance, Pairs, glance
from midframe.analysis.overlays import find_overlay
from midframe.models.load import load
from midframe.video.colour import Colour
from midframe.video.pixel import compose, from_rgb, luma, to_rgb

BT709 = Colour(1, 1, 1, 1, 1)
Shot = list[Glance]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--only", default="cuts,duplicates,overlays,time")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    wanted = options.only.split(",")
    if "cuts" in wanted or "duplicates" in wanted:
        report_shots(options.data, wanted)
    if "overlays" in wanted:
        report_overlays(options.data / "val")
    if "time" in wanted:
        report_time()


def row(what: str, hits: int, of: int, note: str = "") -> None:
    print(f"{what:<58} {hits:6d} of {of:6d}  {100 * hits / max(of, 1):7.2f} %  {note}", flush=True)


def read(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return [frame.reformat(format="yuv420p") for frame in container.decode(video=0)]


def encode(pictures: Sequence[av.VideoFrame], crf: int) -> list[av.VideoFrame]:
    """Through x264 and back."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = pictures[0].width & ~1, pictures[0].height & ~1
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast"}
        for number, picture in enumerate(pictures):
            copy = picture.reformat(width=stream.width, height=stream.height)
            if copy is picture:
                copy = av.VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
            copy.pts, copy.pict_type = number, 0
            container.mux(stream.encode(copy))
        container.mux(stream.encode())
    memory.seek(0)
    with av.open(memory) as container:
        return list(container.decode(video=0))


# ---- cuts and repeats --------------------------------------------------------------------------------------------


def report_shots(data: Path, wanted: list[str]) -> None:
    shots: dict[str, dict[str, Shot]] = {"val": {}, "train": {}}
    repeats = {part: [0, 0, 0, 0] for part in shots}  # frames, repeats, bridged with a cadence, bridged without
    for part, found in shots.items():
        for path in sorted((data / part).glob("*.mp4")):
            seen = [glance(picture) for picture in read(path)]
            if "duplicates" in wanted:
                dups = find_duplicates(seen)
                counts = (len(dups), sum(dups), *(sum(bridge_keys(dups, cadence=c)) for c in (True, False)))
                repeats[part] = [a + b for a, b in zip(repeats[part], counts, strict=True)]
            found[path.stem] = [replace(one, luma=one.luma[:0]) for one in seen]  # cuts need no more
    if "cuts" in wanted:
        report_cuts(data, shots["val"], shots["train"])
    if "duplicates" in wanted:
        for part, (frames, dups, auto, all_) in repeats.items():
            row(f"repeats, {part}: frames taken for repeats", dups, frames)
            row(f"repeats, {part}: bridged by auto", auto, frames)
            row(f"repeats, {part}: bridged by bridge", all_, frames)
        report_animation(data)


def report_cuts(data: Path, val: dict[str, Shot], train: dict[str, Shot]) -> None:
    for step in (1, 2):
        for name, part in (("val", val), ("train", train)):
            marks = [(stem, g) for stem, shot in part.items() for g, hit in enumerate(find_cuts(shot[::step])) if hit]
            gaps = sum(len(shot[::step]) - 1 for shot in part.values())
            where = " ".join(f"{stem}:{g}" for stem, g in marks[:6])
            row(f"cuts, {name}, every {step}. frame: false", len(marks), gaps, where)
    generator = random.Random(1)
    everything = {**val, **train}
    names = sorted(everything)
    hits = tries = extra = gaps = 0
    for _ in range(1000):
        a, b = generator.sample(names, 2)
        if a.split("_")[0] == b.split("_")[0]:
            continue
        joined, gap = join(everything[a], everything[b])
        marks = find_cuts(joined)
        hits, tries = hits + marks[gap], tries + 1
        extra, gaps = extra + sum(marks) - marks[gap], gaps + len(marks) - 1
    row("cuts, shots of two sources joined: found", hits, tries)
    row("cuts, shots of two sources joined: false beside them", extra, gaps)
    hits = tries = 0
    for a in names:
        for b in names:
            if a != b and a.split("_")[0] == b.split("_")[0] and abs(int(a.split("_")[-1]) - int(b.split("_")[-1])) > 1:
                joined, gap = join(everything[a], everything[b])
                hits, tries = hits + find_cuts(joined)[gap], tries + 1
    row("cuts, two shots of one source joined: found", hits, tries, "(some are the same view again)")
    white, black = np.float32((235, 128, 128)), np.float32((16, 128, 128))
    edits = {
        "a white frame": lambda shot: blend(shot, white, {8: 1.0}),
        "two white frames": lambda shot: blend(shot, white, {8: 1.0, 9: 1.0}),
        "a flash of 70 %": lambda shot: blend(shot, white, {8: 0.7, 9: 0.3}),
        "fade to black and back, 6 frames": lambda shot: blend(shot, black, fade(4, 6)),
        "fade to black and back, 4 frames": lambda shot: blend(shot, black, fade(4, 4)),
    }
    for name, edit in edits.items():
        marks = [find_cuts(edit(shot)) for shot in val.values() if len(shot) >= 13]
        row(f"cuts, val with {name}: shots hurt", sum(any(mark) for mark in marks), len(marks))
    for frames in (12, 6):
        marks = []
        for _ in range(200):
            a, b = generator.sample(names, 2)
            marks.append(find_cuts(dissolve(everything[a], everything[b], frames)))
        row(f"cuts, dissolves of {frames} frames: hurt", sum(any(mark) for mark in marks), len(marks))
    photos = sorted((data / "photos").glob("*.jpg"))[:80]
    for percent in (3, 6, 10, 15):
        marks = [find_cuts(pan(path, percent / 100 * 64)) for path in photos]
        row(f"cuts, pans of {percent} % of the width a frame: hurt", sum(any(mark) for mark in marks), len(marks))


def join(a: Shot, b: Shot, most: int = 10) -> tuple[Shot, int]:
    """The end of `a` and the beginning of `b`, and the gap between them."""
    height, width = a[0].thumb.shape[:2]
    a = a[-most:]
    fitted = [replace(g, thumb=cv2.resize(g.thumb, (width, height), interpolation=cv2.INTER_AREA)) for g in b[:most]]
    return [*a, *fitted], len(a) - 1


def blend(shot: Shot, colour: NDArray[np.float32], part: dict[int, float]) -> Shot:
    return [replace(g, thumb=g.thumb + np.float32(part.get(i, 0)) * (colour - g.thumb)) for i, g in enumerate(shot)]


def fade(start: int, frames: int) -> dict[int, float]:
    down = {start + k: (k + 1) / frames for k in range(frames)}
    return down | {start + 2 * frames - 2 - k: value for k, value in enumerate(down[i] for i in sorted(down))}


def dissolve(a: Shot, b: Shot, frames: int) -> Shot:
    """4 frames of `a`, `frames` in which it gives way to `b`, 4 of `b`; shots too short stand still at their end."""
    height, width = a[0].thumb.shape[:2]
    made = []
    for i in range(frames + 8):
        left, right = a[min(i, len(a) - 1)].thumb, b[min(max(i - 4, 0), len(b) - 1)].thumb
        share = np.float32(min(max((i - 3) / (frames + 1), 0), 1))
        right = cv2.resize(right, (width, height), interpolation=cv2.INTER_AREA)
        made.append(replace(a[0], thumb=left + share * (right - left)))
    return made


def pan(path: Path, speed: float) -> Shot:
    """Still, then panning over a photograph at `speed` thumbnail pixels a frame, then still again."""
    photo = cv2.imread(str(path))
    height = 40
    small = cv2.resize(photo, (max(200, round(photo.shape[1] * height / photo.shape[0])), height), interpolation=3)
    ycc = cv2.cvtColor(small, cv2.COLOR_BGR2YCrCb)[..., [0, 2, 1]].astype(np.float32)
    steps = min(8, int((ycc.shape[1] - 66) / speed))
    offsets = [0.0] * 5 + [speed * (k + 1) for k in range(steps)] + [speed * steps] * 5
    shots = []
    for offset in offsets:
        move = np.array([[1, 0, -offset], [0, 1, -2]], np.float32)
        shots.append(Glance(cv2.warpAffine(ycc, move, (64, 36)), np.zeros((0, 0), np.uint8), 1))
    return shots


def report_animation(data: Path) -> None:
    """Real clips slowed to drawings on 2s and 3s, and slow pans that must not be taken for such."""
    for times in (2, 3):
        found = frames = false = keys = bridged = bridgeable = 0
        for path in sorted((data / "val").glob("*.mp4")):
            drawn = read(path)[:12]
            seen = [glance(p) for p in encode([picture for picture in drawn for _ in range(times)], 23)]
            dups = find_duplicates(seen)
            truth = [i % times != 0 for i in range(len(dups))]
            auto = bridge_keys(dups, cadence=True)
            inner = range(times, len(dups) - times)  # the last drawing has nothing after it to bridge to
            bridgeable += sum(truth[i] for i in inner)
            found += sum(dups[i] and truth[i] for i in range(len(dups)))
            frames += sum(truth)
            false += sum(dups[i] and not truth[i] for i in range(len(dups)))
            keys += len(truth) - sum(truth)
            bridged += sum(auto[i] and truth[i] for i in inner)
        row(f"repeats, val on {times}s through x264 crf 23: found", found, frames)
        row(f"repeats, val on {times}s through x264 crf 23: bridged by auto", bridged, bridgeable)
        row(f"repeats, val on {times}s through x264 crf 23: drawings lost", false, keys)
    for speed in (0.125, 0.25, 0.5, 1.0):
        dups = auto_ = all_ = frames = 0
        for path in sorted((data / "photos").glob("*.jpg"))[:20]:
            photo = cv2.resize(cv2.imread(str(path)), (720, 420), interpolation=cv2.INTER_AREA)
            moves = [np.array([[1, 0, -speed * k], [0, 1, -10]], np.float32) for k in range(25)]
            made = [cv2.warpAffine(photo, move, (640, 360), flags=cv2.INTER_CUBIC) for move in moves]
            pictures = [av.VideoFrame.from_ndarray(one, format="bgr24").reformat(format="yuv420p") for one in made]
            marks = find_duplicates([glance(picture) for picture in encode(pictures, 23)])
            frames += len(marks)
            dups += sum(marks)
            auto_ += sum(bridge_keys(marks, cadence=True))
            all_ += sum(bridge_keys(marks, cadence=False))
        row(f"repeats, slow pan of {speed} px a frame: taken for repeats", dups, frames, f"auto {auto_}, bridge {all_}")


# ---- overlays ----------------------------------------------------------------------------------------------------


def report_overlays(folder: Path) -> None:
    """Every second frame made again by dis/fast, with overlays kept and without: what it does to the luma's PSNR."""
    model = load("dis/fast")
    for kind in ("nothing", "subtitle", "logo", "letterbox"):
        gains, kept = [], []
        for path in sorted(folder.glob("*.mp4")):
            pictures = read(path)
            if kind != "nothing":
                pictures = encode([burn(picture, kind) for picture in pictures], 20)
            source = pictures[::2]
            seen = [glance(picture) for picture in source]
            pairs = Pairs(seen.__getitem__)
            change = []
            for gap in range(0, (len(pictures) - 1) // 2, 2):
                mask = find_overlay(pairs, gap, 0, len(seen))
                kept.append(0.0 if mask is None else float(mask.mean()))
                if mask is None:
                    change.append(0.0)
                    continue
                rgb = torch.stack([to_rgb(source[gap], BT709), to_rgb(source[gap + 1], BT709)])
                height, width = rgb.shape[-2:]
                multiple = model.contract.multiple
                padded = F.pad(rgb, (0, -width % multiple, 0, -height % multiple), mode="replicate")
                made = model.render(model.prepare(padded[None]), 0.5)[0, :, :height, :width]
                picture = from_rgb(made, pix_fmt="yuv420p", colour=BT709)
                without = psnr(picture, pictures[2 * gap + 1])
                compose(picture, source[gap], mask)
                change.append(psnr(picture, pictures[2 * gap + 1]) - without)
            gains.append(float(np.mean(change)))
        print(
            f"overlays, val with {kind:<10} dB a clip: worst {min(gains):+.4f}, mean {np.mean(gains):+.4f}, "
            f"best {max(gains):+.4f}; better on {sum(g > 0.001 for g in gains)}, worse on "
            f"{sum(g < -0.001 for g in gains)} of {len(gains)}; kept {100 * np.mean(kept):.2f} % of the pixels",
            flush=True,
        )


def psnr(a: av.VideoFrame, b: av.VideoFrame) -> float:
    error = np.mean((luma(a).astype(np.float32) - luma(b).astype(np.float32)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def burn(picture: av.VideoFrame, kind: str) -> av.VideoFrame:
    image = np.ascontiguousarray(picture.to_ndarray(format="rgb24"))
    height, width = image.shape[:2]
    if kind == "letterbox":
        image[: height // 8] = image[-(height // 8) :] = 0
    elif kind == "logo":
        centre = (width - width // 10, height // 8)
        cv2.circle(image, centre, height // 16, (230, 60, 20), -1, cv2.LINE_AA)
        where = (centre[0] - width // 22, centre[1] + 8)
        cv2.putText(image, "TV1", where, cv2.FONT_HERSHEY_SIMPLEX, width / 800, (255, 255, 255), 2, cv2.LINE_AA)
    else:
        where = (width // 8, height - height // 10)
        for colour, thickness in (((0, 0, 0), 5), ((255, 255, 255), 2)):
            text = "The quick brown fox 1234"
            cv2.putText(image, text, where, cv2.FONT_HERSHEY_SIMPLEX, width / 640, colour, thickness, cv2.LINE_AA)
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")


# ---- time --------------------------------------------------------------------------------------------------------


def report_time() -> None:
    """Milliseconds a source frame, one thread, 1280x720, moving noise under a subtitle: nothing returns early."""
    generator = np.random.default_rng(0)
    ground = cv2.GaussianBlur(generator.integers(0, 256, (720, 1600), np.uint8), (0, 0), 4)
    ground = cv2.normalize(ground, None, 0, 255, cv2.NORM_MINMAX)
    pictures = []
    for k in range(24):
        image = np.repeat(ground[:, 8 * k : 8 * k + 1280, None], 3, axis=2)
        pictures.append(burn(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"), "subtitle"))
    seen = [glance(picture) for picture in pictures]
    pairs = Pairs(seen.__getitem__)
    find_overlay(pairs, 12, 0, len(seen))
    is_cut(pairs, 12, 0, len(seen))
    measure_difference(seen[0], seen[1])

    def milliseconds(what: Iterable[object]) -> float:
        before, count = time.thread_time(), sum(1 for _ in what)
        return 1000 * (time.thread_time() - before) / count

    gaps = range(len(seen) - 1)
    fresh = Pairs(seen.__getitem__)
    parts = {
        "glance": milliseconds(glance(picture) for picture in pictures),
        "cut": milliseconds(measure_change(seen[g], seen[g + 1]) for g in gaps),
        "repeat": milliseconds(measure_difference(seen[g], seen[g + 1]) for g in gaps),
        "overlay": milliseconds(find_overlay(fresh, g, 0, len(seen)) for g in gaps),
    }
    total = sum(parts.values())
    print("time at 1280x720, ms a frame: " + ", ".join(f"{k} {v:.2f}" for k, v in parts.items()) + f"; all {total:.2f}")


if __name__ == "__main__":
    main()
