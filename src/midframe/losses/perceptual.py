"""Losses that compare features of a trained classifier instead of pixels: sharper pictures for a little PSNR.

Both take the `Network` of `midframe.ops.perception.load_network`, which says where its weights come from and under what
licence. Keep it on the pictures' device: `load_network("vgg").to(device)`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from midframe.errors import ContractError
from midframe.ops.perception import Network, features, lpips_distance

# Chen and Koltun, ICCV 2017, for conv1_2, 2_2, 3_2, 4_2, 5_2 of VGG19; taken over by FILM and by Practical-RIFE
WEIGHTS = (1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5)


def perceptual(
    made: Float[Tensor, "b 3 h w"],
    truth: Float[Tensor, "b 3 h w"],
    network: Network,
    *,
    weights: Sequence[float] = WEIGHTS,
) -> Float[Tensor, ""]:
    """Σ wₗ · mean |φₗ(made) − φₗ(truth)| over the five feature maps φ of `network`; pictures in [0, 1].

    As FILM's VGG loss (Reda et al., ECCV 2022, arXiv 2202.04901, section 4) and Johnson et al., ECCV 2016, with these
    differences: VGG16's last map of each stage instead of VGG19's second, because no installable package carries
    VGG19; and LPIPS's normalisation, whose features are not those of FILM's Caffe-style network. So the weights, made
    for VGG19, balance only roughly. `truth` gets no gradient.

    Raises ContractError if the shapes differ, there are not five weights, or the pictures are too small.
    """
    if made.shape != truth.shape:
        raise ContractError(f"perceptual: shapes {tuple(made.shape)} and {tuple(truth.shape)} differ.")
    if len(weights) != len(network.heads):
        raise ContractError(f"perceptual: {len(network.heads)} feature maps need as many weights, got {len(weights)}.")
    with torch.no_grad():
        wanted = features(network, truth)
    total = torch.zeros((), dtype=torch.promote_types(made.dtype, torch.float32), device=made.device)
    for weight, f, g in zip(weights, features(network, made), wanted, strict=True):
        total = total + weight * (f - g).abs().mean()
    return total


def lpips(made: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"], network: Network) -> Float[Tensor, ""]:
    """Mean LPIPS over the batch (`ops.perception.lpips_distance`), as a loss; pictures in [0, 1].

    Train with one network and judge with the other: a model trained on AlexNet's LPIPS wins on AlexNet's LPIPS.
    Source: Zhang et al., CVPR 2018. Raises ContractError if the shapes differ or the pictures are too small.
    """
    return lpips_distance(network, made, truth).mean()
