"""DBVI: the frame between as the one that explains its neighbours best, found by a few learnt steps of descent.

Yu, Zhang, Xiang, Zou, Chen, Ren: "Deep Bayesian Video Frame Interpolation", ECCV 2022.

If I were the frame at t, and F0t, F1t the motion to it, then I, read where F0t points, should be frame 0, and likewise
frame 1. How far it is not, is a likelihood; what motion is plausible, a prior. Both are maximised together, over the
frame and over the error of the motion, by steps of descent whose length and direction a network chooses. A step has
weights of its own.

    prepare   m = mean over the four frames and their pixels, one per channel
              F01, F0₋₁, F10, F12 = flow network, frozen                                          pixels, full size
              a0 = (F01 + F0₋₁)/2, b0 = (F01 − F0₋₁)/2;  a1, b1 likewise of frame 1
    render    F0t = a0 t² + b0 t,  F1t = a1 (1−t)² + b1 (1−t);  I = 0, H = 0, D = 0
              each step:
                g0 = splat(inside · (J0 − w(I, F0t)), F0t), averaged; g1 likewise      3 each   `descend_image`
                μ, s = convolutions of H;  G = Wᵀ(σ(s) · (W D − μ)) -> 4                       `Step.descend_flow`
                x = conv(J0, J1, I, (1−t) g0, t g1, F0t, F1t, H, G: 39 -> 16)
                x = (x + conv(U-nets of x, each with a learnt scale and shift))/2
                H = convs(x);  I += conv(H);  D += d = convs(H);  F0t += d[0:2], F1t += d[2:4]
              I/2 + m, of the last step

J = 2(frame − m) are the frames as the network sees them. H has 16 channels; D, the error of the motion, 32, of which
the first four are the error itself and the others its memory. Flow in pixels, (dx, dy); everything at full size. Order
inside: group norm (4 groups), GELU, convolution without bias; in the first convolution the other way round.

| configuration | steps | parameters | with constants folded |
|---|---|---|---|
| 8x (`dbvi`) | 4 | 15,186,048 | 7,436,416 |
| 2x (`dbvi/2x`) | 6 | 22,779,072 | 11,154,624 |

RAFT's 5,257,536, which do not learn, come on top; the paper does not count them either.

Half of the parameters do nothing: the scale and shift of the U-nets are made by a network of eight layers from a vector
of zeros. They are the same for each picture, so they can be kept as what they are: `fold`, or `folded=True` to begin
with. At first all biases are 0, so that network says 0: a scale of 1 and a shift of 0.

Where we differ from the authors' code:

* Where an outer frame is missing the window repeats the inner one, and motion there is linear: a = 0, b = F01.
* Pictures are padded with their last row and column, by the engine; theirs mirrors, and takes m before it. RAFT at half
  the size, which they take from 1080 × 2048 pixels on, is with pixel centres at halves, and times are applied after
  it is enlarged. A point counts as inside by its coordinates, not by warping a picture of ones.
* What says flow begins a tenth as loud: it is in pixels, beside pictures of −1 … 1.
* `greedy` (off as published) adds (1−t) g0 + t g1 to I in each step, so that the network begins as plain descent and
  not as a grey picture. The small form does so.
* Any estimator of flow; dense inverse search (Kroeger et al., ECCV 2016) learns nothing and needs no weights.
* Nothing is clamped, as in theirs.

Loss: Σ over steps α · mean |I/2 + m − truth|, α = 0.2 0.4 1 1 (8x) or 1 each (2x).
Checked against a description of Oceanlib/DBVI and its counts of parameters.
"""

import re
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.pixel import l1
from midframe.nn.layers import exact, resize
from midframe.nn.pair import Time, check_size, read_times
from midframe.nn.raft import RAFT
from midframe.nn.raft import from_official as raft_from_official
from midframe.ops.dense_search import DenseSearch
from midframe.ops.splat import splat
from midframe.ops.warp import warp
from midframe.types import Batch, Contract, FlowEstimator

STRIDE = 8  # of the coarsest level
GROUPS = 4  # of every group norm
SLOPE = 0.2
STYLE = (128, 512)  # zeros that the style network reads, and its width
LAYERS = 8  # of the style network
FLOWS = 4  # channels of D that are the error of F0t and F1t
INSIDE = 1e-4  # pixels beyond the edge that still count as inside
LARGE = 1080 * 2048  # pixels from which on RAFT sees frames of half the size
QUIET = 0.1  # of flow in the first weights: ours


