"""The shape of pixels in a finished Matroska file: what FFmpeg's muxer would write if PyAV let it be told.

The muxer takes the shape from a field of its stream that PyAV cannot set; H.264 and HEVC carry it in their own headers,
VP9, AV1, FFV1 and ProRes in Matroska do not. So DisplayWidth and DisplayHeight are put into the track's header
afterwards, in the room that the muxer leaves behind its table of contents: nothing else in the file moves.

Source: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

import zlib
from fractions import Fraction
from pathlib import Path

SEGMENT, SEEK_HEAD, VOID, INFO, TRACKS = 0x18538067, 0x114D9B74, 0xEC, 0x1549A966, 0x1654AE6B
TRACK_ENTRY, TRACK_TYPE, VIDEO, CRC = 0xAE, 0x83, 0xE0, 0xBF
SEEK, SEEK_ID, SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
HEAD = 16 << 20  # bytes in which the tracks' headers must lie

Element = tuple[int, bytes]


def write_pixel_shape(path: Path, size: tuple[int, int], sar: Fraction) -> bool:
    """Store `sar` (width : height of a pixel) for the film in `path`, of `size` (height, width). False: no room."""
    height, width = size
    # Either is enlarged, so that whole numbers come close to the exact shape.
    shown = (round(width * sar), height) if sar >= 1 else (width, round(height / sar))
    with open(path, "r+b") as file:
        head = file.read(HEAD)
        found = _layout(head)
        if found is None:
            return False
        body, parts = found
        seek_at, seek_end = parts[SEEK_HEAD]
        info_at, tracks_end = parts[INFO][0], parts[TRACKS][1]
        info = head[info_at : parts[TRACKS][0]]
        tracks = _with_shape(head[slice(*parts[TRACKS])], shown)
        room = info_at - seek_end - (len(info) + len(tracks) - (tracks_end - info_at))
        if room != 0 and room < 9:
            return False
        moved = {INFO: seek_end + room - body, TRACKS: seek_end + room + len(info) - body}
        seeks = _moved_seeks(head[seek_at:seek_end], moved)
        if len(seeks) != seek_end - seek_at:
            return False
        void = b"" if room == 0 else b"\xec\x01" + (room - 9).to_bytes(7, "big") + bytes(room - 9)
        file.seek(seek_at)
        file.write(seeks + void + info + tracks)
    return True


def _layout(head: bytes) -> tuple[int, dict[int, tuple[int, int]]] | None:
    """Where the segment's data begins, and (begin, end) of its table of contents, information and tracks."""
    at = 0
    while at < len(head):
        ident, size, data = _header(head, at)
        if ident == SEGMENT:
            break
        at = data + size
    else:
        return None
    body, at, parts = data, data, dict[int, tuple[int, int]]()
    while at < len(head) and TRACKS not in parts:
        ident, size, data = _header(head, at)
        parts.setdefault(ident, (at, data + size))
        at = data + size
    order = [SEEK_HEAD, VOID, INFO, TRACKS]
    if at > len(head) or any(ident not in parts for ident in order):
        return None
    together = all(parts[a][1] == parts[b][0] for a, b in zip(order, order[1:], strict=False))
    return (body, parts) if together else None


def _with_shape(tracks: bytes, shown: tuple[int, int]) -> bytes:
    """The Tracks element with the display size in its first film track."""
    entries: list[Element] = []
    done = False
    for ident, data in _children(tracks):
        fields = _split(data) if ident == TRACK_ENTRY else []
        if not done and any(kind == TRACK_TYPE and int.from_bytes(value, "big") == 1 for kind, value in fields):
            done = True
            video = [(kind, _join(_shaped(_split(value), shown)) if kind == VIDEO else value) for kind, value in fields]
            data = _join(video)
        entries.append((ident, data))
    return _element(TRACKS, _checked(entries))


def _shaped(fields: list[Element], shown: tuple[int, int]) -> list[Element]:
    kept = [field for field in fields if field[0] not in (DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT)]
    return [*kept, (DISPLAY_WIDTH, shown[0].to_bytes(4, "big")), (DISPLAY_HEIGHT, shown[1].to_bytes(4, "big"))]


def _moved_seeks(seek_head: bytes, moved: dict[int, int]) -> bytes:
    entries: list[Element] = []
    for ident, data in _children(seek_head):
        if ident == SEEK:
            fields = dict(_split(data))
            target = int.from_bytes(fields[SEEK_ID], "big")
            if target in moved:
                fields[SEEK_POSITION] = moved[target].to_bytes(len(fields[SEEK_POSITION]), "big")
            data = _join(list(fields.items()))
        entries.append((ident, data))
    return _element(SEEK_HEAD, _checked(entries))


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
