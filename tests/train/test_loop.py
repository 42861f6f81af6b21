"""The training loop on a model small enough to watch: it learns, resumes to the step, stops in time, survives."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from midframe.errors import InputError, ModelError, UsageError
from midframe.losses.texture import texture
from midframe.models.catalogue import SYSTEMS
from midframe.models.load import build
from midframe.train.checkpoint import NAME, Checkpoint, save
from midframe.train.log import read_rows
from midframe.train.loop import Validation, _Loss, train
from midframe.train.recipe import DataRecipe, OptimRecipe, Recipe, RunRecipe
from midframe.train.schedule import Average, rate_at
from midframe.types import Batch


class Mixer(nn.Module):
    """One convolution from both frames to the middle one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, frames):
        return self.layer(frames.flatten(1, 2))

    def loss(self, batch):
        error = (self(batch.frames) - batch.targets[:, 0]).abs().mean()
        return {"loss": error, "l1": error.detach()}


class Normed(Mixer):
    """Batch norm before it, whose statistics follow every batch."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, frames):
        return super().forward(self.norm(frames.flatten(0, 1)).view_as(frames))


class Noisy(Mixer):
    """Its loss draws numbers, as that of a variational model does."""

    def loss(self, batch):
        parts = super().loss(batch)
        return parts | {"loss": parts["loss"] + (0.1 * torch.randn(3, 6, 1, 1) * self.layer.weight).sum()}


class Averages:
    """Random frames whose target is their mean."""

    def __init__(self, size=8):
        self.size = size

    def sample(self, generator, count):
        frames = torch.rand(count, 2, 3, self.size, self.size, generator=generator)
        times = torch.tensor([0.0, 1.0]).expand(count, 2)
        return Batch(frames, times, frames.mean(1, keepdim=True), torch.full((count, 1), 0.5))


RECIPE = Recipe(
    name="mixer",
    system="mixer",
    data=DataRecipe(batch=4),
    optim=OptimRecipe(steps=60, rate=2e-2, final_rate=1e-3, warm_up=5, ema=0.9),
    run=RunRecipe(precision="fp32", log_every=10, validate_every=20, save_every=7),
)


def judge(model):
    batch = Averages().sample(torch.Generator().manual_seed(99), 8)
    error = (model(batch.frames) - batch.targets[:, 0]).square().mean()
    return Validation({"psnr": float(-10 * torch.log10(error))}, {"picture": torch.zeros(4, 4, 3).byte().numpy()})


def test_it_learns_and_leaves_what_it_promises(tmp_path):
    steps = []
    outcome = train(RECIPE, Mixer(), Averages(), tmp_path, evaluate=judge, tell=steps.append)
    assert outcome.finished and outcome.step == 60 and outcome.best > 14
    rows = read_rows(tmp_path / "log.csv")
    losses = [float(row["loss"]) for row in rows if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]
    assert [row["step"] for row in rows if "val psnr" in row] == ["20", "40", "60"]
    for name in ("curve.png", "picture.png", "best.safetensors", "last.safetensors", NAME):
        assert (tmp_path / name).stat().st_size > 0
    assert {value.dtype for value in load_file(tmp_path / "best.safetensors").values()} == {torch.float16}
    assert any("psnr" in event for event in steps if isinstance(event, str))


@pytest.mark.parametrize("kind", [Mixer, Normed, Noisy])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path, kind):
    whole, parts = kind(), kind()
    train(RECIPE, whole, Averages(), tmp_path / "whole", evaluate=judge)

    def stop(event):
        if not isinstance(event, str) and event.step == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, parts, Averages(), tmp_path / "parts", evaluate=judge, tell=stop)
    again = kind()
    outcome = train(RECIPE, again, Averages(), tmp_path / "parts", evaluate=judge, resume=True)
    assert outcome.finished
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    a, b = (load_file(tmp_path / folder / "last.safetensors") for folder in ("whole", "parts"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    steps = [[row["step"] for row in read_rows(tmp_path / f / "log.csv")] for f in ("whole", "parts")]
    assert steps[0] == steps[1]


def test_a_part_may_be_missing_from_some_batches(tmp_path):
    class Sometimes(Mixer):
        turn = 0

        def loss(self, batch):
            parts = super().loss(batch)
            self.turn += 1
            return parts if self.turn % 3 else parts | {"rare": torch.tensor(7.0)}

    train(RECIPE, Sometimes(), Averages(), tmp_path)
    assert {row["rare"] for row in read_rows(tmp_path / "log.csv") if row.get("rare")} == {"7"}


def test_it_stops_when_its_time_is_up_and_can_go_on(tmp_path):
    endless = replace(RECIPE, optim=replace(RECIPE.optim, steps=10**6))
    first = train(endless, Mixer(), Averages(), tmp_path, budget=0.3)
    assert not first.finished and 0 < first.step < 10**6
    second = train(endless, Mixer(), Averages(), tmp_path, budget=0.3, resume=True)
    assert second.step > first.step and second.seconds > 0.6  # both runs count


def test_a_folder_with_a_training_is_not_overwritten(tmp_path):
    train(RECIPE, Mixer(), Averages(), tmp_path, budget=0.05)
    with pytest.raises(UsageError, match="--resume"):
        train(RECIPE, Mixer(), Averages(), tmp_path)
    other = replace(RECIPE, seed=2)
    with pytest.raises(UsageError, match="seed 1 → 2"):
        train(other, Mixer(), Averages(), tmp_path, resume=True)


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    train(RECIPE, Mixer(), Averages(), tmp_path, budget=0.05)
    (tmp_path / NAME).write_bytes((tmp_path / NAME).read_bytes()[:100])
    with pytest.raises(InputError, match="damaged") as caught:
        train(RECIPE, Mixer(), Averages(), tmp_path, resume=True)
    assert "\n" not in str(caught.value)


def test_a_loss_without_a_finite_gradient_ends_the_run(tmp_path):
    class Broken(Mixer):
        def loss(self, batch):
            return {"loss": super().loss(batch)["loss"] * float("nan")}

    with pytest.raises(ModelError, match="not finite"):
        train(RECIPE, Broken(), Averages(), tmp_path)


def test_the_rate_warms_up_and_falls_along_a_cosine():
    optim = OptimRecipe(steps=110, rate=1.0, final_rate=0.1, warm_up=10)
    assert rate_at(0, optim) == pytest.approx(0.1)
    assert rate_at(9, optim) == rate_at(10, optim) == 1.0
    assert rate_at(60, optim) == pytest.approx(0.55)
    assert rate_at(110, optim) == rate_at(10**6, optim) == pytest.approx(0.1)


def test_the_average_follows_at_its_decay():
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.zero_()
        average = Average(module, 0.5)
        average.updates = 1000
        module.weight.fill_(1.0)
        for _ in range(3):
            average.update(module)
    assert average.state["weight"].item() == pytest.approx(1 - 0.5**3)


def test_nothing_is_kept_of_a_run_that_fails_at_once(tmp_path):
    class Refuses(Mixer):
        def loss(self, batch):
            raise ModelError("these frames do not suit me")

    with pytest.raises(ModelError, match="do not suit"):
        train(RECIPE, Refuses(), Averages(), tmp_path)
    assert not (tmp_path / NAME).exists()
    assert train(RECIPE, Mixer(), Averages(), tmp_path).finished  # no --resume is asked for


def test_a_run_takes_one_step_however_short_its_time(tmp_path):
    assert [train(RECIPE, Mixer(), Averages(), tmp_path, budget=1e-9, resume=True).step for _ in range(3)] == [1, 2, 3]


def test_the_last_step_is_validated(tmp_path):
    recipe = replace(RECIPE, optim=replace(RECIPE.optim, steps=25))
    train(recipe, Mixer(), Averages(), tmp_path, evaluate=judge)
    assert [row["step"] for row in read_rows(tmp_path / "log.csv") if "val psnr" in row] == ["20", "25"]


def test_a_resumed_model_is_in_training_mode(tmp_path):
    train(RECIPE, Mixer(), Averages(), tmp_path, budget=1e-9)
    model = Mixer().eval()
    train(RECIPE, model, Averages(), tmp_path, budget=1e-9, resume=True)
    assert model.training


def test_a_checkpoint_of_another_model_is_one_line(tmp_path):
    train(RECIPE, Mixer(), Averages(), tmp_path, budget=1e-9)
    wider = Mixer()
    wider.layer = nn.Conv2d(6, 3, 5, padding=2)
    with pytest.raises(InputError, match="was made for another mixer") as caught:
        train(RECIPE, wider, Averages(), tmp_path, resume=True)
    assert "\n" not in str(caught.value)


def test_a_training_begun_anew_has_a_log_of_its_own(tmp_path):
    train(RECIPE, Mixer(), Averages(), tmp_path)
    (tmp_path / NAME).unlink()
    short = replace(RECIPE, optim=replace(RECIPE.optim, steps=20))
    train(short, Mixer(), Averages(), tmp_path)
    assert [row["step"] for row in read_rows(tmp_path / "log.csv")] == ["10", "20"]


def test_frozen_parameters_stay_and_the_others_learn(tmp_path):
    model = Mixer()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    frozen = replace(RECIPE, optim=replace(RECIPE.optim, frozen=("layer.w",), steps=20))
    train(frozen, model, Averages(), tmp_path)
    after = model.state_dict()
    assert torch.equal(before["layer.weight"], after["layer.weight"])
    assert not torch.equal(before["layer.bias"], after["layer.bias"])


@pytest.mark.parametrize(("names", "message"), [(("head",), "no parameters called head"), (("layer",), "nothing to")])
def test_what_cannot_be_frozen_is_one_line(tmp_path, names, message):
    with pytest.raises(UsageError, match=message):
        train(replace(RECIPE, optim=replace(RECIPE.optim, frozen=names)), Mixer(), Averages(), tmp_path)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("name", ["lpips", "loss (nats a picture)"])
def test_of_a_distance_the_lowest_is_the_best(tmp_path, name):
    figures = iter([{"psnr": 20.0, name: 0.3}, {"psnr": 10.0, name: 0.1}, {"psnr": 30.0, name: 0.2}])
    kept = []

    def judge_by_turns(model):
        kept.append(model.state_dict())
        return Validation(next(figures), lowest=name)

    outcome = train(RECIPE, Mixer(), Averages(), tmp_path, evaluate=judge_by_turns)
    assert outcome.best == -0.1
    assert load_file(tmp_path / "best.safetensors") and len(kept) == 3


def test_the_highest_of_another_figure_can_be_the_best(tmp_path):
    figures = iter([{"J&F": 20.0}, {"J&F": 40.0}, {"J&F": 30.0}])
    outcome = train(
        RECIPE, Mixer(), Averages(), tmp_path, evaluate=lambda model: Validation(next(figures), highest="J&F")
    )
    assert outcome.best == 40.0


def test_the_chance_of_a_loss_is_not_that_of_its_batch(tmp_path):
    drawn = []

    class Draws(Averages):
        def sample(self, generator, count):
            drawn.append(torch.rand(4, generator=generator.clone_state()).tolist())
            return super().sample(generator, count)

    class Looks(Mixer):
        def loss(self, batch):
            drawn.append(torch.rand(4).tolist())
            return super().loss(batch)

    train(replace(RECIPE, optim=replace(RECIPE.optim, steps=6)), Looks(), Draws(), tmp_path)
    assert len(drawn) >= 12 and len({tuple(one) for one in drawn}) == len(drawn)


def test_an_interrupt_while_saving_stays_an_interrupt(tmp_path):
    class Interrupting(dict):
        def __reduce_ex__(self, protocol):
            raise KeyboardInterrupt

    point = Checkpoint(1, 1.0, Interrupting(), {"w": torch.zeros(3)}, {}, 1, {}, 0.0)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, point)
    assert not list(tmp_path.iterdir())


class Renders(Mixer):
    """Makes frames when asked, as every synthesizer does."""

    made = 0

    def forward(self, frames, t=None):
        self.made += 1
        return super().forward(frames)


class HandsOver(Renders):
    """Its loss hands back the frames that it judged."""

    def loss(self, batch):
        made = self(batch.frames)
        return {"loss": (made - batch.targets[:, 0]).abs().mean(), "made": made}


TEXTURED = replace(RECIPE, optim=replace(RECIPE.optim, steps=10, texture=0.5))


def test_texture_joins_the_loss(tmp_path):
    batch = Averages(16).sample(torch.Generator().manual_seed(0), 3)
    model = Renders()
    parts = _Loss(model, 0.5)(batch)
    seen = texture(model(batch.frames), *batch.frames.unbind(1))
    assert torch.allclose(parts["texture"], 0.5 * seen)
    assert torch.allclose(parts["loss"], parts["l1"] + parts["texture"])
    train(TEXTURED, model, Averages(16), tmp_path)
    assert all(float(row["texture"]) > 0 for row in read_rows(tmp_path / "log.csv"))


def test_frames_that_a_loss_hands_back_are_not_made_again(tmp_path):
    again, once = Renders(), HandsOver()
    train(TEXTURED, again, Averages(16), tmp_path / "again")
    train(TEXTURED, once, Averages(16), tmp_path / "once")
    assert (again.made, once.made) == (22, 11)  # 10 steps, and one that is counted
    for name, value in again.state_dict().items():
        assert torch.allclose(value, once.state_dict()[name], atol=1e-6)
    plain = replace(TEXTURED, optim=replace(TEXTURED.optim, texture=0.0))
    train(plain, HandsOver(), Averages(16), tmp_path / "plain")
    assert set(read_rows(tmp_path / "plain" / "log.csv")[0]) & {"made", "texture"} == set()


def test_the_texture_of_a_longer_window_is_that_of_the_two_frames_around_the_target():
    class OfTwo(Renders):
        def forward(self, frames, t=None):
            return super().forward(frames[:, 1:3])

    frames = torch.rand(2, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([-1.0, 0.0, 1.0, 2.0]).expand(2, 4)
    batch = Batch(frames, times, frames[:, 1:3].mean(1, keepdim=True), torch.full((2, 1), 0.5))
    model = OfTwo()
    wanted = texture(model(frames), frames[:, 1], frames[:, 2])
    assert torch.allclose(_Loss(model, 1.0)(batch)["texture"], wanted)


TRAINABLE = {row.target: row for row in SYSTEMS if row.task == "interpolate" and row.needs_weights}


@pytest.mark.parametrize("row", TRAINABLE.values(), ids=lambda row: row.name)
def test_every_system_that_makes_frames_takes_the_texture_loss(row):
    torch.manual_seed(0)
    model = build(f"{row.name}/tiny")
    if not hasattr(model, "loss"):
        pytest.skip("cannot be trained")
    count = len(model.contract.inputs)
    frames = torch.rand(1, count, 3, 64, 64)
    times = torch.arange(count)[None] - (count // 2 - 1.0)
    parts = _Loss(model.train(), 0.1)(Batch(frames, times, torch.rand(1, 1, 3, 64, 64), torch.full((1, 1), 0.5)))
    assert parts["texture"].requires_grad and bool(parts["texture"] > 0) and "made" not in parts
    parts["texture"].backward()
    gradients = [value.grad for value in model.parameters() if value.grad is not None]
    assert gradients and all(bool(one.isfinite().all()) for one in gradients)


def test_a_checkpoint_older_than_a_key_of_recipes_goes_on(tmp_path):
    train(RECIPE, Mixer(), Averages(), tmp_path, budget=1e-9)
    found = torch.load(tmp_path / NAME, weights_only=True)
    del found["recipe"]["optim"]["texture"]
    torch.save(found, tmp_path / NAME)
    with pytest.raises(UsageError, match=r"optim.texture 0.0 → 0.5"):
        train(replace(RECIPE, optim=replace(RECIPE.optim, texture=0.5)), Mixer(), Averages(), tmp_path, resume=True)
    assert train(RECIPE, Mixer(), Averages(), tmp_path, budget=1e-9, resume=True).step == 2
