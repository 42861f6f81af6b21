"""Planes to RGB and back: exact inverses, the matrices of H.273, chroma where it lies, and changes of format."""

import itertools
from fractions import Fraction

import av
import clips
import numpy as np
import pytest
import torch
from decoded import planes, same

from midframe.errors import UsageError
from midframe.video.colour import Colour
from midframe.video.pixel import KR_KB, change, chroma, compose, from_rgb, luma, resolve, to_rgb, working_format
from midframe.video.reader import Converter, convert

DEEP = ("10le", "12le", "14le", "16le")
FORMATS = (
    ["gray", "gray10le", "gray12le", "gray16le", "gbrap", "gbrap10le", "gbrap12le", "gbrap16le"]
    + [f"gbrp{depth}" for depth in ("", *DEEP)]
    + [f"yuv{shape}p{depth}" for shape in ("420", "422", "444") for depth in ("", *DEEP)]
    + [f"yuv440p{depth}" for depth in ("", "10le", "12le")]
    + [f"yuva{shape}p{depth}" for shape in ("420", "422", "444") for depth in ("", "10le", "16le")]
)
YUV_8 = ["yuv420p", "yuv422p", "yuv440p", "yuv444p"]
MATRICES = [*KR_KB, 8, 2, 0]  # 8: YCgCo, 2: unspecified, 0: what grey PNG says
SIZES = [(11, 13), (8, 16), (7, 8), (8, 7), (1, 1), (2, 2), (1, 5), (5, 1), (3, 3)]
BT709 = Colour(1, 1, 1, 1, 1)
FULL_RGB = Colour(2, 0)


def make(pix_fmt, values):
    """A frame of a planar format from one array a plane."""
    height, width = values[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for component, plane_values in zip(frame.format.components, values, strict=True):
        clips._fill(frame.planes[component.plane], plane_values.astype("u1" if component.bits == 8 else "<u2"))
    return frame


def shapes(pix_fmt, size):
    """(height, width) of every plane in the order of components, and the bits of a sample."""
    frame = av.VideoFrame(size[1], size[0], pix_fmt)
    parts = frame.format.components
    return [(frame.planes[part.plane].height, frame.planes[part.plane].width) for part in parts], parts[0].bits


def noise(pix_fmt, size, seed=0):
    generator = np.random.default_rng(seed)
    sizes, bits = shapes(pix_fmt, size)
    return make(pix_fmt, [generator.integers(0, 1 << bits, shape) for shape in sizes])


def ramps(pix_fmt, size):
    sizes, bits = shapes(pix_fmt, size)
    values = [np.linspace(0, (1 << bits) - 1, h * w).reshape(h, w).round() for h, w in sizes]
    return make(pix_fmt, [plane[:: (-1) ** number] for number, plane in enumerate(values)])


def back_again(frame, colour):
    return from_rgb(to_rgb(frame, colour), pix_fmt=frame.format.name, colour=colour)


def reference(frame, kr, kb, *, full):
    """H.273 equations in float64 on 4:4:4 or grey planes: H W 3."""
    bits = frame.format.components[0].bits
    step, top = 1 << (bits - 8), (1 << bits) - 1
    y, cb, cr = (plane.astype(np.float64) for plane in planes(frame)[:3])
    if full:
        y, cb, cr = y / top, (cb - 128 * step) / top, (cr - 128 * step) / top
    else:
        y, cb, cr = (y / step - 16) / 219, (cb / step - 128) / 224, (cr / step - 128) / 224
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue], axis=-1)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_every_picture_comes_back_bit_for_bit(pix_fmt):
    assert working_format(pix_fmt) == pix_fmt
    cases = [((11, 13), m, r, s) for m, r, s in itertools.product(MATRICES, (1, 2), (1, 2))]
    cases += [(size, 1, r, s) for size, r, s in itertools.product(SIZES, (0, 1, 2), range(7))]
    for number, (size, matrix, range_, siting) in enumerate(cases):
        colour = Colour(range_, matrix, 2, 2, siting)
        frame = ramps(pix_fmt, size) if number % 4 == 0 else noise(pix_fmt, size, number)
        assert same(planes(back_again(frame, colour)), planes(frame)), (size, colour)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p16le", "gbrp10le", "gray16le"])
