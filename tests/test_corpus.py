"""Every file of the corpus is what it says it is, seen through PyAV alone."""

import contextlib
import itertools
from fractions import Fraction
from pathlib import Path

import audio_offset
import av
import clips
import corpus as catalogue
import numpy as np
import pytest
from corpus import Corpus, CorpusFile

COVER = av.stream.Disposition.attached_pic


def open_source(file: CorpusFile) -> av.container.InputContainer:
    assert file.path is not None
    return av.open(f"file:{file.path}")  # "file:" keeps FFmpeg from reading a protocol into the name


def decode(file: CorpusFile) -> list[av.VideoFrame]:
    if file.path.is_dir():
        pictures = sorted(file.path.iterdir(), key=lambda path: int("".join(filter(str.isdigit, path.stem))))
        frames = []
        for picture in pictures:
            with av.open(str(picture)) as source:
                frames += list(source.decode(video=0))
        return frames
    with open_source(file) as source:
        return list(source.decode(main_video(source)))


def main_video(source: av.container.InputContainer) -> av.VideoStream:
    return next(stream for stream in source.streams.video if not stream.disposition & COVER)


def plane(frame: av.VideoFrame, index: int) -> np.ndarray:
    part, bits = frame.planes[index], frame.format.components[0].bits
    rows = np.frombuffer(part, np.uint8).reshape(part.height, part.line_size)
    return rows[:, : part.width * -(-bits // 8)].view(np.uint8 if bits == 8 else "<u2").astype(np.float64)


@pytest.mark.parametrize("name", catalogue.names())
def test_good_file_has_the_frames_stamps_and_tags_it_claims(corpus: Corpus, name: str) -> None:
    file = corpus[name]
    frames = decode(file)
    assert len(frames) == file.frames
    assert {(frame.height, frame.width) for frame in frames} == {file.size}
    assert {frame.format.name for frame in frames} == {file.pix_fmt}
    first, tags = frames[0], file.tags
    seen = (first.color_range, first.colorspace, first.color_primaries, first.color_trc)
    assert seen == (tags.range, tags.matrix, tags.primaries, tags.transfer)
    assert first.interlaced_frame == (file.interlaced is not None)
    assert first.rotation % 360 == file.rotation % 360
    if file.kind != "images":  # PyAV 18.1 raises on side data it does not know, such as EXIF
        types = {side.type.name for side in first.side_data}
        assert ({"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"} <= types) == file.hdr
    assert file.has_alpha == any(part.is_alpha for part in first.format.components) or file.pix_fmt == "bgra"
    if file.stamps is not None and file.kind != "images":
        assert len(file.stamps) == file.frames
        late = [frame.pts * frame.time_base - stamp for frame, stamp in zip(frames, file.stamps, strict=True)]
        assert max(map(abs, late)) <= file.slack, late
        if file.end is not None:
            last = frames[-1]
            assert abs((last.pts + last.duration) * last.time_base - file.end) <= 2 * file.slack
        assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))


@pytest.mark.parametrize("name", [name for name in catalogue.names() if catalogue.FILES[name].kind != "images"])
def test_good_file_has_the_streams_it_claims(corpus: Corpus, name: str) -> None:
    file = corpus[name]
    with open_source(file) as source:
        video = main_video(source)
        assert video.codec_context.name == file.codec
        assert video.sample_aspect_ratio == file.sar
        kinds = [stream.type for stream in source.streams]
        assert kinds.count("audio") == len(file.audio)
        assert kinds.count("subtitle") == len(file.subtitles)
        assert kinds.count("attachment") == file.attachments
        assert kinds.count("data") == file.data_streams
        assert len(source.streams.video) == 1 + file.cover
        assert len(source.chapters()) == file.chapters
        lower = {key.lower(): value for key, value in source.metadata.items()}
        assert file.metadata.items() <= lower.items()
        for stream, track in zip(source.streams.audio, file.audio, strict=True):
            assert stream.codec_context.name == track.codec
            assert (stream.channels, stream.rate) == (track.channels, track.rate)
            assert (None if stream.language == "und" else stream.language) == track.language
        found = [{"srt": "subrip", "ssa": "ass"}.get(s.codec_context.name, s.codec_context.name)
                 for s in source.streams.subtitles]  # fmt: skip
        assert found == list(file.subtitles)


