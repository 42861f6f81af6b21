"""A network that generates another's weights: the failure that was reported, and its cure, side by side.

    python benchmarks/hypernet.py [--steps 800] [--rate 1e-4] [--output docs/images/hypernet.png] [--threads 1]

Two digits side by side, 100 classes, weights drawn for each picture; batches of 32, Adam, gradients shortened to 1, no
divergence. "naive" has a layer's default first weights (σ about 1), "cured" hyperfan-in and ln σ² = −10. Prints the
alarm where it is due, and the figures on 1,000 pairs of the test set; draws cross entropy over steps, ln 100 dashed.

Exit code 1 unless the naive one is at chance and the cured one is not.
"""

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from midframe.bench.classify import open_test_set, score_classifier, sound_alarm
from midframe.data.mnist import TwoDigits, read_mnist
from midframe.models.load import build

FORMS = {"naive": "bayesian-hypernet-s/naive", "cured": "bayesian-hypernet-s"}
BATCH, PICTURES, SEED = 32, 1000, 1
CHANCE = math.log(100)
COLOURS = {"naive": "#c0392b", "cured": "#2471a3"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--output", type=Path, default=Path("docs/images/hypernet.png"))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    curves, alarms = {}, {}
    for name, system in FORMS.items():
        curves[name], alarms[name] = train(name, system, given.steps, given.rate)
    draw(curves, given.output)
    print(given.output)
    sys.exit(0 if alarms["naive"] and not alarms["cured"] else 1)


def train(name: str, system: str, steps: int, rate: float) -> tuple[list[float], str]:
    """Cross entropy of each step, nats, and the alarm."""
    torch.manual_seed(SEED)
    model: Any = build(system)
    model.train()
    source = TwoDigits(*read_mnist("train"))
    optimiser = torch.optim.Adam(model.parameters(), rate)
    curve, began = [], time.monotonic()
    for step in range(steps):
        parts = model.loss(source.sample(torch.Generator().manual_seed(step), BATCH))
        optimiser.zero_grad()
        parts["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        curve.append(parts["cross entropy"].item())
    seconds = time.monotonic() - began
    model.eval()
    pictures, truth = open_test_set(model.classes, PICTURES)
    found = score_classifier(model, pictures, truth)
    last = sum(curve[-50:]) / len(curve[-50:])
    print(
        f"{name}: cross entropy {curve[0]:.2f} at first, {last:.3f} in the last 50 steps, {seconds:.0f} s; "
        f"test, mean weights: {found.mean.cross_entropy:.3f}, {found.mean.accuracy:.1%} right; "
        f"one drawing: {found.single.cross_entropy:.3f}, {found.single.accuracy:.1%} right",
        flush=True,
    )
    alarm = sound_alarm(model, found.single.cross_entropy, pictures[:BATCH], rate)
    print(f"  {alarm or 'no alarm'}", flush=True)
    return curve, alarm


def draw(curves: dict[str, list[float]], path: Path) -> None:
    """Means of 20 steps, on a logarithmic axis: the naive one begins far above chance."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for name, curve in curves.items():
        width = min(20, len(curve))
        means = [sum(curve[k : k + width]) / width for k in range(0, len(curve) - width + 1, width)]
        panel.plot([width * (k + 1) for k in range(len(means))], means, color=COLOURS[name], label=name)
    panel.axhline(CHANCE, color="black", linestyle="--", linewidth=1, label="ln 100: chance")
    panel.set(xlabel="step", ylabel="cross entropy, nats", yscale="log")
    panel.legend()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