def norm_conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, norm: bool = True) -> nn.Sequential:
    """Group norm, GELU, convolution."""
    first = [nn.GroupNorm(GROUPS, inputs)] if norm else []
    return nn.Sequential(*first, nn.GELU(), nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))


class Bottleneck(nn.Module):
    """x + 1×1 to a quarter of the channels, 3×3, 1×1 back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = width // 4
        self.convs = nn.Sequential(norm_conv(width, narrow, 1), norm_conv(narrow, narrow), norm_conv(narrow, width, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.convs(x)


class UNet(nn.Module):
    """To 1/8 of the size and back, levels added.

    widths  channels at 1/1 and 1/2, at 1/4, at 1/8
    norm    whether the first convolution has one
    """

    def __init__(self, widths: tuple[int, int, int], *, norm: bool = True) -> None:
        super().__init__()
        w0, w1, w2 = widths
        self.down1, self.down2 = norm_conv(w0, w0, 3, 2, norm=norm), norm_conv(w0, w1, 3, 2)
        self.down3 = nn.Sequential(norm_conv(w1, w2, 3, 2), Bottleneck(w2), Bottleneck(w2))
        self.up3, self.up2, self.up1 = norm_conv(w2, w1), norm_conv(w1, w0), norm_conv(w0, w0)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        x1 = self.down1(x)
        x2 = self.down2(x1)
        y = self.up3(_double(self.down3(x2))) + x2
        y = self.up2(_double(y)) + x1
        return self.up1(_double(y)) + x


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Block(nn.Module):
    """x + two U-nets, one after the other; then instance norm, scaled and shifted channel by channel.

    style  channels that scale and shift are made from; 0: they are kept as they are
    """

    def __init__(self, widths: tuple[int, int, int], style: int, *, norm: bool) -> None:
        super().__init__()
        self.nets = nn.Sequential(UNet(widths, norm=norm), UNet(widths))
        if style:
            self.style = nn.Linear(style, 2 * widths[0])
        else:
            self.constants = nn.Parameter(torch.zeros(2 * widths[0]))

    def forward(self, x: Float[Tensor, "b c h w"], style: Float[Tensor, " s"] | None) -> Float[Tensor, "b c h w"]:
        scale, shift = self._constants(style).view(2, -1, 1, 1)
        return (1 + torch.tanh(scale)) * F.instance_norm(self.nets(x) + x) + shift

    def _constants(self, style: Tensor | None) -> Tensor:
        return self.constants if style is None else self.style(style)

    def fold(self, style: Float[Tensor, " s"]) -> None:
        self.constants = nn.Parameter(self._constants(style).detach())
        del self.style


class Step(nn.Module):
    """One step of descent, with weights of its own.

    widths  channels of the features, and of the U-nets at 1/4 and 1/8 of the size
    memory  channels of the error of the motion
    blocks  pairs of U-nets
    folded  scales and shifts are constants instead of a network's answer to zeros
    """

    def __init__(self, widths: tuple[int, int, int], memory: int, blocks: int, *, folded: bool) -> None:
        super().__init__()
        width = widths[0]
        self.folded = folded
        if not folded:
            inputs, middle = STYLE
            layers: list[nn.Module] = []
            for k in range(LAYERS):
                layers += [nn.Linear(middle if k else inputs, middle), nn.LeakyReLU(SLOPE)]
            self.mapping = nn.Sequential(*layers)
        self.prior = nn.Sequential(norm_conv(width, width), norm_conv(width, 2 * memory, 1))
        self.turn = nn.Parameter(torch.empty(memory, memory))
        self.compress = norm_conv(memory, FLOWS, 1)
        seen = 5 * 3 + FLOWS + width + FLOWS
        self.first = nn.Sequential(nn.Conv2d(seen, width, 3, 1, 1, bias=False), nn.GroupNorm(GROUPS, width), nn.GELU())
        style = 0 if folded else STYLE[1]
        self.blocks = nn.ModuleList(Block(widths, style, norm=k == 0) for k in range(blocks))
        self.last = norm_conv(width, width)
        self.hidden = nn.Sequential(norm_conv(width, width), norm_conv(width, width))
        self.to_image = norm_conv(width, 3)
        self.to_flow = nn.Sequential(norm_conv(width, width), norm_conv(width, memory, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.orthogonal_(self.turn)
        nn.init.zeros_(self.to_image.get_parameter("2.weight"))
        nn.init.zeros_(self.to_flow.get_parameter("1.2.weight"))
        with torch.no_grad():
            self.first.get_parameter("0.weight")[:, 15 : 15 + FLOWS] *= QUIET

    def forward(
        self, known: Float[Tensor, "b 19 h w"], hidden: Float[Tensor, "b c h w"], memory: Float[Tensor, "b d h w"]
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 3 h w"], Float[Tensor, "b d h w"]]:
        """The next hidden state; what is added to the image; what is added to the error of the motion.

        known  both frames, the image, its two gradients, the two flows
        """
        slope = self.compress(self.descend_flow(hidden, memory))
        x = first = self.first(torch.cat([known, hidden, slope], 1))
        style = self._style()
        for block in self.blocks:
            x = block(x, style)
        hidden = self.hidden((self.last(x) + first) / 2)
        return hidden, self.to_image(hidden), self.to_flow(hidden)

    def descend_flow(
        self, hidden: Float[Tensor, "b c h w"], memory: Float[Tensor, "b d h w"]
    ) -> Float[Tensor, "b d h w"]:
        """Gradient of the motion's Gaussian prior: Wᵀ(σ(s) · (W D − μ)), μ and s from the hidden state."""
        mean, spread = self.prior(hidden).chunk(2, 1)
        turned = F.conv2d(memory, self.turn[..., None, None])
        return F.conv2d((turned - mean) * torch.sigmoid(spread), self.turn.t()[..., None, None])

    def _style(self) -> Float[Tensor, " s"] | None:
        return None if self.folded else self.mapping(self.turn.new_zeros(STYLE[0]))

    def fold(self) -> None:
        style = self._style()
        if style is not None:
            for block in self.modules():
                if isinstance(block, Block):
                    block.fold(style)
            del self.mapping
            self.folded = True


