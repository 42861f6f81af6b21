"""Shapes: a circle, a square and a triangle, each with a motion of its own, whose distribution is known.

The toy world of Xue, Wu, Bouman and Freeman, "Visual Dynamics", NIPS 2016, arXiv 1607.02586: from one frame nobody can
tell where a shape goes, only along which line. Circles move up and down, squares to the left and right, triangles along
the diagonal, and a triangle goes as far as the circle beside it:

    circle    (0, a)      a uniform over −R … R, whole pixels
    square    (b, 0)      b uniform over −R … R, independent of a
    triangle  (a, a)      the circle's a

so that the marginals are uniform over 2R+1 values and the pair (circle, triangle) lies on a diagonal: what a model says
of the future can be held against the truth (`bench.shapes`).

The authors' speeds and sizes are not published. Ours, on a canvas of S pixels: radii uniform over the whole numbers of
10 S/128 … 20 S/128, centres over those 24 S/128 from the border or more, colours over [0.2, 1]³ on black, the order in
depth over all six. No anti-aliasing. A circle has radius r, a square sides of 2r+1 pixels, a triangle with the apex up
is inscribed in the circle.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from midframe.data.source import draw_generators
from midframe.errors import UsageError
from midframe.types import Batch

KINDS = ("circle", "square", "triangle")
AXES = ((0, 1), (1, 0), (1, 1))  # (x, y) of one step of each
REACH = 5  # R of the published size


@dataclass(frozen=True, slots=True)
class Scenes:
    """What is on B pictures, in the order of KINDS. Coordinates are (x, y) in pixels, (0, 0) the first pixel's centre.

    depth  0 is the farthest; centre is that at time 0
    """

    centre: Int64[Tensor, "b 3 2"]
    radius: Int64[Tensor, "b 3"]
    colour: Float[Tensor, "b 3 3"]
    depth: Int64[Tensor, "b 3"]

    def moved(self, motion: Int64[Tensor, "b 3 2"]) -> "Scenes":
        """The same scenes later."""
        return replace(self, centre=self.centre + motion)

    def one(self, number: int, count: int = 1) -> "Scenes":
        """A scene by its number, `count` times."""
        parts = (self.centre, self.radius, self.colour, self.depth)
        return Scenes(*(part[[number]].expand(count, *part.shape[1:]) for part in parts))


class Shapes:
    """Source of pairs: `frames` B 1 3 S S at time 0, `targets` B 1 3 S S at time 1, RGB in [0, 1].

    size   S, height and width; the published one is 128
    reach  R, the longest step, pixels; at least 1

    Labels, in the order of KINDS: "motion" B 3 2 (dx, dy) in pixels; "centre" B 3 2, "radius" B 3, "colour" B 3 3 and
    "depth" B 3, from which `scenes_of` makes the scenes again. Raises UsageError for a size below 32 or a reach that
    would take a shape off the picture.
    """

    def __init__(self, size: int = 128, *, reach: int = REACH, device: torch.device | str = "cpu") -> None:
        self.radii = (round(10 * size / 128), round(20 * size / 128))
        self.margin = round(24 * size / 128)
        if size < 32 or not 1 <= reach <= self.margin:
            raise UsageError(
                f"Shapes of {size} pixels that move by {reach}: at least 32 pixels, and a reach of 1 to 3/16 of them."
            )
        self.size, self.reach, self.device = size, reach, torch.device(device)

    def sample(self, generator: torch.Generator, count: int) -> Batch:
        scenes, motion = self.draw(generator, count)
        return Batch(
            frames=paint(scenes, self.size)[:, None],
            times=torch.zeros(count, 1, device=self.device),
            targets=paint(scenes.moved(motion), self.size)[:, None],
            target_times=torch.ones(count, 1, device=self.device),
            labels={
                "motion": motion,
                "centre": scenes.centre,
                "radius": scenes.radius,
                "colour": scenes.colour,
                "depth": scenes.depth,
            },
        )

    def draw(self, generator: torch.Generator, count: int) -> tuple[Scenes, Int64[Tensor, "b 3 2"]]:
        """What is on the pictures, and how it moves from time 0 to 1."""
        centres, radii, colours, depths, motions = [], [], [], [], []
        for one in draw_generators(generator, count):
            circle, square = one.integers(-self.reach, self.reach + 1, 2)
            motions.append(np.array(AXES) * np.array([circle, square, circle])[:, None])
            radii.append(one.integers(self.radii[0], self.radii[1] + 1, len(KINDS)))
            centres.append(one.integers(self.margin, self.size - self.margin, (len(KINDS), 2)))
            colours.append(one.uniform(0.2, 1.0, (len(KINDS), 3)).astype(np.float32))
            depths.append(one.permutation(len(KINDS)))
        put = [torch.from_numpy(np.stack(v)).to(self.device) for v in (centres, radii, colours, depths, motions)]
        centre, radius, colour, depth, motion = put
        return Scenes(centre, radius, colour, depth), motion


def scenes_of(batch: Batch) -> Scenes:
    """The scenes of a batch that `Shapes` made, at time 0."""
    return Scenes(*(batch.labels[name] for name in ("centre", "radius", "colour", "depth")))


def paint(scenes: Scenes, size: int) -> Float[Tensor, "b 3 s s"]:
    """The pictures, S × S, RGB in [0, 1] on black; what lies beyond the border is cut off."""
    count, device = len(scenes.radius), scenes.radius.device
    grid = torch.arange(size, device=device)
    x = grid.view(1, 1, 1, size) - scenes.centre[..., 0].view(count, 3, 1, 1)
    y = grid.view(1, 1, size, 1) - scenes.centre[..., 1].view(count, 3, 1, 1)
    r = scenes.radius.view(count, 3, 1, 1)
    covers = torch.stack(
        [
            x[:, 0] ** 2 + y[:, 0] ** 2 <= r[:, 0] ** 2,
            (x[:, 1].abs() <= r[:, 1]) & (y[:, 1].abs() <= r[:, 1]),
            (2 * y[:, 2] <= r[:, 2]) & (3 * x[:, 2] ** 2 <= (y[:, 2] + r[:, 2]) ** 2) & (y[:, 2] >= -r[:, 2]),
        ],
        1,
    )
    above = (covers * (scenes.depth + 1).view(count, 3, 1, 1)).amax(1)  # 0: the background, else depth + 1 of the top
    by_depth = torch.zeros(count, 4, 3, device=device)
    by_depth.scatter_(1, (scenes.depth + 1)[..., None].expand(-1, -1, 3), scenes.colour)
    colours = by_depth.gather(1, above.flatten(1)[..., None].expand(-1, -1, 3))
    return colours.transpose(1, 2).reshape(count, 3, size, size)


def true_motion(reach: int) -> dict[str, Float[Tensor, "..."]]:
    """Probabilities of the steps −R … R of each kind, float64; "joint" is that of (circle, triangle), 2R+1 squared."""
    bins = 2 * reach + 1
    uniform = torch.full((bins,), 1 / bins, dtype=torch.float64)
    return {**{kind: uniform for kind in KINDS}, "joint": torch.diag(uniform)}
