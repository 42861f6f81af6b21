"""RAFT: optical flow by a small recurrent network that looks up matches of all pixels with all others.

Teed, Deng: "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020, arXiv 2003.12039.

Features of both frames at 1/8 of their size are compared, every place with every other. The flow begins at zero. Each
iteration reads the matches around where the flow points, at four resolutions, and a recurrent unit decides how the
flow changes. The same weights serve all iterations, so that their number is free.

    fnet      I0, I1 -> features at 1/8                                   256 (small: 128) channels, instance norm
    cnet      I0 -> hidden state h = tanh, context c = ReLU               128 + 128 (96 + 64), batch norm (none)
    volume    ⟨f0, f1⟩/√channels, all pairs, and three means of 2 × 2     4 levels
    iterate   matches within 4 (3) pixels of x + flow at each level       324 (196)
              motion = convolutions of matches and flow                   128 (82)
              h = GRU(h, c, motion); flow += head(h)                      separable 1×5, 5×1 (3×3)
              flow at full size: weights of 9 neighbours from h           (bilinear)

Flow: pixels, (dx, dy), from frame 0 to frame 1; inside, pixels of 1/8 of the size. Frames in [0, 1].

| size | parameters | multiply-adds at 448×256, 12 iterations |
|---|---|---|
| full | 5,257,536 | 90.4 G |
| small | 990,162 | 19.9 G |

Loss (section 3.4): Σ over iterations γ^(n−i) · mean |flowᵢ − truth|, γ = 0.8. Pixels that move 400 or more do not
count.

Where we differ from the authors' code: frames are padded below and to the right only, so that a picture's pixels keep
their place. Volumes of more than 1 GiB are not made: the same matches are found as they are read. The norm of a
shortcut is listed once in the state, theirs twice. The loss is a mean over the
pixels that count, not over all. We learn from a frame between two others to both of them, because those labels are
what our data has; the frame's features and context are found once for the two. Batch norm is not frozen after a first
stage, as there are no stages. Checked against a description of princeton-vl/RAFT (BSD-3) and its tables of shapes.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.nn.layers import exact
from midframe.ops.correlate import correlate_all, look_up, look_up_directly, pool
from midframe.ops.pad import pad
from midframe.types import Batch, Contract

STRIDE = 8  # of the features
LEVELS = 4
GAMMA = 0.8  # paper, section 3.4
FASTEST = 400.0  # pixels; authors' code, train.py
LARGEST_VOLUME = 2**30  # bytes; larger ones are not made. 1280×720 is just below

Norm = Literal["instance", "batch", "none"]


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.BatchNorm2d(channels)


class ResidualBlock(nn.Module):
    """Two convolutions 3×3, each with norm and ReLU, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.norm1 = _norm(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm2 = _norm(norm, outputs)
        self.downsample = _shortcut(inputs, outputs, stride, norm)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.downsample(x) + y)


class BottleneckBlock(nn.Module):
    """1×1 to a quarter of the channels, 3×3, 1×1 back, each with norm and ReLU, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        narrow = outputs // 4
        self.conv1 = nn.Conv2d(inputs, narrow, 1)
        self.norm1 = _norm(norm, narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, 1)
        self.norm2 = _norm(norm, narrow)
        self.conv3 = nn.Conv2d(narrow, outputs, 1)
        self.norm3 = _norm(norm, outputs)
        self.downsample = _shortcut(inputs, outputs, stride, norm)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        y = F.relu(self.norm3(self.conv3(y)))
        return F.relu(self.downsample(x) + y)


def _shortcut(inputs: int, outputs: int, stride: int, norm: Norm) -> nn.Module:
    if stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), _norm(norm, outputs))


class Encoder(nn.Module):
    """A picture's features at 1/8 of its size."""

    def __init__(
        self,
        block: type[ResidualBlock] | type[BottleneckBlock],
        widths: tuple[int, int, int],
        outputs: int,
        norm: Norm,
    ) -> None:
        super().__init__()
        w1, w2, w3 = widths
        self.conv1 = nn.Conv2d(3, w1, 7, 2, 3)
        self.norm1 = _norm(norm, w1)
        self.layer1 = nn.Sequential(block(w1, w1, 1, norm), block(w1, w1, 1, norm))
        self.layer2 = nn.Sequential(block(w1, w2, 2, norm), block(w2, w2, 1, norm))
        self.layer3 = nn.Sequential(block(w2, w3, 2, norm), block(w3, w3, 1, norm))
        self.conv2 = nn.Conv2d(w3, outputs, 1)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        x = F.relu(self.norm1(self.conv1(image)))
        return self.conv2(self.layer3(self.layer2(self.layer1(x))))


