"""What a source is and when its frames are shown, over the whole corpus; what is no film is refused in one line."""

import os
import socket
import threading
from fractions import Fraction

import clips
import numpy as np
import pytest
from corpus import FILES, names

from midframe.errors import DamagedError, InputError
from midframe.video.probe import clock, probe, scan, show_name

# FFmpeg's H.264 decoder says "left" where the file says nothing; beyond 4:2:0 there is nothing to say.
GUESSED_LOCATION = {0, 1}
# AVI has no presentation stamps: its frames are counted.
COUNTED = ("cfr-25-avi", "b-frames-avi", "raw-h264")


def film_names():
    return [name for name in names() if FILES[name].kind != "images" or name.startswith("y4m")]


def image_names():
    return [name for name in names("images") if not name.startswith("y4m")]


@pytest.mark.parametrize("name", names())
def test_probe_says_what_the_file_is(corpus, name):
    file = corpus[name]
    info = probe(file.path)
    assert (info.height, info.width) == file.size
    assert info.pix_fmt == file.pix_fmt
    assert info.codec == {"libdav1d": "av1"}.get(file.codec, file.codec)
    tags, colour = file.tags, info.colour
    assert (colour.range, colour.matrix) == (tags.range, tags.matrix)
    assert (colour.primaries, colour.transfer) == (tags.primaries, tags.transfer)
    if "420" in file.pix_fmt and tags.chroma_location:
        assert colour.chroma_location == tags.chroma_location
    else:
        assert colour.chroma_location in GUESSED_LOCATION
    assert info.sar == (file.sar or 1)
    assert info.rotation % 360 == file.rotation % 360
    assert (info.display_matrix is not None) == (file.rotation % 360 != 0)
    assert info.interlaced == file.interlaced
    assert info.has_alpha == (file.has_alpha or file.pix_fmt == "bgra")  # a GIF may be transparent anywhere
    assert len(info.hdr) == (2 if file.hdr else 0)
    assert info.is_images == (file.kind == "images" and name in image_names())
    assert not info.is_pipe


@pytest.mark.parametrize("name", film_names())
def test_probe_lists_the_other_streams(corpus, name):
    file = corpus[name]
    info = probe(file.path)
    kinds = [stream.kind for stream in info.streams]
    assert kinds.count("audio") == len(file.audio)
    assert kinds.count("subtitle") == len(file.subtitles)
    assert kinds.count("attachment") == file.attachments
    assert kinds.count("data") == file.data_streams
    assert kinds.count("video") == file.cover
    assert info.chapters == file.chapters
    assert file.metadata.items() <= {key.lower(): value for key, value in info.metadata.items()}.items()
    audio = [stream for stream in info.streams if stream.kind == "audio"]
    for stream, track in zip(audio, file.audio, strict=True):
        assert stream.codec == track.codec.removesuffix("float")  # FFmpeg's decoder of MP3
        assert (None if stream.language == "und" else stream.language) == track.language
    assert info.stream_index not in [stream.index for stream in info.streams]


@pytest.mark.parametrize("name", names())
def test_scan_gives_every_frame_its_exact_time(corpus, name):
    file = corpus[name]
    info = probe(file.path)
    timeline = scan(info, rate=file.rate if info.is_images else None)
    assert len(timeline) == file.frames
    if name == "cfr-jitter-mp4":
        assert timeline.rate == Fraction(30000, 1001)
        assert [timeline.pts(i) for i in range(24)] == [i / timeline.rate for i in range(24)]
        return
    assert timeline.rate == file.rate
    if file.rate is not None:  # exact, not accumulated
        assert [timeline.pts(i) - timeline.start for i in range(file.frames)] == [
            i / file.rate for i in range(file.frames)
        ]
    if file.stamps is not None and name not in COUNTED:
        late = [timeline.pts(i) - stamp for i, stamp in enumerate(file.stamps)]
        assert max(map(abs, late)) <= file.slack, late
    if name in COUNTED:
        assert timeline.start in (0, file.slack)
    elif file.end is not None:
        assert abs(timeline.end - file.end) <= 2 * file.slack


@pytest.mark.parametrize("name", ["cfr-23976-mkv", "vfr-phone-mp4", "b-frames-mp4", "edit-list-mp4", "late-start-ts"])
def test_decoding_gives_the_same_stamps_as_the_packets(corpus, name):
    info = probe(corpus[name].path)
    packets, pictures = scan(info), scan(info, decode=True)
    assert packets.ticks.tolist() == pictures.ticks.tolist()
    assert (packets.rate, packets.end, packets.time_base) == (pictures.rate, pictures.end, pictures.time_base)


@pytest.mark.parametrize("name", [*names("damaged", outcome="unreadable"), *names(outcome="no video")])
def test_what_is_no_film_is_refused_in_one_line(corpus, name):
    file = corpus[name]
    with pytest.raises(InputError) as caught:
        probe(file.path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(file.path))
    if file.outcome == "no video":
        assert "holds no video, only audio" in text


