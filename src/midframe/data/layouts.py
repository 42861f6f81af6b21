"""Published data sets as they lie on users' disks: samples to measure on, clips to pack.

Each function takes the folder that was unpacked and gives its samples in a fixed order; files are checked to be there,
not read. What the protocols add (crops, sizes, padding, rounding) is the affair of who measures.

name               layout below the root                                                          one sample
vimeo-triplet      sequences/00001/0001/im1.png … im3.png, tri_{train,test}list.txt               1, 3 → 2
vimeo-septuplet    sequences/00001/0001/im1.png … im7.png, sep_{train,test}list.txt               1, 3, 5, 7 → 4
snu-film           test/{GOPRO_test,YouTube_test}/…, [eval_modes/]test-{easy,…,extreme}.txt       first, last → middle
ucf101             [ucf101_interp_ours/]1/frame_00.png, frame_01_gt.png, frame_02.png             00, 02 → 01_gt
middlebury         [other-data/]Venus/frame10.png, frame11.png, [other-gt-interp/]…/frame10i11.png    10, 11 → 10i11
x4k                test/Type1/TEST01_003_f0433/0000.png … 0032.png                                0, 32 → 4, 8 … 28
                   train/002/occ008.320_f2881/0000.png … 0064.png                                 0, 32 → 4, 8 … 28
adobe240           [frame/]{train,test}/VIDEO/*.png, or VIDEO/*.png (test: every tenth)           0, 8 → 1 … 7
gopro              [GOPRO_Large_all/]{train,test}/GOPR0384_11_00/*.png                            0, 8 → 1 … 7
xiph               [netflix/]BoxingPractice-001.png … 100                                         1, 3 → 2
davis              JPEGImages/480p/bear/00000.jpg …, ImageSets/{2016,2017}/{train,val}.txt        0, 2 → 1
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import torch

from midframe.data.pack import Clip, read_image
from midframe.errors import InputError, UsageError
from midframe.types import Batch
from midframe.video.probe import IMAGE_SUFFIXES

Split = Literal["train", "test"]
DIFFICULTIES = ("easy", "medium", "hard", "extreme")
XIPH_CLIPS = ("BoxingPractice", "Crosswalk", "DrivingPOV", "FoodMarket", "FoodMarket2", "RitualDance",
              "SquareAndTimelapse", "Tango")  # fmt: skip
XIPH_FRAMES = 100
HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Sample:
    """Frames to read at `times` and frames to give at `target_times`, on the window's axis (the gap is 0 … 1)."""

    name: str
    inputs: tuple[Path, ...]
    times: tuple[Fraction, ...]
    targets: tuple[Path, ...]
    target_times: tuple[Fraction, ...]


def read_sample(sample: Sample) -> Batch:
    """A batch of one. Raises InputError if a file cannot be read or the sizes differ."""
    images = [read_image(path) for path in (*sample.inputs, *sample.targets)]
    sizes = {image.shape[1::-1] for image in images}
    if len(sizes) > 1:
        raise InputError(f"{sample.inputs[0].parent}: its frames differ in size: {sorted(sizes)}.")
    stacked = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images])[None].float() / 255
    count = len(sample.inputs)
    return Batch(
        frames=stacked[:, :count].contiguous(),
        times=torch.tensor([[float(time) for time in sample.times]]),
        targets=stacked[:, count:].contiguous(),
        target_times=torch.tensor([[float(time) for time in sample.target_times]]),
    )


def vimeo_triplets(root: str | Path, split: Split = "test") -> list[Sample]:
    """Vimeo-90K triplets (Xue et al. 2019): 51,312 to train, 3,782 to test."""
    return [
        _sample(name, [folder / f"im{i}.png" for i in (1, 2, 3)], (0, 2), (1,))
        for name, folder in _vimeo_folders(root, "tri", split)
    ]


