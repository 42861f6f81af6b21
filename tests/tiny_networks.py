"""Small random stand-ins for LPIPS's networks: the same layers, a few channels."""

import torch

from midframe.ops.perception import Network, network_from_state

SIDES = {"alex": (11, 5, 3, 3, 3), "vgg": (3,) * 13}
TAPPED = {"alex": (0, 1, 2, 3, 4), "vgg": (1, 3, 6, 9, 12)}


def tiny_network(kind: str, *, channels: int = 4, bias: float = 0.1, seed: int = 0) -> Network:
    generator = torch.Generator().manual_seed(seed)
    state, incoming = {}, 3
    for i, side in enumerate(SIDES[kind]):
        out = channels + i % 2
        weight = torch.randn(out, incoming, side, side, dtype=torch.float64, generator=generator)
        state[f"conv{i}.weight"] = weight / (incoming * side**2 / 2) ** 0.5
        state[f"conv{i}.bias"] = torch.full((out,), bias, dtype=torch.float64)
        incoming = out
    for i, layer in enumerate(TAPPED[kind]):
        state[f"head{i}.weight"] = torch.rand(channels + layer % 2, dtype=torch.float64, generator=generator)
    return network_from_state(kind, state)
