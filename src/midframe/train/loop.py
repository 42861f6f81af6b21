"""One training loop for every system: a recipe, a model with a `loss`, a source of batches.

  batch (seed, step, process) → loss → backward → clip → AdamW → moving average
  every `validate_every`: evaluate the average, curve, pictures, best weights
  every `save_every`, at the budget's end and on Ctrl-C: checkpoint

Resuming takes the steps that an unbroken run would have taken: what a batch holds follows from the step's number, and
everything else is in the checkpoint. Under torchrun each process draws its own batches and gradients are averaged; the
first process evaluates, logs and saves.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from midframe.data.source import Source
from midframe.errors import InputError, ModelError, UsageError
from midframe.files import replacing
from midframe.losses.texture import texture
from midframe.models.load import quicken
from midframe.train import checkpoint
from midframe.train.checkpoint import Checkpoint
from midframe.train.log import Log, has_board
from midframe.train.recipe import Recipe
from midframe.train.schedule import Average, rate_at
from midframe.types import Batch

PATIENCE = 20  # steps in a row whose gradient is not finite
BEST, LAST = "best.safetensors", "last.safetensors"
CHANCE = 0x9E3779B9  # makes the seed of a step's batch that of its loss; torch's generator looks at 32 bits of it only


@dataclass(frozen=True, slots=True)
class Validation:
    """Figures by name; pictures H W 3 uint8 RGB by name.

    lowest   name of the figure whose lowest value is the best; "": the highest of `highest` is
    highest  see there
    """

    figures: Mapping[str, float]
    pictures: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    lowest: str = ""
    highest: str = "psnr"


Evaluate = Callable[[nn.Module], Validation]


@dataclass(frozen=True, slots=True)
class Step:
    """What a listener hears now and then. `data` is the share of time spent waiting for batches, 0…1."""

    step: int
    steps: int
    loss: float
    rate: float
    samples_per_second: float
    teraflops: float
    data: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a training stands after `train`. `seconds` counts all its runs; `best` is NaN before a validation, a PSNR
    or another figure whose highest is the best, or minus one whose lowest is."""

    step: int
    seconds: float
    best: float
    finished: bool


