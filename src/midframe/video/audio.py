"""Sound that must be encoded anew: stretched in time with its pitch kept, or in a codec that the container takes.

Samples go decoder → atempo → encoder as they come; only what the filter holds is in memory. The length is exact: the
output has round(duration·stretch·rate) samples, padded with silence or cut at the end.

atempo (WSOLA) keeps the mean tempo exactly, but puts single sounds too early when it slows down: by LEAD·(stretch − 1)
windows on average (clicks 0.34, noise bursts 0.4, tones 0.16, measured at 5/4, 2, 3 and 4). That much silence goes
before it; what is left is about ±10 ms for a single sound at half speed.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from midframe.video.probe import exact

LOSSLESS = ("flac", "alac", "truehd", "mlp", "tta", "wavpack", "ape", "tak", "shorten")
BIT_RATE = 96_000  # of one channel: transparent for AAC-LC and Opus
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
LEAD = Fraction(31, 100)
GAP = Fraction(1, 500)  # stamps that stray less than this are rounding, more is a hole to be filled with silence


def encoder_for(container: str, source_codec: str, sample_format: str) -> str:
    """The encoder that `container` wants for sound that came as `source_codec`."""
    lossless = source_codec.startswith("pcm") or source_codec in LOSSLESS
    if container == "webm":
        return "libopus"
    if container == "matroska":
        return "flac" if lossless else "aac"
    if container == "mov" and source_codec.startswith("pcm"):
        return "pcm_s16le" if sample_format.startswith(("u8", "s16")) else "pcm_s24le"
    return "aac"


class Recoder:
    """Decoded frames of one track in, packets of the output stream out. Owns the filter graph and the encoder.

    stretch  output duration / source duration
    keep     source seconds [begin, end) that are kept; None for an open end
    origin, out_start  output time = out_start + stretch·(source time − origin)
    sample_rate        of the source; the output's is the encoder's
    source_tick        time base of the source's stamps: durations in a coarse one are not exact
    """

    def __init__(
        self,
        stream: Any,
        *,
        stretch: Fraction,
        keep: tuple[Fraction | None, Fraction | None],
        out_start: Fraction,
        origin: Fraction,
        sample_rate: int,
        source_tick: Fraction,
    ) -> None:
        self._stream, self._stretch = stream, stretch
        self._begin, self._end = keep
        self._out_start, self._origin = out_start, origin
        self._source_rate, self._source_tick = sample_rate, source_tick
        context = stream.codec_context
        self._rate = int(context.sample_rate)
        self._layout = str(context.layout.name)
        self._resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=sample_rate)
        self._channels = int(context.layout.nb_channels)
        self._tempo = _Tempo(stretch, sample_rate, self._layout, self._channels, self._rate)
        self._first: Fraction | None = None  # source time of the first kept sample
        self._taken = 0  # source samples that went in
        self._given = 0  # output samples that came out
        self._block = int(context.frame_size or 1024)
        self._held: list[NDArray[np.float32]] = []

    def push(self, frame: Any) -> Iterator[Any]:
        """Packets that `frame` completes. Holes before it become silence, overlaps are cut."""
        start = frame.pts * exact(frame.time_base) if frame.pts is not None and frame.time_base else None
        # MP4 writes down that the last packet is shorter than its block; the rest of it is the coder's padding.
        told = round(frame.duration * exact(frame.time_base) * self._source_rate) if frame.duration else frame.samples
        for part in self._resampler.resample(frame):
            samples: NDArray[np.float32] = np.asarray(part.to_ndarray(), np.float32)
            if self._source_tick * self._source_rate <= 1 and told < part.samples:
                samples = samples[:, :told]
            if start is None:
                start = (
                    self._first + Fraction(self._taken, self._source_rate) if self._first is not None else Fraction(0)
                )
            yield from self._take(samples, start)
            start += Fraction(samples.shape[1], self._source_rate)

    def finish(self) -> Iterator[Any]:
        """The rest, cut or padded to the exact length."""
        if self._first is None:
            return
        yield from self._emit(self._tempo.finish(), final=True)
        end = self._start_tick() + self._given
        for packet in self._stream.encode(None):
            # The encoder fills its last block up; the container is told where the sound ends.
            if packet.pts is not None and exact(packet.time_base) == Fraction(1, self._rate):
                if packet.pts >= end:
                    continue
                if packet.duration:
                    packet.duration = min(packet.duration, end - packet.pts)
            yield packet

    def _take(self, samples: NDArray[np.float32], start: Fraction) -> Iterator[Any]:
        rate = self._source_rate
        if self._begin is not None and start < self._begin:
            cut = min(round((self._begin - start) * rate), samples.shape[1])
            samples, start = samples[:, cut:], start + Fraction(cut, rate)
        if self._end is not None:
            samples = samples[:, : max(0, min(round((self._end - start) * rate), samples.shape[1]))]
        if samples.shape[1] == 0:
            return
        if self._first is None:
            self._first = start
        stray = start - (self._first + Fraction(self._taken, rate))
        if abs(stray) > GAP:
            by = round(stray * rate)
            if by > 0:
                yield from self._feed(np.zeros((samples.shape[0], by), np.float32))
            else:
                samples = samples[:, -by:]
        if samples.shape[1]:
            yield from self._feed(samples)

    def _feed(self, samples: NDArray[np.float32]) -> Iterator[Any]:
        self._taken += samples.shape[1]
        yield from self._emit(self._tempo.push(samples), final=False)

    def _emit(self, blocks: list[NDArray[np.float32]], *, final: bool) -> Iterator[Any]:
        self._held += blocks
        ready = sum(block.shape[1] for block in self._held)
        due = round(Fraction(self._taken, self._source_rate) * self._stretch * self._rate) - self._given
        if final:
            if ready < due:
                self._held.append(np.zeros((self._channels, due - ready), np.float32))
            count = due
        else:
            count = max(0, min(ready, due)) // self._block * self._block
        if count == 0:
            return
        joined = np.concatenate(self._held, axis=1)
        self._held = [joined[:, count:]]
        name = self._stream.codec_context.format.name
        for begin in range(0, count, self._block):
            block = joined[:, begin : min(begin + self._block, count)]
            frame = _frame(block, name, self._layout, self._rate)
            frame.pts, frame.time_base = self._start_tick() + self._given, Fraction(1, self._rate)
            self._given += block.shape[1]
            yield from self._stream.encode(frame)

    def _start_tick(self) -> int:
        """Output time of the first sample, in samples."""
        assert self._first is not None
        return round((self._out_start + self._stretch * (self._first - self._origin)) * self._rate)


class _Tempo:
    """atempo as a function of blocks: C n float32 in, a list of C n out, at the output's sample rate."""

    def __init__(self, stretch: Fraction, rate: int, layout: str, channels: int, out_rate: int) -> None:
        self._graph: Any = None
        self._rate, self._layout, self._taken = rate, layout, 0
        self._lead: list[NDArray[np.float32]] = []
        if stretch == 1 and out_rate == rate:
            return
        graph: Any = av.filter.Graph()
        last = graph.add_abuffer(sample_rate=rate, format="fltp", layout=layout, time_base=Fraction(1, rate))
        for factor in _factors(1 / stretch):
            step = graph.add("atempo", f"{factor:.12f}")
            last.link_to(step)
            last = step
        form = graph.add("aformat", f"sample_fmts=fltp:sample_rates={out_rate}:channel_layouts={layout}")
        last.link_to(form)
        form.link_to(graph.add("abuffersink"))
        graph.configure()
        self._graph = graph
        if stretch > 1:
            window = 1 << math.ceil(math.log2(rate // 24))  # af_atempo.c
            self._lead = [np.zeros((channels, round(LEAD * (stretch - 1) * window * out_rate / rate)), np.float32)]

    def push(self, samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if self._graph is None:
            return [samples]
        frame = _frame(samples, "fltp", self._layout, self._rate)
        frame.pts, frame.time_base = self._taken, Fraction(1, self._rate)
        self._taken += samples.shape[1]
        self._graph.push(frame)
        return self._pull()

    def finish(self) -> list[NDArray[np.float32]]:
        if self._graph is None:
            return []
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> list[NDArray[np.float32]]:
        blocks, self._lead = self._lead, []
        while True:
            try:
                blocks.append(self._graph.pull().to_ndarray())
            except (av.BlockingIOError, av.EOFError):
                return blocks


def _factors(tempo: Fraction) -> list[float]:
    """Tempos in [0.5, 2] whose product is `tempo`: beyond that range one atempo would drop or repeat audibly."""
    if tempo == 1:
        return []
    count = max(1, math.ceil(abs(math.log2(tempo)) - 1e-9))
    return [float(tempo) ** (1 / count)] * count


def _frame(samples: NDArray[np.float32], format: str, layout: str, rate: int) -> Any:
    """Samples C n in [-1, 1] as a frame of `format`, rounded and clipped where it counts in integers."""
    packed = not format.endswith("p")
    name = format.rstrip("p")
    values: NDArray[Any] = samples
    if name == "s16":
        values = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
    elif name == "s32":  # 24 significant bits are all that float32 has
        values = np.clip(np.rint(samples.astype(np.float64) * 2147483648), -2147483648, 2147483647).astype(np.int32)
    elif name == "dbl":
        values = samples.astype(np.float64)
    if packed:
        values = values.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values), format=format, layout=layout)
    frame.sample_rate = rate
    return frame


def nearest_rate(encoder: str, rate: int) -> int:
    """`rate`, or the lowest that `encoder` has above it, or its highest."""
    rates = OPUS_RATES if encoder == "libopus" else AAC_RATES if encoder == "aac" else (rate,)
    return min((r for r in rates if r >= rate), default=max(rates))
