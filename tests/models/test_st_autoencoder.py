"""What is published about the spatio-temporal autoencoder: parameters, flow, its penalty, warping."""

import pytest
import torch
from networks import count, drifting_batch, train_a_little

from midframe.errors import ContractError, UsageError
from midframe.models.catalogue import find
from midframe.models.st_autoencoder import DELTA, STAutoencoder, carry_labels, compare, huber, slopes

TINY = find("st-autoencoder").variants["tiny"]
TINY_S = find("st-autoencoder-s").variants["tiny"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return STAutoencoder(**TINY).eval()


@pytest.mark.parametrize("name", ["st-autoencoder", "st-autoencoder-s"])
def test_parameters_are_those_of_the_catalogue(name):
    row = find(name)
    with torch.device("meta"):
        assert count(STAutoencoder(**row.variants[row.default])) == row.params
        assert count(STAutoencoder(**row.variants["tiny"])) < 300_000


def test_parameters_are_the_published_ones_less_two_constants():
    with torch.device("meta"):
        net = STAutoencoder()
    parts = {name: count(part) for name, part in net.named_children()}
    assert parts == {"encoder": 800, "memory": 1_003_776, "flow": 28_802 + 902, "decoder": 785}
    assert count(net) + 2 == 1_035_067
    assert net.contract.inputs == tuple(range(-18, 1)) and net.contract.covers == (0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_of_grey_and_of_colour(channels):
    net = STAutoencoder(**TINY, channels=channels)
    state = net.prepare(torch.rand(2, 3, channels, 16, 24))
    assert net.render(state, 2).shape == (2, channels, 16, 24)
    assert [tuple(flow.shape) for flow in state["flows"]] == [(2, 2, 8, 12)] * 2


def test_training_begins_without_motion(net):
    """The fresh network encodes the last frame and decodes it, whatever came before."""
    frames = torch.rand(1, 3, 1, 16, 16)
    state = net.prepare(frames)
    assert not state["flows"][0].any()
    features = torch.nn.functional.max_pool2d(torch.tanh(net.encoder(frames[:, -1])), 2)
    wanted = net.decoder(features.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert torch.allclose(net.render(state, 1), wanted, atol=1e-6)


def say_flow(net, across, down):
    with torch.no_grad():
        net.flow[1].weight.zero_()
        net.flow[1].bias.copy_(torch.tensor([across, down]))


def test_features_move_along_the_flow(net):
    """Features are read where flow points: by one place to the right, the picture moves by two pixels to the left."""
    frames = torch.rand(1, 3, 1, 16, 16)
    still = net(frames, 1)
    say_flow(net, 1.0, 0.0)
    moved = net(frames, 1)
    inside = slice(4, 10)  # away from what comes from outside
    assert torch.allclose(moved[..., inside, inside], still[..., inside, 6:12], atol=1e-5)


def test_flow_is_held_to_a_quarter_of_the_picture(net):
    say_flow(net, 100.0, -100.0)
    flow = net.prepare(torch.rand(1, 3, 1, 16, 32))["flows"][0]
    assert (flow[:, 0] == 4).all() and (flow[:, 1] == -2).all()


def test_what_it_made_is_read_as_if_it_had_been_seen(net):
    torch.nn.init.normal_(net.flow[1].weight, std=0.5)
    frames = torch.rand(1, 3, 1, 16, 16)
    state = net.prepare(frames)
    made = [net.render(state, t) for t in (1, 2, 3)]
    longer = STAutoencoder(**{**TINY, "inputs": 5}).eval()
    longer.load_state_dict(net.state_dict())
    seen = torch.cat([frames, made[0][:, None], made[1][:, None]], 1)
    assert torch.allclose(longer(seen, 1), made[2], atol=1e-6)


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("kind", ["mse", "gradients", "bce"])
def test_the_loss_is_that_of_what_is_rendered(kind, every):
    torch.manual_seed(0)
    net = STAutoencoder(**{**TINY, "loss": kind, "every": every})
    torch.nn.init.normal_(net.flow[1].weight, std=0.5)
    batch = drifting_batch()
    parts = net.loss(batch)
    state = net.prepare(batch.frames)
    made = torch.stack([net.render(state, t) for t in (1, 2)], 1)
    if kind == "bce":
        told = torch.nn.functional.binary_cross_entropy(made, batch.targets, reduction="none")
        assert torch.allclose(parts["nats"], told.sum((2, 3, 4)).mean(), rtol=1e-4)
    else:
        assert torch.allclose(parts["mse"], (made - batch.targets).square().sum((2, 3, 4)).mean(), rtol=1e-5)
    if not every and kind == "mse":
        assert torch.allclose(parts["picture"], (made - batch.targets).square().mean(), rtol=1e-5)
        flows = torch.cat([flow for flow in state["flows"]])
        assert torch.allclose(parts["smooth"], 1e-3 * huber(flows), rtol=1e-5)
    assert torch.allclose(parts["loss"], parts["picture"] + parts["smooth"])


def test_hubers_penalty_is_a_parabola_up_to_delta_and_a_line_beyond():
    def tilted(slope):
        return (slope * torch.arange(9.0)).expand(1, 2, 9, 9)[..., 1:-1, :]

    for slope in (DELTA / 4, DELTA, 0.3):
        flow = tilted(slope)
        inside = slopes(flow)[0][..., 1:-1]
        assert torch.allclose(inside, torch.full_like(inside, slope), atol=1e-6)
    # columns: seven of the whole slope, two at the edge of half of it
    line = lambda g: g**2 / (2 * DELTA) if g <= DELTA else g - DELTA / 2  # noqa: E731
    for slope in (DELTA / 4, DELTA, 0.3):
        wanted = (7 * line(slope) + 2 * line(slope / 2)) / 9
        assert huber(tilted(slope)).item() == pytest.approx(wanted, rel=1e-3)


def test_even_flow_has_no_penalty_and_a_finite_gradient():
    flow = torch.ones(1, 2, 6, 6, requires_grad=True)
    penalty = huber(flow)
    penalty.backward()
    assert penalty.item() < 1e-6 and bool(flow.grad.isfinite().all())


def test_the_loss_of_gradients_does_not_see_brightness():
    made, truth = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    assert torch.allclose(compare(made, truth, "gradients"), compare(made + 0.3, truth, "gradients"), atol=1e-6)
    assert compare(truth + 0.3, truth, "gradients") < 1e-12 < compare(made, truth, "gradients")


def test_labels_are_carried_along_the_flow():
    labels = torch.zeros(1, 2, 16, 16)
    labels[:, 1, 4:8, 4:8] = 1
    labels[:, 0] = 1 - labels[:, 1]
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = -2.0  # of the features: what comes here was two places, four pixels, further left
    carried = carry_labels(labels, flow)
    assert torch.allclose(carried[:, 1, 4:8, 8:12], torch.ones(1, 4, 4), atol=1e-5)
    assert carried[:, 1].sum().item() == pytest.approx(16, abs=1e-3)
    assert torch.allclose(carried[..., 4:].sum(1), torch.ones(1, 16, 12), atol=1e-5)


@pytest.mark.slow
def test_flow_learnt_from_pictures_alone_goes_against_the_motion():
    """150 batches of one moving digit-like blob: where the blob is, flow points back to where it was."""
    from midframe.data.moving_mnist import MovingMNIST

    torch.manual_seed(0)
    rows = torch.arange(16.0) - 7.5
    blob = (255 * torch.exp(-(rows[:, None] ** 2 + rows**2) / 12)).byte().numpy()[None]
    source = MovingMNIST(blob, inputs=4, targets=1, together=1, size=32)
    settings = {"features": 8, "memory": 16, "kernel": 5, "flow_kernel": 7, "inputs": 4, "every": True}
    net = STAutoencoder(**settings)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for step in range(150):
        optimiser.zero_grad()
        net.loss(source.sample(torch.Generator().manual_seed(step), 8))["loss"].backward()
        optimiser.step()
    batch = source.sample(torch.Generator().manual_seed(10**6), 64)
    with torch.no_grad():
        flow = net.prepare(batch.frames)["flows"][0]

    def centre(frame):
        places = torch.arange(32.0)
        across, down = (frame.sum((1, k)) * places for k in (2, 3))
        return torch.stack([across.sum(1), down.sum(1)], 1) / frame.sum((1, 2, 3))[:, None]

    film = torch.cat([batch.frames, batch.targets], 1)
    steps = torch.stack([centre(frame) for frame in film.unbind(1)], 1).diff(dim=1)  # B 4 2, in whole pixels
    free = (steps - steps.mean(1, keepdim=True)).norm(dim=2).amax(1) < 1.2  # it did not bounce, but was rounded
    mask = torch.nn.functional.avg_pool2d(batch.targets[:, 0], 2)
    seen = (flow * mask).sum((2, 3)) / mask.sum((2, 3))
    seen = seen - seen.mean(0)  # a shift that all clips share is undone by the decoder: nothing fixes it
    cosine = torch.nn.functional.cosine_similarity(seen, -steps.mean(1))[free]
    assert free.sum() > 20
    assert cosine.clamp(-1, 1).acos().rad2deg().mean() < 30


@pytest.mark.parametrize(("settings", "channels"), [(TINY, 1), (TINY_S, 3)], ids=["st-autoencoder", "-s"])
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_the_loss_falls(settings, channels, bf16):
    torch.manual_seed(0)
    model = STAutoencoder(**{**settings, "loss": "mse"})
    losses = train_a_little(model, drifting_batch(channels), steps=25, rate=1e-2, bf16=bf16)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(("settings", "channels"), [(TINY, 1), (TINY_S, 3)], ids=["st-autoencoder", "-s"])
def test_every_parameter_gets_a_finite_gradient(settings, channels):
    torch.manual_seed(0)
    model = STAutoencoder(**settings)
    torch.nn.init.normal_(model.flow[1].weight, std=0.1)
    model.loss(drifting_batch(channels))["loss"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
        assert parameter.grad.abs().max() > 0, name


def test_what_does_not_fit_is_refused(net):
    state = net.prepare(torch.rand(1, 3, 1, 16, 16))
    for t in (0, 5, 1.5):
        with pytest.raises(ContractError, match="renders only t = 1, 2, 3, 4"):
            net.render(state, t)
    with pytest.raises(ContractError, match="reads 3 frames of 1 channels"):
        net.prepare(torch.rand(1, 2, 1, 16, 16))
    with pytest.raises(ContractError, match="multiples of 2"):
        net.prepare(torch.rand(1, 3, 1, 15, 16))
    with pytest.raises(ContractError, match="looks 4 frames ahead"):
        net.loss(drifting_batch(targets=5))
    for wrong in ({"kernel": 4}, {"features": 0}, {"smooth": -1}, {"loss": "l1"}):
        with pytest.raises(UsageError, match="STAutoencoder"):
            STAutoencoder(**{**TINY, **wrong})
