"""Complex steerable pyramid with any scale factor, in the frequency domain.

Simoncelli & Freeman 1995 and Portilla & Simoncelli 2000 (the transform), Wadhwa et al. 2013 and Meyer et al. 2015 (less
than an octave per level, used for motion). A picture becomes a real high-pass residual, `levels` × `orientations`
complex bands (local amplitude and phase), and a small real low-pass residual.

    r, θ       polar coordinates of a frequency; r = 1 is the Nyquist frequency along an axis
    hi_k, lo_k raised cosines of one octave with hi² + lo² = 1, rising between r = scale^k / 2 and scale^k
    radial_k   lo_0 · … · lo_k-1 · hi_k      what level k sees
    A_b        2 √c · cos^o(θ − πb/K) on its half plane, o = K − 1: one-sided, so a band is analytic

Since r ≥ scale^k is empty at level k, its spectrum is cropped to round(size · scale^k): the frequency grid is cropped,
never computed anew. Every filter is used twice (analysis and its adjoint, halved) and the squares add up to one, so
`reconstruct(decompose(x)) = x` up to rounding, for any size, odd ones included.

`decompose` and `reconstruct` hold the whole pyramid: about 27 complex numbers a pixel with 4 levels an octave and 8
orientations. Where this is too much, take `make_filters` and go band by band with `extract_band` and `insert_band`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from midframe.errors import UsageError


@dataclass(frozen=True, slots=True)
class Pyramid:
    """`bands[k]` is ... K h_k w_k with level 0 the finest; `high` has the picture's size, `low` the smallest."""

    high: Float[Tensor, "... h w"]
    bands: tuple[Complex[Tensor, "... k hk wk"], ...]
    low: Float[Tensor, "... hn wn"]
    scale: float


@dataclass(frozen=True, slots=True)
class Filters:
    """All filters of one picture size, on the centred frequency grid (zero frequency at size // 2).

    `sizes[k]` = (height, width) of level k, one more than there are levels (the last is the low-pass residual's);
    `radial[k]` has `sizes[k]`, `angular[b]` = A_b the full size: a level's is cropped from it. Together about
    K + 6 floats a pixel.
    """

    sizes: tuple[tuple[int, int], ...]
    high: Float[Tensor, "h w"]
    radial: tuple[Float[Tensor, "hk wk"], ...]
    low: Float[Tensor, "hn wn"]
    angular: Float[Tensor, "k h w"]


def count_levels(height: int, width: int, *, scale: float, smallest: int) -> int:
    """Levels until the shorter side is about `smallest` pixels; 0 if it is that small already."""
    octaves = math.log2(max(min(height, width) / smallest, 1))
    # Rounded first: 32 / 0.84^… must not become 21 levels for the last bit of a logarithm.
    return math.ceil(round(octaves / -math.log2(scale), 9))


