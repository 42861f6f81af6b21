"""UGSP: a network that works where it is uncertain, and lets the rest of the picture be.

Cheng, Jiang, He, Zhou, Tan, Yan: "Uncertainty-Guided Spatial Pruning Architecture for Efficient Frame Interpolation",
ACM MM 2023, arXiv 2307.16555.

Flow and an intermediate feature are refined together from coarse to fine, as in IFRNet. What is new: each level says
where the next one shall look again. Elsewhere nothing is computed: flow is inherited, the feature is a constant.

    prepare   m = one mean per pair; f0ᵏ, f1ᵏ = encoder(I − m)        1/2 32  1/4 48  1/8 72  1/16 96 channels
    render    first   (1/16): f0, f1                                  -> flow 4 + feature 72, enlarged to 1/8
              level 1 (1/8):  w(f0), w(f1), feature, flow | mask      -> flow + feature 48, enlarged to 1/4
              level 2 (1/4):  the same                                -> flow + feature 32, enlarged to 1/2
              level 3 (1/2):  the same                                -> flow 4, mask 1, residual 3 at full size
              σ(mask)·w(I0) + (1 − σ(mask))·w(I1) + residual

A level is a chain of convolutions whose results all go through one 1×1 convolution (`ops.block_sparse`). Flow: pixels
of its own level, (dx, dy), t→0 and then t→1; F ← Δ + 2·resize(F). A tile is looked at again if "keep" outbids "drop" in
two more channels that are predicted from the feature, and if the level above looked at it, too.

`effort` e asks for another share than the trained one: of level k the tiles with the highest bids are taken, xᵍ of them
with g = 1/3, 3/4, 4/3 from coarse to fine, so that S = e. S is the authors' measure: the mean of the masks, each
repeated over its level's places and channels, with the coarsest level counted as always on. e = 0.35, which the authors
train for, gives 0.70, 0.45 and 0.25.

| system | widths | convolutions of the four levels | parameters | multiply-adds, 256×256, everything on |
|---|---|---|---|---|
| ugsp | 32 48 72 96 | 6 6 6 5 | 6,764,702 | 17.50 G |
| ugsp-s (ours) | 20 32 48 64 | 3 3 2 2 | 1,467,078 | 3.34 G |

Training renders twice, with masks and without ("self-contrast"); the second also gives the labels of the masks.

Where we differ from the authors, whose phase one (a network that says how uncertain it is) is not in their code:

* Masks are made of tiles (`tiles`, 4 8 8 places of their level, which are 32, 32 and 16 pixels), since a CPU gains
  nothing from masks of single pixels. The parameters are the same; tiles=(1, 1, 1) is theirs.
* Labels come from no second network. A tile is uncertain if the frames, put together with the flow of the level above,
  are far from the true frame there; of a batch the worst 0.70, 0.45 and 0.25 are. Only training needs the truth.
* The branch without masks goes its own way from the first mask on: it is what `effort` 1 renders. Theirs shares
  features with the other.
* No schedules over epochs: the temperature stays where theirs arrives, the weight of the labels where theirs is until
  epoch 200. `straight` (ugsp-s) rounds masks to 0 and 1 in training, too, with the gradient of the soft ones: then
  training sees what is used.
* Left out: UGSP-refine, which adds RIFE's context and refinement networks (a quarter more work, no gain on Vimeo-90K).
* The answer is not clamped. Checked against a description of Orange066/UGSP_Models and its counts of parameters.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.census import geometry
from midframe.losses.flow import find_labelled, flow_distillation
from midframe.losses.laplacian import laplacian_pyramid
from midframe.nn.layers import conv_prelu, exact, merge, resize, warp_pair
from midframe.nn.pair import Time, check_pair, check_size, mean_of_pair, read_times
from midframe.ops.block_sparse import masked_chain
from midframe.types import Batch, Contract

STRIDE = 16  # of the coarsest level
GROWTH = (1 / 3, 3 / 4, 4 / 3)  # how much faster finer levels are thinned out: 0.70, 0.45, 0.25 at S = 0.35
LEAST = 0.1  # below it the finest level has hardly a tile left
CONTRAST, GEOMETRY, DISTILLATION = 0.5, 0.001, 0.01  # authors' code

Bids = Float[Tensor, "b 1 down across"]  # keep − drop, one a tile
Mask = Tensor  # of tiles: bool, or weights in training
Decide = Callable[[Bids, Mask | None, int], Mask]


class Dense(nn.Module):
    """The coarsest level: its convolutions have biases, for it is never pruned."""

    def __init__(self, width: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv_prelu(width, width) for _ in range(depth))
        self.gather = nn.Conv2d(depth * width, outputs, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        maps = []
        for conv in self.convs:
            x = conv(x)
            maps.append(x)
        made: Tensor = self.gather(torch.cat(maps, 1))
        return made


class Pruned(nn.Module):
    """A finer level: the answer is the bias of `gather` wherever the mask, of tiles of side `tile`, is 0."""

    def __init__(self, width: int, depth: int, outputs: int, tile: int) -> None:
        super().__init__()
        self.tile = tile
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(depth))
        self.slopes = nn.ModuleList(nn.PReLU(width) for _ in range(depth))
        self.gather = nn.Conv2d(depth * width, outputs, 1)

    def forward(self, x: Float[Tensor, "b c h w"], mask: Mask | None) -> Float[Tensor, "b d h w"]:
        kernels = [conv.get_parameter("weight") for conv in self.convs]
        slopes = [prelu.get_parameter("weight") for prelu in self.slopes]
        places = None if mask is None else _enlarge(mask, self.tile, x.shape[-2:])
        assert self.gather.bias is not None
        return masked_chain(x, places, kernels, slopes, self.gather.weight, self.gather.bias, tile=self.tile)


class UGSP(nn.Module):
    """Synthesizer for t = 1/2 between two frames.

    widths       channels of the encoder at 1/2, 1/4, 1/8, 1/16
    depths       convolutions of the levels at 1/16, 1/8, 1/4, 1/2
    tiles        sides of the masks' tiles at 1/8, 1/4, 1/2, in places of that level; each divides twice the one before
    effort       share S of the places where the network works, 0.1 to 1 (everywhere), whatever the picture; None: what
                 it was trained to think necessary, which follows the picture
    target       S that training aims at
    temperature  of the soft masks in training
    straight     masks of 0 and 1 in training, too
    guide        weight of the labels of the masks; `thrift` that of |S − target|
    distil       UGSP-distill: features are drawn to those of the true frame, flow to labels of flow
    beta         how fast labels of flow are heard less, the farther they are from the flow found; 0: never less

    The state is {"frames": B 2 3 H W, "features": per level (f0, f1)}; the object holds parameters only.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int] = (32, 48, 72, 96),
        depths: tuple[int, int, int, int] = (6, 6, 6, 5),
        tiles: tuple[int, int, int] = (4, 8, 8),
        effort: float | None = None,
        target: float = 0.35,
        temperature: float = 0.4,
        straight: bool = False,
        guide: float = 0.005,
        thrift: float = 0.01,
        distil: bool = False,
        beta: float = 0.3,
    ) -> None:
        super().__init__()
        if min(tiles) < 1 or any(2 * coarse % fine for coarse, fine in pairwise(tiles)):
            raise UsageError(f"UGSP: tiles are positive, and each divides twice the one before; got {tiles}.")
        if not LEAST <= target <= 1:
            raise UsageError(f"UGSP: target lies between {LEAST} and 1, got {target}.")
        self.contract = Contract(times=(Fraction(1, 2),), multiple=STRIDE, minimum=STRIDE)
        self.temperature, self.straight, self.distil, self.beta = temperature, straight, distil, beta
        self.target, self.guide, self.thrift = target, guide, thrift
        self.tiles = tiles
        self.ratios = tuple(2 * coarse // fine for coarse, fine in pairwise(tiles))
        c1, c2, c3, c4 = widths
        inputs = (3, *widths)
        self.encoder = nn.ModuleList(
            nn.Sequential(conv_prelu(before, width, stride=2), conv_prelu(width, width))
            for before, width in zip(inputs, widths, strict=False)
        )
        sizes = [3 * c + 4 for c in (c3, c2, c1)]  # features of both frames, the intermediate one, flow
        self.first = Dense(2 * c4, depths[0], 4 + c3)
        self.levels = nn.ModuleList(
            Pruned(*given) for given in zip(sizes, depths[1:], (4 + c2, 4 + c1, sizes[2]), tiles, strict=True)
        )
        self.bids = nn.ModuleList(nn.Conv2d(c, 2, 3, 1, 1) for c in (c3, c2, c1))
        self.last = nn.Sequential(nn.PReLU(sizes[2]), nn.ConvTranspose2d(sizes[2], 8, 4, 2, 1))
        self.weights = (2 * c4, *(4**k * size for k, size in enumerate(sizes, 1)))  # of S: places × channels
        self.labelled = self._share(target)
        self.set_effort(effort)

    def set_effort(self, effort: float | None) -> None:
        """Ask for another share of the work from now on. Raises UsageError unless it is None or 0.1 to 1."""
        if effort is not None and not LEAST <= effort <= 1:
            raise UsageError(f"UGSP: effort lies between {LEAST} and 1, got {effort}.")
        self.effort = effort
        self.shares = None if effort is None else self._share(effort)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Features of both frames. Raises ContractError if the frames are not two, or of another size."""
        check_pair("UGSP", frames, self.contract)
        return {"frames": frames, "features": self._encode(frames)}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t = 1/2, not clamped. Raises ContractError for other times and unless `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("UGSP", size, frames)
        read_times("UGSP", t, frames, self.contract)
        return self.decode(frames, state["features"])["frame"]

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Laplacian pyramids with masks and without, ½; features alike, 0.001; labels of the masks; |S − target|.

        With `distil` also 0.01 × geometry to the features of the true frame and 0.01 × distillation of flow for the
        members with labels, as IFRNet: `batch.labels["flow_t0"]`, `["flow_t1"]` (B M 2 H W), `["has_flow"]` (B).

        Returns "loss", its weighted parts, and S as "share". Raises ContractError if the frames are not two, or a
        target is not half-way or of another size.
        """
        check_pair("UGSP", batch.frames, self.contract)
        count = batch.targets.shape[1]
        frames = batch.frames.repeat_interleave(count, 0)
        truth = batch.targets.flatten(0, 1)
        read_times("UGSP", batch.target_times.flatten(), truth, self.contract)
        if truth.shape[1:] != frames.shape[2:]:
            raise ContractError(f"UGSP: targets {tuple(truth.shape[1:])} and frames {tuple(frames.shape[2:])} differ.")
        features = self._encode(frames)
        pruned = self._refine(frames, features, self._draw)
        full = self._refine(frames, features, None)
        masks = pruned["masks"]
        wanted = self._label(frames, truth, full["flows"])
        share = self._measure(masks)
        parts = {
            "reconstruction": laplacian_pyramid(pruned["frame"].clamp(0, 1), truth, weighting="equal"),
            "contrast": CONTRAST * laplacian_pyramid(full["frame"].clamp(0, 1), truth, weighting="equal"),
            # the feature at 1/8 is the same in both: nothing is pruned before it
            "geometry": GEOMETRY
            * _add(geometry(a, b.detach()) for a, b in zip(pruned["built"][1:], full["built"][1:], strict=True)),
            "guide": self.guide * _add((a - b.to(a)).abs().mean() for a, b in zip(masks, wanted, strict=True)),
            "thrift": self.thrift * (share - self.target).abs(),
        }
        if self.distil:
            levels = self._pyramid(truth - mean_of_pair(frames)[:, 0])[2::-1]
            parts["distillation"] = DISTILLATION * (
                _add(geometry(a, b) for a, b in zip(pruned["built"], levels, strict=True))
                + self._distil(pruned["flows"], batch)
            )
        return {"loss": torch.stack(list(parts.values())).sum(), **parts, "share": share.detach()}

    def decode(self, frames: Float[Tensor, "b 2 3 h w"], features: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        """What `render` knows: "frame"; "flows" at 1/8, 1/4, 1/2, 1; "built" features and "masks" of tiles, but the
        last. At effort 1 there are no masks."""
        return self._refine(frames, features, None if self.effort == 1 else self._decide)

    def _refine(self, frames: Tensor, features: list[tuple[Tensor, Tensor]], decide: Decide | None) -> dict[str, Any]:
        flows: list[Tensor] = []
        built: list[Tensor] = []
        masks: list[Mask] = []
        out = self.first(torch.cat(features[3], 1))
        for k, (level, bid) in enumerate(zip(self.levels, self.bids, strict=True)):
            mask = None
            if decide is not None:
                logits = exact(bid(out[:, 4:]))
                bids = _pool(resize(logits[:, :1] - logits[:, 1:], 2), self.tiles[k])
                mask = decide(bids, _enlarge(masks[-1], self.ratios[k - 1], bids.shape[-2:]) if masks else None, k)
                masks.append(mask)
            out = resize(exact(out), 2)
            flow, feature = out[:, :4] + (2 * resize(flows[-1], 2) if flows else 0), out[:, 4:]
            flows.append(flow)
            built.append(feature)
            out = level(torch.cat([*warp_pair(*features[2 - k], flow), feature, flow], 1), mask)
        out = exact(self.last(out))
        flows.append(out[:, :4] + 2 * resize(flows[-1], 2))
        # the authors warp I − m and add m to the sum: the same, as the weights add up to 1
        made = merge(*warp_pair(frames[:, 0], frames[:, 1], flows[-1]), torch.sigmoid(out[:, 4:5])) + out[:, 5:]
        return {"frame": made.to(frames.dtype), "flows": flows, "built": built, "masks": masks}

    def _decide(self, bids: Bids, above: Mask | None, k: int) -> Mask:
        if self.shares is None:
            kept = bids > 0
        else:
            ranked = (bids if above is None else bids.masked_fill(~above, -torch.inf)).flatten(1)
            best = ranked.topk(round(self.shares[k] * ranked.shape[1]), 1).indices
            kept = torch.zeros_like(ranked, dtype=torch.bool).scatter_(1, best, True).view(bids.shape)
        return kept if above is None else kept & above

    def _draw(self, bids: Bids, above: Mask | None, k: int) -> Mask:
        """Gumbel-softmax of keep and drop: the difference of two Gumbel numbers is logistic."""
        noise = torch.rand_like(bids).logit(eps=1e-6)
        soft = torch.sigmoid((bids + noise) / self.temperature)
        if self.straight:
            soft = (soft > 0.5).to(soft) + soft - soft.detach()
        return soft if above is None else soft * above

    @torch.no_grad()
    def _label(self, frames: Tensor, truth: Tensor, flows: list[Tensor]) -> list[Mask]:
        """The tiles that the flow so far makes worst, of the whole batch."""
        wanted: list[Mask] = []
        for k, flow in enumerate(flows[:-1]):
            size = flow.shape[-2:]
            frame0, frame1, small = (_reduce(maps, size) for maps in (frames[:, 0], frames[:, 1], truth))
            warped0, warped1 = warp_pair(frame0, frame1, flow)
            error = _pool(((warped0 + warped1) / 2 - small).abs().mean(1, keepdim=True), self.tiles[k])
            worst = error >= error.flatten().quantile(1 - self.labelled[k])
            wanted.append(worst & _enlarge(wanted[-1], self.ratios[k - 1], worst.shape[-2:]) if wanted else worst)
        return wanted

    def _distil(self, flows: list[Tensor], batch: Batch) -> Tensor:
        """0 if no member of the batch has labels."""
        labelled = find_labelled(batch)
        if labelled is None:
            return flows[0].new_zeros(())
        keep, *targets = labelled
        *coarse, final = (flow[keep] for flow in flows)
        return _add(
            flow_distillation([flow[:, side] for flow in coarse], target, final=final[:, side], beta=self.beta)
            for target, side in zip(targets, (slice(0, 2), slice(2, 4)), strict=True)
        )

    def _encode(self, frames: Float[Tensor, "b 2 3 h w"]) -> list[tuple[Tensor, Tensor]]:
        levels = self._pyramid((frames - mean_of_pair(frames)).flatten(0, 1))  # one pass for both frames
        return [(level[::2], level[1::2]) for level in levels]

    def _pyramid(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Features at 1/2, 1/4, 1/8, 1/16."""
        made = []
        for level in self.encoder:
            images = level(images)
            made.append(images)
        return made

    def _measure(self, masks: list[Mask]) -> Float[Tensor, ""]:
        """S: the mean of the masks over places and channels, the coarsest level counted as on."""
        always, *others = self.weights
        return (always + _add(weight * mask.mean() for weight, mask in zip(others, masks, strict=True))) / sum(
            self.weights
        )

    def _share(self, total: float) -> tuple[float, ...]:
        """What part of the tiles of each level makes S = `total`: by halving, for S rises with x."""
        low, high = 0.0, 1.0
        always, *others = self.weights
        for _ in range(40):
            x = (low + high) / 2
            part = always + sum(weight * x**power for weight, power in zip(others, GROWTH, strict=True))
            low, high = (x, high) if part < total * sum(self.weights) else (low, x)
        return tuple(high**power for power in GROWTH)


def _enlarge(mask: Mask, times: int, size: torch.Size) -> Mask:
    """Each value `times` × `times` times, cut to (height, width): at the lower and right edge tiles may be parts."""
    return mask.repeat_interleave(times, -2)[..., : size[0], :].repeat_interleave(times, -1)[..., : size[1]]


def _pool(maps: Float[Tensor, "b 1 h w"], tile: int) -> Float[Tensor, "b 1 down across"]:
    """Means over tiles, over what there is of them at the edges."""
    return F.avg_pool2d(maps, tile, ceil_mode=True, count_include_pad=False)


def _reduce(image: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(image, size, mode="area")


def _add(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum()