def train(
    recipe: Recipe,
    model: nn.Module,
    source: Source,
    folder: Path,
    *,
    evaluate: Evaluate | None = None,
    budget: float | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    tell: Callable[[Step | str], None] = lambda event: None,
) -> Outcome:
    """Train `model`, a module with `loss(batch)`, until the recipe's steps or `budget` seconds of this run are over.
    A run takes one step at least, so that runs of any budget come to an end together. For [optim] texture the module
    also has `forward(frames, t)`, unless its loss hands back the frames it made.

    folder    gets checkpoint, log, curve, pictures, best and last weights (the moving average, fp16 safetensors)
    resume    go on from the folder's checkpoint; without it a folder that holds one is refused

    Raises UsageError for a folder that holds another training, InputError for a checkpoint that is damaged or does not
    fit the model, ModelError if the loss stays without a finite gradient.
    """
    began = time.monotonic()
    device = torch.device(device)
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    if recipe.data.batch % world:
        raise UsageError(f"{recipe.name}: a batch of {recipe.data.batch} cannot be shared by {world} processes.")
    folder.mkdir(parents=True, exist_ok=True)
    known = checkpoint.load(folder, recipe.as_dict())
    if known is not None and not resume:
        raise UsageError(f"{folder} holds a training at step {known.step}; --resume goes on, --output begins another.")

    model.to(device)
    if recipe.run.channels_last:
        quicken(model)
    model.train()
    _freeze(model, recipe)
    optimiser = torch.optim.AdamW(
        _groups(model, recipe), lr=recipe.optim.rate, betas=recipe.optim.betas, fused=device.type == "cuda"
    )
    average = Average(model, recipe.optim.ema)
    step, before, best = 0, 0.0, float("nan")
    if known is not None:
        try:
            model.load_state_dict(known.model)
            optimiser.load_state_dict(known.optimiser)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(f"{folder / checkpoint.NAME} was made for another {recipe.system} ({reason}).") from error
        average.state = {name: value.to(device) for name, value in known.average.items()}
        average.updates = known.updates
        step, before, best = known.step, known.seconds, known.best
        tell(f"goes on at step {step} of {recipe.optim.steps}")
    plain = _Loss(model, recipe.optim.texture)
    lossy: nn.Module = plain
    if world > 1:
        lossy = nn.parallel.DistributedDataParallel(
            lossy, device_ids=[device.index] if device.index is not None else None
        )
    if recipe.run.compile and device.type == "cuda":
        lossy = torch.compile(lossy)  # type: ignore[assignment]
    if recipe.run.precision == "bf16" and device.type != "cuda":
        tell(f"bf16 is for GPUs; on the {device.type} this runs in fp32")
    if rank == 0 and not has_board():
        tell("tensorboard is not installed: no files for it (pip install 'midframe[train]')")

    first = step
    log = Log(folder, upto=first) if rank == 0 else None
    judge = copy.deepcopy(model) if evaluate is not None and rank == 0 else None
    meter = _Meter(recipe, device)
    broken = torch.zeros((), device=device)
    since: list[dict[str, Tensor]] = []  # the losses since the last line of the log

    def elapsed() -> float:
        return before + time.monotonic() - began

    def keep() -> None:
        if rank == 0:
            point = Checkpoint(
                step, elapsed(), recipe.as_dict(), model.state_dict(), average.state, average.updates,
                optimiser.state_dict(), best,
            )  # fmt: skip
            checkpoint.save(folder, point)
            save_weights(average.state, folder / LAST, recipe, step)

    with _Batches(recipe, source, device, rank, world) as batches:
        try:
            while step < recipe.optim.steps and (step == first or not _over(budget, began, device)):
                with meter.waiting():
                    batch = batches.take(step)
                rate = rate_at(step, recipe.optim)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                if step == first:
                    meter.count(plain, batch)
                # a loss that draws numbers draws those of its step, or a resumed run would differ from an unbroken one
                torch.manual_seed(_seed(recipe, step, rank) ^ CHANCE)
                with _autocast(recipe, device):
                    parts = lossy(batch)
                    parts["loss"].backward()
                norm = nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], recipe.optim.clip)
                infinite = (~torch.isfinite(norm)).float()
                broken = (broken + 1) * infinite  # such steps in a row
                if device.type == "cuda":
                    optimiser.found_inf = infinite  # type: ignore[attr-defined]  # fused: skips the step on the GPU,
                    optimiser.step()  # where asking whether to would stall the queue
                elif not infinite:
                    optimiser.step()
                average.update(model)
                optimiser.zero_grad(set_to_none=True)
                step += 1
                meter.add(recipe.data.batch)
                since.append({name: value.detach() for name, value in parts.items()})
                if step % PATIENCE == 0 and broken >= PATIENCE:
                    raise ModelError(
                        f"{recipe.name}: the gradient was not finite for {int(broken)} steps, up to {step}; "
                        "lower [optim] rate, or look at the data."
                    )
                if log is not None and (step % recipe.run.log_every == 0 or step == recipe.optim.steps):
                    # one batch says little: the mean of all since the last line
                    names = dict.fromkeys(name for one in since for name in one)  # some parts are not in every batch
                    values = {
                        name: float(torch.stack([one[name] for one in since if name in one]).mean()) for name in names
                    }
                    since.clear()
                    event = meter.report(step, values["loss"], rate, elapsed())
                    log.add(
                        step,
                        {**values, "rate": rate, "norm": float(norm), "samples/s": event.samples_per_second,
                         "TFLOP/s": event.teraflops, "data": event.data, "seconds": event.seconds},
                    )  # fmt: skip
                    tell(event)
                due = step % recipe.run.validate_every == 0 or step == recipe.optim.steps
                if due and judge is not None and log is not None:
                    best = _validate(judge, average, evaluate, log, folder, recipe, step, best, tell)
                    meter.reset()
                if step % recipe.run.save_every == 0:
                    keep()
        finally:
            if step > first:
                keep()  # on Ctrl-C and on errors, too: no more than the current step is lost
            if log is not None:
                log.draw(recipe.name)
                log.close()
    return Outcome(step, elapsed(), best, step >= recipe.optim.steps)


