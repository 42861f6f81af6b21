"""DAIN: optical flow carried to time t, where near things win over far ones; filters around each point; a repair.

Bao, Lai, Ma, Zhang, Gao, Yang: "Depth-Aware Video Frame Interpolation", CVPR 2019, arXiv 1904.00830.

Flow between the two frames says where a pixel of frame 0 will be at t; where several arrive, their flows are averaged
with the inverse of depth as weight, so that the nearer thing wins. What is read at the end of that flow is not one
bilinear sample but a learnt filter of 4×4 pixels; two filtered frames are blended, and a last network, which also sees
features of both frames moved in the same way, adds what the blend got wrong.

    prepare   flow01, flow10          PWC-Net                                               B 2 H W each
              d0, d1 = log depth      hourglass, one frame at a time                        B 1 H W each
              kernels K0, K1          U-Net of both frames                                  B 16 H W each
              contexts C0, C1         frame, 3 maps of features, d                          B 196 H W each
    render    F_t0 = project(t·flow01, w0), w = 1e-6 + e^(−d); holes filled; F_t1 of (1−t)·flow10 and w1
              W0, W1 = frames warped by F and K; Q0, Q1 = contexts warped alike
              blend = (1−t)·W0 + t·W1
              blend + rectify(blend, W0, W1, F_t0, F_t1, K0, K1, Q0, Q1)                    437 channels -> 3

Conventions: flow in pixels, (dx, dy); log depth without unit, larger is farther. Nothing of `prepare` depends on t.

| part | parameters |
|---|---|
| flow: PWC-Net | 9,374,340 |
| depth: MegaDepth's hourglass (Chen et al. 2016; Li and Snavely, CVPR 2018) | 5,357,153 |
| kernels | 5,514,112 |
| context | 156,864 |
| rectify | 3,629,187 |
| all | 24,031,656 |

Where we differ from the authors:

* They begin with weights of PWC-Net and of MegaDepth; the latter cannot be had. So depth is learnt here with the rest:
  through the projection, whose weights are differentiable, and, where a batch says which of two layers is in front
  (synthetic motion does), by ranking pairs of pixels as MegaDepth's own predecessor did (Chen et al., "Single-Image
  Depth Perception in the Wild", NeurIPS 2016).
* A fresh network begins as a flow-warped blend: the kernels as the bilinear pattern, depth flat, the repair near 0
  (and nearly deaf to flow, which is in pixels). Theirs begins with Xavier weights everywhere.
* Holes are filled in training, too; theirs only where the flow needs no gradient.
* The small form takes its flow from dense inverse search, which learns nothing and needs no weights; its hourglass has
  no batch norm, for it is trained with few samples a step.
* Any t, as their slow-motion network; its weights are those of t = 1/2. The answer is not clamped.

Checked against a description of baowenbo/DAIN (MIT) and its counts of parameters.
"""

from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.pixel import charbonnier
from midframe.nn.layers import exact, resize
from midframe.nn.pair import Time, check_pair, check_size, read_times
from midframe.nn.pwc import PWCNet
from midframe.ops.adaptive_warp import BILINEAR, TAPS, adaptive_warp
from midframe.ops.dense_search import DenseSearch
from midframe.ops.splat import fill_holes, project
from midframe.types import Batch, Contract, FlowEstimator

FAR = 1e-6  # added to the inverse depth: what is infinitely far still has a flow
EPSILON = 1e-6  # of Charbonnier's loss
ORDER = 0.01  # weight of the ranking of depth: ours
NEIGHBOURS = (2, 8, 32)  # pixels between the two of a ranked pair: ours
KERNEL = TAPS * TAPS
STRIDE = 16  # of the hourglass
PIXEL = 0.05  # a pixel of flow beside colours of 0 … 1, in the first weights of the repair: ours

NARROW, WIDE = (3, 5, 7), (3, 7, 11)  # kernels of an inception block's branches


class Inception(nn.Module):
    """Four branches side by side, a quarter of the outputs each: 1×1; and 1×1 to `reduced`, then k×k, for three k."""

    def __init__(self, inputs: int, outputs: int, reduced: int, kernels: tuple[int, int, int], norm: bool) -> None:
        super().__init__()
        quarter = outputs // 4
        self.branches = nn.ModuleList([_conv_norm(inputs, quarter, 1, norm)])
        for kernel in kernels:
            reduce, look = _conv_norm(inputs, reduced, 1, norm), _conv_norm(reduced, quarter, kernel, norm)
            self.branches.append(nn.Sequential(reduce, look))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Sum(nn.Module):
    """Two ways through the same picture, added."""

    def __init__(self, *ways: nn.Module) -> None:
        super().__init__()
        self.ways = nn.ModuleList(ways)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        first, second = self.ways
        made: Tensor = first(x) + second(x)
        return made


