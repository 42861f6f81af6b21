"""Zooming SlowMo: four times the size and the frames between, in one network.

Xiang, Tian, Zhang, Fu, Allebach, Xu: "Zooming Slow-Mo: Fast and Accurate One-Stage Space-Time Video Super-Resolution",
CVPR 2020, arXiv 2002.11616; "Zooming SlowMo", arXiv 2104.07473.

Enlarging and interpolating help each other: a frame between says what a frame should look like in detail, and detail
says where things have gone. So features of the missing frames are made from those of their neighbours, not the frames
themselves, and all of them are looked at forwards and backwards before anything is enlarged.

    prepare   features of N frames and of N − 1 between them, see `nn.space_time`        2N − 1, each 64 H W
    render    the map at t: 2 × (3×3 to 256, pixel shuffle, leaky ReLU 0.1), 3×3, leaky ReLU, 3×3        3 4H 4W

It reads four frames, at 0, 1, 2, 3, and renders 0, ½, 1, … 3, ends included: what comes back at a frame's own time is
that frame, larger. N is free: `inputs`.

| configuration | channels | residual blocks | parameters |
|---|---|---|---|
| `zooming-slowmo` | 64 | 5 + 40 | 11,102,771 |
| `zooming-slowmo-s` | 16 | 2 + 4, memory not aligned | 217,991 |

Where we differ from the authors' code: `residual` (off as published) adds the answer to the enlarged cross-fade of the
frames around t (bicubic), and a fresh last layer is zero, so that training begins there; the small form does so, and
has `align=False`, an ablation of the paper, for the sake of time. The
mean is learnt from, not the sum: to Adam the same. Nothing is clamped. Checked against a description of
Mukosame/Zooming-Slow-Mo-CVPR-2020 and its count of parameters.
"""

from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import UsageError
from midframe.losses.pixel import charbonnier
from midframe.nn.pair import Time, read_times
from midframe.nn.space_time import (
    MULTIPLE,
    SpaceTimeEncoder,
    blend,
    check_batch,
    check_window,
    choose_size,
    conv,
    lrelu,
)
from midframe.ops.resize import resize_cubic
from midframe.types import Batch, Contract

SCALE = 4


class Head(nn.Module):
    """From features to a picture of four times the size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up1, self.up2 = conv(width, 4 * width), conv(width, 4 * width)
        self.mix, self.last = conv(width, width), conv(width, 3)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 h4 w4"]:
        x = lrelu(F.pixel_shuffle(self.up1(x), 2))
        x = lrelu(F.pixel_shuffle(self.up2(x), 2))
        return self.last(lrelu(self.mix(x)))


class ZoomingSlowMo(nn.Module):
    """Synthesizer of four times the size, at multiples of ½ from the first frame to the last.

    inputs    frames N, at 0 … N − 1
    width, groups, front, back, align   of the encoder, see `SpaceTimeEncoder`
    residual  ours: the answer is added to the enlarged cross-fade of the frames around t

    The state is {"frames": B N 3 H W, "features": B 2N−1 C H W}; the object holds parameters only. Raises UsageError
    for fewer than two frames, and as the encoder does.
    """

    def __init__(
        self,
        *,
        inputs: int = 4,
        width: int = 64,
        groups: int = 8,
        front: int = 5,
        back: int = 40,
        align: bool = True,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if inputs < 2:
            raise UsageError(f"ZoomingSlowMo reads 2 frames or more, got {inputs}.")
        self.contract = Contract(
            inputs=tuple(range(inputs)),
            covers=(0, inputs - 1),
            times=tuple(Fraction(k, 2) for k in range(2 * inputs - 1)),
            scale=(SCALE, SCALE),
            multiple=MULTIPLE,
            minimum=MULTIPLE,
        )
        self.residual = residual
        self.encoder = SpaceTimeEncoder(width=width, groups=groups, front=front, back=back, align=align)
        self.head = Head(width)
        if residual:
            for parameter in self.head.last.parameters():
                nn.init.zeros_(parameter)

    def prepare(self, frames: Float[Tensor, "b n 3 h w"], generator: torch.Generator | None = None) -> dict[str, Any]:
        """Raises ContractError if the number or the size of the frames does not fit."""
        check_window("ZoomingSlowMo", frames, self.contract)
        return {"frames": frames, "features": self.encoder(frames)}

    def render(self, state: dict[str, Any], t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 h4 w4"]:
        """The frame at `t`. Raises ContractError for another time or size."""
        frames: Tensor = state["frames"]
        choose_size("ZoomingSlowMo", size, frames, self.contract, SCALE)
        times = read_times("ZoomingSlowMo", t, frames[:, 0], self.contract)
        return self._make(frames, state["features"], times)

    def forward(self, frames: Float[Tensor, "b n 3 h w"], t: Time) -> Float[Tensor, "b 3 h4 w4"]:
        return self.render(self.prepare(frames), t)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Charbonnier, not clamped. Returns "loss" and the frames as "made". Raises ContractError for a batch that does
        not fit."""
        times = check_batch("ZoomingSlowMo", batch, self.contract)
        count = batch.targets.shape[1]
        features = self.encoder(batch.frames).repeat_interleave(count, 0)
        made = self._make(batch.frames.repeat_interleave(count, 0), features, times)
        return {"loss": charbonnier(made, batch.targets.flatten(0, 1)), "made": made}

    def _make(self, frames: Tensor, features: Tensor, times: Float[Tensor, "b 1 1 1"]) -> Tensor:
        index = (2 * times.flatten()).round().long()
        made: Tensor = self.head(features[torch.arange(len(index), device=index.device), index])
        if self.residual:
            made = made + resize_cubic(blend(frames, times), (made.shape[-2], made.shape[-1]))
        return made.to(frames.dtype)
