"""EMA-VFI: attention between the two frames says at once what a place looks like there and where it went.

Zhang, Zhu, Wang, Chen, Wu, Wang: "Extracting Motion and Appearance via Inter-Frame Attention for Efficient Video Frame
Interpolation", CVPR 2023, arXiv 2303.00440.

Convolutions, then two stages of attention, look at both frames. A place of one frame asks the places around it in the
other (windows of 7 × 7, every second time shifted by 3) which of them look alike. By the answers it reads what they
look like, and where they are: the mean of their coordinates less its own is how it moved. Motion is in proportion to
time, so that for any t the network of flow is shown t·m0 and (1 − t)·m1. What follows is RIFE's: flow and mask from
coarse to fine, a U-Net that adds what is missing, here with features of all five stages, warped.

    prepare   stages 1 to 3: convolutions                             full size F   1/2 2F   1/4 4F channels
              stage 4: all three, by convolutions of stride 2 to 8 and dilation 1 to 4, then attention    1/8 8F
              stage 5: attention                                      1/16 16F
              m0, m1 of stages 4 and 5: motion of each block, as many channels as the stage has in all
    render    flow = mask = 0
              for stage 5, 4:  Δflow, Δmask = head(t·m0, (1−t)·m1, a0, a1, I0, I1; for 4: w(I0), w(I1), mask, flow)
              σ(mask)·w(I0) + (1 − σ(mask))·w(I1) + Unet(I0, I1, w(I0), w(I1), mask, flow, warped features)

Flow: 4 channels, pixels at full size, (dx, dy), t→0 then t→1. Mask: a logit, the weight of frame 0. Nothing of
`prepare` depends on t.

| size | F | blocks of the stages | parameters | multiply-adds, 256×256 |
|---|---|---|---|---|
| large | 32 | 2 2 2 4 4 | 65,662,359 | 64.9 G |
| small | 16 | 2 2 2 2 2 | 14,489,815 | 14.7 G |
| xs: ours, not the paper's | 8 | 2 2 2 2 2 | 3,642,551 | 3.8 G |

In xs, coordinates have the same unit in pictures of every size (`span`), because it learns from crops much smaller than
what it is used for.

Kept as the authors have it, because their weights expect it: the residual of an attention block starts from the
normalised input; and where windows are shifted, the mask of the padding stays where it was.

Where we differ from the authors' code: the answer is not clamped to [0, 1], so that super-whites of a video survive
(the loss clamps, as theirs). Motion is computed in float32 also under autocast: it is a small difference of
coordinates. The masks of attention are made for each size; theirs are kept in the network and go wrong when only the
aspect changes. The published numbers of "large" are the mean with the picture turned by 180°; that is left to the
caller. The code of the authors' any-time training is not public: our loss takes any t. Checked against MCG-NJU/EMA-VFI
(Apache-2.0): names and shapes of all tensors, and outputs for the same random weights.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
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
from midframe.nn.refine import Unet
from midframe.types import Batch, Contract

STRIDE = 32  # the authors pad to it; the coarsest features are at 1/16
WINDOW = 7
SHIFT = WINDOW // 2
HEAD = 32  # channels of a head of attention
GROWTH = 4  # of the channels inside a block's two last layers
APART = -100.0  # added to the logit of a pair that is not to be compared
STAGES = 0.5  # weight of each head's own merge in the loss; authors' code, Trainer.py


class ConvStage(nn.Module):
    """Convolutions 3×3 with PReLU at one size."""

    def __init__(self, inputs: int, outputs: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for k in range(depth):
            layers += [nn.Conv2d(outputs if k else inputs, outputs, 3, 1, 1), nn.PReLU(outputs)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        return self.conv(x)


class CrossScaleEmbed(nn.Module):
    """Features at 1/4, 1/2 and full size as tokens at 1/8: each size seen with one, two and four dilations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(4 * width >> k, width, 3, 2 ** (k + 1), dilation, dilation)
            for k in range(3)
            for dilation in range(1, 2**k + 1)
        )
        self.proj = nn.Conv2d(7 * width, 8 * width, 1)
        self.norm = nn.LayerNorm(8 * width, eps=1e-6)

    def forward(
        self, full: Float[Tensor, "n c h w"], half: Float[Tensor, "n c2 h2 w2"], quarter: Float[Tensor, "n c4 h4 w4"]
    ) -> Float[Tensor, "n h8 w8 d"]:
        sources = (quarter, half, half, full, full, full, full)
        seen = [layer(source) for layer, source in zip(self.layers, sources, strict=True)]
        return self.norm(_tokens(self.proj(torch.cat(seen, 1))))