class DepthNet(nn.Module):
    """Log depth of one frame: an hourglass of inception blocks, four times halved and enlarged, each with a way past.

    width  channels of the first convolution; all others are in proportion to the published 128
    norm   batch norm after each convolution
    """

    def __init__(self, width: int = 128, *, norm: bool = True) -> None:
        super().__init__()
        half, twice, few, some = width // 2, 2 * width, width // 4, width // 2

        def block(inputs: int, outputs: int, reduced: int, kernels: tuple[int, int, int]) -> Inception:
            return Inception(inputs, outputs, reduced, kernels, norm)

        def same() -> Inception:
            return block(width, width, few, NARROW)

        def deep() -> Inception:
            return block(twice, twice, few, NARROW)

        def deep_wide() -> Inception:
            return block(twice, twice, some, WIDE)

        def up() -> nn.Module:
            return nn.Upsample(scale_factor=2, mode="nearest")

        eighth = Sum(nn.Sequential(deep(), deep()), nn.Sequential(nn.AvgPool2d(2), deep(), deep(), deep(), up()))
        quarter = Sum(
            nn.Sequential(deep(), deep_wide()),
            nn.Sequential(nn.AvgPool2d(2), deep(), deep(), eighth, deep(), deep_wide(), up()),
        )
        into, out = block(width, twice, few, NARROW), block(twice, width, few, NARROW)
        middle = Sum(
            nn.Sequential(nn.MaxPool2d(2), same(), into, quarter, deep(), out, up()),
            nn.Sequential(same(), block(width, width, some, WIDE)),
        )
        whole = Sum(
            nn.Sequential(
                nn.MaxPool2d(2),
                same(),
                same(),
                middle,
                block(width, width, some, NARROW),
                block(width, half, few, WIDE),
                up(),
            ),
            block(width, half, some, WIDE),
        )
        self.stem = _conv_norm(3, width, 7, norm, affine=True)
        self.hourglass = whole
        self.head = nn.Conv2d(half, 1, 3, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                _zero_bias(module)
        nn.init.normal_(self.head.weight, std=1e-3)

    def forward(self, frame: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        log_depth: Tensor = self.head(self.hourglass(self.stem(frame)))
        return log_depth


class KernelNet(nn.Module):
    """A filter of 4×4 for every pixel of both frames: a U-Net that adds, rather than joins, what it saw going down.

    widths  channels at full size, then at full size before the first halving, … ; as many halvings as numbers less one
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        self.first = _conv(6, first)
        self.down = nn.ModuleList(_conv(a, b) for a, b in pairwise(widths))
        self.middle = _conv(last, last)
        self.up = nn.ModuleList(_conv(b, a) for a, b in reversed(list(pairwise(widths))))
        self.heads = nn.ModuleList(
            nn.Sequential(_conv(first, first), nn.Conv2d(first, KERNEL, 3, 1, 1)) for _ in range(2)
        )
        _xavier(self)
        for head in self.heads:
            weight, bias = head.get_parameter("1.weight"), head.get_parameter("1.bias")
            nn.init.xavier_uniform_(weight, gain=0.1)
            with torch.no_grad():
                bias[list(BILINEAR)] = 1.0  # the quadrants add up to 1 then: plain bilinear sampling

    def forward(self, both: Float[Tensor, "b 6 h w"]) -> Float[Tensor, "b 2 16 h w"]:
        x, seen = self.first(both), []
        for conv in self.down:
            seen.append(conv(x))
            x = F.max_pool2d(seen[-1], 2)
        x = self.middle(x)
        for conv in self.up:
            x = conv(resize(x, 2) + seen.pop())
        return torch.stack([head(x) for head in self.heads], 1)


class ContextNet(nn.Module):
    """What a frame shows around each pixel: the frame, three maps of `width` channels, ever wider seen, its depth."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, width, 7, 1, 3, bias=False), nn.ReLU(inplace=True))
        self.blocks = nn.ModuleList(ResidualBlock(width, dilation) for dilation in (4, 8))
        _xavier(self)

    def forward(self, frame: Float[Tensor, "b 3 h w"], log_depth: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
        maps = [frame, self.first(frame)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return torch.cat([*maps, log_depth.to(frame.dtype)], 1)


class RectifyNet(nn.Module):
    """From everything that is known at t to what is to be added to the blend."""

    def __init__(self, inputs: int, width: int = 128, kernel: int = 7) -> None:
        super().__init__()
        self.first = _conv(inputs, width, kernel)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(3)))
        self.last = nn.Conv2d(width, 3, 3, 1, 1)
        _xavier(self)
        nn.init.xavier_uniform_(self.last.weight, gain=0.01)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 h w"]:
        made: Tensor = self.last(self.blocks(self.first(x)))
        return made


class ResidualBlock(nn.Module):
    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2), nn.ReLU(inplace=True))


