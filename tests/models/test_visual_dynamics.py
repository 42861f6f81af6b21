"""What the paper fixes about Visual Dynamics: cross convolution, sizes, the evidence bound, where futures come from."""

import math

import pytest
import torch
import torch.nn.functional as F
from networks import count, train_a_little

from midframe.data.shapes import Shapes, paint
from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.visual_dynamics import VisualDynamics, cross_convolve
from midframe.types import Batch

TINY = find("visual-dynamics").variants["tiny"]
MODELS = ("probabilistic", "deterministic", "prior")
WITH_Z = ("probabilistic", "prior")
CASES = [(name, model) for name in ("visual-dynamics", "visual-dynamics-s") for model in ("base", *MODELS[1:])]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs(count=4, size=32, seed=0):
    return Shapes(size, reach=4).sample(generator(seed), count)


def make(model="probabilistic", **settings):
    torch.manual_seed(0)
    return VisualDynamics(**{**TINY, "model": model, **settings}).eval()


@pytest.fixture
def net():
    return make()


@pytest.mark.parametrize("name", ["visual-dynamics", "visual-dynamics-s"])
def test_parameters_are_those_of_the_catalogue(name):
    row = find(name)
    with torch.device("meta"):
        assert count(VisualDynamics(**row.variants["base"])) == row.params
        assert count(VisualDynamics(**row.variants["tiny"])) < 300_000


def test_convolutions_have_as_many_parameters_as_the_published_ones():
    def of_convolutions(module):
        return sum(count(part) for part in module.modules() if isinstance(part, torch.nn.Conv2d))

    with torch.device("meta"):
        model = VisualDynamics()
    assert of_convolutions(model.motion_encoder) == 4_468_992
    assert of_convolutions(model.motion_encoder.head) == 1_048_832
    assert [of_convolutions(encoder) for encoder in model.image_encoders] == 4 * [261_024]
    assert of_convolutions(model.kernel_decoder) == 3 * 409_728
    assert of_convolutions(model.motion_decoder) == 1_344_131
    assert of_convolutions(model) == 8_086_403
    assert model.latent == 3200


@pytest.mark.parametrize("name, model", CASES)
def test_every_variant_has_its_own_parts(name, model):
    with torch.device("meta"):
        built = VisualDynamics(**find(name).variants[model])
    assert hasattr(built, "image_encoders") == (model != "prior")
    assert hasattr(built, "motion_encoder") == (model != "deterministic")


def test_cross_convolution_is_a_loop_of_convolutions():
    maps, kernels = torch.randn(3, 4, 9, 7), torch.randn(3, 4, 5, 5)
    out = cross_convolve(maps, kernels)
    for b in range(3):
        for c in range(4):
            alone = F.conv2d(maps[b, c][None, None], kernels[b, c][None, None], padding=2)[0, 0]
            assert torch.allclose(out[b, c], alone, atol=1e-5)


def test_a_kernel_with_one_tap_shifts_its_map():
    maps, kernels = torch.randn(1, 2, 12, 12), torch.zeros(1, 2, 5, 5)
    kernels[0, 0, 2, 2] = 1  # the middle
    kernels[0, 1, 2 + 1, 2 + 2] = 1  # out(x, y) = map(x + 2, y + 1)
    out = cross_convolve(maps, kernels)
    assert torch.equal(out[0, 0], maps[0, 0])
    assert torch.equal(out[0, 1, :-1, :-2], maps[0, 1, 1:, 2:])
    assert not out[0, 1, -1].any() and not out[0, 1, :, -2:].any()


def test_sizes_at_every_stage_are_the_published_ones():
    seen = {}
    with torch.device("meta"):
        model = VisualDynamics()
        for k, encoder in enumerate(model.image_encoders):
            encoder.register_forward_hook(lambda _, i, o, k=k: seen.update({k: (i[0].shape[2:], o.shape[1:])}))
        state = model.prepare(torch.rand(2, 1, 3, 128, 128), latent=torch.zeros(2, 3200))
        mean, log_variance = model.encode(torch.rand(2, 3, 128, 128), torch.rand(2, 3, 128, 128))
    assert seen == {k: ((32 << k, 32 << k), (32, 8 << k, 8 << k)) for k in range(4)}
    assert state["kernels"].shape == (2, 128, 5, 5)
    assert state["difference"].shape == (2, 3, 64, 64)
    assert mean.shape == log_variance.shape == (2, 3200)


