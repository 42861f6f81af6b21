"""How far the sound runs from the picture, measured from what a player would hear and see.

The clip must flash white exactly when its sound clicks (`clips.flash` and `clips.clicks` at the same times). Both are
decoded; a click is placed between samples by matching its known shape, so the answer is good to a few microseconds
wherever the container's own stamps are. Matroska stamps whole milliseconds: their rounding is averaged out where the
rate is constant, and up to half a millisecond stays where all stamps are rounded the same way.
"""

from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
from numpy.typing import NDArray


def measure_offsets(path: str | Path, *, stream: int = 0) -> tuple[float, float]:
    """Seconds by which audio track `stream` lags the picture at the first and at the last flash (positive: sound late).

    ValueError if the number of flashes and clicks differs or there is none: the two cannot be paired then.
    """
    flashes, heard = find_flashes(path), find_clicks(path, stream=stream)
    if not flashes or len(flashes) != len(heard):
        raise ValueError(f"{path}: {len(flashes)} flashes but {len(heard)} clicks: cannot pair them")
    return heard[0] - flashes[0], heard[-1] - flashes[-1]


def find_flashes(path: str | Path) -> list[float]:
    """Times, in seconds, of the frames that flash: the first brightest of each bright run."""
    stamps: list[float] = []
    brightness: list[float] = []
    with av.open(str(path)) as source:
        video = next(s for s in source.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
        tick, rates = float(video.time_base), (video.average_rate, video.guessed_rate)
        for frame in source.decode(video):
            stamps.append(float(frame.pts * frame.time_base))
            brightness.append(float(frame.to_ndarray(format="gray").mean()))
    times = _even_out(np.array(stamps), tick, [Fraction(rate) for rate in rates if rate])
    light = np.array(brightness)
    floor, peak = np.median(light), light.max()
    if peak - floor < 0.25 * 255:
        return []
    bright = light > (floor + peak) / 2
    starts = np.flatnonzero(bright & ~np.r_[False, bright[:-1]])
    ends = np.flatnonzero(bright & ~np.r_[bright[1:], False])
    found = []
    for start, end in zip(starts, ends, strict=True):
        run = light[start : end + 1]
        # Frames made between a flash and its neighbour are dimmer; a held copy is as bright but comes later.
        found.append(float(times[start + int(np.argmax(run > run.max() - 0.02 * (peak - floor)))]))
    return found


def find_clicks(path: str | Path, *, stream: int = 0) -> list[float]:
    """Times, in seconds, of the clicks of one audio track, first channel."""
    sound, start, rate = decode_sound(path, stream=stream)
    reach = round(0.75 * clips.CLICK_SECONDS * rate)
    offsets = np.arange(-reach, reach + 1) / (rate * clips.CLICK_SECONDS)
    shape = np.where(np.abs(offsets) < 0.5, np.cos(np.pi * offsets) ** 2, 0)
    match = np.correlate(np.pad(sound, reach), shape - shape.mean(), "valid")
    peak = match.max(initial=0)
    if peak < 0.1 * float(shape @ (shape - shape.mean())):  # a click is 0.8 high, the hum 0.02
        return []
    found = []
    apart = rate // 20
    above = np.flatnonzero(match > peak / 2)
    for group in np.split(above, np.flatnonzero(np.diff(above) > apart) + 1):
        top = int(group[np.argmax(match[group])])
        shift = 0.0
        if 0 < top < len(match) - 1:
            before, here, after = match[top - 1 : top + 2]
            shift = 0.5 * (before - after) / (before - 2 * here + after)
        found.append(start + (top + shift) / rate)
    return found


def decode_sound(path: str | Path, *, stream: int = 0) -> tuple[NDArray[np.float64], float, int]:
    """Samples of the first channel, the time of the first of them in seconds, samples per second.

    Blocks are laid end to end; ValueError where the stamps say there is a hole or an overlap.
    """
    blocks: list[NDArray[np.float64]] = []
    starts: list[float] = []
    rate, tick, length = 0, 0.0, 0
    with av.open(str(path)) as source:
        track = source.streams.audio[stream]
        rate = track.rate
        tick = float(track.time_base)
        to_float = av.AudioResampler(format="fltp", layout=track.layout, rate=rate)
        for frame in source.decode(track):
            if frame.pts is None:
                raise ValueError(f"{path}: an audio block has no time stamp")
            starts.append(float(frame.pts * frame.time_base) - length / rate)
            for block in to_float.resample(frame):
                blocks.append(block.to_ndarray()[0].astype(np.float64))
                length += block.samples
    if not blocks:
        raise ValueError(f"{path}: no sound in audio track {stream}")
    low, high = min(starts), max(starts)
    if high - low > 2 * tick + 1.5 / rate:
        raise ValueError(f"{path}: sound has a hole or an overlap of {1000 * (high - low):.2f} ms")
    return np.concatenate(blocks), (low + high) / 2, rate


def _even_out(stamps: NDArray[np.float64], tick: float, rates: list[Fraction]) -> NDArray[np.float64]:
    """Constant-rate stamps without the container's rounding; any other stamps as they are."""
    for rate in rates:
        ideal = np.arange(len(stamps)) / float(rate)
        error = stamps - ideal
        if error.max() - error.min() <= 2 * tick:
            return ideal + (error.max() + error.min()) / 2
    return stamps
