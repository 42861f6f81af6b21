"""PCK, the percentage of correct keypoints, as the JHMDB protocol of label propagation counts it.

Jhuang et al., "Towards understanding action recognition", ICCV 2013 (the data); details as in videowalk (Jabri et al.,
NeurIPS 2020). Joints are given in the first frame and followed. In every later frame a joint is correct if it is within
α times the frame's own measure of where it should be: 0.6 times the diagonal of the box around the joints that are
visible in that frame. A joint that was lost, or that is not visible, is left out of the count. The figure is the mean
over joints of each joint's rate over all frames of all films.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from midframe.errors import UsageError

SHARE = 0.6  # of the box's diagonal


def find_measure(truth: Float[np.ndarray, "j 2"], visible: Bool[np.ndarray, " j"]) -> float:
    """0.6 times the diagonal of the box around a frame's visible joints, in their unit; 0 if there are none."""
    if not visible.any():
        return 0.0
    return float(SHARE * np.linalg.norm(np.ptp(truth[visible], axis=0)))


def pck(
    found: Sequence[Float[np.ndarray, "n j 2"]],
    truth: Sequence[Float[np.ndarray, "n j 2"]],
    visible: Sequence[Bool[np.ndarray, "n j"]],
    *,
    alpha: float = 0.1,
) -> float:
    """Of films, each N frames of J joints, (x, y) in pixels; frame 0, which is given, does not count. 0…1.

    found    −1 in both coordinates: the joint was lost
    visible  joints without a true place do not count

    Raises UsageError for films that do not fit together, and if there is nothing to count.
    """
    if not len(found) == len(truth) == len(visible) or not len(found):
        raise UsageError(f"PCK of {len(found)} films against {len(truth)}: as many of each, and at least one.")
    joints = truth[0].shape[1]
    right, counted = np.zeros(joints), np.zeros(joints)
    for made, true, shown in zip(found, truth, visible, strict=True):
        if made.shape != true.shape or true.shape[:2] != shown.shape or true.shape[1] != joints:
            raise UsageError(f"PCK: {made.shape} found, {true.shape} true, {shown.shape} visible do not fit together.")
        for frame in range(1, len(true)):
            measure = find_measure(true[frame], shown[frame])
            judged = shown[frame] & ~(made[frame] == -1).all(1) & (measure > 0)
            distance = np.linalg.norm(made[frame] - true[frame], axis=1)
            right += judged & (distance <= alpha * measure)
            counted += judged
    if not counted.any():
        raise UsageError("PCK: no joint is visible and found in any frame after the first.")
    return float((right[counted > 0] / counted[counted > 0]).mean())
