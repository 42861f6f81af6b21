"""VAE: pictures from a few numbers, by an encoder and a decoder that are learnt together.

Kingma, Welling: "Auto-Encoding Variational Bayes", ICLR 2014, arXiv 1312.6114.

A picture x is thought to be made from a vector z of N(0, I) by a decoder p(x|z). Which z made a given x cannot be
computed, so an encoder q(z|x) = N(μ(x), diag σ²(x)) guesses it. What is maximised is a lower bound of ln p(x),

    ln p(x) ≥ E_q [ln p(x|z)] − KL(q(z|x) ‖ N(0, I)),

with one z = μ + σ ε for each picture, ε from N(0, I), so that gradients pass through the drawing; the divergence is
known in closed form. The loss is minus the bound, in nats a picture.

    encoder   H·W → hidden, tanh … → 2·latent          μ and ln σ²
    decoder   latent → hidden backwards, tanh … → H·W  logits of black and white pixels ("bernoulli"), or
                                                2·H·W  means, and ln σ² ("gaussian") or ln of the scales
                                                       ("discretised_logistic") of grey ones

With `samples` k > 1 it is trained by the tighter bound of Burda, Grosse, Salakhutdinov, "Importance Weighted
Autoencoders", ICLR 2016, arXiv 1509.00519: ln of the mean of k weights p(x, z) / q(z|x).

| variant | hidden | latent | k | parameters |
|---|---|--:|--:|--:|
| base | 500 | 20 | 1 | 815,824 |
| deep | 200, 200 | 50 | 1 | 425,284 |
| iwae | 200, 200 | 50 | 5 | 425,284 |
| plane | 500 | 2 | 1 | 788,788 |

"base" is the paper's network for MNIST, "deep" and "iwae" that of Burda et al. with one layer of random numbers.

Where we differ: first weights are those of Glorot and Bengio 2010, as Burda et al. have them (the paper writes
N(0, 0.01), which may mean a variance or a deviation); trained by AdamW rather than Adagrad; weight decay stands for the
paper's prior on the weights. The mean of a grey pixel passes a sigmoid, as the paper's does for faces; `squash=False`
leaves it as it is, which makes the linear model (`hidden=()`) probabilistic PCA.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.likelihood import average_weights, bernoulli, discretised_logistic, gaussian
from midframe.ops.gaussian import draw_normal, draw_standard, kl_normal, log_normal
from midframe.types import Batch, Film

Likelihood = Literal["bernoulli", "gaussian", "discretised_logistic"]

LIKELIHOODS = ("bernoulli", "gaussian", "discretised_logistic")
WALK = 60  # frames of a film
EDGE = 0.05  # of the probability on either side, which the map of a plane leaves out


def perceptron(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Fully connected layers with tanh between them."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.Tanh()]
        inputs = width
    made = nn.Sequential(*layers, nn.Linear(inputs, outputs))
    for layer in made:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return made


class VAE(nn.Module):
    """Generative model of grey pictures of one size.

    size        height and width
    hidden      widths of the encoder's hidden layers; the decoder has them backwards
    latent      numbers that a picture is made from
    likelihood  what the decoder says of a pixel: "bernoulli" of black and white, "gaussian" of any value,
                "discretised_logistic" of 256 levels
    beta        weight of the divergence in the loss; at 1 the loss is a bound (Higgins et al. 2017 take more)
    samples     k, vectors a picture in the loss; above 1 it is the importance weighted bound
    squash      means of grey pixels pass a sigmoid

    `encoder` and `decoder` may be replaced by any modules from B H·W to B 2·latent and from N latent to N H·W (or
    N 2·H·W). Raises UsageError for settings that cannot be meant.
    """

    def __init__(
        self,
        size: tuple[int, int] = (28, 28),
        *,
        hidden: tuple[int, ...] = (500,),
        latent: int = 20,
        likelihood: Likelihood = "bernoulli",
        beta: float = 1.0,
        samples: int = 1,
        squash: bool = True,
    ) -> None:
        super().__init__()
        if min(*size, *hidden, latent, samples) < 1 or not beta >= 0 or likelihood not in LIKELIHOODS:
            raise UsageError(
                f"VAE: size {size}, hidden {hidden}, latent {latent} and samples {samples} are 1 or more, beta {beta} "
                f"is 0 or more, likelihood {likelihood!r} one of {', '.join(LIKELIHOODS)}."
            )
        if samples > 1 and beta != 1:
            raise UsageError(f"VAE: with {samples} samples the divergence has no weight of its own: leave beta at 1.")
        self.size, self.latent, self.likelihood = size, latent, likelihood
        self.beta, self.samples, self.squash = beta, samples, squash
        pixels = size[0] * size[1]
        self.encoder: nn.Module = perceptron(pixels, hidden, 2 * latent)
        outputs = pixels if likelihood == "bernoulli" else 2 * pixels
        self.decoder: nn.Module = perceptron(latent, hidden[::-1], outputs)

    def encode(self, pictures: Float[Tensor, "b 1 h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """μ and ln σ² of q(z|x). Raises ContractError for pictures of another size."""
        if tuple(pictures.shape[1:]) != (1, *self.size):
            height, width = self.size
            raise ContractError(
                f"VAE was made for grey pictures of {width}x{height}, B 1 {height} {width}; got "
                f"{tuple(pictures.shape)}."
            )
        mean, log_variance = self.encoder(pictures.flatten(1)).chunk(2, 1)
        return mean, log_variance

    def decode(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n 1 h w"]:
        """The mean of p(x|z): of black and white pixels the probability of white."""
        made = self.decoder(z)
        mean = made.sigmoid() if self.likelihood == "bernoulli" else self._mean(made.chunk(2, 1)[0])
        return mean.unflatten(1, (1, *self.size))

    def log_likelihood(self, pictures: Float[Tensor, "n 1 h w"], z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """ln p(x|z), nats."""
        made, pixels = self.decoder(z), pictures.flatten(1)
        if self.likelihood == "bernoulli":
            return bernoulli(made, pixels)
        mean, spread = made.chunk(2, 1)
        judge = gaussian if self.likelihood == "gaussian" else discretised_logistic
        return judge(self._mean(mean), spread, pixels)

    def bound(
        self, pictures: Float[Tensor, "b 1 h w"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        mean, log_variance = self.encode(pictures)
        z = draw_normal(mean, log_variance, generator)
        return -self.log_likelihood(pictures, z), kl_normal(mean, log_variance)

    def log_weights(
        self, pictures: Float[Tensor, "b 1 h w"], count: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b k"]:
        mean, log_variance = (value.repeat_interleave(count, 0) for value in self.encode(pictures))
        z = draw_normal(mean, log_variance, generator)
        likely = self.log_likelihood(pictures.repeat_interleave(count, 0), z)
        return (likely + log_normal(z) - log_normal(z, mean, log_variance)).view(-1, count)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Minus the bound, nats a picture, of the targets; with its two halves unless `samples` are several.

        Raises ContractError for pictures of another size.
        """
        pictures = batch.targets.flatten(0, 1)
        if self.samples > 1:
            return {"loss": -average_weights(self.log_weights(pictures, self.samples)).mean()}
        reconstruction, divergence = (value.mean() for value in self.bound(pictures))
        return {"loss": reconstruction + self.beta * divergence, "reconstruction": reconstruction, "kl": divergence}

    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "n 1 h w"]:
        return self.decode(self._draw(count, generator))

    def film(self, count: int, generator: torch.Generator | None = None) -> Film:
        """A closed walk for each picture: z(φ) = a cos φ + b sin φ, a and b of N(0, I), so that each z on the way is
        as likely as any other (a straight line would pass the middle, where no picture is)."""
        a, b = self._draw(count, generator), self._draw(count, generator)
        angles = torch.arange(WALK, device=a.device) * (2 * math.pi / WALK)
        z = torch.stack([a * angle.cos() + b * angle.sin() for angle in angles])
        return Film(self.decode(z.flatten(0, 1)).view(WALK, count, 1, *self.size), loops=True)

    def plane(self, side: int) -> Float[Tensor, "n 1 h w"]:
        """The map of a model of two numbers, `side`² pictures in rows: z on a grid that cuts N(0, I) into pieces of
        equal probability (the inverse of its distribution function at even steps; figure 4 of the paper).

        Raises UsageError for a model of more numbers.
        """
        if self.latent != 2:
            raise UsageError(f"VAE: a map has two axes, this model {self.latent}; take vae/plane, or sample().")
        like = next(self.parameters())
        line = torch.special.ndtri(torch.linspace(EDGE, 1 - EDGE, side, dtype=torch.float64)).to(like)
        return self.decode(torch.cartesian_prod(line, line).flip(1))

    def walk(
        self, first: Float[Tensor, "b 1 h w"], last: Float[Tensor, "b 1 h w"], steps: int
    ) -> Float[Tensor, "t b 1 h w"]:
        """From one picture to another in `steps` steps, both ends as the model makes them again: along the straight
        line between their μ."""
        ends = self.encode(first)[0], self.encode(last)[0]
        shares = torch.linspace(0, 1, steps).tolist()
        return torch.stack([self.decode(torch.lerp(*ends, share)) for share in shares])

    def _mean(self, made: Tensor) -> Tensor:
        return made.sigmoid() if self.squash else made

    def _draw(self, count: int, generator: torch.Generator | None) -> Float[Tensor, "n d"]:
        return draw_standard((count, self.latent), generator, next(self.parameters()))
