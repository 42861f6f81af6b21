"""How well made frames move: tOF compares motion with the truth's, the warping error needs no truth.

Single-frame figures do not see flicker or a limb that jumps. Both figures depend on the flow estimator; the ones here
are OpenCV's and deterministic, so values compare within midframe, tOF also with XVFI's table.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import UsageError
from midframe.metrics.pair import as_pair

Flow = Literal["farneback", "dis"]
Crop = Literal["none", "tecogan"]

# pyramid scale, levels, window, iterations, polynomial window and deviation, flags: TecoGAN's metrics.py
FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)


def flow_error(
    made: Sequence[NDArray | Tensor],
    truth: Sequence[NDArray | Tensor],
    *,
    flow: Flow = "farneback",
    crop: Crop = "none",
    peak: float = 1.0,
) -> float:
    """tOF: mean over neighbouring frames of mean ‖OF(truthₖ₋₁, truthₖ) − OF(madeₖ₋₁, madeₖ)‖₂, in pixels; 0 is best.

    made, truth  consecutive pictures, two or more, of the same moments; H W 3 arrays or 3 H W tensors, white at `peak`
    flow         "farneback" as published, or "dis" (DIS, medium), which follows large motion better
    crop         "none" as XVFI; "tecogan": the flow fields are cut to a centred multiple of 32 first, at least 16
                 pixels smaller each way (its function crop_8x8)

    Pictures are clamped, rounded to 8 bits and made grey (0.299 R + 0.587 G + 0.114 B, rounded) before the flow. The
    papers write ‖·‖₁, their code takes the Euclidean length of each vector and its mean over pixels; so does this.
    TecoGAN leaves out the first and last two frames of a clip; hand in the frames that count.

    Source: Chu et al., "Learning Temporal Coherence via Self-Supervision for GAN-based Video Generation" (TecoGAN), ACM
    TOG 2020, arXiv 1811.09393, and its metrics.py; Sim et al., XVFI, ICCV 2021, utils.py.

    Raises UsageError if the sequences are shorter than two, differ in length or size, or hold no pictures.
    """
    if len(made) != len(truth):
        raise UsageError(f"tOF: {len(made)} made frames and {len(truth)} true ones; they must be the same moments.")
    for one, other in zip(made, truth, strict=True):
        as_pair(one, other, peak)  # refuses sizes that differ
    lengths = [
        float(np.sqrt(np.sum((a - b).astype(np.float64) ** 2, axis=-1)).mean())
        for a, b in zip(
            find_motion(truth, flow=flow, crop=crop, peak=peak),
            find_motion(made, flow=flow, crop=crop, peak=peak),
            strict=True,
        )
    ]
    return float(np.mean(lengths))


def find_motion(
    frames: Sequence[NDArray | Tensor], *, flow: Flow = "farneback", crop: Crop = "none", peak: float = 1.0
) -> list[NDArray[np.float32]]:
    """The flow between neighbouring frames that `flow_error` compares, H W 2 in pixels each.

    Raises UsageError as `flow_error` does.
    """
    _check_length(frames, "tOF")
    _check_choice(flow, ("farneback", "dis"), "flow")
    _check_choice(crop, ("none", "tecogan"), "crop")
    greys = [_grey(as_pair(frame, frame, peak)[0], peak) for frame in frames]
    if len({grey.shape for grey in greys}) > 1:
        raise UsageError(f"tOF: frames change their size: {sorted({grey.shape for grey in greys})} (H W).")
    estimate = _farneback if flow == "farneback" else _dis
    fields = [estimate(first, second) for first, second in pairwise(greys)]
    return [_crop_as_tecogan(field) for field in fields] if crop == "tecogan" else fields


def warping_error(
    frames: Sequence[NDArray | Tensor],
    *,
    reference: Sequence[NDArray | Tensor] | None = None,
    flows: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]] | None = None,
    peak: float = 1.0,
) -> float:
    """E_warp: squared change along the motion, mean over neighbouring frames; 0 is best, a blurred film scores well.

    For frames Vₖ, Vₖ₊₁ in [0, 1] (divided by `peak`, not rounded):
    E = Σₓ M(x) ‖Vₖ(x) − Vₖ₊₁(x + F(x))‖² / Σₓ M(x), ‖·‖² summed over channels, F the flow from k to k+1, bilinear.
    M leaves out what Ruder et al. call unreliable: x + F(x) outside the picture; occlusion, where with B the backward
    flow read at x + F(x), |F + B|² > 0.01 (|F|² + |B|²) + 0.5; motion boundaries, |∇u|² + |∇v|² > 0.01 |F|² + 0.002.
    The result is the mean of E over the pairs; a pair without reliable pixels is left out.

    frames     consecutive pictures, two or more; H W 3 arrays or 3 H W tensors
    reference  pictures whose motion is taken, of the same size, e.g. the true frames; None: `frames` themselves.
               Flow found on flickering frames bends to hide the flicker: give a reference where there is one
    flows      (forward, backward) of each pair, H W 2 in pixels, instead of a reference; None: DIS, medium

    Source: Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018, section 4.1 (with FlowNet2); mask: Ruder
    et al., "Artistic Style Transfer for Videos", GCPR 2016, equations 5 and 6, taken for the flow's own frame.

    Raises UsageError if there are fewer than two frames, lengths or sizes do not fit, or no pair has reliable pixels.
    """
    _check_length(frames, "The warping error")
    if reference is not None and flows is not None:
        raise UsageError("The warping error takes a reference or flows, not both.")
    shown = [as_pair(frame, frame, peak)[0] / peak for frame in frames]
    if flows is None:
        source = shown if reference is None else [as_pair(frame, frame, peak)[0] / peak for frame in reference]
        if len(source) != len(shown) or any(a.shape[:2] != b.shape[:2] for a, b in zip(source, shown, strict=True)):
            raise UsageError("The warping error needs as many reference frames as frames, of the same size.")
        greys = [_grey(image, 1.0) for image in source]
        if len({grey.shape for grey in greys}) > 1:
            raise UsageError("The warping error needs frames of one size.")
        flows = [(_dis(a, b), _dis(b, a)) for a, b in pairwise(greys)]
    if len(flows) != len(shown) - 1:
        raise UsageError(f"{len(shown)} frames need {len(shown) - 1} pairs of flows, got {len(flows)}.")
    errors = []
    for (first, second), (forward, backward) in zip(pairwise(shown), flows, strict=True):
        if first.shape != second.shape or not forward.shape == backward.shape == (*first.shape[:2], 2):
            raise UsageError(
                f"The warping error: frame {first.shape}, next {second.shape}, flow {forward.shape} (H W)."
            )
        mask = reliable(forward, backward)
        if mask.any():
            change = np.sum((first - _sample(second, forward)) ** 2, axis=-1)
            errors.append(float(change[mask].mean()))
    if not errors:
        raise UsageError("The warping error: the flow is nowhere reliable, in no pair of frames; a cut has none.")
    return float(np.mean(errors))


def reliable(forward: NDArray[np.float32], backward: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where `forward` (H W 2, pixels) can be trusted: inside, not occluded, not at a motion boundary.

    The three conditions of `warping_error`'s M; gradients by central differences, one-sided at the border.
    """
    height, width = forward.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    x, y = columns + forward[..., 0], rows + forward[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    back = _sample(backward, forward)
    lengths = np.sum(forward.astype(np.float64) ** 2, -1), np.sum(back.astype(np.float64) ** 2, -1)
    occluded = np.sum((forward.astype(np.float64) + back) ** 2, -1) > 0.01 * (lengths[0] + lengths[1]) + 0.5
    steps = sum(np.square(slope) for k in (0, 1) for slope in np.gradient(forward[..., k].astype(np.float64)))
    return np.asarray(inside & ~occluded & (steps <= 0.01 * lengths[0] + 0.002))


def _sample(image: NDArray, flow: NDArray) -> NDArray[np.float64]:
    """image(x + flow(x)), bilinear, edges repeated; written out, as cv2.remap rounds positions to 1/32 pixel."""
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    x = np.clip(columns + flow[..., 0], 0, width - 1).astype(np.float64)
    y = np.clip(rows + flow[..., 1], 0, height - 1).astype(np.float64)
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[..., None], (y - top)[..., None]
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float64)


