"""Region priors: nothing changes at first, one thing has one code, numbers of areas mean nothing."""

import pytest
import torch

from midframe.errors import ContractError, UsageError
from midframe.nn.region_prior import SPREAD, Fusion, RegionPrior, match
from midframe.ops.regions import find_regions

WIDTHS = (6, 8)


@pytest.fixture
def prior():
    torch.manual_seed(0)
    return RegionPrior(WIDTHS).eval()


def scene(*offsets, size=64, seed=5):
    """A pair for each offset: a red square on grey stripes, moved by so many pixels; its label is 2, theirs are 1."""
    torch.manual_seed(seed)
    frames = torch.full((len(offsets), 2, 3, size, size), 0.5)
    frames[..., ::8] += 0.2
    frames += 0.02 * torch.rand_like(frames)
    labels = torch.ones(len(offsets), 2, size, size, dtype=torch.uint8)
    for pair, offset in enumerate(offsets):
        for k, x in enumerate((12, 12 + offset)):
            frames[pair, k, :, 20:40, x : x + 20] = torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)
            labels[pair, k, 20:40, x : x + 20] = 2
    return frames, labels


def codes(prior, frames, labels):
    return prior.draw(prior.describe(frames, labels)[1], frames)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 7)])
def test_a_fresh_fusion_is_the_identity(kernel, size):
    features = torch.randn(2, 4, *size)
    assert torch.equal(Fusion(4, 8, kernel)(features, torch.randn(2, 8, *size)), features)


def test_one_thing_has_one_code_in_both_frames(prior):
    for mode in (False, True):
        prior.train(mode)
        prior.drop = 0.0
        found = codes(prior, *scene(3))[0]
        same = (found[0, 2] - found[1, 2]).norm()
        other = (found[0, 2] - found[0, 1]).norm()
        assert same < 0.1 * other


@pytest.mark.parametrize("training", [False, True])
def test_how_areas_are_numbered_does_not_matter(prior, training):
    prior.train(training)
    frames, labels = scene(3, 5)
    renumbered = labels.clone()
    renumbered[:, 0] = torch.tensor([0, 2, 1], dtype=torch.uint8)[labels[:, 0].long()]
    renumbered[:, 1] = torch.tensor([0, 200, 7], dtype=torch.uint8)[labels[:, 1].long()]
    for one, other in zip(prior(frames, (32, 32), labels)[1], prior(frames, (32, 32), renumbered)[1], strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_what_has_no_area_has_no_code(prior):
    frames, labels = scene(3)
    made, _ = prior(frames, (32, 32), torch.where(labels == 2, 0, labels))
    assert made[0, 0, :, 11:19, 7:15].abs().max() == 0  # a pixel of soft edge less
    assert made[0, 0, :, :8].abs().amin((1, 2)).gt(0).all()
    assert prior(frames, (32, 32), torch.zeros_like(labels))[0].abs().max() == 0


def test_the_map_has_the_size_asked_for_and_hints_halve(prior):
    frames, labels = scene(3)
    for size in ((64, 64), (32, 32), (26, 20), (128, 128)):
        made, hints = prior(frames, size, labels)
        assert made.shape == (1, 2, 8, *size)
        assert [hint.shape for hint in hints] == [(1, 2, 8, *size), (1, 2, 32, size[0] // 2, size[1] // 2)]
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    assert torch.equal(match(ramp, (4, 4))[0, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))


def test_areas_are_found_if_none_are_given_or_by_whom_one_likes(prior):
    frames, labels = scene(3)
    found = prior(frames, (32, 32))[0]
    assert torch.equal(found, prior(frames, (32, 32), find_regions(frames))[0])
    own = RegionPrior(WIDTHS, find=lambda seen: labels).eval()
    own.load_state_dict(prior.state_dict())
    assert torch.equal(own(frames, (32, 32))[0], prior(frames, (32, 32), labels)[0])


def test_codes_are_drawn_in_training_only_and_the_same_for_the_same_frames(prior):
    frames, labels = scene(3, 5)
    still = codes(prior, frames, labels)
    assert torch.equal(still, codes(prior, frames, labels))
    prior.train()
    prior.drop = 0.0
    state = torch.random.get_rng_state()
    drawn = codes(prior, frames, labels)
    assert torch.equal(drawn, codes(prior, frames, labels))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.allclose(codes(prior, frames[1:], labels[1:]), drawn[1:], atol=1e-6)
    away = (drawn - still)[:, :, 1:]
    assert 0 < away.abs().max() < 6 * SPREAD


def test_noise_is_standard_normal_and_areas_are_dropped_as_often_as_said():
    torch.manual_seed(0)
    prior = RegionPrior(WIDTHS, drop=0.1).train()
    rows = torch.randn(300, 2, 20, 9)
    noise, keep = prior._chance(rows, torch.rand(300, 2, 3, 16, 16))
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
    whole = (~keep).flatten(1).all(1)  # pairs that do without any
    assert 0.05 < whole.float().mean() < 0.17
    assert 0.07 < (~keep[~whole]).float().mean() < 0.13


def test_gradients_reach_every_parameter(prior):
    for conv in [part for fusion in prior.fusions for part in (fusion.tell, fusion.mix)]:
        torch.nn.init.normal_(conv.weight, std=0.1)  # as after some steps: they begin at 0
    prior.train()
    prior.drop = 0.0
    frames, labels = scene(3, 5)
    _, hints = prior(frames, (32, 32), labels)
    total = torch.zeros(())
    for stage, width in enumerate(WIDTHS):
        features = torch.randn(4, width, 32 >> stage, 32 >> stage)
        total = total + prior.fuse([hint.flatten(0, 1) for hint in hints], stage, features).square().mean()
    total.backward()
    assert [name for name, value in prior.named_parameters() if value.grad is None or not value.grad.any()] == []
    assert all(value.grad.isfinite().all() for value in prior.parameters())


def test_wrong_settings_and_labels_are_refused(prior):
    for settings in ({"widths": ()}, {"widths": (0,)}, {"widths": (4,), "drop": 1.0}, {"widths": (4,), "channels": 0}):
        with pytest.raises(UsageError, match="region prior takes"):
            RegionPrior(**settings)
    frames, labels = scene(3)
    for wrong in (labels.float(), labels == 1, labels[:, :1], labels[0]):
        with pytest.raises(ContractError, match="are whole numbers, 1 2 H W"):
            prior(frames, (32, 32), wrong)
    with pytest.raises(ContractError, match="not in the proportions"):
        prior(frames, (32, 32), labels[..., :40])
    with pytest.raises(ContractError, match=r"0 \(none\) to 255; got -1 to 1"):
        prior(frames, (32, 32), labels.short() * 2 - 3)