def make_filters(
    height: int,
    width: int,
    *,
    levels: int,
    orientations: int = 8,
    scale: float = 0.5**0.25,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Filters:
    """Filters for pictures of height × width. Raises UsageError if `scale` is not in [0.5, 1) or a count is off."""
    if not 0.5 <= scale < 1:
        raise UsageError(f"A steerable pyramid's scale per level is at least 0.5 and below 1, got {scale}.")
    if orientations < 2 or levels < 0 or min(height, width) < 1:
        raise UsageError(
            f"A steerable pyramid needs 2 or more orientations, 0 or more levels and a picture, "
            f"got {orientations}, {levels} and {height}×{width}."
        )
    sizes = tuple(
        (max(math.floor(height * scale**k + 0.5), 1), max(math.floor(width * scale**k + 0.5), 1))
        for k in range(levels + 1)
    )
    y = (torch.arange(height, device=device, dtype=torch.float64) - height // 2).div(height / 2)[:, None]
    x = (torch.arange(width, device=device, dtype=torch.float64) - width // 2).div(width / 2)[None, :]
    radius = torch.hypot(x, y)
    centre = (height // 2, width // 2)
    cosine, sine = x / radius, y / radius
    cosine[centre], sine[centre] = 1.0, 0.0  # θ = 0 where it means nothing
    radius[centre] = 2 / width  # as its neighbour, so that the logarithm is finite
    octave = torch.log2(radius)

    passed = torch.cos(octave.add(1).clamp(0, 1) * (math.pi / 2))
    high = torch.sin(octave.add(1).clamp(0, 1) * (math.pi / 2))
    radial = []
    for k in range(1, levels + 1):
        angle = (octave[_window(sizes[0], sizes[k - 1])] + (1 - k * math.log2(scale))).clamp(0, 1) * (math.pi / 2)
        # Rounded sizes: what the crop cuts off (almost nothing), and the row and column that lose their mirror image,
        # stay in the bands. The squares then add up to one for every size and each filter is symmetric.
        low = torch.zeros_like(angle)
        paired = _window(sizes[k - 1], tuple(n - 1 + n % 2 for n in sizes[k]))
        low[paired] = torch.cos(angle[paired])
        rest = torch.ones_like(angle)
        rest[paired] = torch.sin(angle[paired])
        radial.append((passed * rest).to(dtype))
        passed = (passed * low)[_window(sizes[k - 1], sizes[k])]
    return Filters(
        sizes=sizes,
        high=high.to(dtype),
        radial=tuple(radial),
        low=passed.to(dtype),
        angular=_angular(cosine.to(dtype), sine.to(dtype), orientations),
    )


def transform(image: Float[Tensor, "... h w"]) -> Complex[Tensor, "... h w"]:
    """Centred spectrum, as all functions here take it."""
    return torch.fft.fftshift(torch.fft.fft2(image), dim=(-2, -1))


def invert(spectrum: Complex[Tensor, "... h w"]) -> Complex[Tensor, "... h w"]:
    """The picture of a centred spectrum, complex; take `.real` if it is one."""
    return torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1)))


def extract_band(
    spectrum: Complex[Tensor, "... h w"], filters: Filters, level: int, orientation: int
) -> Complex[Tensor, "... hk wk"]:
    """One complex band of pictures with the centred `spectrum`."""
    window = _window(filters.sizes[0], filters.sizes[level])
    return invert(spectrum[..., *window] * _band_filter(filters, level, orientation))


def insert_band(
    spectrum: Complex[Tensor, "... h w"],
    band: Complex[Tensor, "... hk wk"],
    filters: Filters,
    level: int,
    orientation: int,
) -> None:
    """Add one band's share to a centred `spectrum` in place; after all bands and residuals, `invert(…).real` is it.

    This is the adjoint of `extract_band`, halved: the other half is what taking the real part at the end restores.
    """
    window = _window(filters.sizes[0], filters.sizes[level])
    spectrum[..., *window] += transform(band) * (0.5 * _band_filter(filters, level, orientation).conj())


def insert_residuals(
    spectrum: Complex[Tensor, "... h w"],
    low: Complex[Tensor, "... h w"],
    high: Complex[Tensor, "... h w"],
    filters: Filters,
) -> None:
    """Add to `spectrum`, in place, the low-pass share of the picture with spectrum `low` and the high-pass share of
    that with `high`: filtered twice, as going down and up again would."""
    window = _window(filters.sizes[0], filters.sizes[-1])
    spectrum[..., *window] += low[..., *window] * filters.low**2
    spectrum += high * filters.high**2


def extract_level(spectrum: Complex[Tensor, "... h w"], filters: Filters, level: int) -> Complex[Tensor, "... k hk wk"]:
    """All complex bands of one level, of pictures with the centred `spectrum`. Differentiable in it."""
    window = _window(filters.sizes[0], filters.sizes[level])
    turned = spectrum[..., *window] * (filters.radial[level] * (-1j) ** (len(filters.angular) - 1))
    return invert(turned[..., None, :, :] * filters.angular[:, *window])


def extract_low(spectrum: Complex[Tensor, "... h w"], filters: Filters) -> Float[Tensor, "... hn wn"]:
    """The low-pass residual of real pictures with the centred `spectrum`. Differentiable in it."""
    window = _window(filters.sizes[0], filters.sizes[-1])
    return invert(spectrum[..., *window] * filters.low).real


def collapse(
    bands: Sequence[Complex[Tensor, "... k hk wk"]], low: Float[Tensor, "... hn wn"], filters: Filters
) -> Complex[Tensor, "... h w"]:
    """The centred spectrum of what `extract_level` and `extract_low` have taken apart, without the high-pass residual.

    `bands` are those of the coarsest `len(bands)` levels, the finest of them first; finer ones, and the high-pass
    residual, count as zero. Differentiable in bands and low; goes from coarse to fine, so that going back costs no
    copies of full size. Raises UsageError if there are more bands than levels.
    """
    if len(bands) > len(filters.radial):
        raise UsageError(f"A pyramid of {len(filters.radial)} levels has no room for bands of {len(bands)}.")
    spectrum = transform(low) * filters.low
    for level in reversed(range(len(filters.radial))):
        outer, inner = filters.sizes[level], filters.sizes[level + 1]
        (top, bottom), (left, right) = (
            (part.start, size - part.stop) for part, size in zip(_window(outer, inner), outer, strict=True)
        )
        spectrum = torch.nn.functional.pad(spectrum, (left, right, top, bottom))
        coarse = len(filters.radial) - 1 - level
        if coarse < len(bands):
            angular = filters.angular[:, *_window(filters.sizes[0], outer)]
            turned = filters.radial[level] * (0.5 * (1j) ** (len(filters.angular) - 1))
            spectrum = spectrum + (transform(bands[len(bands) - 1 - coarse]) * angular).sum(-3) * turned
    return spectrum


def decompose(
    image: Float[Tensor, "... h w"], *, levels: int, orientations: int = 8, scale: float = 0.5**0.25
) -> Pyramid:
    """The pyramid of real pictures, any leading axes. Differentiable. Raises UsageError as `make_filters`."""
    height, width = image.shape[-2:]
    filters = make_filters(
        height,
        width,
        levels=levels,
        orientations=orientations,
        scale=scale,
        device=image.device,
        dtype=image.dtype,
    )
    spectrum = transform(image)
    bands = tuple(
        torch.stack([extract_band(spectrum, filters, k, b) for b in range(orientations)], dim=-3) for k in range(levels)
    )
    window = _window(filters.sizes[0], filters.sizes[-1])
    return Pyramid(
        high=invert(spectrum * filters.high).real,
        bands=bands,
        low=invert(spectrum[..., *window] * filters.low).real,
        scale=scale,
    )


def reconstruct(pyramid: Pyramid) -> Float[Tensor, "... h w"]:
    """The real picture of a pyramid, whose bands may have been changed; inverts `decompose` to about 1e-6."""
    height, width = pyramid.high.shape[-2:]
    levels = len(pyramid.bands)
    filters = make_filters(
        height,
        width,
        levels=levels,
        orientations=pyramid.bands[0].shape[-3] if levels else 8,
        scale=pyramid.scale,
        device=pyramid.high.device,
        dtype=pyramid.high.dtype,
    )
    spectrum = transform(pyramid.high) * filters.high
    window = _window(filters.sizes[0], filters.sizes[-1])
    spectrum[..., *window] += transform(pyramid.low) * filters.low
    for k, level in enumerate(pyramid.bands):
        for b in range(len(filters.angular)):
            insert_band(spectrum, level[..., b, :, :], filters, k, b)
    return invert(spectrum).real


def _window(outer: Sequence[int], inner: Sequence[int]) -> tuple[slice, slice]:
    """Where `inner` sits in `outer` (height, width) with zero frequency on zero frequency."""
    top, left = (a // 2 - b // 2 for a, b in zip(outer, inner, strict=True))
    return slice(top, top + inner[0]), slice(left, left + inner[1])


def _angular(cosine: Float[Tensor, "h w"], sine: Float[Tensor, "h w"], orientations: int) -> Float[Tensor, "k h w"]:
    """A_b for all b; c makes the squares of all directions add up to two on their half planes."""
    order = orientations - 1
    c = 2 ** (2 * order) * math.factorial(order) ** 2 / (orientations * math.factorial(2 * order))
    masks = cosine.new_empty(orientations, *cosine.shape)
    for b, mask in enumerate(masks):
        direction = math.pi * b / orientations
        # cos(θ − direction), zero on the other half plane, without a trigonometric function per pixel
        torch.add(cosine * math.cos(direction), sine, alpha=math.sin(direction), out=mask)
        mask.clamp_(min=0).pow_(order).mul_(2 * math.sqrt(c))
    return masks


def _band_filter(filters: Filters, level: int, orientation: int) -> Complex[Tensor, "hk wk"]:
    """(−i)^o · A_b · radial_k. The power of i makes odd filters real in space, as in the original transform."""
    window = _window(filters.sizes[0], filters.sizes[level])
    real = filters.angular[orientation][window] * filters.radial[level]
    return real * (-1j) ** (len(filters.angular) - 1)
