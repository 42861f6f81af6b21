"""y4m from stdin into a lossless file, so that a pipe can be planned, resumed and shared like any other source.

The disk it takes is what FFV1 needs for the film; memory is one frame.
"""

from pathlib import Path
from typing import Protocol

from midframe.engine.job import Event, Progress
from midframe.engine.journal import SPOOL, Journal
from midframe.errors import InputError
from midframe.video.probe import VideoInfo
from midframe.video.reader import PipeReader, convert
from midframe.video.writer import SegmentWriter, lossless_settings

REPORT_EVERY = 50  # frames


class Listener(Protocol):
    def __call__(self, event: Event, /) -> None: ...


def spool(journal: Journal, tell: Listener, *, allow_damaged: bool = False) -> tuple[Path, VideoInfo]:
    """Read stdin to its end. Returns the file in the journal's folder, and what stdin said of itself.

    The file does not carry the range, the matrix and the siting. Raises InputError if no frame came.
    """
    journal.clear()  # what an earlier pipe left cannot be known to be the same film
    path = journal.folder / SPOOL
    with PipeReader(deinterlace=False, allow_damaged=allow_damaged) as reader:
        rate = reader.rate
        settings = lossless_settings(reader.info, time_base=1 / rate, rate=rate)
        writer = SegmentWriter(path, settings)
        count = 0
        try:
            for frame in reader.frames():
                writer.write(convert(frame.picture, settings.pix_fmt), frame.index, 1)
                count += 1
                if count % REPORT_EVERY == 0:
                    tell(Progress(count, count, 0.0, None, "spool"))
        finally:
            writer.close()
    if count == 0:
        raise InputError("stdin: the y4m stream holds no frames.")
    return path, reader.info
