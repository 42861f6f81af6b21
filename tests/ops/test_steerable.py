import math

import pytest
import torch

from midframe.errors import UsageError
from midframe.ops.steerable import (
    collapse,
    count_levels,
    decompose,
    extract_band,
    extract_level,
    extract_low,
    insert_band,
    insert_residuals,
    invert,
    make_filters,
    reconstruct,
    transform,
)


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(64, 64), (60, 81), (95, 127), (31, 64), (16, 200), (15, 15), (3, 5), (1, 1)])
@pytest.mark.parametrize(("orientations", "scale"), [(8, 0.5**0.25), (4, 0.5), (5, 0.5**0.5)])
def test_round_trip_returns_the_picture(size, orientations, scale):
    image = noise(2, 3, *size)
    levels = count_levels(*size, scale=scale, smallest=15)
    back = reconstruct(decompose(image, levels=levels, orientations=orientations, scale=scale))
    torch.testing.assert_close(back, image, atol=1e-5, rtol=0)


def test_levels_follow_the_shorter_side():
    assert count_levels(480, 640, scale=0.5**0.25, smallest=15) == 20  # exactly five octaves
    assert count_levels(256, 256, scale=0.5**0.25, smallest=15) == 17
    assert count_levels(15, 900, scale=0.5**0.25, smallest=15) == 0
    assert count_levels(4, 4, scale=0.5**0.25, smallest=15) == 0


def test_sizes_are_rounded_from_the_full_size():
    pyramid = decompose(noise(480 // 4, 641 // 4), levels=3, orientations=4)
    sizes = [tuple(band.shape[-2:]) for band in pyramid.bands]
    assert sizes == [(120, 160), (101, 135), (85, 113)]  # 120 · 0.8409 = 100.9, 160 · 0.7071 = 113.1
    assert tuple(pyramid.low.shape) == (71, 95)  # 120 · 0.5946 = 71.4, 160 · 0.5946 = 95.1
    assert pyramid.bands[0].dtype == torch.complex64


@pytest.mark.parametrize("size", [(64, 64), (63, 80)])
def test_a_band_is_the_frequencies_of_its_ring_and_direction(size):
    """A sinusoid along x at half the Nyquist frequency sits in the bands around θ = 0 and has constant amplitude."""
    height, width = size
    x = torch.arange(width, dtype=torch.float32)
    wave = torch.cos(2 * math.pi * (width // 4) * x / width).expand(height, width)
    pyramid = decompose(wave, levels=8, orientations=8)
    energy = torch.stack([band.abs().square().mean((-2, -1)) for band in pyramid.bands])
    assert energy[:, 0].sum() == pytest.approx(float(energy.max(1).values.sum()))
    assert energy[:, 4].sum() < 1e-6 * energy[:, 0].sum()  # the band across it
    strongest = int(energy[:, 0].argmax())
    assert 2 <= strongest <= 6  # scale^4 = 1/2
    band = pyramid.bands[strongest][0]
    assert float(band.abs().std() / band.abs().mean()) < 1e-4


def test_a_shift_turns_the_phase_of_a_sinusoid():
    x = torch.arange(64, dtype=torch.float32)
    turned = [decompose(torch.cos(2 * math.pi * 8 * (x - s) / 64).expand(64, 64), levels=8).bands[6][0] for s in (0, 1)]
    difference = torch.angle(turned[1] * turned[0].conj()).abs()
    torch.testing.assert_close(difference, torch.full_like(difference, 2 * math.pi * 8 / 64), atol=1e-4, rtol=0)


def test_bands_one_by_one_equal_the_whole_pyramid():
    image = noise(2, 40, 51)
    pyramid = decompose(image, levels=5, orientations=4)
    filters = make_filters(40, 51, levels=5, orientations=4)
    spectrum = transform(image)
    torch.testing.assert_close(extract_band(spectrum, filters, 2, 3), pyramid.bands[2][:, 3])
    result = torch.zeros_like(spectrum)
    insert_residuals(result, spectrum, spectrum, filters)
    for level in range(5):
        for orientation in range(4):
            insert_band(result, extract_band(spectrum, filters, level, orientation), filters, level, orientation)
    torch.testing.assert_close(invert(result).real, image, atol=1e-5, rtol=0)


def test_the_transform_is_differentiable():
    image = noise(8, 9).double().requires_grad_()

    def energy(picture):
        pyramid = decompose(picture, levels=2, orientations=3)
        return sum(band.abs().square().sum() for band in pyramid.bands), reconstruct(pyramid)

    assert torch.autograd.gradcheck(energy, image)


@pytest.mark.parametrize(
    "wrong", [{"scale": 1.0}, {"scale": 0.4}, {"orientations": 1}, {"levels": -1}], ids=lambda w: next(iter(w))
)
def test_make_filters_rejects_what_cannot_be_a_pyramid(wrong):
    with pytest.raises(UsageError):
        make_filters(8, 8, **{"levels": 2, **wrong})


@pytest.mark.parametrize("size", [(64, 64), (37, 52), (17, 40)])
def test_levels_at_once_are_bands_one_by_one_and_collapse_to_the_picture(size):
    image = noise(2, *size)
    scale = 0.5**0.5
    pyramid = decompose(image, levels=3, orientations=4, scale=scale)
    filters = make_filters(*size, levels=3, orientations=4, scale=scale)
    spectrum = transform(image)
    bands = [extract_level(spectrum, filters, k) for k in range(3)]
    for found, expected in zip(bands, pyramid.bands, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    low = extract_low(spectrum, filters)
    torch.testing.assert_close(low, pyramid.low, atol=1e-6, rtol=0)
    made = invert(collapse(bands, low, filters) + spectrum * filters.high**2).real
    torch.testing.assert_close(made, image, atol=1e-5, rtol=0)


def test_collapse_without_fine_bands_is_the_coarse_part():
    image = noise(40, 48)
    filters = make_filters(40, 48, levels=4, orientations=4, scale=0.5**0.5)
    spectrum = transform(image)
    bands = [extract_level(spectrum, filters, k) for k in range(4)]
    low = extract_low(spectrum, filters)
    blank = [torch.zeros_like(band) for band in bands[:2]]
    torch.testing.assert_close(collapse(bands[2:], low, filters), collapse(blank + bands[2:], low, filters))
    with pytest.raises(UsageError, match="4 levels has no room for bands of 5"):
        collapse([*bands, bands[0]], low, filters)


def test_collapse_is_differentiable_in_bands_and_low():
    filters = make_filters(9, 8, levels=2, orientations=4, scale=0.5**0.5, dtype=torch.float64)
    spectrum = transform(noise(9, 8).double())
    parts = [extract_level(spectrum, filters, k).requires_grad_() for k in range(2)]
    low = extract_low(spectrum, filters).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b, c: invert(collapse([a, b], c, filters)).real, (*parts, low))