class MotionEncoder(nn.Module):
    """Matches and flow as features, the flow itself last."""

    def __init__(self, matches: int, widths: tuple[int, int, int, int], outputs: int) -> None:
        super().__init__()
        of_matches, refined, of_flow, of_flow2 = widths
        self.convc1 = nn.Conv2d(matches, of_matches, 1)
        self.convc2 = nn.Conv2d(of_matches, refined, 3, 1, 1)
        self.convf1 = nn.Conv2d(2, of_flow, 7, 1, 3)
        self.convf2 = nn.Conv2d(of_flow, of_flow2, 3, 1, 1)
        self.conv = nn.Conv2d(refined + of_flow2, outputs - 2, 3, 1, 1)

    def forward(self, matches: Float[Tensor, "b m h w"], flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b c h w"]:
        read = F.relu(self.convc2(F.relu(self.convc1(matches))))
        moved = F.relu(self.convf2(F.relu(self.convf1(flow))))
        return torch.cat([F.relu(self.conv(torch.cat([read, moved], 1))), flow], 1)


class SmallMotionEncoder(nn.Module):
    """As `MotionEncoder`, with one convolution of the matches."""

    def __init__(self, matches: int, widths: tuple[int, int, int], outputs: int) -> None:
        super().__init__()
        of_matches, of_flow, of_flow2 = widths
        self.convc1 = nn.Conv2d(matches, of_matches, 1)
        self.convf1 = nn.Conv2d(2, of_flow, 7, 1, 3)
        self.convf2 = nn.Conv2d(of_flow, of_flow2, 3, 1, 1)
        self.conv = nn.Conv2d(of_matches + of_flow2, outputs - 2, 3, 1, 1)

    def forward(self, matches: Float[Tensor, "b m h w"], flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b c h w"]:
        read = F.relu(self.convc1(matches))
        moved = F.relu(self.convf2(F.relu(self.convf1(flow))))
        return torch.cat([F.relu(self.conv(torch.cat([read, moved], 1))), flow], 1)


class ConvGRU(nn.Module):
    """Gated recurrent unit of 3×3 convolutions."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        self.convz = nn.Conv2d(hidden + inputs, hidden, 3, 1, 1)
        self.convr = nn.Conv2d(hidden + inputs, hidden, 3, 1, 1)
        self.convq = nn.Conv2d(hidden + inputs, hidden, 3, 1, 1)

    def forward(self, h: Float[Tensor, "b d h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return _recur(h, x, self.convz, self.convr, self.convq)


class SeparableConvGRU(nn.Module):
    """Two gated recurrent units, one of 1×5 and one of 5×1 convolutions."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        both = hidden + inputs
        self.convz1 = nn.Conv2d(both, hidden, (1, 5), padding=(0, 2))
        self.convr1 = nn.Conv2d(both, hidden, (1, 5), padding=(0, 2))
        self.convq1 = nn.Conv2d(both, hidden, (1, 5), padding=(0, 2))
        self.convz2 = nn.Conv2d(both, hidden, (5, 1), padding=(2, 0))
        self.convr2 = nn.Conv2d(both, hidden, (5, 1), padding=(2, 0))
        self.convq2 = nn.Conv2d(both, hidden, (5, 1), padding=(2, 0))

    def forward(self, h: Float[Tensor, "b d h w"], x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        h = _recur(h, x, self.convz1, self.convr1, self.convq1)
        return _recur(h, x, self.convz2, self.convr2, self.convq2)


def _recur(h: Tensor, x: Tensor, update: nn.Module, reset: nn.Module, candidate: nn.Module) -> Tensor:
    both = torch.cat([h, x], 1)
    z, r = torch.sigmoid(update(both)), torch.sigmoid(reset(both))
    return torch.lerp(h, torch.tanh(candidate(torch.cat([r * h, x], 1))), z)


class FlowHead(nn.Module):
    """The change of the flow that a hidden state asks for."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(hidden, width, 3, 1, 1)
        self.conv2 = nn.Conv2d(width, 2, 3, 1, 1)

    def forward(self, h: Float[Tensor, "b d h w"]) -> Float[Tensor, "b 2 h w"]:
        return self.conv2(F.relu(self.conv1(h)))


class UpdateBlock(nn.Module):
    """One iteration: from hidden state, context, matches and flow to the next hidden state and the flow's change."""

    def __init__(
        self, encoder: nn.Module, gru: nn.Module, flow_head: nn.Module, mask: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.encoder, self.gru, self.flow_head = encoder, gru, flow_head
        if mask is not None:
            hidden, width = mask
            self.mask = nn.Sequential(nn.Conv2d(hidden, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, 9 * STRIDE**2, 1))

    def forward(self, h: Tensor, context: Tensor, matches: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        motion = self.encoder(matches, flow)
        h = self.gru(h, torch.cat([context, motion], 1))
        return h, self.flow_head(h)


class RAFT(nn.Module):
    """Flow estimator (`midframe.types.FlowEstimator`): `flow(frame0, frame1)` of any size.

    small       the paper's small network
    iterations  of `flow`, unless it is told otherwise, and of `loss`. The authors train with 12 and measure with 24
                or 32; training's time is in proportion
    shrink      all widths are divided by it, for tests

    The object holds parameters only, and in the full network the running means of batch norm.
    """

    def __init__(self, *, small: bool = False, iterations: int = 12, shrink: int = 1) -> None:
        super().__init__()
        if iterations < 1:
            raise UsageError(f"RAFT: at least 1 iteration, got {iterations}.")
        self.iterations = iterations
        self.contract = Contract(multiple=STRIDE, minimum=STRIDE * 2 ** (LEVELS - 1))
        self.radius = 3 if small else 4
        matches = LEVELS * (2 * self.radius + 1) ** 2

        def part(width: int) -> int:
            return width // shrink

        self.hidden = part(96 if small else 128)
        if small:
            widths = (part(32), part(64), part(96))
            context, motion = part(64), part(82)
            self.fnet = Encoder(BottleneckBlock, widths, part(128), "instance")
            self.cnet = Encoder(BottleneckBlock, widths, self.hidden + context, "none")
            self.update_block = UpdateBlock(
                SmallMotionEncoder(matches, (part(96), part(64), part(32)), motion),
                ConvGRU(self.hidden, context + motion),
                FlowHead(self.hidden, part(128)),
            )
        else:
            widths = (part(64), part(96), part(128))
            context, motion = part(128), part(128)
            self.fnet = Encoder(ResidualBlock, widths, part(256), "instance")
            self.cnet = Encoder(ResidualBlock, widths, self.hidden + context, "batch")
            self.update_block = UpdateBlock(
                MotionEncoder(matches, (part(256), part(192), part(128), part(64)), motion),
                SeparableConvGRU(self.hidden, context + motion),
                FlowHead(self.hidden, part(256)),
                mask=(self.hidden, part(256)),
            )
        for encoder in (self.fnet, self.cnet):
            for module in encoder.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def flow(
        self, frame0: Float[Tensor, "b 3 h w"], frame1: Float[Tensor, "b 3 h w"], *, iterations: int | None = None
    ) -> Float[Tensor, "b 2 h w"]:
        """Where each pixel of frame 0 goes, in pixels. Frames in [0, 1]; values a little outside do no harm.

        Raises ContractError for anything but two batches of RGB frames of one size, UsageError for less than one
        iteration.
        """
        if frame0.ndim != 4 or frame0.shape[1] != 3 or frame0.shape != frame1.shape:
            raise ContractError(
                f"RAFT reads two RGB frames of one size, B 3 H W; got {tuple(frame0.shape)}, {tuple(frame1.shape)}."
            )
        count = self.iterations if iterations is None else iterations
        if count < 1:
            raise UsageError(f"RAFT: at least 1 iteration, got {count}.")
        pair, (rows, columns) = pad(
            torch.cat([frame0, frame1]), multiple=self.contract.multiple, minimum=self.contract.minimum
        )
        features = self.fnet(2 * pair - 1)
        f0, f1 = features.chunk(2)
        context = self.cnet(2 * pair[: len(frame0)] - 1)
        return self._iterate(f0, f1, context, count, last=True)[-1][..., rows, columns].to(frame0.dtype)

    forward = flow

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The paper's loss on the flows from each target to frame 0 and to frame 1.

        Takes `batch.labels["flow_t0"]` and `["flow_t1"]` (B M 2 H W, pixels). Members where `["has_flow"]` (B) is 0
        and pixels where `["doubt_t0"]` or `["doubt_t1"]` (B M 1 H W) is 1 do not count, if these are given; a batch of
        which nothing counts has the loss 0. Returns "loss", and "epe": the last iteration's mean distance from the
        truth, pixels.

        Raises ContractError without labels, or if frames and targets do not fit.
        """
        labels = batch.labels
        if "flow_t0" not in labels or "flow_t1" not in labels:
            raise ContractError(
                "RAFT learns from labels of flow: the recipe needs flow = true and synthetic motion, or a teacher."
            )
        size = batch.frames.shape[2:]
        multiple, minimum = self.contract.multiple, self.contract.minimum
        if batch.frames.shape[1] != 2 or batch.targets.shape[2:] != size:
            raise ContractError(
                f"RAFT learns from two frames and targets of one size; got {tuple(batch.frames.shape)} and "
                f"{tuple(batch.targets.shape)}."
            )
        if any(side % multiple or side < minimum for side in size[1:]):
            raise ContractError(f"RAFT learns from multiples of {multiple}, at least {minimum}; got {tuple(size[1:])}.")
        count = batch.targets.shape[1]
        targets = 2 * batch.targets.flatten(0, 1) - 1
        features = self.fnet(torch.cat([targets, 2 * batch.frames.transpose(0, 1).flatten(0, 1) - 1]))
        # of all pairs, the first half goes to frame 0, the second to frame 1
        starts = features[: len(targets)].repeat(2, 1, 1, 1)
        ends = features[len(targets) :].repeat_interleave(count, 0)
        context = self.cnet(targets).repeat(2, 1, 1, 1)
        flows = self._iterate(starts, ends, context, self.iterations)
        truth = torch.cat([labels["flow_t0"].flatten(0, 1), labels["flow_t1"].flatten(0, 1)])
        valid = (truth.square().sum(1, keepdim=True) < FASTEST**2).to(truth.dtype)  # not where it is NaN
        if "doubt_t0" in labels and "doubt_t1" in labels:
            valid = valid * (1 - torch.cat([labels["doubt_t0"].flatten(0, 1), labels["doubt_t1"].flatten(0, 1)]))
        if "has_flow" in labels:
            members = (labels["has_flow"] != 0).to(truth.dtype).repeat_interleave(count, 0)
            valid = valid * members.repeat(2).view(-1, 1, 1, 1)
        truth = truth.where(valid > 0, 0)
        apart = (flows[-1].detach() - truth).square().sum(1, keepdim=True).sqrt()
        return {"loss": sequence_loss(flows, truth, valid), "epe": _mean(apart, valid)}

    def _iterate(self, f0: Tensor, f1: Tensor, context: Tensor, count: int, *, last: bool = False) -> list[Tensor]:
        """The flow at full size after each of `count` iterations, or after the last only."""
        batch, _, height, width = f0.shape
        look = _reader(f0, f1, self.radius)
        h, context = torch.tanh(context[:, : self.hidden]), F.relu(context[:, self.hidden :])
        rows = torch.arange(height, dtype=torch.float32, device=f0.device)[:, None].expand(height, width)
        columns = torch.arange(width, dtype=torch.float32, device=f0.device).expand(height, width)
        start = torch.stack([columns, rows])
        flow = start.new_zeros(batch, 2, height, width)
        flows = []
        for number in range(count):
            flow = flow.detach()  # authors' code: an iteration learns from its own change only
            h, change = self.update_block(h, context, look(start + flow), flow)
            flow = flow + exact(change)
            if not last or number == count - 1:
                flows.append(self._enlarge(flow, h))
        return flows

    def _enlarge(self, flow: Float[Tensor, "b 2 h w"], h: Float[Tensor, "b d h w"]) -> Float[Tensor, "b 2 8*h 8*w"]:
        if hasattr(self.update_block, "mask"):
            return upsample_convex(flow, 0.25 * exact(self.update_block.mask(h)))  # authors' code: evens gradients
        return STRIDE * F.interpolate(flow, scale_factor=STRIDE, mode="bilinear", align_corners=True)


def _reader(f0: Tensor, f1: Tensor, radius: int) -> Callable[[Tensor], Tensor]:
    """What reads the matches around positions: from the whole volume, or without it if that would be too large."""
    batch, _, height, width = f0.shape
    if 4 * batch * (height * width) ** 2 <= LARGEST_VOLUME:
        volumes = correlate_all(f0, f1, LEVELS)
        return lambda positions: look_up(volumes, positions, radius)
    pyramid = pool(exact(f1), LEVELS)
    return lambda positions: look_up_directly(f0, pyramid, positions, radius)


def upsample_convex(flow: Float[Tensor, "b 2 h w"], mask: Float[Tensor, "b 576 h w"]) -> Float[Tensor, "b 2 8*h 8*w"]:
    """`flow` at 8 times the size, 8 times as long: each pixel a mean of 3 × 3 neighbours, by the softmax of `mask`.

    The mask's channels are neighbour, row, column (9, 8, 8). Beyond the border the flow is 0, as in the authors' code.
    """
    batch, _, height, width = flow.shape
    shares = mask.view(batch, 1, 9, STRIDE, STRIDE, height, width).softmax(2)
    around = F.unfold(STRIDE * flow, 3, padding=1).view(batch, 2, 9, 1, 1, height, width)
    fine = (shares * around).sum(2)  # B 2 8 8 H W
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, STRIDE * height, STRIDE * width)


def sequence_loss(
    flows: list[Float[Tensor, "b 2 h w"]], truth: Float[Tensor, "b 2 h w"], valid: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Σ γ^(n−i) · mean |flowᵢ − truth| over both components of the pixels where `valid` is 1: paper, section 3.4."""
    parts = [
        GAMMA ** (len(flows) - 1 - number) * _mean((flow - truth).abs().mean(1, keepdim=True), valid)
        for number, flow in enumerate(flows)
    ]
    return torch.stack(parts).sum()


def _mean(values: Float[Tensor, "b 1 h w"], valid: Float[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
    return (values * valid).sum() / valid.sum().clamp(min=1)


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' checkpoint of the same size with our names: without DataParallel's "module.", and without the norm
    of a shortcut that theirs lists a second time (in the full network's residual blocks as norm3)."""
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    full = any(key.startswith("update_block.mask.") for key in plain)
    return {key: value for key, value in plain.items() if not (full and ".norm3." in key)}
