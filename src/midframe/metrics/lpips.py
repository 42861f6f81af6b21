"""LPIPS: how different two pictures look to a trained network. Lower is nearer."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from midframe.errors import UsageError
from midframe.metrics.pair import as_pair
from midframe.ops.perception import SMALLEST, Kind, Network, load_network, lpips_distance


def lpips(a: NDArray | Tensor, b: NDArray | Tensor, net: Kind | Network = "alex", peak: float = 1.0) -> float:
    """Learned perceptual distance, version 0.1: 0 for equal pictures, about 0.01 to 0.1 for good interpolations.

    H W 3 arrays or 3 H W tensors (see `as_pair`), white at `peak`; grey is repeated into three channels. Nothing is
    rounded or clamped. Computed in float32 where the network lies; `net` is "alex" (what most papers report), "vgg",
    or a `Network`, e.g. `load_network("alex").to("cuda")`. Values of different networks are not comparable, and papers
    differ by a factor of two on the same model (resizing, cropping, 8 bits): compare within one table only.

    Raises UsageError if sizes or layouts do not fit or a picture is smaller than 31×31 (vgg: 16×16); ModelError if the
    weights are not installed (`midframe.ops.perception` says how).
    Source: Zhang et al., CVPR 2018, arXiv 1801.03924; numbers as the package lpips 0.1.4 with `normalize=True`.
    """
    pictures = as_pair(a, b, peak)
    network = net if isinstance(net, Network) else load_network(net)
    least = SMALLEST[network.kind]
    if min(pictures[0].shape[:2]) < least:
        raise UsageError(
            f"LPIPS ({network.kind}) needs pictures of at least {least}×{least}, got {pictures[0].shape[:2]} (H W)."
        )
    weight = network.heads[0]
    with torch.inference_mode():
        first, second = (
            torch.from_numpy(np.broadcast_to(image / peak, (*image.shape[:2], 3)).copy())
            .permute(2, 0, 1)[None]
            .to(weight.device, weight.dtype)
            for image in pictures
        )
        return float(lpips_distance(network, first, second))
