"""Gaussian process regression in one dimension by a Kalman smoother: exact, and linear in the number of points.

A process whose covariance is Matérn 3/2 or 5/2 is a linear stochastic differential equation of 2 or 3 states (f and its
derivatives), so going through the points forwards and backwards gives what a dense matrix gives at cubic cost.

Source: Hartikainen and Särkkä, "Kalman filtering and smoothing solutions to temporal Gaussian process regression
models", MLSP 2010.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError

Smoothness = Literal["matern32", "matern52"]


def smooth_matern(
    x: Float[Tensor, " n"],
    y: Float[Tensor, "l n"],
    noise: Float[Tensor, "l n"],
    at: Float[Tensor, " q"],
    *,
    lengthscale: Float[Tensor, ""],
    amplitude: Float[Tensor, ""],
    kind: Smoothness = "matern52",
) -> tuple[Float[Tensor, "l q"], Float[Tensor, "l q"]]:
    """Mean and variance at `at` of l processes of mean 0, known by y at x with variances `noise`; O(n + q).

    x and `at` in any order; no x twice. `amplitude` is the process's variance. Differentiable; computed in float64.
    Raises ContractError if shapes do not fit or an x comes twice.
    """
    x, y, noise, at = (value.double() for value in (x, y, noise, at))
    lengthscale, amplitude = lengthscale.double().reshape(()), amplitude.double().reshape(())
    if y.shape != noise.shape or y.shape[1:] != x.shape or len(torch.unique(x)) != len(x):
        raise ContractError(
            f"smooth_matern: one value and one variance for each of {len(x)} different x, not {tuple(y.shape)} and "
            f"{tuple(noise.shape)} (L N)."
        )
    times, place = torch.unique(torch.cat((x, at)), return_inverse=True)
    known: dict[int, int] = {where: k for k, where in enumerate(place[: len(x)].tolist())}
    steps, spread, stationary = _system(times.diff(), lengthscale, amplitude, kind)

    states = y.new_zeros(len(y), stationary.shape[0], 1)
    covariance = stationary.expand(len(y), -1, -1)
    filtered, predicted = [], []
    for k in range(len(times)):
        if k > 0:
            states = steps[k - 1] @ states
            covariance = steps[k - 1] @ covariance @ steps[k - 1].T + spread[k - 1]
            predicted.append((states, covariance))
        if k in known:
            n = known[k]
            gain = covariance[:, :, :1] / (covariance[:, :1, :1] + noise[:, n, None, None])
            states = states + gain * (y[:, n, None, None] - states[:, :1])
            covariance = covariance - gain @ covariance[:, :1]
            covariance = (covariance + covariance.mT) / 2
        filtered.append((states, covariance))

    smoothed = [filtered[-1]]
    for k in range(len(times) - 2, -1, -1):
        (states, covariance), (ahead, ahead_covariance) = filtered[k], predicted[k]
        gain = torch.linalg.solve(ahead_covariance, steps[k] @ covariance).mT
        later, later_covariance = smoothed[-1]
        states = states + gain @ (later - ahead)
        smoothed.append((states, covariance + gain @ (later_covariance - ahead_covariance) @ gain.mT))
    smoothed.reverse()
    mean = torch.stack([states[:, 0, 0] for states, _ in smoothed], 1)
    variance = torch.stack([covariance[:, 0, 0] for _, covariance in smoothed], 1)
    asked = place[len(x) :]
    return mean[:, asked], variance[:, asked].clamp(min=0)


def _system(
    gaps: Float[Tensor, " n"], lengthscale: Tensor, amplitude: Tensor, kind: Smoothness
) -> tuple[Float[Tensor, "n d d"], Float[Tensor, "n d d"], Float[Tensor, "d d"]]:
    """For each gap how states go on and the covariance of what comes in on the way; and the covariance of a state."""
    order = 2 if kind == "matern32" else 3
    rate = math.sqrt(2 * order - 1) / lengthscale
    # with time counted in 1/rate and derivatives by it every state has the amplitude as its unit, whatever the gaps are
    s = rate * gaps
    zero, one = torch.zeros_like(s), torch.ones_like(s)
    if kind == "matern32":
        rows = [one + s, s, -s, one - s]
        stationary = amplitude * torch.eye(2, dtype=s.dtype, device=s.device)
    else:
        rows = [
            one + s + s**2 / 2, s + s**2, s**2 / 2,
            -(s**2) / 2, one + s - s**2, s - s**2 / 2,
            s**2 / 2 - s, s**2 - 3 * s, one - 2 * s + s**2 / 2,
        ]  # fmt: skip
        shape = [[1, 0, -1 / 3], [0, 1 / 3, 0], [-1 / 3, 0, 1]]
        stationary = amplitude * torch.tensor(shape, dtype=s.dtype, device=s.device)
    steps = torch.stack([row + zero for row in rows], 1).view(-1, order, order) * (-s).exp()[:, None, None]
    spread = stationary - steps @ stationary @ steps.mT
    return steps, (spread + spread.mT) / 2, stationary