def test_sound_with_a_cover_picture_is_no_film(corpus):
    with pytest.raises(InputError, match="only audio and a cover picture"):
        probe(corpus["sound-only-mp3"].path)


BREAKS = {  # when each damaged file breaks off, within a key frame's distance
    "truncated-25": (Fraction(1, 5), Fraction(1)),
    "truncated-50": (Fraction(1, 2), Fraction(3, 2)),
    "truncated-tail": (Fraction(19, 10), Fraction(2)),
    "truncated-mkv": (Fraction(1, 2), Fraction(3, 2)),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_cut_off_file_says_when_it_breaks_off(corpus, name):
    info = probe(corpus[name].path)
    with pytest.raises(DamagedError, match="breaks off at 0:0") as caught:
        scan(info)
    minutes, seconds = str(caught.value).split("breaks off at ")[1].split()[0].strip(";").split(":")
    low, high = BREAKS[name]
    assert low <= int(minutes) * 60 + Fraction(seconds) <= high
    assert "--allow-damaged" in str(caught.value)
    assert 0 < len(scan(info, decode=True)) < 60


def test_a_file_without_one_whole_picture_is_damaged_to_the_probe(corpus):
    with pytest.raises(DamagedError, match="no frame of the video can be decoded"):
        probe(corpus["truncated-2k"].path)


@pytest.mark.parametrize("name", ["cfr-25-mp4", "cfr-23976-mkv", "cfr-30-ts", "cfr-30-avi", "vfr-gif", "cfr-30-apng",
                                  "y4m-25", "cfr-5994-webm"])  # fmt: skip
def test_cuts_and_flipped_bytes_give_a_film_or_one_line(corpus, tmp_path, name):
    data = corpus[name].path.read_bytes()
    path = tmp_path / corpus[name].file
    generator = np.random.default_rng(0)
    broken = [data[: len(data) * part // 7] for part in range(1, 7)]
    for count in (1, 10, 100):
        flipped = bytearray(data)
        for place in generator.integers(0, len(data), count):
            flipped[place] ^= int(generator.integers(1, 256))
        broken.append(bytes(flipped))
    for content in broken:
        path.write_bytes(content)
        try:
            scan(probe(path))
            scan(probe(path), decode=True)
        except InputError as error:
            assert "\n" not in str(error)


# ---- names -------------------------------------------------------------------------------------------------------

ODD_NAMES = ["img%04d.png", "100%.png", "-i.png", "two words.png", "a:b.png", "concat:a|b.png", "line\nbreak.png",
             "ünïcödé 日本.png", "[1-3]{a,b}*.png", "%%.png", "$(x) `y`.png"]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_only_a_name(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(clips.image_bytes(clips.Scene().draw(0, (8, 12))))
    monkeypatch.chdir(tmp_path)
    for source in (name, str(tmp_path / name), tmp_path / name):
        info = probe(source)
        assert (info.width, info.height) == (12, 8)
        assert not info.is_images
        assert len(scan(info)) == 1
    info = probe(tmp_path)  # and as the only image of a folder
    assert info.images == (str(tmp_path / name),)


def test_a_message_about_a_name_with_a_newline_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file") as caught:
        probe(tmp_path / "line\nbreak.mp4")
    assert "\n" not in str(caught.value)
    assert show_name("plain.mp4") == "plain.mp4"
    assert show_name("-") == "stdin"


@pytest.mark.parametrize("name", ["concat:ok.png", "http://127.0.0.1:9/a.mp4", "file:ok.png", "pipe:0", "lavfi:testsrc",
                                  "subfile,,start,0,end,0,,:ok.png", "\0", "x" * 300, "\udcff.mp4", "~"])  # fmt: skip
def test_a_protocol_is_a_file_that_does_not_exist(tmp_path, monkeypatch, name):
    (tmp_path / "ok.png").write_bytes(clips.image_bytes(clips.Scene().draw(0, (8, 12))))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        probe(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "."])
def test_an_empty_name_and_an_empty_folder_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="holds no images" if name else "is empty"):
        probe(name)


def test_a_file_without_permission_and_a_fifo_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.y4m")
    with pytest.raises(InputError, match="not a regular file"):
        probe(tmp_path / "pipe.y4m")
    if os.getuid() != 0:  # root may read everything
        (tmp_path / "secret.mp4").write_bytes(b"x")
        (tmp_path / "secret.mp4").chmod(0)
        with pytest.raises(InputError, match="no permission"):
            probe(tmp_path / "secret.mp4")


# ---- playlists and text ------------------------------------------------------------------------------------------


@pytest.fixture
def listener():
    """A server on this machine; (port, list of what asked it for something)."""
    asked = []
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()

    def serve():
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            asked.append(caller)
            caller.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1], asked
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n{}#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
PLAYLISTS = {
    "list.m3u8": HLS.format("", "http://127.0.0.1:{port}/a.ts"),
    "hidden.mp4": HLS.format("", "http://127.0.0.1:{port}/a.ts"),
    "key.m3u8": HLS.format('#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:{port}/key"\n', "ok.ts"),
    "passwd.m3u8": HLS.format("", "/etc/passwd"),
    "http.ffconcat": "ffconcat version 1.0\nfile http://127.0.0.1:{port}/x.mp4\n",
    "url.ffconcat": "ffconcat version 1.0\nfile file:///etc/passwd\n",
    "absolute.ffconcat": "ffconcat version 1.0\nfile /etc/passwd\n",
    "hidden2.mp4": "ffconcat version 1.0\nfile /etc/passwd\n",
    "stream.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
}  # fmt: skip


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_cannot_make_us_fetch(tmp_path, listener, name):
    port, asked = listener
    clips.write_clip(tmp_path / "ok.ts", clips.moving(3))
    (tmp_path / name).write_text(PLAYLISTS[name].replace("{port}", str(port)))
    with pytest.raises(InputError) as caught:
        scan(probe(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert not asked


@pytest.mark.parametrize("name", ["notes.txt", "art.ans", "readme.nfo", "lines.srt", "notes.mp4"])
def test_text_is_no_film(tmp_path, name):
    lines = "1\n00:00:00,000 --> 00:00:01,000\nhello\n\n" if name.endswith("srt") else "hello world\n"
    (tmp_path / name).write_text(lines * 100)
    with pytest.raises(InputError):
        probe(tmp_path / name)


def test_an_animated_webp_is_refused_with_a_way_out(tmp_path):
    path = clips.write_clip(tmp_path / "a.webp", clips.moving(3), codec="libwebp_anim", pix_fmt="bgra")
    with pytest.raises(InputError, match="convert it to APNG"):
        probe(path)


# ---- folders and patterns ----------------------------------------------------------------------------------------


def test_a_folder_sorts_by_number_and_skips_what_is_no_image(tmp_path):
    clips.write_images(tmp_path, clips.moving(12, (8, 12)), pattern="shot {}.png", first=2)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    info = probe(tmp_path)
    assert [os.path.basename(image) for image in info.images] == [f"shot {i}.png" for i in range(2, 14)]
    assert scan(info).rate == 24
    timeline = scan(info, rate=Fraction(24000, 1001))
    assert (timeline.pts(11), timeline.end) == (11 * Fraction(1001, 24000), 12 * Fraction(1001, 24000))


@pytest.mark.parametrize(("pattern", "made"), [("img%04d.png", "img{:04d}.png"), ("%d.png", "{}.png"),
                                               ("100%%-%03d.png", "100%-{:03d}.png")])  # fmt: skip
def test_a_pattern_takes_the_files_that_fit_it(tmp_path, pattern, made):
    clips.write_images(tmp_path, clips.moving(3, (8, 12)), pattern=made, first=9)
    clips.write_images(tmp_path, clips.moving(1, (8, 12)), pattern="other{}.png", first=1)
    info = probe(tmp_path / pattern)
    assert [os.path.basename(image) for image in info.images] == [made.format(i) for i in (9, 10, 11)]


def test_a_pattern_that_nothing_fits_and_a_folder_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file fits this pattern"):
        probe(tmp_path / "img%04d.png")
    with pytest.raises(InputError, match="no such folder"):
        probe(tmp_path / "nowhere" / "img%04d.png")


def test_images_of_two_sizes_are_refused_by_name(tmp_path):
    clips.write_images(tmp_path, clips.moving(2, (8, 12)))
    clips.write_images(tmp_path, clips.moving(1, (8, 14)), first=3)
    with pytest.raises(InputError, match=r"0003\.png: 14x8, but the first image is 12x8"):
        probe(tmp_path)


def test_images_of_several_formats_get_one_that_holds_all(tmp_path):
    film = clips.moving(1, (8, 12))
    for first, pix_fmt in enumerate(("gray", "rgb24", "rgba"), 1):
        clips.write_images(tmp_path, film, pix_fmt=pix_fmt, first=first)
    info = probe(tmp_path)
    assert (info.pix_fmt, info.bit_depth, info.has_alpha) == ("rgba", 8, True)
    clips.write_images(tmp_path, film, pix_fmt="rgb48be", first=4)
    info = probe(tmp_path)
    assert (info.pix_fmt, info.bit_depth) == ("rgba64le", 16)


def test_a_picture_with_exif_is_read(tmp_path):
    exif = bytes.fromhex("4578696600004d4d002a00000008000101120003000000010006000000000000")
    jpeg = clips.image_bytes(clips.Scene().draw(0, (8, 12)), "mjpeg", "yuvj420p")
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    info = probe(tmp_path / "a.jpg")
    assert (info.width, info.height, len(scan(info))) == (12, 8, 1)


def test_stdin_is_not_probed():
    with pytest.raises(InputError, match="PipeReader"):
        probe("-")


@pytest.mark.parametrize(("time", "text"), [(Fraction(0), "0:00.000"), (Fraction(-3, 2), "-0:01.500"),
                                            (Fraction(3723), "1:02:03.000"), (Fraction(59999, 1000), "0:59.999"),
                                            (Fraction(599999, 10000), "1:00.000")])  # fmt: skip
def test_clock_reads_as_one_says_it(time, text):
    assert clock(time) == text
