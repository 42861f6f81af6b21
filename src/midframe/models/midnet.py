"""midnet: motion through the middle found once for each pair, carried to every t; light work for each new frame.

Our own arrangement. Its parts: the flow blocks of RIFE 4.26 (Huang et al., ECCV 2022, as released in 2024), all but the
last, asked for the middle only; flow carried along itself by fixed-point steps as in `dis`; a merge that corrects mask
and picture at half size, on pixels laid side by side, which loses nothing (Shi et al., CVPR 2016, sub-pixel
convolution).

    prepare, once for each pair                                                                          at
      r = 1, 2, 4, …: the least at which the frames are at most `longest` long; its double where a look
          at 1/4r sees that things go far
      f0, f1 = encode(I0), encode(I1)                                                                    1/r
      block0…3 (w(I0), w(I1), w(f0), w(f1), ½, mask, feature, flow)             1/8r, 1/4r, 1/2r, 1/r
      flow ½→0, ½→1  =  −motion/2 + bend,  motion/2 + bend;  averaged, with mask and feature           1/2r
    render, for each t
      motion, bend, mask, feature carried from ½ to t                                                   1/2r
      F0, F1 = −t·motion + 4t(1 − t)·bend,  (1 − t)·motion + 4t(1 − t)·bend                             1/2r
      w(I0), w(I1): one bicubic warp each, float32                                                       1
      Δmask, residual = join(w(I0), w(I1), mask, feature, t)                                  1/8 … 1/2, laid out to 1
      m = σ(mask + log((1 − t)/t) + Δmask);  m·w(I0) + (1 − m)·w(I1) + residual

t may be a map, a time of its own for each pixel of the new frame: motion is known once for each pair, and every pixel
goes as far along it as it is told. Told the distance that things have gone instead of the time (Zhong et al., ECCV
2024, "distance indexing"; `index="distance"`), training has nothing to guess where speed changes.

Flow and motion: (dx, dy), in points of the grid they are on. The bend is what acceleration would make of a
straight path: 0 at both ends, largest in the middle. Nothing is clamped. At initialisation Δmask and residual are near
0. What is shown to a block is warped at the block's own size, where RIFE warps at full size and reduces: the same to a
hundredth of a decibel, at a fraction of the memory traffic.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from midframe.nn.intermediate_flow import HANDED_ON, SLOPE, Head, flow_blocks
from midframe.nn.layers import exact, resize, warp_pair
from midframe.nn.pair import Time, check_pair, check_size, read_index, read_times, spread_times
from midframe.ops.merge import lay_out, merge_laid_out
from midframe.ops.pad import pad
from midframe.ops.perception import Network, lpips_distance
from midframe.ops.warp import warp
from midframe.types import Batch, Contract

SCALES = (8, 4, 2, 1)  # of the blocks, on frames reduced by r
COARSEST = SCALES[0] * 4  # a block halves twice
CARRY = 3  # steps that carry motion to t
# What the last layer says is scaled by this: Adam moves every weight alike, and a picture must be exact to 1/1000.
STEP = 0.05
EDGE = 1e-4  # where a map says 0 or 1, the mask is as good as decided
UNSEEN = 0.005  # LPIPS that nobody sees; below it less counts for little
# Large motion is found better in smaller frames, small motion in larger ones. Where the 95th percentile of motion, seen
# at a quarter of the size, is above FAR pixels, frames of half the size are looked at.
PROBE = 4
FAR = 40.0


class Join(nn.Module):
    """A U-net from 1/2 to 1/8 over both warped frames: mask correction (1) and residual (3), four pixels of each."""

    def __init__(self, inputs: int, at2: int, at4: int, at8: int) -> None:
        super().__init__()
        self.down2 = _conv(inputs, at2)
        self.down4 = nn.Sequential(_conv(at2, at4, stride=2), _conv(at4, at4))
        self.down8 = nn.Sequential(_conv(at4, at8, stride=2), _conv(at8, at8))
        self.narrow8, self.up4 = nn.Conv2d(at8, at4, 1), _conv(at4, at4)
        self.narrow4, self.up2 = nn.Conv2d(at4, at2, 1), _conv(at2, at2)
        self.out = nn.Conv2d(at2, 4 * 4, 3, 1, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 16 h w"]:
        at2 = self.down2(x)
        at4 = self.down4(at2)
        at4 = self.up4(at4 + resize(self.narrow8(self.down8(at4)), 2))
        at2 = self.up2(at2 + resize(self.narrow4(at4), 2))
        return self.out(at2)


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(SLOPE, inplace=True))


class Midnet(nn.Module):
    """Synthesizer for any 0 < t < 1 between two frames.

    widths   channels of the flow blocks, coarse to fine
    head     channels of the frames' features at 1/2r
    merge    channels of the merge at 1/2, 1/4 and 1/8
    longest  motion is looked for in frames of at most this many pixels, reduced by a power of two
    index    what the loss tells it: "time", or "distance", the label of that name (B M 1 H W, see data/distance.py)

    The state is {"frames": B 2 3 H W, "motion": B 2 h w, "bend": B 2 h w, "hint": B 9 h w} with h = H/2r; the hint is
    the mask's logit and what the last block knows.
    """

    contract = Contract(multiple=16, minimum=32, maps=True)

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int] = (192, 128, 96, 64),
        head: int = 16,
        merge: tuple[int, int, int] = (8, 24, 48),
        longest: int = 960,
        index: Literal["time", "distance"] = "time",
    ) -> None:
        super().__init__()
        self.longest = longest
        self.index = index
        self.perception: tuple[Network, float] | None = None
        self.encode = Head(head)
        self.block0, self.block1, self.block2, self.block3 = flow_blocks(widths)
        self.join = Join(3 + 4 * 3 + 1 + HANDED_ON + 1, *merge)
        for name, value in self.join.named_parameters():
            if value.ndim == 4:
                nn.init.kaiming_normal_(value, a=SLOPE)
            elif name.endswith("bias"):
                nn.init.zeros_(value)
        nn.init.normal_(self.join.get_parameter("out.weight"), std=1e-3)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Motion through the middle. Raises ContractError if the frames are not two, or of another size."""
        check_pair("midnet", frames, self.contract)
        reduce = 1
        while max(frames.shape[-2:]) > reduce * self.longest:
            reduce *= 2
        far = self._goes_far(frames, reduce)
        if not far.any():
            return self._prepare(frames, reduce)
        coarse = self._prepare(frames, reduce, 2)
        if far.all():
            return coarse
        fine = self._prepare(frames, reduce)
        return {"frames": frames} | {
            name: torch.where(far[:, None, None, None], coarse[name], fine[name]) for name in ("motion", "bend", "hint")
        }

    def _goes_far(self, frames: Tensor, reduce: int) -> Bool[Tensor, " b"]:
        """Whether much of what each pair shows moves more than FAR points of frames reduced by `reduce`."""
        motion = self._prepare(frames, PROBE * reduce)["motion"]
        lengths = 2 * PROBE * motion.square().sum(1).sqrt()
        return lengths.flatten(1).quantile(0.95, 1) > FAR

    def _prepare(self, frames: Tensor, reduce: int, coarse: int = 1) -> dict[str, Any]:
        """The state on the grid of 1/2r, r = `reduce`, as frames reduced by r · `coarse` tell it."""
        small = F.avg_pool2d(frames.flatten(0, 1), coarse * reduce) if coarse * reduce > 1 else frames.flatten(0, 1)
        small, _ = pad(small, multiple=COARSEST)
        seen = torch.cat([small, self.encode(small)], 1)  # the frame and its features
        sides = seen.view(-1, 2, *seen.shape[1:])
        flow = mask = feature = None
        for block, scale in zip((self.block0, self.block1, self.block2, self.block3), SCALES, strict=True):
            side0, side1 = resize(sides[:, 0], 1 / scale), resize(sides[:, 1], 1 / scale)
            known: list[Tensor] = []
            if flow is not None and mask is not None and feature is not None:
                flow = 2 * resize(flow, 2)
                known = [resize(mask, 2), resize(feature, 2), flow]
                side0, side1 = warp_pair(side0, side1, flow)
            half = torch.full_like(side0[:, :1], 0.5)
            pictures = [side0[:, :3], side1[:, :3], side0[:, 3:], side1[:, 3:]]
            step, mask, feature = block(torch.cat([*pictures, half, *known], 1))
            flow = exact(step) if flow is None else flow + exact(step)
        assert flow is not None and mask is not None and feature is not None
        grid = 2 * reduce
        found = F.avg_pool2d(torch.cat([coarse * flow / 2, exact(mask), exact(feature)], 1), 2)
        found = resize(found, coarse)
        found = found[..., : frames.shape[-2] // grid, : frames.shape[-1] // grid]
        back, forth = found[:, :2], found[:, 2:4]
        return {"frames": frames, "motion": forth - back, "bend": (forth + back) / 2, "hint": found[:, 4:]}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t, not clamped. Raises ContractError unless 0 < t < 1 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("midnet", size, frames)
        return merge_laid_out(*self._decide(state, read_times("midnet", t, frames, self.contract)), STEP)

    def _decide(self, state: dict[str, Any], t: Float[Tensor, "b 1 h w"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Both frames warped to t, the logit of the mask, and what the merge answers: see `merge_laid_out`."""
        frames = state["frames"]
        grid = frames.shape[-1] // state["motion"].shape[-1]
        here = t if t.shape[-1] == 1 else F.avg_pool2d(t, grid)
        motion = carry(state["motion"], here - 0.5)
        known = warp(torch.cat([state["bend"], state["hint"]], 1), (0.5 - here) * motion)
        bend, hint = 4 * here * (1 - here) * known[:, :2], known[:, 2:]
        flow = torch.cat([bend - here * motion, bend + (1 - here) * motion], 1)
        large = resize(torch.cat([grid * flow, hint[:, :1]], 1), grid)
        warped0, warped1 = (
            warp(frames[:, side], large[:, 2 * side : 2 * side + 2], kernel="bicubic") for side in (0, 1)
        )
        hint = resize(hint, grid / 2)
        plane = spread_times(t, hint.shape[-2:]).to(hint)
        answer = self.join(lay_out(warped0, warped1, torch.cat([hint, plane], 1)))
        t = t.clamp(EDGE, 1 - EDGE)
        return warped0, warped1, large[:, 4:] + torch.log((1 - t) / t), answer

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def perceive(self, network: Network, weight: float) -> None:
        """From now on the loss also holds `weight` times the mean logarithm of LPIPS, as `network` sees it."""
        self.perception = network, weight

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Logarithm of the error of the answer, and half of that of the merge without its residual.

        Of a batch every second sample is looked at in frames of half the size, as large videos are.
        Returns "loss" and its parts. Raises ContractError if the frames are not two or labels are missing.
        """
        check_pair("midnet", batch.frames, self.contract)
        index = read_index("midnet", batch, self.index)
        answers, merges, looks = [], [], []
        for turn, reduce in enumerate((1, 2)):
            frames, targets, times = (value[turn::2] for value in (batch.frames, batch.targets, index))
            if not len(frames):
                continue
            state = self._prepare(frames, reduce)
            state = {name: value.repeat_interleave(targets.shape[1], 0) for name, value in state.items()}
            decided = self._decide(state, times.flatten(0, 1).to(frames))
            made = merge_laid_out(*decided, STEP)
            truth = targets.flatten(0, 1)
            answers.append(log_distance(made, truth))
            merges.append(log_distance(merge_laid_out(*decided, 0.0), truth))
            if self.perception is not None:
                seen = lpips_distance(self.perception[0], made.float().clamp(0, 1), truth)
                looks.append(self.perception[1] * (seen + UNSEEN).log())
        parts = {"answer": torch.cat(answers).mean(), "merge": 0.5 * torch.cat(merges).mean()}
        if looks:
            parts["lpips"] = torch.cat(looks).mean()
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}


def log_distance(made: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Logarithm of each picture's error: what is gained on each counts alike, as in a mean of decibels.

    A picture's error: mean Charbonnier distance at full size, 1/2, 1/4 and 1/8, added.
    """
    difference = (made - truth).float()
    errors = torch.zeros(len(truth), device=truth.device)
    for level in range(4):
        errors = errors + (difference.square() + 1e-6).sqrt().mean((1, 2, 3))
        if level < 3:
            difference = F.avg_pool2d(difference, 2)
    return errors.log()


def carry(motion: Float[Tensor, "b 2 h w"], after: float | Tensor) -> Float[Tensor, "b 2 h w"]:
    """The motion of what is seen at each point `after` the time it was found at: m(x) = motion(x − after·m)."""
    carried = motion
    for _ in range(CARRY):
        carried = warp(motion, -after * carried)
    return carried
