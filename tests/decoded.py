"""What a file holds, decoded by PyAV alone: the planes of every frame, to compare them sample by sample."""

import av
import numpy as np

from midframe.video.probe import probe
from midframe.video.reader import convert


def read_planes(path, pix_fmt=None):
    """Every frame of a file: (time, [plane arrays]) in presentation order, decoded by PyAV alone."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[probe(path).stream_index]
        for frame in container.decode(stream):
            made = convert(frame, pix_fmt or frame.format.name)
            frames.append((frame.pts * frame.time_base if frame.pts is not None else None, planes(made)))
    return frames


def planes(frame):
    """The samples of a planar frame, one H W array a plane."""
    found = []
    for component in frame.format.components:
        plane = frame.planes[component.plane]
        kind = np.uint8 if component.bits == 8 else np.dtype("<u2")
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        found.append(rows[:, : plane.width * np.dtype(kind).itemsize].copy().view(kind))
    return found


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