def _conv_norm(inputs: int, outputs: int, kernel: int, norm: bool, *, affine: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2)
    middle = [nn.BatchNorm2d(outputs, affine=affine)] if norm else []
    return nn.Sequential(conv, *middle, nn.ReLU(inplace=True))


def _xavier(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight)
            _zero_bias(part)


def _zero_bias(conv: nn.Conv2d) -> None:
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


class DAIN(nn.Module):
    """Synthesizer for any 0 < t < 1 between two frames.

    flow              "pwc": PWC-Net, learnt with the rest; "dis": dense inverse search, on the CPU, without gradient;
                      or an estimator of one's own, which becomes a part of this module if it is one
    depth_width       of the hourglass; a multiple of 8
    depth_norm        batch norm in the hourglass
    kernel_widths     of the U-Net that makes the kernels
    context_width     channels of each of the three maps
    rectify_width, rectify_kernel   channels of the last network, and its first kernel
    alpha             weight of the blend's own loss beside the answer's (α₀ of the authors' code)

    The state is {"frames": B 2 3 H W; "flow01", "flow10": B 2 H W; "log_depth": B 2 1 H W; "kernels": B 2 16 H W;
    "contexts": B 2 C H W}; the object holds parameters only. Raises UsageError for widths that cannot be meant.
    """

    def __init__(
        self,
        *,
        flow: FlowEstimator | Literal["pwc", "dis"] = "pwc",
        depth_width: int = 128,
        depth_norm: bool = True,
        kernel_widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512),
        context_width: int = 64,
        rectify_width: int = 128,
        rectify_kernel: int = 7,
        alpha: float = 0.0,
    ) -> None:
        super().__init__()
        if depth_width < 8 or depth_width % 8:
            raise UsageError(f"DAIN: depth_width is a multiple of 8, got {depth_width}.")
        if len(kernel_widths) < 2 or rectify_kernel % 2 == 0 or min(*kernel_widths, context_width, rectify_width) < 1:
            raise UsageError(
                f"DAIN takes two kernel_widths or more, an odd rectify_kernel and widths of at least 1; got "
                f"{kernel_widths}, {rectify_kernel}, {context_width}, {rectify_width}."
            )
        if isinstance(flow, str) and flow not in ("pwc", "dis"):
            raise UsageError(f'DAIN: flow is "pwc", "dis" or an estimator, got {flow!r}.')
        multiple = max(STRIDE, 2 ** (len(kernel_widths) - 1))
        self.contract = Contract(multiple=multiple, minimum=multiple)
        self.alpha = alpha
        self.estimator: FlowEstimator
        if isinstance(flow, str):
            self.estimator = PWCNet(fit="pad", unused_upflow=True) if flow == "pwc" else DenseSearch()
        else:
            self.estimator = flow
        self.depth = DepthNet(depth_width, norm=depth_norm)
        self.kernels = KernelNet(kernel_widths)
        self.context = ContextNet(context_width)
        context = 3 + 3 * context_width + 1
        self.rectify = RectifyNet(3 * 3 + 2 * 2 + 2 * KERNEL + 2 * context, rectify_width, rectify_kernel)
        with torch.no_grad():  # flow is in pixels: as large as it is, it would drown the colours at first
            self.rectify.first.get_parameter("0.weight")[:, 9:13] *= PIXEL

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """All that does not depend on t. Raises ContractError if the frames are not two, or of another size."""
        check_pair("DAIN", frames, self.contract)
        flow01, flow10 = self._find_flows(frames)
        single = frames.flatten(0, 1)  # one pass for both frames
        log_depth = exact(self.depth(single))
        contexts = self.context(single, log_depth.detach())
        pairs = (len(frames), 2, -1, *frames.shape[-2:])
        return {
            "frames": frames,
            "flow01": flow01,
            "flow10": flow10,
            "log_depth": log_depth.view(pairs),
            "kernels": self.kernels(frames.flatten(1, 2)),
            "contexts": contexts.view(pairs),
        }

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t, not clamped. Raises ContractError unless 0 < t < 1 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("DAIN", size, frames)
        return self._synthesize(state, read_times("DAIN", t, frames, self.contract))[1]

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Charbonnier's loss of the answer, with ε = 1e-6; that of the blend times `alpha`; the order of depths.

        The order takes `batch.labels["layer0"]` and `["layer1"]` (B 1 H W, larger is nearer, of the two frames), for
        the members where `["has_flow"]` (B) is not 0 if that is given; 0 without them. Returns "loss" and its weighted
        parts.
        """
        count = batch.targets.shape[1]
        state = self.prepare(batch.frames)
        truth = batch.targets.flatten(0, 1)
        if truth.shape[1:] != batch.frames.shape[2:]:
            raise ContractError(
                f"DAIN: targets {tuple(truth.shape[1:])} and frames {tuple(batch.frames.shape[2:])} differ."
            )
        repeated = {name: value.repeat_interleave(count, 0) for name, value in state.items()}
        blend, made = self._synthesize(repeated, batch.target_times.reshape(-1, 1, 1, 1).to(truth))
        parts = {
            "reconstruction": charbonnier(made, truth, epsilon=EPSILON),
            "order": ORDER * _order(state["log_depth"], batch),
        }
        if self.alpha:
            parts["blend"] = self.alpha * charbonnier(blend, truth, epsilon=EPSILON)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _find_flows(self, frames: Float[Tensor, "b 2 3 h w"]) -> tuple[Tensor, Tensor]:
        """flow01 and flow10, pixels, float32."""
        frame0, frame1 = frames.unbind(1)
        both = self.estimator.flow(torch.cat([frame0, frame1]), torch.cat([frame1, frame0]))
        flow01, flow10 = exact(both).chunk(2)
        return flow01, flow10

    def project_flows(
        self, state: dict[str, Tensor], t: Float[Tensor, "b 1 1 1"]
    ) -> tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 2 h w"]]:
        """Flow from t to frame 0 and to frame 1, pixels, where near things win over far ones and holes are filled."""
        flows = []
        for side, (flow, part) in enumerate(((state["flow01"], t), (state["flow10"], 1 - t))):
            weight = FAR + torch.exp(-state["log_depth"][:, side])
            flows.append(fill_holes(*project(part.to(flow) * flow, weight)))
        return flows[0], flows[1]

    def _synthesize(
        self, state: dict[str, Tensor], t: Float[Tensor, "b 1 1 1"]
    ) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]]:
        """The blend, and the answer."""
        flows = self.project_flows(state, t)
        warped, contexts = [], []
        for side, flow in enumerate(flows):
            kernels = state["kernels"][:, side]
            warped.append(adaptive_warp(state["frames"][:, side], flow, kernels))
            # as the authors: motion and kernels learn from the frames alone
            contexts.append(adaptive_warp(state["contexts"][:, side], flow.detach(), kernels.detach()))
        blend = (1 - t) * warped[0] + t * warped[1]
        known = [blend, *warped, *flows, *state["kernels"].unbind(1), *contexts]
        return blend, blend + self.rectify(torch.cat([maps.to(blend.dtype) for maps in known], 1)).to(blend.dtype)


def _order(log_depth: Float[Tensor, "b 2 1 h w"], batch: Batch) -> Tensor:
    """log(1 + e^(d_near − d_far)) of pairs of pixels of two layers, squared difference of pairs of the same layer.

    The pairs are all pixels and those 2, 8 and 32 to the right or below; both kinds weigh alike. 0 without labels.
    """
    if "layer0" not in batch.labels or "layer1" not in batch.labels:
        return log_depth.new_zeros(())
    has = batch.labels.get("has_flow", batch.frames.new_ones(len(batch.frames))) != 0
    if not bool(has.any()):
        return log_depth.new_zeros(())
    depth = log_depth[has].flatten(0, 1)
    layer = torch.stack([batch.labels["layer0"], batch.labels["layer1"]], 1)[has].flatten(0, 1)
    ranked, level = [], []
    for distance in NEIGHBOURS:
        for axis in (-2, -1):
            if distance >= depth.shape[axis]:
                continue
            kept = depth.shape[axis] - distance
            farther = depth.narrow(axis, distance, kept) - depth.narrow(axis, 0, kept)
            nearer = (layer.narrow(axis, distance, kept) - layer.narrow(axis, 0, kept)).sign()
            differ = nearer != 0
            ranked.append(F.softplus(farther * nearer)[differ])
            level.append(farther[~differ].square())
    means = [torch.cat(parts).mean() for parts in (ranked, level) if sum(part.numel() for part in parts)]
    return torch.stack(means).sum()
