"""Planes to RGB tensors and back, so exactly that a picture which nothing touched comes back bit for bit.

The path is linear and invertible: nothing is clamped on the way (super-whites, saturated chroma and undershoot stay),
and chroma is enlarged and shrunk by a pair of filters that undo each other. Only the last step rounds and clips to the
codes that the format has. A synthesised frame takes the same path as nothing else does: source frames that are output
never leave their planes.

Chroma filters along one axis, c = chroma, y = luma-sized samples:
  between two luma samples ("centre"):   y[2k] = ¾c[k] + ¼c[k−1],  y[2k+1] = ¾c[k] + ¼c[k+1]
                                         c[k] = −¼y[2k−1] + ¾y[2k] + ¾y[2k+1] − ¼y[2k+2]
  on the even luma samples ("co-sited"): y[2k] = c[k],  y[2k+1] = ½(c[k] + c[k+1]);   c[k] = y[2k]
Edges repeat. Where an odd size leaves the last chroma sample half covered, the missing sample is (3y[−1] − y[−2]) / 2.
Pictures that never had this chroma (RGB made 4:2:0) are averaged instead: ½y[2k] + ½y[2k+1], or ¼ ½ ¼ around y[2k].

Bottom sitings are read as centre ones along the vertical: both ways alike, so nothing moves, but a model sees chroma
half a line off. BT.2020 constant luminance and ICtCp use the BT.2020 matrix for the same reason: the way back undoes
it.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import av
import numba
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import UsageError
from midframe.video import colour as c
from midframe.video.colour import Colour

KR_KB = {  # ITU-T H.273 table 4
    c.MATRIX_709: (0.2126, 0.0722),
    c.MATRIX_FCC: (0.30, 0.11),
    c.MATRIX_470BG: (0.299, 0.114),
    c.MATRIX_170M: (0.299, 0.114),
    c.MATRIX_240M: (0.212, 0.087),
    c.MATRIX_2020_NCL: (0.2627, 0.0593),
    c.MATRIX_2020_CL: (0.2627, 0.0593),
    c.MATRIX_ICTCP: (0.2627, 0.0593),
}
DEPTHS = {"gray": (8, 10, 12, 16), "gbrp": (8, 10, 12, 14, 16), "gbrap": (8, 10, 12, 16), "yuv": (8, 10, 12, 14, 16),
          "yuva": (8, 10, 16)}  # fmt: skip


def working_format(pix_fmt: str) -> str:
    """The planar format that holds `pix_fmt` without losing depth, chroma resolution or alpha.

    Raises UsageError for formats that are no pictures yet (Bayer) or unknown.
    """
    try:
        source = av.VideoFormat(pix_fmt, 64, 64)
    except ValueError as error:
        raise UsageError(f"No pixel format is called {pix_fmt!r}.") from error
    if source.is_bayer:
        raise UsageError(f"{pix_fmt} is raw sensor data; develop it into RGB first.")
    parts = source.components
    if not parts or pix_fmt.startswith("yaf"):  # frames inside a graphics card; and swscale aborts on float grey
        raise UsageError(f"{pix_fmt} cannot be read here; convert the file to a usual pixel format first.")
    alpha = any(part.is_alpha for part in parts) or source.has_palette
    bits = min(max((part.bits for part in parts), default=8), 16)
    if source.is_rgb or source.has_palette or pix_fmt.startswith("xyz"):
        family, stem = ("gbrap", "gbrap") if alpha else ("gbrp", "gbrp")
    elif sum(not part.is_alpha for part in parts) < 3:
        family, stem = ("gbrap", "gbrap") if alpha else ("gray", "gray")
    else:
        wide, high = 64 // source.chroma_width(64), 64 // source.chroma_height(64)
        kind = {(2, 2): "420", (2, 1): "422", (1, 1): "444", (1, 2): "440", (4, 1): "422", (4, 4): "420"}.get(
            (wide, high)
        )
        if kind is None:
            raise UsageError(f"{pix_fmt}: chroma of this shape is not supported; convert the file to yuv444p first.")
        if alpha and kind == "440":
            kind = "444"
        family = "yuva" if alpha else "yuv"
        stem = f"{family}{kind}p"
    depth = next(d for d in DEPTHS[family] if d >= bits)
    return stem if depth == 8 else f"{stem}{depth}le"


def resolve(colour: Colour, pix_fmt: str, height: int) -> Colour:
    """`colour` with what the file leaves unsaid filled in as FFmpeg does: BT.601, limited range, chroma on the left.

    FFmpeg takes BT.601 at every size, so `height` does not matter; it is an argument because other players guess by it.
    RGB is full range. Used for arithmetic only: the output carries the file's own tags, said or unsaid.
    """
    del height
    is_rgb = pix_fmt.startswith("gbr")
    matrix = colour.matrix if colour.matrix in KR_KB or colour.matrix == c.MATRIX_YCGCO else c.MATRIX_170M
    if is_rgb:
        matrix = c.MATRIX_RGB
    range_ = colour.range or (c.FULL if is_rgb or pix_fmt.startswith("gray") else c.LIMITED)
    if is_rgb:
        range_ = c.FULL
    return replace(colour, matrix=matrix, range=range_, chroma_location=colour.chroma_location or c.SITING_LEFT)


def to_rgb(picture: av.VideoFrame, colour: Colour) -> Float[Tensor, "c h w"]:
    """RGB, or RGB and alpha, of a picture in a working format: float32, nominally [0, 1], not clamped.

    Raises UsageError for a format that is not a working format.
    """
    format = picture.format.name
    planes = _planes(picture)
    bits = picture.format.components[0].bits
    unit = np.float32(1 / ((1 << bits) - 1))
    colour = resolve(colour, format, picture.height)
    height, width = picture.height, picture.width
    alpha = picture.format.components[-1].is_alpha
    rgb = np.empty((4 if alpha else 3, height, width), np.float32)
    if format.startswith("gbr"):
        for channel, plane in zip((1, 2, 0), planes, strict=False):
            np.multiply(plane, unit, out=rgb[channel], dtype=np.float32)
    elif format.startswith("gray"):
        forward, _, offset = _matrix(colour.matrix, colour.range, bits)
        rgb[:] = (planes[0].astype(np.float32) - offset[0]) * forward[1, 0]
    else:
        forward, _, offset = _matrix(colour.matrix, colour.range, bits)
        across, down = _siting(picture.format, colour)
        _yuv_to_rgb(planes[0], planes[1], planes[2], forward, offset, across, down, rgb)
    if alpha:
        np.multiply(planes[3], unit, out=rgb[3], dtype=np.float32)
    return torch.from_numpy(rgb)


def from_rgb(rgb: Float[Tensor, "c h w"], *, pix_fmt: str, colour: Colour, average: bool = False) -> av.VideoFrame:
    """A picture in the working format `pix_fmt`; the exact inverse of `to_rgb`. Codes are rounded and clipped here.

    average  chroma samples are averages of what they cover: for pictures that had more chroma than `pix_fmt` holds

    A missing alpha channel is opaque. Raises UsageError for a format that is not a working format.
    """
    values = rgb.detach().to("cpu", torch.float32).contiguous().numpy()
    height, width = values.shape[-2:]
    picture = av.VideoFrame(width, height, pix_fmt)
    planes = _planes(picture)
    bits = picture.format.components[0].bits
    top = np.float32((1 << bits) - 1)
    said, colour = colour, resolve(colour, pix_fmt, height)
    if pix_fmt.startswith("gbr"):
        for channel, plane in zip((1, 2, 0), planes, strict=False):
            _quantise(values[channel], top, np.float32(0), top, plane)
    elif pix_fmt.startswith("gray"):
        _, backward, offset = _matrix(colour.matrix, colour.range, bits)
        codes = backward[0, 0] * values[0] + backward[0, 1] * values[1] + backward[0, 2] * values[2]
        _quantise(codes, np.float32(1), offset[0], top, planes[0])
    else:
        _, backward, offset = _matrix(colour.matrix, colour.range, bits)
        across, down = (way + 2 if way and average else way for way in _siting(picture.format, colour))
        shrunk = np.empty((2, height, planes[1].shape[1]), np.float32)
        _rgb_to_luma(values, backward, offset, across, top, planes[0], shrunk)
        _shrink_down(shrunk, offset, down, top, planes[1], planes[2])
    if len(planes) == 4:
        if len(values) == 4:
            _quantise(values[3], top, np.float32(0), top, planes[3])
        else:
            planes[3][:] = top
    picture.colorspace, picture.color_range = said.matrix, said.range
    picture.color_primaries, picture.color_trc = said.primaries, said.transfer
    return picture


def luma(picture: av.VideoFrame) -> NDArray:
    """The first plane as an (H, W) view, uint8 or uint16: luma, grey, or the green of planar RGB."""
    return _plane(picture, 0, picture.height, picture.width)


def chroma(picture: av.VideoFrame) -> tuple[NDArray, NDArray] | None:
    """The second and third plane as views, None for grey."""
    planes = _planes(picture)
    return (planes[1], planes[2]) if len(planes) >= 3 else None


def compose(made: av.VideoFrame, source: av.VideoFrame, mask: NDArray[np.bool_]) -> None:
    """Put `source` back into `made`, in place, where `mask` (H, W) is True; chroma where its whole cell is masked."""
    for ours, theirs in zip(_planes(made), _planes(source), strict=True):
        tall, wide = -(-mask.shape[0] // ours.shape[0]), -(-mask.shape[1] // ours.shape[1])
        _put_back(ours, theirs, mask, tall, wide)


def change(picture: av.VideoFrame, was: Colour, *, pix_fmt: str, colour: Colour) -> av.VideoFrame:
    """`picture`, in a working format and of colour `was`, in another working format and `colour`; alpha may go or come.

    Between RGB, YCbCr and grey; other depths are rounded, never dithered; coarser chroma is averaged. Primaries and
    transfer are not converted. Raises UsageError for a format that is not a working format.
    """
    values = to_rgb(picture, was)
    format = av.VideoFormat(pix_fmt, 64, 64)
    has_alpha = format.components[-1].is_alpha
    fewer = any(a < b for a, b in zip(_chroma_density(pix_fmt), _chroma_density(picture.format.name), strict=True))
    return from_rgb(values if has_alpha else values[:3], pix_fmt=pix_fmt, colour=colour, average=fewer)


def _chroma_density(pix_fmt: str) -> tuple[float, float]:
    """Chroma samples per pixel, (across, down); a picture without chroma needs none."""
    if pix_fmt.startswith("gray"):
        return 0.0, 0.0
    across, down = _ratio(pix_fmt)
    return 1 / across, 1 / down


def _plane(picture: av.VideoFrame, number: int, height: int, width: int) -> NDArray:
    plane: Any = picture.planes[number]  # a buffer, which its type does not say
    bits = picture.format.components[0].bits
    dtype = np.dtype(np.uint8 if bits == 8 else "<u2")
    flat = np.frombuffer(plane, dtype)
    stride = plane.line_size // dtype.itemsize
    return np.lib.stride_tricks.as_strided(flat, (height, width), (stride * dtype.itemsize, dtype.itemsize))


def _planes(picture: av.VideoFrame) -> list[NDArray]:
    format = picture.format
    if working_format_cached(format.name) != format.name:
        raise UsageError(f"{format.name} is not a format to work in; {working_format(format.name)} is.")
    sizes = []
    for number in range(len(picture.planes)):
        small = not format.is_rgb and number in (1, 2) and len(picture.planes) >= 3
        height = -(-picture.height // _ratio(format.name)[1]) if small else picture.height
        width = -(-picture.width // _ratio(format.name)[0]) if small else picture.width
        sizes.append(_plane(picture, number, height, width))
    return sizes


working_format_cached = lru_cache(64)(working_format)


@lru_cache(64)
def _ratio(pix_fmt: str) -> tuple[int, int]:
    """Luma samples per chroma sample, (across, down)."""
    format = av.VideoFormat(pix_fmt, 64, 64)
    return 64 // format.chroma_width(64), 64 // format.chroma_height(64)


def _siting(format: av.VideoFormat, colour: Colour) -> tuple[int, int]:
    """How chroma is enlarged (across, down): 0 not at all, 1 centre, 2 co-sited. `from_rgb` adds 2 for averages."""
    across, down = _ratio(format.name)
    left = colour.chroma_location in (c.SITING_LEFT, c.SITING_TOPLEFT, c.SITING_BOTTOMLEFT)
    top = colour.chroma_location in (c.SITING_TOPLEFT, c.SITING_TOP)
    return 0 if across == 1 else 2 if left else 1, 0 if down == 1 else 2 if top else 1


@lru_cache(32)
def _matrix(matrix: int, range_: int, bits: int) -> tuple[NDArray, NDArray, NDArray]:
    """(codes → RGB, RGB → codes, code offsets), float32; RGB = forward · (codes − offset)."""
    unit = 1 << (bits - 8)
    top = (1 << bits) - 1
    luma_span, chroma_span, black = (219 * unit, 224 * unit, 16 * unit) if range_ == c.LIMITED else (top, top, 0)
    middle = 128 * unit
    if matrix == c.MATRIX_YCGCO:
        to_rgb = np.array([[1, -1, 1], [1, 1, 0], [1, -1, -1]], float)
    else:
        kr, kb = KR_KB[matrix]
        kg = 1 - kr - kb
        to_rgb = np.array(
            [[1, 0, 2 * (1 - kr)], [1, -2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg], [1, 2 * (1 - kb), 0]]
        )
    spans, offset = np.array([luma_span, chroma_span, chroma_span], float), np.array([black, middle, middle], float)
    forward = to_rgb / spans
    return forward.astype(np.float32), np.linalg.inv(forward).astype(np.float32), offset.astype(np.float32)


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _yuv_to_rgb(y, u, v, m, offset, across, down, rgb):  # type: ignore[no-untyped-def]
    height, width = y.shape
    rows, columns = u.shape
    line = np.empty((2, columns), np.float32)
    wide = np.empty((2, width), np.float32)
    quarter, three, half = np.float32(0.25), np.float32(0.75), np.float32(0.5)
    for i in range(height):
        if down == 0:
            k, other, near, far = i, i, np.float32(1), np.float32(0)
        elif down == 1:
            k, near, far = i >> 1, three, quarter
            other = min(k + 1, rows - 1) if i & 1 else max(k - 1, 0)
        else:
            k = i >> 1
            other = min(k + 1, rows - 1)
            near, far = (half, half) if i & 1 else (np.float32(1), np.float32(0))
        for j in range(columns):
            line[0, j] = near * np.float32(u[k, j]) + far * np.float32(u[other, j]) - offset[1]
            line[1, j] = near * np.float32(v[k, j]) + far * np.float32(v[other, j]) - offset[2]
        if across == 0:
            for p in range(2):
                for j in range(width):
                    wide[p, j] = line[p, j]
        else:
            for p in range(2):
                for k in range(columns):
                    here = line[p, k]
                    after = line[p, min(k + 1, columns - 1)]
                    if across == 1:
                        before = line[p, max(k - 1, 0)]
                        even, odd = three * here + quarter * before, three * here + quarter * after
                    else:
                        even, odd = here, half * (here + after)
                    wide[p, 2 * k] = even
                    if 2 * k + 1 < width:
                        wide[p, 2 * k + 1] = odd
        for j in range(width):
            a = np.float32(y[i, j]) - offset[0]
            rgb[0, i, j] = m[0, 0] * a + m[0, 1] * wide[0, j] + m[0, 2] * wide[1, j]
            rgb[1, i, j] = m[1, 0] * a + m[1, 1] * wide[0, j] + m[1, 2] * wide[1, j]
            rgb[2, i, j] = m[2, 0] * a + m[2, 1] * wide[0, j] + m[2, 2] * wide[1, j]


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _rgb_to_luma(rgb, m, offset, across, top, y, shrunk):  # type: ignore[no-untyped-def]
    """Luma codes, and chroma (offset not yet added) shrunk across."""
    height, width = y.shape
    columns = shrunk.shape[2]
    # one sample more at the left and two at the right than the row has: the filter's reach
    wide = np.empty((2, width + 3), np.float32)
    quarter, half, three = np.float32(0.25), np.float32(0.5), np.float32(0.75)
    for i in range(height):
        for j in range(width):
            r, g, b = rgb[0, i, j], rgb[1, i, j], rgb[2, i, j]
            code = m[0, 0] * r + m[0, 1] * g + m[0, 2] * b + offset[0]
            y[i, j] = y.dtype.type(min(max(np.floor(code + np.float32(0.5)), np.float32(0)), top))
            wide[0, j + 1] = m[1, 0] * r + m[1, 1] * g + m[1, 2] * b
            wide[1, j + 1] = m[2, 0] * r + m[2, 1] * g + m[2, 2] * b
        for p in range(2):
            if across == 0:
                for j in range(width):
                    shrunk[p, i, j] = wide[p, j + 1]
            elif across == 2:
                for k in range(columns):
                    shrunk[p, i, k] = wide[p, 2 * k + 1]
            elif across == 3:
                wide[p, width + 1] = wide[p, width]
                for k in range(columns):
                    shrunk[p, i, k] = half * (wide[p, 2 * k + 1] + wide[p, 2 * k + 2])
            elif across == 4:
                wide[p, 0] = wide[p, 1]
                wide[p, width + 1] = wide[p, width]
                for k in range(columns):
                    ends = wide[p, 2 * k] + wide[p, 2 * k + 2]
                    shrunk[p, i, k] = quarter * ends + half * wide[p, 2 * k + 1]
            else:
                wide[p, 0] = wide[p, 1]
                beyond = wide[p, width]
                if width & 1 and width > 1:
                    beyond = np.float32(1.5) * wide[p, width] - np.float32(0.5) * wide[p, width - 1]
                wide[p, width + 1] = beyond
                wide[p, width + 2] = beyond
                for k in range(columns):
                    j = 2 * k
                    shrunk[p, i, k] = three * (wide[p, j + 1] + wide[p, j + 2]) - quarter * (
                        wide[p, j] + wide[p, j + 3]
                    )


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _shrink_down(shrunk, offset, down, top, u, v):  # type: ignore[no-untyped-def]
    height = shrunk.shape[1]
    rows, columns = u.shape
    odd = height & 1 and height > 1
    quarter, half, three = np.float32(0.25), np.float32(0.5), np.float32(0.75)
    for p in range(2):
        plane = u if p == 0 else v
        for k in range(rows):
            for j in range(columns):
                if down == 0:
                    value = shrunk[p, k, j]
                elif down == 2:
                    value = shrunk[p, 2 * k, j]
                elif down == 3:
                    value = half * (shrunk[p, 2 * k, j] + shrunk[p, min(2 * k + 1, height - 1), j])
                elif down == 4:
                    ends = shrunk[p, max(2 * k - 1, 0), j] + shrunk[p, min(2 * k + 1, height - 1), j]
                    value = quarter * ends + half * shrunk[p, 2 * k, j]
                else:
                    i = 2 * k
                    beyond = shrunk[p, height - 1, j]
                    if odd:
                        beyond = np.float32(1.5) * beyond - np.float32(0.5) * shrunk[p, height - 2, j]
                    before = shrunk[p, max(i - 1, 0), j]
                    second = shrunk[p, i + 1, j] if i + 1 < height else beyond
                    after = shrunk[p, i + 2, j] if i + 2 < height else beyond
                    value = three * (shrunk[p, i, j] + second) - quarter * (before + after)
                code = np.floor(value + offset[p + 1] + np.float32(0.5))
                plane[k, j] = plane.dtype.type(min(max(code, np.float32(0)), top))


@numba.njit(nogil=True, cache=True)
def _quantise(values, scale, offset, top, plane):  # type: ignore[no-untyped-def]
    height, width = plane.shape
    for i in range(height):
        for j in range(width):
            code = np.floor(values[i, j] * scale + offset + np.float32(0.5))
            plane[i, j] = plane.dtype.type(min(max(code, np.float32(0)), top))


@numba.njit(nogil=True, cache=True)
def _put_back(ours, theirs, mask, tall, wide):  # type: ignore[no-untyped-def]
    """A sample of a plane stands for `tall` x `wide` pixels of the mask, fewer at the right and bottom edge."""
    height, width = mask.shape
    whole = np.empty(ours.shape[1], np.bool_)
    for i in range(ours.shape[0]):
        whole[:] = True
        for y in range(i * tall, min(i * tall + tall, height)):
            if wide == 1:
                whole &= mask[y]
            else:
                for j in range(width // wide):
                    for x in range(wide):
                        whole[j] &= mask[y, j * wide + x]
                for x in range(width // wide * wide, width):
                    whole[-1] &= mask[y, x]
        for j in range(ours.shape[1]):
            ours[i, j] = theirs[i, j] if whole[j] else ours[i, j]
