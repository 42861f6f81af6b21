"""A video job: its options, the events it reports and what it returns.

`InterpolateJob` is the one definition of an interpolation job's options. The command line, and later the REST body and
the web form, follow its fields; a test holds them together. Each field's `help` is the text a user reads.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

EndPolicy = Literal["hold", "drop", "loop"]
VfrPolicy = Literal["keep", "constant"]
CutPolicy = Literal["hold", "nearest", "blend", "ignore"]
DuplicatePolicy = Literal["auto", "bridge", "keep"]
AudioPolicy = Literal["auto", "keep", "stretch", "drop"]
Stage = Literal["render", "assemble", "verify", "spool", "select", "compare"]


def option(default: Any, help: str) -> Any:
    """A dataclass field with the text a user reads about it."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpolateJob:
    """Everything a user may decide about one interpolation. Paths are strings; "-" is y4m on stdin or stdout."""

    input: str = option(
        "", "Video file, folder of images, numbered pattern (img%04d.png), GIF, APNG, or - for y4m on stdin."
    )
    output: str | None = option(
        None,
        "Where to write: .mp4 .mkv .mov .webm .gif .apng, a folder of images, or - for y4m on stdout. "
        "Default: IN.midframe.EXT beside the input.",
    )
    model: str = option(
        "midnet",
        "Model, with an optional variant: midnet, dis, dis/fast, blend ... (see `midframe models`). Of `upscale`: one "
        "that enlarges, or two joined by +, one for time and one for space.",
    )
    weights: str | None = option(
        None, "Other weights for the model: a .safetensors file, or a name of `midframe weights list`."
    )
    effort: float | None = option(
        None,
        "Share of its work that a model is to do, 0.1 to 1, for models that can leave out easy parts of the picture "
        "(ugsp). Default: as it was trained.",
    )
    # space
    size: str | None = option(None, "How large: 2x, 1.5x, or WIDTHxHEIGHT of the picture as it is shown, 1920x1080.")
    # time
    factor: str | None = option(
        None,
        "Output frames per source frame: 2, 2.5, 8, 5/2. Default, when neither --fps nor --slow is given: 2; of "
        "`upscale`: 1.",
    )
    fps: str | None = option(None, "Constant output rate: 60, 60000/1001, 59.94, source*2.")
    slow: str | None = option(None, "Slow motion: 4 makes the clip four times as long at the source's rate.")
    vfr: VfrPolicy = option(
        "keep",
        "What a variable frame rate becomes: 'keep' interpolates between the real stamps, 'constant' makes it even.",
    )
    end: EndPolicy = option(
        "hold",
        "After the last source frame: 'hold' repeats it to keep the duration, 'drop' stops at it, 'loop' goes back to "
        "the first.",
    )
    start_time: str | None = option(None, "Begin here: seconds or [hh:]mm:ss.fff of the source.")
    end_time: str | None = option(None, "End here: seconds or [hh:]mm:ss.fff of the source.")
    rate: str | None = option(None, "Frame rate of an image folder or a file that does not say (default 24).")
    # what a shot looks like
    cuts: CutPolicy = option(
        "hold", "Between two shots: 'hold' the earlier frame, take the 'nearest', 'blend' the two, or 'ignore' cuts."
    )
    cut_list: str | None = option(None, "Read the cuts from this CSV instead of detecting them.")
    write_cut_list: str | None = option(None, "Write the cuts that were used to this CSV.")
    duplicates: DuplicatePolicy = option(
        "auto",
        "Repeated frames: 'keep' them, 'auto' bridges a regular cadence (animation on 2s and 3s), 'bridge' bridges "
        "every short run.",
    )
    overlays: bool = option(True, "Keep letterbox bars and static overlays (subtitles, logos) from the source.")
    deinterlace: bool = option(True, "Deinterlace a source that says it is interlaced.")
    # streams and encoding
    audio: AudioPolicy = option(
        "auto",
        "Sound: 'keep' copies it, 'stretch' follows slow motion with pitch kept, 'drop' leaves it out. 'auto' "
        "stretches with --slow, else keeps.",
    )
    codec: str | None = option(
        None, "h264, hevc, av1, vp9, ffv1 or prores. Default: h264 for 8 bit, hevc for 10 bit and HDR."
    )
    crf: float | None = option(None, "Quality of the encoder, lower is better. Default: visually lossless.")
    preset: str | None = option(None, "Speed of the encoder, e.g. fast, medium, slow (x264/x265) or 0-13 (av1).")
    pix_fmt: str | None = option(None, "Pixel format of the output, e.g. yuv420p10le. Default: as the source.")
    # work
    workers: int = option(1, "Local processes that share the segments; they change nothing but rounding in networks.")
    threads: int = option(0, "CPU threads per worker; 0 = all cores divided by the workers.")
    tile: int = option(0, "Render in overlapping tiles of this many pixels a side; 0 = only when a frame is too large.")
    segment: int = option(0, "Source frames per segment, the unit of resume; 0 = about 240 output frames.")
    overwrite: bool = option(False, "Replace the output if it exists.")
    allow_damaged: bool = option(False, "Go on with what can be decoded of a damaged input.")

    @property
    def task(self) -> Literal["interpolate", "superresolve"]:
        """What its model must do."""
        return "interpolate" if self.size is None else "superresolve"

    @property
    def keeps_times(self) -> bool:
        """Whether the frames of the output are shown when those of the source are."""
        return self.size is not None and self.factor is None and self.fps is None and self.slow is None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Started:
    """Planning is done: how much there is to do and how much an earlier run has already done."""

    model: str
    source_frames: int
    frames: int
    done: int
    segments: int
    resumed_segments: int
    rate: str
    encoder: str


