"""The texture loss against its definition, written as loops; and what it does to edges and to repeated patterns."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from midframe.errors import ContractError
from midframe.losses.pixel import l1
from midframe.losses.texture import texture


def mirror(index, length):
    index = abs(index)
    return index if index < length else 2 * (length - 1) - index


def reduced(plane):
    """Every fourth place between pixels, 4 × 4 pixels around it with Keys' weights for a half (a = −3/4)."""
    keys = np.array([-0.09375, 0.59375, 0.59375, -0.09375])
    height, width = plane.shape[0] // 4, plane.shape[1] // 4
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            out[y, x] = keys @ plane[4 * y : 4 * y + 4, 4 * x : 4 * x + 4] @ keys
    return out


def coded(plane):
    height, width = plane.shape
    inside = np.zeros((height - 2, width - 2))
    for y in range(height - 2):
        for x in range(width - 2):
            around = [plane[y + v, x + u] for v in range(3) for u in range(3) if (v, u) != (1, 1)]
            bits = "".join(str(int(value >= plane[y + 1, x + 1])) for value in around)
            inside[y, x] = int(bits, 2) / 255
    return np.pad(inside, 1, mode="reflect")


def patch(maps, y, x):
    height, width = maps.shape[1:]
    return [m[mirror(y + v, height), mirror(x + u, width)] for m in maps for v in (-1, 0, 1) for u in (-1, 0, 1)]


def written_out(made, frame0, frame1):
    """Of pictures (channels, h, w)."""
    colours = [np.stack([reduced(plane) for plane in picture]) for picture in (made, frame0, frame1)]
    codes = [np.stack([reduced(coded(plane)) for plane in picture]) for picture in (made, frame0, frame1)]
    height, width = colours[0].shape[1:]
    total = 0.0
    for y in range(height):
        for x in range(width):
            near = [
                (n, mirror(y + dy, height), mirror(x + dx, width))
                for n in (1, 2)
                for dy in range(-3, 4)
                for dx in range(-3, 4)
            ]
            wanted = np.array(patch(codes[0], y, x))
            apart = [np.square(wanted - patch(codes[n], v, u)).sum() for n, v, u in near]
            n, v, u = near[int(np.argmin(apart))]
            total += np.square(np.array(patch(colours[0], y, x)) - patch(colours[n], v, u)).sum()
    return 0.5 * total / (height * width * len(made) * 9)


def smooth(batch, size, seed, grain=4):
    """Noise whose spots are some `grain` pixels wide."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, size // grain, size // grain, generator=generator)
    return F.interpolate(coarse, size, mode="bicubic", align_corners=False)


def test_it_is_its_definition_written_out():
    pictures = [smooth(2, 24, seed).double() for seed in (0, 1, 2)]
    wanted = np.mean([written_out(*(one[b].numpy() for one in pictures)) for b in range(2)])
    assert texture(*pictures).item() == pytest.approx(wanted, rel=1e-10)
    assert texture(*(one.float() for one in pictures)).item() == pytest.approx(wanted, rel=1e-5)


def test_either_frame_costs_nothing():
    frame0, frame1 = smooth(1, 64, 0), smooth(1, 64, 1)
    assert texture(frame0, frame0, frame1).item() == 0
    assert texture(frame1, frame0, frame1).item() == 0


def test_only_what_is_made_learns():
    made, frame0, frame1 = (smooth(1, 32, seed).requires_grad_() for seed in (0, 1, 2))
    texture(made, frame0, frame1).backward()
    assert bool(made.grad.isfinite().all()) and made.grad.abs().max() > 0
    assert frame0.grad is None and frame1.grad is None


def test_the_gradient_is_that_of_the_colours_with_the_match_held():
    made, frame0, frame1 = (smooth(1, 32, seed).double() for seed in (0, 1, 2))
    made.requires_grad_()
    (slope,) = torch.autograd.grad(texture(made, frame0, frame1), made)
    step = 1e-7 * torch.randn(made.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():  # too small a step to change a code
        difference = texture(made + step, frame0, frame1) - texture(made - step, frame0, frame1)
    assert difference.item() == pytest.approx(2 * (slope * step).sum().item(), rel=1e-4)


def edge(at, size=64):
    """Dark to the left of column `at`, with a faint grain that tells places apart."""
    picture = 0.02 * smooth(1, 2 * size, 5)[..., :size, :size]
    picture[..., at:] += 0.8
    return picture


def test_the_mean_of_two_edges_costs_more_than_either():
    left, right = edge(28), edge(36)
    assert texture(left, left, right).item() == texture(right, left, right).item() == 0
    assert texture((left + right) / 2, left, right).item() > 1e-3


def test_motion_within_twelve_pixels_costs_little_while_l1_grows():
    wide = smooth(1, 160, 3, grain=8)

    def at(shift):
        return wide[..., 32:128, 32 + shift : 128 + shift]

    frame = at(0)
    costs = [texture(at(shift), frame, frame).item() for shift in (4, 8, 12, 20)]
    pixels = [l1(at(shift), frame).item() for shift in (4, 8, 12)]
    assert pixels[0] < pixels[1] < pixels[2] and pixels[2] > 0.2
    assert max(costs[:3]) < 0.25 * costs[3]  # what has moved in at the edge is in neither frame


def tiles(shift, size=96, period=16):
    """A pattern that repeats every 16 pixels to the right, moved by `shift`."""
    tile = smooth(1, period, 7, grain=2)[..., :period]
    columns = (torch.arange(size) - shift) % period
    return tile.repeat(1, 1, size // period, 1)[..., columns]


def test_of_a_repeated_pattern_the_phase_is_free_and_the_contrast_is_not():
    """It moves by half its period: to the left or to the right, nobody can tell from the frames. Squared pixels are
    best served by the mean of both truths, the texture by either of them."""
    frame0, frame1 = tiles(0), tiles(8)
    left, right = tiles(-4), tiles(4)
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    made = [torch.lerp(left, right, share) for share in shares]
    squares = [((one - left).square().mean() + (one - right).square().mean()).item() / 2 for one in made]
    costs = [texture(one, frame0, frame1).item() for one in made]
    assert min(squares) == squares[2] and squares[2] < 0.6 * squares[0]
    assert max(costs) == costs[2] and max(costs[0], costs[4]) < 0.15 * costs[2]


def test_a_faded_pattern_costs_until_its_contrast_is_back():
    frame0, frame1, sharp = tiles(0), tiles(8), tiles(4)
    costs = [texture(0.5 + contrast * (sharp - 0.5), frame0, frame1).item() for contrast in (0.2, 0.5, 0.8, 1.0, 1.3)]
    assert costs[0] > costs[1] > costs[2] > costs[3] < costs[4]
    contrast = torch.tensor(0.3, requires_grad=True)
    (slope,) = torch.autograd.grad(texture(0.5 + contrast * (sharp - 0.5), frame0, frame1), contrast)
    assert slope < -1e-3


def test_half_precision_is_summed_in_float32():
    pictures = [smooth(1, 32, seed).bfloat16() for seed in (0, 1, 2)]
    with torch.autocast("cpu", torch.bfloat16):
        found = texture(*pictures)
    assert found.dtype == torch.float32
    assert torch.equal(found, texture(*(one.float() for one in pictures)))


def test_what_cannot_be_compared_is_refused():
    picture = smooth(1, 32, 0)
    with pytest.raises(ContractError, match="must be equal"):
        texture(picture, picture, picture[..., :16])
    with pytest.raises(ContractError, match="at least 16 pixels"):
        texture(*[picture[..., :15]] * 3)
