"""Overlays: bars, logos and letters are kept where the picture moves under them, and nothing else is."""

import clips
import numpy as np
import pytest

from midframe.analysis.glance import CONTEXT, Glance, glance
from midframe.analysis.overlays import overlay_mask

SIZE = (144, 192)
BADGE = (24, 40, 12, 44)  # top, left, height, width
FAST = clips.Scene(velocity=(5.0, 2.0), disc_velocity=())


def look(film: np.ndarray, pix_fmt: str = "yuv420p") -> list[Glance]:
    return [glance(clips.picture(image, pix_fmt)) for image in film]


def with_letters(film: np.ndarray, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """White strokes on black outlines, and the mask of the strokes."""
    mask = np.zeros(film.shape[1:3], bool)
    top, left, height, width = BADGE
    for x in range(left, left + width, 8):
        mask[top : top + height, x : x + 3] = True
    outline = np.zeros_like(mask)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            outline |= np.roll(mask, (dy, dx), (0, 1))
    film = film.copy()
    film[first:, outline] = 0.0
    film[first:, mask] = 1.0
    return film, mask


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p"])
def test_letters_over_a_moving_picture_are_kept_and_little_else(pix_fmt: str) -> None:
    film, letters = with_letters(clips.moving(14, SIZE, scene=FAST))
    mask = overlay_mask(look(film, pix_fmt), 6)
    assert mask is not None
    assert mask[letters].mean() > 0.95
    around = np.zeros_like(mask)
    around[BADGE[0] - 8 : BADGE[0] + BADGE[2] + 8, BADGE[1] - 8 : BADGE[1] + BADGE[3] + 8] = True
    assert not mask[~around].any()


def test_letters_that_come_are_kept_from_the_frame_they_are_in() -> None:
    seen = look(with_letters(clips.moving(20, SIZE, scene=FAST), first=10)[0])
    assert overlay_mask(seen, 9) is None  # the gap in which they appear
    assert overlay_mask(seen, 10) is not None


def test_letters_over_a_still_picture_need_no_keeping() -> None:
    assert overlay_mask(look(with_letters(clips.still(14, SIZE))[0]), 6) is None


def test_letters_are_kept_under_the_noise_of_an_encoder() -> None:
    film, letters = with_letters(clips.moving(14, SIZE, scene=FAST))
    film = film + np.random.default_rng(0).normal(0, 0.6 / 255, film.shape).astype(np.float32)
    mask = overlay_mask(look(film), 6)
    assert mask is not None
    assert mask[letters].mean() > 0.9


@pytest.mark.parametrize("transposed", [False, True])
def test_bars_are_kept_whole_and_end_where_the_picture_begins(transposed: bool) -> None:
    film = clips.framed(clips.moving(14, SIZE, scene=FAST), bars=20, badge=None)
    if transposed:
        film = np.ascontiguousarray(film.transpose(0, 2, 1, 3))
    mask = overlay_mask(look(film), 6)
    assert mask is not None
    if transposed:
        mask = mask.T
    assert mask[:20].all()
    assert mask[-20:].all()
    assert mask[20:-20].mean() < 0.02


def test_a_black_film_has_no_bars() -> None:
    assert overlay_mask(look(np.zeros((14, *SIZE, 3), np.float32)), 6) is None


def test_moving_pictures_and_flat_moving_things_are_not_kept() -> None:
    for scene in (clips.Scene(), FAST, clips.Scene(velocity=(0.0, 0.0), disc_velocity=((6.0, 0.0),))):
        assert overlay_mask(look(clips.moving(14, SIZE, scene=scene)), 6) is None


def test_a_ball_that_flies_over_a_still_picture_is_not_cut_out() -> None:
    """Between two frames the ball passes where neither shows it: what stands still there must not be kept."""
    film = clips.still(14, SIZE)
    for k in range(14):
        film[k, 60:72, 14 * k : 14 * k + 8] = 1.0
    assert overlay_mask(look(film), 6) is None


def test_three_frames_are_too_few_to_tell() -> None:
    assert overlay_mask(look(with_letters(clips.moving(3, SIZE, scene=FAST))[0]), 1) is None


def test_an_overlay_depends_on_nothing_beyond_the_context() -> None:
    seen = look(with_letters(clips.moving(3 * CONTEXT, SIZE, scene=FAST), first=CONTEXT)[0])
    for gap in range(CONTEXT, len(seen) - CONTEXT - 1, 3):
        whole, part = overlay_mask(seen, gap), overlay_mask(seen[gap - CONTEXT : gap + CONTEXT + 2], CONTEXT)
        assert (whole is None) == (part is None)
        assert whole is None or np.array_equal(whole, part)
