"""Benchmark rows as JSON for programs and as a Markdown table for people, with what they were measured on."""

import datetime
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any

import torch

import midframe
from midframe.bench.suite import Row
from midframe.errors import OutputError

PACKAGES = ("torch", "numpy", "opencv-python-headless", "numba", "av")


def describe_environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """What a figure depends on besides the model: date (UTC, ISO 8601), device, threads, versions."""
    place = torch.device(device)
    name = (
        torch.cuda.get_device_name(place) if place.type == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores"
    )
    versions = {"midframe": midframe.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # the same module under another distribution's name, e.g. opencv-python
            versions[package] = "unknown"
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": f"{place.type} ({name})",
        "threads": torch.get_num_threads(),
        "versions": versions,
    }


def format_json(rows: Sequence[Row], environment: Mapping[str, Any]) -> str:
    """{"rows": […], "environment": {…}}. An infinite PSNR, of a picture made exactly, is null: JSON has no infinity."""
    return (
        json.dumps(_finite({"rows": list(rows), "environment": dict(environment)}), indent=2, ensure_ascii=False) + "\n"
    )


def format_markdown(rows: Sequence[Row], environment: Mapping[str, Any]) -> str:
    """One line per model and suite, then one line on how and where it was measured."""
    head = ("model", "suite", "PSNR (dB)", "SSIM", "SSIM 3-D", "IE", "s/frame")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * 2}{'---:|' * (len(head) - 2)}"]
    for row in rows:
        figures = (
            f"{row['psnr']:.2f}",
            f"{row['ssim']:.4f}",
            f"{row['ssim_gaussian3d']:.4f}",
            f"{row['ie']:.2f}",
            f"{row['seconds_per_frame']:.3f}",
        )
        lines.append(f"| {' | '.join((row['model'], row['suite'], *figures))} |")
    versions = ", ".join(f"{name} {number}" for name, number in environment["versions"].items())
    return "\n".join(
        [
            *lines,
            "",
            "RGB rounded to 8 bits, mean over scenes; SSIM as scikit-image (uniform 7×7), SSIM 3-D as most papers "
            "(Gaussian 11×11×11), IE = mean absolute difference in code values.",
            f"Measured {environment['date']} on {environment['device']}, {environment['threads']} threads; {versions}.",
            "",
        ]
    )


def write_json(path: str | PathLike[str], rows: Sequence[Row], environment: Mapping[str, Any]) -> None:
    """`format_json` into a file. Raises OutputError if it cannot be written."""
    write_text(path, format_json(rows, environment))


def write_markdown(path: str | PathLike[str], rows: Sequence[Row], environment: Mapping[str, Any]) -> None:
    """`format_markdown` into a file. Raises OutputError if it cannot be written."""
    write_text(path, format_markdown(rows, environment))


def write_text(path: str | PathLike[str], text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another place.") from error


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {key: _finite(item) for key, item in value.items()}
        case list():
            return [_finite(item) for item in value]
        case _:
            return value
