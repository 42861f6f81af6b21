"""Where shapes go in sampled futures, against where they truly go: KL divergences, see `midframe.bench.futures`.

    python benchmarks/futures.py visual-dynamics-s [--weights FILE.safetensors] [--pictures 100] [--samples 100]
    python benchmarks/futures.py visual-dynamics-s visual-dynamics-s/prior --weights A.safetensors B.safetensors

A row for each model, with the weights named in the same order (without --weights the networks are untrained), one for
true motion and one for none, as Markdown. Pictures have the size that the first model is trained on.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from midframe.bench.futures import Futures, format_table
from midframe.cli.progress import counting
from midframe.models.load import build
from midframe.models.visual_dynamics import VisualDynamics
from midframe.weights import load_state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names of `midframe models`, with or without a variant")
    parser.add_argument("--weights", nargs="+", type=Path, default=[], help="one file for each model")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.weights and len(options.weights) != len(options.models):
        parser.error(f"{len(options.models)} models and {len(options.weights)} files of weights")

    models = []
    for name in options.models:
        model = build(name, options.device)
        if not isinstance(model, VisualDynamics):
            parser.error(f"{name} is not a form of visual-dynamics")
        models.append(model)
    for model, path in zip(models, options.weights, strict=False):
        model.load_state_dict(load_state(path, device=torch.device(options.device)))
    futures = Futures(models[0].size, pictures=options.pictures, samples=options.samples)
    rows = [("truth", futures.score_truth()), ("still", futures.score_still())]
    for name, model in zip(options.models, models, strict=True):
        with counting(name, quiet=False) as count:
            rows.append((name, futures.score(model, options.device, on_progress=count)))
    print(format_table(rows))


if __name__ == "__main__":
    main()
