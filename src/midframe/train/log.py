"""What a training leaves to be looked at: `log.csv`, `curve.png`, TensorBoard files if the package is there."""

import csv
import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from midframe.files import replacing

CSV, CURVE = "log.csv", "curve.png"


class Log:
    """Appends rows to `log.csv`; one row holds whatever was measured at that step. Owns its files.

    upto  step at which the training goes on. Later rows are dropped: a run that was killed has logged steps that are
          taken again, and a training that begins anew in an old folder has no rows
    """

    def __init__(self, folder: Path, *, upto: int = 0) -> None:
        self._folder = folder
        self._path = folder / CSV
        self._rows = [row for row in read_rows(self._path) if int(row["step"]) <= upto]
        self._columns = list(dict.fromkeys(key for row in self._rows for key in row))
        self._rewrite()
        self._board: Any = None
        if has_board():
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=upto)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        row = {"step": str(step), **{name: f"{value:.6g}" for name, value in values.items()}}
        self._rows.append(row)
        new = [key for key in row if key not in self._columns]
        if new:
            self._columns += new
            self._rewrite()
        else:
            with open(self._path, "a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()

    def add_picture(self, step: int, name: str, picture: NDArray[np.uint8]) -> None:
        """H W 3 uint8 RGB, for TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, picture, step, dataformats="HWC")

    def draw(self, title: str) -> None:
        """Write `curve.png`: the loss over the steps, and each validation figure below it."""
        plot_curve(self._rows, self._folder / CURVE, title)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _rewrite(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns or ["step"])
        writer.writeheader()
        writer.writerows(self._rows)
        with replacing(self._path) as file:
            file.write(text.getvalue().encode())


def has_board() -> bool:
    """Whether TensorBoard's files can be written."""
    return importlib.util.find_spec("tensorboard") is not None


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a log, without the line that was being written when the machine stopped."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [
            {k: v for k, v in row.items() if v}
            for row in csv.DictReader(file)
            if (row.get("step") or "").isdigit() and None not in row
        ]


def plot_curve(rows: list[dict[str, str]], path: Path, title: str) -> None:
    """One panel for the loss and one for each column named "val …"."""
    columns = sorted({key for row in rows for key in row if key.startswith("val ")})
    figure = Figure(figsize=(9, 2.6 * (1 + len(columns))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1 + len(columns), 1, squeeze=False)[:, 0]
    for panel, name in zip(panels, ["loss", *columns], strict=True):
        points = [(int(row["step"]), float(row[name])) for row in rows if name in row]
        if points:
            steps, values = zip(*points, strict=True)
            panel.plot(steps, values, linewidth=1, marker="." if name != "loss" else "")
        panel.set(ylabel=name)
        panel.grid(alpha=0.3)
    losses = [float(row["loss"]) for row in rows if "loss" in row]
    if losses and min(losses) > 0:  # a likelihood or a logarithm may be negative
        panels[0].set_yscale("log")
    panels[-1].set(xlabel="step")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
