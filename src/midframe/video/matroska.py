"""Pixel shape and HDR10 metadata in a finished Matroska file: what FFmpeg's muxer would write if PyAV let it be told.

The muxer takes both from fields of its stream that PyAV cannot set; H.264 and HEVC carry them in their own headers,
VP9, FFV1 and ProRes in Matroska do not. So the display size and the mastering metadata are put into the track's header
afterwards, in place of filler at the end of the track's name: nothing else in the file moves.

Source: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

from midframe.video.hdr import light_level, mastering_display

SEGMENT, VOID, TRACKS = 0x18538067, 0xEC, 0x1654AE6B
TRACK_ENTRY, TRACK_TYPE, VIDEO, CRC = 0xAE, 0x83, 0xE0, 0xBF
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
COLOUR, MAX_CLL, MAX_FALL, MASTERING = 0x55B0, 0x55BC, 0x55BD, 0x55D0
RED_X, WHITE_X, BRIGHTEST, DARKEST = 0x55D1, 0x55D7, 0x55D9, 0x55DA  # six of primaries, two of white, two of luminance
NAME = 0x536E
ROOM = "~" * 240  # at the end of a track's name: taken out again to make room for what is put in
HEAD = 16 << 20  # bytes in which the tracks' headers must lie

Element = tuple[int, bytes]


def write_video_facts(path: Path, size: tuple[int, int], sar: Fraction, hdr: dict[str, bytes]) -> None:
    """Store `sar` (width : height of a pixel) and `hdr` (raw side data) for the film in `path`.

    `size` is (height, width). The film's name must end in ROOM; it is taken out.
    """
    height, width = size
    # Either is enlarged, so that whole numbers come close to the exact shape.
    shown = (round(width * sar), height) if sar >= 1 else (width, round(height / sar))
    with open(path, "r+b") as file:
        head = file.read(HEAD)
        begin, end = _find_tracks(head)
        tracks = _with_facts(head[begin:end], shown, hdr)
        room = end - begin - len(tracks)
        assert room >= 2, "ROOM is too small for what is put in its place"
        file.seek(begin)
        file.write(tracks + _void(room))


def _find_tracks(head: bytes) -> tuple[int, int]:
    """Where the Tracks element begins and ends."""
    at = 0
    while True:
        ident, size, data = _header(head, at)
        if ident == TRACKS:
            return at, data + size
        at = data if ident == SEGMENT else data + size


def _void(length: int) -> bytes:
    """An element of `length` bytes, at least two, that means nothing."""
    return (
        b"\xec\x01" + (length - 9).to_bytes(7, "big") + bytes(length - 9)
        if length >= 9
        else _element(VOID, bytes(length - 2))
    )


def _with_facts(tracks: bytes, shown: tuple[int, int], hdr: dict[str, bytes]) -> bytes:
    """The Tracks element with display size and HDR10 metadata in its first film track."""
    entries: list[Element] = []
    done = False
    for ident, data in _children(tracks):
        fields = _split(data) if ident == TRACK_ENTRY else []
        if not done and any(kind == TRACK_TYPE and int.from_bytes(value, "big") == 1 for kind, value in fields):
            done = True
            video = [
                (kind, _join(_lit(_shaped(_split(value), shown), hdr)) if kind == VIDEO else value)
                for kind, value in _unpadded(fields)
            ]
            data = _join(video)
        entries.append((ident, data))
    return _element(TRACKS, _checked(entries))


def _unpadded(fields: list[Element]) -> list[Element]:
    """The fields with ROOM taken out of the track's name."""
    named = [(kind, value.removesuffix(ROOM.encode()) if kind == NAME else value) for kind, value in fields]
    return [(kind, value) for kind, value in named if kind != NAME or value]


def _shaped(fields: list[Element], shown: tuple[int, int]) -> list[Element]:
    kept = [field for field in fields if field[0] not in (DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT)]
    return [*kept, (DISPLAY_WIDTH, shown[0].to_bytes(4, "big")), (DISPLAY_HEIGHT, shown[1].to_bytes(4, "big"))]


def _lit(fields: list[Element], hdr: dict[str, bytes]) -> list[Element]:
    """The fields of a film track with HDR10 metadata in their Colour element."""
    added: list[Element] = []
    light, shown = light_level(hdr), mastering_display(hdr)
    if light is not None:
        added += [(ident, value.to_bytes(4, "big")) for ident, value in zip((MAX_CLL, MAX_FALL), light, strict=True)]
    if shown is not None:
        points = (*shown.red, *shown.green, *shown.blue, *shown.white, shown.brightest, shown.darkest)
        numbers = [(RED_X + k, struct.pack(">d", float(value))) for k, value in enumerate(points)]
        assert (numbers[6][0], numbers[8][0], numbers[9][0]) == (WHITE_X, BRIGHTEST, DARKEST)
        added.append((MASTERING, _join(numbers)))
    if not added:
        return fields
    told = next((_split(value) for kind, value in fields if kind == COLOUR), [])
    colour = [field for field in told if field[0] not in (MAX_CLL, MAX_FALL, MASTERING)]
    return [*(field for field in fields if field[0] != COLOUR), (COLOUR, _join([*colour, *added]))]


def _checked(entries: list[Element]) -> bytes:
    """The elements joined; a leading checksum is computed anew."""
    if entries and entries[0][0] == CRC:
        rest = _join(entries[1:])
        return _element(CRC, zlib.crc32(rest).to_bytes(4, "little")) + rest
    return _join(entries)


def _children(element: bytes) -> list[Element]:
    _, size, data = _header(element, 0)
    return _split(element[data : data + size])


def _split(data: bytes) -> list[Element]:
    found: list[Element] = []
    at = 0
    while at < len(data):
        ident, size, begin = _header(data, at)
        found.append((ident, data[begin : begin + size]))
        at = begin + size
    return found


def _join(elements: list[Element]) -> bytes:
    return b"".join(_element(ident, data) for ident, data in elements)


def _element(ident: int, data: bytes) -> bytes:
    name = ident.to_bytes((ident.bit_length() + 7) // 8, "big")
    length = next(n for n in range(1, 9) if len(data) < (1 << (7 * n)) - 1)
    return name + (len(data) | 1 << (7 * length)).to_bytes(length, "big") + data


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """(ID, size, where the data begins) of the element at `at`; an unknown size is that of what is left."""
    width = 9 - data[at].bit_length()
    ident = int.from_bytes(data[at : at + width], "big")
    at += width
    length = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + length], "big") & ((1 << (7 * length)) - 1)
    if size == (1 << (7 * length)) - 1:
        size = len(data) - at - length
    return ident, size, at + length
