"""VideoINR: a video as a function of place and time, read at any size and any moment between two frames.

Chen, Chen, Liu, Xu, Singh, Chen, Wang, Hsu, Liu, Metaxas: "VideoINR: Learning Video Implicit Neural Representation for
Continuous Space-Time Super-Resolution", CVPR 2022, arXiv 2206.04647.

An encoder makes maps of features from both frames and from between them. Then each pixel of the answer, wherever it
lies and whenever it is, asks small networks (Siren: sines for activations): what is here, where does it come from in
space and time, and, with what is read there, which colour is it.

    prepare  F0, Fm, F1 = encoder, see `nn.space_time`                                     each 64 H W
             feat = F0 Fm F1, inp = I0 I1                                                  192 + 6
    render, at time t and size HH × WW, each pixel:
      space   HR = Siren(feat, inp at the nearest cell; place in that cell; t)             64
      motion  flow0, flow1 = Siren(HR; feat, inp here, bilinear; t)                        (dx, dy) each
      read    HR, feat, inp where flow0 points and where flow1 points, bilinear, 0 outside
      colour  RGB = Siren(what was read; t)

    Siren     sin(30 (W x + b)) for each layer, the last one linear: 64 64 256 for space and motion, 64 64 256 256

t is 0 … 1 with both ends: what comes back at 0 is frame 0, larger. Flow is in pixels of the answer.

Since a Siren's first layer is linear it is applied to maps before they are read, at the size of the input, where it is
cheap (`Siren.enter`); the result is the same. Rows are made strip by strip, so that beside HR, which can be read from
anywhere, little memory is needed.

`motion="splat"`: forwards instead of backwards, after Chen et al., "MoTIF", ICCV 2023, arXiv 2307.07988. A pixel of
frame r says where it goes, and is carried there (`ops.splat`); what arrives is mixed by weights that say how sure each
is. No flow network is taken as a help. What is splatted are HR features of each frame and, with `residual`, the frame
itself, enlarged:

      space   HR_r = Siren(F_r, I_r at the nearest cell; place in it), without t           64, for r = 0, 1
      motion  v, z = Siren(HR_r; F_r Fm F_1−r, I_r I_1−r here; d), d = |t − r|; the pixel goes d·v
      splat   S = Σ w HR_r / Σ w over what lands, w = (1 − d) σ(z)
      colour  RGB = Siren(S; ln(Σ w + small); Fm here; t)

`mapper="fourier"` makes HR_r by few waves in place of Siren, after Kim et al., "BF-STVSR", CVPR 2025, arXiv 2501.11043:
HR = W (A ∘ [cos πFδ, sin πFδ]), amplitude A and frequency F from Siren at each cell, δ the place in it.

| configuration | channels | residual blocks | parameters |
|---|---|---|---|
| `videoinr` | 64 | 5 + 40 | 10,978,615 |
| `videoinr/splat` | 64 | 5 + 40 | 10,944,630 |
| `videoinr/fourier` | 64 | 5 + 40 | 10,965,110 |
| `videoinr-s` | 16 | 2 + 4, memory not aligned | 220,604 |

The published count, 11,312,698, has 334,083 of a head that is built and never used.

Where we differ from the authors' code:

* One convention of places, pixel centres; theirs warps from −1 … 1 on the corners and reads as if on the borders.
* In testing theirs enlarges the frames four times before they are read; here they are read as in training.
* A pixel that lies between two cells belongs to the second.
* The mean of the loss is learnt from (their advice for the second stage), not the sum.
* Ours, off as published, on in the small form: `residual`, the answer is added to both frames, enlarged (bicubic), read
  where flow points and mixed, w0 = (1−t)/((1−t) + t e^s), s a fourth answer of colour; it begins as a cross-fade, for
  the last layers of motion and colour begin as 0. And `relative`: flow is found in pixels of the input, which mean the
  same motion whatever size is asked for, and as if the frame were a whole step away: it is multiplied by t for frame 0
  and 1−t for frame 1, so that a frame at its own time is not moved.
* Ours, too: `gain` makes the first weights of the Sirens' first layers larger, by 4 in the small form. Features of an
  untrained encoder hardly vary from place to place, and at first a Siren as published hardly sees them.

Nothing is clamped. Checked against a description of Picsart-AI-Research/VideoINR and its counts of parameters.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midframe.errors import UsageError
from midframe.losses.pixel import charbonnier
from midframe.nn.layers import exact
from midframe.nn.pair import Time, read_times
from midframe.nn.space_time import MULTIPLE, SpaceTimeEncoder, check_batch, check_window, choose_size
from midframe.ops.resize import resize_cubic
from midframe.ops.splat import splat
from midframe.types import Batch, Contract

LARGEST = 16.0  # times the size: the most that is published
USUAL = 4.0
PIXELS = 1 << 17  # of a strip
EDGE = 1 - 1e-6  # places are held within this: authors' code
FEW = 1e-3  # weight of the cross-fade where little or nothing lands
State = dict[str, Any]


class Siren(nn.Module):
    """sin(ω (W x + b)) layer by layer, the last one linear; Sitzmann et al., NeurIPS 2020, arXiv 2006.09661.

    parts   channels of each of the things that x is made of, side by side
    hidden  width of each layer but the last
    gain    by how much the first layer's first weights are larger than the paper's

    Each pixel is a point by itself: convolutions 1×1.
    """

    def __init__(
        self, parts: Sequence[int], hidden: Sequence[int], outputs: int, omega: float = 30.0, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.parts, self.omega = tuple(parts), omega
        widths = [sum(parts), *hidden, outputs]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        for number, (layer, inputs) in enumerate(zip(self.layers, widths, strict=False)):
            bound = gain / inputs if number == 0 else (6 / inputs) ** 0.5 / omega
            nn.init.uniform_(layer.weight, -bound, bound)  # type: ignore[arg-type]

    def enter(self, x: Float[Tensor, "b c h w"], *parts: int) -> Float[Tensor, "b d h w"]:
        """What `x`, these parts side by side, gives in the first layer, before all parts are added up."""
        ends = [sum(self.parts[: k + 1]) for k in range(len(self.parts))]
        first: Any = self.layers[0]
        columns = [first.weight[:, ends[k] - self.parts[k] : ends[k]] for k in parts]
        return F.conv2d(x, torch.cat(columns, 1))

    def forward(self, entered: Float[Tensor, "b d h w"]) -> Float[Tensor, "b e h w"]:
        """The answer to the sum of what entered."""
        first: Any = self.layers[0]
        x = torch.sin(self.omega * (entered + first.bias[:, None, None]))
        for layer in self.layers[1:-1]:
            x = torch.sin(self.omega * layer(x))
        made: Tensor = self.layers[-1](x)
        return made

    def begin_as_zero(self) -> None:
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]


class Grid:
    """Where the pixels of some rows of an answer lie, over maps of another size. Pixel centres, (dx, dy) in pixels."""

    def __init__(self, size: tuple[int, int], rows: slice, like: Tensor) -> None:
        self.size, self.device = size, like.device
        self.rows = torch.arange(rows.start, rows.stop, device=self.device)
        self.columns = torch.arange(size[1], device=self.device)

    def _cells(self, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Of maps of this shape, the row and the column each pixel's centre lies in; whole numbers, hence exact."""
        height, width = shape[-2:]
        return (2 * self.rows + 1) * height // (2 * self.size[0]), (2 * self.columns + 1) * width // (2 * self.size[1])

    def nearest(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c rows ww"]:
        rows, columns = self._cells(maps.shape)
        return maps[:, :, rows][:, :, :, columns]  # indexing: the backward pass of index_select takes ten times as long

    def within(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "1 2 rows ww"]:
        """How far from its cell's middle each pixel lies, (y, x) in −1 … 1 from border to border."""
        height, width = maps.shape[-2:]
        rows, columns = self._cells(maps.shape)
        y = 2 * ((self.rows.double() + 0.5) * height / self.size[0] - rows - 0.5)
        x = 2 * ((self.columns.double() + 0.5) * width / self.size[1] - columns - 0.5)
        far = torch.stack(torch.meshgrid(y, x, indexing="ij"))[None]
        return far.to(torch.promote_types(maps.dtype, torch.float32))

    def at(self, flow: Float[Tensor, "b 2 rows ww"]) -> Float[Tensor, "b rows ww 2"]:
        """The places that `flow` points to as grid_sample wants them, for maps of any size; held within the picture."""
        x, y = self.columns + flow[:, 0], self.rows[:, None] + flow[:, 1]
        places = torch.stack([(2 * x + 1) / self.size[1] - 1, (2 * y + 1) / self.size[0] - 1], -1)
        return places.clamp(-EDGE, EDGE)

    def here(self, like: Float[Tensor, "b c h w"]) -> Float[Tensor, "b rows ww 2"]:
        """The pixels' own places."""
        kind = torch.promote_types(like.dtype, torch.float32)
        return self.at(torch.zeros(len(like), 2, len(self.rows), self.size[1], dtype=kind, device=self.device))


def read(maps: Tensor, places: Tensor, beyond: Literal["zeros", "border"] = "zeros") -> Tensor:
    """Bilinear, cells' middles at pixel centres."""
    return F.grid_sample(maps.to(places.dtype), places, "bilinear", beyond, align_corners=False)


def cut_rows(size: tuple[int, int], batch: int) -> list[slice]:
    """The rows of a picture in strips of about PIXELS."""
    tall = max(PIXELS // (batch * size[1]), 1)
    return [slice(first, min(first + tall, size[0])) for first in range(0, size[0], tall)]


class Points(nn.Module):
    """HR features of a cell's features and the place in it, by Siren."""

    def __init__(self, width: int, hidden: Sequence[int], omega: float, gain: float) -> None:
        super().__init__()
        self.siren = Siren((width, 3, 2), hidden, width, omega, gain)

    def enter(self, own: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return self.siren.enter(own, 0, 1)

    def forward(self, entered: Float[Tensor, "b d h w"], grid: Grid) -> Float[Tensor, "b c rows ww"]:
        return self.siren(grid.nearest(entered) + self.siren.enter(grid.within(entered), 2))


class Waves(nn.Module):
    """The same by waves across the cell: their amplitudes and frequencies are found once for each cell."""

    def __init__(self, width: int, hidden: Sequence[int], omega: float, gain: float) -> None:
        super().__init__()
        self.find = Siren((width, 3), hidden, 2 * width, omega, gain)
        self.mix = nn.Conv2d(width, width, 1)

    def enter(self, own: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return self.find(self.find.enter(own, 0, 1))

    def forward(self, entered: Float[Tensor, "b d h w"], grid: Grid) -> Float[Tensor, "b c rows ww"]:
        amplitude, frequency = grid.nearest(entered).chunk(2, 1)
        down, across = frequency.chunk(2, 1)
        y, x = grid.within(entered).chunk(2, 1)
        phase = torch.pi * (down * y + across * x)
        return self.mix(amplitude * torch.cat([phase.cos(), phase.sin()], 1))


class Decoder(Protocol):
    """`enter`: what features give once for all times and sizes; `forward`: the picture at a time and a size."""

    def enter(self, frames: Float[Tensor, "b 2 3 h w"], features: Float[Tensor, "b 3 c h w"]) -> State: ...

    def __call__(self, state: State, t: Float[Tensor, "b 1 1 1"], size: tuple[int, int]) -> Tensor: ...


class Warped(nn.Module):
    """The published decoder: each pixel reads where it comes from."""

    def __init__(
        self,
        width: int,
        hidden: Sequence[int],
        mix: Sequence[int],
        omega: float,
        gain: float,
        *,
        residual: bool,
        relative: bool,
    ) -> None:
        super().__init__()
        self.residual, self.relative = residual, relative
        self.space = Siren((3 * width, 6, 2, 1), hidden, width, omega, gain)
        self.motion = Siren((width, 3 * width, 6, 1), hidden, 4, omega, gain)
        self.colour = Siren((width, width, 3 * width, 3 * width, 6, 6, 1), mix, 4 if residual else 3, omega, gain)
        if residual:
            self.motion.begin_as_zero()
            self.colour.begin_as_zero()

    def enter(self, frames: Float[Tensor, "b 2 3 h w"], features: Float[Tensor, "b 3 c h w"]) -> State:
        known = torch.cat([features.flatten(1, 2), frames.flatten(1, 2)], 1)
        return {
            "frames": frames,
            "space": self.space.enter(known, 0, 1),
            "motion": self.motion.enter(known, 1, 2),
            "colour0": self.colour.enter(known, 2, 4),
            "colour1": self.colour.enter(known, 3, 5),
        }

    def forward(self, state: State, t: Float[Tensor, "b 1 1 1"], size: tuple[int, int]) -> Float[Tensor, "b 3 hh ww"]:
        strips = cut_rows(size, len(t))
        whole = torch.cat([self._enlarge(state, t, Grid(size, rows, t)) for rows in strips], 2)
        frames = resize_cubic(state["frames"], size) if self.residual else None
        return torch.cat([self._colour(state, whole, frames, t, size, rows) for rows in strips], 2)

    def _enlarge(self, state: State, t: Tensor, grid: Grid) -> Tensor:
        entered = grid.nearest(state["space"]) + self.space.enter(grid.within(state["space"]), 2)
        return self.space(entered + self.space.enter(t, 3))

    def _colour(
        self, state: State, whole: Tensor, frames: Tensor | None, t: Tensor, size: tuple[int, int], rows: slice
    ) -> Tensor:
        grid = Grid(size, rows, t)
        entered = self.motion.enter(whole[:, :, rows], 0) + read(state["motion"], grid.here(whole))
        flow = exact(self.motion(entered + self.motion.enter(t, 3)))
        if self.relative:
            flow = in_pixels(flow, state["motion"], size) * torch.cat([t, t, 1 - t, 1 - t], 1)
        entered, places = self.colour.enter(t, 6), (grid.at(flow[:, :2]), grid.at(flow[:, 2:]))
        for k, place in enumerate(places):
            entered = entered + self.colour.enter(read(whole, place), k) + read(state[f"colour{k}"], place)
        made = self.colour(entered)
        if frames is None:
            return made
        first = torch.sigmoid(torch.logit(1 - t) - made[:, 3:])  # (1−t) / ((1−t) + t eˢ)
        seen = [read(frames[:, k], place, "border") for k, place in enumerate(places)]
        return first * seen[0] + (1 - first) * seen[1] + made[:, :3]


class Splatted(nn.Module):
    """Forwards: each pixel of both enlarged frames says where it goes."""

    def __init__(
        self,
        width: int,
        hidden: Sequence[int],
        mix: Sequence[int],
        omega: float,
        gain: float,
        *,
        mapper: Literal["siren", "fourier"],
        residual: bool,
        relative: bool,
    ) -> None:
        super().__init__()
        self.residual, self.relative = residual, relative
        self.space = Points(width, hidden, omega, gain) if mapper == "siren" else Waves(width, hidden, omega, gain)
        self.motion = Siren((width, 3 * width, 6, 1), hidden, 3, omega, gain)
        self.colour = Siren((width, 1, width, 1), mix, 3, omega, gain)
        if residual:
            self.motion.begin_as_zero()
            self.colour.begin_as_zero()

    def enter(self, frames: Float[Tensor, "b 2 3 h w"], features: Float[Tensor, "b 3 c h w"]) -> State:
        own = torch.cat([features[:, [0, 2]], frames], 2).flatten(0, 1)
        around = [torch.cat([f.flatten(1, 2), i.flatten(1, 2)], 1) for f, i in zip(
            (features, features.flip(1)), (frames, frames.flip(1)), strict=True
        )]  # fmt: skip
        both = torch.stack(around, 1).flatten(0, 1)
        return {
            "frames": frames,
            "space": pair_up(self.space.enter(own)),
            "motion": pair_up(self.motion.enter(both, 1, 2)),
            "colour": self.colour.enter(features[:, 1], 2),
        }

    def forward(self, state: State, t: Float[Tensor, "b 1 1 1"], size: tuple[int, int]) -> Float[Tensor, "b 3 hh ww"]:
        space, motion = state["space"].flatten(0, 1), state["motion"].flatten(0, 1)
        distance = torch.stack([t, 1 - t], 1).flatten(0, 1)
        whole, moved = [], []
        for rows in cut_rows(size, 2 * len(t)):
            grid = Grid(size, rows, t)
            whole.append(self.space(space, grid))
            entered = self.motion.enter(whole[-1], 0) + read(motion, grid.here(motion))
            moved.append(exact(self.motion(entered + self.motion.enter(distance, 3))))
        found = torch.cat(moved, 2)
        flow = distance * found[:, :2]
        if self.relative:
            flow = in_pixels(flow, motion, size)
        weight = (1 - distance) * torch.sigmoid(found[:, 2:])
        carried = [torch.cat(whole, 2), torch.ones_like(weight)]
        frames = resize_cubic(state["frames"], size) if self.residual else None
        if frames is not None:
            carried.insert(0, frames.flatten(0, 1))
        landed = pair_up(splat(torch.cat(carried, 1) * weight, flow, mode="sum")).sum(1)
        total = landed[:, -1:] + FEW
        made = torch.cat([self._colour(state, landed, total, t, size, rows) for rows in cut_rows(size, len(t))], 2)
        if frames is None:
            return made
        t = t[:, None]
        fade = ((1 - t) * frames[:, :1] + t * frames[:, 1:])[:, 0]
        return made + (landed[:, :3] + FEW * fade) / total

    def _colour(
        self, state: State, landed: Tensor, total: Tensor, t: Tensor, size: tuple[int, int], rows: slice
    ) -> Tensor:
        grid, arrived = Grid(size, rows, t), total[:, :, rows]
        entered = self.colour.enter(landed[:, 3 if self.residual else 0 : -1, rows] / arrived, 0)
        entered = entered + self.colour.enter(arrived.log(), 1) + read(state["colour"], grid.here(t))
        return self.colour(entered + self.colour.enter(t, 3))


def pair_up(maps: Float[Tensor, "b2 c h w"]) -> Float[Tensor, "b 2 c h w"]:
    """What was made of both frames of each member of a batch, side by side again."""
    return maps.reshape(-1, 2, *maps.shape[1:])


def in_pixels(flow: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Flow (dx, dy, …) in cells of `maps` as pixels of an answer of this size."""
    across, down = size[1] / maps.shape[-1], size[0] / maps.shape[-2]
    return flow * flow.new_tensor([across, down]).repeat(flow.shape[1] // 2).view(1, -1, 1, 1)


class VideoINR(nn.Module):
    """Synthesizer of any size, from the frames' own to 16 times it, at any time from frame 0 to frame 1.

    width, groups, front, back, align   of the encoder, see `SpaceTimeEncoder`
    hidden    widths of the Sirens of space and motion
    mix       widths of the Siren of colour
    omega     of all Sirens
    gain      ours: larger first weights of their first layers
    motion    "warp", as published, or "splat"
    mapper    "siren", as published, or with "splat" also "fourier"
    residual  ours: the answer is added to the enlarged frames, carried along the motion and mixed
    relative  ours: flow is found in pixels of the input for a whole step in time

    The state is {"frames": B 2 3 H W, and maps at that size}; the object holds parameters only. Raises UsageError for
    words and numbers that cannot be meant.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        groups: int = 8,
        front: int = 5,
        back: int = 40,
        align: bool = True,
        hidden: Sequence[int] = (64, 64, 256),
        mix: Sequence[int] = (64, 64, 256, 256),
        omega: float = 30.0,
        gain: float = 1.0,
        motion: Literal["warp", "splat"] = "warp",
        mapper: Literal["siren", "fourier"] = "siren",
        residual: bool = False,
        relative: bool = False,
    ) -> None:
        super().__init__()
        if motion not in ("warp", "splat") or mapper not in ("siren", "fourier") or (motion, mapper) == (
            "warp", "fourier"
        ):  # fmt: skip
            raise UsageError(f'VideoINR: motion is "warp" or "splat", mapper "siren" or with "splat" "fourier", got '
                f'"{motion}" and "{mapper}".')  # fmt: skip
        if not hidden or not mix or min(*hidden, *mix) < 1 or min(omega, gain) <= 0 or width % 2:
            raise UsageError(
                f"VideoINR: widths are 1 or more, that of features even, omega and gain are positive; got {width}, "
                f"{tuple(hidden)}, {tuple(mix)}, {omega} and {gain}."
            )
        self.contract = Contract(scale=(1.0, LARGEST), multiple=MULTIPLE, minimum=MULTIPLE)
        self.encoder = SpaceTimeEncoder(width=width, groups=groups, front=front, back=back, align=align)
        self.decoder: Decoder = (
            Warped(width, hidden, mix, omega, gain, residual=residual, relative=relative)
            if motion == "warp"
            else Splatted(width, hidden, mix, omega, gain, mapper=mapper, residual=residual, relative=relative)
        )

    def prepare(self, frames: Float[Tensor, "b 2 3 h w"], generator: torch.Generator | None = None) -> State:
        """Raises ContractError if the frames are not two, or do not fit."""
        check_window("VideoINR", frames, self.contract)
        return self.decoder.enter(frames, self.encoder(frames))

    def render(self, state: State, t: Time, size: tuple[int, int] | None = None) -> Float[Tensor, "b 3 hh ww"]:
        """The frame at `t`, at four times the size unless `size` (height, width) says another.

        Raises ContractError for times and sizes that the contract does not hold.
        """
        frames: Tensor = state["frames"]
        size = choose_size("VideoINR", size, frames, self.contract, USUAL)
        times = read_times("VideoINR", t, frames[:, 0], self.contract)
        return self.decoder(state, times, size).to(frames.dtype)

    def forward(
        self, frames: Float[Tensor, "b 2 3 h w"], t: Time, size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b 3 hh ww"]:
        return self.render(self.prepare(frames), t, size)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Charbonnier, not clamped, of all targets from one encoding. Returns "loss" and the frames as "made". Raises
        ContractError for a batch that does not fit."""
        times = check_batch("VideoINR", batch, self.contract)
        count = batch.targets.shape[1]
        state = self.decoder.enter(batch.frames, self.encoder(batch.frames))
        state = {name: value.repeat_interleave(count, 0) for name, value in state.items()}
        made = self.decoder(state, times, (batch.targets.shape[-2], batch.targets.shape[-1]))
        return {"loss": charbonnier(made, batch.targets.flatten(0, 1)), "made": made}
