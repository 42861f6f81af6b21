"""Spatio-temporal video autoencoder: a memory of features, the flow that follows from it, the next frame by warping.

Pătrăucean, Handa, Cipolla: "Spatio-temporal video autoencoder with differentiable memory", ICLR 2016 workshop, arXiv
1511.06309.

A frame becomes features of half its size. A convolutional memory reads them frame by frame and says, from what it has
seen, where each place of the next frame's features comes from: optical flow that nobody shows it, learnt because the
features of the present frame, moved along it and decoded, must be the next frame. It then reads its own frame and goes
on.

    encode    7×7, tanh, 2×2 max pooling                   16 H/2 W/2        of each frame
    memory    ConvLSTM, 7×7                                64 H/2 W/2        in turn
    flow      15×15, 15×15, nothing between                 2 H/2 W/2        pixels of the features, to the frame before
              held to ¼ of the width and height
    warp      features of the last frame read where the flow points, 0 outside      (grid generator and sampler)
    decode    enlarged 2 × by repeating, 7×7                1 H W            the next frame, as logits if `loss` is bce

    prepare   encode and memory over all frames but the last
    render    t times: encode, memory, flow, warp, decode, each reading the frame made before

Flow has a penalty, Huber's of its gradient: mean over channels and places of g²/(2δ) up to g = δ, g − δ/2 beyond,
g = √(u_x² + u_y²), δ = 10⁻³.

| configuration | features | memory | kernel, of the flow | parameters |
|---|---|---|---|---|
| `st-autoencoder` | 16 | 64 | 7, 15 | 1,035,065 |
| `st-autoencoder-s` | 8 | 24 | 5, 9 | 81,521 |

The paper's own number is two larger: it counts the two constants that scale flow to the sampler's coordinates.

Where we differ. The memory's equations are those of the authors' code: no peepholes, and forget gates that begin half
open. Their demo has a separate first cell without memory (here the first step has a memory of zeros, as in the paper)
and a 1×1 convolution after the flow that begins at 0: here the last convolution of the flow begins at 0 instead, so
that training begins from no motion. Their demo limits flow to ±½ of the sampler's coordinates, which is the ¼ above at
any size. `loss`: the paper's text says mean squared error; the demo compares gradients of pictures only; cross-entropy
is what tables of Moving MNIST are in. The weight of the penalty is the demo's 0.001. Flow is in pixels and (dx, dy).
Checked against a description of viorik/ConvLSTM (BSD).
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import UsageError
from midframe.nn.ahead import ahead, check_future, check_past, choose
from midframe.nn.conv_lstm import ConvLSTMCell, Memory
from midframe.nn.pair import Time
from midframe.ops.warp import warp
from midframe.types import Batch

Loss = Literal["mse", "gradients", "bce"]
REACH = 0.25  # of width and height that flow may be long
DELTA = 1e-3  # pixels a pixel, where Huber's penalty turns from a parabola into a line


class STAutoencoder(nn.Module):
    """Synthesizer of t = 1, 2, … `horizon` from the last `inputs` frames.

    channels  1: grey, 3: RGB
    features, memory  channels of the features and of the memory
    kernel, flow_kernel   of all convolutions, and of the two that make flow; odd
    inputs, horizon  frames read, frames that can be asked for; neither changes a parameter
    loss      "mse"; "gradients", of the differences between neighbours; "bce", cross-entropy, frames in [0, 1]: the
              network then gives logits, and what is rendered has gone through a sigmoid
    smooth    weight of the penalty on flow
    every     learn from the next frame after each frame of the past, too, not only after the last

    The state is {"memory": (hidden, cell), "made": [B C H W, …], "flows": [B 2 H/2 W/2, …]}, the frames so far and the
    flow of each to the frame before, in pixels of the features; it grows while it is rendered from. The object holds
    parameters only. Raises UsageError for settings that cannot be meant.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        features: int = 16,
        memory: int = 64,
        kernel: int = 7,
        flow_kernel: int = 15,
        inputs: int = 19,
        horizon: int = 1,
        loss: Loss = "mse",
        smooth: float = 1e-3,
        every: bool = False,
    ) -> None:
        super().__init__()
        if min(features, kernel, flow_kernel) < 1 or kernel % 2 == 0 or flow_kernel % 2 == 0 or smooth < 0:
            raise UsageError(
                f"STAutoencoder: features are 1 or more, kernels odd and smooth not negative, got {features}, "
                f"{kernel}, {flow_kernel} and {smooth}."
            )
        if loss not in ("mse", "gradients", "bce"):
            raise UsageError(f'STAutoencoder: loss is "mse", "gradients" or "bce", not {loss!r}.')
        self.contract = ahead(inputs, horizon, channels=channels, multiple=2, minimum=2)
        self.kind, self.smooth, self.every = loss, smooth, every
        self.encoder = nn.Conv2d(channels, features, kernel, padding=kernel // 2)
        self.memory = ConvLSTMCell(features, memory, kernel)
        self.flow = nn.Sequential(
            nn.Conv2d(memory, 2, flow_kernel, padding=flow_kernel // 2),
            nn.Conv2d(2, 2, flow_kernel, padding=flow_kernel // 2),
        )
        self.decoder = nn.Conv2d(features, channels, kernel, padding=kernel // 2)
        for layer in (self.encoder, self.flow[0], self.decoder):
            nn.init.xavier_uniform_(layer.get_parameter("weight"))
            nn.init.zeros_(layer.get_parameter("bias"))
        for parameter in self.flow[1].parameters():
            nn.init.zeros_(parameter)
        nn.init.uniform_(self.memory.gates.weight, -0.08, 0.08)
        nn.init.zeros_(self.memory.gates.get_parameter("bias"))

    def prepare(self, frames: Float[Tensor, "b n c h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """The memory before the last frame, and what follows from that frame. Raises ContractError for frames that do
        not fit."""
        check_past("STAutoencoder", frames, self.contract)
        memory: Memory | None = None
        for frame in frames[:, :-1].unbind(1):
            memory = self.memory(self._encode(frame), memory)
        made, flow, memory = self._step(frames[:, -1], memory)
        return {"memory": memory, "made": [self._show(made)], "flows": [flow]}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b c h w"]:
        """The frame at `t`, not clamped. Raises ContractError for another t or size."""
        made: list[Tensor] = state["made"]

        def roll(count: int) -> list[Tensor]:
            while len(made) < count:
                frame, flow, state["memory"] = self._step(made[-1], state["memory"])
                made.append(self._show(frame))
                state["flows"].append(flow)
            return made

        return choose("STAutoencoder", roll, t, size, made[0], self.contract)

    def forward(self, frames: Float[Tensor, "b n c h w"], t: Time = 1) -> Float[Tensor, "b c h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """What `loss` was chosen to be, of all frames that are made (`every`: beside those of the future those of the
        past), and the penalty.

        Beyond the past it reads its own frames. Returns "loss", its parts "picture" and "smooth", and of the future the
        comparison summed over a frame's values, which is how tables give it: "mse", or "nats" where the loss is bce.
        Raises ContractError for a batch that does not fit.
        """
        check_future("STAutoencoder", batch, self.contract)
        film = torch.cat([batch.frames, batch.targets], 1)
        past = batch.frames.shape[1]
        memory: Memory | None = None
        made: list[Tensor] = []
        flows: list[Tensor] = []
        for step in range(film.shape[1] - 1):
            frame = film[:, step] if step < past else self._show(made[-1]).to(film.dtype)
            if step < past - 1 and not self.every:
                memory = self.memory(self._encode(frame), memory)
                continue
            answer, flow, memory = self._step(frame, memory)
            made.append(answer)
            flows.append(flow)
        all_made = torch.stack(made, 1).float()
        picture = compare(all_made.flatten(0, 1), film[:, -len(made) :].flatten(0, 1), self.kind)
        smooth = self.smooth * huber(torch.cat(flows).float())
        future = all_made.detach()[:, -batch.targets.shape[1] :]
        values = batch.targets[0, 0].numel()
        name: Literal["nats", "mse"] = "nats" if self.kind == "bce" else "mse"
        told = values * compare(future.flatten(0, 1), batch.targets.flatten(0, 1), "bce" if name == "nats" else "mse")
        return {"loss": picture + smooth, "picture": picture.detach(), "smooth": smooth.detach(), name: told}

    def _encode(self, frame: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f h2 w2"]:
        return F.max_pool2d(torch.tanh(self.encoder(frame)), 2)

    def _step(
        self, frame: Float[Tensor, "b c h w"], memory: Memory | None
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 2 h2 w2"], Memory]:
        """The next frame (logits where the loss is bce), its flow and the memory after `frame`."""
        features = self._encode(frame)
        memory = self.memory(features, memory)
        height, width = features.shape[-2:]
        across, down = self.flow(memory.hidden).split(1, 1)
        flow = torch.cat([across.clamp(-REACH * width, REACH * width), down.clamp(-REACH * height, REACH * height)], 1)
        warped = warp(features, flow, border="zero")
        return self.decoder(F.interpolate(warped, scale_factor=2.0)), flow, memory

    def _show(self, made: Tensor) -> Tensor:
        return torch.sigmoid(made) if self.kind == "bce" else made


def compare(made: Float[Tensor, "b c h w"], truth: Float[Tensor, "b c h w"], kind: Loss) -> Float[Tensor, ""]:
    """The mean of the chosen comparison over all values; `made` are logits for "bce"."""
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(made, truth.clamp(0, 1))
    difference = made - truth
    if kind == "mse":
        return difference.square().mean()
    return sum((part.square().mean() for part in slopes(difference)), made.new_zeros(())) / 2


def slopes(maps: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]]:
    """Differences across and down between the neighbours on either side, halved; the edge repeats."""
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return across, down


def huber(flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, ""]:
    """Huber's penalty on the length of the gradient of each component, the mean. Source: paper, section 3.3."""
    across, down = slopes(flow)
    steep = (across.square() + down.square() + 1e-12).sqrt()  # finite gradients where flow is constant
    return torch.where(steep <= DELTA, steep.square() / (2 * DELTA), steep - DELTA / 2).mean()


def carry_labels(labels: Float[Tensor, "b k h w"], flow: Float[Tensor, "b 2 h2 w2"]) -> Float[Tensor, "b k h w"]:
    """Labels of the last frame moved to the next one, by a flow of the features (see the state of `STAutoencoder`).

    labels  one plane for each class, 1 where it is; the answer's planes add up to 1 where theirs do, but for what
            comes from outside. This is the paper's application: segmentation of one frame carried along a film.
    """
    factor = labels.shape[-1] / flow.shape[-1]
    enlarged = F.interpolate(flow, labels.shape[-2:], mode="bilinear", align_corners=False) * factor
    return warp(labels, enlarged.to(labels.dtype), border="zero")
