"""Quality of optical flow on synthetic motion, where the truth is exact; and classical methods to compare with.

    scenes = FlowScenes()
    scenes.score(load_flow("raft-s"), "cuda").epe        # again and again; the scenes are made once

Each scene is the step from frame 0 to frame 1 of `midframe.data.synthetic`, drawn from a seed that no training takes.
Figures: end-point error (EPE), the length of the difference between the flow and the true flow in pixels, as a mean
over all pixels of all scenes, and over those that can be seen in both frames; and the share of pixels that miss by more
than 3 pixels. Motion of frames filmed by a camera has no such truth here: Middlebury's is not among our data.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from midframe.data.synthetic import Style, Synthetic
from midframe.data.textures import find_photos, make_textures
from midframe.errors import UsageError
from midframe.ops.dense_search import DenseSearch, Preset, find_luma
from midframe.types import Batch, FlowEstimator

COUNT = 24
SIZE = (256, 448)  # height, width
SEED = 2**31 - 1  # of scenes and textures; recipes count from 1
STYLE = Style(still=0.0)
FAR = 3.0  # pixels; KITTI's limit, without its 5 %


@dataclass(frozen=True, slots=True)
class FlowScores:
    """EPE over all pixels and over those seen in both frames, pixels; share of all that miss by over 3 pixels, 0…1."""

    epe: float
    visible: float
    far: float


class FlowScenes:
    """Synthetic scenes with their true flow, made at the first use and kept.

    photos  folder of photographs for the textures; None: made-up ones
    count   of scenes
    size    (height, width)

    Raises UsageError for no scenes, InputError if the folder holds no photographs.
    """

    def __init__(self, photos: Path | None = None, *, count: int = COUNT, size: tuple[int, int] = SIZE) -> None:
        if count < 1:
            raise UsageError(f"flow is measured on 1 scene or more, not {count}.")
        self.count = count
        self._photos = find_photos(photos) if photos is not None else []
        self._size = size
        self._made: Batch | None = None

    def scenes(self) -> Batch:
        """All scenes: frames (0, 1) and the labels "flow01" and "visible01". On the CPU."""
        if self._made is None:
            textures = make_textures(self._photos, count=None if self._photos else 32, seed=SEED)
            source = Synthetic(textures, self._size, targets=(0.5,), style=STYLE)
            self._made = source.sample(torch.Generator().manual_seed(SEED), self.count)
        return self._made

    def score(
        self,
        estimator: FlowEstimator,
        device: torch.device | str = "cpu",
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> FlowScores:
        """Figures of an estimator whose network, if it is one, is on `device`. `on_progress`: scenes done, in all."""
        batch = self.scenes()
        errors = []
        for k in range(self.count):
            frame0, frame1 = batch.frames[k : k + 1, 0].to(device), batch.frames[k : k + 1, 1].to(device)
            with torch.no_grad():
                found = estimator.flow(frame0, frame1).cpu().float()
            errors.append((found - batch.labels["flow01"][k]).square().sum(1).sqrt())
            if on_progress:
                on_progress(k + 1, self.count)
        error = torch.cat(errors)
        seen = batch.labels["visible01"][:, 0] > 0
        return FlowScores(float(error.mean()), float(error[seen].mean()), float((error > FAR).double().mean()))


class Farneback:
    """Flow estimator: Farnebäck, SCIA 2003, by OpenCV, with the settings of its tutorials."""

    def flow(self, frame0: Float[Tensor, "b 3 h w"], frame1: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
        flows = []
        for pair in zip(_arrays(frame0), _arrays(frame1), strict=True):
            luma0, luma1 = (find_luma(frame, 0) for frame in pair)
            empty = np.zeros((*luma0.shape, 2), np.float32)
            flows.append(cv2.calcOpticalFlowFarneback(luma0, luma1, empty, 0.5, 5, 15, 3, 5, 1.2, 0))
        return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2).to(frame0.device)


def classical() -> Mapping[str, FlowEstimator]:
    """What a network is compared with."""
    presets: tuple[Preset, ...] = ("best", "balanced", "fast")
    return {**{f"dis/{preset}": DenseSearch(preset) for preset in presets}, "farneback": Farneback()}


def format_table(rows: Iterable[tuple[str, FlowScores]]) -> str:
    """Lines for a terminal."""
    lines = [f"{'':<14}{'EPE':>8}{'visible':>9}{'> 3 px':>9}"]
    lines += [f"{name:<14}{one.epe:>8.3f}{one.visible:>9.3f}{one.far:>9.2%}" for name, one in rows]
    return "\n".join(lines)


def _arrays(frames: Tensor) -> np.ndarray:
    return frames.detach().to("cpu", torch.float32).contiguous().numpy()
