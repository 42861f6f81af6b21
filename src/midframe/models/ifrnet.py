"""IFRNet: intermediate flow and an intermediate feature, refined together from coarse to fine.

Kong, Jiang, Luo, Chu, Huang, Tai, Wang, Yang: "IFRNet: Intermediate Feature Refine Network for Efficient Frame
Interpolation", CVPR 2022, arXiv 2205.14620.

One encoder gives four levels of features of each frame. The coarsest decoder starts from both and t; each finer one
warps the frames' features by the flow so far and improves flow and feature at once. The last also gives the mask and a
residual image.

    prepare   m = one mean per pair; f0ᵏ, f1ᵏ = encoder(I − m)        1/2 24  1/4 36  1/8 54  1/16 72 channels (S)
    render    decoder 4 (1/16 -> 1/8): f0⁴, f1⁴, t                    -> F at 1/8, feature
              decoder 3, 2, 1 (-> 1/4, 1/2, 1): feature, w(f0), w(f1), F -> F = Δ + 2·resize(F), feature
              decoder 1 also: mask 1, residual 3
              σ(mask)·w(I0 − m) + (1 − σ(mask))·w(I1 − m) + m + residual

Flow: pixels of its own level, (dx, dy), t→0 and then t→1. Nothing of `prepare` depends on t.

| size | widths | side | parameters | multiply-adds, 256×256 |
|---|---|---|---|---|
| S | 24 36 54 72 | 24 | 2,803,610 | 7.198 G |
| base (M) | 32 48 72 96 | 32 | 4,959,692 | 12.672 G |
| L | 64 96 144 192, first kernel 7×7 | 64 | 19,699,460 | 50.199 G |

With `regions`, each stage of the encoder is told which areas of the two frames look alike (arXiv 2312.15868, see
`nn.region_prior`). A fresh prior changes nothing, so that a trained IFRNet can be gone on with. The features of the
true frame, which those that the decoders build are held against, are found without it.

Where we differ from the authors' code: the answer is not clamped to [0, 1], so that super-whites of a video survive
(the loss clamps, as theirs). Frames are warped at their own values and the mean never leaves the encoder, which is the
same up to rounding. Checked against a description of ltkong218/IFRNet (MIT) and its table of shapes.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.census import census, geometry
from midframe.losses.flow import find_labelled, flow_distillation
from midframe.losses.pixel import charbonnier
from midframe.nn.intermediate_feature import Decoder, Encoder
from midframe.nn.layers import exact, merge, resize, warp_pair
from midframe.nn.pair import (
    Index,
    Reference,
    Time,
    approach,
    check_pair,
    check_size,
    mean_of_pair,
    read_index,
    read_reference,
    read_times,
    spread_times,
)
from midframe.nn.region_prior import RegionPrior, Segmenter
from midframe.ops.regions import find_regions
from midframe.types import Batch, Contract

STRIDE = 16  # of the coarsest level
GEOMETRY = 0.01  # weights of the losses: paper, section 3.3
DISTILLATION = 0.01


class IFRNet(nn.Module):
    """Synthesizer for any 0 < t < 1 between two frames.

    widths        channels of the encoder at 1/2, 1/4, 1/8, 1/16
    side          channels that a side block refines twice; at most twice the narrowest width
    first_kernel  of the very first convolution (7 in L)
    scale         the network sees the frames at this part of their size, flow and mask are enlarged; 0.8 is what the
                  authors take for SNU-FILM. 16 / scale must be a whole number: sizes must be multiples of it.
    regions       the encoder is told of areas: True finds them by colour and motion, on the CPU; or a function that
                  makes label maps B 2 h w of frames B 2 3 H W (whole numbers up to 255, 0: no area)
    index         what it learns from (data/distance.py): "time"; "distance", the label of that name; "reference", that
                  and a frame that is there already. Rendering then takes `nn.pair.STEPS` steps from frame 0, each from
                  the answer of the one before: only the coarsest decoder sees that frame's features

    The state is {"frames": B 2 3 H W, "features": per level (f0, f1)}; the object holds parameters only.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int] = (32, 48, 72, 96),
        side: int = 32,
        first_kernel: int = 3,
        scale: float = 1.0,
        regions: bool | Segmenter = False,
        index: Index = "time",
    ) -> None:
        super().__init__()
        self.index = index
        multiple = round(STRIDE / scale) if scale > 0 else 0
        if scale <= 0 or abs(multiple * scale - STRIDE) > 1e-6:
            raise UsageError(f"IFRNet: scale must divide 16 into a whole number (1, 0.8, 0.5, 0.25), got {scale}.")
        if side > 2 * min(widths):
            raise UsageError(f"IFRNet: side is at most twice the narrowest width ({2 * min(widths)}), got {side}.")
        self.scale = scale
        self.contract = Contract(multiple=multiple, minimum=multiple, maps=True)
        c1, c2, c3, c4 = widths
        self.encoder = Encoder(widths, first_kernel)
        told = 2 * c4 + 1 if index != "reference" else 3 * c4 + 2  # f0, f1, t; the reference's features and distance
        self.decoder4 = Decoder(told, 2 * c4, 4 + c3, side)
        self.decoder3 = Decoder(3 * c3 + 4, 3 * c3, 4 + c2, side)  # feature, f0, f1 warped, flow
        self.decoder2 = Decoder(3 * c2 + 4, 3 * c2, 4 + c1, side)
        self.decoder1 = Decoder(3 * c1 + 4, 3 * c1, 4 + 1 + 3, side)
        self.regions: RegionPrior | None = None
        if regions:
            self.regions = RegionPrior(widths, find=find_regions if regions is True else regions)

    def prepare(
        self,
        frames: Float[Tensor, "b 2 3 h w"],
        generator: torch.Generator | None = None,
        *,
        regions: Int[Tensor, "b 2 h2 w2"] | None = None,
    ) -> dict[str, Any]:
        """Features of both frames. `regions` are label maps that are known already.

        Raises ContractError if the frames are not two, or of another size, or for maps that are none
        (`ops.regions.check_regions`); UsageError for maps that this network has no use for.
        """
        check_pair("IFRNet", frames, self.contract)
        if regions is not None and self.regions is None:
            raise UsageError("This IFRNet has no use for regions: build it with regions=True.")
        return {"frames": frames, "features": self._encode(frames, mean_of_pair(frames), regions)}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t, not clamped. Raises ContractError unless 0 < t < 1 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("IFRNet", size, frames)
        times = read_times("IFRNet", t, frames, self.contract)
        if self.index != "reference":
            return self._decode(frames, state["features"], times)[0]
        return approach(frames, times, lambda here, start: self._decode(frames, state["features"], here, start)[0])

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Reconstruction (Charbonnier + census), geometry of features, distillation of flow: paper, section 3.3.

        Distillation takes `batch.labels["flow_t0"]` and `["flow_t1"]` (B M 2 H W, pixels, from the target to each
        frame), for the members where `["has_flow"]` (B) is not 0 if that is given; without them it is left out, as in
        the authors' training for 8×. A network with `regions` takes label maps from `["regions"]` (B 2 h w) if they
        are given. Returns "loss" and its weighted parts.
        """
        check_pair("IFRNet", batch.frames, self.contract)
        count = batch.targets.shape[1]
        frames = batch.frames.repeat_interleave(count, 0)
        truth = batch.targets.flatten(0, 1)
        times = read_index("IFRNet", batch, self.index).flatten(0, 1).to(frames)
        if truth.shape[1:] != frames.shape[2:]:
            raise ContractError(
                f"IFRNet: targets {tuple(truth.shape[1:])} and frames {tuple(frames.shape[2:])} differ."
            )
        mean = mean_of_pair(batch.frames)
        features = tuple(
            (f0.repeat_interleave(count, 0), f1.repeat_interleave(count, 0))
            for f0, f1 in self._encode(batch.frames, mean, batch.labels.get("regions"))
        )
        reference = read_reference("IFRNet", batch, self.index)
        if reference is not None:
            reference = Reference(*(part.flatten(0, 1) for part in reference))
        made, flows, built = self._decode(frames, features, times, reference)
        made = made.clamp(0, 1)
        wanted = self.encoder(resize(truth - mean.repeat_interleave(count, 0)[:, 0], self.scale))
        parts = {
            "reconstruction": charbonnier(made, truth) + census(made, truth),
            "geometry": GEOMETRY * torch.stack([geometry(*pair) for pair in zip(built, wanted[:3], strict=True)]).sum(),
        }
        distilled = self._distil(flows, batch)
        if distilled is not None:
            parts["distillation"] = DISTILLATION * distilled
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _distil(self, flows: list[Tensor], batch: Batch) -> Tensor | None:
        """`flows`: the full-resolution one, then those of 1/2, 1/4, 1/8. None if no member of the batch has labels."""
        labelled = find_labelled(batch)
        if labelled is None:
            return None
        keep, *targets = labelled
        final, *coarse = (flow[keep] for flow in flows)
        parts = []
        for k, target in enumerate(targets):
            side = slice(2 * k, 2 * k + 2)
            parts.append(flow_distillation([flow[:, side] for flow in coarse], target, final=final[:, side]))
        return parts[0] + parts[1]

    def _encode(
        self, frames: Float[Tensor, "b 2 3 h w"], mean: Float[Tensor, "b 1 1 1 1"], regions: Tensor | None
    ) -> tuple[tuple[Tensor, Tensor], ...]:
        seen = resize((frames - mean).flatten(0, 1), self.scale)  # one pass for both frames
        fuse = None
        if self.regions is not None:
            _, hints = self.regions(frames, (seen.shape[-2] // 2, seen.shape[-1] // 2), regions)
            fuse = partial(self.regions.fuse, [hint.flatten(0, 1) for hint in hints])
        levels = self.encoder(seen, fuse)
        halves = (level.unflatten(0, (-1, 2)).unbind(1) for level in levels)
        return tuple((f0, f1) for f0, f1 in halves)

    def _decode(
        self,
        frames: Tensor,
        features: tuple[tuple[Tensor, Tensor], ...],
        times: Float[Tensor, "b 1 h2 w2"],
        reference: Reference | None = None,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The frame; flows at full size, 1/2, 1/4, 1/8; the features built at 1/2, 1/4, 1/8."""
        f0, f1 = features[3]
        told = [f0, f1, spread_times(times, f0.shape[-2:]).to(f0.dtype)]
        if reference is not None:
            seen = resize(reference.frame - mean_of_pair(frames)[:, 0], self.scale)
            told += [self.encoder(seen)[3], spread_times(reference.distance, f0.shape[-2:]).to(f0.dtype)]
        out = self.decoder4(torch.cat(told, 1))
        flow, feature = exact(out[:, :4]), out[:, 4:]
        flows, built = [flow], [feature]
        for decoder, (f0, f1) in zip((self.decoder3, self.decoder2), (features[2], features[1]), strict=True):
            out = decoder(torch.cat([feature, *warp_pair(f0, f1, flow), flow], 1))
            flow, feature = out[:, :4] + 2 * resize(flow, 2), out[:, 4:]
            flows.insert(0, flow)
            built.insert(0, feature)
        f0, f1 = features[0]
        out = self.decoder1(torch.cat([feature, *warp_pair(f0, f1, flow), flow], 1))
        flow = out[:, :4] + 2 * resize(flow, 2)
        mask, residual = torch.sigmoid(exact(out[:, 4:5])), out[:, 5:]
        size = frames.shape[-2:]
        if flow.shape[-2:] != size:  # the network worked at another scale
            flow, mask, residual = (_enlarge(maps, size) for maps in (flow / self.scale, mask, residual))
        # the authors warp I − m and add m to the sum: the same, as the weights add up to 1
        return merge(*warp_pair(frames[:, 0], frames[:, 1], flow), mask) + residual, [flow, *flows], built


def _enlarge(maps: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' checkpoint of the same size with our names: they are the same, but for DDP's "module."."""
    return {key.removeprefix("module."): value for key, value in state.items()}
