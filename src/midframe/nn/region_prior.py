"""Region priors: which areas of the two frames belong together, told to the encoder of an interpolation network.

Han, Xu, Lin, Wu, Liu, Yang: "Video Frame Interpolation with Region-Distinguishable Priors from SAM", 2023,
arXiv 2312.15868. The paper adds them to networks that exist; so does this, and a fresh prior changes no frame.

    areas      label maps B 2 h w              of the frames, by `ops.regions` or by any segmentation
    codes      N(μ, σ) of each area, from its colour, place and size: things that look alike have nearly equal codes
    map        G, B 2 8 h w                    each pixel has its area's code; 0 where there is no area
    hints      hₖ, B 2 8 or B 2 32             from G at the size of stage k, and from hₖ₋₁
    fusion     f + W·ReLU((1 + γ)·norm(f) + β) after stage k of the encoder; γ, β from hₖ

The paper's text was to be had as a summary only, and there is no code: sizes, the descriptors and the way in which
codes are drawn are ours. Its areas are Segment Anything's; what `ops.regions` finds by colour and motion stands in for
them. γ and β are 1×1 convolutions, as the hints have looked around already. The first stage is at half size and costs
the most: all its convolutions are 1×1, and its hint has 8 channels, the others' 32.

In training a code is μ + σ·ε, where ε is a random but smooth function of what describes the area, the same for both
frames: so it does not depend on how areas are numbered, and one thing has one ε. In the same way areas lose their code
with probability `drop`; and so does each pair as a whole, so that a network learns to do without. The chance follows
from the frames, not from torch's generator: a training that is resumed takes the same steps.
"""

import math
import zlib
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from midframe.errors import UsageError
from midframe.ops.regions import DESCRIPTOR, describe_regions, find_regions

Segmenter = Callable[[Tensor], Tensor]  # frames B 2 3 H W to labels B 2 h w
Fuse = Callable[[int, Tensor], Tensor]  # number of a stage, counted from 0, and its features to other features

WAVES = 32  # that make up a random smooth function
SMOOTH = 0.5  # how far two descriptors may be apart and still get about the same ε
SPREAD = 0.05  # σ of a fresh network; its μ are about 0.2


