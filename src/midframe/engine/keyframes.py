"""Which frames to keep so that the others can be made from them: pure functions on frame numbers.

A stretch from frame a to frame b *fits* if every frame between them can be made from the two well enough. From each
kept frame the next one is as far away as still fits. If every part of a fitting stretch fits, too, no choice keeps
fewer frames; where that fails, as on a motion that comes back to where it was, a stretch that is not tried may be
missed, and what is kept is still right.
"""

from collections.abc import Callable, Iterator


def choose_keys(
    count: int, fits: Callable[[int, int], bool], is_cut: Callable[[int], bool], *, longest: int, start: int = 0
) -> Iterator[int]:
    """Kept frames after `start`, which is kept itself, up to the last of `count` frames.

    fits     whether all frames between a and b can be made from these two; asked for b ≥ a + 2 only, and only where no
             cut lies between them
    is_cut   whether the gap between frames i and i+1 is a cut: both are kept
    longest  frames from one kept frame to the next, at most

    A pair is asked about O(log longest) times for each kept frame: with doubled distance while it fits, then by
    halving. The frames asked about lie within `longest` of the last kept one.
    """
    key = start
    while key < count - 1:
        limit = key
        while limit < min(key + longest, count - 1) and not is_cut(limit):
            limit += 1
        limit = max(limit, key + 1)  # across a cut the next frame is kept
        key = _reach(key, limit, fits)
        yield key


def _reach(key: int, limit: int, fits: Callable[[int, int], bool]) -> int:
    """The farthest frame up to `limit` to which a stretch from `key` was found to fit; the next one always does."""
    good, bad = key + 1, limit + 1
    while good < limit and bad > limit:
        tried = min(key + 2 * (good - key), limit)
        if fits(key, tried):
            good = tried
        else:
            bad = tried
    while bad <= limit and bad - good > 1:
        tried = (good + bad) // 2
        if fits(key, tried):
            good = tried
        else:
            bad = tried
    return good


def from_the_middle(a: int, b: int) -> list[int]:
    """The frames between a and b, those farthest from both first: where making them fails, it fails there."""
    return sorted(range(a + 1, b), key=lambda n: (-min(n - a, b - n), n))
