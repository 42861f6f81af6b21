"""midnet: classical flow once for each pair, refined by a small network; light work for each new frame.

Our own design. Where its parts come from: flow by dense inverse search (Kroeger et al., ECCV 2016) as in `dis`; flow
and context refined together and a residual beside the merge as in IFRNet (Kong et al., CVPR 2022); two candidate
motions carried to t and a soft choice as in `dis`; the merge at half size on pixels laid side by side, which loses
nothing (Shi et al., CVPR 2016, sub-pixel convolution).

    prepare, once for each pair                                                                   at
      flow01, flow10 = DIS of the luma                                                        1/2 and 1/4
      f0, f1 = encoder(I0), encoder(I1)                                                           1/2, 1/4
      for each direction, same weights: flow += Δ, context = refine(f, w(f'), flow, w(flow')+flow)  1/4 … 1/16
    render, for each t
      m_a, m_b = flow01, −flow10 carried to t                                                 1/2 and 1/4
      contexts sampled along both                                                                 1/4
      choice, ΔF0, ΔF1, feature = decide(contexts, m_a, m_b, t)                                   1/8 … 1/2
      w(I0), w(I1): one warp each, float32                                                        1
      mask, residual = join(w(I0), w(I1), feature)                                                1/2, laid out to 1
      σ(mask)·w(I0) + (1 − σ(mask))·w(I1) + residual

Flow: (dx, dy); in points of the grid it is on. Nothing is clamped. At initialisation Δ and the residual are 0, and
choice and mask are what the formulas of `dis` say, to whose logits the networks add.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.nn.layers import conv_prelu, resize
from midframe.nn.pair import Time, check_pair, check_size, read_times
from midframe.ops.dense_search import SEARCHES, Preset, search_pairs
from midframe.ops.warp import warp
from midframe.types import Batch, Contract

GRID, FINE = 4, 2  # the networks work at 1/4; motion keeps the detail that the search has found at 1/2
CARRY = 3  # steps that carry a flow to t
# Of `dis`, in points of the grid: see there.
HIDDEN, HIDDEN_SHARE, HIDDEN_COST = 64.0 / GRID**2, 0.01, 5.0
SHARPNESS = 0.2
GREY = 0.5  # taken off the pictures that a layer sees
FLOW_UNIT = 0.1  # the network sees flow in tens of points
# What the last layers say is scaled by this: Adam moves every weight alike, and what they say must be exact to 1/1000.
STEP = 0.05


class Encoder(nn.Module):
    """One frame's features at a quarter of its size."""

    def __init__(self, first: int, width: int) -> None:
        super().__init__()
        self.at2 = conv_prelu(3, first, stride=2)
        self.at4 = conv_prelu(first, width, stride=2)
        self.last = conv_prelu(width, width)

    def forward(self, frame: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h4 w4"]:
        return self.last(self.at4(self.at2(frame)))


class Refine(nn.Module):
    """A U-net from 1/4 to 1/16 that improves one direction's flow and says what there is to know at each point."""

    def __init__(self, inputs: int, hidden: int, deep: int, outputs: int) -> None:
        super().__init__()
        self.down8 = conv_prelu(inputs, hidden, stride=2)
        self.at8 = conv_prelu(hidden, hidden)
        self.down16 = conv_prelu(hidden, deep, stride=2)
        self.at16 = nn.Sequential(conv_prelu(deep, deep), conv_prelu(deep, 4 * hidden, kernel=1), nn.PixelShuffle(2))
        self.join8 = conv_prelu(hidden, hidden)
        self.out = nn.Sequential(nn.Conv2d(hidden, 4 * outputs, 3, 1, 1), nn.PixelShuffle(2))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        at8 = self.at8(self.down8(x))
        return self.out(self.join8(at8 + self.at16(self.down16(at8))))


class Decide(nn.Module):
    """From what both candidates see, at 1/4, to the choice between them, flow corrections and a feature, at 1/2."""

    def __init__(self, inputs: int, hidden: int, side: int, outputs: int) -> None:
        super().__init__()
        self.side = conv_prelu(inputs, side, kernel=1)
        self.down8 = conv_prelu(inputs, hidden, stride=2)
        self.at8 = nn.Sequential(
            conv_prelu(hidden, hidden), conv_prelu(hidden, hidden), conv_prelu(hidden, 4 * side, kernel=1)
        )
        self.up = nn.PixelShuffle(2)
        self.out = nn.Sequential(conv_prelu(2 * side, side), nn.Conv2d(side, 4 * outputs, 3, 1, 1), nn.PixelShuffle(2))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        return self.out(torch.cat([self.side(x), self.up(self.at8(self.down8(x)))], 1))


class Midnet(nn.Module):
    """Synthesizer for any 0 < t < 1 between two frames.

    flow     preset of `dis` that finds the flow
    first, width   channels of the encoder at 1/2 and 1/4
    hidden, deep   of the refinement at 1/8 and 1/16
    context  what the refinement hands on for each point, beside `keep` channels of the features as they are
    side, feature, merge  of the decision at 1/4, of what it hands on at 1/2, and of the merge there

    The state is {"frames": B 2 3 H W, "fine": B 2 2 2h 2w, "flow": B 2 2 h w, "context": B 2 c h w} with h = H/4.
    """

    contract = Contract(multiple=16, minimum=32)

    def __init__(
        self,
        *,
        flow: Preset = "balanced",
        first: int = 16,
        width: int = 32,
        hidden: int = 48,
        deep: int = 80,
        context: int = 12,
        decide: int = 48,
        side: int = 24,
        feature: int = 8,
        merge: int = 24,
    ) -> None:
        super().__init__()
        self.search = SEARCHES[flow]
        self.feature = feature
        self.encoder = Encoder(first, width)
        self.refine = Refine(2 * width + 7, hidden, deep, 2 + context)
        self.decide = Decide(4 * (context + 4) + 6 + 5, decide, side, 5 + feature)
        self.join = nn.Sequential(conv_prelu(4 * 7 + feature, merge), nn.Conv2d(merge, 16, 3, 1, 1), nn.PixelShuffle(2))
        for name, value in self.named_parameters():
            if value.ndim == 4:
                nn.init.kaiming_normal_(value, a=0.25)
            elif name.endswith("bias"):
                nn.init.zeros_(value)
        for last in ("refine.out.0", "decide.out.1", "join.1"):
            nn.init.normal_(self.get_parameter(f"{last}.weight"), std=1e-3)

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Flow both ways and contexts. Raises ContractError if the frames are not two, or of another size."""
        check_pair("midnet", frames, self.contract)
        return self._prepare(frames, search_pairs(frames, self.search, grid=FINE))

    def _prepare(self, frames: Tensor, found: Float[Tensor, "b 2 2 h2 w2"]) -> dict[str, Any]:
        images = frames.flatten(0, 1)
        features = self.encoder(images - GREY)
        colours = F.avg_pool2d(images, GRID) - GREY
        fine = found.flatten(0, 1)
        flow = F.avg_pool2d(fine, 2) / 2
        seen = warp(torch.cat([swap(features), swap(colours), swap(flow)], 1), flow)
        cues = torch.cat([(colours - seen[:, -5:-2]).abs(), FLOW_UNIT * flow, FLOW_UNIT * (flow + seen[:, -2:])], 1)
        out = self.refine(torch.cat([features, seen[:, :-5], cues], 1))
        step = STEP * out[:, :2].float()
        flow, fine = flow + step, fine + 2 * resize(step, 2)
        hidden = find_hidden(flow, swap(flow))
        return {
            "frames": frames,
            "flow": in_pairs(flow),
            "fine": in_pairs(fine),
            "context": in_pairs(torch.cat([out[:, 2:], colours, hidden], 1)),
        }

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t, not clamped. Raises ContractError unless 0 < t < 1 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("midnet", size, frames)
        return self._render(state, read_times("midnet", t, frames, self.contract))[0]

    def _render(self, state: dict[str, Any], t: Float[Tensor, "b 1 1 1"]) -> tuple[Tensor, Tensor]:
        """The frame at t, and the warped frames merged without the residual."""
        frames, flow, context = state["frames"], state["flow"], state["context"]
        rest = 1 - t
        towards, back = carry(flow[:, 0], t), -carry(flow[:, 1], rest)
        a0, a1 = warp(context[:, 0], -t * towards), warp(context[:, 1], rest * towards)
        b0, b1 = warp(context[:, 0], -t * back), warp(context[:, 1], rest * back)
        gap_a, gap_b = (a0 - a1)[:, -4:-1].abs(), (b0 - b1)[:, -4:-1].abs()
        hidden_a, hidden_b = a0[:, -1:], b1[:, -1:]
        plane = t.expand(-1, 1, *flow.shape[-2:])
        motions = torch.cat([towards, back], 1)
        out = self.decide(torch.cat([a0, a1, b0, b1, gap_a, gap_b, FLOW_UNIT * motions, plane], 1)).float()

        cost_a = 255 * gap_a.mean(1, keepdim=True) + HIDDEN_COST * hidden_a
        cost_b = 255 * gap_b.mean(1, keepdim=True) + HIDDEN_COST * hidden_b
        costs = F.avg_pool2d(F.pad(cost_b - cost_a, (2, 2, 2, 2), mode="replicate"), 5, 1)
        share_a = torch.log(rest / t) + favour(towards, t) - torch.log(1 - hidden_a.clamp(0, 0.99))
        share_b = torch.log(rest / t) + favour(back, t) + torch.log(1 - hidden_b.clamp(0, 0.99))
        logits = resize(torch.cat([SHARPNESS * costs, share_a, share_b], 1), 2)
        choice = torch.sigmoid(logits[:, :1] + out[:, 4:5])
        share = logits[:, 2:] + choice * (logits[:, 1:2] - logits[:, 2:])
        towards, back = carry(state["fine"][:, 0], t), -carry(state["fine"][:, 1], rest)
        motion = back + choice * (towards - back)
        flow0, flow1 = STEP * out[:, :2] - t * motion, STEP * out[:, 2:4] + rest * motion
        large = resize(torch.cat([2 * flow0, 2 * flow1, share], 1), 2)
        warped0, warped1 = (
            warp(frames[:, side], large[:, 2 * side : 2 * side + 2], kernel="bicubic") for side in (0, 1)
        )
        middle, apart = (warped0 + warped1) / 2 - GREY, warped0 - warped1
        both = F.pixel_unshuffle(torch.cat([middle, apart, apart.abs().mean(1, keepdim=True)], 1), 2)
        last = self.join(torch.cat([both, out[:, 5:]], 1)).float()
        mask = torch.sigmoid(last[:, :1] + large[:, 4:])
        merged = warped1 + mask * apart
        return merged + STEP * last[:, 1:], merged

    def forward(self, frames: Float[Tensor, "b 2 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Logarithm of the error of the answer, and half of that of the merge without its residual.

        Takes the flow that `midframe.data.searched` has put beside the batch, or searches. Returns "loss" and its
        parts. Raises ContractError if the frames are not two.
        """
        check_pair("midnet", batch.frames, self.contract)
        found = batch.labels.get("searched")
        if found is None:
            found = search_pairs(batch.frames, self.search, grid=FINE)
        state = self._prepare(batch.frames, found)
        count = batch.targets.shape[1]
        if count > 1:
            state = {name: value.repeat_interleave(count, 0) for name, value in state.items()}
        truth = batch.targets.flatten(0, 1)
        made, merged = self._render(state, batch.target_times.reshape(-1, 1, 1, 1).to(truth))
        parts = {
            "answer": _distance(made, truth),
            "merge": 0.5 * _distance(merged, truth),
        }
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}


