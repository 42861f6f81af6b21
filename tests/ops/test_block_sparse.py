"""Chains of convolutions under a mask: every way gives the same, and what is left out costs nothing."""

import pytest
import torch
import torch.nn.functional as F

from midframe.errors import ContractError
from midframe.ops import block_sparse
from midframe.ops.block_sparse import choose_way, masked_chain


def draw_chain(channels=12, count=3, outputs=5):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator) / 8

    kernels = [draw(channels, channels, 3, 3) for _ in range(count)]
    slopes = [draw(channels) for _ in range(count)]
    return kernels, slopes, draw(outputs, channels * count, 1, 1), draw(outputs)


def draw_maps(batch=2, channels=12, height=20, width=27):
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(2))


def draw_mask(kind, batch=2, height=20, width=27):
    mask = torch.zeros(batch, 1, height, width, dtype=torch.bool)
    if kind == "full":
        mask[:] = True
    if kind == "blocks":
        mask[0, :, 4:12, 8:24] = True
        mask[-1, :, 16:, 24:] = True  # parts of tiles at the edges
    if kind == "dots":
        mask = torch.rand(mask.shape, generator=torch.Generator().manual_seed(3)) < 0.2
    if kind == "one member":
        mask[1] = True
    return mask


def chain_slowly(x, mask, kernels, slopes, gather, bias):
    maps = []
    for kernel, slope in zip(kernels, slopes, strict=True):
        x = mask * F.prelu(F.conv2d(x, kernel, padding=1), slope)
        maps.append(x)
    return F.conv2d(torch.cat(maps, 1), gather, bias)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", ["empty", "full", "blocks", "dots", "one member"])
@pytest.mark.parametrize(("way", "tile"), [("dense", 8), ("rows", 8), ("tiles", 4), ("tiles", 8), ("tiles", 32)])
def test_every_way_gives_the_dense_answer_under_the_mask(way, tile, kind, layout):
    x, mask, chain = draw_maps().contiguous(memory_format=layout), draw_mask(kind), draw_chain()
    with torch.no_grad():
        made = masked_chain(x, mask, *chain, tile=tile, way=way)
    torch.testing.assert_close(made, chain_slowly(x, mask, *chain), atol=1e-4, rtol=0)


def test_without_a_mask_everything_is_computed():
    x, chain = draw_maps(), draw_chain()
    torch.testing.assert_close(masked_chain(x, None, *chain), chain_slowly(x, 1, *chain), atol=1e-5, rtol=0)


def test_what_is_left_out_is_the_bias():
    kernels, slopes, gather, bias = draw_chain()
    with torch.no_grad():
        made = masked_chain(draw_maps(), draw_mask("one member"), kernels, slopes, gather, bias, way="tiles")
    assert torch.equal(made[0], bias.view(-1, 1, 1).expand_as(made[0]))


def test_a_batch_is_its_members():
    x, mask, chain = draw_maps(), draw_mask("dots"), draw_chain()
    with torch.no_grad():
        for way in ("rows", "tiles"):
            both = masked_chain(x, mask, *chain, way=way)
            alone = [masked_chain(x[k : k + 1], mask[k : k + 1], *chain, way=way) for k in range(2)]
            torch.testing.assert_close(both, torch.cat(alone), atol=1e-6, rtol=0)


def test_the_way_follows_what_the_mask_holds_and_how():
    def choose(mask):
        return choose_way(mask, channels=100, tile=8)

    nothing = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    corner, dots = nothing.clone(), nothing.clone()
    corner[..., :24, :24] = True
    dots[..., ::16, ::16] = True  # a dot in a quarter of all tiles
    assert choose(corner) == "tiles"
    assert choose(dots) == "rows"
    assert choose(~nothing) == choose(~corner) == "dense"


def test_gradients_and_soft_masks_go_the_dense_way(monkeypatch):
    def refuse(*_):
        raise AssertionError("not differentiable")

    monkeypatch.setattr(block_sparse, "_go_sparsely", refuse)
    x, mask, chain = draw_maps().requires_grad_(), draw_mask("blocks"), draw_chain()
    masked_chain(x, mask, *chain).sum().backward()
    assert x.grad.isfinite().all()
    soft = torch.full((2, 1, 20, 27), 0.5)
    assert torch.allclose(masked_chain(x, soft, *chain), chain_slowly(x, soft, *chain), atol=1e-5)
    with pytest.raises(ContractError, match="needs a mask of bool"):
        masked_chain(x, soft, *chain, way="tiles")


def test_sizes_that_do_not_fit_are_refused():
    x, mask, (kernels, slopes, gather, bias) = draw_maps(), draw_mask("full"), draw_chain()
    with pytest.raises(ContractError, match="need a mask"):
        masked_chain(x, mask[..., 1:], kernels, slopes, gather, bias)
    with pytest.raises(ContractError, match="do not fit maps of 11 channels"):
        masked_chain(x[:, 1:], mask, kernels, slopes, gather, bias)
    with pytest.raises(ContractError, match="2 slopes"):
        masked_chain(x, mask, kernels, slopes[1:], gather, bias)
    with pytest.raises(ContractError, match="at least 1"):
        masked_chain(x, mask, kernels, slopes, gather, bias, tile=0)
