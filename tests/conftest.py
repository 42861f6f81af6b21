"""Settings for every test, and the corpus of media files.

Thread settings come before anything imports torch or OpenMP: tests run beside each other, and results must not
depend on how many threads a machine offers.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its banner on stderr otherwise

import pytest
from corpus import Corpus
from hypothesis import settings

settings.register_profile("midframe", deadline=None)  # machines are noisy; tests do not measure time
settings.load_profile("midframe")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The corpus, one folder a session; a file is made when a test first asks for it: `corpus["cfr-25-mp4"].path`."""
    return Corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def work(tmp_path):
    """work(source, "out.mkv", factor="2", ...) → Result; a quick model and lossless mkv unless told otherwise."""
    from midframe.engine.job import InterpolateJob
    from midframe.engine.run import run

    def start(source, output="out.mkv", *, on_event=None, **options):
        options.setdefault("model", "blend")
        if str(output).endswith(".mkv"):
            options.setdefault("codec", "ffv1")
        target = output if output == "-" else str(tmp_path / output)
        return run(InterpolateJob(input=str(source), output=target, **options), on_event)

    return start
