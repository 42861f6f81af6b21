"""`make demo`: a clip, made smooth, with figures and a contact sheet.

    python tools/demo.py [--clip FILE] [--model dis] [--folder demo] [--seconds 8] [--pictures DIR]

Without --clip it renders its own film (tools/scene.py) at 24 frames per second and makes it 60. The film is a
function of time, so every new frame is compared with the true picture at its moment. With --clip it doubles the frame
rate of the first --seconds of that file and prints what `midframe check` says about it.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import av
import cv2
import numpy as np
import scene
from contact_sheet import Picture, draw_sheet, save_sheet

import midframe
from midframe.engine.job import Event, Note, Progress, Result, Started

FPS = 60
MOMENTS = (Fraction(2, 3), Fraction(35, 12))  # where the contact sheet looks: a source frame's time in each shot
WINDOW = (288, 512)  # height and width of what it shows there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a video of your own instead of the film")
    parser.add_argument("--model", default="midnet")
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    parser.add_argument("--seconds", type=float, default=8.0, help="how much of --clip to take")
    parser.add_argument("--pictures", type=Path, help="also write the documentation's pictures into this folder")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        if options.clip is None:
            show_film(options.folder, options.model, options.pictures)
        else:
            show_clip(options.clip, options.folder, options.model, options.seconds)
    except midframe.MidframeError as error:
        sys.exit(f"demo: {error}")


def show_film(folder: Path, model: str, pictures: Path | None) -> None:
    """Render the film, interpolate it, measure every new frame against the truth."""
    source, output = folder / "source.mp4", folder / "smooth.mp4"
    began = time.perf_counter()
    scene.write_film(source)
    print(f"{source}: {scene.SECONDS * scene.RATE} frames, {scene.RATE} per second, rendered in "
          f"{time.perf_counter() - began:.1f} s")  # fmt: skip
    result = midframe.interpolate(source, output, fps=FPS, model=model, overwrite=True, on_event=make_teller())
    report(result, source)

    film, before, after = scene.shots(), read_frames(source), read_frames(output)
    measured = measure(film, before, after)
    print(f"\nThe {len(measured['blend'])} new frames against the true pictures at their moments (8-bit RGB):")
    print(f"  {'':22}{'PSNR':>9}  {'worst frame':>12}  {'SSIM':>7}")
    for name, label in (
        ("repeat", "repeat the frame"),
        ("blend", "blend two frames"),
        ("midframe", f"midframe {model}"),
    ):
        psnr = [score[0] for score in measured[name]]
        ssim = [score[1] for score in measured[name] if score[1] is not None]
        print(f"  {label:22}{np.mean(psnr):6.2f} dB  {min(psnr):9.2f} dB  {np.mean(ssim):7.4f}")
    print("  (midframe's frames as decoded from the encoded result, the other two made from the decoded source)")
    print(f"\nSound: the clicks of the bouncing ball are off by at most {1000 * click_error(output):.2f} ms.")

    sheets = [film_rows(film, before, after, moment) for moment in MOMENTS]
    save_sheet(draw_sheet([row for rows in sheets for row in rows]), folder / "contact_sheet.png")
    print(f"\nThe result is {output}; compare with {source}. Pictures: {folder / 'contact_sheet.png'}.")
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        save_sheet(draw_sheet(sheets[0], cell_width=236), pictures / "contact_sheet.png", colours=200)
        for name in ("blend", "phase", "dis", "midnet"):
            rows = model_rows(film, before, name)
            save_sheet(draw_sheet(rows, cell_width=236), pictures / f"{name}.png", colours=160)


def show_clip(clip: Path, folder: Path, model: str, seconds: float) -> None:
    """Double the frame rate of the first seconds of a clip, and check the model on it."""
    output = folder / f"{clip.stem}.smooth.mkv"
    result = midframe.interpolate(
        clip, output, factor=2, end_time=seconds, model=model, overwrite=True, on_event=make_teller()
    )
    report(result, clip)
    after = read_frames(output, limit=min(result.frames, 240))
    first = max(2 * ((len(after) - 1) // 4), 0)
    rate = float(result.rate)
    shown = [(n, after[n]) for n in range(first, min(first + 5, len(after)))]
    sheet = draw_sheet(
        [
            ("source frames", [(caption(n / rate), frame) if n % 2 == 0 else ("", None) for n, frame in shown]),
            ("with the new frames between", [(caption(n / rate), frame) for n, frame in shown]),
        ]
    )
    save_sheet(sheet, folder / "contact_sheet.png")
    print("\nHow good is the model on this clip? Every second frame is dropped and made again:")
    command = [sys.executable, "-m", "midframe", "check", str(clip), "--model", f"{model},blend"]
    command += ["--end-time", f"{seconds:g}", "--out", str(folder / "check")]
    print(f"  midframe {shlex.join(command[3:])}\n", flush=True)
    done = subprocess.run(command)
    print(f"\nThe result is {output}. Pictures: {folder / 'contact_sheet.png'}.")
    if done.returncode:
        sys.exit(done.returncode)


def make_teller() -> Callable[[Event], None]:
    """Prints a line about a job's start and notes, and every few seconds how far it is."""
    said = time.monotonic()

    def tell(event: Event) -> None:
        nonlocal said
        match event:
            case Started():
                print(f"{event.model}: {event.source_frames} frames → {event.frames}, {event.encoder}", flush=True)
            case Progress() if event.stage == "render" and time.monotonic() - said > 5:
                said = time.monotonic()
                print(f"  {event.frames} of {event.total} frames, {event.fps:.1f} frames/s", flush=True)
            case Note():
                print(f"  note: {event.text}", flush=True)

    return tell