def _distance(made: Tensor, truth: Tensor) -> Tensor:
    """Mean logarithm of the pictures' errors: what is gained on each counts alike, as in a mean of decibels.

    A picture's error: mean Charbonnier distance at full size, 1/2, 1/4 and 1/8, added.
    """
    difference = (made - truth).float()
    errors = truth.new_zeros(len(truth), dtype=torch.float32)
    for level in range(4):
        errors = errors + (difference.square() + 1e-6).sqrt().mean((1, 2, 3))
        if level < 3:
            difference = F.avg_pool2d(difference, 2)
    return errors.log().mean()


def in_pairs(maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "b 2 c h w"]:
    """Maps of frames 0, 1, 0, 1, … by pairs."""
    return maps.view(-1, 2, *maps.shape[1:])


def swap(maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """For maps of frames 0, 1, 0, 1, …: those of the other frame of each pair."""
    return in_pairs(maps).flip(1).flatten(0, 1)


def find_hidden(flow: Float[Tensor, "b 2 h w"], back: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 1 h w"]:
    """How likely a point is not seen in the other frame, 0…1: its flow forth and back does not close (as in `dis`)."""
    gap = (flow + warp(back, flow)).square().sum(1, keepdim=True)
    return gap / (gap + HIDDEN + HIDDEN_SHARE * flow.square().sum(1, keepdim=True))


def favour(motion: Float[Tensor, "b 2 h w"], t: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, "b 1 h w"]:
    """Logarithm of how much more a point belongs to frame 0 because its motion ends outside frame 1 (as in `dis`)."""
    height, width = motion.shape[-2:]
    x = torch.arange(width, device=motion.device, dtype=motion.dtype)
    y = torch.arange(height, device=motion.device, dtype=motion.dtype)[:, None]
    presence = []
    for way in (-t * motion, (1 - t) * motion):
        across, along = x + way[:, :1], y + way[:, 1:]
        beyond = (-across).relu() + (across - width + 1).relu() + (-along).relu() + (along - height + 1).relu()
        presence.append(torch.log1p(GRID * beyond))
    return presence[1] - presence[0]


def carry(flow: Float[Tensor, "b 2 h w"], after: float | Tensor) -> Float[Tensor, "b 2 h w"]:
    """The flow of what is seen at each point `after` its own frame (0…1 of the way): m(x) = flow(x − after·m)."""
    motion = flow
    for _ in range(CARRY):
        motion = warp(flow, -after * motion)
    return motion