def descend_image(
    image: Float[Tensor, "b 3 h w"], frame: Float[Tensor, "b 3 h w"], flow: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b 3 h w"]:
    """Where `image`, warped to the frame's time, differs from `frame`, carried back: a step of length 1 downhill.

    flow  from the frame to the image, pixels

    splat(inside · (frame − warp(image, flow)), flow), the mean of all that land at a pixel, 0 where nothing does. But
    for the mean it is the negative gradient of ½ Σ inside · (frame − warp(image))² in the image.
    Source: paper, section 3; authors' code, fidelityGradCuda.
    """
    return splat(_inside(flow) * (frame - warp(image, flow)), flow, mode="average")


def _inside(flow: Float[Tensor, "b 2 h w"]) -> Bool[Tensor, "b 1 h w"]:
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, :1].detach()
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1:].detach()
    return (x >= -INSIDE) & (x <= width - 1 + INSIDE) & (y >= -INSIDE) & (y <= height - 1 + INSIDE)


class DBVI(nn.Module):
    """Synthesizer for any 0 < t < 1 between the second and the third of four frames.

    alpha   weight of each step's picture in the loss: as many steps as there are weights
    widths  channels of the features, and of the U-nets at 1/4 and 1/8 of the size; multiples of 4, the last of 32
    memory  channels of the error of the motion; a multiple of 4
    blocks  pairs of U-nets in a step
    folded  without the networks that only make constants; see `fold`
    greedy  each step of the image is plain descent, and what the network adds
    margin  pixels, a multiple of 8, by which frames are continued on all sides, repeating their edge, while they are
            worked on. Where motion points out of a frame the mean of `descend_image` counts pixels that say nothing,
            and an untrained edge is too dark; the published networks have learnt to mend it, smaller ones have not
    flow    "raft": RAFT, frozen, 12 iterations; "dis": dense inverse search, on the CPU, without weights; or an
            estimator of one's own: it becomes a part of this one if it is a module, and learns nothing here

    The state is {"frames": B 2 3 H W, the inner two, "mean": B 3 1 1, "flows": B 8 H W, a0, b0, a1, b1}, all with the
    margin; the object holds parameters only. Raises UsageError for settings that cannot be meant.
    """

    def __init__(
        self,
        *,
        alpha: tuple[float, ...] = (0.2, 0.4, 1.0, 1.0),
        widths: tuple[int, int, int] = (16, 64, 256),
        memory: int = 32,
        blocks: int = 2,
        folded: bool = False,
        greedy: bool = False,
        margin: int = 0,
        flow: FlowEstimator | Literal["raft", "dis"] = "raft",
    ) -> None:
        super().__init__()
        if not alpha or blocks < 1 or any(width % GROUPS or width < GROUPS for width in (*widths, memory)):
            raise UsageError(
                f"DBVI takes a weight for each step, one block or more, and widths and memory that are multiples of "
                f"{GROUPS}; got {alpha}, {blocks}, {widths}, {memory}."
            )
        if widths[2] % (8 * GROUPS):  # a quarter of it is normalised in groups, at 1/8: of 8 × 8 pixels a single one
            raise UsageError(f"DBVI: the last width is a multiple of {8 * GROUPS}, got {widths[2]}.")
        if margin < 0 or margin % STRIDE:
            raise UsageError(f"DBVI: margin is a multiple of {STRIDE}, got {margin}.")
        if isinstance(flow, str) and flow not in ("raft", "dis"):
            raise UsageError(f'DBVI: flow is "raft", "dis" or an estimator, got {flow!r}.')
        self.contract = Contract(inputs=(-1, 0, 1, 2), multiple=STRIDE, minimum=STRIDE)
        self.alpha, self.greedy, self.centred = alpha, greedy, flow == "raft"
        self.margin = margin
        self.flow: FlowEstimator
        if isinstance(flow, str):
            self.flow = RAFT() if flow == "raft" else DenseSearch()
        else:
            self.flow = flow
        if isinstance(self.flow, nn.Module):
            self.flow.requires_grad_(False)
        self.steps = nn.ModuleList(Step(widths, memory, blocks, folded=folded) for _ in alpha)
        self.hidden, self.memory = widths[0], memory

    def train(self, mode: bool = True) -> "DBVI":
        """As of every module, but the flow network stays as it is used: its statistics do not learn either."""
        super().train(mode)
        if isinstance(self.flow, nn.Module):
            self.flow.eval()
        return self

    def fold(self) -> "DBVI":
        """Keep scales and shifts as constants, without the networks that make them; the same answers. In place."""
        for step in self.modules():
            if isinstance(step, Step):
                step.fold()
        return self

    def prepare(self, frames: Float[Tensor, "b 4 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Motion of the inner frames. Raises ContractError if the frames are not four, or of another size."""
        if frames.ndim != 5 or frames.shape[1:3] != (4, 3):
            raise ContractError(f"DBVI reads four RGB frames, B 4 3 H W; got {tuple(frames.shape)}.")
        height, width = frames.shape[-2:]
        if height % STRIDE or width % STRIDE or not frames.numel():
            raise ContractError(
                f"DBVI needs height and width to be multiples of {STRIDE}; got {height}×{width}. "
                "Pad them (midframe.ops.pad) and cut the result."
            )
        mean = frames.mean((1, 3, 4))[..., None, None]
        if self.margin:
            frames = torch.unflatten(F.pad(frames.flatten(0, 1), (self.margin,) * 4, mode="replicate"), 0, (-1, 4))
        with torch.no_grad():
            flows = self._find_motion(frames, mean)
        return {"frames": frames[:, 1:3], "mean": mean, "flows": flows}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h w"]:
        """The frame at t, not clamped. Raises ContractError unless 0 < t < 1 and `size` is the frames'."""
        frames: Tensor = state["frames"]
        check_size("DBVI", size, self.inner(frames))
        return self.descend(state, read_times("DBVI", t, frames, self.contract))[-1][0]

    def forward(self, frames: Float[Tensor, "b 4 3 h w"], t: Time) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Σ over steps α · mean absolute difference. Returns "loss", and "l1" of the last step.

        Raises ContractError if the frames are not four, or the targets of another size.
        """
        count = batch.targets.shape[1]
        state = {name: value.repeat_interleave(count, 0) for name, value in self.prepare(batch.frames).items()}
        truth = batch.targets.flatten(0, 1)
        times = batch.target_times.reshape(-1, 1, 1, 1).to(truth)
        found = [l1(picture, truth) for picture, _ in self.descend(state, times)]
        loss = torch.stack([share * one for share, one in zip(self.alpha, found, strict=True)]).sum()
        return {"loss": loss, "l1": found[-1].detach()}

    def descend(
        self, state: dict[str, Any], t: Float[Tensor, "b 1 1 1"]
    ) -> list[tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 4 h w"]]]:
        """The frame at t and the motion to it, from frame 0 and from frame 1, pixels, after each step."""
        mean = state["mean"]
        frame0, frame1 = (2 * (state["frames"] - mean[:, None])).unbind(1)
        batch, _, height, width = frame0.shape
        image = torch.zeros_like(frame0)
        hidden = frame0.new_zeros(batch, self.hidden, height, width)
        error = frame0.new_zeros(batch, self.memory, height, width)
        flow = move(state["flows"], exact(t))
        found = []
        for step in self.steps:
            slope0 = (1 - t) * descend_image(image, frame0, flow[:, :2])
            slope1 = t * descend_image(image, frame1, flow[:, 2:])
            known = torch.cat([frame0, frame1, image, slope0, slope1, flow.to(frame0)], 1)
            hidden, added, wrong = step(known, hidden, error)
            image = image + added + (slope0 + slope1 if self.greedy else 0)
            error = error + wrong
            flow = flow + exact(wrong[:, :FLOWS])
            found.append((self.inner(image / 2 + mean), self.inner(flow)))
        return found

    def inner(self, maps: Float[Tensor, "*b h w"]) -> Float[Tensor, "*b h2 w2"]:
        """Without the margin."""
        m = self.margin
        return maps[..., m:-m, m:-m] if m else maps

    def _find_motion(self, frames: Tensor, mean: Float[Tensor, "b 3 1 1"]) -> Float[Tensor, "b 8 h w"]:
        """a0, b0, a1, b1, float32."""
        seen = frames - mean[:, None] + 0.5 if self.centred else frames  # RAFT, too, makes 2x − 1 of it
        halved = self.centred and frames.shape[-2] * frames.shape[-1] >= LARGE
        if halved:
            seen = torch.stack([resize(frame, 0.5) for frame in seen.unbind(1)], 1)
        before, frame0, frame1, after = seen.unbind(1)
        parts = []
        for here, there, outer in ((frame0, frame1, before), (frame1, frame0, after)):
            ahead, behind = exact(self.flow.flow(here, there)), exact(self.flow.flow(here, outer))
            given = (outer != here).flatten(1).any(1).view(-1, 1, 1, 1)  # not so at a cut, and at the ends of a film
            parts += [(ahead + behind).where(given, 0) / 2, (ahead - behind).where(given, 2 * ahead) / 2]
        motion = torch.cat(parts, 1)
        return 2 * resize(motion, 2) if halved else motion


def move(motion: Float[Tensor, "b 8 h w"], t: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, "b 4 h w"]:
    """F0t and F1t, pixels: a0 t² + b0 t, and a1 s² + b1 s with s = 1 − t. Source: authors' code, getFt."""
    bend0, line0, bend1, line1 = motion.chunk(4, 1)
    s = 1 - t
    return torch.cat([bend0 * t**2 + line0 * t, bend1 * s**2 + line1 * s], 1)


NAMES = (  # of the authors' tensors, as patterns, and ours
    (r"^(module\.)?subNet_(\d)\.", r"steps.\2."),
    (r"\.convUV\.", ".prior."),
    (r"\.invConv\.weight$", ".turn"),
    (r"\.compConv\.", ".compress."),
    (r"\.inConv\.", ".first."),
    (r"\.style_block\.lrConv\.", ".last."),
    (r"\.style_block\.trans(\d)\.", r".blocks.\1.style."),
    (r"\.style_block\.(\d)\.RDB1\.", r".blocks.\1.nets.0."),
    (r"\.style_block\.(\d)\.RDB2\.", r".blocks.\1.nets.1."),
    (r"\.block([12])\.0\.downConv1\.", r".down\1."),
    (r"\.block3\.0\.downConv1\.", ".down3.0."),
    (r"\.block3\.([12])\.conv(\d)\.", r".down3.\1.convs.\2."),
    (r"\.deBlock0\.0\.upConv1\.1\.", ".up3."),
    (r"\.deBlock1\.0\.upConv1\.1\.", ".up2."),
    (r"\.deBlock2\.0\.upConv1\.1\.", ".up1."),
    (r"\.convNext\.", ".hidden."),
    (r"\.toRGB\.", ".to_image."),
    (r"\.toFlow\.", ".to_flow."),
    (r"\.block\.", "."),
)


def from_official(state: dict[str, Tensor], raft: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' checkpoint of the same number of steps, and that of RAFT, which theirs lacks, with our names."""
    renamed = {f"flow.{key}": value for key, value in raft_from_official(raft).items()}
    for key, value in state.items():
        for theirs, ours in NAMES:
            key = re.sub(theirs, ours, key)
        renamed[key] = value
    return renamed
