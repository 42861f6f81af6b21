"""QVI: motion with acceleration, from four frames; its flow reversed, filtered and corrected.

Xu, Siyao, Sun, Yin, Yang: "Quadratic Video Interpolation", NeurIPS 2019, arXiv 1911.00627.

Two frames show a displacement, four show how it changes. From flows of I0 to I1 and to I−1 follow velocity and
acceleration at each pixel of I0, likewise at I1 from I0 and I2; so a thrown ball is put on its parabola and not on the
chord.

    prepare   F01, F0₋₁, F10, F12 = flow network, frozen                                              pixels, full size
              a0 = F01 + F0₋₁,  a1 = F10 + F12                                      acceleration, pixels a frame²
    render    F0t = t·F01 − t(1 − t)/2·a0,   F1t = s·F10 − s(1 − s)/2·a1,  s = 1 − t          `move`
              Ft0, Ft1 = F0t, F1t seen from where they land (Gaussian weights)                   `ops.splat.reverse`
              U-Net(I0, I1, w(I0), w(I1), F01, F10, Ft0, Ft1: 20) -> residuals 4, offsets 4, feature 32
              F'(u) = F(u + 10·tanh(offset)) + residual                                              `filter_flow`
              m = σ(mask net(w'(I0), w'(I1), feature: 38))
              ((1 − t) m w'(I0) + t (1 − m) w'(I1)) / ((1 − t) m + t (1 − m))                       `blend`

`move` is the paper's (F01 + F0₋₁)/2·t² + (F01 − F0₋₁)/2·t, written as a straight line and what bends it: the line is
a = 0, and t(1 − t)/2·a is how far it is off. Acceleration is taken as 0, as in the authors' code, where an outer frame
is missing; the window then repeats the inner frame, and equal frames are how it is told.

| configuration | flow | U-Net | parameters |
|---|---|---|---|
| published | PWC-Net 9,374,274, frozen | 32 64 128 256 512 512: 19,817,224; mask net 35,201 | 29,226,699 |
| `qvi-s` | DIS, classical | 12 24 48 96 128 128; mask net to match | 1,585,089 |

Where we differ from the authors' code. It samples half a pixel off (coordinates made for one convention of
`grid_sample`, used under the other), which its trained weights have absorbed: here coordinates are exact, so those
weights would not fit and there is no conversion of them. Beyond the edge a picture goes on with its last pixel instead
of fading to black. Weights begin as He et al. (ICCV 2015) advise, those of the last layers near 0, so that training
begins from the reversed flows as they are. The answer is not clamped. The loss is the paper's L1; its other part,
0.005/204 of the squared difference of VGG16's conv4_3, is replaced by LPIPS if a recipe asks for it (`perceive`). Of
our own are the keyword `guard` (off as published) and flow by dense inverse search (Kroeger et al., ECCV 2016), which
needs no weights.

Checked against a description of xuxy09/QVI.
"""

from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.pixel import l1
from midframe.nn.layers import exact, merge
from midframe.nn.pair import Time, check_size, read_times
from midframe.nn.pwc import PWCNet
from midframe.ops.dense_search import DenseSearch
from midframe.ops.perception import Network, lpips_distance
from midframe.ops.splat import reverse
from midframe.ops.warp import warp
from midframe.types import Batch, Contract, FlowEstimator

MEAN = (0.429, 0.431, 0.397)  # of the authors' training pictures; what the networks see is less this
REACH = 10.0  # pixels that the flow filter looks away, at most
SLOPE = 0.1
SURE = 1.0  # pixels of acceleration that the guard lets pass everywhere: flow is not more exact


def move(
    flow: Float[Tensor, "b 2 h w"], acceleration: Float[Tensor, "b 2 h w"], t: Float[Tensor, "b 1 1 1"]
) -> Float[Tensor, "b 2 h w"]:
    """Displacement after the part `t` of the way, under constant acceleration; `flow` is the whole way's.

    Pixels, and pixels a frame². Source: paper, equation 2, rearranged.
    """
    return t * flow - t * (1 - t) / 2 * acceleration