def vimeo_septuplets(
    root: str | Path, split: Split = "test", *, inputs: Sequence[int] = (1, 3, 5, 7), targets: Sequence[int] = (4,)
) -> list[Sample]:
    """Vimeo-90K septuplets: images `inputs` (1 … 7) to read, `targets` to give, all in one gap of the inputs."""
    if not {*inputs, *targets} <= set(range(1, 8)) or set(inputs) & set(targets):
        raise UsageError(
            f"septuplets hold images 1 to 7: inputs {tuple(inputs)} and targets {tuple(targets)} do not fit."
        )
    return [
        _sample(name, [folder / f"im{i}.png" for i in range(1, 8)], [i - 1 for i in inputs], [i - 1 for i in targets])
        for name, folder in _vimeo_folders(root, "sep", split)
    ]


def snu_film(root: str | Path, difficulty: str = "hard") -> list[Sample]:
    """SNU-FILM (Choi et al. 2020, CAIN): 310 triplets in each of easy, medium, hard and extreme."""
    if difficulty not in DIFFICULTIES:
        raise UsageError(f"SNU-FILM has no part {difficulty!r}: choose {', '.join(DIFFICULTIES)}.")
    folder = _folder(root)
    listing = _first(folder, f"eval_modes/test-{difficulty}.txt", f"test-{difficulty}.txt")
    samples = []
    dropped: int | None = None  # the lists' paths begin with folders of their authors' machine
    for number, line in enumerate(_lines(listing), start=1):
        paths = line.split()
        if len(paths) != 3:
            raise InputError(f"{listing}:{number}: expected three paths, found {line!r}.")
        if dropped is None:
            parts = Path(paths[0]).parts
            dropped = next((k for k in range(len(parts)) if (folder / Path(*parts[k:])).is_file()), None)
            if dropped is None:
                raise InputError(f"{folder}: {paths[0]} of {listing.name} is missing; it belongs below test/.")
        frames = [folder / Path(*Path(path).parts[dropped:]) for path in paths]
        name = "/".join(frames[1].with_suffix("").parts[-2:])
        samples.append(_sample(name, frames, (0, 2), (1,)))
    return samples


def ucf101(root: str | Path) -> list[Sample]:
    """The 379 triplets of UCF101 that come with deep voxel flow (Liu et al. 2017)."""
    folder = _folder(root)
    folder = next((inner for inner in (folder / "ucf101_interp_ours",) if inner.is_dir()), folder)
    scenes = _folders(folder, "1/frame_00.png, frame_01_gt.png, frame_02.png")
    names = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
    return [_sample(scene.name, [scene / name for name in names], (0, 2), (1,)) for scene in scenes]


def middlebury(root: str | Path) -> list[Sample]:
    """Middlebury's "other" scenes (Baker et al. 2011), in the two trees of its site or merged. Scenes without a true
    middle frame are passed over."""
    folder = _folder(root)
    inputs = next((inner for inner in (folder / "other-data",) if inner.is_dir()), folder)
    truths = next((inner for inner in (folder / "other-gt-interp",) if inner.is_dir()), inputs)
    samples = [
        _sample(
            scene.name,
            [scene / "frame10.png", truths / scene.name / "frame10i11.png", scene / "frame11.png"],
            (0, 2),
            (1,),
        )
        for scene in _folders(inputs, "Venus/frame10.png, frame10i11.png, frame11.png")
        if (truths / scene.name / "frame10i11.png").is_file()
    ]
    if not samples:
        raise InputError(f"{truths}: no scene has a frame10i11.png; unpack other-gt-interp beside other-data.")
    return samples


def x4k1000fps(root: str | Path, split: Split = "test") -> list[Sample]:
    """X4K1000FPS (Sim et al. 2021, XVFI): frames 0 and 32, seven frames between them at eighths. Of a training clip
    (65 frames) both halves."""
    samples = []
    for clip in x4k1000fps_clips(root, split):
        for first in range(0, len(clip.images) - 32, 32):
            frames = clip.images[first : first + 33 : 4]
            name = clip.name if split == "test" else f"{clip.name}/{first}"
            samples.append(_sample(name, frames, (0, 8), range(1, 8)))
    return samples


