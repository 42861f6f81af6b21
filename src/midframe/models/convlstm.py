"""ConvLSTM: the next frames from a stack of convolutional memories that reads one frame after the other.

Shi, Chen, Wang, Yeung, Wong, Woo: "Convolutional LSTM Network: A Machine Learning Approach for Precipitation
Nowcasting", NeurIPS 2015, arXiv 1506.04214; in the form in which it is measured beside others today (OpenSTL, NeurIPS
2023, arXiv 2306.11249): one stack that reads a frame and gives the next, instead of an encoder and a forecaster.

    prepare   frames at −9 … 0, one after the other:
              fold 4 × 4 pixels into channels           B 16 H/4 W/4
              4 × ConvLSTM, 128 channels, 5×5           B 128 H/4 W/4
    render    1×1                                       B 16 H/4 W/4, unfold: the next frame
              which the stack then reads as if it had been seen, and so on

No biases, no peepholes, nothing after the last convolution: a value may lie outside [0, 1].

| configuration | channels | kernel | parameters | multiply-adds, 19 steps at 64×64 |
|---|---|---|---|---|
| `convlstm` | 4 × 128 | 5 | 11,675,648 | 56.8 G |
| `convlstm/large` | 4 × 192 | 5 | 26,115,072 | 127 G |
| `convlstm-s` | 2 × 48 | 3 | 277,248 | 1.4 G |

Training is teacher-forced over the past. Over the future the stack reads the true frame with a probability that falls
from 1 to 0 in the course of training (scheduled sampling, Bengio et al., arXiv 1506.03099), else its own.

Where we differ. The paper's cells have peepholes, and two stacks; the form of OpenSTL has neither, and its figures are
what this is compared with. OpenSTL's own count is 15.0 and 33.8 million: its cells own two convolutions each that
nothing reads, 3,407,872 and 7,667,712 parameters. The folding puts the pixels of a block into channels in another
order, which the first convolution absorbs. Checked against a description of chengtan9907/OpenSTL (Apache-2.0).
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import UsageError
from midframe.nn.ahead import ahead, check_future, check_past, choose
from midframe.nn.conv_lstm import ConvLSTMCell, Memory
from midframe.nn.pair import Time
from midframe.types import Batch


class ConvLSTM(nn.Module):
    """Synthesizer of t = 1, 2, … `horizon` from the last `inputs` frames.

    channels  1: grey, 3: RGB
    widths    channels of the layers' memories
    kernel    of the cells, odd
    patch     side of the block of pixels that becomes channels; sizes must be multiples of it
    inputs, horizon  frames read, frames that can be asked for; neither changes a parameter
    sampling  batches of training after which it reads nothing but its own frames beyond the past

    The state is {"memory": a (hidden, cell) for each layer, "made": [B C H W, …], the frames so far}; it grows while it
    is rendered from. The object holds parameters and the number of batches learnt from. Raises UsageError for settings
    that cannot be meant.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        widths: tuple[int, ...] = (128, 128, 128, 128),
        kernel: int = 5,
        patch: int = 4,
        inputs: int = 10,
        horizon: int = 10,
        sampling: int = 50_000,
    ) -> None:
        super().__init__()
        if not widths or min(patch, sampling) < 1:
            raise UsageError(
                f"ConvLSTM has a layer or more, and patch and sampling of 1 or more: {widths}, {patch}, {sampling}."
            )
        self.contract = ahead(inputs, horizon, channels=channels, multiple=patch, minimum=patch)
        self.patch, self.sampling = patch, sampling
        folded = channels * patch**2
        self.layers = nn.ModuleList(
            ConvLSTMCell(before, width, kernel, bias=False)
            for before, width in zip((folded, *widths), widths, strict=False)
        )
        self.readout = nn.Conv2d(widths[-1], folded, 1, bias=False)
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def prepare(self, frames: Float[Tensor, "b n c h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """The memories after the past, and the frame at 1. Raises ContractError for frames that do not fit."""
        check_past("ConvLSTM", frames, self.contract)
        memory: list[Memory | None] = [None] * len(self.layers)
        for frame in frames.unbind(1):
            made, memory = self._step(frame, memory)
        return {"memory": memory, "made": [made]}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b c h w"]:
        """The frame at `t`, not clamped. Raises ContractError for another t or size."""
        made: list[Tensor] = state["made"]

        def roll(count: int) -> list[Tensor]:
            while len(made) < count:
                frame, state["memory"] = self._step(made[-1], state["memory"])
                made.append(frame)
            return made

        return choose("ConvLSTM", roll, t, size, made[0], self.contract)

    def forward(self, frames: Float[Tensor, "b n c h w"], t: Time = 1) -> Float[Tensor, "b c h w"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error of every frame after the first, past and future.

        In training, the true frame is read beyond the past with the probability that falls (see `sampling`), drawn for
        each sample and frame from the number of the batch alone; otherwise never. Returns "loss", and "mse", the
        squared error of the future summed over a frame's values, which is how tables give it. Raises ContractError for
        a batch that does not fit.
        """
        check_future("ConvLSTM", batch, self.contract)
        film = torch.cat([batch.frames, batch.targets], 1)
        known = self._known(len(film), batch.targets.shape[1]).to(film.device)
        past = batch.frames.shape[1]
        memory: list[Memory | None] = [None] * len(self.layers)
        made: list[Tensor] = []
        for step in range(film.shape[1] - 1):
            frame = film[:, step]
            if step >= past:
                frame = torch.where(known[:, step - past, None, None, None], frame, made[-1].to(frame.dtype))
            answer, memory = self._step(frame, memory)
            made.append(answer)
        errors = (torch.stack(made, 1).float() - film[:, 1:]).square()
        if self.training:
            self.get_buffer("batches").add_(1)
        return {"loss": errors.mean(), "mse": errors[:, past - 1 :].detach().sum((2, 3, 4)).mean()}

    def _step(
        self, frame: Float[Tensor, "b c h w"], memory: list[Memory | None]
    ) -> tuple[Float[Tensor, "b c h w"], list[Memory | None]]:
        """The next frame, and the memories after `frame`."""
        x = F.pixel_unshuffle(frame, self.patch)
        after: list[Memory | None] = []
        for layer, before in zip(self.layers, memory, strict=True):
            kept = layer(x, before)
            after.append(kept)
            x = kept.hidden
        return F.pixel_shuffle(self.readout(x), self.patch), after

    def _known(self, count: int, steps: int) -> Tensor:
        """Which samples read the true frame at which step of the future, B M."""
        if not self.training:
            return torch.zeros(count, steps, dtype=torch.bool)
        batch = int(self.get_buffer("batches"))
        # from the batch's number: a training that goes on must draw what an unbroken one would have drawn
        drawn = torch.rand(count, steps, generator=torch.Generator().manual_seed(batch))
        return drawn < 1 - batch / self.sampling
