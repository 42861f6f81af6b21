"""Visual Dynamics: many futures of one frame, by kernels that are drawn at random and applied to its features.

Xue, Wu, Bouman, Freeman: "Visual Dynamics: Probabilistic Future Frame Synthesis via Cross Convolutional Networks",
NIPS 2016, arXiv 1607.02586; journal: TPAMI 2019, arXiv 1807.09245.

Where will things go? From one frame nobody knows, so the network answers with a distribution. It is a conditional
variational autoencoder of the difference image v = J − I between a frame I and the next one J. What moves is found in I
by convolutions, as feature maps; how it moves is a set of small kernels, made of a latent vector z. The two meet in the
cross convolution: map c is convolved with kernel c, so that z acts only where its features are. In training z is drawn
from q(z | I, J), which sees both frames; to look ahead it is drawn without J.

    frame I         at scales 1/4, 1/2, 1, 2         3 × 32², 64², 128², 256²
    image encoder   one for each scale, 4 × (5×5, norm, ReLU), max-pool after 1 and 3
                                                     32 maps × 8², 16², 32², 64²
    motion encoder  I and J, 6 × (5×5, norm, ReLU), max-pool 4, –, 2, –, 2, –, then 4×4 without padding
                                                     256 × 5² = mean and log variance of z, 3200 each
    kernel decoder  z as 128 × 5², 3 × 5×5 with norm, ReLU between; norm
                                                     for each scale 32 kernels of 5×5
    cross convolution                                32 maps for each scale, of the same sizes
    motion decoder  nearest up-sampling, 9×9, 1×1 (norm, ReLU after both), 1×1
                                                     v, 3 × 64²: half the frame's size

    loss            mean of (100 (v − v̂))² + β KL(q(z | I, J) ‖ N(0, 1)), KL summed over z, β = 10⁻³

β is twice the variance of a value's error over the number of values: 10⁻³ is an error of 2.5 in units of 1/100. The
small form has a quarter of the values, so four times β.

| system | frames | maps a scale | z | parameters |
|---|---|---|---|---|
| visual-dynamics | 128² | 32 | 3200 | 8,091,395 |
| visual-dynamics-s | 64² | 16 | 1600 | 1,390,995 |

The paper compares three models, here three values of `model`:

* "probabilistic": the whole network.
* "deterministic": no z. The kernels are parameters, the same for all frames, and v is a function of I. It is bound to
  answer with the mean of all futures; where they are symmetric, with no motion.
* "prior": z, but no view of I when v is made. The feature maps are parameters. It knows how things move, not where
  they are.

Kernels are not tied to a size: frames of any multiple of 16 can be looked ahead from, motion being in pixels. Only the
motion encoder, so the loss and `encode`, and the prior model want the size of training.

Where z is drawn from: "seen", the means of q that training gave to the last 1,000 pairs, as the authors' demonstration
does (it comes with 1,000 of them); or "normal", N(0, 1), as the formulas say. The bank of "seen" is a buffer, part of
the weights. It begins with draws from N(0, 1), which training replaces, oldest first. It holds float16 as the int16 of
the same bits, so that no average over training steps blurs it.

Where we differ: a frame is rendered at full size, I and v enlarged without interpolation, so that reducing by areas
gives the network's own answer. No norm after the last convolution: v's scale should not hang on the batch. β is
constant; the re-implementation begins at 10⁻⁵ and doubles it while the error is below 10. The mean colour is not taken
off, as in the re-implementation: the background of Shapes is 0, as padding is. The paper's kernel decoder has two
layers, if we remember well; the re-implementation's three are taken. Sizes and layers were checked against
descriptions of the authors' demonstration (tfxue/visual-dynamics) and of a re-implementation from their laboratory.
"""

from itertools import pairwise
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.pixel import difference
from midframe.nn.ahead import ahead, check_future, check_past, choose
from midframe.nn.pair import Time
from midframe.ops.gaussian import draw_normal, draw_standard, kl_normal
from midframe.types import Batch

TAPS = 5  # of a kernel, each way; also the side of z as a picture
UNIT = 100.0  # differences are learnt in 1/100 of white: the authors' demonstration divides by it

