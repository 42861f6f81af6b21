"""Contract checks, public so that systems of other packages can run them on themselves.

    from midframe.testing import check_synthesizer
    def test_mine(): check_synthesizer(MyModel(width=8))

A check raises AssertionError that says which claim of the `Contract` does not hold. What is declared is measured.
"""

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from midframe.errors import ContractError
from midframe.types import Contract, Synthesizer

STILL = 1e-6  # a still window comes back within this
SYMMETRIC = 1e-3  # mean difference allowed between a pair at t and the swapped pair at 1−t
ALONE = 1e-5  # a batch of two against two batches of one


def check_synthesizer(
    model: Synthesizer, *, size: tuple[int, int] | None = None, seed: int = 0, still: float | None = STILL
) -> None:
    """Measure what `model.contract` claims, on small random pictures.

    size   (height, width) to test at; None takes the smallest that the contract allows above 48 × 64, and also
           checks that `multiple` and `minimum` are sufficient
    still  a window of equal frames must come back within this (in units of [0, 1], values beyond 1 among them);
           None for a system that does not promise it, such as one that predicts or enlarges

    Checked: shape, dtype and finiteness of the answer; times outside the contract refused with ContractError; same
    answer twice and with another clip in between (no state on the object); a batch is its members; input not
    written to; the smallest size; still windows; symmetry in time and maps of times where they are claimed; of a
    model that enlarges, sizes from the least to the most it claims, and no others.
    """
    contract = model.contract
    _check_contract(contract)
    generator = torch.Generator().manual_seed(seed)
    height, width = size or (_fit(48, contract), _fit(64, contract))
    clip, other = _clip(contract, height, width, generator), _clip(contract, height, width, generator)
    times = _times(contract)

    before = clip.clone()
    state = model.prepare(clip, generator=_seeded(seed))
    answers = [model.render(state, t) for t in times]
    assert torch.equal(clip, before), "prepare or render writes into the frames it is given"
    for t, answer in zip(times, answers, strict=True):
        _check_answer(answer, clip, contract, t)

    between = model.prepare(other, generator=_seeded(seed))
    model.render(between, times[0])
    for t, answer in zip(times, answers, strict=True):
        assert torch.equal(model.render(state, t), answer), f"t={t}: the answer changes when another clip comes between"
    if not contract.random:
        again = model.render(model.prepare(clip), times[0])
        assert torch.equal(again, answers[0]), "random=False, but two runs differ"

    t = times[0]
    both = model.render(model.prepare(torch.cat([clip, other]), generator=_seeded(seed)), t)
    assert both.shape[0] == 2, "a batch of two gives another number of pictures"
    if not contract.random:
        single = torch.cat([answers[0], model.render(between, t)])
        assert _far(both, single) <= ALONE, "a batch of two differs from its members alone"
        if contract.times is None:
            mixed = model.render(model.prepare(torch.cat([clip, clip])), torch.tensor([times[0], times[-1]]))
            ends = torch.cat([answers[0], answers[-1]])
            assert _far(mixed, ends) <= ALONE, "one time for each member of a batch differs from the times alone"

    if contract.maps and not contract.random:
        plane = torch.full((1, 1, height, width), times[0])
        assert _far(model.render(state, plane), answers[0]) <= ALONE, "a map of one time differs from that time"
        plane[..., : height // 2, :] = contract.covers[0]
        plane[..., height // 2 :, :] = contract.covers[1]
        _check_answer(model.render(state, plane), clip, contract, times[0])

    if contract.enlarges:
        side = _fit(8 if contract.scale[0] >= 1 else 48, contract)
        _check_sizes(model, model.prepare(clip[..., :side, :side].contiguous()), t, side)

    for refused in _refused(contract):
        try:
            model.render(state, refused)
        except ContractError:
            continue
        raise AssertionError(f"t={refused} is outside the contract and was not refused with ContractError")
    try:
        model.prepare(clip[:, :, :1].expand(-1, -1, 2, -1, -1))
    except ContractError:
        pass
    else:
        raise AssertionError("frames of two channels were not refused with ContractError")

    if size is None:
        small = _clip(contract, _fit(contract.minimum, contract), _fit(contract.minimum, contract), generator)
        _check_answer(model.render(model.prepare(small, generator=_seeded(seed)), t), small, contract, t)
    if still is not None:
        frozen = (clip[:, :1] * 1.4 - 0.2).expand_as(clip).contiguous()  # beyond [0, 1], as video frames may be
        stays = model.render(model.prepare(frozen, generator=_seeded(seed)), t)
        assert _far(stays, frozen[:, 0]) <= still, f"a still window moves by {_far(stays, frozen[:, 0]):.2e}"
    if contract.symmetric:
        first, last = contract.covers
        swapped = model.prepare(clip.flip(1), generator=_seeded(seed))
        for t, answer in zip(times, answers, strict=True):
            gap = (model.render(swapped, first + last - t) - answer).abs().mean().item()
            assert gap <= SYMMETRIC, f"symmetric=True, but the swapped pair at 1−{t} differs by {gap:.2e} in the mean"


def _check_contract(contract: Contract) -> None:
    first, last = contract.covers
    assert first < last, f"covers {contract.covers} holds no time"
    assert contract.multiple >= 1 and contract.minimum >= 1, "multiple and minimum are at least 1"
    assert 0 < contract.scale[0] <= contract.scale[1], f"scale {contract.scale} is not a range"
    if contract.times is not None:
        assert contract.times, "times is empty: use None for any time"
        assert all(first <= t <= last for t in contract.times), "times lie outside covers"


def _check_answer(answer: Tensor, clip: Tensor, contract: Contract, t: float) -> None:
    expected = (clip.shape[0], contract.channels, *clip.shape[-2:])
    if contract.enlarges:
        least, most = contract.scale
        times = [made / given for made, given in zip(answer.shape[-2:], clip.shape[-2:], strict=True)]
        assert tuple(answer.shape[:2]) == expected[:2], f"t={t}: shape {tuple(answer.shape)} of {expected[:2]}"
        assert all(least <= one <= most for one in times), f"t={t}: {times} times the size, scale is {contract.scale}"
    else:
        assert tuple(answer.shape) == expected, f"t={t}: shape {tuple(answer.shape)}, expected {expected}"
    assert answer.dtype == clip.dtype, f"t={t}: dtype {answer.dtype}, frames are {clip.dtype}"
    assert bool(torch.isfinite(answer).all()), f"t={t}: the answer holds NaN or infinity"


def _check_sizes(model: Synthesizer, state: Any, t: float, side: int) -> None:
    """Of a state of frames of side × side pixels."""
    least, most = model.contract.scale
    for times in {least, (least + most) / 2, most}:
        size = (round(side * times), round(side * times))
        made = model.render(state, t, size)
        assert tuple(made.shape[-2:]) == size, f"asked for {size}, made {tuple(made.shape[-2:])}"
    for times in (least / 2, 2 * most):
        try:
            model.render(state, t, (round(side * times), round(side * times)))
        except ContractError:
            continue
        raise AssertionError(f"{times:g} times the size is outside the scale and was not refused with ContractError")


def _clip(contract: Contract, height: int, width: int, generator: torch.Generator) -> Tensor:
    # a smooth random picture drifting by two pixels a frame: something that flow can follow
    count = len(contract.inputs) if contract.inputs is not None else 3
    coarse = torch.rand(1, contract.channels, 8, 8, generator=generator)
    wide = torch.nn.functional.interpolate(
        coarse, (height, width + 2 * count), mode="bicubic", align_corners=True
    ).clamp(0, 1)
    return torch.stack([wide[..., 2 * k : 2 * k + width] for k in range(count)], 1).contiguous()


def _fit(length: int, contract: Contract) -> int:
    wanted = max(length, contract.minimum)
    return -(-wanted // contract.multiple) * contract.multiple


def _times(contract: Contract) -> list[float]:
    if contract.times is not None:
        return [float(t) for t in contract.times]
    first, last = contract.covers
    return [first + (last - first) * part for part in (0.25, 0.5, 0.8)]


def _refused(contract: Contract) -> list[Any]:
    first, last = contract.covers
    outside: list[float | Fraction] = [first - 0.5, last + 0.5]
    if contract.times is not None:
        step = Fraction(1, 1000)
        outside.append(float(contract.times[0] + step))
    return outside


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _far(one: Tensor, other: Tensor) -> float:
    return (one - other).abs().max().item()
