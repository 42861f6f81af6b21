"""CorrFlow: pixels of one frame found again in the next one, learnt from nothing but the colours of videos.

Lai, Xie: "Self-supervised Learning for Video Correspondence Flow", BMVC 2019, arXiv 1905.00875.

A network looks at frames whose colours were partly taken away. Each place of a frame looks for its match near the same
place of the frame before and copies the **true** colour from there. If the colours come out right, the match was right.
Once trained, anything can be copied in this way: masks of objects, or heat maps of points.

    encode     a frame without some of its channels: 7×7 at half the size, then residual blocks,
               the third pair of them at a quarter                              64 H/4 W/4
    attend     features of a place · those of the 13 × 13 places around it in the frame before, softmax
    copy       labels with these weights: 16 clusters of colour in training      K H/4 W/4

Four things keep the network from cheating or drifting; each is an argument, so that what it is worth can be measured:

    radius     places that a place looks at: (2R+1)² around it; 0: everywhere ("restricted attention")
    dropout    in 7 of 10 batches one or two of the RGB channels are black, so that a match cannot be made by colour
    sampling   scheduled sampling: the second step copies from true colours or from the first step's own, the latter
               ever more often (10 to 40 %)
    cycle      weight of going forward one and two frames and back again: what comes home must be the first frame

Loss of three frames: L = Σ CE(frame 1), CE(frame 2) + 0.1 · Σ CE(home after 1), CE(home after 2); CE is the mean of
−ln(p + 10⁻⁸) over the pixels of the full size, p enlarged to it.

Propagation, as published: labels of the previous frame only, the largest class of each pixel taken after each step.
Variant `memory` copies from the first frame and those 1, 3 and 5 back together, and keeps weights as weights (what
MAST, Lai et al., CVPR 2020, arXiv 2002.07793, does besides its other training).

| configuration | widths | features | parameters |
|---|---|---|---|
| `corrflow` | 64, 128, 256, 256 | 64 | 5,291,648 |
| `corrflow-s` | 16, 32, 64, 64 | 32 | 342,960 |

Where we differ. Places outside the frame get no weight by their position; the authors' code excludes products of
exactly 0. Labels reach the grid as means of 4 × 4 pixels of each class; the authors' code enlarges and reduces the
*numbers* of classes bilinearly, which makes a third class between two. Features are computed once for each frame.
Jitter is of brightness, contrast and saturation, as the paper says; the authors' code turns hue as well. Colour
clusters are our own (`nn.colours`), since the published ones have red and blue exchanged; centres="original" takes
those. Heat maps on the grid are never made hard. The probability of the truth falls over `sampling` batches, which the
object counts. Checked against a description of zlai0/CorrFlow (no licence stated; nothing was taken from it).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.nn.ahead import ahead, check_future
from midframe.nn.colours import CENTRES, Centres, classify, one_hot
from midframe.nn.labels import check_frame, harden, to_grid, to_size
from midframe.ops.attention import copy_anywhere, copy_near, match_near
from midframe.types import Batch

STRIDE = 4  # of the features
KEEP = 0.3  # of the batches keep all channels: authors' code
JITTER, JITTERED = 0.1, 0.1  # how much, and of how many samples: authors' code
TRUE = (0.9, 0.6)  # probability of the true colours at the first batch and from batch `sampling` on
LITTLE = 1e-8
LUMA = (0.299, 0.587, 0.114)

Copy = Callable[[Sequence[Tensor]], Tensor]  # labels of each reference → labels of the target


class Block(nn.Module):
    """Residual block of two 3×3 convolutions with batch norm (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, project: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if project:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class CorrFlow(nn.Module):
    """Propagator of labels, and `Trainable` on three frames.

    widths    channels of the four stages of the encoder
    features  channels that are compared
    radius, dropout, sampling, cycle   see above; sampling is the number of batches over which the probability falls, 0:
              always the true colours
    memory    how many frames back the references lie; 0 among them: the first frame
    soft      weights of masks stay weights from step to step
    centres   of the colour clusters: "ours" or "original"

    The state of a propagation is {"features": [newest …], "labels": the same on the grid, "first": (features, labels),
    "size": of the labels given}. The object holds parameters, the statistics of batches and their number. Raises
    UsageError for settings that cannot be meant.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int] = (64, 128, 256, 256),
        features: int = 64,
        radius: int = 6,
        dropout: bool = True,
        sampling: int = 200_000,
        cycle: float = 0.1,
        memory: tuple[int, ...] = (1,),
        soft: bool = False,
        centres: Centres = "ours",
    ) -> None:
        super().__init__()
        if min(*widths, features) < 1 or min(radius, sampling) < 0 or cycle < 0:
            raise UsageError("CorrFlow: widths and features are 1 or more; radius, sampling and cycle not negative.")
        if not memory or min(memory) < 0 or len(set(memory)) != len(memory):
            raise UsageError(f"CorrFlow: memory is how many frames back it looks, each once, such as (0, 1); {memory}.")
        if centres not in CENTRES:
            raise UsageError(f'CorrFlow: centres are "ours" or "original", not {centres!r}.')
        self.contract = ahead(2, 1, multiple=STRIDE, minimum=2 * STRIDE)
        self.stride, self.radius, self.memory, self.soft = STRIDE, radius, memory, soft
        self.dropout, self.sampling, self.cycle = dropout, sampling, cycle
        first, second, third, fourth = widths
        self.encoder = nn.Sequential(
            nn.Conv2d(3, first, 7, 2, 3, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            Block(first, first),
            Block(first, first),
            Block(first, second, 2, project=True),
            Block(second, second),
            Block(second, third, project=True),
            Block(third, third),
            Block(third, fourth, project=third != fourth),
            Block(fourth, fourth),
            nn.Conv2d(fourth, features, 3, 1, 1),
        )
        self.register_buffer("centres", torch.tensor(CENTRES[centres]), persistent=False)
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def start(self, frame: Float[Tensor, "b 3 h w"], labels: Float[Tensor, "b k h w"]) -> dict[str, Any]:
        """The memory after the first frame. Labels are of its size, or of a quarter of it.

        Raises ContractError for a frame or labels that do not fit.
        """
        check_frame("CorrFlow", frame, self.contract)
        known = to_grid("CorrFlow", labels, frame, STRIDE)
        features = self.encoder(frame)
        return {
            "features": [features],
            "labels": [known],
            "first": (features, known),
            "size": tuple(labels.shape[-2:]),
        }

    def step(self, memory: dict[str, Any], frame: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, dict[str, Any]]:
        """Labels of the next frame, weights of K classes with a sum of 1, and the memory after it.

        Raises ContractError for a frame of another size than those before.
        """
        check_frame("CorrFlow", frame, self.contract)
        features = self.encoder(frame)
        kept, labels = memory["features"], memory["labels"]
        if features.shape != kept[0].shape:
            raise ContractError(f"CorrFlow: a frame of {tuple(frame.shape)} does not follow the ones before it.")
        past = [(kept[back - 1], labels[back - 1]) for back in self.memory if 0 < back <= len(kept)]
        if 0 in self.memory or not past:  # also while the film is shorter than the memory
            past.append(memory["first"])
        found = self._link(features, [one for one, _ in past])([one for _, one in past])
        answer = to_size(found, memory["size"])
        if not self.soft and answer.shape[-2:] != found.shape[-2:]:
            found = to_grid("CorrFlow", harden(answer), frame, STRIDE)
        longest = max(*self.memory, 1)
        after = {"features": [features, *kept][:longest], "labels": [found, *labels][:longest]}
        return answer, {**memory, **after}

    def agreement(self, frame0: Float[Tensor, "b 3 h w"], frame1: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """How sure each place of frame 1 is of where it comes from, and that this is where it goes back to: 0…1.

        The probability that a walk from there to frame 0 and back comes home, enlarged to the frame's size.
        """
        f0, f1 = self.encoder(frame0), self.encoder(frame1)
        radius = self.radius or 6
        there = match_near(f1, f0, radius).softmax(1)
        back = match_near(f0, f1, radius).softmax(1)
        span = 2 * radius + 1
        home = torch.zeros_like(there[:, :1])
        wide = F.pad(back, (radius,) * 4)
        height, width = f0.shape[-2:]
        for number in range(span**2):  # back from x + d the step home is −d, whose channel is the mirrored one
            row, column = divmod(number, span)
            opposite = wide[:, -1 - number, None, row : row + height, column : column + width]
            home = torch.addcmul(home, there[:, number, None], opposite)
        return to_size(home, (frame0.shape[-2], frame0.shape[-1]))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The loss above of three frames, two of the batch's `frames` and its first target.

        Returns "loss", and of its parts "similar" and "cycle" (without its weight). Raises ContractError for a batch
        that does not fit.
        """
        check_future("CorrFlow", batch, self.contract)
        film = torch.cat([batch.frames, batch.targets], 1).float()
        classes = classify(film, self.get_buffer("centres"))  # B 3 H W
        truth0, truth1 = (F.avg_pool2d(one_hot(classes[:, k], len(self.get_buffer("centres"))), STRIDE) for k in (0, 1))
        seen = self._distort(film) if self.training else film
        f0, f1, f2 = self.encoder(seen.flatten(0, 1)).unflatten(0, film.shape[:2]).unbind(1)
        to_1, to_2 = self._link(f1, [f0]), self._link(f2, [f1])
        first = to_1([truth0])
        second = to_2([torch.where(self._told(len(film)).to(film.device), truth1, first)])
        similar = _entropy(first, classes[:, 1]) + _entropy(second, classes[:, 2])
        if self.training:
            self.get_buffer("batches").add_(1)
        if self.cycle == 0:
            return {"loss": similar, "similar": similar.detach()}
        back_0, back_1 = self._link(f0, [f1]), self._link(f1, [f2])
        near = back_0([first])
        far = back_0([back_1([to_2([first])])])
        home = _entropy(near, classes[:, 0]) + _entropy(far, classes[:, 0])
        return {"loss": similar + self.cycle * home, "similar": similar.detach(), "cycle": home.detach()}

    def _link(self, target: Float[Tensor, "b c h w"], references: Sequence[Float[Tensor, "b c h w"]]) -> Copy:
        """What copies labels of the references to the target; the weights are computed once."""
        if self.radius == 0:
            return lambda labels: copy_anywhere(target, references, labels)
        matches = torch.cat([match_near(target, one, self.radius) for one in references], 1)
        weights = matches.softmax(1).chunk(len(references), 1)

        def copy(labels: Sequence[Tensor]) -> Tensor:
            copies = [copy_near(own, one, self.radius) for own, one in zip(weights, labels, strict=True)]
            return torch.stack(copies).sum(0) if len(copies) > 1 else copies[0]

        return copy

    def _distort(self, film: Float[Tensor, "b n 3 h w"]) -> Float[Tensor, "b n 3 h w"]:
        """Jitter of some samples, each frame its own; and channels missing, the same of all frames of the batch."""
        batch, count = film.shape[:2]
        chosen = (torch.rand(batch, 1, 1, 1, 1) < JITTERED).float()
        gains = 1 + JITTER * chosen * (2 * torch.rand(3, batch, count, 1, 1, 1) - 1)
        brightness, contrast, saturation = gains.to(film.device)
        film = (film * brightness).clamp(0, 1)
        grey = (film * film.new_tensor(LUMA).view(3, 1, 1)).sum(2, keepdim=True)
        film = torch.lerp(grey.mean((-1, -2), keepdim=True), film, contrast).clamp(0, 1)
        grey = (film * film.new_tensor(LUMA).view(3, 1, 1)).sum(2, keepdim=True)
        film = torch.lerp(grey, film, saturation).clamp(0, 1)
        if not self.dropout or torch.rand(()) < KEEP:
            return film
        dropped = torch.randperm(3)[: int(torch.randint(1, 3, ()))]
        kept = torch.ones(3).index_fill_(0, dropped, 0.0)
        return film * (kept * 3 / kept.sum()).to(film.device).view(3, 1, 1)

    def _told(self, count: int) -> Tensor:
        """Which samples copy from the true colours of frame 1, B 1 1 1. All, without scheduled sampling."""
        if not self.sampling:
            return torch.ones(count, 1, 1, 1, dtype=torch.bool)
        if not self.training:
            return torch.zeros(count, 1, 1, 1, dtype=torch.bool)
        done = min(1.0, int(self.get_buffer("batches")) / self.sampling)
        return torch.rand(count, 1, 1, 1) < TRUE[0] + done * (TRUE[1] - TRUE[0])


def _entropy(labels: Float[Tensor, "b k h w"], classes: Int64[Tensor, "b h2 w2"]) -> Tensor:
    """Mean of −ln of what each pixel's own class has, at the classes' size."""
    enlarged = to_size(labels, (classes.shape[-2], classes.shape[-1]))
    return F.nll_loss((enlarged + LITTLE).log().contiguous(), classes)