Model = Literal["probabilistic", "deterministic", "prior"]
Chance = Literal["seen", "normal"]


def cross_convolve(
    maps: Float[Tensor, "b f h w"], kernels: Float[Tensor, "b f k k"], *, dilation: int = 1
) -> Float[Tensor, "b f h w"]:
    """Each map of each sample convolved with the kernel of its own, zeros beyond the border; sizes stay. k is odd.

    As everywhere in networks the kernel is not turned: out(x) = Σ kernel(d) map(x + d).
    """
    batch, features, height, width = maps.shape
    out = F.conv2d(
        maps.reshape(1, batch * features, height, width),
        kernels.reshape(batch * features, 1, *kernels.shape[2:]),
        padding=dilation * (kernels.shape[-1] // 2),
        dilation=dilation,
        groups=batch * features,
    )
    return out.view(maps.shape)


def convolutions(widths: tuple[int, ...], pools: tuple[int, ...]) -> nn.Sequential:
    """5×5 convolutions from each width to the next, each with norm, ReLU and the max-pooling of `pools` (1: none)."""
    parts: list[nn.Module] = []
    for inputs, outputs, pool in zip(widths, widths[1:], pools, strict=False):
        parts += [nn.Conv2d(inputs, outputs, 5, padding=2), nn.BatchNorm2d(outputs), nn.ReLU()]
        parts += [nn.MaxPool2d(pool)] if pool > 1 else []
    return nn.Sequential(*parts)


class MotionEncoder(nn.Module):
    """Both frames → mean and log variance of z."""

    def __init__(self, size: int, widths: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.convolutions = convolutions((6, *widths), (size // 32, 1, 2, 1, 2, 1))  # to 8 × 8
        self.head = nn.Conv2d(widths[-1], 2 * latent // TAPS**2, 4)

    def forward(self, frames: Float[Tensor, "b 6 s s"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        mean, log_variance = self.head(self.convolutions(frames)).flatten(1).chunk(2, 1)
        return mean, log_variance


class KernelDecoder(nn.Module):
    """z → a kernel for each feature map, B F·scales 5 5."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for layer in range(layers):
            parts += [nn.Conv2d(width, width, 5, padding=2), nn.BatchNorm2d(width)]
            parts += [nn.ReLU()] if layer + 1 < layers else []
        self.convolutions = nn.Sequential(*parts)
        self.width = width

    def forward(self, latent: Float[Tensor, "b z"]) -> Float[Tensor, "b f 5 5"]:
        return self.convolutions(latent.view(-1, self.width, TAPS, TAPS))


class VisualDynamics(nn.Module):
    """Predictor of the frame at t = 1 from the one at 0. See the top of the file for `model` and `chance`.

    size      height and width of the frames it is trained on: a multiple of 32
    features  feature maps, so kernels, of each scale
    scales    of the image pyramid, rising, each twice the one before; v has the size of the last one's maps
    image     widths of the image encoders' first three layers
    motion    widths of the motion encoder's six layers
    decode    width of the motion decoder
    layers    of the kernel decoder
    beta      weight of KL in the loss
    bank      pairs whose z is remembered

    The state is {"frame": B 3 H W, "difference": B 3 H/2 W/2, "kernels": B F·scales 5 5}; the object holds parameters
    and the bank, which only `loss` in training mode writes to.
    """

    bank: Tensor
    remembered: Tensor

    def __init__(
        self,
        *,
        size: int = 128,
        features: int = 32,
        scales: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0),
        image: tuple[int, int, int] = (64, 64, 64),
        motion: tuple[int, ...] = (96, 96, 128, 128, 256, 256),
        decode: int = 128,
        layers: int = 3,
        beta: float = 1e-3,
        bank: int = 1000,
        model: Model = "probabilistic",
        chance: Chance = "seen",
    ) -> None:
        super().__init__()
        if size < 32 or size % 32 or len(motion) != 6 or min(features, layers, decode, bank) < 1 or beta < 0:
            raise UsageError(
                f"VisualDynamics: size is a multiple of 32, motion six widths, features, layers, decode and bank at "
                f"least 1, beta not negative; got {size}, {motion}, {features}, {layers}, {decode}, {bank}, {beta:g}."
            )
        if any(b != 2 * a for a, b in pairwise(scales)) or scales[-1] != 2:
            raise UsageError(f"VisualDynamics: scales rise by twos and end with 2, got {scales}.")
        for name, value, there in (("model", model, Model), ("chance", chance, Chance)):
            if value not in get_args(there):
                raise UsageError(f"VisualDynamics: {name} is one of {', '.join(get_args(there))}, got {value!r}.")
        deepest = round(4 / scales[0])
        fitting = size if model == "prior" else deepest
        self.contract = ahead(1, 1, multiple=fitting, minimum=fitting, random=model != "deterministic")
        self.size, self.scales, self.features, self.beta = size, scales, features, beta
        self.model, self.chance = model, chance
        maps = features * len(scales)
        self.latent = maps * TAPS**2
        if model == "prior":
            self.places = nn.ParameterList(
                nn.Parameter(torch.randn(1, features, round(scale * size / 4), round(scale * size / 4)))
                for scale in scales
            )
        else:
            self.image_encoders = nn.ModuleList(convolutions((3, *image, features), (2, 1, 2, 1)) for _ in scales)
        if model == "deterministic":
            self.kernels = nn.Parameter(torch.randn(1, maps, TAPS, TAPS))
        else:
            self.motion_encoder = MotionEncoder(size, motion, self.latent)
            self.kernel_decoder = KernelDecoder(maps, layers)
            self.register_buffer("bank", torch.randn(bank, self.latent).half().view(torch.int16))
            self.register_buffer("remembered", torch.zeros((), dtype=torch.int64))
        self.motion_decoder = nn.Sequential(
            nn.Conv2d(maps, decode, 9, padding=4), nn.BatchNorm2d(decode), nn.ReLU(),
            nn.Conv2d(decode, decode, 1), nn.BatchNorm2d(decode), nn.ReLU(),
            nn.Conv2d(decode, 3, 1),
        )  # fmt: skip

    def prepare(
        self,
        frames: Float[Tensor, "b 1 3 h w"],
        generator: torch.Generator | None = None,
        *,
        latent: Float[Tensor, "b z"] | None = None,
    ) -> dict[str, Any]:
        """One future of each frame. The same state of `generator` gives the same one.

        latent  z itself, e.g. `encode` of another pair, whose motion is then carried over to these frames

        Raises ContractError for frames that do not fit, UsageError for a latent that does not.
        """
        self._check(frames)
        frame = frames[:, 0]
        kernels = self._kernels(frame, generator, latent)
        return {"frame": frame, "difference": self._decode(frame, kernels), "kernels": kernels}

    def render(
        self, state: dict[str, Any], t: Time = 1.0, size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The frame at t = 1, not clamped. Raises ContractError for another t or size."""
        frame: Tensor = state["frame"]
        made = frame + F.interpolate(state["difference"], scale_factor=2.0, mode="nearest").to(frame.dtype)
        return choose("VisualDynamics", lambda _: [made], t, size, frame, self.contract)

    def forward(self, frames: Float[Tensor, "b 1 3 h w"], t: Time = 1.0) -> Float[Tensor, "b 3 h w"]:
        return self.render(self.prepare(frames), t)

    def encode(
        self, frame: Float[Tensor, "b 3 s s"], after: Float[Tensor, "b 3 s s"]
    ) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        """Mean and log variance of q(z | frame, after): how the first becomes the second.

        Raises ContractError unless both have the size of training, UsageError for the model without z.
        """
        if self.model == "deterministic":
            raise UsageError("VisualDynamics: the deterministic model has no z to encode a motion in.")
        wanted = (3, self.size, self.size)
        if frame.shape != after.shape or tuple(frame.shape[1:]) != wanted:
            raise ContractError(
                f"VisualDynamics encodes the motion of pairs of the size it is trained on, B {wanted} both; got "
                f"{tuple(frame.shape)} and {tuple(after.shape)}."
            )
        mean, log_variance = self.motion_encoder(torch.cat([frame, after], 1))
        return mean, log_variance

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Evidence bound: "loss" = "error" + β "kl"; see the top. z is drawn from q with the global generator.

        "error" is the mean squared error of v in units of (1/100)²; "kl" in nats. Raises ContractError for pairs that
        are not one frame at 0 and one at 1, of the size of training.
        """
        check_future("VisualDynamics", batch, self.contract)
        frame, after = batch.frames[:, 0], batch.targets[:, 0]
        truth = F.avg_pool2d(difference(after, frame, "VisualDynamics"), 2)
        if self.model == "deterministic":
            kernels, kl = self.kernels.expand(len(frame), -1, -1, -1), None
        else:
            mean, log_variance = self.encode(frame, after)
            if self.training:
                self._remember(mean)
            kernels = self.kernel_decoder(draw_normal(mean, log_variance).to(frame.dtype))
            kl = kl_normal(mean, log_variance).mean()
        made = self._decode(frame, kernels)
        error = (UNIT * (made.float() - truth)).square().mean()
        return {"loss": error} if kl is None else {"loss": error + self.beta * kl, "error": error, "kl": kl}

    def _kernels(self, frame: Tensor, generator: torch.Generator | None, latent: Tensor | None) -> Tensor:
        if self.model == "deterministic":
            if latent is not None:
                raise UsageError("VisualDynamics: the deterministic model takes no latent.")
            return self.kernels.expand(len(frame), -1, -1, -1)
        if latent is None:
            latent = self._draw(len(frame), generator).to(frame)
        elif tuple(latent.shape) != (len(frame), self.latent):
            raise UsageError(
                f"VisualDynamics: latent is B z, {(len(frame), self.latent)} here; got {tuple(latent.shape)}."
            )
        kernels: Tensor = self.kernel_decoder(latent)
        return kernels

    def _draw(self, count: int, generator: torch.Generator | None) -> Float[Tensor, "b z"]:
        if self.chance == "normal":
            return draw_standard((count, self.latent), generator, self.motion_encoder.head.weight)
        place = generator.device if generator is not None else torch.device("cpu")
        chosen = torch.randint(len(self.bank), (count,), generator=generator, device=place)
        return self.bank[chosen.to(self.bank.device)].view(torch.float16).float()

    @torch.no_grad()
    def _remember(self, mean: Float[Tensor, "b z"]) -> None:
        slots = (self.remembered + torch.arange(len(mean), device=mean.device)) % len(self.bank)
        self.bank[slots] = mean.half().view(torch.int16)
        self.remembered += len(mean)

    def _decode(self, frame: Float[Tensor, "b 3 h w"], kernels: Float[Tensor, "b f 5 5"]) -> Float[Tensor, "b 3 h2 w2"]:
        """The difference image, in units of white."""
        height, width = frame.shape[-2] // 2, frame.shape[-1] // 2
        moved = []
        for k, of_scale in enumerate(kernels.chunk(len(self.scales), 1)):
            if self.model == "prior":
                maps = self.places[k].expand(len(frame), -1, -1, -1)
            else:
                maps = self.image_encoders[k](_resize(frame, self.scales[k]))
            moved.append(F.interpolate(cross_convolve(maps, of_scale), (height, width), mode="nearest"))
        return self.motion_decoder(torch.cat(moved, 1)) / UNIT

    def _check(self, frames: Tensor) -> None:
        check_past("VisualDynamics", frames, self.contract)
        height, width = frames.shape[-2:]
        if self.model == "prior" and (height, width) != (self.size, self.size):
            raise ContractError(f"VisualDynamics: the prior model knows {self.size}×{self.size}; got {height}×{width}.")


def _resize(frame: Float[Tensor, "b 3 h w"], scale: float) -> Float[Tensor, "b 3 h2 w2"]:
    """Means of areas when it becomes smaller, bilinear when larger."""
    if scale == 1:
        return frame
    if scale < 1:
        return F.avg_pool2d(frame, round(1 / scale))
    return F.interpolate(frame, scale_factor=scale, mode="bilinear", align_corners=False)
