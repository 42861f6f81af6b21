"""The demo's film as a function of continuous time, so that the true picture between two frames is known exactly.

Two shots with a hard cut between them. In each the camera drifts and zooms over a photograph while a ball, cut from
another photograph, bounces and spins in front of it and hides what is behind. Letterbox bars and a title over the
picture stand still. Each time the ball touches the ground there is a click in the sound.

The photographs come with scikit-image's wheel and are free to use: coffee (Rachel Michetti, CC0), chelsea (Stefan van
der Walt, CC0), rocket (SpaceX, CC0) and hubble_deep_field (NASA/ESA, public domain).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

Picture = NDArray[np.uint8]

RATE = 24
SECONDS = Fraction(7, 2)
CUT = Fraction(7, 4)
HEIGHT, WIDTH = 540, 960
BAR = 56  # rows of letterbox, above and below
SOUND_RATE = 48_000
FIRST_BOUNCE, BOUNCE = 0.25, 0.75  # seconds: the first click, and the time between two
GROUND, JUMP = 390.0, 120.0  # rows: where the ball's centre is when it touches, and how high it flies


@dataclass(frozen=True, slots=True)
class Shot:
    """A photograph under a moving camera and a ball. Speeds per second, counted from the film's beginning.

    scale   enlargement of the photograph at time 0, and by what it grows
    centre  the point of the photograph (x, y) in the middle of the picture at time 0, and how it moves
    ball    x of the ball's centre at time 0, its speed; radius; turns
    """

    photo: Picture
    texture: Picture
    scale: tuple[float, float]
    centre: tuple[float, float]
    drift: tuple[float, float]
    ball_x: float
    ball_speed: float
    radius: float
    turns: float


def shots() -> tuple[Shot, Shot]:
    """Before and after the cut."""
    cat = data.chelsea()[10:290, 90:370]
    stars = data.hubble_deep_field()[200:700, 250:750]
    return (
        Shot(data.coffee(), cat, (2.05, 0.08), (280, 205), (30, -12), 230, 250, 88, 0.22),
        Shot(data.rocket(), stars, (2.0, -0.06), (400, 205), (-32, 10), 1400, -310, 74, -0.35),
    )


def paint(film: tuple[Shot, Shot], time: float) -> Picture:
    """The picture at `time` seconds, H W 3 uint8 RGB."""
    shot = film[time >= CUT]
    scale = shot.scale[0] + shot.scale[1] * time
    x, y = (shot.centre[k] + shot.drift[k] * time for k in (0, 1))
    camera = np.array([[scale, 0, WIDTH / 2 - scale * x], [0, scale, HEIGHT / 2 - scale * y]])
    picture = cv2.warpAffine(
        shot.photo, camera, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    ).astype(np.float32)

    ball_x, ball_y = shot.ball_x + shot.ball_speed * time, GROUND - JUMP * height_of_jump(time)
    angle = 2 * math.pi * shot.turns * time
    grow = 2 * shot.radius / shot.texture.shape[0]
    cos, sin, middle = grow * math.cos(angle), grow * math.sin(angle), shot.texture.shape[0] / 2
    turn = np.array(
        [[cos, -sin, ball_x - cos * middle + sin * middle], [sin, cos, ball_y - sin * middle - cos * middle]]
    )
    texture = cv2.warpAffine(shot.texture, turn, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    distance = np.hypot(columns - ball_x, rows - ball_y)
    inside = np.clip(shot.radius - distance + 0.5, 0, 1)[..., None]  # an edge one pixel wide
    shade = (1 - 0.45 * np.clip(distance / shot.radius, 0, 1) ** 3)[..., None]
    picture += inside * (texture * shade - picture)

    picture[:BAR] = picture[HEIGHT - BAR :] = 0
    whole: Picture = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    place = (28, BAR + 48)
    cv2.putText(whole, "midframe", place, cv2.FONT_HERSHEY_DUPLEX, 1.1, (235, 235, 235), 2, cv2.LINE_AA)
    return whole


def height_of_jump(time: float) -> float:
    """0 on the ground, 1 at the top; a parabola between two bounces."""
    phase = ((time - FIRST_BOUNCE) / BOUNCE) % 1
    return 1 - (2 * phase - 1) ** 2


def click_times() -> list[float]:
    """When the ball touches the ground, in seconds."""
    count = int((float(SECONDS) - FIRST_BOUNCE) / BOUNCE) + 1
    return [FIRST_BOUNCE + k * BOUNCE for k in range(count)]


def ball_at(film: tuple[Shot, Shot], time: float) -> tuple[float, float]:
    """Where the ball's centre is, (x, y)."""
    shot = film[time >= CUT]
    return shot.ball_x + shot.ball_speed * time, GROUND - JUMP * height_of_jump(time)


def sound() -> NDArray[np.float32]:
    """Mono samples at SOUND_RATE: a soft tone, and a click at each touch."""
    t = np.arange(round(float(SECONDS) * SOUND_RATE)) / SOUND_RATE
    samples = 0.02 * np.sin(2 * np.pi * 220 * t)
    for click in click_times():
        since = t - click
        samples += (since >= 0) * 0.7 * np.exp(-300 * np.maximum(since, 0)) * np.cos(2 * np.pi * 1500 * since)
    return samples.astype(np.float32)


def write_film(path: Path) -> None:
    """The film at RATE frames per second: x264 and AAC in mp4, tagged BT.709."""
    film = shots()
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "12", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.color_range, video.colorspace, video.color_primaries, video.color_trc = 1, 1, 1, 1
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono", bit_rate=128_000)
        for n in range(int(SECONDS * RATE)):
            frame = av.VideoFrame.from_ndarray(paint(film, n / RATE), format="rgb24")
            frame = frame.reformat(format="yuv420p", src_colorspace="default", dst_colorspace="itu709")
            frame.pts, frame.time_base = n, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(sound()[None], format="fltp", layout="mono")
        samples.rate, samples.pts, samples.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