def report(result: Result, source: Path) -> None:
    """Rates, counts, times, sound: before and after."""
    print(f"\n  {'':10}{'before':>12}{'after':>12}")
    print(f"  {'frames':10}{round(result.source_duration * result.source_rate):>12}{result.frames:>12}")
    print(f"  {'rate':10}{float(result.source_rate):>12.3f}{float(result.rate):>12.3f}   frames per second")
    print(f"  {'duration':10}{float(result.source_duration):>12.3f}{float(result.duration):>12.3f}   seconds")
    held = f"{result.held} held at cuts and the end; {len(result.cuts)} cut(s) found"
    print(f"  {result.copied} frames are the source's own, {result.rendered} are new, {held}.")
    for name, seconds in result.audio_offset.items():
        print(f"  sound against picture, {name}: {1000 * seconds:+.3f} ms")
    print(f"  took {result.seconds:.1f} s, {result.frames / result.seconds:.2f} output frames per second")


def measure(
    film: tuple[scene.Shot, scene.Shot], before: list[Picture], after: list[Picture]
) -> dict[str, list[tuple[float, float | None]]]:
    """(PSNR, SSIM) of each new frame by three ways of making it. SSIM, which takes long, of every third."""
    from midframe.metrics.psnr import psnr
    from midframe.metrics.ssim import ssim

    scores: dict[str, list[tuple[float, float | None]]] = {"repeat": [], "blend": [], "midframe": []}
    for n, made in enumerate(after):
        position = Fraction(n * scene.RATE, FPS)
        i, t = position.numerator // position.denominator, position % 1
        if t == 0 or i + 1 >= len(before):
            continue  # a source frame, or after the last one: nothing is made there
        truth = scene.paint(film, n / FPS)
        ways = {"repeat": before[i], "blend": mix(before[i], before[i + 1], float(t)), "midframe": made}
        slow = len(scores["blend"]) % 3 == 0
        for name, picture in ways.items():
            similarity = ssim(picture, truth, "uniform2d", peak=255) if slow else None
            scores[name].append((psnr(picture, truth, peak=255), similarity))
    return scores


def mix(frame0: Picture, frame1: Picture, t: float) -> Picture:
    return cv2.addWeighted(frame0, 1 - t, frame1, t, 0)


def read_frames(path: Path, limit: int | None = None) -> list[Picture]:
    """All frames as H W 3 uint8 RGB."""
    with av.open(str(path)) as container:
        frames = []
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == limit:
                break
        return frames


def click_error(path: Path) -> float:
    """The largest distance in seconds between a click and the touch of the ball it belongs to."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    offset = frames[0].pts * frames[0].time_base * frames[0].rate
    truth = scene.sound()
    worst = 0.0
    for click in scene.click_times():
        around = round(click * scene.SOUND_RATE)
        low, high = max(around - 2000, 0), around + 4000
        heard = samples[max(low - round(offset), 0) : high - round(offset)]
        match = np.correlate(np.pad(heard, 500), truth[low:high][: len(heard)], "valid")
        worst = max(worst, abs(int(np.argmax(match)) - 500) / scene.SOUND_RATE)
    return worst


def film_rows(
    film: tuple[scene.Shot, scene.Shot], before: list[Picture], after: list[Picture], moment: Fraction
) -> list[tuple[str, list[tuple[str, Picture | None]]]]:
    """Two source gaps from `moment` on: the source frames, then the four new frames by each way and the truth."""
    i, n = int(moment * scene.RATE), int(moment * FPS)
    crop = window(scene.ball_at(film, float(moment) + 1 / scene.RATE))
    slots = [n + k for k in range(1, 5)]
    positions = [Fraction(slot * scene.RATE, FPS) for slot in slots]
    pairs = [(before[int(p)], before[int(p) + 1], float(p % 1)) for p in positions]
    return [
        (
            f"source, {scene.RATE} frames per second",
            [(caption((i + k) / scene.RATE), crop(before[i + k])) for k in range(3)],
        ),
        ("new frames: blended", [(caption(s / FPS), crop(mix(*pair))) for s, pair in zip(slots, pairs, strict=True)]),
        (f"new frames: midframe, {FPS} frames per second", [(caption(s / FPS), crop(after[s])) for s in slots]),
        ("the true pictures at these times", [(caption(s / FPS), crop(scene.paint(film, s / FPS))) for s in slots]),
    ]


def model_rows(
    film: tuple[scene.Shot, scene.Shot], before: list[Picture], model: str
) -> list[tuple[str, list[tuple[str, Picture | None]]]]:
    """One gap by one model: the two source frames with the frame half-way, and the truth, the ball enlarged."""
    i = int(MOMENTS[0] * scene.RATE)
    middle = (i + 0.5) / scene.RATE
    crop = window(scene.ball_at(film, middle), (216, 320))
    made = midframe.between(before[i], before[i + 1], 0.5, model=model)
    cells = [
        (f"source {caption(i / scene.RATE)}", crop(before[i])),
        (f"{model} {caption(middle)}", crop(made)),
        (f"truth {caption(middle)}", crop(scene.paint(film, middle))),
        (f"source {caption((i + 1) / scene.RATE)}", crop(before[i + 1])),
    ]
    return [(f"{model}: the frame half-way between two", cells)]


def window(centre: tuple[float, float], size: tuple[int, int] = WINDOW):
    """A function that cuts `size` around `centre` out of a picture, inside the letterbox."""
    height, width = size
    x = int(np.clip(centre[0] - width / 2, 0, scene.WIDTH - width))
    y = int(np.clip(centre[1] - height / 2, scene.BAR, scene.HEIGHT - scene.BAR - height))
    return lambda picture: picture[y : y + height, x : x + width]


def caption(seconds: float) -> str:
    return f"{seconds:.4f} s"


if __name__ == "__main__":
    main()