def test_a_larger_picture_comes_back_bit_for_bit(pix_fmt):
    frame = noise(pix_fmt, (271, 333))
    for range_, matrix in itertools.product((1, 2), (1, 6, 9)):
        colour = Colour(range_, matrix, 2, 2, 1)
        assert same(planes(back_again(frame, colour)), planes(frame))


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("range_", [1, 2])
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv444p10le", "yuv444p16le"])
def test_rgb_is_what_the_equations_of_h273_say(pix_fmt, range_, matrix):
    frame = noise(pix_fmt, (24, 40))
    found = to_rgb(frame, Colour(range_, matrix)).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, reference(frame, *KR_KB[matrix], full=range_ == 2), atol=2e-6)


def test_ycgco_is_what_h273_says():
    rgb = np.random.default_rng(0).uniform(size=(3, 8, 8))
    red, green, blue = rgb
    y, cg, co = green / 2 + (red + blue) / 4, green / 2 - (red + blue) / 4, (red - blue) / 2
    frame = from_rgb(torch.from_numpy(rgb), pix_fmt="yuv444p16le", colour=Colour(2, 8))
    expected = [y * 65535, cg * 65535 + 32768, co * 65535 + 32768]
    for plane, values in zip(planes(frame), expected, strict=True):
        np.testing.assert_allclose(plane, values.clip(0, 65535), atol=0.51)


@pytest.mark.parametrize(("matrix", "name"), [(1, "bt709"), (6, "bt601"), (9, "bt2020"), (7, "smpte240m")])
@pytest.mark.parametrize("full", [False, True])
def test_rgb_agrees_with_swscale_at_full_accuracy(matrix, name, full):
    colour = Colour(2 if full else 1, matrix)
    film = clips.moving(1, (48, 64))[0]
    frame = from_rgb(torch.from_numpy(film).permute(2, 0, 1), pix_fmt="yuv444p", colour=colour)
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    graph = av.filter.Graph()
    source = graph.add_buffer(width=64, height=48, format="yuv444p", time_base=Fraction(1, 25))
    flags = "accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
    ranges = f"in_range={'pc' if full else 'tv'}:out_range=pc"
    scale = graph.add("scale", f"flags={flags}:in_color_matrix={name}:{ranges}")
    sink = graph.add("buffersink")
    graph.link_nodes(source, scale, graph.add("format", "pix_fmts=gbrp"), sink).configure()
    ours = to_rgb(frame, colour)
    graph.push(frame)
    theirs = np.stack(planes(graph.pull())).astype(np.float64)
    assert np.abs((ours.numpy().clip(0, 1) * 255).round() - theirs).max() <= 1


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv422p10le", "yuv444p"])
@pytest.mark.parametrize(("range_", "matrix"), list(itertools.product((1, 2), (6, 1, 9))))
def test_grey_stays_grey_from_black_to_white(pix_fmt, range_, matrix):
    _, bits = shapes(pix_fmt, (4, 4))
    step, top = 1 << (bits - 8), (1 << bits) - 1
    black, white = (16 * step, 235 * step) if range_ == 1 else (0, top)
    codes = np.arange(black, white + 1)
    sizes, _ = shapes(pix_fmt, (4, len(codes)))
    neutral = [np.full(size, 128 * step) for size in sizes[1:]]
    frame = make(pix_fmt, [np.broadcast_to(codes, (4, len(codes))), *neutral])
    rgb = to_rgb(frame, Colour(range_, matrix, 2, 2, 1)).numpy()
    expected = (codes - black) / (white - black)
    for channel in rgb:
        np.testing.assert_allclose(channel, np.broadcast_to(expected, channel.shape), atol=1e-6)
    made = from_rgb(torch.from_numpy(rgb), pix_fmt=pix_fmt, colour=Colour(range_, matrix, 2, 2, 1))
    assert same(planes(made), planes(frame))


def test_superwhite_undershoot_and_saturated_chroma_are_not_clamped():
    frame = make("yuv444p", [np.array([[255, 235, 16, 1]]), np.array([[128, 255, 128, 0]]), np.full((1, 4), 128)])
    rgb = to_rgb(frame, BT709)
    assert rgb[:, 0, 0].tolist() == pytest.approx([239 / 219] * 3)
    assert rgb[2, 0, 1] > 1.9
    assert rgb[:, 0, 3].min() < -1
    assert same(planes(from_rgb(rgb, pix_fmt="yuv444p", colour=BT709)), planes(frame))


