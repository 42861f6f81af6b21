import clips
import pytest

from midframe.cli.main import run_command


@pytest.fixture
def midframe(capsys, monkeypatch):
    """midframe("info", path) → (exit code, stdout, stderr), in this process, on a terminal of 200 columns."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("MIDFRAME_DEBUG", raising=False)

    def call(*arguments):
        capsys.readouterr()
        code = run_command([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def clip(tmp_path):
    """Twelve moving frames at 25 per second."""
    return clips.write_clip(tmp_path / "clip.mp4", clips.moving(12), 25)
