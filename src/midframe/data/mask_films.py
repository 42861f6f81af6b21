"""Short films of textured things that move over a moving background, with exact masks: for label propagation.

A scene of `data.synthetic` rendered at many times. Its layers are the objects: several, of any outline, some before
others, turning, growing and bending as they go; the nearer one hides the farther one. A mask holds the layer that shows
most in each pixel.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from midframe.data.synthetic import Style, Synthetic
from midframe.data.textures import Textures
from midframe.errors import UsageError

# Filled outlines only: two to four of them, which go an eighth to half of the shorter side while the film lasts.
STYLE = Style(layers=(2, 4), motion=(0.12, 0.5), still=0.1, thin=0.0, fence=0.0, text=0.0, turn=15.0, zoom=0.12)
LEAST = 0.005  # of the first frame's pixels: a smaller layer is no object


@dataclass(frozen=True, slots=True)
class MaskFilm:
    """`frames` RGB in [0, 1]; `masks` 0 for the background, 1 … `objects`; every object is in the first frame."""

    name: str
    frames: Float[np.ndarray, "n 3 h w"]
    masks: UInt8[np.ndarray, "n h w"]
    objects: int


def make_films(
    textures: Textures, count: int, *, size: tuple[int, int], frames: int, seed: int, style: Style = STYLE
) -> list[MaskFilm]:
    """`count` films of `frames` frames each. The same arguments give the same films.

    A layer that is hidden or tiny in the first frame belongs to the background, all the time. A scene without any
    object is drawn again. Raises UsageError for fewer than 4 frames: the first and the last are not measured.
    """
    if count < 1 or frames < 4:
        raise UsageError(f"films of masks: 1 or more of 4 frames or more, not {count} of {frames}.")
    source = Synthetic(textures, size, labels=False, style=style)
    generator = np.random.default_rng(seed)
    films: list[MaskFilm] = []
    while len(films) < count:
        scene = source.scene([np.random.Generator(np.random.Philox(key=int(generator.integers(2**62))))])
        pictures = [scene.render(step / (frames - 1)) for step in range(frames)]
        layers = np.stack([picture.top[0].cpu().numpy() for picture in pictures])
        numbers, areas = np.unique(layers[0], return_counts=True)
        objects = numbers[(areas >= LEAST * layers[0].size) & (numbers > 0)]
        if not len(objects):
            continue
        table = np.zeros(int(layers.max()) + 1, np.uint8)
        table[objects] = np.arange(1, len(objects) + 1)
        film = torch.cat([picture.rgb for picture in pictures]).cpu().numpy()
        films.append(MaskFilm(f"made-{len(films) + 1}", film, table[layers], len(objects)))
    return films