@pytest.mark.parametrize("model", WITH_Z)
def test_one_generator_gives_one_future_and_another_another(model):
    net, frames = make(model), pairs().frames

    def future(seed):
        return net.render(net.prepare(frames, generator(seed)))

    assert torch.equal(future(1), future(1))
    assert not torch.allclose(future(1), future(2))
    assert net.contract.random


def test_the_deterministic_model_knows_one_future():
    net, frames = make("deterministic"), pairs().frames
    assert torch.equal(net.render(net.prepare(frames, generator(1))), net.render(net.prepare(frames, generator(2))))
    assert not net.contract.random
    with pytest.raises(UsageError, match="no z"):
        net.encode(frames[:, 0], frames[:, 0])
    with pytest.raises(UsageError, match="takes no latent"):
        net.prepare(frames, latent=torch.zeros(4, net.latent))


def test_the_prior_model_does_not_look_at_the_frame():
    net, latent = make("prior"), torch.randn(2, make().latent)
    one, other = (net.prepare(pairs(2, seed=seed).frames, latent=latent)["difference"] for seed in (1, 2))
    assert torch.equal(one, other)


def test_without_features_of_the_frame_a_motion_has_no_effect(net):
    """p(z) knows nothing of the frame: what moves how is decided where kernels meet features."""
    frames = pairs(2).frames
    for encoder in net.image_encoders:
        norm = [part for part in encoder if isinstance(part, torch.nn.BatchNorm2d)][-1]
        torch.nn.init.zeros_(norm.weight)
        torch.nn.init.zeros_(norm.bias)
    one, other = (net.prepare(frames, generator(seed))["difference"] for seed in (1, 2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("chance", ["seen", "normal"])
def test_z_is_drawn_from_the_bank_or_from_the_prior(chance):
    net = make(chance=chance)
    drawn = net._draw(2000, generator())
    in_bank = (drawn[:, None, :4] == net.bank.view(torch.float16).float()[None, :, :4]).all(2).any(1)
    if chance == "seen":
        assert in_bank.all() and len(drawn.unique(dim=0)) == len(net.bank)
    else:
        assert not in_bank.any() and abs(drawn.std() - 1) < 0.01


def test_training_fills_the_bank_with_the_latest_means_oldest_first():
    net = make(bank=6).train()
    batch = pairs()
    first = net.bank.clone()
    for _ in range(2):
        net.loss(batch)
    kept = net.bank.view(torch.float16)
    with torch.no_grad():
        mean = net.motion_encoder(torch.cat([batch.frames[:, 0], batch.targets[:, 0]], 1))[0]
    assert net.remembered == 8
    assert torch.allclose(kept[[4, 5, 0, 1]].float(), mean, atol=1e-2)  # the second batch began at slot 4
    net.eval()
    before = net.bank.clone()
    net.loss(batch)
    assert torch.equal(net.bank, before) and not torch.equal(first, before)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_the_bank_survives_weights_of_16_bits(net):
    kept = {k: (v.half() if v.is_floating_point() else v) for k, v in net.state_dict().items()}
    other = make(bank=16)
    other.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in kept.items()})
    assert torch.equal(other.bank.view(torch.float16), net.bank.view(torch.float16))


@pytest.mark.parametrize("model", MODELS)
def test_the_loss_is_the_evidence_bound_of_the_half_sized_difference(model):
    net, batch = make(model, beta=0.01), pairs()
    torch.manual_seed(5)
    parts = net.loss(batch)
    latent = None
    if model != "deterministic":
        mean, log_variance = net.encode(batch.frames[:, 0], batch.targets[:, 0])
        torch.manual_seed(5)
        latent = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        assert torch.allclose(parts["loss"], parts["error"] + 0.01 * parts["kl"])
        normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
        kl = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
        assert torch.allclose(parts["kl"], kl, rtol=1e-4)
    made = net.prepare(batch.frames, latent=latent)["difference"]
    truth = F.interpolate((batch.targets - batch.frames)[:, 0], scale_factor=0.5, mode="area")
    assert torch.allclose(parts.get("error", parts["loss"]), (100 * (made - truth)).square().mean(), rtol=1e-4)


