"""Cuts: found between shots, not in flashes, fades, dissolves and pans; the list of them as a file."""

from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midframe.analysis.cuts import find_cuts, is_cut, read_cut_list, write_cut_list
from midframe.analysis.glance import CONTEXT, Glance, Pairs, glance
from midframe.errors import InputError

SIZE = (72, 128)


def look(film: np.ndarray, pix_fmt: str = "yuv420p") -> list[Glance]:
    return [glance(clips.picture(image, pix_fmt)) for image in film]


def cuts_of(film: np.ndarray) -> list[int]:
    return [gap for gap, hit in enumerate(find_cuts(look(film))) if hit]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p", "gbrp", "gray"])
def test_a_cut_is_found_in_its_gap_in_every_kind_of_format(pix_fmt: str) -> None:
    film = clips.cut(20, (10,), SIZE)
    assert [g for g, hit in enumerate(find_cuts(look(film, pix_fmt))) if hit] == [9]


def test_several_cuts_close_together_are_all_found() -> None:
    assert cuts_of(clips.cut(24, (6, 12, 18), SIZE)) == [5, 11, 17]


def test_moving_still_and_fading_pictures_have_no_cut() -> None:
    for film in (clips.moving(20, SIZE), clips.still(20, SIZE), clips.fade(20, SIZE)):
        assert cuts_of(film) == []


@pytest.mark.parametrize("times", [2, 3])
def test_a_new_drawing_in_animation_is_no_cut_and_a_new_shot_is_one(times: int) -> None:
    assert cuts_of(clips.held(24, times, SIZE)) == []
    assert cuts_of(clips.cut(12, (6,), SIZE).repeat(times, axis=0)) == [6 * times - 1]


@pytest.mark.parametrize("at", [(10,), (10, 11)])
def test_a_flash_is_not_a_cut(at: tuple[int, ...]) -> None:
    assert cuts_of(clips.flash(20, at, SIZE)) == []


def test_a_flash_beside_a_cut_does_not_hide_the_cut() -> None:
    film = clips.cut(24, (12,), SIZE)
    film[6] = 1.0
    assert cuts_of(film) == [11]


def test_a_dissolve_is_not_a_cut() -> None:
    a, b = clips.cut(20, (10,), SIZE)[[0, 15]]
    share = np.clip((np.arange(20, dtype=np.float32) - 5) / 9, 0, 1)[:, None, None, None]
    assert cuts_of(a + share * (b - a)) == []


def test_a_fast_pan_that_starts_and_stops_is_not_a_cut() -> None:
    wide = clips.moving(1, (SIZE[0], 400))[0]
    offsets = [0] * 6 + [13 * k for k in range(1, 13)] + [156] * 6
    assert cuts_of(np.stack([wide[:, x : x + SIZE[1]] for x in offsets])) == []


def test_a_cut_depends_on_nothing_beyond_the_context() -> None:
    film = look(clips.cut(4 * CONTEXT, (2 * CONTEXT, 2 * CONTEXT + 4), SIZE))
    whole = find_cuts(film)
    for gap in range(CONTEXT, len(film) - CONTEXT - 2):
        part = film[gap - CONTEXT : gap + CONTEXT + 2]
        assert find_cuts(part)[CONTEXT] == whole[gap]


def test_a_remembered_pair_gives_the_answer_of_a_fresh_one_and_is_measured_once() -> None:
    film = look(clips.cut(20, (10,), SIZE))
    asked: list[int] = []

    def give(i: int) -> Glance:
        asked.append(i)
        return film[i]

    pairs = Pairs(give)
    first = [is_cut(pairs, gap, 0, 20) for gap in range(19)]
    count = len(asked)
    assert [is_cut(pairs, gap, 0, 20) for gap in range(19)] == first
    assert len(asked) == count
    pairs.forget(20)
    assert is_cut(pairs, 9, 0, 20)
    assert len(asked) > count


def test_pictures_of_odd_sizes_can_be_looked_at() -> None:
    for height, width in ((95, 127), (9, 700), (700, 9)):
        seen = glance(av.VideoFrame(width, height, "yuv420p"))
        assert max(seen.thumb.shape[:2]) == 64
        assert seen.luma.shape == (height, width)


# ---- the list ----------------------------------------------------------------------------------------------------


@given(st.lists(st.fractions(min_value=0, max_value=10**6, max_denominator=120_000)))
def test_a_cut_list_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, times: list[Fraction]) -> None:
    path = tmp_path_factory.mktemp("cuts") / "cuts.csv"
    write_cut_list(path, times)
    assert read_cut_list(path) == sorted(set(times))


def test_a_cut_list_is_written_in_decimals_where_they_are_exact(tmp_path: Path) -> None:
    write_cut_list(tmp_path / "c.csv", [Fraction(5, 2), Fraction(1001, 24000), Fraction(0), Fraction(1, 16)])
    assert (tmp_path / "c.csv").read_text() == "time\n0\n1001/24000\n0.0625\n2.5\n"


def test_a_cut_list_takes_clock_times_frame_columns_comments_and_a_missing_header(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("\ufeffframe, time\r\n# the trailer\r\n48,00:00:02.000\r\n\r\n1500,1:02.5\r\n9,1/3\r\n", "utf-8")
    assert read_cut_list(path) == [Fraction(1, 3), Fraction(2), Fraction(125, 2)]
    path.write_text("1.5\n0.25\n")
    assert read_cut_list(path) == [Fraction(1, 4), Fraction(3, 2)]
    path.write_text("")
    assert read_cut_list(path) == []


@pytest.mark.parametrize("line", ["soon", "-1", "1/0", "1:2:3:4", "nan", "1e400", ",", '"1'])
def test_a_bad_line_of_a_cut_list_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"time\n1.0\n{line},\n" if line != "," else "frame,time\n1,1.0\n2,\n")
    with pytest.raises(InputError, match=r"c\.csv:3"):
        read_cut_list(path)


def test_a_cut_list_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x80")
    for name in ("missing.csv", "binary", "."):
        with pytest.raises(InputError, match="cut list"):
            read_cut_list(tmp_path / name)
