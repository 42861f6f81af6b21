"""PhaseNet: a network that says what a steerable pyramid of the middle frame looks like.

Meyer, Djelouah, McWilliams, Sorkine-Hornung, Gross, Schroers: "PhaseNet for Video Frame Interpolation", CVPR 2018,
arXiv 1804.00884.

A small shift is a change of phase in the bands of a complex steerable pyramid. Where `phase` corrects the ambiguous
phase difference by rules, here a decoder that goes through the levels from coarse to fine says the phase of the middle
frame itself, and how to mix the amplitudes. No flow, no warping, t = 1/2 only.

    frames  B 2 3 H W -> Lab in 0…1 -> each channel alone: B·3 2 H W -> pyramid, scale √½ a level, 4 orientations
    block 0   low-pass residual of both frames, ÷ its maximum                               -> α
    block i   features of block i−1, phases / π and amplitudes / their maximum of both frames at level i,
              prediction of block i−1                                                       -> 4 phases, 4 β
              two convolutions with 64 maps (1×1 in blocks 0 to 2, then 3×3), 1×1 convolution, tanh
              the last of the 8 blocks serves all finer levels, whatever the size of the frames
    low-pass  α L0 + (1−α) L1         bands  (β |B1| + (1−β) |B0|) · exp iπ·phase         high-pass: none
    -> pyramid put together -> RGB

Levels: ⌈2 log2(shorter side / 8)⌉, so 10 for 256×256, 13 for 1280×720, and a low-pass residual of about 8 pixels.

Loss: mean |difference| in Lab + `phase_weight` · Σ over levels and orientations of the mean |phase difference|, which
is taken the shorter way round the circle. Training is hierarchical: the coarsest level alone first, one more every
`grow` batches; coefficients of finer levels are those of the truth meanwhile. Since reconstruction is linear, a finer
level that equals the truth adds nothing to the difference: neither its bands nor its block are computed at all.

There is no release by the authors. What public re-implementations do differently from one another, and what we do:

    parameters      466,745 with 8 blocks, the last one shared, in training, too; others have 11 blocks
    block           conv, batch norm, ELU, conv, ELU with edges reflected, in block 0, too; elsewhere ReLU after both,
                    leaky ReLU, or no norm in block 0
    input order     features, 4 phases of frame 0 then of frame 1, amplitudes likewise, previous prediction
    β               1 takes the amplitude of frame 1, while α = 1 takes the low-pass of frame 0
    low-pass        divided by its largest magnitude, at least 1e-5
    phase           absolute; a variant that predicts what is missing to the coarser level's phase is left out.
                    `phase="offset"` is ours: what is missing to the phase of the sum of both frames' bands
    loss            means and `phase_weight` 0.005, so all levels weigh alike; the paper's 0.1 belongs to sums

Where we differ from all of them: in the loss the high-pass residual, which the network does not make, is left out of
both pictures, instead of being missing from one. Nothing is clamped. The pyramid is ours (exact for any size, edges
wrap around). `high` can put back part of the frames' own high-pass residual: what is published has none, and then no
network can be better than 37.7 dB in the mean on ten real clips of 448 pixels (32.9 to 42.3; with `high=0.5` 38.7 dB,
with 1 38.2 dB; benchmarks/phase_ceiling.py).

Written from a description of the paper and of its re-implementations, not from their code.
"""

import functools
import math
from fractions import Fraction
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.pixel import l1
from midframe.nn.layers import exact
from midframe.nn.pair import Time, check_pair, check_size, read_times
from midframe.ops.lab import lab_to_rgb, rgb_to_lab
from midframe.ops.steerable import (
    Filters,
    collapse,
    count_levels,
    extract_level,
    extract_low,
    invert,
    make_filters,
    transform,
)
from midframe.types import Batch, Contract

ORIENTATIONS = 4
SCALE = 0.5**0.5
SMALLEST = 8  # pixels of the low-pass residual's shorter side
POINTWISE = 3  # blocks with 1×1 kernels, the coarsest ones
STRIP = 64  # rows
TURN = 2 * math.pi


