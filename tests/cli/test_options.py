"""The job and the flags of the command line say the same."""

from dataclasses import fields
from typing import get_args

import pytest
import typer

from midframe.cli import check, info, verify
from midframe.cli.main import app
from midframe.cli.options import METAVARS, PANELS, RENAMED, flag
from midframe.cli.upscale import DEFAULTS as OTHER_DEFAULTS
from midframe.engine.job import InterpolateJob

COMMANDS = typer.main.get_command(app).commands
FIELDS = {field.name: field for field in fields(InterpolateJob) if field.name not in ("input", "output")}
NONE = ("interpolate", "size")  # a flag of `upscale` alone
NEEDS = {"effort": {"model": "ugsp"}}  # options that not every model takes
TEXTS = {
    "weights": "own.safetensors",
    "model": "blend", "factor": "2.5", "fps": "60000/1001", "slow": "4", "start_time": "1:02", "end_time": "1:05.5",
    "rate": "12", "cut_list": "a.csv", "write_cut_list": "b.csv", "codec": "ffv1", "preset": "slow",
    "pix_fmt": "yuv444p",
}  # fmt: skip


def parameter(command, name):
    return next(known for known in COMMANDS[command].params if known.name == name)


def words(kind):
    return [word for word in get_args(kind) if isinstance(word, str)]


def test_every_option_of_a_job_stands_in_one_panel_of_the_help():
    listed = [name for names in PANELS.values() for name in names]
    assert sorted(listed) == sorted(FIELDS)
    assert set(METAVARS) | set(RENAMED) <= set(FIELDS)


@pytest.mark.parametrize(
    ("command", "name"), [(one, name) for one in ("interpolate", "upscale") for name in FIELDS if (one, name) != NONE]
)
def test_every_option_of_a_job_is_a_flag_with_its_text_choices_and_default(command, name, midframe):
    field, known = FIELDS[name], parameter(command, name)
    assert flag(name) in known.opts
    assert known.default == (OTHER_DEFAULTS if command == "upscale" else {}).get(name, field.default)
    assert known.help.replace("\\[", "[") == field.metadata["help"]
    _, help_text, _ = midframe(command, "--help")
    assert flag(name) in help_text
    for word in words(field.type):
        assert word in help_text


@pytest.mark.parametrize("command", ["info", "check", "verify"])
def test_flags_shared_with_other_commands_are_the_same(command):
    for name in {"info": info, "check": check, "verify": verify}[command].JOB_OPTIONS:
        ours, theirs = parameter(command, name), parameter("upscale", name)
        assert (ours.opts, ours.default, ours.help) == (theirs.opts, theirs.default, theirs.help)


def given(field):
    """A value that is not the default, as typed and as the job holds it."""
    if choices := words(field.type):
        value = next(word for word in choices if word != field.default)
        return [flag(field.name), value], value
    if field.type is bool:
        return [f"--no-{field.name}" if field.default else flag(field.name)], not field.default
    if field.name in TEXTS:
        return [flag(field.name), TEXTS[field.name]], TEXTS[field.name]
    if field.name == "effort":
        return [flag(field.name), "0.5"], 0.5
    return [flag(field.name), "3"], 3


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "size"])
def test_a_flag_sets_its_option_and_no_other(name, midframe, monkeypatch):
    seen = []

    def run(job, on_event):
        seen.append(job)
        raise KeyboardInterrupt

    monkeypatch.setattr("midframe.engine.run.run", run)
    typed, value = given(FIELDS[name])
    others = NEEDS.get(name, {})
    typed += [word for other, text in others.items() for word in (flag(other), text)]
    assert midframe("interpolate", "in.mp4", "-o", "out.mp4", *typed)[0] == 130
    assert seen == [InterpolateJob(input="in.mp4", output="out.mp4", **others, **{name: value})]