@dataclass(frozen=True, slots=True)
class Progress:
    """`frames` of the output are finished; `fps` is the recent output rate, `eta` seconds to go (None: unknown)."""

    frames: int
    total: int
    fps: float
    eta: float | None
    stage: Stage = "render"


@dataclass(frozen=True, slots=True)
class Note:
    """One line the user should read: a stream that was converted, a rounding, a damaged place."""

    text: str


Event = Started | Progress | Note


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished job made. `frames` = `copied` + `rendered` + `held`; rates and durations are exact.

    copied  source frames at their own times: untouched, or made anew where the size changed
    size    (height, width), where it is not the source's
    """

    output: Path | None
    frames: int
    copied: int
    rendered: int
    held: int
    cuts: tuple[Fraction, ...]
    source_rate: Fraction
    rate: Fraction
    source_duration: Fraction
    duration: Fraction
    seconds: float
    notes: tuple[str, ...] = ()
    audio_offset: Mapping[str, float] = field(default_factory=dict)
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Tracked:
    """What `track` made: `output`, the clip with what was followed drawn over it, and `found`, a folder of a mask for
    each of `frames`, or a CSV of the points' places. `count` objects or points were followed; `cuts` are the times at
    which other shots begin."""

    output: Path
    found: Path
    kind: Literal["objects", "points"]
    frames: int
    count: int
    cuts: tuple[Fraction, ...]
    duration: Fraction
    seconds: float
    notes: tuple[str, ...] = ()
    audio_offset: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condensed:
    """What `condense` made: `kept` of `frames` are in the file, the others are made again from them.

    psnr        dB, mean over all frames as `expand` makes them, against the source; an equal frame counts as 100
    worst_kept, worst_made   the lowest of the frames that are in the file, and of those that are made again (None: all
                are in the file)
    plain_bytes what all frames take, coded alike; None for images
    rounds      times that the file was written and compared
    """

    output: Path
    frames: int
    kept: int
    bytes: int
    source_bytes: int
    plain_bytes: int | None
    tolerance: float
    psnr: float
    worst_kept: float
    worst_made: float | None
    cuts: tuple[Fraction, ...]
    duration: Fraction
    rounds: int
    seconds: float
    notes: tuple[str, ...] = ()


Finished = Result | Condensed | Tracked
