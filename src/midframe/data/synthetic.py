"""Photographs set in motion: scenes of layers whose place at any time is a formula, so that flow and visibility are
exact.

A scene is a background and up to `layers` things before it. Each layer has coordinates of its own, u, in pixels from
its middle; a texture and a mask are functions of u. At time t a point u is seen at

    x = H(t) · S(t)(u)

S bends: a shear of each row by a smooth function of its height, then of each column by one of its place,

    v₁ = u₁ + a(t) f(u₂),   v₂ = u₂ + b(t) g(v₁),   f, g sums of sines

which is undone exactly, without iteration (the coupling layers of Dinh et al. 2015, arXiv 1410.8516). H is a
homography: turning, scaling, shearing, a vanishing point, and displacement, each linear in t. A picture asks for u at
each of its pixels (both inverses), reads texture and mask there, and lays the layers over each other. The flow from
time a to b is: u at a of what is seen there, then x at b.

Visibility: a pixel at a is visible at b if one layer alone makes it (to 98 %), and the same layer alone makes the place
where it goes. At the rims of layers it is 0, though the flow there is that of the layer that shows most.

Everything but the drawing of the numbers is torch, on the textures' device.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from midframe.data.source import draw_generators, put
from midframe.data.textures import KINDS, MASK_SIDE, Textures
from midframe.errors import UsageError
from midframe.types import Batch

SURE = 0.98  # share of a pixel that one layer must have for its flow to be the pixel's
WAVES = 2  # sines in each of f and g
CHUNK = 16  # scenes drawn together on a GPU


@dataclass(frozen=True, slots=True)
class Style:
    """How scenes are drawn; lengths are shares of the shorter side.

    layers     fewest and most things before the background
    motion     of a layer from time 0 to 1: smallest and largest, log-uniform; the background's is half as large
    still      probability that the camera does not move
    turn, zoom, shear   standard deviations of what happens from time 0 to 1: degrees, ln, tangent
    vanish     standard deviation of how much nearer one edge is than the middle, and of its change
    bend       largest amplitude of the smooth deformation's change
    curve      how much of the path is not uniform: x(t) gains curve · t(t−1) of its displacement, at most
    thin, text, fence   probabilities of these kinds; the rest are filled shapes
    """

    layers: tuple[int, int] = (1, 4)
    motion: tuple[float, float] = (0.002, 0.15)
    still: float = 0.15
    turn: float = 6.0
    zoom: float = 0.06
    shear: float = 0.04
    vanish: float = 0.04
    bend: float = 0.02
    curve: float = 0.0
    thin: float = 0.15
    fence: float = 0.08
    text: float = 0.12


Window = tuple[slice, slice]  # rows and columns of the picture


@dataclass(frozen=True, slots=True)
class Picture:
    """A scene at one time: `rgb`; `shares` of the layers in each pixel (sum 1); `top` is the layer with the largest
    share, `share`. `windows` are where each layer may be seen, `places` the coordinates of the layer seen there; None
    for a layer outside the picture."""

    rgb: Float[Tensor, "b 3 h w"]
    shares: Float[Tensor, "b k h w"]
    share: Float[Tensor, "b h w"]
    top: Int64[Tensor, "b h w"]
    windows: tuple[Window | None, ...]
    places: tuple[tuple[Tensor, Tensor] | None, ...]


class Scene:
    """Scenes with one number of layers, drawn together. Owns their textures, converted to floats.

    A layer is worked on only in its window, where it can be seen in any of the scenes: most layers are small.
    """

    def __init__(self, numbers: dict[str, NDArray], size: tuple[int, int], textures: Textures) -> None:
        self._numbers, self._size = numbers, size
        self._device = textures.colours.device
        self._colours = [self._take(textures.colours, row) for row in numbers["colour"].T]
        self._masks = [self._take(textures.masks, row)[:, None].div_(255) for row in numbers["mask"].T]
        tinted = numbers["tinted"][..., None]
        fixed = {
            "scale": 2 / (textures.colours.shape[-1] - 1) * numbers["zoom"],
            "gain": (1 - tinted) * numbers["gain"][..., None] / 255,  # textures are 8-bit
            "tint": tinted * numbers["tint"],
            "shift": numbers["shift"],
            "extent": numbers["extent"],
        }
        self._fixed = {name: put(values.astype(np.float32), self._device) for name, values in fixed.items()}
        # Most layers are stiff, and a sine costs as much as all the rest of a layer: only these are bent.
        self._bent = frozenset(np.flatnonzero(numbers["bend"].any((0, 2, 3))).tolist())
        waves = np.stack([numbers[name] for name in ("frequency", "phase", "wave")], -1).astype(np.float32)
        views = put(waves, self._device)[..., None, None]  # B K 2 WAVES 3 1 1
        self._waves = {k: [[w.unbind(1) for w in f.unbind(1)] for f in views[:, k].unbind(1)] for k in self._bent}
        height, width = size
        self._rows = torch.arange(height, device=self._device, dtype=torch.float32)[:, None]
        self._columns = torch.arange(width, device=self._device, dtype=torch.float32)

    def _take(self, pool: UInt8[Tensor, "p ..."], rows: NDArray[np.int64]) -> Float[Tensor, "b ..."]:
        return pool.index_select(0, put(rows, self._device)).float()

    def render(self, time: float | NDArray[np.float64]) -> Picture:
        """The scenes at `time`, one for all or one each."""
        matrix, amplitude = self._at(time)
        inverse = put(np.linalg.inv(matrix).astype(np.float32), self._device)
        bend = put(-amplitude, self._device)
        batch, layers = matrix.shape[:2]
        rgb: Tensor
        shares = torch.zeros(batch, layers, *self._size, device=self._device)
        share = torch.ones(batch, *self._size, device=self._device)
        top = torch.zeros(batch, *self._size, dtype=torch.int64, device=self._device)
        windows = tuple(self._window(layer, matrix, amplitude) for layer in range(layers))
        places: list[tuple[Tensor, Tensor] | None] = []
        for layer, window in enumerate(windows):
            if window is None:
                places.append(None)
                continue
            rows, columns = window
            u1, u2 = _project(inverse[:, layer], self._columns[columns], self._rows[rows])
            if layer in self._bent:
                self._shear(1, layer, bend, u1, u2)
                self._shear(0, layer, bend, u2, u1)
            places.append((u1, u2))
            colours = self._paint(layer, u1, u2)
            if layer == 0:
                rgb, shares[:, 0] = colours, 1
                continue
            cover = self._cover(layer, u1, u2)
            rgb[:, :, rows, columns].lerp_(colours, cover)
            shares[:, :layer, rows, columns] *= 1 - cover
            shares[:, layer : layer + 1, rows, columns] = cover
            cover = cover[:, 0]
            left = share[:, rows, columns] * (1 - cover)
            share[:, rows, columns] = torch.maximum(cover, left)
            top[:, rows, columns].masked_fill_(cover > left, layer)
        return Picture(rgb.clamp_(0, 1), shares, share, top, windows, tuple(places))

    def flow(
        self, here: Picture, there: Picture, time: float | NDArray[np.float64]
    ) -> tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 1 h w"]]:
        """From picture `here` to picture `there`, which is at `time`: displacement in pixels, and visibility (0, 1)."""
        matrix, amplitude = self._at(time)
        bend, forward = put(amplitude, self._device), put(matrix.astype(np.float32), self._device)
        height, width = self._size
        target: list[Tensor] = []  # x and y of where the top layer's place goes, and that layer's share there
        for layer, (window, places) in enumerate(zip(here.windows, here.places, strict=True)):
            if window is None or places is None:
                continue
            v1, v2 = places
            if layer in self._bent:
                v1, v2 = v1.clone(), v2.clone()
                self._shear(0, layer, bend, v2, v1)
                self._shear(1, layer, bend, v1, v2)
            x, y = _project(forward[:, layer], v1, v2)
            grid = _join(x, 2 / width, 1 / width - 1, y, 2 / height, 1 / height - 1)
            # outside the picture there is no share of anything
            share = F.grid_sample(there.shares[:, layer : layer + 1], grid, "bilinear", "zeros", align_corners=False)
            if layer == 0:
                target = [x, y, share[:, 0]]
                continue
            rows, columns = window
            wins = here.top[:, rows, columns] == layer
            for whole, part in zip(target, (x, y, share[:, 0]), strict=True):
                shown = whole[:, rows, columns]
                shown.copy_(torch.where(wins, part, shown))
        x, y, seen = target
        flow = x.new_empty(len(x), 2, height, width)
        torch.sub(x, self._columns, out=flow[:, 0])
        torch.sub(y, self._rows, out=flow[:, 1])
        return flow, (torch.minimum(here.share, seen) > SURE)[:, None].float()

    def _paint(self, layer: int, u1: Float[Tensor, "b h w"], u2: Float[Tensor, "b h w"]) -> Float[Tensor, "b 3 h w"]:
        """The colours of a layer's texture at `u1`, `u2`, brightened or tinted."""
        scale, shift, gain, tint = (
            self._fixed[name][:, layer, ..., None, None] for name in ("scale", "shift", "gain", "tint")
        )
        grid = _join(u1, scale, shift[:, 0], u2, scale, shift[:, 1])
        colours = F.grid_sample(self._colours[layer], grid, "bilinear", "reflection", align_corners=True)
        return colours.mul_(gain).add_(tint)

    def _cover(self, layer: int, u1: Float[Tensor, "b h w"], u2: Float[Tensor, "b h w"]) -> Float[Tensor, "b 1 h w"]:
        """The share of each pixel that a layer's mask covers."""
        shrink = 1 / self._fixed["extent"][:, layer, None, None]
        grid = _join(u1, shrink, 0, u2, shrink, 0)
        return F.grid_sample(self._masks[layer], grid, "bilinear", "zeros", align_corners=False)

    def _window(self, layer: int, matrix: NDArray[np.float64], amplitude: NDArray[np.float32]) -> Window | None:
        """Around the square of a layer's mask, bent and projected; None if that lies outside the picture."""
        height, width = self._size
        whole = slice(0, height), slice(0, width)
        if layer == 0:
            return whole
        bent = np.abs(amplitude[:, layer]) * self._numbers["wave"][:, layer].sum(-1)
        # a mask fades out half a pixel of its own beyond its square
        reach = self._numbers["extent"][:, layer, None] * (1 + 1 / MASK_SIDE) + bent
        corners = np.stack([reach * sign for sign in ((-1, -1), (-1, 1), (1, 1), (1, -1))], -1)  # B 2 4
        x, y, depth = np.moveaxis(matrix[:, layer] @ np.insert(corners, 2, 1.0, 1), 1, 0)
        if depth.min() <= 0:  # it reaches behind the camera
            return whole
        x, y = x / depth, y / depth
        left, right = max(0, math.floor(x.min())), min(width, math.ceil(x.max()) + 1)
        above, below = max(0, math.floor(y.min())), min(height, math.ceil(y.max()) + 1)
        return (slice(above, below), slice(left, right)) if left < right and above < below else None

    def _at(self, time: float | NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Homographies B K 3 3 from the layers to the picture, and amplitudes B K 2 of the bending, at `time`."""
        n = self._numbers
        t = np.broadcast_to(np.asarray(time, np.float64).reshape(-1, 1), n["turn"].shape[:2])[..., None]
        turn, zoom, shear = (n[name][..., 0] + n[name][..., 1] * t[..., 0] for name in ("turn", "zoomed", "shear"))
        vanish = n["vanish"][..., 0] + n["vanish"][..., 1] * t
        path = n["path"][..., 0] + n["path"][..., 1] * (t + n["curve"] * t * (t - 1))
        matrix = np.zeros((*turn.shape, 3, 3))
        cos, sin = np.cos(turn) * np.exp(zoom), np.sin(turn) * np.exp(zoom)
        matrix[..., 0, 0], matrix[..., 0, 1] = cos, cos * shear - sin
        matrix[..., 1, 0], matrix[..., 1, 1] = sin, sin * shear + cos
        matrix[..., 2, :2], matrix[..., 2, 2] = vanish, 1
        matrix[..., :2, :] += path[..., None] * matrix[..., 2:, :]  # displaced after the projection
        bend = n["bend"][..., 0] + n["bend"][..., 1] * t
        return matrix, bend.astype(np.float32)

    def _shear(
        self,
        which: int,
        layer: int,
        bend: Float[Tensor, "b k 2"],
        along: Float[Tensor, "b h w"],
        moved: Float[Tensor, "b h w"],
    ) -> None:
        """Add bend · f(along) to `moved`, in place (which = 0: f, 1: g)."""
        height = bend[:, layer, which, None, None]
        for frequency, phase, strength in self._waves[layer][which]:
            moved += (along * frequency).add_(phase).sin_().mul_(strength * height)


def _project(
    matrix: Float[Tensor, "b 3 3"], x: Float[Tensor, "..."], y: Float[Tensor, "..."]
) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    a, b, c, d, e, f, g, h, i = matrix.flatten(1)[..., None, None].unbind(1)
    # the constants join x, which is a single row where a whole picture is projected
    depth = ((g * x + i) + h * y).reciprocal_()
    return ((a * x + c) + b * y).mul_(depth), ((d * x + f) + e * y).mul_(depth)


def _join(
    x: Float[Tensor, "b h w"], a: Tensor | float, b: Tensor | float,
    y: Float[Tensor, "b h w"], c: Tensor | float, d: Tensor | float,
) -> Float[Tensor, "b h w 2"]:  # fmt: skip
    """(a x + b, c y + d), as `grid_sample` reads it. Written in place: stacking takes four times as long."""
    grid = x.new_empty(*x.shape, 2)
    torch.mul(x, a, out=grid[..., 0]).add_(b)
    torch.mul(y, c, out=grid[..., 1]).add_(d)
    return grid


class Synthetic:
    """A `Source` of synthetic motion: unlimited, seeded, on the textures' device.

    size     (height, width)
    times    of the input frames on the window's axis
    targets  how many frames to give, at random times in (0, 1), ascending; or the times themselves
    labels   flows and visibilities as well; they take about half of the time

    Labels: "has_flow" (B, ones); "flow01", "flow10" (B 2 H W, pixels, from the frame at 0 to the one at 1 and back)
    and "visible01", "visible10" (B 1 H W, of the pixels of the frame named first); "layer0", "layer1" (B 1 H W), the
    number of the layer that shows most in each pixel of the frames at 0 and 1, 0 for the background and larger for
    what is nearer; for each target "flow_t0", "flow_t1" (B M 2 H W) and "visible_t0", "visible_t1" (B M 1 H W).
    """

    def __init__(
        self,
        textures: Textures,
        size: tuple[int, int] = (256, 256),
        *,
        times: Sequence[float] = (0.0, 1.0),
        targets: int | Sequence[float] = 1,
        labels: bool = True,
        style: Style | None = None,
    ) -> None:
        if min(size) < 16:
            raise UsageError(f"synthetic scenes of {size[1]}x{size[0]}: at least 16x16.")
        if labels and not {0.0, 1.0} <= set(times):
            raise UsageError(f"inputs at {tuple(times)}: flow labels need frames at 0 and 1; ask for labels=False.")
        if not times or (targets < 1 if isinstance(targets, int) else not targets):
            raise UsageError("synthetic scenes need at least one input and one target.")
        self.textures, self.size, self.labels, self.style = textures, size, labels, style or Style()
        self.times = tuple(map(float, times))
        self.targets = targets
        # On a CPU one scene at a time stays in its cache; a GPU wants many.
        self._together = 1 if textures.colours.device.type == "cpu" else CHUNK

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        """`count` scenes, each of its own generator."""
        generators = draw_generators(generator, count)
        batch = self._empty(count)
        for start in range(0, count, self._together):
            self._draw(generators[start : start + self._together], batch, slice(start, start + self._together))
        return batch

    def scene(self, generators: Sequence[np.random.Generator]) -> Scene:
        """One scene for each generator."""
        drawn = [draw_scene(one, self.size, self.textures, self.style) for one in generators]
        most = max(len(numbers["mask"]) for numbers in drawn)
        stacked = {name: np.stack([_pad_layers(one[name], name, most) for one in drawn]) for name in drawn[0]}
        return Scene(stacked, self.size, self.textures)

    def _empty(self, count: int) -> Batch:
        """A batch to write into: joining small ones afterwards takes a tenth of the time."""
        height, width = self.size
        wanted = self.targets if isinstance(self.targets, int) else len(self.targets)
        device = self.textures.colours.device

        def pictures(*shape: int) -> Tensor:
            return torch.empty(count, *shape, height, width, device=device)

        labels: dict[str, Tensor] = {}
        if self.labels:
            labels["has_flow"] = torch.ones(count, device=device)
            for way in ("01", "10"):
                labels[f"flow{way}"], labels[f"visible{way}"] = pictures(2), pictures(1)
            labels["layer0"], labels["layer1"] = pictures(1), pictures(1)
            for way in ("_t0", "_t1"):
                labels[f"flow{way}"], labels[f"visible{way}"] = pictures(wanted, 2), pictures(wanted, 1)
        return Batch(
            frames=pictures(len(self.times), 3),
            times=put(np.broadcast_to(np.asarray(self.times, np.float32), (count, len(self.times))), device),
            targets=pictures(wanted, 3),
            target_times=torch.empty(count, wanted, device=device),
            labels=labels,
        )

    def _draw(self, generators: Sequence[np.random.Generator], batch: Batch, part: slice) -> None:
        """Fill `part` of a batch with a scene of each generator."""
        if isinstance(self.targets, int):
            wanted = np.sort(np.stack([one.uniform(0.02, 0.98, self.targets) for one in generators]), 1)
        else:
            wanted = np.broadcast_to(np.asarray(self.targets, np.float64), (len(generators), len(self.targets)))
        batch.target_times[part] = put(wanted.astype(np.float32), self.textures.colours.device)
        scene = self.scene(generators)
        inputs = {time: scene.render(time) for time in self.times}
        targets = [scene.render(wanted[:, m]) for m in range(wanted.shape[1])]
        for number, time in enumerate(self.times):
            batch.frames[part, number] = inputs[time].rgb
        for number, target in enumerate(targets):
            batch.targets[part, number] = target.rgb
        if not self.labels:
            return
        labels, ends = batch.labels, (inputs[0.0], inputs[1.0])
        labels["flow01"][part], labels["visible01"][part] = scene.flow(ends[0], ends[1], 1.0)
        labels["flow10"][part], labels["visible10"][part] = scene.flow(ends[1], ends[0], 0.0)
        for end in (0, 1):
            labels[f"layer{end}"][part, 0] = ends[end].top
            for number, target in enumerate(targets):
                flow, visible = scene.flow(target, ends[end], float(end))
                labels[f"flow_t{end}"][part, number], labels[f"visible_t{end}"][part, number] = flow, visible


def draw_scene(
    generator: np.random.Generator, size: tuple[int, int], textures: Textures, style: Style
) -> dict[str, NDArray]:
    """The numbers of one scene, an array of K layers each (background first): see `Scene`, which reads them."""
    height, width = size
    short = min(size)
    layers = 1 + int(generator.integers(style.layers[0], style.layers[1] + 1))
    kinds = [0] + [_draw_kind(generator, style) for _ in range(layers - 1)]
    of_kind = {kind: np.flatnonzero(np.array(textures.kinds) == kind) for kind in set(kinds)}
    text = KINDS.index("text")
    camera = _draw_displacement(generator, style, 0.5) * short * (generator.random() >= style.still)
    n: dict[str, list] = {name: [] for name in _NAMES}
    for layer, kind in enumerate(kinds):
        ground = layer == 0
        rigid = kind == text
        moves = 0.5 if ground else 1.0
        if ground:
            step = camera
            middle = np.array([(width - 1) / 2, (height - 1) / 2])
        else:
            step = camera * generator.uniform(0.5, 1.5) + _draw_displacement(generator, style, 1.0) * short
            middle = generator.uniform(-0.05, 1.05, 2) * (width - 1, height - 1)
        if rigid:
            # a caption stands still, a ticker or credits run along one axis
            runs = generator.random() < 0.5
            step = (step if runs else 0 * step) * ((1, 0) if generator.random() < 0.5 else (0, 1))
        calm = (0.0 if rigid else 1.0) * moves * (0.0 if ground and not camera.any() else 1.0)
        n["colour"].append(int(generator.integers(len(textures.colours))))
        n["mask"].append(int(generator.choice(of_kind[kind])))
        n["path"].append(np.stack([middle - step / 2, step], -1))
        n["curve"].append([style.curve * generator.uniform(-1, 1)])
        n["turn"].append(
            [0.0 if rigid or ground else generator.uniform(0, 2 * np.pi), _turned(generator, style) * calm]
        )
        n["zoomed"].append([0.0, generator.normal(0, style.zoom) * calm])
        n["shear"].append([0.0 if rigid else generator.normal(0, 0.1), generator.normal(0, style.shear) * calm])
        vanish = np.clip(generator.normal(0, style.vanish / (short / 2), (2, 2)), -0.15 / short, 0.15 / short)
        n["vanish"].append(vanish * (0.0 if rigid else 1.0) * (1.0, calm))
        bends = generator.random() < 0.5
        n["bend"].append(generator.uniform(-1, 1, (2, 2)) * style.bend * short * calm * bends * (1.0, 1.0))
        length = generator.uniform(0.25, 1.0, (2, WAVES)) * short  # of the waves: the slope stays below 2π·0.02·2/0.25
        n["frequency"].append(2 * np.pi / length)
        n["phase"].append(generator.uniform(0, 2 * np.pi, (2, WAVES)))
        n["wave"].append(length / (short * WAVES))  # longer waves are higher: the slope, not the height, is what bends
        zoom = float(np.exp(generator.uniform(np.log(0.65), 0.0)))
        reach = generator.uniform(0.15, 0.4) if kind in (KINDS.index("fence"), text) else generator.uniform(0.12, 0.4)
        n["zoom"].append(zoom)
        n["extent"].append(reach * short)
        # as far off the texture's middle as it can be without its mirrored continuation coming into sight
        span = (1 + style.motion[1] / 2) * np.array([width, height]) if ground else 2 * reach * short * np.ones(2)
        n["shift"].append(generator.uniform(-1, 1, 2) * np.maximum(0, 1 - span * zoom / textures.colours.shape[-1]))
        plain = rigid or (not ground and generator.random() < 0.15)
        n["tint"].append(generator.uniform(0, 1, 3))
        n["tinted"].append(1.0 if rigid else (generator.uniform(0.5, 1.0) if plain else 0.0))
        n["gain"].append(generator.uniform(0.7, 1.1))
    return {name: np.array(values) for name, values in n.items()}


_NAMES = ("colour", "mask", "path", "curve", "turn", "zoomed", "shear", "vanish", "bend", "frequency", "phase", "wave",
          "zoom", "shift", "extent", "tint", "tinted", "gain")  # fmt: skip


def _draw_kind(generator: np.random.Generator, style: Style) -> int:
    chance = generator.random()
    for name in ("thin", "fence", "text"):
        share = float(getattr(style, name))
        if chance < share:
            return KINDS.index(name)
        chance -= share
    return 0


def _draw_displacement(generator: np.random.Generator, style: Style, factor: float) -> NDArray[np.float64]:
    length = factor * np.exp(generator.uniform(*np.log(style.motion)))
    angle = generator.uniform(0, 2 * np.pi)
    return length * np.array([np.cos(angle), np.sin(angle)])


def _turned(generator: np.random.Generator, style: Style) -> float:
    return float(np.deg2rad(generator.normal(0, style.turn)))


def _pad_layers(values: NDArray, name: str, layers: int) -> NDArray:
    """Layers that cover nothing, up to as many as another scene of the batch has."""
    missing = layers - len(values)
    if missing == 0:
        return values
    filled = np.concatenate([values, np.repeat(values[-1:], missing, 0)])
    if name == "extent":
        filled[len(values) :] = 1e-6
    return filled
