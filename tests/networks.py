"""What the tests of networks share: a training batch with known motion, a few steps of training."""

import os
from pathlib import Path

import torch

from midframe.types import Batch

SHARED = Path(os.environ.get("MIDFRAME_DATA", Path(__file__).parents[2] / "shared/data"))
REFERENCE = SHARED / "reference/rife_outputs.npz"


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def moving_batch(size=64, *, step=2, times=(0.5,), labels=False):
    """Two frames of a smooth picture that moves by 2 × `step` pixels to the left, and the truth at `times`."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(2, 3, 8, 8, generator=generator)
    wide = torch.nn.functional.interpolate(coarse, (size, size + 2 * step), mode="bicubic").clamp(0, 1)

    def at(t):
        start = round(2 * step * t)
        return wide[..., start : start + size]

    frames = torch.stack([at(0), at(1)], 1)
    targets = torch.stack([at(t) for t in times], 1)
    flows = {}
    if labels:
        shift = torch.tensor([1.0, 0.0]).view(1, 1, 2, 1, 1)
        offsets = torch.tensor(times).view(1, -1, 1, 1, 1) * 2 * step
        whole = torch.ones(2, len(times), 1, size, size)
        # the picture at t is that of frame 0 read 2·step·t to the right
        flows = {"flow_t0": shift * offsets * whole, "flow_t1": -shift * (2 * step - offsets) * whole}
    return Batch(
        frames, torch.tensor([0.0, 1.0]).expand(2, 2), targets, torch.tensor(times).expand(2, len(times)), flows
    )


def train_a_little(model, batch, *, steps, rate=2e-3, bf16=False):
    """The loss before each step and after the last."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model.loss(batch)["loss"]
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        losses.append(model.loss(batch)["loss"].item())
    return losses


def drifting_batch(channels=1, *, inputs=3, targets=2, size=32, step=2):
    """Two smooth pictures that move by `step` pixels to the left each frame: the past and what comes after it."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(2, channels, 6, 6, generator=generator)
    film = torch.nn.functional.interpolate(
        coarse, (size, size + step * (inputs + targets)), mode="bicubic", align_corners=True
    ).clamp(0, 1)
    frames = torch.stack([film[..., step * k : step * k + size] for k in range(inputs + targets)], 1)
    times = torch.arange(1.0 - inputs, 1.0 + targets).expand(2, -1)
    return Batch(frames[:, :inputs], times[:, :inputs], frames[:, inputs:], times[:, inputs:])
