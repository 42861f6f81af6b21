"""Learning rate by step, and the moving average of the weights."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from midframe.train.recipe import OptimRecipe


def rate_at(step: int, recipe: OptimRecipe) -> float:
    """Linear from 0 over `warm_up` steps, then half a cosine from `rate` to `final_rate` at `steps`; flat after it."""
    if step < recipe.warm_up:
        return recipe.rate * (step + 1) / recipe.warm_up
    done = min((step - recipe.warm_up) / (recipe.steps - recipe.warm_up), 1.0)
    return recipe.final_rate + (recipe.rate - recipe.final_rate) * (1 + math.cos(math.pi * done)) / 2


class Average:
    """Exponential moving average of a module's parameters and buffers. Owns the averaged tensors.

    Early on the average follows faster (Tarvainen and Valpola 2017): decay = min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = module.state_dict()
        floats = [name for name, value in self.state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.state[n] for n in floats], [current[n].detach() for n in floats], weight)
        for name in self.state.keys() - set(floats):
            self.state[name].copy_(current[name])


def total_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Length of all gradients together."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
