import torch

from midframe.nn.refine import Contextnet, Unet


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_both_nets_have_the_published_number_of_parameters():
    assert count(Contextnet()) == 294_000
    assert count(Unet()) == 2_957_875


def test_the_residual_has_the_frames_size_and_stays_within_one():
    frame, flow = torch.rand(2, 3, 32, 48), torch.zeros(2, 2, 32, 48)
    context = Contextnet(2)(frame, flow)
    assert [tuple(level.shape[1:]) for level in context] == [(2, 16, 24), (4, 8, 12), (8, 4, 6), (16, 2, 3)]
    residual = Unet(2)(torch.rand(2, 17, 32, 48), context, context)
    assert residual.shape == frame.shape
    assert residual.abs().max() <= 1


def test_context_moves_with_the_flow():
    torch.manual_seed(0)
    net, frame = Contextnet(2), torch.rand(1, 3, 64, 64)
    flow = torch.zeros(1, 2, 64, 64)
    flow[:, 0] = 16.0
    still, moved = net(frame, torch.zeros_like(flow)), net(frame, flow)
    for level, (before, after) in enumerate(zip(still, moved, strict=True)):
        step = 16 // 2 ** (level + 1)
        assert torch.allclose(after[..., :-step], before[..., step:], atol=1e-4)