def adobe240(root: str | Path, split: Split = "test") -> list[Sample]:
    """Adobe240 (Su et al. 2017) as frames: groups of nine that share their ends, seven frames to give."""
    return _groups(adobe240_clips(root, split), 8)


def gopro(root: str | Path, split: Split = "test") -> list[Sample]:
    """GoPro (Nah et al. 2017), GOPRO_Large_all: groups of nine that share their ends, seven frames to give."""
    return _groups(gopro_clips(root, split), 8)


def xiph(root: str | Path) -> list[Sample]:
    """Eight clips of Xiph's collection (chosen by Niklaus and Liu 2020, SoftSplat): 49 triplets of each."""
    return [
        _sample(f"{clip.name}-{n:03d}", clip.images[n - 2 : n + 1], (0, 2), (1,))
        for clip in xiph_clips(root)
        for n in range(2, XIPH_FRAMES - 1, 2)
    ]


def davis(root: str | Path, split: str = "val", *, year: str = "2017") -> list[Sample]:
    """DAVIS (Perazzi et al. 2016, Pont-Tuset et al. 2017) at 480p: every second frame to give."""
    return _groups(davis_clips(root, split, year=year), 2)


# ---- clips -------------------------------------------------------------------------------------------------------


def x4k1000fps_clips(root: str | Path, split: Split = "test") -> list[Clip]:
    wanted = 33 if split == "test" else 65
    shown = "test/Type1/TEST01_003_f0433/0000.png" if split == "test" else "train/002/occ008.320_f2881/0000.png"
    clips = []
    for group in _folders(_folder(Path(root) / split), shown):
        for scene in _folders(group, shown):
            clip = _clip(scene, f"{group.name}/{scene.name}", Fraction(1000))
            if len(clip.images) != wanted:
                raise InputError(f"{scene}: has {len(clip.images)} frames, not {wanted}; decode its clip again.")
            clips.append(clip)
    return clips


def adobe240_clips(root: str | Path, split: Split = "test") -> list[Clip]:
    folder = _folder(root)
    for inner in (folder / "frame" / split, folder / split):
        if inner.is_dir():
            return [_clip(scene, scene.name, Fraction(240)) for scene in _folders(inner, "VIDEO/0.png")]
    scenes = _folders(folder, "test/VIDEO/0.png")
    tenth = scenes[9::10]  # the protocol of IFRNet and AMT
    chosen = tenth if split == "test" else [scene for scene in scenes if scene not in tenth]
    if not chosen:
        raise InputError(f"{folder}: {len(scenes)} videos; every tenth is for testing, so ten are needed.")
    return [_clip(scene, scene.name, Fraction(240)) for scene in chosen]


def gopro_clips(root: str | Path, split: Split = "test") -> list[Clip]:
    folder = _folder(root)
    folder = next((inner for inner in (folder / "GOPRO_Large_all",) if inner.is_dir()), folder)
    scenes = _folders(_folder(folder / split), "test/GOPR0384_11_00/000001.png")
    if any((scene / "sharp").is_dir() for scene in scenes):
        raise InputError(f"{folder}: is GOPRO_Large, whose frames are not consecutive; GOPRO_Large_all is needed.")
    return [_clip(scene, scene.name, Fraction(240)) for scene in scenes]


def xiph_clips(root: str | Path) -> list[Clip]:
    folder = _folder(root)
    folder = next((inner for inner in (folder / "netflix",) if inner.is_dir()), folder)
    clips = []
    for name in XIPH_CLIPS:
        images = tuple(folder / f"{name}-{number:03d}.png" for number in range(1, XIPH_FRAMES + 1))
        clips.append(Clip(name, images=_present(images), rate=Fraction(60)))
    return clips


def davis_clips(root: str | Path, split: str = "val", *, year: str = "2017") -> list[Clip]:
    folder = _folder(root)
    listing = _first(folder, f"ImageSets/{year}/{split}.txt", f"ImageSets/480p/{split}.txt")
    # 2016's own list names each frame and its mask, the others name sequences
    names = dict.fromkeys(Path(line.split()[0]).parent.name if "/" in line else line for line in _lines(listing))
    return [_clip(_folder(folder / "JPEGImages" / "480p" / name), name, Fraction(24)) for name in names]


