"""Tracking by colorization: a network that colours a grey frame by pointing at frames whose colours it knows.

Vondrick, Shrivastava, Fathi, Guadarrama, Murphy: "Tracking Emerges by Colorizing Videos", ECCV 2018, arXiv 1806.09594.

Four grey frames go in. Each place of the last one points at all places of the three before it and takes the mean of
their colours. Nobody tells the network where anything goes, but only if it points at the same thing will the colour be
right. What it has learnt to point at can carry anything else: masks, or heat maps of points.

    encode     each grey frame: 7×7 at half the size, then residual blocks, at an eighth             256 H/8 W/8
    place      each place's coordinates in −1…1 are added                                            258 H/8 W/8
    embed      five 3-D convolutions over all four frames, 3 × 3 × 3, steps of 1, 2, 4, 8, 16
               between the places they read; then 1×1                                                64 H/8 W/8
    point      softmax over all places of the three of ⟨f, g⟩/τ                                      3·H/8·W/8
    copy       labels with these weights: 16 clusters of colour in training                          K H/8 W/8

Loss: the mean of −ln p of each place's own colour, the mean of its 8 × 8 pixels. τ is 1 in training and 0.5 later.

Propagation: references are the last three frames, at first the first one three times, and labels stay weights. CorrFlow
came after it: colour, four times the places, and a look at what is near only.

| configuration | widths | features | parameters |
|---|---|---|---|
| `colorization` | 64, 128, 256, 256 | 64 | 6,034,304 |
| `colorization-s` | 16, 32, 64, 64 | 32 | 492,016 |

Where we differ. The paper describes the network in one paragraph and its code was never published. Blocks, their widths
and the 1×1 at the end are those of a re-implementation (wbaek/tracking_via_colorization), which has no 3-D
convolutions; that there are five with these steps, and the coordinates, is from the paper. They have 64 channels each,
batch norm and ReLU; steps are along height and width, and one frame along time. Frames of training are evenly spaced.
The re-implementation's loss takes probabilities for logits: a slip that is not repeated. Colour clusters are our own
(`nn.colours`); centres="original" takes the published ones.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.nn.ahead import ahead, check_future
from midframe.nn.colours import CENTRES, Centres, classify
from midframe.nn.labels import check_frame, to_grid, to_size
from midframe.ops.attention import copy_anywhere
from midframe.types import Batch

STRIDE = 8  # of the features
REFERENCES = 3
STEPS = (1, 2, 4, 8, 16)  # of the 3-D convolutions
LEARNING, AFTER = 1.0, 0.5  # τ
LUMA = (0.299, 0.587, 0.114)
LITTLE = 1e-8


class PreBlock(nn.Module):
    """Residual block with norm and ReLU before each of its two 3×3 convolutions (He et al. 2016b)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        y = F.relu(self.norm1(x))
        return self.conv2(F.relu(self.norm2(self.conv1(y)))) + self.shortcut(x)


