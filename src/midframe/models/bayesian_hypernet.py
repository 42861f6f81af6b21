"""Bayesian hypernetwork: a network whose weights are drawn from Gaussians that another network puts out.

After Krueger, Huang, Islam, Turner, Lacoste, Courville, "Bayesian Hypernetworks", 2017, arXiv 1710.04759, and Ha, Dai,
Le, "HyperNetworks", ICLR 2017, arXiv 1609.09106. First weights: Chang, Flokas, Lipson, "Principled Weight
Initialization for Hypernetworks", ICLR 2020. Noise on outputs rather than weights: Kingma, Salimans, Welling,
"Variational Dropout and the Local Reparameterization Trick", NIPS 2015, arXiv 1506.02557.

    picture → h, K numbers → μ and ln σ² of every weight of the main network → weights → class

    h      "image":   a small network looks at the picture; each picture has weights of its own
           "shared":  a learnt vector; all pictures share their weights
           "anchored": the learnt vector plus `anchor` times what the network sees
           its mean is 0 and its mean square 1, whatever comes before, so that first weights have the size that is meant
    heads  for each layer of the main network one linear map from h to μ, and one to ln σ²
    main   5×5 convolution, stride 2, ReLU; once more; mean of 4×4; linear. The biases are plain parameters

The loss is the cross entropy of weights that are drawn once for each picture or, where they are shared, of outputs that
are drawn once for each picture (local reparameterisation), plus `kl`/`examples` of the divergence of the weights from
N(0, 2 / fan-in), in nats.

What makes it fail, and what cures it. With the default first weights of the heads (`faulty=True`) ln σ² begins near
0: σ = 1, where weights of a layer should have a deviation of √(2 / fan-in), about 0.1 to 0.28 here. The noise is all
that comes out; the loss begins far above ln C, which is chance, and falls to it, where nothing depends on the picture.
Cured: the head of ln σ² begins with weights 0 and bias `spread` = −10 (σ = 0.0067), that of μ with a deviation of
√(2 / (fan-in · K)), "hyperfan-in", by which μ has the deviation √(2 / fan-in). A third thing can hold it up: one step
of Adam at rate η moves a generated weight by up to η·‖h‖₁, which where h is shared adds up. `examine` measures all of
them.

Where we differ: hyperfan-in for networks that generate weights only; Krueger et al. have an invertible flow in place of
a Gaussian, and no image as input; h is normalised where Chang et al. take its variance at the beginning. With weights
for each picture the divergence is the mean over the pictures of a batch, which bounds nothing.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.ops.gaussian import draw_normal, draw_standard
from midframe.types import Batch

Conditioning = Literal["image", "shared", "anchored"]
CONDITIONINGS = ("image", "shared", "anchored")
KERNEL, STRIDE, POOL = 5, 2, 4


class Heads(nn.Module):
    """μ and ln σ² of the weights of one layer, from h.

    shape   outputs, and inputs with their receptive field: weights are seen as such a matrix
    hidden  K, numbers of h
    spread  ln σ² at the beginning; None: PyTorch's default in both heads, the fault
    """

    def __init__(self, shape: tuple[int, int], hidden: int, spread: float | None) -> None:
        super().__init__()
        self.shape = shape
        self.mean = nn.Linear(hidden, shape[0] * shape[1])
        self.log_variance = nn.Linear(hidden, shape[0] * shape[1])
        if spread is not None:
            nn.init.normal_(self.mean.weight, std=math.sqrt(2 / (shape[1] * hidden)))  # hyperfan-in, with mean h² = 1
            nn.init.zeros_(self.mean.bias)
            nn.init.zeros_(self.log_variance.weight)
            nn.init.constant_(self.log_variance.bias, spread)

    @property
    def target(self) -> float:
        """The deviation that the weights of this layer should have (He et al. 2015)."""
        return math.sqrt(2 / self.shape[1])

    def forward(self, h: Float[Tensor, "b k"]) -> tuple[Float[Tensor, "b o i"], Float[Tensor, "b o i"]]:
        return self.mean(h).unflatten(1, self.shape), self.log_variance(h).unflatten(1, self.shape)


class BayesianHyperNet(nn.Module):
    """Says which of `classes` a grey picture shows, by weights that are drawn anew each time.

    size          height and width of the pictures
    widths        channels of the main network's two convolutions
    hidden        K, the numbers that weights are generated from
    conditioning  where they come from: "image", "shared" or "anchored", see above
    anchor        share of the picture in "anchored"
    spread        ln σ² at the beginning
    faulty        first weights as a layer has them by default: how not to do it
    kl            weight of the divergence; 1 is Bayes, less a cold posterior, 0 none
    examples      number of training pictures, over which the divergence is spread
    warm_up       steps in which the divergence rises to its weight

    It counts the steps it is trained for. Raises UsageError for settings that cannot be meant.
    """

    seen: Tensor

    def __init__(
        self,
        *,
        size: tuple[int, int] = (28, 56),
        classes: int = 100,
        widths: tuple[int, int] = (8, 16),
        hidden: int = 64,
        conditioning: Conditioning = "image",
        anchor: float = 0.1,
        spread: float = -10.0,
        faulty: bool = False,
        kl: float = 0.0,
        examples: int = 50_000,
        warm_up: int = 0,
    ) -> None:
        super().__init__()
        if min(size) < 8 or min(*widths, hidden, examples) < 1 or classes < 2 or min(kl, warm_up, anchor) < 0:
            raise UsageError(
                f"BayesianHyperNet: pictures of 8 pixels or more, 2 classes or more, widths of 1 or more, nothing "
                f"negative; got size {size}, {classes} classes, widths {widths}, hidden {hidden}, examples {examples}, "
                f"kl {kl}, warm_up {warm_up}, anchor {anchor}."
            )
        if conditioning not in CONDITIONINGS:
            raise UsageError(f"BayesianHyperNet: no conditioning {conditioning!r}: {', '.join(CONDITIONINGS)}.")
        self.size, self.classes, self.conditioning, self.anchor = size, classes, conditioning, anchor
        self.kl, self.examples, self.warm_up = kl, examples, warm_up
        cells = math.prod(-(-side // (STRIDE**2 * POOL)) for side in size)  # of the last layer's picture
        if conditioning != "shared":
            self.look = nn.Sequential(
                nn.Conv2d(1, widths[0], KERNEL, STRIDE, KERNEL // 2), nn.ReLU(),
                nn.Conv2d(widths[0], widths[1], KERNEL, STRIDE, KERNEL // 2), nn.ReLU(),
                nn.AvgPool2d(POOL, ceil_mode=True), nn.Flatten(), nn.Linear(widths[1] * cells, hidden),
            )  # fmt: skip
        if conditioning != "image":
            self.embedding = nn.Parameter(torch.randn(hidden))
        field = KERNEL**2
        shapes = [(widths[0], field), (widths[1], widths[0] * field), (classes, widths[1] * cells)]
        self.heads: Any = nn.ModuleList(Heads(shape, hidden, None if faulty else spread) for shape in shapes)
        self.biases = nn.ParameterList(torch.zeros(outputs) for outputs, _ in shapes)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def condition(self, pictures: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b k"]:
        """h, one for each picture, or one for all where weights are shared (b = 1). Raises ContractError for pictures
        of another size."""
        if tuple(pictures.shape[1:]) != (1, *self.size):
            height, width = self.size
            raise ContractError(
                f"BayesianHyperNet was made for grey pictures of {width}x{height}, B 1 {height} {width}; got "
                f"{tuple(pictures.shape)}."
            )
        if self.conditioning == "shared":
            return normalise(self.embedding[None])
        looked = normalise(self.look(pictures))
        if self.conditioning == "image":
            return looked
        return normalise(normalise(self.embedding[None]) + self.anchor * looked)

    def classify(
        self, pictures: Float[Tensor, "b 1 h w"], generator: torch.Generator | None = None, *, sampled: bool = True
    ) -> Float[Tensor, "b c"]:
        """Logits; with `sampled` of weights drawn once, else of the mean ones."""
        h = self.condition(pictures)
        return self._run(pictures, [head(h) for head in self.heads], generator, sampled)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross entropy of batch.targets, B 1 1 H W, against batch.labels["class"], B; plus the divergence, weighted.

        Returns "loss", "cross entropy", "accuracy" (0…1) and, with a weight for it, "kl", all in nats a picture but the
        accuracy. Raises ContractError for pictures of another size or without a class.
        """
        if "class" not in batch.labels:
            raise ContractError('BayesianHyperNet: a batch has a label "class", which of them each picture shows.')
        pictures, truth = batch.targets.flatten(0, 1), batch.labels["class"]
        h = self.condition(pictures)
        made = [head(h) for head in self.heads]
        logits = self._run(pictures, made, None, True)
        entropy = F.cross_entropy(logits.float(), truth)
        parts = {"cross entropy": entropy, "accuracy": (logits.argmax(1) == truth).float().mean()}
        if self.training:
            self.seen += 1
        if self.kl == 0:
            return {"loss": entropy, **parts}
        divergence = self.divergence(made)
        risen = min(1.0, float(self.seen) / self.warm_up) if self.training and self.warm_up else 1.0
        return {"loss": entropy + risen * self.kl / self.examples * divergence, **parts, "kl": divergence}

    def divergence(self, made: list[tuple[Tensor, Tensor]]) -> Float[Tensor, ""]:
        """KL(q ‖ N(0, 2 / fan-in)) of all weights, nats; the mean over pictures where each has its own."""
        total = self.biases[0].new_zeros(())
        for head, (mean, log_variance) in zip(self.heads, made, strict=True):
            prior = math.log(2 / head.shape[1])
            ratio = ((mean.square() + log_variance.exp()) * math.exp(-prior) - 1 - log_variance + prior) / 2
            total = total + ratio.sum((1, 2)).mean()
        return total

    @torch.no_grad()
    def examine(self, pictures: Float[Tensor, "b 1 h w"], rate: float) -> Mapping[str, float]:
        """Three ratios that tell why it may not learn; the worst over the layers.

        "deviation of μ / target"  of the generated weights to √(2 / fan-in); about 1 is right
        "σ / |μ|"       mean σ to mean |μ|: well below 1, or the noise is all there is
        "step / target" η·‖h‖₁ to √(2 / fan-in), how far one step of Adam at `rate` may move a weight; well below 1
        """
        h = self.condition(pictures)
        made = [head(h) for head in self.heads]
        sizes = [float(mean.std(correction=0)) / head.target for head, (mean, _) in zip(self.heads, made, strict=True)]
        noise = [float((0.5 * spread).exp().mean() / mean.abs().mean()) for mean, spread in made]
        step = rate * float(h.abs().sum(1).mean())
        return {
            "deviation of μ / target": max(sizes, key=lambda ratio: abs(math.log(max(ratio, 1e-9)))),
            "σ / |μ|": max(noise),
            "step / target": max(step / head.target for head in self.heads),
        }

    def _run(
        self,
        pictures: Float[Tensor, "b 1 h w"],
        made: list[tuple[Tensor, Tensor]],
        generator: torch.Generator | None,
        sampled: bool,
    ) -> Float[Tensor, "b c"]:
        """The main network, by weights of these Gaussians, B or 1 of each. Convolutions are products with the patches
        of each picture, as each may have a kernel of its own."""
        x = pictures
        for (mean, log_variance), bias in zip(made[:2], self.biases[:2], strict=True):
            height, width = (-(-side // STRIDE) for side in x.shape[-2:])
            patches = F.unfold(x, KERNEL, padding=KERNEL // 2, stride=STRIDE)  # B I H·W
            x = multiply(patches, mean, log_variance, generator, sampled) + bias[:, None]
            x = F.relu(x).view(len(x), -1, height, width)
        x = F.avg_pool2d(x, POOL, ceil_mode=True).flatten(1)[..., None]
        return multiply(x, *made[2], generator, sampled)[..., 0] + self.biases[2]


def multiply(
    x: Float[Tensor, "b i n"],
    mean: Float[Tensor, "w o i"],
    log_variance: Float[Tensor, "w o i"],
    generator: torch.Generator | None,
    sampled: bool,
) -> Float[Tensor, "b o n"]:
    """W x, W drawn from Gaussians, one for each picture (w = b); or, where all have the same ones (w = 1), W x drawn
    from N(μ x, σ² x²), alone for each picture and place, with less noise in the gradient. Of a single place (n = 1) it
    is always W x that is drawn: there both are the same distribution, and numbers are fewer."""
    if not sampled:
        return mean @ x
    if len(mean) == len(x) and x.shape[2] > 1:
        return draw_normal(mean, log_variance, generator) @ x
    middle, variance = mean @ x, log_variance.exp() @ x.square()
    return middle + (variance + 1e-16).sqrt() * draw_standard(middle.shape, generator, middle)


def normalise(h: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Mean 0, mean square 1."""
    return F.layer_norm(h, h.shape[1:])
