"""Holding a finished file against what was promised: frames, times, sound, colour, geometry, streams.

Only packets are read, so a check takes seconds; `decode` also decodes every frame. What a container rounds is allowed
for and said: Matroska counts milliseconds, GIF hundredths of a second, APNG's reader tenths of a millisecond.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.stream import Disposition

from midframe.errors import InputError
from midframe.video.colour import LIMITED
from midframe.video.mux import MILLISECOND_CONTAINERS, UNMOVED, AudioMode, TimeMap
from midframe.video.probe import VideoInfo, exact, open_input, probe
from midframe.video.writer import EncoderSettings

MILLISECOND = Fraction(1, 1000)
AUDIO_LIMIT = MILLISECOND  # how far sound may run from the picture


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    detail: str


@dataclass(slots=True)
class VerifyReport:
    """What was looked at. `audio_offset`: seconds by which the first sound track is late, at "start" and "end"."""

    checks: list[Check] = field(default_factory=list)
    audio_offset: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def add(self, name: str, ok: bool, detail: str) -> None:
        self.checks.append(Check(name, ok, detail))


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a stream begins and ends, seconds, and how long its longest packet is."""

    kind: str
    index: int
    begin: Fraction  # of what is heard
    end: Fraction
    packet: Fraction
    count: int
    coded: Fraction  # of the first packet, with what the decoder drops


@dataclass(frozen=True, slots=True)
class _Film:
    stamps: list[Fraction]
    end: Fraction
    tick: Fraction
    tracks: list[_Span]
    kinds: list[str]


def verify(
    output: Path,
    *,
    against: VideoInfo | None = None,
    container: str | None = None,
    stamps: Sequence[Fraction] | None = None,
    end: Fraction | None = None,
    settings: EncoderSettings | None = None,
    audio: AudioMode = "keep",
    times: TimeMap = UNMOVED,
    decode: bool = False,
) -> VerifyReport:
    """Read `output` and compare it with the source and the plan; what is not given is not compared.

    stamps    of all frames in seconds; `end`: when the last one stops
    settings  the tags the file should show; without them those of `against`
    times     where the source's times should be; of a kept part, sound that was copied is cut in whole packets
    """
    report = VerifyReport()
    expected = len(stamps) if stamps is not None else None
    if container == "images" or output.is_dir():
        _check_folder(report, output, expected)
        return report
    film = _read(output, decode=decode)
    _check_count(report, film, expected)
    if container == "yuv4mpegpipe":  # holds no times
        return report
    shift = _check_stamps(report, film, container, stamps)
    if end is not None and container != "apng":
        _check_end(report, film, container, end, shift)
    found = probe(output)
    if container not in ("gif", "apng"):
        _check_tags(report, found, settings, against)
    if against is not None and container not in ("gif", "apng") and not against.is_images:
        clock = times if audio == "stretch" else times.unstretched()
        _check_sound(report, output, film, against, clock, audio, shift)
        _check_streams(report, film, against, audio, settings)
    return report


def _check_folder(report: VerifyReport, folder: Path, expected: int | None) -> None:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    empty = [path.name for path in files if path.stat().st_size == 0]
    numbers = [int(path.stem) for path in files if path.stem.isdigit()]
    whole = numbers == list(range(1, len(files) + 1))
    report.add("numbering", whole, "numbered without a gap" if whole else "numbers are missing")
    report.add("files", not empty, "none empty" if not empty else f"empty: {', '.join(empty[:5])}")
    if expected is not None:
        report.add("frames", len(files) == expected, f"{len(files)} of {expected}")