@pytest.mark.parametrize("name", [name for name in catalogue.names() if catalogue.FILES[name].audio])
def test_sound_starts_and_lasts_as_claimed(corpus: Corpus, name: str) -> None:
    file = corpus[name]
    for index, track in enumerate(file.audio):
        sound, start, rate = audio_offset.decode_sound(file.path, stream=index)
        # A coder may lead in with silence (start earlier) and fills its last block (end later).
        block = 4608 / rate
        assert start <= float(track.start) + 0.0011
        assert start >= float(track.start) - block
        end = float(track.start + track.seconds)
        assert end - 0.0011 <= start + len(sound) / rate <= end + block


@pytest.mark.parametrize("name", [name for name in catalogue.names() if catalogue.FILES[name].sync])
def test_click_and_flash_fall_together(corpus: Corpus, name: str) -> None:
    first, last = audio_offset.measure_offsets(corpus[name].path)
    # Opus' lead-in of 6.5 ms cannot be stamped in whole milliseconds: Matroska is half a millisecond off at most.
    limit = 0.0005 if "opus" in name and not name.endswith("mp4") else 0.0002
    assert abs(first) < limit
    assert abs(last) < limit


@pytest.mark.parametrize("delay", [Fraction(0), Fraction(1, 1000), Fraction(-7, 3000), Fraction(43, 1000)])
def test_offset_is_measured_to_a_fifth_of_a_millisecond(tmp_path: Path, delay: Fraction) -> None:
    rate, flashes = Fraction(30000, 1001), (10, 25)
    sound = clips.Sound(clips.clicks(1.2, [i / rate + delay for i in flashes]), codec="aac")
    path = clips.write_clip(tmp_path / "late.mp4", clips.flash(30, flashes), rate, sounds=[sound])
    assert audio_offset.measure_offsets(path) == pytest.approx((float(delay), float(delay)), abs=2e-4)


def test_offset_of_a_clip_without_flashes_is_refused(corpus: Corpus) -> None:
    with pytest.raises(ValueError, match="cannot pair"):
        audio_offset.measure_offsets(corpus["cfr-25-mp4"].path)


@pytest.mark.parametrize("name", [name for name in catalogue.names() if catalogue.FILES[name].lossless])
def test_lossless_file_holds_exactly_the_film(corpus: Corpus, name: str) -> None:
    file = corpus[name]
    for frame, image in zip(decode(file), file.film(), strict=True):
        tags = clips.BT601 if file.codec == "rawvideo" else file.tags
        truth = clips.picture(image, file.pix_fmt, tags)
        for index, (part, true_part) in enumerate(zip(frame.planes, truth.planes, strict=True)):
            rows, true_rows = (np.frombuffer(p, np.uint8).reshape(p.height, p.line_size) for p in (part, true_part))
            used = row_bytes(frame, index)
            assert (rows[:, :used] == true_rows[:, :used]).all()