def test_codes_are_clipped_only_when_written():
    wild = torch.tensor([-3.0, 0.5, 7.0]).expand(3, 1, 3)
    assert planes(from_rgb(wild, pix_fmt="gray", colour=Colour(2)))[0].tolist() == [[0, 128, 255]]
    assert planes(from_rgb(wild, pix_fmt="yuv420p10le", colour=BT709))[0].tolist() == [[0, 502, 1023]]


# Where the first chroma sample lies, in luma pixels: (x, y), by FFmpeg's number of the location.
SITES = {1: (0, 0.5), 2: (0.5, 0.5), 3: (0, 0), 4: (0.5, 0), 0: (0, 0.5)}


@pytest.mark.parametrize("location", SITES)
@pytest.mark.parametrize("axis", [0, 1])
def test_chroma_lies_where_its_location_says(location, axis):
    offset = SITES[location][1 - axis]
    sites = 2 * np.arange(16) + offset
    slope = 40 + 4 * sites  # Cb rises by 4 codes a pixel
    cb = np.broadcast_to(slope[:, None] if axis == 0 else slope[None], (16, 16))
    frame = make("yuv420p16le", [np.full((32, 32), 30000), cb * 256, np.full((16, 16), 32768)])
    rgb = to_rgb(frame, Colour(2, 1, 2, 2, location)).numpy()
    found = (rgb[2] - rgb.transpose(1, 2, 0) @ np.array([0.2126, 0.7152, 0.0722])) / (2 * (1 - 0.0722)) * 65535 + 32768
    found = found.take(16, axis=1 - axis)[4:-4] / 256
    np.testing.assert_allclose(found, 40 + 4 * np.arange(4, 28), atol=0.01)


@pytest.mark.parametrize("location", [1, 2, 3])
def test_a_chroma_edge_lands_where_it_was(location):
    rgb = torch.zeros(3, 32, 32)
    rgb[0, :, :16], rgb[2, :, 16:] = 1, 1  # red, then blue from column 16 on
    made = from_rgb(rgb, pix_fmt="yuv420p", colour=Colour(2, 1, 2, 2, location), average=True)
    again = to_rgb(made, Colour(2, 1, 2, 2, location))
    rising = (again[2] - again[0]).mean(0)
    edge = np.interp(0, rising[12:20], np.arange(12, 20))
    assert edge == pytest.approx(15.5, abs=0.26)
    flat = [*range(12), *range(20, 32)]
    np.testing.assert_allclose(again[:, :, flat], rgb[:, :, flat], atol=0.01)


def test_unsaid_colour_is_read_as_ffmpeg_does():
    assert resolve(Colour(), "yuv420p", 1080) == Colour(1, 6, 2, 2, 1)
    assert resolve(Colour(), "gbrp", 1080) == Colour(2, 0, 2, 2, 1)
    assert resolve(Colour(1, 1), "gbrp", 1080).range == 2
    assert resolve(Colour(), "gray", 1080).range == 2
    assert resolve(Colour(2, 0), "yuv444p", 1080).matrix == 6
    assert resolve(BT709, "yuv420p", 480) == BT709


def test_alpha_is_the_fourth_channel_and_opaque_where_there_is_none():
    frame = noise("yuva420p", (6, 8))
    rgb = to_rgb(frame, BT709)
    assert rgb.shape == (4, 6, 8)
    np.testing.assert_allclose(rgb[3], planes(frame)[3] / 255, atol=1e-7)
    assert (planes(from_rgb(rgb[:3], pix_fmt="yuva420p", colour=BT709))[3] == 255).all()
    assert (planes(from_rgb(rgb[:3], pix_fmt="gbrap12le", colour=FULL_RGB))[3] == 4095).all()


def test_tags_are_written_as_said_not_as_resolved():
    made = from_rgb(torch.zeros(3, 4, 4), pix_fmt="yuv420p", colour=Colour())
    assert (made.color_range, made.colorspace, made.color_primaries, made.color_trc) == (0, 2, 2, 2)
    made = from_rgb(torch.zeros(3, 4, 4), pix_fmt="yuv420p", colour=Colour(1, 9, 9, 16, 3))
    assert (made.color_range, made.colorspace, made.color_primaries, made.color_trc) == (1, 9, 9, 16)


