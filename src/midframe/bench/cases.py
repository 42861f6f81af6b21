"""What can be measured on: suites of windows, each with the protocol that its figures are to be compared under.

middlebury    the 12 triplets of Middlebury "other" (Baker et al., IJCV 2011)
val           a folder of clips: every second frame left out, and three of four; reduced to a long side of 640
synthetic     scenes of moving layers made by `midframe.data.synthetic`, the same on every machine; needs no data
light, acceleration, depth, blur
              made scenes for what single papers are strong at (`midframe.bench.strengths`); of photographs, if there
              is a folder "photos", else of made-up textures
vimeo, ucf101, snu-film-easy … -extreme, xiph-2k, xiph-4k, x4k, gopro, adobe240, davis
              published sets in the layouts of `midframe.data.layouts`, for those who have them
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from midframe.bench.between import as_8bit
from midframe.bench.clips import FACTORS, ValidationClips, Window
from midframe.bench.strengths import PHOTOS, STRENGTHS, make_windows
from midframe.bench.strengths import SIZE as STRENGTH_SIZE
from midframe.data import layouts
from midframe.data.layouts import DIFFICULTIES, Sample
from midframe.data.pack import read_image
from midframe.data.synthetic import Style, Synthetic
from midframe.data.textures import make_textures
from midframe.errors import InputError, UsageError
from midframe.metrics.protocol import PROTOCOLS, Protocol

LONG_SIDE = 640  # of the clips of "val"
LIMIT = 2  # windows of each clip and factor of "val": neighbouring windows say much the same, and a model takes minutes
SCENES = 24
SCENE_SIZE = (256, 448)  # height, width: Vimeo-90K's
CROP = 512  # GoPro and Adobe240: the middle, as IFRNet's code
XIPH_2K = (2048, 1080)  # width, height; by area

Change = Callable[[UInt8[np.ndarray, "h w 3"]], UInt8[np.ndarray, "h2 w2 3"]]


@dataclass(frozen=True, slots=True)
class Cases:
    """A suite on this machine: `count` windows, the same ones in the same order whenever `windows` is called.

    digest    of what they are made of; figures of another digest are of other pictures
    protocol  how figures are made, and its name in `midframe.metrics.protocol.PROTOCOLS`, or "" if it is our own
    """

    suite: str
    title: str
    count: int
    digest: str
    protocol: Protocol
    protocol_name: str
    windows: Callable[[], Iterable[Window]]


def open_suite(name: str, data: Path | None = None, *, long_side: int = LONG_SIDE, limit: int | None = LIMIT) -> Cases:
    """The suite called `name`, found in or below the folder `data`.

    long_side, limit  of "val": see `ValidationClips`

    Raises UsageError for another name or if `data` is needed and missing, InputError if it does not hold the suite.
    """
    if name not in SUITES:
        raise UsageError(f"No suite is called {name!r}: choose {', '.join(SUITES)}.")
    if name == "synthetic":
        return _synthetic()
    if name in STRENGTHS:
        return _strength(name, data)
    if data is None:
        raise UsageError(f"The suite {name} needs --data DIR, the folder that holds it.")
    if not data.is_dir():
        raise InputError(f"{data}: no such folder; --data names the one that holds the suite {name}.")
    folder = next((data / inner for inner in SUITES[name] if (data / inner).is_dir()), data)
    if name == "val":
        return _clips(folder, long_side, limit)
    return _published(name, *_samples(name, folder))


# Names, and the folders that are looked for in --data, in this order; --data itself comes last.
SUITES = MappingProxyType(
    {
        "middlebury": ("eval/middlebury_other", "middlebury_other", "middlebury"),
        "val": ("val",),
        "synthetic": (),
        **dict.fromkeys(STRENGTHS, (PHOTOS,)),
        "vimeo": ("vimeo_triplet", "vimeo"),
        "ucf101": ("ucf101",),
        **{f"snu-film-{difficulty}": ("SNU-FILM", "snu-film", "snu_film") for difficulty in DIFFICULTIES},
        "xiph-2k": ("xiph",),
        "xiph-4k": ("xiph",),
        "x4k": ("X4K1000FPS", "x4k"),
        "gopro": ("GOPRO_Large_all", "gopro"),
        "adobe240": ("adobe240",),
        "davis": ("DAVIS", "davis"),
    }
)

_TITLES = {
    "middlebury": "Middlebury “other”",
    "vimeo": "Vimeo-90K triplets",
    "ucf101": "UCF101, 379 triplets",
    **{f"snu-film-{difficulty}": f"SNU-FILM {difficulty}" for difficulty in DIFFICULTIES},
    "xiph-2k": "Xiph, reduced to 2048×1080",
    "xiph-4k": "Xiph, the middle 2048×1080 of 4K",
    "x4k": "X4K1000FPS test, 4096×2160",
    "gopro": "GoPro 8×, middle 512×512",
    "adobe240": "Adobe240 8×, middle 512×512",
    "davis": "DAVIS 480p, every second frame",
}
_PROTOCOLS = {
    "middlebury": "middlebury/rife",
    "vimeo": "vimeo/ifrnet",
    "ucf101": "ucf101/ifrnet",
    **{f"snu-film-{difficulty}": "snu-film/ifrnet" for difficulty in DIFFICULTIES},
    "xiph-2k": "xiph/softsplat",
    "xiph-4k": "xiph/softsplat",
    "x4k": "xtest/ema-vfi",
    "gopro": "gopro/ifrnet",
    "adobe240": "adobe240/ifrnet",
}
_OWN = Protocol("round", "uniform2d")


def _samples(name: str, folder: Path) -> tuple[list[Sample], Change]:
    if name.startswith("snu-film-"):
        return layouts.snu_film(folder, name.removeprefix("snu-film-")), _same
    match name:
        case "middlebury":
            return layouts.middlebury(folder), _same
        case "vimeo":
            return layouts.vimeo_triplets(folder), _same
        case "ucf101":
            return layouts.ucf101(folder), _same
        case "xiph-2k":
            return layouts.xiph(folder), _reduce_xiph
        case "xiph-4k":
            return layouts.xiph(folder), _crop_xiph
        case "x4k":
            return layouts.x4k1000fps(folder), _same
        case "gopro":
            return layouts.gopro(folder), _crop_middle
        case "adobe240":
            return layouts.adobe240(folder), _crop_middle
        case _:
            return layouts.davis(folder), _same


def _published(name: str, samples: list[Sample], change: Change) -> Cases:
    def windows() -> Iterator[Window]:
        for sample in samples:
            images = [change(read_image(path)) for path in (sample.inputs[0], *sample.targets, sample.inputs[-1])]
            if len({image.shape for image in images}) > 1:
                raise InputError(f"{sample.name}: its frames differ in size.")
            yield Window(sample.name, len(images) - 1, 0, images[0], images[-1], tuple(images[1:-1]))

    digest = _digest((path.name, path.stat().st_size) for sample in samples for path in sample.targets)
    key = _PROTOCOLS.get(name, "")
    return Cases(name, _TITLES[name], len(samples), digest, PROTOCOLS[key] if key else _OWN, key, windows)


def _clips(folder: Path, long_side: int, limit: int | None) -> Cases:
    clips = ValidationClips(folder, long_side, FACTORS, limit)
    paths = [path for clip in clips.sources for path in (clip.images or (clip.path,)) if path is not None]
    digest = _digest(
        [*((path.name, path.stat().st_size) for path in paths), ("long side", long_side), ("limit", limit)]
    )
    part = f", {limit} pairs of frames of each" if limit else ""
    title = f"{len(clips.sources)} clips, long side {long_side}{part}: every second frame left out, and three of four"
    return Cases("val", title, len(clips.windows()), digest, _OWN, "", clips.windows)


def _synthetic() -> Cases:
    made: list[Window] = []

    def windows() -> list[Window]:
        if not made:
            source = Synthetic(
                make_textures(count=16, seed=1),
                SCENE_SIZE,
                targets=(0.25, 0.5, 0.75),
                labels=False,
                style=Style(still=0.3),
            )
            generator = torch.Generator().manual_seed(1)
            for number in range(SCENES):
                batch = source.sample(generator, 1)
                ends = [as_8bit(batch.frames[0, k]) for k in (0, 1)]
                targets = tuple(as_8bit(target) for target in batch.targets[0])
                made.append(Window(f"scene {number:02d}", 4, 0, ends[0], ends[1], targets))
        return made

    # Of the pictures, so that another generator is noticed, but coarse: processors round the last bit differently.
    digest = _digest((window.clip, round(float(window.frame0.mean()))) for window in windows())
    return Cases("synthetic", f"{SCENES} made scenes 448×256, 4×", SCENES, digest, _OWN, "", windows)


def _strength(name: str, data: Path | None) -> Cases:
    photos = data / PHOTOS if data is not None and (data / PHOTOS).is_dir() else None
    windows = make_windows(name, photos)
    height, width = STRENGTH_SIZE
    made_of = f"photographs in {PHOTOS}/" if photos else "made-up textures"
    title = f"{len(windows)} made scenes {width}×{height} of {made_of}: {STRENGTHS[name].title}"
    digest = _digest((window.clip, round(float(window.frame0.mean()))) for window in windows)
    return Cases(name, title, len(windows), digest, _OWN, "", lambda: windows)


def _digest(parts: Iterable[tuple[str, int | None]]) -> str:
    return hashlib.sha256(repr(list(parts)).encode()).hexdigest()[:16]


def _same(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    return image


def _reduce_xiph(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    return np.asarray(cv2.resize(image, XIPH_2K, interpolation=cv2.INTER_AREA), np.uint8)


def _crop_xiph(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    return np.ascontiguousarray(image[540:-540, 1024:-1024])


def _crop_middle(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    top, left = (max(0, (side - CROP) // 2) for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + CROP, left : left + CROP])
