"""Every corpus file through a whole job: no frame lost, no drift, sound in its place, source frames untouched."""

from fractions import Fraction

import pytest
from corpus import names
from decoded import read_planes, same

from midframe.engine.job import InterpolateJob
from midframe.engine.plan import make_plan
from midframe.engine.run import run
from midframe.errors import MidframeError
from midframe.video.pixel import working_format
from midframe.video.probe import probe, scan

FILES = [name for name in names(None, outcome="good")]
BAD = [name for name in names(None, outcome=None) if name not in FILES]


@pytest.mark.parametrize("name", FILES)
def test_every_frame_is_there_on_time_and_the_sources_own_are_untouched(work, corpus, name):
    file = corpus[name]
    if file.frames == 0:
        pytest.skip("holds no video")
    info = probe(file.path)
    result = work(file.path, factor="5/2", deinterlace=False, audio="keep", rate="24" if info.is_images else None)
    timeline = scan(info, rate=Fraction(24) if info.is_images else None)
    plan = make_plan(InterpolateJob(factor="5/2"), timeline)
    now = read_planes(result.output)
    assert len(now) == plan.count == -(-file.frames * 5 // 2)
    for n, (stamp, _) in enumerate(now):  # Matroska counts milliseconds
        assert abs(stamp - plan.time(n) - (now[0][0] - plan.time(0))) <= Fraction(1, 1000), n
    # Exact, not accumulated: the plan's times are the source's own.
    for k in range(0, file.frames, 2):
        assert plan.time(k * 5 // 2) - plan.out_start == timeline.pts(k)
    if not info.is_images:
        working = probe(result.output).pix_fmt
        working = working_format(working)
        was = read_planes(file.path, working)
        now = read_planes(result.output, working)
        for k in range(0, file.frames, 2):
            assert same(was[k][1], now[k * 5 // 2][1]), k
    assert not any(abs(seconds) > 1e-3 for at, seconds in result.audio_offset.items() if at == "start")


@pytest.mark.parametrize("name", BAD)
def test_every_bad_file_is_refused_in_one_line_with_nothing_left(tmp_path, corpus, name):
    file = corpus[name]
    with pytest.raises(MidframeError) as caught:
        run(InterpolateJob(input=str(file.path), output=str(tmp_path / "out.mp4"), model="blend"))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code in (3, 4)
    assert not (tmp_path / "out.mp4").exists()
