"""Moving MNIST: digits that drift over a black field and bounce off its edges, as training batches for prediction.

Srivastava, Mansimov, Salakhutdinov: "Unsupervised Learning of Video Representations using LSTMs", ICML 2015, arXiv
1502.04681; the procedure as every benchmark since has it. A digit's corner moves over a square of side 1, which is the
field less the digit's own size. It begins anywhere, goes in any direction, by 0.1 of that square a frame; where it
would leave, it is put on the edge and that part of its velocity turned round. The place is written down after the step,
then cut off (not rounded) to whole pixels. Where digits meet, the lighter value counts.

    source = MovingMNIST(digits)                             # N 28 28 uint8: digits to be drawn from
    batch = source.sample(torch.Generator().manual_seed(0), 16)
    batch.frames, batch.targets                              # 16 10 1 64 64 at −9…0, 16 10 1 64 64 at 1…10

Test sequences are those of a fixed seed over the digits of the test part; the published file of 10,000 is one such draw
by another generator of random numbers. On the digits of MNIST's test part 4,000 clips have a mean entropy of 86.2 nats
a frame, the published file has 86.3 (Kalchbrenner et al., arXiv 1610.00527); and the last frame repeated has a summed
squared error of 285 a frame over the next ten.
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from midframe.data.source import draw_generators
from midframe.errors import UsageError
from midframe.types import Batch

SPEED = 0.1  # of the square that a corner moves over, a frame


class MovingMNIST:
    """A `Source` of clips of one channel, values in [0, 1]: frames at 1 − inputs … 0, targets at 1 … targets.

    digits    any number of grey pictures of one size to draw from; a copy is not made
    inputs, targets   frames read, frames to be predicted
    together  digits in a clip
    size      height and width of the field, pixels; more than those of a digit

    Raises UsageError for what cannot be meant. A sample depends on its own generator only, not on those beside it.
    """

    def __init__(
        self,
        digits: UInt8[np.ndarray, "n h w"],
        *,
        inputs: int = 10,
        targets: int = 10,
        together: int = 2,
        size: int = 64,
    ) -> None:
        if digits.ndim != 3 or digits.dtype != np.uint8 or 0 in digits.shape:
            raise UsageError(f"digits are N H W uint8, one at least; these are {digits.shape} {digits.dtype}.")
        if min(inputs, targets, together) < 1:
            raise UsageError(f"inputs, targets and digits in a clip are 1 or more: {inputs}, {targets}, {together}.")
        if max(digits.shape[1:]) > size:
            raise UsageError(f"digits of {digits.shape[2]}x{digits.shape[1]} do not fit into a field of {size}x{size}.")
        self.digits, self.inputs, self.targets = digits, inputs, targets
        self.together, self.size = together, size

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        """`count` clips."""
        numbers = np.stack([one.random((self.together, 4)) for one in draw_generators(generator, count)])
        which = (numbers[..., 0] * len(self.digits)).astype(np.int64)
        paths = bounce(numbers[..., 1:3], 2 * np.pi * numbers[..., 3], self.inputs + self.targets)
        film = torch.from_numpy(self._paint(which, paths))[:, :, None].float().div_(255)
        times = torch.arange(1.0 - self.inputs, 1.0 + self.targets).expand(count, -1)
        n = self.inputs
        return Batch(film[:, :n], times[:, :n], film[:, n:], times[:, n:])

    def _paint(self, which: NDArray[np.int64], paths: Float[np.ndarray, "t b k 2"]) -> UInt8[np.ndarray, "b t h w"]:
        steps, count, together, _ = paths.shape
        height, width = self.digits.shape[1:]
        film = np.zeros((count, steps, self.size, self.size), np.uint8)
        places = sliding_window_view(film, (height, width), (2, 3), writeable=True)  # every place a digit can be
        clip, frame = np.ogrid[:count, :steps]
        for k in range(together):
            left = (paths[:, :, k, 0].T * (self.size - width)).astype(np.int64)
            top = (paths[:, :, k, 1].T * (self.size - height)).astype(np.int64)
            here = clip, frame, top, left
            places[here] = np.maximum(places[here], self.digits[which[:, k], None])
        return film


def bounce(
    start: Float[np.ndarray, "*many 2"], angle: Float[np.ndarray, "*many"], steps: int, *, speed: float = SPEED
) -> Float[np.ndarray, "t *many 2"]:
    """Places (x, y) in the square [0, 1]² after 1 … `steps` steps of length `speed` at `angle` (radians).

    A step that reaches or passes an edge ends on it, and the velocity across it is turned round.
    """
    place, velocity = start.copy(), speed * np.stack([np.cos(angle), np.sin(angle)], -1)
    paths = np.empty((steps, *start.shape))
    for step in range(steps):
        place += velocity
        velocity[(place <= 0) | (place >= 1)] *= -1
        paths[step] = np.clip(place, 0, 1, out=place)
    return paths
