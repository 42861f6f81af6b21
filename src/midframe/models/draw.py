"""DRAW: a picture painted in steps, each of which looks at a part and writes a part.

Gregor, Danihelka, Graves, Rezende, Wierstra: "DRAW: A Recurrent Neural Network For Image Generation", ICML 2015,
arXiv 1502.04623.

A variational autoencoder whose two halves are recurrent networks. At each of T steps the encoder is shown a part of the
picture and of what is still wrong with the canvas, and tells the decoder a few numbers z; the decoder adds something to
a part of the canvas. Which parts, the decoder decides. The loss is what the finished canvas costs to say the picture,
and what all z cost to be told: a bound on −ln p(x), in nats a picture. To make pictures the decoder runs alone, with z
from N(0, I).

    canvas c, B 1 H W of logits, and both states begin at 0; for t = 1 … T:
    error    x − σ(c)
    read     of x and error at the window of h_dec      2·read² numbers    (without attention: 2·H·W, all of both)
    encoder  LSTM(h_enc; read, h_dec)                   hidden
    latent   μ = W h_enc, ln σ = W h_enc, z = μ + σ ε   latent
    decoder  LSTM(h_dec; z)                             hidden
    write    c += patch W h_dec at the window of h_dec  write² numbers     (without attention: H·W)

    loss     −Σ ln Bernoulli(x; σ(c_T)) + ½ Σ_t Σ_d (μ² + σ² − ln σ² − 1)

A window is N × N Gaussian filters on a grid (`filter_bank`): centre, distance of the filters, their width and a gain
are five numbers found from h_dec, so it can take in the whole picture coarsely or a part of it finely.

| size | T | hidden | latent | read | write | parameters |
|---|--:|--:|--:|--:|--:|--:|
| draw | 64 | 256 | 100 | 2 | 5 | 961,515 |
| draw/plain, no attention | 64 | 256 | 100 | – | – | 2,751,448 |
| draw-s | 16 | 128 | 16 | 5 | 5 | 241,091 |
| draw-s/plain | 16 | 128 | 16 | – | – | 1,114,928 |

Pixels are counted from 1, as in the paper: the middle of a picture W wide is at (W + 1) / 2.

Where we differ: c₀ and the first states are zeros, where the paper learns them. LSTM cells are PyTorch's: two biases,
no peepholes. First weights, of which the paper says nothing, are those of Glorot and Bengio, and forget gates begin
open, so that what is told at a step is heard at the later ones. ln of distance, of width² and of gain are held within
± 8, so that no filter overflows. The divergence is the whole one; a common implementation leaves ½ T (d − 1) of it
out, and its figures with it. Unsure: whether the paper's network without attention had the same hidden size; here it
has.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.likelihood import bernoulli
from midframe.ops.gaussian import draw_normal, draw_standard, kl_normal, log_normal
from midframe.types import Batch, Film

LIMIT = 8.0  # of the logarithms that a window is made of
FLOOR = 1e-8  # of the sum of a filter: one that lies outside the picture stays near zero


@dataclass(frozen=True, slots=True)
class Window:
    """Filters of a window on a picture H × W: `rows` B N H, `columns` B N W, `gain` B 1 1 1. `box` is what it spans,
    left, top, right, bottom in pixels from 0: the centres of the outermost filters, half a distance wider."""

    rows: Float[Tensor, "b n h"]
    columns: Float[Tensor, "b n w"]
    gain: Float[Tensor, "b 1 1 1"]
    box: Float[Tensor, "b 4"]

    def read(self, pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c n n"]:
        return self.gain * (self.rows[:, None] @ pictures @ self.columns[:, None].mT)

    def write(self, patch: Float[Tensor, "b c n n"]) -> Float[Tensor, "b c h w"]:
        return (self.rows[:, None].mT @ patch @ self.columns[:, None]) / self.gain


def filter_bank(numbers: Float[Tensor, "b 5"], count: int, size: tuple[int, int]) -> Window:
    """The window of (g̃_x, g̃_y, ln σ², ln δ̃, ln γ), `count` filters each way on a picture of `size` (height, width).

    g̃ of −1…1 puts the centre within the picture, δ̃ = 1 spreads the filters from edge to edge. One filter has no
    distance: it lies at the centre. Equations 19 to 26 of the paper.
    """
    height, width = size
    longest = max(height, width)
    x, y = ((numbers[:, :2] + 1) / 2 * numbers.new_tensor([width + 1, height + 1])).chunk(2, 1)  # B 1
    variance, stride, gain = numbers[:, 2:].clamp(-LIMIT, LIMIT).exp().chunk(3, 1)
    stride = stride * (longest - 1) / max(count - 1, 1)
    places = torch.arange(1, count + 1, device=numbers.device) - count / 2 - 0.5

    def filters(centre: Tensor, length: int) -> Tensor:
        pixels = torch.arange(1, length + 1, device=numbers.device)
        offsets = pixels - (centre + places * stride)[..., None]  # B N length
        weights = (-offsets.square() / (2 * variance[..., None])).exp()
        return weights / weights.sum(-1, keepdim=True).clamp_min(FLOOR)

    reach = stride * count / 2
    box = torch.cat([x - reach, y - reach, x + reach, y + reach], 1) - 1  # to pixels from 0
    return Window(filters(y, height), filters(x, width), gain[:, :, None, None], box)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step leaves: the canvas after it, logits; what was told and how it was drawn (None when drawn from
    N(0, I)); where it wrote."""

    canvas: Float[Tensor, "b 1 h w"]
    z: Float[Tensor, "b d"]
    mean: Float[Tensor, "b d"] | None
    log_variance: Float[Tensor, "b d"] | None
    box: Float[Tensor, "b 4"] | None