class Block(nn.Module):
    """Features of a level and what they say, in (−1, 1)."""

    def __init__(self, inputs: int, width: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.feature_map = nn.Sequential(
            nn.Conv2d(inputs, width, kernel, padding=kernel // 2, padding_mode="reflect"),
            nn.BatchNorm2d(width),
            nn.ELU(inplace=True),
            nn.Conv2d(width, width, kernel, padding=kernel // 2, padding_mode="reflect"),
            nn.ELU(inplace=True),
        )
        self.prediction_map = nn.Sequential(nn.Conv2d(width, outputs, 1))

        self.reach = 2 * (kernel // 2)  # pixels

    def forward(self, x: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n d h w"], Float[Tensor, "n e h w"]]:
        if self.training:  # the statistics of a batch need all of it
            return self._look(x)
        features, said = zip(*(self._strip(x, top) for top in range(0, x.shape[2], STRIP)), strict=True)
        return torch.cat(features, 2), torch.cat(said, 2)

    def _strip(self, x: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """What the whole gives for the rows from `top` on. A convolution needs copies of what it reads, so strips
        take a third of the memory."""
        first, rows = max(top - self.reach, 0), slice(min(top, self.reach), min(top, self.reach) + STRIP)
        features, said = self._look(x[:, :, first : top + STRIP + self.reach])
        return features[:, :, rows], said[:, :, rows]

    def _look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.feature_map(x)
        return features, torch.tanh(exact(self.prediction_map(features)))


class PhaseNet(nn.Module):
    """Synthesizer for t = 1/2 between two frames.

    width         maps of the features
    blocks        different blocks; the last one serves all finer levels
    phase         "absolute": the network says the phase itself, as published; "offset": it says what is missing to the
                  phase of the sum of both frames' bands, so that it starts from a cross-fade. Ours: it learns sooner
    high          part of the mean of both frames' high-pass residuals that the answer gets, 0…1; published: 0
    grow          batches after which training takes one more level, from the coarsest on; 0: all from the beginning
    phase_weight  of the phase difference in the loss

    The state is {"middle": B 3 H W}: there is one time, so `prepare` does it all. The object holds parameters and the
    statistics of the batch norms; the one of block 0 counts batches, by which the loss knows how many levels are
    trained. So the count goes into checkpoints and weights, and training that begins with weights has all levels.
    """

    # 16: two levels of bands; below, there would be little but the low-pass residual
    contract = Contract(times=(Fraction(1, 2),), minimum=16)

    def __init__(
        self,
        *,
        width: int = 64,
        blocks: int = 8,
        phase: Literal["absolute", "offset"] = "absolute",
        high: float = 0.0,
        grow: int = 500,
        phase_weight: float = 0.005,
    ) -> None:
        super().__init__()
        if not 0 <= high <= 1:
            raise UsageError(f"PhaseNet: high is a part between 0 and 1, got {high}; 0 is what was published.")
        if phase not in ("absolute", "offset"):
            raise UsageError(f'PhaseNet: phase is "absolute" or "offset", got {phase!r}.')
        if blocks <= POINTWISE or width < 1 or grow < 0 or not phase_weight >= 0:
            raise UsageError(
                f"PhaseNet: needs blocks > {POINTWISE}, width >= 1, grow >= 0 and phase_weight >= 0, "
                f"got {blocks}, {width}, {grow} and {phase_weight}."
            )
        self.phase = phase
        self.high = high
        self.grow = grow
        self.phase_weight = phase_weight
        polar = 2 * ORIENTATIONS  # phase and amplitude
        before = [0, 1] + (blocks - 2) * [polar]  # channels of the coarser level's prediction
        self.layers = nn.ModuleList(
            Block(width + before[i] + 2 * polar if i else 2, width, polar if i else 1, kernel=1 if i < POINTWISE else 3)
            for i in range(blocks)
        )
        if phase == "offset":
            for layer in self.layers:
                layer.get_submodule("prediction_map.0").apply(_silence)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """The frame in the middle. `generator` is not used. Raises ContractError for other frames than two of RGB."""
        check_pair("PhaseNet", frames, self.contract)
        spectra = transform(to_unit_lab(frames.float()).transpose(1, 2))  # B 3 2 H W
        filters = filters_for(frames)
        # one channel after the other takes a third of the memory; the statistics of a batch need all of them
        groups = (spectra,) if self.training else torch.split(spectra, 1, 1)
        made = torch.cat([self._interpolate(group, filters) for group in groups], 1)
        return {"middle": from_unit_lab(made).to(frames.dtype)}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at 1/2, not clamped. Raises ContractError for other times, or another size than the frames'."""
        middle: Tensor = state["middle"]
        check_size("PhaseNet", size, middle)
        read_times("PhaseNet", t, middle, self.contract)
        return middle.clone()  # it is the caller's; the state stays as it is

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time = 0.5) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Picture and phase, of the levels that are trained by now; of all in eval mode.

        Returns "loss" and its weighted parts "reconstruction" and "phase". Raises ContractError for frames of another
        size than the targets, and unless there is one target at t = 1/2.
        """
        check_pair("PhaseNet", batch.frames, self.contract)
        if batch.targets.shape[1:] != (1, *batch.frames.shape[2:]):
            raise ContractError(
                f"PhaseNet learns from one target of the frames' size, 1 {tuple(batch.frames.shape[2:])}; "
                f"got {tuple(batch.targets.shape[1:])}."
            )
        read_times("PhaseNet", batch.target_times.flatten(), batch.frames, self.contract)
        together = torch.cat([batch.frames, batch.targets], 1).float()
        spectra = transform(to_unit_lab(together).transpose(1, 2)).flatten(0, 1)  # B·3 3 H W
        spectra, truth = spectra[:, :2], spectra[:, 2]
        filters = filters_for(batch.frames)
        levels = len(filters.radial)
        active = min(levels, 1 + self._batches() // self.grow) if self.training and self.grow else levels
        low, bands = self.predict(spectra, filters, active)

        wanted = [extract_level(truth, filters, levels - 1 - i) for i in range(active)]  # coarse to fine, as `bands`
        apart = [
            phase_difference(phase, target.angle()).abs().mean()
            for (phase, _), target in zip(bands, wanted, strict=True)
        ]
        # of levels that are not trained, and of the high-pass residual, the difference is zero
        wrong = collapse(
            [torch.polar(*band[::-1]) - target for band, target in zip(bands[::-1], wanted[::-1], strict=True)],
            low - extract_low(truth, filters),
            filters,
        )
        picture = invert(wrong).real
        reconstruction = l1(picture, torch.zeros_like(picture))
        phase = self.phase_weight * ORIENTATIONS * torch.stack(apart).sum()
        # blocks whose level is not trained get a gradient of zero: distributed training waits for all of them
        sleeping = sum(p.sum() for layer in self.layers[active + 1 :] for p in layer.parameters())
        return {"loss": reconstruction + phase + 0 * sleeping, "reconstruction": reconstruction, "phase": phase}

    def predict(
        self, spectra: Complex[Tensor, "n 2 h w"], filters: Filters, levels: int
    ) -> tuple[Float[Tensor, "n hn wn"], list[tuple[Float[Tensor, "n 4 hk wk"], Float[Tensor, "n 4 hk wk"]]]]:
        """Low-pass residual, then (phase in radians, amplitude) of the coarsest `levels` levels, coarse to fine.

        `spectra`: of both frames, of pictures with one channel.
        """
        residuals = extract_low(spectra, filters)
        largest = residuals.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-5)
        features, said = self.layers[0](residuals / largest)
        low = torch.lerp(residuals[:, 1], residuals[:, 0], (said[:, 0] + 1) / 2)
        bands = []
        for i in range(1, levels + 1):
            found = extract_level(spectra, filters, len(filters.radial) - i)  # N 2 4 h w
            phase, amplitude = found.angle(), found.abs()
            largest = amplitude.amax((1, 2, 3, 4), keepdim=True) + 1e-8
            size = found.shape[-2:]
            seen = torch.cat(
                (
                    _enlarge(features, size),
                    (phase / math.pi).flatten(1, 2),
                    (amplitude / largest).flatten(1, 2),
                    _enlarge(said, size),
                ),
                1,
            )
            features, said = self.layers[min(i, len(self.layers) - 1)](seen)
            middle = math.pi * said[:, :ORIENTATIONS]
            if self.phase == "offset":
                middle = middle + found.sum(1).angle()
            bands.append((middle, torch.lerp(amplitude[:, 0], amplitude[:, 1], (said[:, ORIENTATIONS:] + 1) / 2)))
        return low, bands

    def _interpolate(self, spectra: Complex[Tensor, "b c 2 h w"], filters: Filters) -> Float[Tensor, "b c h w"]:
        low, bands = self.predict(spectra.flatten(0, 1), filters, len(filters.radial))
        made = collapse([torch.polar(amplitude, phase) for phase, amplitude in bands[::-1]], low, filters)
        if self.high:
            made = made + spectra.flatten(0, 1).mean(1) * (self.high * filters.high**2)
        return invert(made).real.view(*spectra.shape[:2], *spectra.shape[3:])

    def _batches(self) -> int:
        """Batches seen in training."""
        return int(self.get_buffer("layers.0.feature_map.1.num_batches_tracked"))


def _silence(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def phase_difference(phase: Float[Tensor, "*s"], other: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """phase − other the shorter way round, in [−π, π]. As atan2(sin, cos) of it, with gradient 1 everywhere."""
    apart = phase - other
    return apart - TURN * torch.round(apart / TURN)


def to_unit_lab(rgb: Float[Tensor, "... 3 h w"]) -> Float[Tensor, "... 3 h w"]:
    """RGB as L / 100, (a + 128) / 255, (b + 128) / 255: about 0…1, as the network takes it."""
    unit, zero = _lab_range(rgb)
    return (rgb_to_lab(rgb) + zero) / unit


def from_unit_lab(lab: Float[Tensor, "... 3 h w"]) -> Float[Tensor, "... 3 h w"]:
    """Inverse of `to_unit_lab`."""
    unit, zero = _lab_range(lab)
    return lab_to_rgb(lab * unit - zero)


def filters_for(frames: Float[Tensor, "... h w"]) -> Filters:
    """Filters of the pyramid for pictures of this size, on their device; kept for the next call."""
    return _filters(frames.shape[-2], frames.shape[-1], frames.device)


@functools.lru_cache(maxsize=2)  # training has one size and validation another; 7 floats a pixel
def _filters(height: int, width: int, device: torch.device) -> Filters:
    levels = count_levels(height, width, scale=SCALE, smallest=SMALLEST)
    with torch.inference_mode(False):  # what is kept must stay usable in training
        return make_filters(height, width, levels=levels, orientations=ORIENTATIONS, scale=SCALE, device=device)


def _lab_range(like: Tensor) -> tuple[Float[Tensor, "3 1 1"], Float[Tensor, "3 1 1"]]:
    return like.new_tensor((100, 255, 255)).view(3, 1, 1), like.new_tensor((0, 128, 128)).view(3, 1, 1)


def _enlarge(maps: Float[Tensor, "n c h w"], size: torch.Size) -> Float[Tensor, "n c h2 w2"]:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
