"""One network for one clip: a map from time to frame, smooth in time.

Chen, He, Wang, Ren, Lim, Shrivastava, *NeRV: Neural Representations for Videos*, NeurIPS 2021, arXiv 2110.13903; with
an embedding of time that is limited to what the frames can tell, and penalties on the derivative in time: ours.

t of a frame is its number, as everywhere; between frames lie fractions, and any number may be asked.

1. Embedding. sin(bᵏ π t/T) and cos(bᵏ π t/T), k = 0 … K−1, of a clip of T frames: 2K numbers. NeRV's b = 1.25, K = 40
   reaches 6·10³ π, which is 45 times what 132 frames can tell apart: such a network learns each frame by heart and
   shows anything between them. Here K is the largest with b^(K−1) ≤ the number of frames learnt from (Nyquist).
2. Stem. 2K → `stem` → C·h·w, GELU after both: a small picture of C channels.
3. Blocks, each: 3×3 convolution to C'·s² channels, PixelShuffle by s, GELU; C' = C / `reduction`.
4. Head: a convolution to RGB, ½ tanh + ½, cut to the clip's size.

The penalty is on the frame's derivative in time, at random times, not only where frames are. (The derivative of the
loss in time is no use: it is 2(f − x)·∂f/∂t, and vanishes where the fit is perfect, whatever happens between.)

  slope      mean (∂f/∂t)², by a difference over half a frame
  curvature  mean (f(t+1) − 2f(t) + f(t−1))², which leaves even change alone; the default
  variation  mean |∂f/∂t|, by the same difference as "slope"

Where we differ: NeRV's "at or below Nyquist" and "K ≈ 20 for 66 frames" cannot both hold (1.25¹⁹ = 69): K is rounded
down, to 19. The grid of the stem follows from the size of the clip, and what the last block makes too large is cut off;
NeRV's grids fit its clips. The head of ours is 3×3, as ours learn from few frames; that of `nerv-*` is 1×1, as in the
authors' code (MIT), by which the numbers of parameters were checked.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import ContractError, UsageError
from midframe.losses.pixel import difference, l1
from midframe.losses.ssim import ssim
from midframe.types import Batch, Contract

Penalty = Literal["none", "slope", "curvature", "variation"]
HALF = 0.5  # of a frame: the step of the difference that stands for the derivative


def nyquist(base: float, frames: int) -> int:
    """How many frequencies base^k π/T, k = 0, 1, …, lie at or below half the rate of `frames` frames in T.

    >>> nyquist(1.25, 66), nyquist(1.25, 132)
    (19, 22)
    """
    return 1 + math.floor(math.log(frames) / math.log(base) + 1e-9)


class TimeToImage(nn.Module):
    """t ↦ frame, for one clip.

    frames       of the clip: t = 0 is the first, t = frames − 1 the last
    size         height and width of the clip
    base, frequencies  of the embedding; None: by `learnt`, the number of frames it is fitted to (None: all)
    stem, width  channels of the stem's hidden layer, and of its picture
    strides      of the blocks
    expansion    by how much the first block widens; None: it narrows as the others do
    reduction, narrowest  each block divides the channels by `reduction`, down to `narrowest`
    activation   "gelu", or "silu" as NeRV
    head         kernel of the last convolution
    error        "l2", or "l1-ssim", 0.7·L1 + 0.3·(1 − SSIM), as NeRV
    penalty, strength  what keeps it smooth in time, and its weight; values in [0, 1], time in frames

    The object holds parameters only. Raises UsageError for settings that cannot be meant.
    """

    def __init__(
        self,
        *,
        frames: int = 66,
        size: tuple[int, int] = (80, 160),
        base: float = 1.25,
        frequencies: int | None = None,
        learnt: int | None = None,
        stem: int = 128,
        width: int = 48,
        strides: Sequence[int] = (2, 2, 2, 2),
        expansion: float | None = None,
        reduction: float = 1.2,
        narrowest: int = 12,
        activation: Literal["gelu", "silu"] = "gelu",
        head: int = 3,
        error: Literal["l2", "l1-ssim"] = "l2",
        penalty: Penalty = "curvature",
        strength: float = 1.0,
    ) -> None:
        super().__init__()
        if frames < 3 or min(size) < 1 or base <= 1 or min(stem, width, narrowest, head, *strides) < 1 or reduction < 1:
            raise UsageError(
                f"TimeToImage: a clip of 3 frames or more, base above 1, reduction, widths and strides from 1 on; got "
                f"{frames} frames, base {base}, reduction {reduction}, widths {stem}, {width}, {narrowest}, "
                f"strides {tuple(strides)}."
            )
        if strength < 0 or penalty not in ("none", "slope", "curvature", "variation"):
            raise UsageError(f"TimeToImage: no penalty {penalty!r} of strength {strength}; see the docstring.")
        self.contract = Contract(inputs=None, covers=(0, frames - 1))
        self.frames, self.size = frames, size
        self.error, self.penalty, self.strength = error, penalty, strength
        count = frequencies or nyquist(base, learnt or frames)
        angles = torch.tensor([base**k * math.pi / frames for k in range(count)], dtype=torch.float64)
        self.register_buffer("angles", angles, persistent=False)
        scale = math.prod(strides)
        self.grid = (-(-size[0] // scale), -(-size[1] // scale))
        act = nn.GELU if activation == "gelu" else nn.SiLU
        self.stem = nn.Sequential(
            nn.Linear(2 * count, stem), act(), nn.Linear(stem, width * self.grid[0] * self.grid[1]), act()
        )
        blocks: list[nn.Module] = []
        for number, stride in enumerate(strides):
            if number == 0 and expansion is not None:
                following = int(width * expansion)
            else:
                following = max(int(width / (reduction if stride > 1 else 1)), narrowest)
            shuffle = nn.Sequential(nn.Conv2d(width, following * stride**2, 3, 1, 1), nn.PixelShuffle(stride), act())
            blocks.append(shuffle)
            width = following
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(width, 3, head, 1, head // 2)

    def embed(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b k"]:
        angles: Any = self.angles  # float64: the highest may turn hundreds of times within the clip
        phase = t.double()[:, None] * angles
        return torch.cat((phase.sin(), phase.cos()), 1).to(self.head.weight.dtype)

    def latent(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b c"]:
        """What the stem makes of times: where walks between two frames may go straight."""
        made: Tensor = self.stem(self.embed(t))
        return made

    def decode(self, latent: Float[Tensor, "b c"]) -> Float[Tensor, "b 3 h w"]:
        """Frames in [0, 1] from the stem's answers."""
        maps = self.blocks(latent.view(len(latent), -1, *self.grid))
        return 0.5 * torch.tanh(self.head(maps)[..., : self.size[0], : self.size[1]]) + 0.5

    def forward(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
        return self.decode(self.latent(t))

    def observe(self, parts: Iterable[tuple[Float[Tensor, "n 3 h w"], Float[Tensor, " n"]]]) -> None:
        """Nothing: the weights are all there is of the clip."""

    def velocity(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
        """∂f/∂t, exact, by forward-mode differentiation: change of the values for each frame."""
        return torch.func.jvp(self, (t,), (torch.ones_like(t),))[1]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The error of batch.targets, B M, at batch.target_times, plus the penalty, weighted, at random times.

        batch.labels["chance"], B, in [0, 1) says where in the clip the penalty looks. Returns "loss", "error" and, with
        a penalty, its value. Raises ContractError if the size differs or there is no chance.
        """
        truth = batch.targets.flatten(0, 1)
        if truth.shape[-2:] != torch.Size(self.size):
            raise ContractError(f"TimeToImage makes {self.size}, the targets are {tuple(truth.shape[-2:])} (H W).")
        made = self(batch.target_times.flatten())
        if self.error == "l2":
            error = difference(made, truth, "l2").square().mean()
        else:
            error = 0.7 * l1(made, truth) + 0.3 * (1 - ssim(made, truth))
        if self.penalty == "none" or self.strength == 0:
            return {"loss": error, "error": error}
        if "chance" not in batch.labels:
            raise ContractError('TimeToImage: with a penalty a batch has a label "chance", where in time it looks.')
        rough = self.roughness(batch.labels["chance"])
        return {"loss": error + self.strength * rough, "error": error, self.penalty: rough}

    def roughness(self, chance: Float[Tensor, " b"]) -> Float[Tensor, ""]:
        """The penalty, at the times that `chance` in [0, 1) says: 0 is where the clip begins."""
        if self.penalty == "curvature":
            t = 1 + chance * (self.frames - 3)
            before, here, after = self(torch.cat((t - 1, t, t + 1))).chunk(3)
            return (before - 2 * here + after).square().mean()
        t = chance * (self.frames - 1 - HALF)
        here, after = self(torch.cat((t, t + HALF))).chunk(2)
        change = (after - here) / HALF
        return change.abs().mean() if self.penalty == "variation" else change.square().mean()
