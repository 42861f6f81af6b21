"""The protocols every system and every consumer meet at.

One time axis: inside a window of source frames, the frames sit at integers and the gap being filled is 0…1.
Interpolation asks for 0 < t < 1, prediction for t ≥ 1, history lies at negative times. The engine maps rational
time stamps to this axis, so a variable frame rate costs a model nothing.

Protocols are for the consumer; a producer inherits from nothing. Capabilities are declared in `Contract` and
measured by `midframe.testing`, never asked for with hasattr.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

State = Any  # a plain tree of tensors (or arrays), made by `prepare`, owned by the caller


@dataclass(frozen=True, slots=True)
class Contract:
    """What a synthesizer reads and what it can answer.

    inputs     positions of the source frames in a window, e.g. (0, 1) or (-1, 0, 1, 2); None = all frames of a shot
    covers     the span one window answers for, e.g. (0, 1)
    times      the only times it can render; None = every t strictly inside `covers`, of a model that enlarges, the
               ends too
    scale      smallest and largest enlargement; a model of (1, 1) keeps the size
    multiple   height and width must divide by this; the engine pads
    minimum    smallest height and width it accepts; the engine pads
    random     two states from different generators differ
    symmetric  swapping the frames and t → 1−t gives the same picture
    maps       t may be a map, B 1 H W: a time of its own for each pixel
    channels   3: RGB; 1: grey pictures such as those of Moving MNIST
    """

    inputs: tuple[int, ...] | None = (0, 1)
    covers: tuple[int, int] = (0, 1)
    times: tuple[Fraction, ...] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    multiple: int = 1
    minimum: int = 1
    random: bool = False
    symmetric: bool = False
    maps: bool = False
    channels: int = 3

    @property
    def enlarges(self) -> bool:
        return self.scale != (1, 1)


class Synthesizer(Protocol):
    """Frames at times. `prepare` is the expensive part, once per window; `render` the cheap part, once per time.

    Values are RGB in [0, 1] as floats, or grey where the contract says one channel. A frame from a video may hold
    values slightly outside (super-whites, saturated chroma); a synthesizer neither clamps its input nor its output, so
    that a still clip stays still.

    A state may grow while it is rendered from: a predictor goes on from the last frame that was asked for.
    """

    contract: Contract

    def prepare(self, frames: Float[Tensor, "b n c h w"], generator: torch.Generator | None = None) -> State: ...

    def render(
        self,
        state: State,
        t: float | Float[Tensor, " b"] | Float[Tensor, "b 1 h w"],
        size: tuple[int, int] | None = None,
    ) -> Float[Tensor, "b c h2 w2"]: ...


class Propagator(Protocol):
    """Labels along a film: `start` with the first frame's labels, then `step` frame by frame.

    Labels are weights of K classes at each pixel, with a sum of 1: what masks are as layers of 0 and 1. They may also
    lie on the grid of the system's features, a place for each `stride` × `stride` pixels; they come back at the size
    that they were given in. The memory is a state as any other: handed in and out, never kept on the object.
    """

    contract: Contract
    stride: int

    def start(self, frame: Float[Tensor, "b 3 h w"], labels: Float[Tensor, "b k h w"]) -> State: ...

    def step(self, memory: State, frame: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b k h w"], State]: ...


class FlowEstimator(Protocol):
    """Displacement from frame 0 to frame 1 in pixels, (dx, dy)."""

    def flow(self, frame0: Float[Tensor, "b 3 h w"], frame1: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """One training batch for any task: `frames` at `times`, `targets` at `target_times` (on the window's axis).

    c is 3, RGB, or 1 for systems of grey pictures. Values in [0, 1].
    """

    frames: Float[Tensor, "b n c h w"]
    times: Float[Tensor, "b n"]
    targets: Float[Tensor, "b m c h2 w2"]
    target_times: Float[Tensor, "b m"]
    labels: Mapping[str, Tensor] = field(default_factory=dict)


class ClipModel(Protocol):
    """One clip as a function of time, which is counted in its frames: t = 0 is the first, t = frames − 1 the last.

    Calling it makes frames in [0, 1] at any times. `latent` is what it makes of times, `decode` makes frames of that,
    so that walks may go straight between two of them. `observe`, once training is over, hands it the frames that were
    learnt from, part by part with their times: what it keeps of them is its own affair.
    """

    contract: Contract
    frames: int
    size: tuple[int, int]

    def __call__(self, t: Float[Tensor, " b"], /) -> Float[Tensor, "b c h w"]: ...

    def latent(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b d"]: ...

    def decode(self, latent: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]: ...

    def observe(self, parts: Iterable[tuple[Float[Tensor, "n c h w"], Float[Tensor, " n"]]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Film:
    """How pictures come about, or one turns into the next: `frames` in time, each of all pictures.

    boxes  where the model works on each picture at that time, left, top, right, bottom in pixels; None: everywhere
    loops  the first frame follows the last one
    """

    frames: Float[Tensor, "t n c h w"]
    boxes: Float[Tensor, "t n 4"] | None = None
    loops: bool = False


class GenerativeModel(Protocol):
    """Pictures out of nothing, and how likely a given picture is under the model. Pictures are in [0, 1].

    sample       pictures; of a model of probabilities, the probabilities
    film         how they come about
    bound        of each picture −E ln p(x|z), what it costs to say it, and the divergence of what is known of z from
                 what was known before; their sum is never below −ln p(x) in the mean. Nats
    log_weights  ln p(x, z) − ln q(z|x) of `count` z drawn for each picture; nats

    Chance enters only through `generator`; None is torch's own.
    """

    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "n c h w"]: ...

    def film(self, count: int, generator: torch.Generator | None = None) -> Film: ...

    def bound(
        self, pictures: Float[Tensor, "b c h w"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]: ...

    def log_weights(
        self, pictures: Float[Tensor, "b c h w"], count: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b k"]: ...


class Classifier(Protocol):
    """Says which of `classes` a grey picture in [0, 1] shows.

    classify  logits; with `sampled` by parameters drawn once from what is known of them, else by their means
    examine   ratios that tell why it may not learn, by name, at this rate of Adam

    Chance enters only through `generator`; None is torch's own.
    """

    classes: int

    def classify(
        self, pictures: Float[Tensor, "b c h w"], generator: torch.Generator | None = None, *, sampled: bool = True
    ) -> Float[Tensor, "b k"]: ...

    def examine(self, pictures: Float[Tensor, "b c h w"], rate: float) -> Mapping[str, float]: ...


class Trainable(Protocol):
    """A system that can be trained: its loss on a batch, with named parts beside the total under "loss".

    It may hand back the frames it made as "made", B·M 3 H W with gradients, one for each target: who wants to judge
    them by another loss, too, need not make them again.
    """

    def loss(self, batch: Batch) -> dict[str, Tensor]: ...