def accelerate(
    ahead: Float[Tensor, "b 2 h w"], behind: Float[Tensor, "b 2 h w"], guard: float = 0.0
) -> Float[Tensor, "b 2 h w"]:
    """Acceleration from the displacements to the next and to the previous frame, pixels a frame².

    guard  0: their sum, as published. Otherwise it is kept up to `guard` times the longer displacement (and up to
           SURE), fades beyond and is 0 from twice that on: two flows that little agree are a mistake rather than motion
    """
    acceleration = ahead + behind
    if not guard:
        return acceleration
    longest = torch.maximum(_length(ahead), _length(behind))
    excess = _length(acceleration) / (guard * longest).clamp(min=SURE)
    return acceleration * (2 - excess).clamp(0, 1)


def _length(flow: Tensor) -> Tensor:
    return torch.linalg.vector_norm(flow, dim=1, keepdim=True)


def filter_flow(
    flow: Float[Tensor, "b 2 h w"], residual: Float[Tensor, "b 2 h w"], offset: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b 2 h w"]:
    """The flow of a place nearby, at most REACH pixels off in x and y, corrected: a learnt kind of median filter.

    Source: paper, equation 5.
    """
    return warp(flow, REACH * torch.tanh(offset)) + residual


def blend(
    warped0: Float[Tensor, "b 3 h w"],
    warped1: Float[Tensor, "b 3 h w"],
    logit: Float[Tensor, "b 1 h w"],
    t: Float[Tensor, "b 1 1 1"],
) -> Float[Tensor, "b 3 h w"]:
    """Both frames, weighted by nearness in time and by the mask m = σ(logit), 1: take frame 0.

    ((1 − t) m w0 + t (1 − m) w1) / ((1 − t) m + t (1 − m)), which is a sigmoid again and never divides by 0.
    Source: paper, equation 7.
    """
    return merge(warped0, warped1, torch.sigmoid(logit + torch.log((1 - t) / t)))


class UNet(nn.Module):
    """Super SloMo's: seven levels of ever more channels by mean pooling and back, joined level by level.

    Two convolutions a level, 7×7 at the first, 5×5 at the second, then 3×3. Returns the answer, which a last LeakyReLU
    has passed as in the authors' code, and the feature it is made from (`widths[0]` channels).
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_conv(inputs, widths[0], 7), _conv(widths[0], widths[0], 7))
        self.down, self.up, self.join = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level, (before, after) in enumerate(pairwise(widths)):
            kernel = 5 if level == 0 else 3
            self.down.append(nn.Sequential(_conv(before, after, kernel), _conv(after, after, kernel)))
            self.up.append(_conv(after, before, 3))
            self.join.append(_conv(2 * before, before, 3))
        self.last = _conv(widths[0], outputs, 3)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d h w"], Float[Tensor, "b e h w"]]:
        x = self.first(x)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(F.avg_pool2d(x, 2))
        for skip, up, join in zip(reversed(skips), reversed(self.up), reversed(self.join), strict=True):
            x = up(F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False))
            x = join(torch.cat([x, skip], 1))
        return self.last(x), x


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2), nn.LeakyReLU(SLOPE, inplace=True))


class QVI(nn.Module):
    """Synthesizer for any 0 < t < 1 between the second and the third of four frames.

    widths  channels of the U-Net, from full size down to 1/32; the mask net takes the first of them, and half of it
    flow    "pwc": PWC-Net; "dis": dense inverse search, on the CPU, without weights; or an estimator of one's own: it
            becomes a part of this one if it is a module
    frozen  the flow network does not learn, as published
    linear  leave acceleration out: what QVI is compared with
    guard   see `accelerate`; 0 trusts every acceleration, as published

    The state is {"frames": B 2 3 H W, the inner two, "flows": B 4 H W, F01 and F10, "accelerations": B 4 H W}; the
    object holds parameters only. Raises UsageError for widths or a guard that cannot be meant.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, ...] = (32, 64, 128, 256, 512, 512),
        flow: FlowEstimator | Literal["pwc", "dis"] = "pwc",
        frozen: bool = True,
        linear: bool = False,
        guard: float = 0.0,
    ) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 2 or guard < 0:
            raise UsageError(
                f"QVI takes two widths or more, each at least 2, and a guard of 0 or more: {widths}, {guard}."
            )
        if isinstance(flow, str) and flow not in ("pwc", "dis"):
            raise UsageError(f'QVI: flow is "pwc", "dis" or an estimator, got {flow!r}.')
        stride = 2 ** (len(widths) - 1)
        self.contract = Contract(inputs=(-1, 0, 1, 2), multiple=stride, minimum=stride)
        self.linear, self.guard, self.frozen = linear, guard, frozen
        self.perception: tuple[Network, float] | None = None
        self.flow: FlowEstimator
        if isinstance(flow, str):
            self.flow = PWCNet(mean=MEAN) if flow == "pwc" else DenseSearch()
        else:
            self.flow = flow
        if isinstance(self.flow, nn.Module) and frozen:
            self.flow.requires_grad_(False)
        self.refine = UNet(12 + 4 + 4, widths, 8)
        self.mask = nn.Sequential(
            _conv(6 + widths[0], widths[0], 5),
            _conv(widths[0], widths[0] // 2, 3),
            nn.Conv2d(widths[0] // 2, 1, 3, 1, 1),
        )
        for name, value in (*self.refine.named_parameters(), *self.mask.named_parameters()):
            if name.endswith("bias"):
                nn.init.zeros_(value)
            else:
                nn.init.kaiming_normal_(value, a=SLOPE)
        with torch.no_grad():
            self.refine.get_parameter("first.0.0.weight")[:, 12:] /= REACH  # flow is in pixels, pictures are below 1
            self.refine.get_parameter("last.0.weight").mul_(1e-2)
            self.mask.get_parameter("2.weight").mul_(0.1)

    def train(self, mode: bool = True) -> "QVI":
        """As of every module, but a frozen flow network stays as it is used: its statistics do not learn either."""
        super().train(mode)
        if isinstance(self.flow, nn.Module) and self.frozen:
            self.flow.eval()
        return self

    def prepare(self, frames: Float[Tensor, "b 4 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Flows and accelerations. Raises ContractError if the frames are not four, or of another size."""
        self._check(frames)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            ahead0, behind0, ahead1, behind1 = self._flows(frames)
            before = accelerate(ahead0, behind0, self.guard) * _differ(frames[:, 0], frames[:, 1])
            after = accelerate(ahead1, behind1, self.guard) * _differ(frames[:, 3], frames[:, 2])
            accelerations = torch.cat([before, after], 1)
            if self.linear:
                accelerations = torch.zeros_like(accelerations)
        return {"frames": frames[:, 1:3], "flows": torch.cat([ahead0, ahead1], 1), "accelerations": accelerations}

    def _flows(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """F01, F0₋₁, F10, F12, float32; one after the other, because each needs much memory for a moment."""
        before, frame0, frame1, after = frames.unbind(1)
        ahead0, behind0, ahead1, behind1 = (
            exact(self.flow.flow(here, there))
            for here, there in ((frame0, frame1), (frame0, before), (frame1, frame0), (frame1, after))
        )
        return ahead0, behind0, ahead1, behind1

    def _check(self, frames: Tensor) -> None:
        if frames.ndim != 5 or frames.shape[1:3] != (4, 3):
            raise ContractError(f"QVI reads four RGB frames, B 4 3 H W; got {tuple(frames.shape)}.")
        height, width = frames.shape[-2:]
        if height % self.contract.multiple or width % self.contract.multiple or not frames.numel():
            raise ContractError(
                f"QVI needs height and width to be multiples of {self.contract.multiple}; got {height}×{width}. "
                "Pad them (midframe.ops.pad) and cut the result."
            )

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t, not clamped. Raises ContractError unless 0 < t < 1 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("QVI", size, frames)
        return self._render(state, read_times("QVI", t, frames, self.contract))

    def forward(self, frames: Float[Tensor, "b 4 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def _render(self, state: dict[str, Any], t: Float[Tensor, "b 1 1 1"]) -> Tensor:
        flow_t0, flow_t1, feature = self.filter(state, self.arrive(state, t))
        return blend(*self.decide(state, flow_t0, flow_t1, feature), t)

    def arrive(self, state: dict[str, Any], t: Float[Tensor, "b 1 1 1"]) -> tuple[Tensor, Tensor]:
        """Ft0 and Ft1 in pixels, before filtering."""
        flow01, flow10 = state["flows"].chunk(2, 1)
        acceleration0, acceleration1 = state["accelerations"].chunk(2, 1)
        t = exact(t)
        flow_t0, _ = reverse(move(flow01, acceleration0, t))
        flow_t1, _ = reverse(move(flow10, acceleration1, 1 - t))
        return flow_t0, flow_t1

    def filter(
        self, state: dict[str, Any], arrived: tuple[Tensor, Tensor]
    ) -> tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 2 h w"], Float[Tensor, "b c h w"]]:
        """Ft0 and Ft1 filtered, and the U-Net's feature."""
        frame0, frame1 = state["frames"].unbind(1)
        seen0, seen1 = frame0 - _mean(frame0), frame1 - _mean(frame1)
        pictures = [seen0, seen1, warp(seen0, arrived[0]), warp(seen1, arrived[1])]
        flows = [flow.to(frame0) for flow in (state["flows"], *arrived)]
        answer, feature = self.refine(torch.cat([*pictures, *flows], 1))
        residual0, residual1, offset0, offset1 = exact(answer).chunk(4, 1)
        return filter_flow(arrived[0], residual0, offset0), filter_flow(arrived[1], residual1, offset1), feature

    def decide(
        self, state: dict[str, Any], flow_t0: Tensor, flow_t1: Tensor, feature: Tensor
    ) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
        """Both frames warped to t, and the logit of the mask."""
        frame0, frame1 = state["frames"].unbind(1)
        warped0, warped1 = warp(frame0, flow_t0), warp(frame1, flow_t1)
        mean = _mean(frame0)
        return warped0, warped1, exact(self.mask(torch.cat([warped0 - mean, warped1 - mean, feature], 1)))

    def perceive(self, network: Network, weight: float) -> None:
        """From now on the loss also holds `weight` times LPIPS, as `network` sees it."""
        self.perception = network, weight

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean absolute difference, and LPIPS if asked for. Returns "loss" and its parts.

        Raises ContractError if the frames are not four, or the targets of another size.
        """
        state = self.prepare(batch.frames)
        count = batch.targets.shape[1]
        state = {name: value.repeat_interleave(count, 0) for name, value in state.items()}
        truth = batch.targets.flatten(0, 1)
        made = self._render(state, batch.target_times.reshape(-1, 1, 1, 1).to(truth))
        parts = {"l1": l1(made, truth)}
        if self.perception is not None:
            network, weight = self.perception
            parts["lpips"] = weight * lpips_distance(network, made.float().clamp(0, 1), truth).mean()
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}


def _mean(frames: Tensor) -> Tensor:
    return frames.new_tensor(MEAN).view(3, 1, 1)


def _differ(outer: Float[Tensor, "b 3 h w"], inner: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 1 1"]:
    """0 for members of the batch whose outer frame is the inner one once more: a cut or an end; 1 for the others."""
    return (outer != inner).flatten(1).any(1).float().view(-1, 1, 1, 1)