def _sample_clips(samples: Sequence[Sample]) -> list[Clip]:
    """Each sample's frames in order of time as a clip of its own."""
    clips = []
    for sample in samples:
        rows = sorted(zip((*sample.times, *sample.target_times), (*sample.inputs, *sample.targets), strict=True))
        clips.append(Clip(sample.name, images=tuple(path for _, path in rows)))
    return clips


LAYOUTS: dict[str, Callable[[Path, Split], list[Clip]]] = {
    "vimeo-triplet": lambda root, split: _sample_clips(vimeo_triplets(root, split)),
    "vimeo-septuplet": lambda root, split: _sample_clips(
        vimeo_septuplets(root, split, inputs=(1, 7), targets=(2, 3, 4, 5, 6))
    ),
    "x4k": x4k1000fps_clips,
    "adobe240": adobe240_clips,
    "gopro": gopro_clips,
    "davis": lambda root, split: davis_clips(root, "train" if split == "train" else "val"),
}


def layout_clips(name: str, root: str | Path, split: str) -> list[Clip]:
    """The clips of a data set that is made for training, by its name in LAYOUTS.

    Raises UsageError for another name or split, InputError for what is missing.
    """
    if name not in LAYOUTS:
        raise UsageError(f"no layout for training is called {name!r}: choose {', '.join(sorted(LAYOUTS))}.")
    if split == "train":
        return LAYOUTS[name](Path(root), "train")
    if split == "test":
        return LAYOUTS[name](Path(root), "test")
    raise UsageError(f"--split {split!r}: choose train or test.")


# ---- files -------------------------------------------------------------------------------------------------------


def _sample(name: str, frames: Sequence[Path], inputs: Sequence[int], targets: Sequence[int]) -> Sample:
    """A sample of evenly spaced frames, by their indices in the row."""
    _present(frames)
    left = max((i for i in inputs if i < targets[0]), default=None)
    right = min((i for i in inputs if i > targets[-1]), default=None)
    if left is None or right is None or any(left < i < right for i in inputs):
        raise UsageError(f"targets {tuple(targets)} do not lie in one gap of the inputs {tuple(inputs)}.")

    def time(index: int) -> Fraction:
        return Fraction(index - left, right - left)

    return Sample(
        name,
        tuple(frames[i] for i in inputs),
        tuple(map(time, inputs)),
        tuple(frames[i] for i in targets),
        tuple(map(time, targets)),
    )


def _groups(clips: Sequence[Clip], step: int) -> list[Sample]:
    """Frames 0 and `step`, `step` and 2·`step`, … with all between as targets."""
    return [
        _sample(f"{clip.name}/{first:05d}", clip.images[first : first + step + 1], (0, step), range(1, step))
        for clip in clips
        for first in range(0, len(clip.images) - step, step)
    ]


def _vimeo_folders(root: str | Path, kind: str, split: Split) -> Iterator[tuple[str, Path]]:
    folder = _folder(root)
    for name in _lines(_first(folder, f"{kind}_{split}list.txt")):
        yield name, folder / "sequences" / name


def _folder(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; unpack the data set there or name another root.")
    return path


def _folders(path: Path, example: str) -> list[Path]:
    found = sorted((inner for inner in path.iterdir() if inner.is_dir()), key=_natural)
    if not found:
        raise InputError(f"{path}: holds no folders; the layout is {example}.")
    return found


def _first(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: {' or '.join(names)} is missing; it comes with the data set.")


def _lines(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{path}: is empty.")
    return lines


def _clip(folder: Path, name: str, rate: Fraction) -> Clip:
    images = sorted((p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
    if not images:
        raise InputError(f"{folder}: holds no frames; extract them from its video first.")
    return Clip(name, images=tuple(images), rate=rate)


def _present(paths: Sequence[Path]) -> tuple[Path, ...]:
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: is missing; the data set is not complete.")
    return tuple(paths)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts frame 10 after frame 9, whatever the zeros before them."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]
