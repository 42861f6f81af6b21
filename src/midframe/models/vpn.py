"""Video Pixel Networks: the next frame pixel by pixel, each with its exact probability given all that came before.

Kalchbrenner, van den Oord, Simonyan, Danihelka, Vinyals, Graves, Kavukcuoglu: "Video Pixel Networks", ICML 2017, arXiv
1610.00527.

    p(video) = Π_t Π_pixels p(pixel | all earlier frames, the pixels above it and to its left)

An encoder reads each frame, a convolutional LSTM remembers them, and a decoder whose convolutions are masked reads
what it remembers and the frame itself, so far as it is there. In training the whole frame is there, and masks keep each
pixel from seeing itself and what comes after; so all pixels are learnt from in one pass. To sample a frame, its pixels
are drawn one after the other.

    encoder    frame t−1, 1×1                       2c channels, full size throughout
               8 × RMB, dilations 1 2 4 8 1 2 4 8
    memory     ConvLSTM 3×3                         2c: the context of frame t
    decoder    RMB of the context and frame t, mask A in its first unit
               10 × RMB, masked (B), 1 × RMB without its skip
               1×1                                  1 logit for grey pictures; 256 for each of R, G, B

    RMB        residual multiplicative block: 1×1 2c → c, unit, unit, 1×1 c → 2c, + input
    unit       g₁, g₂, g₃ = σ(3×3 h), u = tanh(3×3 h);  g₁ ∘ tanh(g₂ ∘ h + g₃ ∘ u)

Masks. A 3×3 convolution of the decoder sees the row above and the pixel to the left; mask B the pixel itself as well.
Mask A, in the first unit, hides the pixel's own value, and that unit leaves g₂ ∘ h at g₂, for h holds it. Channels of
the context may always be seen where the pixel is. In colour the channels are in three groups, R, G, B, and where the
pixel is a group sees those before it; itself only with mask B. Stacked masks of 3×3 never see a wedge above to the
right (the blind spot of PixelCNN), which the paper leaves as it is.

| system | c | encoder | decoder | parameters |
|---|---|---|---|---|
| vpn | 128 | 8 RMBs | 12 RMBs | 29,651,968 |
| vpn-s | 12 | 3 RMBs, dilations 1 2 4 | 3 RMBs | 108,072 |

`masked=False` is the paper's baseline: the same encoder and memory, and a decoder without masks that does not see frame
t, so that pixels are independent of each other given the past.

Likelihood: `loss` is −ln p in nats for a frame, the mean over frames and samples, with the true past (teacher forcing).
For grey pictures the values are taken as probabilities, as all figures on Moving MNIST do: H(x, y) = −Σ x ln y +
(1 − x) ln(1 − y), whose lowest value is the entropy of the data (86.3 nats for the published test sequences), not 0.

Sampling costs as much as one pass of the decoder for each frame, not one for each pixel: every masked convolution keeps
what it has read so far, and a new pixel asks it for one place only (`Cache`). `prepare` draws all random numbers, so
that a state is one future; frames are made when they are asked for, and kept.

Where we differ: the context is masked as the frame is, as in public code; that loses nothing, since encoder and memory
look everywhere. Which convolution ends the last block is not told clearly: here it has no skip, and 1×1 to the logits
follows. The paper's ablation with ReLU blocks and the conditioning on a robot's actions are not here. Checked against
descriptions of the paper and of o-tawab/Video-Pixel-Networks.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from midframe.errors import UsageError
from midframe.losses.likelihood import bernoulli
from midframe.nn.ahead import ahead, check_future, check_past, choose
from midframe.nn.conv_lstm import ConvLSTMCell, Memory
from midframe.nn.pair import Time
from midframe.types import Batch

LEVELS = 256  # values of a colour; grey pictures have one logit instead

Draw = Literal["sample", "mean"]
Groups = Int64[Tensor, " c"]  # the colour that a channel may know: 0, 1, 2; −1: of the context


def groups_of(channels: int, colours: int) -> Groups:
    """Channels in as many groups as there are colours, in order, of equal size up to one."""
    return torch.arange(channels) * colours // channels


def mask_of(inputs: Groups, outputs: Groups, kernel: int, *, itself: bool) -> Bool[Tensor, "o i k k"]:
    """Which weights of a convolution may be other than 0; `itself`: mask B, else A. See the top of the file."""
    mask = torch.zeros(len(outputs), len(inputs), kernel, kernel, dtype=torch.bool)
    middle = kernel // 2
    mask[:, :, :middle] = True
    mask[:, :, middle, :middle] = True
    mask[:, :, middle, middle] = inputs[None] <= outputs[:, None] if itself else (inputs[None] < outputs[:, None])
    return mask


class Masked(nn.Conv2d):
    """A convolution whose weights are 0 where `mask` (as of `mask_of`) is False; None: a plain one."""

    def __init__(self, inputs: int, outputs: int, kernel: int, mask: Bool[Tensor, "o i k k"] | None, dilation: int = 1):
        super().__init__(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.register_buffer("mask", mask, persistent=False)
        self.mask: Tensor | None

    def seen(self) -> Float[Tensor, "o i k k"]:
        """The weights that count."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        return F.conv2d(x, self.seen(), self.bias, padding=self.padding, dilation=self.dilation)