def test_a_rendered_frame_reduced_by_areas_is_the_frame_and_the_difference(net):
    frames = pairs(2).frames
    state = net.prepare(frames, generator())
    reduced = F.avg_pool2d(net.render(state, 1.0), 2)
    assert torch.allclose(reduced, F.avg_pool2d(frames[:, 0], 2) + state["difference"], atol=1e-6)


def test_any_multiple_of_the_deepest_maps_can_be_looked_ahead_from(net):
    frames = torch.rand(1, 1, 3, 48, 80)
    assert net.render(net.prepare(frames, generator())).shape == (1, 3, 48, 80)
    with pytest.raises(ContractError, match="multiples of 8"):
        net.prepare(torch.rand(1, 1, 3, 44, 80))
    with pytest.raises(ContractError, match="of the size it is trained on"):
        net.loss(pairs(size=64))
    with pytest.raises(ContractError, match="the prior model knows 32×32"):
        make("prior").prepare(torch.rand(1, 1, 3, 64, 64))


def test_only_the_next_frame_of_one_rgb_frame_is_made(net):
    frames = pairs(2).frames
    state = net.prepare(frames, generator())
    for t in (0.5, 2.0):
        with pytest.raises(ContractError, match="renders only t = 1"):
            net.render(state, t)
    with pytest.raises(ContractError, match="keeps the size"):
        net.render(state, 1.0, (64, 64))
    with pytest.raises(ContractError, match="reads 1 frames of 3 channels"):
        net.prepare(frames.expand(-1, 2, -1, -1, -1))
    with pytest.raises(ContractError, match="reads 1 frames of 3 channels"):
        net.prepare(frames[:, :, :1])
    with pytest.raises(UsageError, match="latent is B z"):
        net.prepare(frames, latent=torch.zeros(2, 7))
    batch = pairs(2)
    with pytest.raises(ContractError, match="learns from the next frames"):
        net.loss(Batch(batch.frames, batch.times, batch.targets, batch.target_times / 2))


@pytest.mark.parametrize(
    "wrong",
    [{"size": 48}, {"motion": (8, 8)}, {"features": 0}, {"bank": 0}, {"beta": -1.0}, {"scales": (0.5, 2.0)},
     {"scales": (0.5, 1.0)}, {"model": "flow"}, {"chance": "luck"}],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError, match="VisualDynamics"):
        VisualDynamics(**{**TINY, **wrong})


@pytest.mark.parametrize("model", MODELS)
def test_every_parameter_gets_a_finite_gradient(model):
    net = make(model).train()
    net.loss(pairs())["loss"].backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


@pytest.mark.parametrize("model", MODELS)
def test_a_batch_of_two_is_its_members(model):
    net, frames = make(model), pairs(2).frames
    latent = None if model == "deterministic" else torch.randn(2, net.latent)
    both = net.prepare(frames, latent=latent)["difference"]
    for b in (0, 1):
        alone = net.prepare(frames[b : b + 1], latent=None if latent is None else latent[b : b + 1])["difference"]
        assert torch.allclose(both[b], alone[0], atol=1e-6)


def test_few_futures_are_learnt_by_heart_with_z_and_not_without():
    """Four futures of one frame: z tells them apart, a function of the frame can only answer with their mean."""
    source = Shapes(32, reach=4)
    scenes, motion = source.draw(generator(), 4)
    first = scenes.one(0, 4)
    frames, targets = paint(first, 32)[:, None], paint(first.moved(motion), 32)[:, None]
    batch = Batch(frames, torch.zeros(4, 1), targets, torch.ones(4, 1))
    nothing = (100 * F.avg_pool2d((targets - frames)[:, 0], 2)).square().mean()
    errors = {}
    for model in ("probabilistic", "deterministic"):
        net = make(model).train()
        train_a_little(net, batch, steps=90 if model == "probabilistic" else 30, rate=1e-2)
        with torch.no_grad():
            parts = net.loss(batch)
        errors[model] = float(parts.get("error", parts["loss"]) / nothing)
    assert errors["probabilistic"] < 0.1
    assert errors["deterministic"] > 0.5


def test_bf16_gives_finite_losses_and_gradients():
    net = make().train()
    losses = train_a_little(net, pairs(), steps=2, bf16=True)
    assert all(map(math.isfinite, losses)) and losses[-1] < losses[0]