class DRAW(nn.Module):
    """Generative model of black and white pictures of one size.

    size       height and width
    steps      T
    hidden     of each of both LSTMs
    latent     numbers told in a step
    read, write  filters each way of the windows; not used without attention
    attention  windows; without them each step reads and writes everything

    Raises UsageError for settings that cannot be meant.
    """

    def __init__(
        self,
        size: tuple[int, int] = (28, 28),
        *,
        steps: int = 64,
        hidden: int = 256,
        latent: int = 100,
        read: int = 2,
        write: int = 5,
        attention: bool = True,
    ) -> None:
        super().__init__()
        if min(*size, steps, hidden, latent, read, write) < 1:
            raise UsageError(
                f"DRAW: size {size}, steps {steps}, hidden {hidden}, latent {latent}, read {read} and write {write} "
                "are 1 or more."
            )
        self.size, self.steps, self.hidden, self.latent = size, steps, hidden, latent
        self.read, self.write, self.attention = read, write, attention
        pixels = size[0] * size[1]
        self.encoder = nn.LSTMCell(2 * (read**2 if attention else pixels) + hidden, hidden)
        self.told = nn.Linear(hidden, 2 * latent)  # μ and ln σ
        self.decoder = nn.LSTMCell(latent, hidden)
        if attention:
            self.read_window = nn.Linear(hidden, 5)
            self.write_window = nn.Linear(hidden, 5)
        self.patch = nn.Linear(hidden, write**2 if attention else pixels)
        self._begin()

    def bound(
        self, pictures: Float[Tensor, "b 1 h w"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        divergence = pictures.new_zeros(len(pictures))
        for step in self._follow(pictures, generator):
            assert step.mean is not None and step.log_variance is not None
            divergence = divergence + kl_normal(step.mean, step.log_variance)
        return -bernoulli(step.canvas.flatten(1), pictures.flatten(1)), divergence

    def log_weights(
        self, pictures: Float[Tensor, "b 1 h w"], count: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b k"]:
        repeated = pictures.repeat_interleave(count, 0)
        weights = repeated.new_zeros(len(repeated))
        for step in self._follow(repeated, generator):
            assert step.mean is not None and step.log_variance is not None
            weights = weights + log_normal(step.z) - log_normal(step.z, step.mean, step.log_variance)
        weights = weights + bernoulli(step.canvas.flatten(1), repeated.flatten(1))
        return weights.view(-1, count)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Minus the bound, nats a picture, of the targets, and its two halves. Raises ContractError for pictures of
        another size."""
        reconstruction, divergence = (value.mean() for value in self.bound(batch.targets.flatten(0, 1)))
        return {"loss": reconstruction + divergence, "reconstruction": reconstruction, "kl": divergence}

    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "n 1 h w"]:
        for step in self._imagine(count, generator):
            canvas = step.canvas
        return canvas.sigmoid()

    def film(self, count: int, generator: torch.Generator | None = None) -> Film:
        """The canvas after each step, as probabilities, and where the step wrote."""
        steps = list(self._imagine(count, generator))
        boxes = [step.box for step in steps if step.box is not None]
        return Film(torch.stack([step.canvas for step in steps]).sigmoid(), torch.stack(boxes) if boxes else None)

    def _begin(self) -> None:
        """First weights: those of Glorot and Bengio 2010, and LSTMs that remember (Jozefowicz et al. 2015)."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)
            if name.endswith("coder.bias_ih"):
                nn.init.ones_(parameter[self.hidden : 2 * self.hidden].data)  # of the forget gate

    def _follow(self, pictures: Float[Tensor, "b 1 h w"], generator: torch.Generator | None) -> Iterator[Step]:
        """The steps of saying `pictures`. Raises ContractError for pictures of another size."""
        if tuple(pictures.shape[1:]) != (1, *self.size):
            height, width = self.size
            raise ContractError(
                f"DRAW was made for grey pictures of {width}x{height}, B 1 {height} {width}; got "
                f"{tuple(pictures.shape)}."
            )
        state = pictures.new_zeros(len(pictures), self.hidden)
        encoder = decoder = (state, state)
        canvas = torch.zeros_like(pictures)
        for _ in range(self.steps):
            both = torch.cat([pictures, pictures - canvas.sigmoid()], 1)  # B 2 H W
            if self.attention:
                both = filter_bank(self.read_window(decoder[0]), self.read, self.size).read(both)
            encoder = self.encoder(torch.cat([both.flatten(1), decoder[0]], 1), encoder)
            mean, log_deviation = self.told(encoder[0]).float().chunk(2, 1)
            log_variance = 2 * log_deviation.clamp(-LIMIT, LIMIT)
            z = draw_normal(mean, log_variance, generator)
            decoder = self.decoder(z, decoder)
            canvas, box = self._paint(canvas, decoder[0])
            yield Step(canvas, z, mean, log_variance, box)

    def _imagine(self, count: int, generator: torch.Generator | None) -> Iterator[Step]:
        """The steps of making pictures: the decoder alone."""
        like = next(self.parameters())
        state = like.new_zeros(count, self.hidden)
        decoder = (state, state)
        canvas = like.new_zeros(count, 1, *self.size)
        for _ in range(self.steps):
            z = draw_standard((count, self.latent), generator, like)
            decoder = self.decoder(z, decoder)
            canvas, box = self._paint(canvas, decoder[0])
            yield Step(canvas, z, None, None, box)

    def _paint(
        self, canvas: Float[Tensor, "b 1 h w"], state: Float[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 4"] | None]:
        patch = self.patch(state)
        if not self.attention:
            return canvas + patch.unflatten(1, (1, *self.size)), None
        window = filter_bank(self.write_window(state), self.write, self.size)
        return canvas + window.write(patch.unflatten(1, (1, self.write, self.write))), window.box