class Embed(nn.Module):
    """Features as tokens at half the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, 3, 2, 1)
        self.norm = nn.LayerNorm(outputs, eps=1e-6)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h2 w2 d"]:
        return self.norm(_tokens(self.proj(x)))


class Attention(nn.Module):
    """Appearance and motion of tokens, read from the tokens of the same window of the other frame."""

    def __init__(self, width: int, motion: int) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.cor_embed = nn.Linear(2, motion)
        self.proj = nn.Linear(width, width)
        self.motion_proj = nn.Linear(motion, motion)

    def forward(
        self,
        tokens: Float[Tensor, "n m k c"],
        others: Float[Tensor, "n m k c"],
        place: Float[Tensor, "1 m k 2"],
        mask: Float[Tensor, "m 1 k k"] | None,
    ) -> tuple[Float[Tensor, "n m k c"], Float[Tensor, "n m k e"]]:
        query = self._split(self.q(tokens))
        key, value = (self._split(half) for half in self.kv(others).chunk(2, -1))
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        share = (logits if mask is None else logits + mask).softmax(-1)  # n m heads k k
        appearance = self.proj((share.to(value.dtype) @ value).transpose(-2, -3).flatten(-2))
        with torch.autocast(place.device.type, enabled=False):
            own = self.cor_embed(place)
            met = (exact(share) @ self._split(own)).transpose(-2, -3).flatten(-2)
            return appearance, self.motion_proj(met - own)

    def _split(self, x: Float[Tensor, "n m k c"]) -> Float[Tensor, "n m heads k d"]:
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(-2, -3)


class DepthwiseConv(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, 1, 1, groups=width)

    def forward(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h w c"]:
        return _tokens(self.dwconv(_maps(x)))


class Mlp(nn.Module):
    """Two linear layers, between them a convolution of each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, GROWTH * width)
        self.dwconv = DepthwiseConv(GROWTH * width)
        self.fc2 = nn.Linear(GROWTH * width, width)

    def forward(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h w c"]:
        return self.fc2(F.gelu(self.dwconv(self.fc1(x))))


class MotionFormerBlock(nn.Module):
    """Attention between the frames in windows, then an `Mlp`. The first half of the batch is frame 0, the second 1."""

    def __init__(self, width: int, motion: int, *, shifted: bool) -> None:
        super().__init__()
        self.shift = SHIFT if shifted else 0
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, motion)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)

    def forward(
        self, x: Float[Tensor, "n h w c"], place: Float[Tensor, "1 h w 2"]
    ) -> tuple[Float[Tensor, "n h w c"], Float[Tensor, "n h w e"]]:
        height, width = x.shape[1:3]
        tall, wide = (-(-length // WINDOW) * WINDOW for length in (height, width))
        top, left = (tall - height) // 2, (wide - width) // 2
        margins = (0, 0, left, wide - width - left, top, tall - height - top)
        inside = slice(top, top + height), slice(left, left + width)

        def cut(maps: Tensor) -> Tensor:
            return _to_windows(F.pad(maps, margins).roll((-self.shift, -self.shift), (1, 2)))

        def join(windows: Tensor) -> Tensor:
            return _from_windows(windows, tall, wide).roll((self.shift, self.shift), (1, 2))[:, *inside]

        tokens = self.norm1(cut(x))
        mask = _mask(height, width, top, left, self.shift, x.device)
        appearance, motion = self.attn(tokens, tokens.roll(len(x) // 2, 0), cut(place), mask)
        x = join(tokens + appearance)
        return x + self.mlp(self.norm2(x)), join(motion)


def _mask(
    height: int, width: int, top: int, left: int, shift: int, device: torch.device
) -> Float[Tensor, "m 1 k k"] | None:
    """What is added to the logits of each window's pairs: much less than 0 for those of different regions, else 0.

    Regions are the picture and the margins around it, and what the shift has brought beside it from the other end.
    """
    tall, wide = (-(-length // WINDOW) * WINDOW for length in (height, width))
    borders = []
    if (tall, wide) != (height, width):
        borders.append(((top, top + height), (left, left + width)))
    if shift:
        borders.append(((tall - WINDOW, tall - shift), (wide - WINDOW, wide - shift)))
    apart = None
    for rows, columns in borders:
        region = 3 * _count(tall, rows, device)[:, None] + _count(wide, columns, device)
        windows = _to_windows(region[None, :, :, None])[0, :, :, 0]
        differ = windows[:, :, None] != windows[:, None]
        apart = differ if apart is None else apart | differ
    return None if apart is None else apart[:, None] * APART


def _count(length: int, borders: tuple[int, int], device: torch.device) -> Int[Tensor, " l"]:
    """0 before the first border, 1 from there on, 2 from the second on."""
    at = torch.arange(length, device=device)
    return (at >= borders[0]).long() + (at >= borders[1]).long()


def _to_windows(maps: Tensor) -> Tensor:
    """n H W c -> n windows 49 c."""
    n, height, width, channels = maps.shape
    parts = maps.reshape(n, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels)
    return parts.transpose(2, 3).reshape(n, -1, WINDOW * WINDOW, channels)


def _from_windows(windows: Tensor, height: int, width: int) -> Tensor:
    n, _, _, channels = windows.shape
    parts = windows.view(n, height // WINDOW, width // WINDOW, WINDOW, WINDOW, channels)
    return parts.transpose(2, 3).reshape(n, height, width, channels)


def _tokens(maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h w c"]:
    return maps.permute(0, 2, 3, 1)


def _maps(tokens: Float[Tensor, "n h w c"]) -> Float[Tensor, "n c h w"]:
    return tokens.permute(0, 3, 1, 2)


class Backbone(nn.Module):
    """Appearance at all five stages, motion at the last two. The batch is all frames 0, then all frames 1."""

    def __init__(self, width: int, depths: tuple[int, int, int, int, int], span: int | None, channels: int = 3) -> None:
        super().__init__()
        self.span = span
        f = width
        self.block1 = ConvStage(channels, f, depths[0])
        self.patch_embed2 = conv_prelu(f, 2 * f, stride=2)
        self.block2 = ConvStage(2 * f, 2 * f, depths[1])
        self.patch_embed3 = conv_prelu(2 * f, 4 * f, stride=2)
        self.block3 = ConvStage(4 * f, 4 * f, depths[2])
        self.patch_embed4 = CrossScaleEmbed(f)
        self.block4 = _attention_stage(8 * f, depths[3])
        self.norm4 = nn.LayerNorm(8 * f, eps=1e-6)
        self.patch_embed5 = Embed(8 * f, 16 * f)
        self.block5 = _attention_stage(16 * f, depths[4])
        self.norm5 = nn.LayerNorm(16 * f, eps=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Float[Tensor, "n c h w"]) -> tuple[list[Tensor], list[Tensor]]:
        x1 = self.block1(images)
        x2 = self.block2(self.patch_embed2(x1))
        x3 = self.block3(self.patch_embed3(x2))
        x4, motion4 = self._attend(self.block4, self.norm4, self.patch_embed4(x1, x2, x3), 8)
        x5, motion5 = self._attend(self.block5, self.norm5, self.patch_embed5(x4), 16)
        return [x1, x2, x3, x4, x5], [motion4, motion5]

    def _attend(
        self, blocks: nn.ModuleList, norm: nn.Module, x: Float[Tensor, "n h w c"], stride: int
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
        """Appearance and motion."""
        _, height, width, _ = x.shape
        tall, wide = (height, width) if self.span is None else (self.span // stride,) * 2
        dtype = blocks[0].get_parameter("attn.cor_embed.weight").dtype
        across = (torch.arange(width, dtype=dtype, device=x.device) - (width - 1) / 2) * (2 / (wide - 1))
        down = (torch.arange(height, dtype=dtype, device=x.device) - (height - 1) / 2) * (2 / (tall - 1))
        place = torch.stack([across.expand(height, width), down[:, None].expand(height, width)], -1)[None]
        motion = []
        for block in blocks:
            x, moved = block(x, place)
            motion.append(moved)
        return _maps(norm(x)), _maps(torch.cat(motion, -1))


def _attention_stage(width: int, depth: int) -> nn.ModuleList:
    return nn.ModuleList(MotionFormerBlock(width, width // depth, shifted=k % 2 == 1) for k in range(depth))


class Head(nn.Module):
    """Flow and mask increments at full size, from features at 1/`stride` and what of the pictures is `seen`."""

    def __init__(self, features: int, seen: int, hidden: int, stride: int) -> None:
        super().__init__()
        self.shrink = stride // 4
        self.conv = nn.Sequential(
            conv_prelu(features // 16 + seen, hidden), conv_prelu(hidden, hidden), conv_prelu(hidden, 5)
        )

    def forward(
        self, features: Float[Tensor, "b c h w"], seen: list[Tensor], flow: Float[Tensor, "b 4 h2 w2"] | None
    ) -> tuple[Float[Tensor, "b 4 h2 w2"], Float[Tensor, "b 1 h2 w2"]]:
        fine = F.pixel_shuffle(F.pixel_shuffle(features, 2), 2)  # not one by 4: channels would lie otherwise
        small = resize(torch.cat(seen, 1), 1 / self.shrink)
        parts = [fine, small] if flow is None else [fine, small, resize(flow, 1 / self.shrink) / self.shrink]
        out = resize(exact(self.conv(torch.cat(parts, 1))), self.shrink)
        return out[:, :4] * self.shrink, out[:, 4:]


class EMAVFI(nn.Module):
    """Synthesizer for any 0 < t < 1 between two frames. The defaults are the paper's large model.

    width   F, the channels at full size
    depths  convolutions of stages 1 to 3, attention blocks of stages 4 and 5; these must divide 8F and 16F
    span    coordinates, from which motion is read, run from −1 to 1 across so many pixels whatever the picture's size;
            None: across the picture, as published, where the same motion counts less in a larger picture
    scale   1, 0.5 or 0.25: flow and mask are looked for in smaller pictures, which is for large motion. The authors
            take 0.5 for SNU-FILM, Xiph and X-Test at 2K, 0.25 for X-Test at 4K
    index   what it learns from (data/distance.py): "time"; "distance", the label of that name; "reference", that and a
            frame that is there already: rendering then takes `nn.pair.STEPS` steps from frame 0

    The state is {"frames": B 2 3 H W; "features": per stage (f0, f1) at full size; "seen": the pair, stages 4 and 5 and
    their motion that flow is looked for in}; the object holds parameters only. Raises UsageError for settings that
    cannot be meant.
    """

    def __init__(
        self,
        *,
        width: int = 32,
        depths: tuple[int, int, int, int, int] = (2, 2, 2, 4, 4),
        span: int | None = None,
        scale: float = 1.0,
        index: Index = "time",
    ) -> None:
        super().__init__()
        self.index = index
        if scale not in (0.25, 0.5, 1.0):
            raise UsageError(f"EMA-VFI: scale is 0.25, 0.5 or 1, got {scale}.")
        if width < 2 or min(depths) < 1:
            raise UsageError(f"EMA-VFI: width is at least 2, each stage 1 deep or more; got {width}, {depths}.")
        if span is not None and span < STRIDE:
            raise UsageError(f"EMA-VFI: span is at least {STRIDE} pixels, got {span}.")
        for stage, depth in ((8 * width, depths[3]), (16 * width, depths[4])):
            heads = max(1, stage // HEAD)
            if stage % heads or stage % (depth * heads):
                raise UsageError(f"EMA-VFI: {stage} channels do not divide by {heads} heads and {depth} blocks.")
        multiple = round(STRIDE / scale)
        self.scale = scale
        self.contract = Contract(multiple=multiple, minimum=multiple, maps=True)
        self.feature_bone = Backbone(
            width, depths, span, 3 if index != "reference" else 7
        )  # frame, reference, distance
        self.block = nn.ModuleList([Head(4 * 16 * width, 6, 4 * width, 16), Head(4 * 8 * width, 13 + 4, 4 * width, 8)])
        self.unet = Unet(2 * width, seen=17 + 2 * width)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Appearance and motion of both frames. Raises ContractError if they are not two, or of another size."""
        check_pair("EMA-VFI", frames, self.contract)
        return {"frames": frames} if self.index == "reference" else self.look(frames)

    def look(self, frames: Float[Tensor, "b 2 3 h w"], reference: Reference | None = None) -> dict[str, Any]:
        """Appearance and motion of both frames; with a reference these depend on it."""
        seen = frames
        if reference is not None:
            distance = spread_times(reference.distance, frames.shape[-2:]).to(frames)
            sides = (torch.cat([reference.frame, part], 1) for part in (distance, 1 - distance))
            seen = torch.cat([frames, torch.stack(list(sides), 1)], 2)
        features, motion = self._look(seen)
        small, found = frames, features[3:]
        if self.scale != 1:
            reduced = torch.unflatten(resize(seen.flatten(0, 1), self.scale), 0, (-1, 2))
            small = reduced[:, :, :3]
            found, motion = self._look(reduced)
            found = found[3:]
        return {
            "frames": frames,
            "features": features,
            "seen": {"frames": small, "appearance": found, "motion": motion},
        }

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t, not clamped. Raises ContractError unless 0 < t < 1 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("EMA-VFI", size, frames)
        times = read_times("EMA-VFI", t, frames, self.contract)
        if self.index != "reference":
            return self._refine(state, *self.find_flow(state, times)[-1])

        def make(here: Tensor, start: Reference) -> Tensor:
            seen = self.look(frames, start)
            return self._refine(seen, *self.find_flow(seen, here)[-1])

        return approach(frames, times, make)

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Laplacian pyramid of the answer, and half of that of each head's merge: paper, section 3.4.

        Returns "loss" and its weighted parts. Sides above 32 pixels (five levels). Raises ContractError for frames or
        targets of another size.
        """
        state = self.prepare(batch.frames)
        if batch.targets.shape[2:] != batch.frames.shape[2:]:
            raise ContractError(
                f"EMA-VFI: targets {tuple(batch.targets.shape[2:])} and frames {tuple(batch.frames.shape[2:])} differ."
            )
        frame0, frame1 = batch.frames.unbind(1)
        reference = read_reference("EMA-VFI", batch, self.index)
        answers, merges = [], []
        for k, times in enumerate(read_index("EMA-VFI", batch, self.index).to(batch.frames).unbind(1)):
            if reference is not None:
                state = self.look(batch.frames, Reference(*(part[:, k] for part in reference)))
            found = self.find_flow(state, times)
            merges.append([merge(*warp_pair(frame0, frame1, flow), torch.sigmoid(mask)) for flow, mask in found])
            answers.append(self._refine(state, *found[-1]).clamp(0, 1))
        truth = batch.targets.flatten(0, 1)

        def apart(made: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
            return laplacian_pyramid(torch.stack(tuple(made), 1).flatten(0, 1), truth, weighting="equal")

        stages = [apart(stage) for stage in zip(*merges, strict=True)]
        parts = {"reconstruction": apart(answers), "stages": STAGES * torch.stack(stages).sum()}
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _look(self, frames: Float[Tensor, "b 2 c h w"]) -> tuple[list[tuple[Tensor, Tensor]], list[Any]]:
        """(f0, f1) of the five stages, (m0, m1) of the last two."""
        features, motion = self.feature_bone(frames.transpose(0, 1).flatten(0, 1))
        return [_halves(maps) for maps in features], [_halves(maps) for maps in motion]

    def find_flow(self, state: dict[str, Any], t: Float[Tensor, "b 1 h_t w_t"]) -> list[tuple[Tensor, Tensor]]:
        """Flow (B 4 H W) and mask logit (B 1 H W) after each head. `t`: B 1 1 1, or a map."""
        seen = state["seen"]
        frame0, frame1 = seen["frames"].unbind(1)
        flow: Tensor | None = None
        mask = frame0.new_zeros(())
        found = []
        for head, (m0, m1), (a0, a1) in zip(self.block, seen["motion"][::-1], seen["appearance"][::-1], strict=True):
            share = spread_times(t, m0.shape[-2:])
            features = torch.cat([share * m0, (1 - share) * m1, a0, a1], 1)
            pictures = [frame0, frame1]
            if flow is not None:
                pictures += [*warp_pair(frame0, frame1, flow), mask]
            step, step_mask = head(features, pictures, flow)
            flow = step if flow is None else flow + step
            mask = mask + step_mask
            found.append((resize(flow, 1 / self.scale) / self.scale, resize(mask, 1 / self.scale)))
        return found

    def _refine(self, state: dict[str, Any], flow: Float[Tensor, "b 4 h w"], mask: Float[Tensor, "b 1 h w"]) -> Tensor:
        frame0, frame1 = state["frames"].unbind(1)
        warped = warp_pair(frame0, frame1, flow)
        context0, context1, field = [], [], flow
        for f0, f1 in state["features"]:
            w0, w1 = warp_pair(f0, f1, field)
            context0.append(w0)
            context1.append(w1)
            field = resize(field, 0.5) * 0.5
        seen = torch.cat([frame0, frame1, *warped, mask, flow, context0[0], context1[0]], 1)
        return merge(*warped, torch.sigmoid(mask)) + self.unet(seen, context0[1:], context1[1:])


def _halves(maps: Float[Tensor, "b2 c h w"]) -> tuple[Tensor, Tensor]:
    """Those of frame 0 and of frame 1, one batch after the other."""
    f0, f1 = maps.chunk(2)
    return f0, f1


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' checkpoint of the same size with our names: DDP's "module." and stored attention masks go."""
    named = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: value for key, value in named.items() if not key.endswith((".attn_mask", ".HW"))}