def save_weights(state: Mapping[str, Tensor], path: Path, recipe: Recipe, step: int) -> None:
    """Weights as fp16 safetensors, written whole or not at all."""
    halves = {k: (v.half() if v.is_floating_point() else v).cpu().contiguous().clone() for k, v in state.items()}
    metadata = {"system": recipe.system, "recipe": recipe.name, "step": str(step)}
    with replacing(path) as file:
        file.write(safetensors.torch.save(halves, metadata))


class _Loss(nn.Module):
    """A system's loss as a forward pass, which is what DistributedDataParallel and torch.compile wrap.

    With a weight for it also `losses.texture` of the frames that the loss hands back as "made", B·M 3 H W, against the
    two around them; frames that it does not hand back are made once more.
    """

    def __init__(self, model: Any, texture: float) -> None:
        super().__init__()
        self.model, self.texture = model, texture

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = self.model.loss(batch)
        made = parts.pop("made", None)
        if self.texture == 0:
            return parts
        frames = batch.frames.repeat_interleave(batch.targets.shape[1], 0)
        if made is None:
            made = self.model(frames, batch.target_times.flatten())
        before = frames.shape[1] // 2 - 1
        matched = self.texture * texture(made, frames[:, before], frames[:, before + 1])
        return {**parts, "loss": parts["loss"] + matched, "texture": matched}


def _freeze(model: nn.Module, recipe: Recipe) -> None:
    """Raises UsageError if no parameter's name begins so, or if none is left to learn."""
    for start in recipe.optim.frozen:
        named = [value for name, value in model.named_parameters() if name.startswith(start)]
        if not named:
            raise UsageError(f"{recipe.name}: [optim] frozen: {recipe.system} has no parameters called {start}….")
        for value in named:
            value.requires_grad_(False)
    if not any(value.requires_grad for value in model.parameters()):
        raise UsageError(f"{recipe.name}: [optim] frozen leaves nothing to learn.")


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Weight decay for weights of two dimensions or more; biases, norms and slopes go without."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    return [{"params": decayed, "weight_decay": recipe.optim.decay}, {"params": others, "weight_decay": 0.0}]


def _autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager[Any]:
    if recipe.run.precision == "bf16" and device.type == "cuda":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def _seed(recipe: Recipe, step: int, rank: int) -> int:
    """Of the batch that a process draws at a step."""
    return ((recipe.seed * 1_000_003 + step) * 4099 + rank) % (1 << 63)


def _over(budget: float | None, began: float, device: torch.device) -> bool:
    """Whether the time is up, decided by the first process for all, so that none waits for another's gradients."""
    over = budget is not None and time.monotonic() - began >= budget
    if dist.is_initialized():
        said = torch.tensor(float(over), device=device)
        dist.broadcast(said, 0)
        over = bool(said.item())
    return over