def test_planes_are_seen_without_a_copy():
    frame = noise("yuv420p", (5, 7))
    luma(frame)[:] = 3
    assert (planes(frame)[0] == 3).all()
    assert [plane.shape for plane in chroma(frame)] == [(3, 4), (3, 4)]
    assert chroma(noise("gray", (4, 4))) is None


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuva422p10le", "gbrp", "gray", "yuv440p"])
@pytest.mark.parametrize("size", [(9, 11), (8, 8)])
def test_compose_puts_back_what_the_mask_covers_and_nothing_else(pix_fmt, size):
    made, source = noise(pix_fmt, size, 1), noise(pix_fmt, size, 2)
    was, mask = planes(made), np.zeros(size, bool)
    mask[3:, 5:] = True
    compose(made, source, mask)
    for now, old, put in zip(planes(made), was, planes(source), strict=True):
        tall, wide = -(-size[0] // now.shape[0]), -(-size[1] // now.shape[1])
        top, left = -(-3 // tall), -(-5 // wide)  # the first cell that the mask covers whole
        inside = np.zeros(now.shape, bool)
        inside[top:, left:] = True
        assert np.array_equal(now, np.where(inside, put, old))


# ---- working formats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "working"),
    [
        ("nv12", "yuv420p"), ("p010le", "yuv420p10le"), ("p016le", "yuv420p16le"), ("yuvj420p", "yuv420p"),
        ("uyvy422", "yuv422p"), ("y210le", "yuv422p10le"), ("yuv411p", "yuv422p"), ("yuv410p", "yuv420p"),
        ("yuv420p9le", "yuv420p10le"), ("pal8", "gbrap"), ("rgb24", "gbrp"), ("bgra", "gbrap"), ("bgr0", "gbrp"),
        ("rgb48be", "gbrp16le"), ("rgba64be", "gbrap16le"), ("gbrpf32le", "gbrp16le"), ("ya8", "gbrap"),
        ("gray14le", "gray16le"), ("monob", "gray"), ("yuva444p12le", "yuva444p16le"), ("vuya", "yuva444p"),
    ],
)  # fmt: skip
def test_working_format_loses_neither_depth_nor_chroma_nor_alpha(source, working):
    assert working_format(source) == working


@pytest.mark.parametrize("pix_fmt", ["bayer_rggb8", "no-such", "cuda", "yaf32le", ""])
def test_formats_that_are_no_pictures_are_refused(pix_fmt):
    with pytest.raises(UsageError):
        working_format(pix_fmt)


def test_packed_pictures_are_refused_by_the_pixel_path():
    with pytest.raises(UsageError, match="gbrp is"):
        to_rgb(av.VideoFrame(4, 4, "rgb24"), FULL_RGB)
    with pytest.raises(UsageError, match="yuv420p is"):
        from_rgb(torch.zeros(3, 4, 4), pix_fmt="nv12", colour=BT709)


def _pack(kind, values):
    """One array a plane, rows of bytes, of a packed or semi-planar format."""

    def woven(*arrays):
        return np.stack(arrays, axis=-1).reshape(arrays[0].shape[0], -1)

    y, u, v = values
    match kind:
        case "nv12" | "nv16" | "nv24":
            return [y, woven(u, v)]
        case "nv21":
            return [y, woven(v, u)]
        case "p010le" | "p210le":
            return [(y << 6).view(np.uint8), (woven(u, v) << 6).view(np.uint8)]
        case "p016le":
            return [y.view(np.uint8), woven(u, v).view(np.uint8)]
        case "uyvy422":
            return [woven(u, y[:, ::2], v, y[:, 1::2])]
        case "yuyv422":
            return [woven(y[:, ::2], u, y[:, 1::2], v)]
        case "rgb24":  # y, u, v are G, B, R
            return [woven(v, y, u)]
        case "bgr0" | "bgra":
            return [woven(u, y, v, np.full_like(y, 255))]
        case "argb":
            return [woven(np.full_like(y, 255), v, y, u)]
        case "rgb48be":
            return [woven(v, y, u).byteswap().view(np.uint8)]
        case "yuvj420p" | "yuvj444p":
            return [y, u, v]
        case "yuv420p10be":
            return [plane.byteswap().view(np.uint8) for plane in (y, u, v)]
    raise AssertionError(kind)


@pytest.mark.parametrize("range_", [0, 1, 2])
@pytest.mark.parametrize(
    "pix_fmt",
    ["nv12", "nv16", "nv21", "nv24", "p010le", "p016le", "p210le", "uyvy422", "yuyv422", "rgb24", "bgr0", "bgra",
     "argb", "rgb48be", "yuvj420p", "yuvj444p", "yuv420p10be"],
)  # fmt: skip
def test_samples_in_another_order_are_the_same_samples(pix_fmt, range_):
    size, working = (14, 20), working_format(pix_fmt)
    expected = planes(noise(working, size))
    frame = av.VideoFrame(size[1], size[0], pix_fmt)
    order = (1, 2, 0) if working.startswith("gb") else (0, 1, 2)  # components are R, G, B; planes G, B, R
    packed = _pack(pix_fmt, [expected[i] for i in order])
    for plane, rows in zip(frame.planes, packed, strict=True):
        clips._fill(plane, rows)
    frame.color_range, frame.colorspace = range_, 1
    made = convert(frame, working)
    assert same(planes(made)[:3], expected[:3])
    assert made.color_range == (2 if pix_fmt.startswith("yuvj") else range_)
    assert made.colorspace == 1


# ---- changes of format -------------------------------------------------------------------------------------------


def rgb_frame(image, pix_fmt="rgb24"):
    return clips.picture(image, pix_fmt, clips.RGB)


def ramp_image(size=(24, 64)):
    """A grey ramp over a ramp of every colour."""
    height, width = size
    image = np.zeros((height, width, 3), np.float32)
    x = np.linspace(0, 1, width, dtype=np.float32)
    image[:] = x[None, :, None]
    image[height // 2 :, :, 0], image[height // 2 :, :, 2] = 1 - x, abs(2 * x - 1)
    return image


@pytest.mark.parametrize("colour", [BT709, Colour(1, 6, 6, 6, 1), Colour(2, 1, 1, 1, 1), Colour(1, 9, 9, 14, 1)])
@pytest.mark.parametrize(("source", "target"), [("rgb24", "yuv444p"), ("rgb48be", "yuv444p10le"), ("bgra", "yuv444p")])
def test_rgb_becomes_ycbcr_of_the_colour_asked_for(source, target, colour):
    image = ramp_image()
    made = convert(rgb_frame(image, source), target, colour)
    tags = clips.Tags(colour.range, colour.matrix, colour.primaries, colour.transfer, 1)
    bits = 8 if source in ("rgb24", "bgra") else 16
    rounded = np.rint(image * ((1 << bits) - 1)) / ((1 << bits) - 1)
    for plane, truth in zip(planes(made), planes(clips.picture(rounded, target, tags)), strict=True):
        assert np.abs(plane.astype(int) - truth).max() <= 1
    assert (made.color_range, made.colorspace) == (colour.range, colour.matrix)


@pytest.mark.parametrize("location", [1, 2, 3])
def test_rgb_becomes_420_by_averages_around_the_site(location):
    colour = Colour(1, 1, 1, 1, location)
    image = clips.moving(1, (37, 51))[0]
    made = convert(rgb_frame(image), "yuv420p", colour)
    rounded = np.rint(image * 255) / 255
    truth = clips.picture(rounded, "yuv420p", clips.Tags(1, 1, 1, 1, location))
    for plane, expected in zip(planes(made), planes(truth), strict=True):
        assert np.abs(plane.astype(int) - expected).max() <= 1


def test_rgb_becomes_709_limited_unless_told():
    made = convert(rgb_frame(ramp_image()), "yuv444p")
    assert same(planes(made), planes(convert(rgb_frame(ramp_image()), "yuv444p", BT709)))
    assert (made.color_range, made.colorspace) == (1, 1)


@pytest.mark.parametrize("target", ["gbrp", "gbrp16le", "rgb24"])
@pytest.mark.parametrize("tags", [clips.BT601, clips.BT709, clips.BT709_FULL, clips.BT2020, clips.UNTAGGED])
def test_ycbcr_becomes_rgb_by_its_own_matrix_and_range(tags, target):
    frame = clips.picture(ramp_image(), "yuv444p", tags)
    made = convert(frame, target)
    assert (made.color_range, made.colorspace) == (2, 0)
    matrix = tags.matrix if tags.matrix in KR_KB else 6
    expected = reference(frame, *KR_KB[matrix], full=tags.range == 2).clip(0, 1)
    found = to_rgb(convert(made, working_format(target)), FULL_RGB).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, expected, atol=0.51 / 255)


def test_ycbcr_becomes_rgb_with_chroma_at_its_site():
    image = np.repeat(np.repeat(clips.moving(1, (8, 12))[0], 4, 0), 4, 1)
    for location in (1, 2, 3):
        frame = clips.picture(image, "yuv420p", clips.Tags(1, 1, 1, 1, location))
        made = Converter("gbrp", chroma_location=location)(frame)
        expected = to_rgb(frame, Colour(1, 1, 1, 1, location)).clip(0, 1) * 255
        np.testing.assert_allclose(to_rgb(made, FULL_RGB) * 255, expected, atol=0.51)


@pytest.mark.parametrize("name", ["yuvj420p", "yuvj444p"])
def test_full_range_jpeg_pictures_stay_full_range(name):
    frame = clips.picture(ramp_image(), name, clips.BT709)
    frame.color_range = 1  # a wrong tag does not make them limited
    made = convert(frame, name.replace("j", ""))
    assert same(planes(made), planes(frame))
    assert made.color_range == 2
    deep = convert(frame, name.replace("j", "") + "10le")
    assert (planes(deep)[0].min(), planes(deep)[0].max()) == (0, 1023)


@pytest.mark.parametrize(("low", "high"), [("yuv420p", "yuv420p10le"), ("gbrp", "gbrp16le"), ("gray", "gray12le"),
                                           ("yuva444p", "yuva444p10le")])  # fmt: skip
@pytest.mark.parametrize("range_", [1, 2])
def test_more_depth_and_less_again_changes_nothing(low, high, range_):
    frame = noise(low, (9, 14))
    frame.color_range, frame.colorspace = range_, 1
    deep = convert(frame, high)
    if range_ == 1 and low.startswith("yuv4"):
        assert same(planes(deep), [plane.astype(np.uint16) * 4 for plane in planes(frame)])
    assert same(planes(convert(deep, low)), planes(frame))


def test_less_depth_is_rounded():
    codes = np.arange(64, 941)[None]
    frame = make("gray10le", [codes])
    frame.color_range = 1
    assert np.abs(planes(convert(frame, "gray"))[0] * 4.0 - codes).max() <= 2


def test_grey_gives_luma_alone_and_luma_becomes_grey():
    frame = noise("gray", (6, 6))
    frame.color_range, frame.colorspace = 1, 1
    made = convert(frame, "yuv420p")
    y, u, v = planes(made)
    assert np.array_equal(y, planes(frame)[0])
    assert (u == 128).all() and (v == 128).all()
    assert made.color_range == 1
    noisy = noise("yuv444p", (6, 6))
    noisy.color_range, noisy.colorspace = 1, 1
    assert np.array_equal(planes(convert(noisy, "gray"))[0], planes(noisy)[0])


def test_a_grey_png_becomes_full_range_ycbcr_that_says_so():
    frame = noise("gray", (6, 6))
    frame.color_range, frame.colorspace = 2, 0
    made = convert(frame, "yuv444p")
    assert np.array_equal(planes(made)[0], planes(frame)[0])
    assert (made.color_range, made.colorspace) == (2, 1)


def test_a_changed_picture_keeps_its_stamp():
    frame = rgb_frame(ramp_image())
    frame.pts, frame.time_base, frame.duration = 7, Fraction(1, 30), 2
    made = convert(frame, "yuv420p")
    assert (made.pts, made.time_base, made.duration) == (7, Fraction(1, 30), 2)


def test_a_format_that_swscale_cannot_read_is_refused_in_one_line():
    with pytest.raises(UsageError, match="y210be cannot be read"):
        convert(av.VideoFrame(16, 16, "y210be"), "yuv422p10le")


def test_transparency_goes_where_there_is_no_place_for_it():
    frame = noise("gbrap", (6, 6))
    made = change(frame, FULL_RGB, pix_fmt="gbrp", colour=FULL_RGB)
    assert same(planes(made), planes(frame)[:3])