def row_bytes(frame: av.VideoFrame, index: int) -> int:
    """Bytes of a row of a plane that are picture, without padding."""
    layout = frame.format
    if layout.is_planar or len(layout.components) == 1:
        return frame.planes[index].width * -(-layout.components[0].bits // 8)
    return frame.width * -(-layout.padded_bits_per_pixel // 8)


@pytest.mark.parametrize(
    "name", [name for name in catalogue.names() if catalogue.FILES[name].codec in ("h264", "hevc", "prores", "vp9")]
)
def test_lossy_file_holds_nearly_the_film_in_order(corpus: Corpus, name: str) -> None:
    file = corpus[name]
    frames, film = decode(file), file.film()
    top = (1 << frames[0].format.components[0].bits) - 1
    for index in {0, len(frames) // 2, len(frames) - 1}:
        truth = clips.picture(film[index], file.pix_fmt, file.tags)
        error = plane(frames[index], 0) - plane(truth, 0)
        assert 10 * np.log10(top**2 / max((error**2).mean(), 1e-9)) > 24


@pytest.mark.parametrize("name", catalogue.names("damaged", outcome="damaged"))
def test_damaged_file_promises_more_than_it_gives(corpus: Corpus, name: str) -> None:
    file = corpus[name]
    got = 0
    with open_source(file) as source, contextlib.suppress(av.FFmpegError):
        for frame in source.decode(main_video(source)):
            got += not frame.is_corrupt
    assert got < file.frames


@pytest.mark.parametrize("name", catalogue.names(outcome="unreadable"))
def test_unreadable_file_gives_no_picture(corpus: Corpus, name: str) -> None:
    got = 0
    with contextlib.suppress(av.FFmpegError, StopIteration), open_source(corpus[name]) as source:
        got = sum(1 for _ in source.decode(main_video(source)))
    assert got == 0


@pytest.mark.parametrize("name", catalogue.names(outcome="no video"))
def test_sound_only_file_has_sound_and_no_video(corpus: Corpus, name: str) -> None:
    file = corpus[name]
    with open_source(file) as source:
        assert [stream.codec_context.name for stream in source.streams.audio] == [file.audio[0].codec]
        assert all(stream.disposition & COVER for stream in source.streams.video)
        assert len(source.streams.video) == file.cover


@pytest.mark.parametrize("name", ["colour-709-topleft", "colour-709-centre", "colour-pq"])
def test_chroma_location_is_written_into_the_stream(corpus: Corpus, name: str) -> None:
    file = corpus[name]
    # PyAV does not show the location of a frame; FFmpeg's trace of the sequence header does.
    with open_source(file) as source:
        video = main_video(source)
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture() as lines:
                trace = av.bitstream.BitStreamFilterContext("trace_headers", video)
                trace.filter(next(packet for packet in source.demux(video) if packet.size))
        finally:
            av.logging.set_level(None)
    found = {int(line.split()[-1]) for _, _, line in lines if "chroma_sample_loc_type_top_field" in line}
    assert found == {file.tags.chroma_location - 1}


def test_true_flow_carries_a_picture_onto_the_next() -> None:
    scene = clips.Scene(velocity=(2.0, 1.0), disc_velocity=())
    first, second = scene.draw(0, (40, 60)), scene.draw(1, (40, 60))
    assert scene.flow(0, 1, (40, 60))[0, 0].tolist() == [2.0, 1.0]
    np.testing.assert_allclose(second[1:, 2:], first[:-1, :-2], atol=1e-5)


def test_clips_that_claim_repeats_and_cuts_have_them() -> None:
    for name in ("still", "on-twos", "on-threes", "ramp"):
        file = catalogue.FILES[name]
        film = file.film()
        same = [index for index in range(1, len(film)) if (film[index] == film[index - 1]).all()]
        assert tuple(same) == file.repeats
    file = catalogue.FILES["cuts"]
    change = np.abs(np.diff(file.film(), axis=0)).mean(axis=(1, 2, 3))
    assert tuple(np.sort(np.argsort(change)[-3:]) + 1) == file.cuts


def test_corpus_has_every_kind_asked_for() -> None:
    assert len(catalogue.FILES) >= 36
    kinds = {file.kind for file in catalogue.FILES.values()}
    assert kinds == {"rate", "vfr", "format", "colour", "geometry", "time", "content", "audio", "sync", "streams",
                     "images", "name", "sound only", "damaged"}  # fmt: skip