class Fusion(nn.Module):
    """Features normalised over the picture, scaled and shifted by a hint, added to themselves; at first by nothing."""

    def __init__(self, width: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.tell = nn.Conv2d(hidden, 2 * width, 1)
        self.mix = nn.Conv2d(width, width, kernel, 1, kernel // 2)
        for conv in (self.tell, self.mix):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.get_parameter("bias"))
        nn.init.ones_(self.tell.get_parameter("bias")[:width])

    def forward(self, features: Float[Tensor, "b c h w"], hint: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c h w"]:
        scale, shift = self.tell(hint).chunk(2, 1)
        normed = F.group_norm(features, features.shape[1])  # not instance_norm: it refuses maps of one pixel
        return features + self.mix(torch.addcmul(shift, scale, normed.to(scale.dtype)).relu_()).to(features.dtype)


class RegionPrior(nn.Module):
    """Codes of areas, the hints made of them, and a fusion for each stage of an encoder.

    widths    channels of the stages, each at half the size of the one before
    channels  of the code of an area
    hidden    channels of the hints, but for the first, which has as many as a code
    drop      probability with which an area, and a pair of frames, loses its code in training
    find      who finds the areas of frames that come without

    The object holds parameters only. Raises UsageError for settings that cannot be meant.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        channels: int = 8,
        hidden: int = 32,
        drop: float = 0.1,
        find: Segmenter = find_regions,
    ) -> None:
        super().__init__()
        if not widths or min(*widths, channels, hidden) < 1 or not 0 <= drop < 1:
            raise UsageError(
                f"A region prior takes widths, channels and hidden of 1 or more and 0 ≤ drop < 1; got {tuple(widths)}, "
                f"{channels}, {hidden}, {drop}."
            )
        self.channels, self.drop, self.find = channels, drop, find
        self.code = nn.Sequential(nn.Linear(DESCRIPTOR, 32), nn.ReLU(inplace=True), nn.Linear(32, 2 * channels))
        with torch.no_grad():
            self.code.get_parameter("2.bias")[channels:] = math.log(math.expm1(SPREAD))
        kernels = [1 if stage == 0 else 3 for stage in range(len(widths))]
        depths = [channels, *(hidden for _ in widths[1:])]
        stages = list(zip(widths, depths, kernels, strict=True))
        self.look = nn.ModuleList(nn.Conv2d(channels, depth, kernel, 1, kernel // 2) for _, depth, kernel in stages)
        self.join = nn.ModuleList(nn.Conv2d(before + hidden, hidden, 1) for before in depths[:-1])
        self.fusions = nn.ModuleList(Fusion(*stage) for stage in stages)

    def forward(
        self, frames: Float[Tensor, "b 2 3 h w"], size: tuple[int, int], labels: Int[Tensor, "b 2 h2 w2"] | None = None
    ) -> tuple[Float[Tensor, "b 2 c h3 w3"], list[Float[Tensor, "b 2 d h4 w4"]]]:
        """The map G at the (height, width) of the first stage, and the hints of all stages.

        Without `labels` areas are found, on the CPU; labels of 0 only mean that nothing is known. Raises ContractError
        for labels that are none (`ops.regions.check_regions`).
        """
        labels, rows = self.describe(frames, labels)
        codes = self.draw(rows, frames).flatten(0, 1)
        places = labels.flatten(0, 1).flatten(1)[..., None].expand(-1, -1, self.channels)
        regions = codes.gather(1, places).view(-1, *labels.shape[2:], self.channels).permute(0, 3, 1, 2)
        regions = F.avg_pool2d(regions, 3, 1, 1, count_include_pad=False)  # soft edges
        regions = match(regions, size)
        made = _in_pairs(regions)
        hints: list[Tensor] = []
        for stage, look in enumerate(self.look):
            if stage:
                regions = F.avg_pool2d(regions, 2)
            hint = look(regions).relu_()
            if stage:
                hint = self.join[stage - 1](torch.cat([hint, F.avg_pool2d(hints[-1], 2)], 1)).relu_()
            hints.append(hint)
        return made, [_in_pairs(hint) for hint in hints]

    @torch.compiler.disable
    def describe(
        self, frames: Float[Tensor, "b 2 3 h w"], labels: Int[Tensor, "b 2 h2 w2"] | None
    ) -> tuple[Int[Tensor, "b 2 h2 w2"], Float[Tensor, "b 2 k 9"]]:
        """Labels as int64 on the frames' device, and a row for each, without gradient. Errors as of `forward`."""
        with torch.no_grad():
            found = self.find(frames) if labels is None else labels
            rows = describe_regions(frames, found)
            return found.to(frames.device, torch.int64), rows.to(frames.dtype)

    def draw(self, rows: Float[Tensor, "b 2 k 9"], frames: Float[Tensor, "b 2 3 h w"]) -> Float[Tensor, "b 2 k c"]:
        """A code for each label: the mean of its Gaussian, in training a sample. The code of 0 is 0."""
        mean, spread = self.code(rows).chunk(2, -1)
        known = torch.arange(rows.shape[2], device=rows.device)[:, None] > 0
        if not self.training:
            return mean * known
        noise, keep = self._chance(rows, frames)
        return (mean + F.softplus(spread) * noise) * (known & keep)

    @torch.compiler.disable
    def _chance(self, rows: Tensor, frames: Tensor) -> tuple[Float[Tensor, "b 2 k c"], Tensor]:
        """ε of each area, about standard normal, and whether it keeps its code (B 2 K 1)."""
        least = torch.special.ndtri(torch.tensor(self.drop))
        noises, keeps = [], []
        dots = frames.detach()[:, :, 1, ::4, ::4].to("cpu", torch.float32, copy=True).contiguous().numpy()
        for one, seen in zip(rows, dots, strict=True):
            generator = torch.Generator().manual_seed(zlib.crc32(seen.tobytes()))
            waves = torch.randn(DESCRIPTOR, WAVES, self.channels + 1, generator=generator) / SMOOTH
            phases = 2 * math.pi * torch.rand(WAVES, self.channels + 1, generator=generator)
            forgotten = bool(torch.rand((), generator=generator) < self.drop)
            heights = torch.cos(torch.einsum("fkd,dwc->fkwc", one, waves.to(one)) + phases.to(one))
            drawn = heights.sum(2) * math.sqrt(2 / WAVES)
            noises.append(drawn[..., :-1])
            keeps.append((drawn[..., -1:] > least.to(one)) & (not forgotten))
        return torch.stack(noises), torch.stack(keeps)

    def fuse(self, hints: Sequence[Float[Tensor, "b d h w"]], stage: int, features: Tensor) -> Tensor:
        """What goes on in the place of a stage's features."""
        return self.fusions[stage](features, hints[stage])


def _in_pairs(maps: Tensor) -> Tensor:
    return maps.reshape(-1, 2, *maps.shape[1:])


def match(maps: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """`maps` at this (height, width): reduced by means, enlarged between pixels."""
    if maps.shape[-2:] == size:
        return maps
    if maps.shape[-2] >= size[0]:
        return F.adaptive_avg_pool2d(maps, size)
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
