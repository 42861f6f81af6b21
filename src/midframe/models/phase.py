"""Phase-based frame interpolation, without any flow or training.

Meyer, Wang, Zimmer, Grosse, Sorkine-Hornung: "Phase-Based Frame Interpolation for Video", CVPR 2015.

A small shift of a sinusoid is a change of its phase. So: split both frames into bands of a complex steerable pyramid,
take the phase difference of each band at each pixel, decide coarse to fine how many whole turns it hides, move every
band's phase by a part t of it, blend amplitudes, put the pyramid together again.

    prepare   frames  B 2 3 H W -> Lab -> spectra -> phase difference per level and orientation
              -> corrected coarse to fine -> `turns`: whole turns to add, one small integer per coefficient
    render    band = ((1−t) |B0| + t |B1|) · exp i(φ1 + (t−1) φ_diff), low-pass blended,
              high-pass of the nearer frame (frame 1 at t = 1/2) -> Lab -> RGB

Values outside [0, 1] go in and come out, nothing is clamped. Any size, odd ones too: filters are made for the exact
size, edges wrap around as the Fourier transform has it. The three colour channels are independent.

Limits: motion beyond the corrected range blurs (large, fast objects); changes of brightness are handled gracefully.
Because of the high-pass residual the result at exactly t = 1/2 is not quite symmetric in time, hence the contract.

Where we differ. From the paper: shift limit 0.4 and scale 0.5^¼ (the authors' later code, which made the row quoted
in comparisons) instead of 0.2 and 1/1.2. From that code: Lab is not rounded to 8 bits unless `lab_8bit`, so that a
still clip stays as it is; white is D65; its filter table of 256 entries is exact here; going back, the half plane of a
band is the one of the analysis filter instead of one on the integer grid. On the 12 triplets of Middlebury-other
(8-bit output, 3-D Gaussian SSIM) `lab_8bit=True` gives 31.115 dB / 0.9330, where 31.117 / 0.933 is published, and the
default 31.193 dB / 0.9341.

Written from the paper and a description of the steps, not from the authors' code (research licence).
"""

import functools
import math
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor

from midframe.errors import ContractError, UsageError
from midframe.ops.lab import lab_to_rgb, rgb_to_lab
from midframe.ops.steerable import (
    Filters,
    count_levels,
    extract_band,
    insert_band,
    insert_residuals,
    invert,
    make_filters,
    transform,
)
from midframe.types import Contract

TURN = 2 * math.pi
STRIP = 128  # rows