class Unit(nn.Module):
    """Multiplicative unit. g₁, g₂, g₃ and u come from one convolution, in this order.

    blind  mask A: h holds the pixel's own value, so it must not be multiplied with
    """

    def __init__(
        self, channels: int, dilation: int = 1, inputs: Groups | None = None, colours: int = 1, *, blind: bool = False
    ) -> None:
        super().__init__()
        mask = None
        if inputs is not None:
            mask = mask_of(inputs, groups_of(channels, colours).repeat(4), 3, itself=not blind)
        self.gates = Masked(channels, 4 * channels, 3, mask, dilation)
        self.blind = blind

    def forward(self, h: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.combine(self.gates(h), h)

    def combine(self, gates: Float[Tensor, "b c4 *place"], h: Float[Tensor, "b c *place"]) -> Tensor:
        g1, g2, g3, u = gates.chunk(4, 1)
        kept = g2.sigmoid() if self.blind else g2.sigmoid() * h
        return g1.sigmoid() * torch.tanh(kept + g3.sigmoid() * torch.tanh(u))


class RMB(nn.Module):
    """Residual multiplicative block.

    colours  0: nothing is masked (the encoder's, the baseline's); else masked, the frame having so many colours
    sees     channels of the frame that the block reads beside its input: the decoder's first one
    skip     whether the input is added
    """

    def __init__(self, width: int, dilation: int = 1, *, colours: int = 0, sees: int = 0, skip: bool = True) -> None:
        super().__init__()
        inner, wide, pairs = None, None, None
        if colours:
            wide, inner = groups_of(2 * width, colours), groups_of(width, colours)
            pairs = mask_of(inner, wide, 1, itself=True)
        narrow = mask_of(wide, inner, 1, itself=True) if wide is not None and inner is not None and not sees else None
        first = torch.cat([torch.arange(sees), torch.full((width - sees,), -1)]) if sees else inner
        self.reduce = Masked(2 * width, width - sees, 1, narrow)
        self.first = Unit(width, dilation, first, colours, blind=sees > 0)
        self.second = Unit(width, dilation, inner, colours)
        self.expand = Masked(width, 2 * width, 1, pairs)
        self.skip = skip

    def forward(
        self, x: Float[Tensor, "b c2 h w"], frame: Float[Tensor, "b s h w"] | None = None
    ) -> Float[Tensor, "b c2 h w"]:
        h = self.reduce(x)
        if frame is not None:
            h = torch.cat([frame, h], 1)
        out = self.expand(self.second(self.first(h)))
        return x + out if self.skip else out


class Decoder(nn.Module):
    """Context and frame → logits, B colours·levels H W."""

    def __init__(self, width: int, blocks: int, colours: int, levels: int, *, masked: bool) -> None:
        super().__init__()
        known = colours if masked else 0
        self.blocks = nn.ModuleList(
            RMB(width, colours=known, sees=known if k == 0 else 0, skip=k < blocks - 1) for k in range(blocks)
        )
        outputs = torch.arange(colours).repeat_interleave(levels)
        mask = mask_of(groups_of(2 * width, colours), outputs, 1, itself=True) if masked else None
        self.out = Masked(2 * width, colours * levels, 1, mask)
        self.masked, self.colours = masked, colours

    def forward(self, context: Float[Tensor, "b c2 h w"], frame: Float[Tensor, "b s h w"]) -> Float[Tensor, "b l h w"]:
        x = context
        for k, block in enumerate(self.blocks):
            x = block(x, frame if self.masked and k == 0 else None)
        return self.out(x)


class Cache:
    """A masked decoder that is asked for one pixel after the other, in the order of reading, and forgets nothing.

    For each 3×3 convolution it keeps what that has read, with a rim of zeros, channels last; a new pixel needs five of
    its places. Only for computing, without gradients: it holds the weights as they were when it was made.

    `frame` B S H W is what has been put so far, zeros elsewhere.
    """

    def __init__(self, decoder: Decoder, context: Float[Tensor, "b c2 h w"]) -> None:
        self.blocks = [block for block in decoder.blocks if isinstance(block, RMB)]
        self.units = [unit for block in self.blocks for unit in (block.first, block.second)]
        self.context = context.permute(2, 3, 0, 1).contiguous()  # H W B 2c
        self.reduced = self.blocks[0].reduce(context).permute(2, 3, 0, 1).contiguous()
        batch, _, height, width = context.shape
        self.frame = context.new_zeros(batch, decoder.colours, height, width)
        # the taps above, then those of the row itself up to the pixel, as rows of a matrix: O × 5·I
        kernels = [unit.gates.seen() for unit in self.units]
        self.taps = [torch.cat([w[:, :, 0], w[:, :, 1, :2]], 2).transpose(1, 2).flatten(1) for w in kernels]
        self.read = [context.new_zeros(height + 1, width + 2, batch, w.shape[1]) for w in kernels]
        self.narrow = [_matrix(block.reduce) for block in self.blocks]
        self.widen = [_matrix(block.expand) for block in self.blocks]
        self.out = _matrix(decoder.out)

    def logits(self, row: int, column: int) -> Float[Tensor, "b l"]:
        """Of one pixel, given what has been put. All pixels before it have been asked for, in order, and put."""
        x = self.context[row, column]
        for k, block in enumerate(self.blocks):
            h = F.linear(x, *self.narrow[k]) if k else self._beside(row, column)
            for part in (2 * k, 2 * k + 1):
                h = self._unit(part, h, row, column)
            out = F.linear(h, *self.widen[k])
            x = x + out if block.skip else out
        return F.linear(x, *self.out)

    def put(self, row: int, column: int, colour: int, values: Float[Tensor, " b"]) -> None:
        """One colour of a pixel has these values.

        Of all that was kept for this pixel only the first convolution's input holds the frame as it was: what the
        others have read depends, where the pixel is, on the colours before alone, which were there.
        """
        self.frame[:, colour, row, column] = values
        self.read[0][row + 1, column + 1, :, colour] = values

    def _beside(self, row: int, column: int) -> Float[Tensor, "b c"]:
        return torch.cat([self.frame[:, :, row, column], self.reduced[row, column]], 1)

    def _unit(self, part: int, h: Float[Tensor, "b c"], row: int, column: int) -> Float[Tensor, "b c"]:
        read, unit = self.read[part], self.units[part]
        read[row + 1, column + 1] = h
        seen = torch.cat([read[row, column : column + 3], read[row + 1, column : column + 2]])  # 5 B C
        return unit.combine(F.linear(seen.transpose(0, 1).flatten(1), self.taps[part], unit.gates.bias), h)


def _matrix(conv: Masked) -> tuple[Float[Tensor, "o i"], Tensor | None]:
    """A convolution of 1×1 as weights and bias of `F.linear`."""
    return conv.seen().flatten(1), conv.bias


class VPN(nn.Module):
    """Predictor of the next frames, one sample of them for each state.

    width      c
    dilations  of the encoder's blocks, one each
    blocks     of the decoder, 2 at least
    inputs, horizon   frames read, frames made
    colours    1: grey pictures, a Bernoulli logit each; 3: RGB, 256 levels each, rounded
    masked     False: the baseline, which draws all pixels of a frame at once
    draw       "sample": values are drawn, black or white in grey pictures; "mean": what is expected in place of a draw,
               the same each time

    The state is {"frames", "numbers", "context", ...} and grows as frames are asked for; the object holds parameters.
    """

    def __init__(
        self,
        *,
        width: int = 128,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2, 4, 8),
        blocks: int = 12,
        inputs: int = 10,
        horizon: int = 10,
        colours: int = 1,
        masked: bool = True,
        draw: Draw = "sample",
    ) -> None:
        super().__init__()
        if width <= colours or blocks < 2 or min(dilations, default=0) < 1 or draw not in ("sample", "mean"):
            raise UsageError(
                "VPN: width is more than the colours, blocks at least 2, dilations at least 1, draw is sample or "
                f"mean; got {width}, {blocks}, {dilations} and {draw!r}."
            )
        self.contract = ahead(inputs, horizon, channels=colours, random=draw == "sample")
        self.colours, self.levels, self.draw = colours, 1 if colours == 1 else LEVELS, draw
        self.enter = nn.Conv2d(colours, 2 * width, 1)
        self.encoder = nn.Sequential(*(RMB(width, dilation) for dilation in dilations))
        self.memory = ConvLSTMCell(2 * width, 2 * width)
        self.decoder = Decoder(width, blocks, colours, self.levels, masked=masked)

    def prepare(self, frames: Float[Tensor, "b n c h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """One future, of which nothing is made yet. The same state of `generator` gives the same one.

        Raises ContractError for frames that do not fit.
        """
        check_past("VPN", frames, self.contract)
        memory: Memory | None = None
        for frame in frames.unbind(1):
            memory = self.memory(self._encode(frame), memory)
        place = generator.device if generator is not None else torch.device("cpu")
        shape = (self.contract.covers[1], *frames[:, 0].shape)
        numbers = torch.rand(shape, generator=generator, device=place).to(frames)
        return {"last": frames[:, -1], "memory": memory, "numbers": numbers, "frames": []}

    def render(
        self, state: dict[str, Any], t: Time = 1.0, size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b c h w"]:
        """The frame at t = 1, 2, …, values in [0, 1]. Raises ContractError for another t or size."""

        def made(count: int) -> list[Tensor]:
            frames: list[Tensor] = state["frames"]
            while len(frames) < count:
                frames.append(self.make(state["memory"].hidden, state["numbers"][len(frames)]))
                state["memory"] = self.memory(self._encode(frames[-1]), state["memory"])
            return frames

        return choose("VPN", made, t, size, state["last"], self.contract)

    def forward(self, frames: Float[Tensor, "b n c h w"], t: Time = 1.0) -> Float[Tensor, "b c h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """ "loss": −ln p of a target frame given the true frames before it, nats, mean over targets and samples.

        Raises ContractError for a batch that does not fit.
        """
        check_future("VPN", batch, self.contract)
        contexts = self.read(batch)
        logits = self.decoder(contexts.flatten(0, 1), batch.targets.flatten(0, 1))
        return {"loss": self.nats(logits, batch.targets.flatten(0, 1)).mean()}

    def read(self, batch: Batch) -> Float[Tensor, "b m c2 h w"]:
        """What the memory holds when each target is to be told, all frames before it being the true ones."""
        frames = torch.cat([batch.frames, batch.targets[:, :-1]], 1)
        encoded = self._encode(frames.flatten(0, 1))
        encoded = encoded.view(*frames.shape[:2], *encoded.shape[1:])
        memory: Memory | None = None
        contexts = []
        for x in encoded.unbind(1):
            memory = self.memory(x, memory)
            contexts.append(memory.hidden)
        return torch.stack(contexts[batch.frames.shape[1] - 1 :], 1)

    def nats(self, logits: Float[Tensor, "b l h w"], frame: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        """−ln p of each frame, in float32."""
        if self.levels == 1:
            return -bernoulli(logits.flatten(1), frame.flatten(1))
        by_level = self._by_level(logits).transpose(1, 2)  # B levels C H W
        return F.cross_entropy(by_level, _to_levels(frame), reduction="none").flatten(1).sum(1)

    @torch.no_grad()
    def make(
        self, context: Float[Tensor, "b c2 h w"], numbers: Float[Tensor, "b c h w"], *, cached: bool = True
    ) -> Float[Tensor, "b c h w"]:
        """A frame, drawn with `numbers` in [0, 1): a pixel takes the value below which their share of its distribution
        lies.

        cached  False: a whole pass of the decoder for each pixel, as the formulas say; for tests
        """
        if not self.decoder.masked:
            return self._choose(self.decoder(context, numbers), numbers)
        cache = Cache(self.decoder, context)
        height, width = numbers.shape[2:]
        for row in range(height):
            for column in range(width):
                here = numbers[:, :, row : row + 1, column : column + 1]
                for colour in range(self.colours):
                    if cached:
                        logits = cache.logits(row, column)
                    else:
                        logits = self.decoder(context, cache.frame)[:, :, row, column]
                    drawn = self._choose(logits[..., None, None], here)
                    cache.put(row, column, colour, drawn[:, colour, 0, 0])
        return cache.frame

    def _choose(self, logits: Float[Tensor, "b l h w"], numbers: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if self.levels == 1:
            chance = logits.float().sigmoid()
            drawn = chance if self.draw == "mean" else (numbers < chance).float()
        else:
            shares = self._by_level(logits).softmax(2)
            if self.draw == "mean":
                steps = torch.arange(self.levels, device=shares.device).view(-1, 1, 1)
                drawn = (shares * steps).sum(2) / (self.levels - 1)
            else:
                below = shares.cumsum(2) <= numbers[:, :, None]
                drawn = below.sum(2).clamp(max=self.levels - 1) / (self.levels - 1)
        return drawn.to(numbers.dtype)

    def _by_level(self, logits: Float[Tensor, "b l h w"]) -> Float[Tensor, "b c levels h w"]:
        return logits.float().reshape(len(logits), self.colours, self.levels, *logits.shape[2:])

    def _encode(self, frame: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
        encoded: Tensor = self.encoder(self.enter(frame))
        return encoded


def _to_levels(frame: Float[Tensor, "b c h w"]) -> Int64[Tensor, "b c h w"]:
    return (frame.float() * (LEVELS - 1)).round().clamp(0, LEVELS - 1).long()
