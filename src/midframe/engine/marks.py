"""Cuts and repeats of pictures that go by: for commands that look at each frame once."""

from collections import deque
from collections.abc import Iterator
from itertools import islice

import av

from midframe.analysis.cuts import is_cut
from midframe.analysis.duplicates import is_repeat
from midframe.analysis.glance import CONTEXT, Glance, Pairs, glance
from midframe.data.pack import Marked


def mark_pictures(pictures: Iterator[av.VideoFrame], count: int) -> Iterator[Marked]:
    """Mark cuts and repeats as `midframe interpolate` finds them, holding no more pictures than that needs."""
    held: deque[tuple[int, av.VideoFrame, Glance]] = deque()
    seen: dict[int, Glance] = {}
    pairs = Pairs(seen.__getitem__)

    def judge() -> Marked:
        index, picture, _ = held.popleft()
        begins = index > 0 and is_cut(pairs, index - 1, 0, count)
        repeats = not begins and is_repeat(pairs, index, 0, count)
        done = index - CONTEXT - 1
        seen.pop(done, None)
        pairs.forget(done)
        return Marked(picture, begins, repeats)

    for index, picture in enumerate(islice(pictures, count)):
        seen[index] = glance(picture)
        held.append((index, picture, seen[index]))
        if len(held) > CONTEXT + 1:
            yield judge()
    while held:
        yield judge()