class Embed(nn.Module):
    """Five 3-D convolutions that see ever farther, and a 1×1×1; all four frames together."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, step in enumerate(STEPS):
            layers += [
                nn.Conv3d(
                    features if number else inputs, features, 3,
                    padding=(1, step, step), dilation=(1, step, step), bias=False,
                ),
                nn.BatchNorm3d(features),
                nn.ReLU(),
            ]  # fmt: skip
        self.layers = nn.Sequential(*layers, nn.Conv3d(features, features, 1))

    def forward(self, x: Float[Tensor, "b c n h w"]) -> Float[Tensor, "b d n h w"]:
        return self.layers(x)


class Colorization(nn.Module):
    """Propagator of labels, and `Trainable` on four frames.

    widths    channels of the four stages of the encoder, of two blocks each
    features  channels of the 3-D convolutions and of what is compared
    centres   of the colour clusters: "ours" or "original"

    The state of a propagation is {"seen": what the encoder found in the last three frames, oldest first, "labels": the
    same on the grid, "size": of the labels given}. The object holds parameters and the statistics of batches. Raises
    UsageError for settings that cannot be meant.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int] = (64, 128, 256, 256),
        features: int = 64,
        centres: Centres = "ours",
    ) -> None:
        super().__init__()
        if min(*widths, features) < 1:
            raise UsageError(f"Colorization: widths and features are 1 or more; got {widths} and {features}.")
        if centres not in CENTRES:
            raise UsageError(f'Colorization: centres are "ours" or "original", not {centres!r}.')
        self.contract = ahead(REFERENCES, 1, multiple=STRIDE, minimum=2 * STRIDE)
        self.stride = STRIDE
        first, second, third, fourth = widths
        self.encoder = nn.Sequential(
            nn.Conv2d(1, first, 7, 2, 3, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            PreBlock(first, first, 2),
            PreBlock(first, first),
            PreBlock(first, second, 2),
            PreBlock(second, second),
            PreBlock(second, third),
            PreBlock(third, third),
            PreBlock(third, fourth),
            PreBlock(fourth, fourth),
            nn.BatchNorm2d(fourth),
            nn.ReLU(),
        )
        self.embed = Embed(fourth + 2, features)
        self.register_buffer("centres", torch.tensor(CENTRES[centres]), persistent=False)

    def start(self, frame: Float[Tensor, "b 3 h w"], labels: Float[Tensor, "b k h w"]) -> dict[str, Any]:
        """The memory after the first frame. Labels are of its size, or of an eighth of it.

        Raises ContractError for a frame or labels that do not fit.
        """
        check_frame("Colorization", frame, self.contract)
        known = to_grid("Colorization", labels, frame, STRIDE)
        return {
            "seen": [self._look(frame)] * REFERENCES,
            "labels": [known] * REFERENCES,
            "size": tuple(labels.shape[-2:]),
        }

    def step(self, memory: dict[str, Any], frame: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, dict[str, Any]]:
        """Labels of the next frame, weights of K classes with a sum of 1, and the memory after it.

        Raises ContractError for a frame of another size than those before.
        """
        check_frame("Colorization", frame, self.contract)
        seen = [*memory["seen"], self._look(frame)]
        if seen[-1].shape != seen[0].shape:
            raise ContractError(f"Colorization: a frame of {tuple(frame.shape)} does not follow the ones before it.")
        *references, target = self.embed(torch.stack(seen, 2)).unbind(2)
        found = copy_anywhere(target, references, memory["labels"], temperature=AFTER)
        after = {"seen": seen[1:], "labels": [*memory["labels"][1:], found], "size": memory["size"]}
        return to_size(found, memory["size"]), after

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean of −ln of what the true colour of each place of the fourth frame has, under "loss".

        Raises ContractError for a batch that does not fit.
        """
        check_future("Colorization", batch, self.contract)
        film = torch.cat([batch.frames, batch.targets], 1).float()
        count = film.shape[1]
        small = F.avg_pool2d(film.flatten(0, 1), STRIDE)
        classes = classify(small, self.get_buffer("centres")).view(len(film), count, *small.shape[-2:])
        seen = self._look(film.flatten(0, 1))
        *references, target = self.embed(seen.view(len(film), count, *seen.shape[1:]).transpose(1, 2)).unbind(2)
        colours = F.one_hot(classes[:, :-1], len(self.get_buffer("centres"))).movedim(-1, 2).float().unbind(1)
        made = copy_anywhere(target, references, colours, temperature=LEARNING)
        return {"loss": F.nll_loss((made + LITTLE).log().contiguous(), classes[:, -1])}

    def _look(self, frame: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        """What the encoder finds in each frame alone, and where each place lies."""
        grey = (frame * frame.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True) * (255 / 128) - 1
        found = self.encoder(grey)
        height, width = found.shape[-2:]
        y = torch.linspace(-1, 1, height, device=found.device, dtype=found.dtype).view(1, 1, -1, 1)
        x = torch.linspace(-1, 1, width, device=found.device, dtype=found.dtype).view(1, 1, 1, -1)
        where = [place.expand(len(found), 1, height, width) for place in (x, y)]
        return torch.cat([found, *where], 1)