def _read(path: Path, *, decode: bool) -> _Film:
    """Stamps of the film and spans of the sound tracks, from one pass over the packets."""
    with open_input(str(path)) as container:
        video = next(
            (s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None
        )  # fmt: skip
        if video is None:
            raise InputError(f"{path}: holds no video.")
        base = exact(video.time_base) or Fraction(1)
        stamps: list[int] = []
        last = 0
        final = Fraction(0)
        spans: dict[int, list[Any]] = {}
        firsts: dict[int, Fraction] = {}  # where coded sound begins, dropped packets and all
        decoded: list[int | None] = []
        for packet in container.demux():
            if packet.size and packet.is_discard and packet.stream.type == "audio" and packet.pts is not None:
                firsts.setdefault(packet.stream.index, packet.pts * (exact(packet.time_base) or Fraction(1)))
            if packet.size == 0 or packet.is_discard:
                if decode and packet.stream.index == video.index:
                    decoded += [frame.pts for frame in packet.decode()]
                continue
            if packet.stream.index == video.index:
                stamp = packet.pts if packet.pts is not None else len(stamps)
                stamps.append(stamp)
                if stamp >= last:
                    last, final = stamp, (stamp + (packet.duration or 0)) * base
                if decode:
                    decoded += [frame.pts for frame in packet.decode()]
            elif packet.stream.type == "audio" and packet.pts is not None:
                _widen(spans, firsts, packet)
        # The duration of the packet shown last is known to Matroska only; MP4 says where the track ends.
        if container.format.name.startswith("mov") and video.duration and video.start_time is not None:
            final = (video.start_time + video.duration) * base
        if decode:
            stamps = [stamp for stamp in decoded if stamp is not None]
        kinds = [stream.type for stream in container.streams]
        tracks = [
            _Span(container.streams[index].codec_context.name, index, *values)
            for index, values in sorted(spans.items())
        ]
    times = [stamp * base for stamp in sorted(stamps)]
    return _Film(times, final, base, tracks, kinds)


def _widen(spans: dict[int, list[Any]], firsts: dict[int, Fraction], packet: Any) -> None:
    """Take a sound packet into the span of its stream; samples that the decoder drops do not count."""
    base = exact(packet.time_base) or Fraction(1)
    context = packet.stream.codec_context
    rate = int(context.sample_rate or 0)
    begin = packet.pts * base
    length = (packet.duration or 0) * base
    if rate and context.frame_size and base * rate > 1 and abs(length - Fraction(context.frame_size, rate)) < base:
        length = Fraction(context.frame_size, rate)  # rounded by the container
    end, coded = begin + length, firsts.get(packet.stream.index, begin)
    if rate and packet.has_sidedata("skip_samples"):
        side = bytes(packet.get_sidedata("skip_samples"))
        begin += Fraction(int.from_bytes(side[:4], "little"), rate)
        if not packet.duration or length >= Fraction(context.frame_size or 0, rate):
            end -= Fraction(int.from_bytes(side[4:8], "little"), rate)
    known = spans.get(packet.stream.index)
    if known is None:
        spans[packet.stream.index] = [begin, end, length, 1, coded]
    else:
        # A decoder may have to drop more than the first packet holds; the next one then begins later, too.
        known[0] = begin if known[0] > begin else known[0]
        known[1], known[2], known[3] = max(known[1], end), max(known[2], length), known[3] + 1


def _check_count(report: VerifyReport, film: _Film, expected: int | None) -> None:
    count = len(film.stamps)
    if expected is not None:
        report.add("frames", count == expected, f"{count} of {expected}")
    else:
        report.add("frames", count > 0, str(count))


def _rounding(film: _Film, container: str | None) -> Fraction:
    """How far the container's own stamps may lie from the exact ones."""
    if container in MILLISECOND_CONTAINERS:
        return MILLISECOND / 2
    if container == "gif":
        return Fraction(1, 200)
    if container == "apng":
        return film.tick * (len(film.stamps) + 1)
    return film.tick / 2


def _check_stamps(
    report: VerifyReport, film: _Film, container: str | None, planned: Sequence[Fraction] | None
) -> Fraction:
    """Strictly rising and where they should be. Returns by how much the whole film was moved."""
    rising = all(b > a for a, b in zip(film.stamps, film.stamps[1:], strict=False))
    report.add("stamps rise", rising, "strictly" if rising else "two frames share a time, or time runs back")
    if planned is None or len(planned) != len(film.stamps) or not planned:
        return Fraction(0)
    slack = _rounding(film, container)
    shift = Fraction(0)
    if container in ("gif", "apng"):
        shift = -planned[0]
    elif container in MILLISECOND_CONTAINERS:
        # Sound that begins before zero, as AAC's priming does, moves everything: Matroska has no negative times.
        lead = film.stamps[0] - planned[0]
        begins = min((track.begin for track in film.tracks), default=None)
        if abs(lead) > slack and begins is not None and lead > 0:
            shift = Fraction(round(lead * 1000), 1000)
    worst = max(abs(a - b - shift) for a, b in zip(film.stamps, planned, strict=True))
    detail = f"within {float(worst) * 1000:.3f} ms (the container's tick allows {float(slack) * 1000:.3f})"
    if shift and container in MILLISECOND_CONTAINERS:
        detail += f"; the whole file begins {float(shift) * 1000:.0f} ms later because sound begins before zero"
    report.add("stamps", worst <= slack, detail)
    return shift


def _check_end(report: VerifyReport, film: _Film, container: str | None, end: Fraction, shift: Fraction) -> None:
    late = film.end - end - shift
    # Besides the rounding of the stamp there is that of the last frame's own duration.
    slack = 3 * _rounding(film, container)
    report.add("duration", abs(late) <= slack, f"ends {float(late) * 1000:+.3f} ms from the plan")


def _check_tags(
    report: VerifyReport, found: VideoInfo, settings: EncoderSettings | None, against: VideoInfo | None
) -> None:
    wanted = settings.colour if settings is not None else (against.colour if against is not None else None)
    if wanted is not None:
        names = ("range", "matrix", "primaries", "transfer")
        unsaid = {"range": 0, "matrix": 2, "primaries": 2, "transfer": 2}
        # A coder that must say something says what players take for unsaid anyway; a tag that was there must stay.
        wrong = [
            f"{name} {getattr(found.colour, name)} instead of {getattr(wanted, name)}"
            for name in names
            if getattr(wanted, name) != unsaid[name] and getattr(found.colour, name) != getattr(wanted, name)
        ]
        # H.264 that says nothing else does not say limited range either: it is what unsaid means.
        if wanted.range == LIMITED and found.colour.range == unsaid["range"] and not found.pix_fmt.startswith("gbr"):
            wrong = [text for text in wrong if not text.startswith("range")]
        report.add("colour", not wrong, "as the source" if not wrong else ", ".join(wrong))
    size = (settings.width, settings.height) if settings is not None else None
    if size is None and against is not None:
        size = (against.width, against.height)
    if size is not None:
        report.add("size", size == (found.width, found.height), f"{found.width}x{found.height}")
    source = settings if settings is not None else against
    if source is not None:
        # Matroska stores the size that is shown, in whole pixels, and not the shape of one.
        wide = source.sar >= 1
        off = found.width * (found.sar - source.sar) if wide else found.height * (1 / found.sar - 1 / source.sar)
        report.add("pixel shape", abs(off) <= Fraction(1, 2), f"{found.sar} (source {source.sar})")
        report.add(
            "rotation",
            found.display_matrix == source.display_matrix,
            "upright" if found.display_matrix is None else f"{found.rotation} degrees",
        )
        missing = [name for name in source.hdr if name not in found.hdr]
        if source.hdr:
            report.add("HDR metadata", not missing, "as the source" if not missing else f"lost {', '.join(missing)}")


def _check_sound(
    report: VerifyReport, output: Path, film: _Film, against: VideoInfo, clock: TimeMap, audio: str, shift: Fraction
) -> None:  # fmt: skip
    """Where every sound track begins and ends, against where the source's should."""
    if audio == "drop":
        report.add("sound", not film.tracks, "left out" if not film.tracks else "still there")
        return
    trimmed = clock.end is not None
    source = _read(Path(against.path), decode=False)
    if len(source.tracks) != len(film.tracks):
        report.add("sound", False, f"{len(film.tracks)} tracks of {len(source.tracks)}")
        return
    for number, (was, now) in enumerate(zip(source.tracks, film.tracks, strict=True)):
        recoded = was.kind != now.kind or clock.stretch != 1
        first, last = was.begin, was.end
        if clock.end is not None:
            first, last = max(first, clock.origin), min(last, clock.end)
        begin, end = clock(first) + shift, clock(last) + shift
        late = {"start": now.begin - begin, "end": now.end - end}
        if recoded:
            heard = _heard(output, now.index)
            late = {"start": heard[0] - begin, "end": heard[1] - end}
        elif not trimmed:
            # The same packets: they are held against each other, whatever part of the first a decoder is told to drop.
            late["start"] = now.coded - clock(was.coded) - shift
        if number == 0:
            report.audio_offset = {name: float(value) for name, value in late.items()}
        # The end of a track that was encoded anew is filled up to a whole packet where the container cannot cut it.
        after = AUDIO_LIMIT + (now.packet if recoded or film.tick == MILLISECOND else 0)
        before = AUDIO_LIMIT
        detail = f"begins {float(late['start']) * 1000:+.3f} ms"
        if trimmed:
            after, before = AUDIO_LIMIT + now.packet, AUDIO_LIMIT + 2 * now.packet
            good = -before <= late["start"] <= after
            detail += f" from the cut, which falls on packets of {float(now.packet) * 1000:.1f} ms"
        else:
            good = abs(late["start"]) <= AUDIO_LIMIT and -before <= late["end"] <= after
            detail += f", ends {float(late['end']) * 1000:+.3f} ms from its place"
        report.add(f"sound {number}", good, detail)


def _heard(path: Path, index: int) -> tuple[Fraction, Fraction]:
    """Where the samples of a sound track begin and end, seconds, found by decoding it."""
    begin: Fraction | None = None
    end = Fraction(0)
    with open_input(str(path)) as container:
        for frame in container.decode(container.streams[index]):
            if frame.pts is None or frame.time_base is None:
                continue
            start = frame.pts * (exact(frame.time_base) or Fraction(1))
            if begin is None:
                begin = end = start
            end += Fraction(frame.samples, frame.sample_rate)
    return begin or Fraction(0), end


def _check_streams(
    report: VerifyReport, film: _Film, against: VideoInfo, audio: str, settings: EncoderSettings | None
) -> None:
    """Sound is checked above; of the rest, the numbers are stated, as a container may have refused some."""
    kinds = [stream.kind for stream in against.streams if not (audio == "drop" and stream.kind == "audio")]
    there = {kind: film.kinds.count(kind) for kind in sorted(set(film.kinds))}
    video = film.kinds.count("video")
    report.add("streams", video >= 1, f"{', '.join(f'{n} {kind}' for kind, n in there.items())}; "
               f"{len(kinds) + 1} in the source")  # fmt: skip