class _Batches:
    """Draws batches by step number, the next one in a thread while the current one is learnt from.

    On a GPU the thread has a stream of its own, so that what it asks of the GPU, and its waiting for an answer, holds
    up nothing.
    """

    def __init__(self, recipe: Recipe, source: Source, device: torch.device, rank: int, world: int) -> None:
        self._recipe, self._source, self._device = recipe, source, device
        self._rank, self._world = rank, world
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="midframe-batches")
        self._next: tuple[int, Future[Batch]] | None = None

    def __enter__(self) -> "_Batches":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self, step: int) -> Batch:
        if self._next is None or self._next[0] != step:
            self._next = (step, self._pool.submit(self._draw, step))
        batch = self._next[1].result()
        self._next = (step + 1, self._pool.submit(self._draw, step + 1))
        if self._stream is not None:
            here = torch.cuda.current_stream(self._device)
            for tensor in _tensors(batch):
                tensor.record_stream(here)  # its memory is not given to the next batch while this step uses it
        return batch

    def _draw(self, step: int) -> Batch:
        generator = torch.Generator()
        generator.manual_seed(_seed(self._recipe, step, self._rank))
        with torch.cuda.stream(self._stream) if self._stream is not None else nullcontext():
            batch = self._source.sample(generator, self._recipe.data.batch // self._world)
            moved = {f.name: getattr(batch, f.name) for f in fields(batch) if f.name != "labels"}
            labels = {name: value.to(self._device) for name, value in batch.labels.items()}
            batch = Batch(**{name: value.to(self._device) for name, value in moved.items()}, labels=labels)
        if self._stream is not None:
            self._stream.synchronize()  # waits in this thread only
        return batch


def _tensors(batch: Batch) -> list[Tensor]:
    return [batch.frames, batch.times, batch.targets, batch.target_times, *batch.labels.values()]


class _Meter:
    """Samples and floating point operations per second, and the share of time in which the data was waited for."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self._recipe, self._device = recipe, device
        self._flops = 0.0
        self.reset()

    def reset(self) -> None:
        self._since, self._samples, self._waited = time.monotonic(), 0, 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    def count(self, loss: nn.Module, batch: Batch) -> None:
        """Counts the operations of a step, forward and backward, by taking one whose gradients are thrown away.

        `loss` is the module as it was before torch.compile, which hides its operations from the counter. Its buffers
        are put back: a batch norm's statistics must not see this batch twice.
        """
        buffers = [(buffer, buffer.clone()) for buffer in loss.buffers()]
        chance = torch.random.fork_rng([self._device] if self._device.type == "cuda" else [])
        with chance, FlopCounterMode(display=False) as counter, _autocast(self._recipe, self._device):
            loss(batch)["loss"].backward()
        loss.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        self._flops = float(counter.get_total_flops())

    def add(self, samples: int) -> None:
        self._samples += samples

    def report(self, step: int, loss: float, rate: float, seconds: float) -> Step:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        passed = max(time.monotonic() - self._since, 1e-9)
        steps = self._samples / self._recipe.data.batch
        event = Step(
            step, self._recipe.optim.steps, loss, rate, self._samples / passed, steps * self._flops / passed / 1e12,
            self._waited / passed, seconds,
        )  # fmt: skip
        self.reset()
        return event


def _validate(
    judge: nn.Module,
    average: Average,
    evaluate: Evaluate | None,
    log: Log,
    folder: Path,
    recipe: Recipe,
    step: int,
    best: float,
    tell: Callable[[Step | str], None],
) -> float:
    assert evaluate is not None
    judge.load_state_dict(average.state)
    judge.eval()
    with torch.no_grad():
        found = evaluate(judge)
    log.add(step, {f"val {name}": value for name, value in found.figures.items()})
    for name, picture in found.pictures.items():
        log.add_picture(step, name, picture)
        _write_picture(folder / f"{name}.png", picture)
    log.draw(recipe.name)
    tell(f"step {step}: " + ", ".join(f"{name} {value:.4f}" for name, value in found.figures.items()))
    score = -float(found.figures[found.lowest]) if found.lowest else float(found.figures[found.highest])
    if not best >= score:  # also when there is no best yet
        best = score
        save_weights(average.state, folder / BEST, recipe, step)
    return best


def _write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    import cv2

    done, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    assert done
    path.write_bytes(data.tobytes())
