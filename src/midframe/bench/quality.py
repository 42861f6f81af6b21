"""Quality of models on a suite, frame by frame, so that it can be broken off and gone on with.

Windows are the outer loop, models the inner one: what is known of the truth (its features, its motion) is found once.
Figures of each frame are kept, not only their means: which frames are hard is decided later, by another model's error.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from midframe.bench.between import as_8bit, as_tensor, for_factor, render_times
from midframe.bench.cases import Cases
from midframe.bench.clips import CEILING, Picture, Score, Window
from midframe.errors import MidframeError
from midframe.metrics.interpolation_error import interpolation_error
from midframe.metrics.protocol import quantise
from midframe.metrics.psnr import psnr
from midframe.metrics.ssim import ssim
from midframe.metrics.temporal import find_motion
from midframe.ops.perception import SMALLEST, Network, features, features_distance
from midframe.types import Synthesizer

VERSION = 1  # of what is measured and how; results of another version are measured again
METRICS = ("psnr", "ssim", "ssim_gaussian3d", "ie", "lpips", "tof")
SAVE_EVERY = 30.0  # seconds


@dataclass(slots=True)
class Record:
    """One model on one suite: figures of the frames made so far, in the suite's order. JSON holds this as it is.

    weights  the first 16 hex digits of a SHA-256 over the model's tensors; "" for a model without any
    digest   of the suite (`Cases.digest`); version: of this file
    windows  how many of the suite's windows are done
    frames   "factor" and each of METRICS → a value for each frame. PSNR is at most 100 dB; LPIPS null where it
             was not measured; "tof" is the mean over the pairs of frames of the window that the frame is in
    """

    model: str
    suite: str
    weights: str
    digest: str
    version: int = VERSION
    windows: int = 0
    done: bool = False
    frames: dict[str, list[Any]] = field(default_factory=lambda: {key: [] for key in ("factor", *METRICS)})
    environment: dict[str, Any] = field(default_factory=dict)

    def same_as(self, other: "Record") -> bool:
        """Whether both are of the same model on the same pictures, measured alike."""
        keys = ("model", "suite", "weights", "digest", "version")
        return all(getattr(self, key) == getattr(other, key) for key in keys)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of each model: the worst frames among those measured now, one of a clip, worst first; and why it stopped."""

    pictures: dict[str, list[Picture]]
    failures: dict[str, str]


def hash_weights(model: object) -> str:
    """See `Record.weights`: names, shapes and values of parameters and buffers."""
    if not isinstance(model, nn.Module):
        return ""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16] if model.state_dict() else ""


def measure_suite(
    cases: Cases,
    models: Mapping[str, Synthesizer],
    records: Sequence[Record],
    *,
    device: torch.device | str = "cpu",
    network: Network | None = None,
    worst: int = 6,
    on_progress: Callable[[int, int], None] | None = None,
    save: Callable[[], None] | None = None,
) -> Outcome:
    """Go on with `records`, each named in `models`, to the end of the suite; they are changed in place.

    network      for LPIPS; None leaves it out
    save         called now and then, and at the end, when the records are worth writing
    on_progress  called with windows done and windows in all, over all models

    A model that fails is left where it is and the others go on.
    """
    place = torch.device(device)
    network = network.to(place) if network is not None else None
    kept: dict[str, dict[str, Picture]] = {record.model: {} for record in records}
    failures: dict[str, str] = {}
    open_ = [record for record in records if not record.done]
    total = cases.count * len(records)
    saved = time.monotonic()
    for number, window in enumerate(cases.windows()):
        waiting = [r for r in open_ if r.windows == number and r.model not in failures]
        if not waiting:
            continue
        truth = _Truth(window, network, place)
        for record in waiting:
            try:
                model = for_factor(models[record.model], window.factor)
                ends = as_tensor(window.frame0, place), as_tensor(window.frame1, place)
                outer = window.outer and (as_tensor(window.outer[0], place), as_tensor(window.outer[1], place))
                made = render_times(model, *ends, window.times, outer=outer)
            except (MidframeError, torch.OutOfMemoryError) as error:
                failures[record.model] = str(error).splitlines()[0]
                continue
            rows = truth.judge(made, cases)
            record.windows += 1
            for (row, shown), (index, target) in zip(rows, enumerate(window.targets, start=1), strict=True):
                for key, value in {"factor": window.factor, **row}.items():
                    record.frames[key].append(value)
                score = Score(window.clip, window.factor, window.first + index, row["psnr"], row["lpips"])
                known = kept[record.model].get(window.clip)
                if worst and (known is None or score.psnr < known.score.psnr):
                    kept[record.model][window.clip] = Picture(score, shown, target)
            if len(kept[record.model]) > worst:
                del kept[record.model][max(kept[record.model].items(), key=lambda item: item[1].score.psnr)[0]]
            record.done = record.windows == cases.count
        if on_progress:
            on_progress(sum(record.windows for record in records), total)
        if save and time.monotonic() - saved > SAVE_EVERY:
            save()
            saved = time.monotonic()
    if save:
        save()
    worst_first = {name: sorted(found.values(), key=lambda p: p.score.psnr) for name, found in kept.items()}
    return Outcome(worst_first, failures)


class _Truth:
    """What is known of a window's true frames, found once for all models."""

    def __init__(self, window: Window, network: Network | None, device: torch.device) -> None:
        self.window, self.network, self.device = window, network, device
        small = min(window.frame0.shape[:2])
        if network is not None and small < SMALLEST[network.kind]:
            self.network = None
        self.features = [self._see(target) for target in window.targets]
        self.motion = find_motion((window.frame0, *window.targets, window.frame1), peak=255)

    def judge(self, made: Sequence[Tensor], cases: Cases) -> list[tuple[dict[str, Any], NDArray[np.uint8]]]:
        """Figures of each frame, and the frame as 8-bit RGB."""
        shown = [as_8bit(frame) for frame in made]
        motion = find_motion((self.window.frame0, *shown, self.window.frame1), peak=255)
        apart = [np.linalg.norm(a - b, axis=-1).mean() for a, b in zip(self.motion, motion, strict=True)]
        rows = []
        for frame, picture, target, wanted in zip(made, shown, self.window.targets, self.features, strict=True):
            # PSNR and SSIM of papers as the protocol rounds; the others, as everywhere here, of 8-bit RGB.
            exact = frame.detach().cpu().double().permute(1, 2, 0).numpy()
            rounded = 255 * quantise(exact, cases.protocol.rounding)
            row = {
                "psnr": min(psnr(rounded, target, peak=255), CEILING),
                "ssim": ssim(picture, target, "uniform2d", peak=255),
                "ssim_gaussian3d": ssim(rounded, target, "gaussian3d", peak=255),
                "ie": interpolation_error(picture, target, peak=255),
                "lpips": self._compare(picture, wanted),
                "tof": float(np.mean(apart)),
            }
            rows.append(({key: value if value is None else round(value, 4) for key, value in row.items()}, picture))
        return rows

    def _see(self, picture: NDArray[np.uint8]) -> list[Tensor] | None:
        if self.network is None:
            return None
        with torch.no_grad():
            return features(self.network, as_tensor(picture, self.device)[None])

    def _compare(self, picture: NDArray[np.uint8], wanted: list[Tensor] | None) -> float | None:
        seen = self._see(picture)
        if self.network is None or seen is None or wanted is None:
            return None
        with torch.no_grad():
            return float(features_distance(self.network, seen, wanted))
