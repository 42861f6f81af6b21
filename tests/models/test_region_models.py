"""Region priors in the models that take them: a trained model goes on as it was, and has something to learn from."""

import pytest
import torch
from networks import count, moving_batch, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models.ifrnet import IFRNet
from midframe.models.load import build
from midframe.models.rife import RIFE
from midframe.testing import check_synthesizer
from midframe.types import Batch

TINY = {
    "ifrnet": (IFRNet, {"widths": (8, 8, 12, 16), "side": 8}),
    "ifrnet at half the size": (IFRNet, {"widths": (8, 8, 12, 16), "side": 8, "scale": 0.5}),
    "rife": (RIFE, {"widths": (8, 8, 8), "context": 2}),
    "rife, any time, 4K": (RIFE, {"widths": (8, 8, 8), "context": 2, "any_time": True, "flow_scale": 0.5}),
}
every = pytest.mark.parametrize("name", TINY)
each = pytest.mark.parametrize("name", ["ifrnet", "rife"])


def make(name, **more):
    torch.manual_seed(0)
    kind, settings = TINY[name]
    return kind(**settings, **more).eval()


def stir(model):
    """As after some training: nothing is exactly 0."""
    torch.manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.03 * torch.randn_like(value))
    return model


def with_labels(batch, labels):
    return Batch(batch.frames, batch.times, batch.targets, batch.target_times, {**batch.labels, "regions": labels})


@pytest.mark.parametrize(("name", "more"), [("ifrnet-s", 109_850), ("rife-paper", 257_064), ("rife-paper-m", 257_064)])
def test_the_prior_adds_so_many_parameters_and_renames_none(name, more):
    plain, told = build(name, "meta"), build(f"{name}/regions", "meta")
    assert count(told) - count(plain) == more
    theirs = told.state_dict()
    assert all(theirs[key].shape == value.shape for key, value in plain.state_dict().items())
    assert {key.partition(".")[0] for key in theirs.keys() - plain.state_dict().keys()} <= {"regions", "flow_hints"}


@every
def test_with_the_weights_of_the_plain_model_it_makes_the_very_same_frames(name):
    plain, told = make(name), make(name, regions=True)
    told.load_state_dict(plain.state_dict(), strict=False)
    side = 2 * plain.contract.multiple
    frames = torch.rand(2, 2, 3, side, side) * 1.4 - 0.2  # beyond [0, 1], as video frames may be
    with torch.no_grad():
        assert torch.equal(told(frames, 0.5), plain(frames, 0.5))


@each
def test_and_the_very_same_loss(name):
    plain, told = make(name).train(), make(name, regions=True).train()
    told.load_state_dict(plain.state_dict(), strict=False)
    batch = moving_batch(64, labels=True)
    with torch.no_grad():
        expected, found = plain.loss(batch), told.loss(batch)
    assert {part: value.item() for part, value in found.items()} == {
        part: value.item() for part, value in expected.items()
    }


@every
def test_the_contract_is_kept_with_a_prior(name):
    with torch.no_grad():
        check_synthesizer(stir(make(name, regions=True)), still=None)


@each
def test_areas_matter_and_their_numbers_do_not(name):
    model = stir(make(name, regions=True))
    frames = torch.rand(1, 2, 3, 64, 64)
    labels = torch.ones(1, 2, 64, 64, dtype=torch.uint8)
    labels[..., 16:48, 16:48] = 2
    with torch.no_grad():
        made = {
            key: model.render(model.prepare(frames, regions=maps), 0.5)
            for key, maps in {"one": labels, "other": 9 - 3 * labels, "none": 0 * labels}.items()
        }
        again = model.render(model.prepare(frames, regions=labels.int()), 0.5)
    assert torch.equal(again, made["one"])
    assert torch.allclose(made["one"], made["other"], atol=1e-5)
    assert (made["one"] - made["none"]).abs().max() > 1e-4


@each
def test_a_segmentation_of_ones_own_is_asked(name):
    labels = torch.randint(0, 5, (1, 2, 32, 32), dtype=torch.uint8)
    told = stir(make(name, regions=lambda frames: labels))
    frames = torch.rand(1, 2, 3, 64, 64)
    with torch.no_grad():
        known = stir(make(name, regions=True))
        assert torch.equal(told(frames, 0.5), known.render(known.prepare(frames, regions=labels), 0.5))


@each
def test_training_takes_label_maps_of_the_batch(name):
    model = stir(make(name, regions=True))  # not training: no chance
    batch = moving_batch(64, times=(0.5, 0.5))
    labels = torch.randint(0, 5, (2, 2, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        found = model.loss(with_labels(batch, labels))["loss"]
        assert torch.equal(model.loss(with_labels(batch, labels))["loss"], found)
        assert not torch.equal(model.loss(batch)["loss"], found)
        assert make(name).loss(with_labels(batch, labels))["loss"].isfinite()  # a plain model has no use for them


@each
def test_gradients_reach_every_parameter(name):
    model = stir(make(name, regions=True)).train()
    model.regions.drop = 0.0
    model.loss(moving_batch(64, labels=True))["loss"].backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())
    ours = [(key, value) for key, value in model.named_parameters() if key.startswith(("regions", "flow_hints"))]
    assert [key for key, value in ours if not value.grad.any()] == []


@each
def test_a_fresh_prior_begins_to_learn(name):
    model = make(name, regions=True).train()
    model.regions.drop = 0.0
    before = {key: value.clone() for key, value in model.named_parameters()}
    losses = train_a_little(model, moving_batch(64, labels=True), steps=5)
    assert losses[-1] < losses[0]
    assert [key for key, value in model.named_parameters() if torch.equal(value, before[key])] == []


@pytest.mark.parametrize("name", ["ifrnet", "rife, any time, 4K"])
def test_it_runs_in_bfloat16(name):
    model = stir(make(name, regions=True)).train()
    side = max(64, model.contract.minimum)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(moving_batch(side))["loss"]
    loss.backward()
    assert loss.isfinite() and all(value.grad.isfinite().all() for value in model.parameters())


@each
def test_label_maps_that_cannot_be_meant_are_refused(name):
    frames, labels = torch.rand(1, 2, 3, 64, 64), torch.ones(1, 2, 64, 64, dtype=torch.uint8)
    with pytest.raises(UsageError, match="build it with regions=True"):
        make(name).prepare(frames, regions=labels)
    model = make(name, regions=True)
    with pytest.raises(ContractError, match="whole numbers"):
        model.prepare(frames, regions=labels.float())
    with pytest.raises(ContractError, match="proportions"):
        model.prepare(frames, regions=labels[..., :32])
