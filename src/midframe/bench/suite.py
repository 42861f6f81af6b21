"""Quality of models on a folder of triplets: two frames in, the true middle frame to compare with.

The layout is Middlebury's, and AdaCoF's test files': DIR/scene/frame10.png, frame10i11.png (the truth), frame11.png.
Protocol: floats in [0, 1] in, output clamped and rounded to 8 bits, PSNR, SSIM and interpolation error per picture in
RGB, then the mean over the pictures. Rounding costs about 0.03 dB against tables made from floats.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from midframe.bench.between import as_8bit, render_between
from midframe.errors import InputError
from midframe.metrics.interpolation_error import interpolation_error
from midframe.metrics.psnr import psnr
from midframe.metrics.ssim import ssim
from midframe.types import Synthesizer

NAMES = ("frame10.png", "frame10i11.png", "frame11.png")
MIDDLE = Fraction(1, 2)


class Scene(TypedDict):
    """Measured on one triplet. PSNR in dB (infinite if equal), IE in 8-bit code values, time by the wall clock."""

    psnr: float
    ssim: float
    ssim_gaussian3d: float
    ie: float
    seconds_per_frame: float


class Row(TypedDict):
    """One model on one suite: means over `scenes`. `ssim` is scikit-image's ("uniform2d")."""

    model: str
    suite: str
    psnr: float
    ssim: float
    ssim_gaussian3d: float
    ie: float
    seconds_per_frame: float
    scenes: dict[str, Scene]


def run_triplets(
    directory: str | PathLike[str],
    models: Sequence[str],
    *,
    load: Callable[[str], Synthesizer],
    on_progress: Callable[[str, str, int, int], None] | None = None,
    device: torch.device | str = "cpu",
) -> list[Row]:
    """Measure each of `models` on every scene in `directory`, in the order of names.

    load         from a name to a model, as `midframe.models.load.load`
    on_progress  called with model, scene, frames done and frames to do, before each frame and once at the end
    device       where the frames are put; the model's affair otherwise

    Each model renders its first triplet once before the clock runs, so that compiling is not counted.
    Raises InputError if the folder holds no triplets, or one that is incomplete, unreadable or of unequal sizes.
    """
    folder = Path(directory)
    scenes = find_scenes(folder)
    total = len(models) * len(scenes)
    rows: list[Row] = []
    for number, name in enumerate(models):
        model = load(name)
        measured: dict[str, Scene] = {}
        for scene in scenes:
            if on_progress:
                on_progress(name, scene.name, number * len(scenes) + len(measured), total)
            frame0, truth, frame1 = read_triplet(scene)
            frame0, frame1 = frame0.to(device), frame1.to(device)
            if not measured:
                render_between(model, frame0, frame1, MIDDLE)
            measured[scene.name] = _measure(model, frame0, truth, frame1)
        rows.append(_summarise(name, folder.resolve().name, measured))
    if on_progress and rows:
        on_progress(rows[-1]["model"], scenes[-1].name, total, total)
    return rows


def find_scenes(directory: Path) -> list[Path]:
    """Folders with a triplet, by name; other folders are passed over. Raises InputError as `run_triplets` does."""
    if not directory.is_dir():
        raise InputError(f"{directory}: no such folder; a suite is DIR/scene/{{{','.join(NAMES)}}}.")
    scenes = []
    for scene in sorted(path for path in directory.iterdir() if path.is_dir()):
        missing = [name for name in NAMES if not (scene / name).is_file()]
        if missing and len(missing) < len(NAMES):
            raise InputError(f"{scene}: {' and '.join(missing)} missing; add it or remove the folder.")
        if not missing:
            scenes.append(scene)
    if not scenes:
        raise InputError(f"{directory}: holds no triplets; a suite is DIR/scene/{{{','.join(NAMES)}}}.")
    return scenes


def read_triplet(scene: Path) -> tuple[Float[Tensor, "3 h w"], Float[Tensor, "3 h w"], Float[Tensor, "3 h w"]]:
    """Frame 0, the truth, frame 1: RGB in [0, 1] from 8- or 16-bit PNGs. Raises InputError as `run_triplets` does."""
    first, truth, last = (_read(scene / name) for name in NAMES)
    if not first.shape == truth.shape == last.shape:
        sizes = ", ".join(f"{frame.shape[2]}×{frame.shape[1]}" for frame in (first, truth, last))
        raise InputError(f"{scene}: the three frames differ in size: {sizes}.")
    return first, truth, last


def _read(path: Path) -> Float[Tensor, "3 h w"]:
    # Read by Python, decoded by OpenCV, which on Windows cannot open every name.
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if data.size else None
    if image is None:
        raise InputError(f"{path}: not a readable PNG.")
    white = 65535 if image.dtype == np.uint16 else 255
    return torch.from_numpy(image[..., ::-1].astype(np.float32) / white).permute(2, 0, 1).contiguous()


def _measure(
    model: Synthesizer, frame0: Float[Tensor, "3 h w"], truth: Float[Tensor, "3 h w"], frame1: Float[Tensor, "3 h w"]
) -> Scene:
    began = time.perf_counter()
    result = render_between(model, frame0, frame1, MIDDLE)
    if result.is_cuda:
        torch.cuda.synchronize(result.device)
    seconds = time.perf_counter() - began
    made, wanted = as_8bit(result), as_8bit(truth)
    return Scene(
        psnr=psnr(made, wanted, peak=255),
        ssim=ssim(made, wanted, "uniform2d", peak=255),
        ssim_gaussian3d=ssim(made, wanted, "gaussian3d", peak=255),
        ie=interpolation_error(made, wanted, peak=255),
        seconds_per_frame=seconds,
    )


def _summarise(model: str, suite: str, scenes: dict[str, Scene]) -> Row:
    measured = list(scenes.values())
    return Row(
        model=model,
        suite=suite,
        psnr=statistics.fmean(scene["psnr"] for scene in measured),
        ssim=statistics.fmean(scene["ssim"] for scene in measured),
        ssim_gaussian3d=statistics.fmean(scene["ssim_gaussian3d"] for scene in measured),
        ie=statistics.fmean(scene["ie"] for scene in measured),
        seconds_per_frame=statistics.fmean(scene["seconds_per_frame"] for scene in measured),
        scenes=scenes,
    )
