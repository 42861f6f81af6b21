"""Clusters of colour of packed footage: what `nn.colours` holds for ours."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from jaxtyping import Float

from midframe.data.store import Store
from midframe.errors import InputError
from midframe.ops.lab import rgb_to_lab

FRAMES = 8  # of each clip, evenly spaced
PIXELS = 256  # of each of these frames
TRIES = 5  # k-means ends in a local optimum: the best of so many


def fit_colours(
    store: Store, count: int = 16, *, seed: int = 1, on_progress: Callable[[int, int], None] | None = None
) -> Float[np.ndarray, "n 2"]:
    """Centres of `count` clusters of (a*, b*) by k-means, the most frequent first. Every clip counts alike.

    Raises InputError if there are fewer than `count` pixels. The same store and seed give the same centres.
    """
    generator = np.random.default_rng(seed)
    taken: list[np.ndarray] = []
    for number, clip in enumerate(store.clips):
        for index in np.unique(np.linspace(0, clip.frames - 1, FRAMES).round().astype(int)):
            pixels = store.frames(number)[index].reshape(-1, 3)
            taken.append(pixels[generator.integers(len(pixels), size=PIXELS)])
        if on_progress:
            on_progress(number + 1, len(store))
    if len(taken) * PIXELS < count:
        raise InputError(f"{store.path}: holds no frames to find {count} colours in.")
    rgb = torch.from_numpy(np.concatenate(taken)).float().div(255).T[:, :, None]
    ab = rgb_to_lab(rgb)[1:, :, 0].T.contiguous().numpy()
    cv2.setRNGSeed(seed)
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 100, 1e-3)
    _, labels, centres = cv2.kmeans(ab, count, np.empty(0, np.int32), until, TRIES, cv2.KMEANS_PP_CENTERS)
    order = np.argsort(-np.bincount(labels.ravel(), minlength=count))
    return np.asarray(centres[order], np.float32)
