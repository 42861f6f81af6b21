"""One flag for every field of `InterpolateJob`: name, panel of the help, text and choices come from here and there."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Annotated, Any

import typer
from rich.markup import escape

from midframe.engine.job import InterpolateJob

PANELS: dict[str, tuple[str, ...]] = {
    "Space": ("size",),
    "Time": ("factor", "fps", "slow", "vfr", "end", "start_time", "end_time", "rate"),
    "Shots": ("cuts", "cut_list", "write_cut_list", "duplicates", "overlays", "deinterlace"),
    "Streams and encoding": ("audio", "codec", "crf", "preset", "pix_fmt"),
    "Work": ("model", "weights", "effort", "workers", "threads", "tile", "segment", "overwrite", "allow_damaged"),
}
RENAMED = {"start_time": "start"}  # --start goes with --end-time; --end is the policy after the last frame
SWITCHES_OFF = ("overlays", "deinterlace")  # on by default: the flag of interest is --no-…
METAVARS = {
    "size": "SIZE", "factor": "NUMBER", "fps": "RATE", "slow": "NUMBER", "start_time": "TIME", "end_time": "TIME",
    "rate": "RATE", "cut_list": "CSV", "write_cut_list": "CSV", "codec": "NAME", "crf": "NUMBER", "preset": "NAME",
    "pix_fmt": "NAME", "model": "NAME", "weights": "FILE", "effort": "SHARE", "workers": "N", "threads": "N",
    "tile": "PIXELS", "segment": "FRAMES",
}  # fmt: skip
INTERPOLATE_OPTIONS = tuple(name for names in PANELS.values() for name in names if name != "size")


def job_options(
    command: Callable[..., None],
    names: Collection[str] | None = None,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Callable[..., None]:
    """Give a command a flag for every option of a job, or for `names`. They arrive in its `**options` by field name.

    `defaults` are the command's where they are not the job's. The command's own parameters stay as they are; input and
    output, which are arguments, are the command's affair.
    """
    panels = {name: panel for panel, listed in PANELS.items() for name in listed if names is None or name in names}
    own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
    added = []
    for field in sorted((f for f in fields(InterpolateJob) if f.name in panels), key=lambda f: [*panels].index(f.name)):
        default = defaults.get(field.name, field.default)
        option = typer.Option(
            *_declare(field.name),
            help=escape(field.metadata["help"]),
            rich_help_panel=panels[field.name],
            metavar=METAVARS.get(field.name),
            show_default=default not in (None, False, 0) and field.type is not bool,
        )
        added.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=Annotated[field.type, option],
            )
        )
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    command.__signature__ = inspect.Signature([*parameters, *added])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in (*parameters, *added)}
    return command


def flag(name: str) -> str:
    """The flag of a field: "start_time" → "--start"."""
    return "--" + RENAMED.get(name, name).replace("_", "-")


def _declare(name: str) -> tuple[str, ...]:
    return (f"{flag(name)}/--no-{name}",) if name in SWITCHES_OFF else (flag(name),)