class Phase:
    """Synthesizer for any 0 < t < 1 between two frames.

    limit         largest trusted phase difference, in units of π, at the coarsest level (paper: 0.2)
    orientations  bands per level
    scale         size of a level relative to the finer one, in [0.5, 1)
    smallest      pixels of the coarsest level's shorter side
    levels        never more levels than this (23: authors' code)
    lab_8bit      round Lab to 8 bits on the way in and out, as the MATLAB version behind published figures
    keep_bytes    bands are kept in the state while they fit in this many bytes, and computed again for each t where
                  they do not. The result is the same; 640×480 needs 0.4 GB, 1280×720 1.2 GB, 1920×1080 2.7 GB.

    The model holds no state of its own. A state is a dict: `lab` (B 2 3 H W), `turns[channel][orientation][level]`
    (B h w, int8) and `bands`, the same nesting of kept (amplitude 0, amplitude 1, phase 1, difference) or empty.
    Without bands it takes about 27 · 3 + 24 bytes a pixel: 32 MB at 640×480, 220 MB at 1920×1080.
    """

    contract = Contract(inputs=(0, 1), covers=(0, 1), times=None, symmetric=False)

    def __init__(
        self,
        *,
        limit: float = 0.4,
        orientations: int = 8,
        scale: float = 0.5**0.25,
        smallest: int = 15,
        levels: int = 23,
        lab_8bit: bool = False,
        keep_bytes: int = 512 * 2**20,
    ) -> None:
        if not 0 < limit <= 1:
            raise UsageError(f"Phase: limit is a part of π above 0 and up to 1, got {limit}; the default is 0.4.")
        if orientations < 2 or not 0.5 <= scale < 1 or smallest < 5 or levels < 1:
            raise UsageError(
                f"Phase: needs orientations >= 2, 0.5 <= scale < 1, smallest >= 5 and levels >= 1, "
                f"got {orientations}, {scale}, {smallest} and {levels}."
            )
        self.limit = limit
        self.orientations = orientations
        self.scale = scale
        self.smallest = smallest
        self.levels = levels
        self.lab_8bit = lab_8bit
        self.keep_bytes = keep_bytes

    @torch.no_grad()
    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Phase differences of a pair, without their ambiguity. `generator` is not used: nothing here is random.

        Raises ContractError unless there are two RGB frames.
        """
        if frames.ndim != 5 or frames.shape[1:3] != (2, 3):
            raise ContractError(f"Phase reads two RGB frames, B 2 3 H W; got {tuple(frames.shape)}.")
        # In strips: a colour conversion needs several copies of what it converts.
        strips = _strips(frames)
        lab = torch.cat([self._quantise(rgb_to_lab(strip.float())) for strip in strips], -2)
        filters = self._filters(lab)
        coefficients = lab.shape[0] * 3 * self.orientations * sum(h * w for h, w in filters.sizes[:-1])
        keep = 16 * coefficients <= self.keep_bytes
        turns: list[list[list[Tensor]]] = []
        bands: list[list[list[tuple[Tensor, ...]]]] = []
        for channel in range(3):
            spectra = transform(lab[:, :, channel])  # B 2 H W
            turns.append([])
            bands.append([])
            # One orientation at a time: the correction goes along the levels only, and memory stays at a few planes.
            for orientation in range(self.orientations):
                levels = range(len(filters.radial))
                measured = [_measure(extract_band(spectra, filters, k, orientation), keep) for k in levels]
                chosen = self._count_turns([parts[-1] for parts in measured])
                turns[channel].append(chosen)
                if keep:
                    bands[channel].append(
                        [(*parts[:3], parts[3] + TURN * turn) for parts, turn in zip(measured, chosen, strict=True)]
                    )
        return {"lab": lab, "turns": turns, "bands": bands}

    @torch.no_grad()
    def render(
        self, state: dict[str, Any], t: float | Fraction | Float[Tensor, " b"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The frame at time t, float32, not clamped. Raises ContractError unless 0 < t < 1 and size is the frames'."""
        lab: Tensor = state["lab"]
        batch, height, width = lab.shape[0], lab.shape[3], lab.shape[4]
        if size is not None and tuple(size) != (height, width):
            raise ContractError(f"Phase keeps the size {height}×{width}, asked for {size[0]}×{size[1]}; resize after.")
        times = torch.as_tensor(float(t) if isinstance(t, Fraction) else t, dtype=torch.float32, device=lab.device)
        times = times.reshape(-1)
        if times.numel() not in (1, batch) or not bool(((times > 0) & (times < 1)).all()):
            raise ContractError(f"Phase renders 0 < t < 1, one or {batch} of them; asked for {times.tolist()}.")
        times = times.expand(batch)[:, None, None]
        filters = self._filters(lab)
        planes = []
        for channel in range(3):
            spectra = transform(lab[:, :, channel])
            first, second = spectra.unbind(1)
            result = torch.zeros_like(first)
            low = torch.lerp(first, second, times.to(first.dtype))
            insert_residuals(result, low, torch.where(times < 0.5, first, second), filters)
            for orientation in range(self.orientations):
                for k, turn in enumerate(state["turns"][channel][orientation]):
                    if state["bands"][channel]:
                        parts = state["bands"][channel][orientation][k]
                    else:
                        *polar, difference = _measure(extract_band(spectra, filters, k, orientation), True)
                        parts = (*polar, difference + TURN * turn)
                    amplitude0, amplitude1, phase1, difference = parts
                    band = torch.polar(torch.lerp(amplitude0, amplitude1, times), phase1 + (times - 1) * difference)
                    insert_band(result, band, filters, k, orientation)
            planes.append(invert(result).real)
        strips = _strips(torch.stack(planes, 1))
        return torch.cat([lab_to_rgb(self._quantise(strip)) for strip in strips], -2)

    def _count_turns(self, differences: list[Float[Tensor, "b h w"]]) -> list[Tensor]:
        """Whole turns hidden in each level's phase difference (finest first), decided coarse to fine."""
        count = len(differences)
        # No level's corrected difference exceeds this many turns; one byte is enough for all but absurd settings.
        dtype = torch.int8 if self.limit / 2 / self.scale**count + 1 < 127 else torch.int16
        turns = []
        above: Tensor | None = None
        for k in reversed(range(count)):
            difference = differences[k]
            largest = self.limit * math.pi / self.scale ** (count - 1 - k)  # eq. 11: it grows with the frequency
            if above is None:
                corrected = torch.where(difference.abs() > largest, 0.0, difference)
            else:
                guess = F.interpolate(above[:, None], difference.shape[-2:], mode="bilinear", align_corners=False)
                guess = guess[:, 0] / self.scale  # the same shift is more phase at a higher frequency
                corrected = difference + TURN * torch.round((guess - difference) / TURN)
                # eq. 10: levels that disagree by more than a quarter turn follow the coarser one
                doubtful = ((corrected - guess).abs() > math.pi / 2) | (corrected.abs() > largest)
                corrected = torch.where(doubtful, guess, corrected)
            # eq. 13: the measured difference stays, the correction only says which turn it is on
            turns.append(torch.round((corrected - difference) / TURN).to(dtype))
            above = corrected
        return turns[::-1]

    def _filters(self, lab: Tensor) -> Filters:
        height, width = lab.shape[-2:]
        levels = min(count_levels(height, width, scale=self.scale, smallest=self.smallest), self.levels)
        return _cached_filters(height, width, levels, self.orientations, self.scale, lab.device)

    def _quantise(self, lab: Float[Tensor, "... 3 h w"]) -> Float[Tensor, "... 3 h w"]:
        """Lab as MATLAB's 8-bit encoding has it, if asked for: L · 255 / 100, a + 128, b + 128, whole, 0…255."""
        if not self.lab_8bit:
            return lab
        step = lab.new_tensor((255 / 100, 1, 1)).view(3, 1, 1)
        zero = lab.new_tensor((0, 128, 128)).view(3, 1, 1)
        return ((lab * step + zero).round().clamp(0, 255) - zero) / step


def _strips(frames: Float[Tensor, "... h w"]) -> list[Tensor]:
    return [frames[..., top : top + STRIP, :] for top in range(0, frames.shape[-2], STRIP)]


@functools.lru_cache(maxsize=2)  # a video has one size; 14 floats a pixel
def _cached_filters(
    height: int, width: int, levels: int, orientations: int, scale: float, device: torch.device
) -> Filters:
    return make_filters(height, width, levels=levels, orientations=orientations, scale=scale, device=device)


def _measure(pair: Complex[Tensor, "b 2 h w"], polar: bool) -> tuple[Float[Tensor, "b h w"], ...]:
    """(amplitude 0, amplitude 1, phase 1,) phase difference 0 -> 1 in (−π, π]; the first three only if `polar`."""
    first, second = pair.unbind(1)
    difference = torch.angle(second * first.conj())
    return (first.abs(), second.abs(), second.angle(), difference) if polar else (difference,)
