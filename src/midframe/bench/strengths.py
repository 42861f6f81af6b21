"""Made scenes for what single papers are strong at, with the true middle frame by a formula.

light          small motion under light that changes: all of it, or a lamp that moves. Phase-based methods
               (Meyer et al. 2015 and 2018) claim it; methods that match colours do not expect it.
acceleration   everything gains or loses speed evenly, so that the middle frame is not half-way: only who sees four
               frames can know (Xu et al., Quadratic Video Interpolation, 2019)
depth          near things cross far ones quickly: what was covered and what will be (Bao et al., DAIN, 2019)
blur           pictures blurred by motion or out of focus, which give nothing sharp to match (Niklaus et al., SepConv,
               2017)

Scenes are those of `midframe.data.synthetic`, rendered at times and under light of our own. Light and focus are
functions of place and time; motion blur is the mean of renders through the time that the shutter is open. Every window
comes with the frames before and after its two, for models that read four.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from midframe.bench.between import as_8bit
from midframe.bench.clips import Window
from midframe.data.synthetic import Scene, Style, Synthetic
from midframe.data.textures import find_photos, make_textures

PHOTOS = "photos"  # folder of photographs
SIZE = (256, 384)  # height, width
TEXTURES = 16  # made up, or of the first photographs by name
TIMES = (-1.0, 0.0, 0.5, 1.0, 2.0)
SEED = 1
OPEN = 16  # renders through the time that the shutter is open: at most two pixels of motion between them
BEND = 0.4  # acceleration: speed is 1 ± BEND at either end of the gap
SHADE = 0.4  # light outside the lamp, which adds up to the rest of 1

Render = Callable[[Scene, float], Float[Tensor, "3 h w"]]


@dataclass(frozen=True, slots=True)
class Strength:
    """A suite of these: what its title says, what its scenes look like, its cases by name."""

    title: str
    style: Style
    cases: Mapping[str, Render]


def make_windows(name: str, photos: Path | None = None) -> list[Window]:
    """The windows of the suite `name` of STRENGTHS, one for each of its cases, each with its middle frame; always the
    same for the same photographs. Without photographs textures are made up.

    Raises InputError if the folder holds no photographs, or one that cannot be read.
    """
    strength = STRENGTHS[name]
    files = find_photos(photos) if photos is not None else ()
    source = Synthetic(
        make_textures(files, count=TEXTURES, seed=SEED), SIZE, times=TIMES, labels=False, style=strength.style
    )
    windows = []
    for number, (case, render) in enumerate(strength.cases.items()):
        scene = source.scene([np.random.default_rng((SEED, number))])
        before, first, middle, last, after = (as_8bit(render(scene, time)) for time in TIMES)
        windows.append(Window(case, 2, 0, first, last, (middle,), (before, after)))
    return windows


def _plain(scene: Scene, time: float) -> Float[Tensor, "3 h w"]:
    return scene.render(time).rgb[0]


def _lit(*, rise: float = 0.0, path: tuple[float, float] | None = None, radius: float = 0.25) -> Render:
    """Light that is 0.7 half-way and gains `rise` from frame to frame; and a lamp that moves along `path`, shares of
    the height from frame to frame, with a soft edge of `radius`."""
    height, width = SIZE
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / height, indexing="ij")

    def render(scene: Scene, time: float) -> Float[Tensor, "3 h w"]:
        late = time - 0.5
        light = torch.tensor(0.7 + rise * late)
        if path is not None:
            far = (x - 0.75 - path[0] * late).square() + (y - 0.5 - path[1] * late).square()
            light = light * (SHADE + (1 - SHADE) * torch.exp(-far / (2 * radius**2)))
        return _plain(scene, time) * light

    return render


def _hurried(bend: float) -> Render:
    """Evenly accelerated: at time t as far as it would be at t + bend · t(t − 1) without, the same at 0 and 1."""
    return lambda scene, time: _plain(scene, time + bend * time * (time - 1))


def _exposed(share: float) -> Render:
    """The shutter is open for `share` of the time between frames, around each frame."""
    offsets = ((np.arange(OPEN) + 0.5) / OPEN - 0.5) * share
    return lambda scene, time: torch.stack([_plain(scene, time + float(offset)) for offset in offsets]).mean(0)


def _defocused(sigma: float, change: float = 0.0) -> Render:
    """Blurred by a Gaussian of `sigma` pixels half-way, `change` more from frame to frame."""

    def render(scene: Scene, time: float) -> Float[Tensor, "3 h w"]:
        picture = _plain(scene, time).permute(1, 2, 0).numpy()
        blurred = cv2.GaussianBlur(picture, (0, 0), sigma + change * (time - 0.5), borderType=cv2.BORDER_REFLECT_101)
        return torch.from_numpy(blurred).permute(2, 0, 1)

    return render


_GENTLE = Style(layers=(1, 2), motion=(0.01, 0.04), still=0.0, turn=0.5, zoom=0.005, shear=0.0, bend=0.002, text=0.0)
_BRISK = Style(layers=(1, 3), motion=(0.03, 0.08), still=0.0, turn=2.0, zoom=0.02, shear=0.01, bend=0.0, text=0.0)
_FAST = Style(layers=(1, 3), motion=(0.05, 0.12), still=0.0, turn=2.0, zoom=0.02, shear=0.01, bend=0.0, text=0.0)
_NEAR = Style(layers=(3, 4), motion=(0.06, 0.15), still=0.5, turn=2.0, zoom=0.03, shear=0.0, bend=0.0, text=0.0)

STRENGTHS: Mapping[str, Strength] = MappingProxyType(
    {
        "light": Strength(
            "small motion under changing light",
            _GENTLE,
            {
                "brighter": _lit(rise=0.2),
                "darker": _lit(rise=-0.2),
                "lamp to the right": _lit(path=(0.12, 0.0)),
                "small lamp downwards": _lit(path=(0.0, 0.1), radius=0.12),
                "lamp and brighter": _lit(rise=0.15, path=(-0.1, 0.06)),
                "lamp and darker": _lit(rise=-0.15, path=(0.08, -0.08), radius=0.18),
            },
        ),
        "acceleration": Strength(
            "speed that changes evenly, by 80 % from frame to frame",
            _BRISK,
            {f"{word} {n}": _hurried(bend) for n in (0, 1, 2) for word, bend in (("faster", BEND), ("slower", -BEND))},
        ),
        "depth": Strength("near things that cross far ones", _NEAR, {f"crossing {n}": _plain for n in range(6)}),
        "blur": Strength(
            "motion blur and pictures out of focus",
            _FAST,
            {
                "shutter 180 degrees": _exposed(0.5),
                "shutter 270 degrees": _exposed(0.75),
                "shutter 360 degrees": _exposed(1.0),
                "slightly out of focus": _defocused(1.5),
                "far out of focus": _defocused(4.0),
                "focus pulled": _defocused(2.5, -1.0),
            },
        ),
    }
)