def _grey(image: NDArray[np.float64], peak: float) -> NDArray[np.uint8]:
    codes = np.rint(image * (255 / peak)).clip(0, 255).astype(np.uint8)
    return codes[..., 0] if codes.shape[2] == 1 else np.asarray(cv2.cvtColor(codes, cv2.COLOR_RGB2GRAY), np.uint8)


def _farneback(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.calcOpticalFlowFarneback(first, second, None, *FARNEBACK), np.float32)  # type: ignore[call-overload]


def _dis(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    if min(first.shape) < 16:
        raise UsageError(f"DIS flow needs pictures of at least 16×16, got {first.shape} (H W).")
    cv2.setNumThreads(1)  # what DIS finds depends on how many there are
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(estimator.calc(first, second, None), np.float32)  # type: ignore[call-overload]


def _crop_as_tecogan(field: NDArray) -> NDArray:
    sides = []
    for length in field.shape[:2]:
        kept = length // 32 * 32
        while kept > length - 16:
            kept -= 32
        if kept <= 0:
            raise UsageError(f'tOF: crop="tecogan" leaves nothing of {field.shape[:2]} (H W); 48×48 is the least.')
        sides.append(slice((length - kept) // 2, (length - kept) // 2 + kept))
    return field[sides[0], sides[1]]


def _check_length(frames: Sequence[object], name: str) -> None:
    if len(frames) < 2:
        raise UsageError(f"{name} needs two consecutive frames or more, got {len(frames)}.")


def _check_choice(value: str, choices: tuple[str, ...], name: str) -> None:
    if value not in choices:
        raise UsageError(f"tOF: {name}={value!r}; choose {' or '.join(choices)}.")
