"""One clip as training data: its frames at one size, on disk, and batches of them at their times."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from midframe.types import Batch


def write_frames(
    path: Path, frames: Iterable[Float[Tensor, "3 h w"]], count: int, size: tuple[int, int], told: Callable[[int], None]
) -> None:
    """`count` frames, RGB in [0, 1], area-averaged to `size` (height, width), as N H W 3 uint8 in a .npy file.

    `told` hears how many are done. Memory is one frame.
    """
    stored = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *size, 3))
    for number, frame in enumerate(frames):
        picture = frame[:3].permute(1, 2, 0).numpy()
        if picture.shape[:2] != size:
            picture = cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        stored[number] = np.rint(np.clip(picture, 0, 1) * 255)
        told(number + 1)
    stored.flush()


class OneClip:
    """Draws frames of one clip: a Source whose batches read nothing and have one target a sample, or a window of them.

    pictures  N H W 3 uint8, perhaps of a file that is read as needed; times: theirs, in frames
    learnt    numbers of the frames to draw from
    window    how many of these follow each other in a sample, fewer if there are not so many; None: single frames
    """

    def __init__(
        self,
        pictures: NDArray[np.uint8],
        times: Sequence[float],
        learnt: Sequence[int],
        *,
        window: int | None = None,
    ) -> None:
        self._pictures, self._times, self._learnt = pictures, times, list(learnt)
        self._window = None if window is None else min(window, len(learnt))

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        """`count` frames, none twice before all were drawn once, with a label "chance": uniform in [0, 1); or `count`
        windows, each beginning anywhere."""
        if self._window is not None:
            begins = torch.randint(len(self._learnt) - self._window + 1, (count,), generator=generator).tolist()
            windows = [self._learnt[begin : begin + self._window] for begin in begins]
            targets = torch.stack([torch.stack([self.frame(number) for number in one]) for one in windows])
            times = torch.tensor([[self._times[number] for number in one] for one in windows])
            return Batch(targets[:, :0], times[:, :0], targets, times)
        rounds = -(-count // len(self._learnt))
        order = torch.cat([torch.randperm(len(self._learnt), generator=generator) for _ in range(rounds)])[:count]
        chosen = [self._learnt[place] for place in order.tolist()]
        chance = torch.rand(count, generator=generator)
        targets = torch.stack([self.frame(number) for number in chosen])[:, None]
        times = torch.tensor([self._times[number] for number in chosen])[:, None]
        nothing = targets.new_zeros((count, 0, *targets.shape[2:]))
        return Batch(nothing, times[:, :0], targets, times, {"chance": chance})

    def frame(self, number: int) -> Float[Tensor, "3 h w"]:
        return torch.from_numpy(np.array(self._pictures[number])).permute(2, 0, 1).float() / 255
