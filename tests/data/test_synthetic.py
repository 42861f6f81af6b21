"""Synthetic motion: flow and visibility are exact, time is continuous, the same seed gives the same scene."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from midframe.data.synthetic import Scene, Style, Synthetic, draw_scene
from midframe.data.textures import KINDS, find_photos, make_textures
from midframe.errors import InputError, UsageError
from midframe.ops.warp import warp

SIZE = (96, 128)
WILD = Style(layers=(2, 4), motion=(0.02, 0.2), bend=0.04, turn=15.0, zoom=0.15, still=0.0)


@pytest.fixture(scope="module")
def textures():
    skimage = pytest.importorskip("skimage")
    photos = [getattr(skimage.data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket")]
    return make_textures(photos, masks=64, side=192)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def psnr(image, truth, mask):
    error = ((image - truth) ** 2 * mask).flatten(1).sum(1) / (3 * mask.flatten(1).sum(1))
    return -10 * torch.log10(error.clamp(min=1e-10))


@pytest.mark.parametrize("style", [Style(), WILD, Style(layers=(3, 3), thin=0.3, fence=0.3, text=0.3)])
def test_the_flow_leads_to_what_is_seen_there(textures, style):
    batch = Synthetic(textures, SIZE, targets=2, style=style).sample(generator(1), 12)
    frame0, frame1 = batch.frames.unbind(1)
    labels = batch.labels
    for here, there, flow, visible in [
        (frame0, frame1, labels["flow01"], labels["visible01"]),
        (frame1, frame0, labels["flow10"], labels["visible10"]),
        (batch.targets[:, 1], frame0, labels["flow_t0"][:, 1], labels["visible_t0"][:, 1]),
        (batch.targets[:, 0], frame1, labels["flow_t1"][:, 0], labels["visible_t1"][:, 0]),
    ]:
        found = psnr(warp(there, flow), here, visible)
        assert found.min() > 35 and found.mean() > 40
        assert 0.3 < visible.mean() < 1


def test_the_flow_is_exact_up_to_the_sampling_of_the_frame(textures):
    """On textures without fine detail bilinear sampling errs little, and nothing else is left."""
    blurred = [cv2.GaussianBlur(np.ascontiguousarray(c.permute(1, 2, 0).numpy()), (0, 0), 3) for c in textures.colours]
    smooth = replace(textures, colours=torch.from_numpy(np.stack(blurred)).permute(0, 3, 1, 2).contiguous())
    batch = Synthetic(smooth, SIZE, style=WILD).sample(generator(1), 12)
    labels = batch.labels
    for end in (0, 1):
        made = warp(batch.frames[:, end], labels[f"flow_t{end}"][:, 0])
        assert psnr(made, batch.targets[:, 0], labels[f"visible_t{end}"][:, 0]).min() > 50


@pytest.mark.parametrize("times", [(0.0, 1.0), (-1.0, 0.0, 1.0, 2.0)])
def test_a_layer_is_whole_inside_its_window(textures, times, monkeypatch):
    """Against a slow twin that works on the whole picture for each layer."""
    style = Style(layers=(3, 4), motion=(0.1, 0.4), bend=0.1, vanish=0.2, zoom=0.2, turn=20.0)
    source = Synthetic(textures, SIZE, times=times, targets=2, style=style)
    found = source.sample(generator(12), 16)
    monkeypatch.setattr(Scene, "_window", lambda *_: (slice(0, SIZE[0]), slice(0, SIZE[1])))
    wanted = source.sample(generator(12), 16)
    assert torch.allclose(found.frames, wanted.frames, atol=1e-4)
    assert torch.allclose(found.targets, wanted.targets, atol=1e-4)
    for name in ("flow01", "flow_t0", "flow_t1"):
        assert torch.allclose(found.labels[name], wanted.labels[name], atol=1e-2)


def test_what_is_hidden_is_said_to_be_hidden(textures):
    batch = Synthetic(textures, SIZE, style=WILD).sample(generator(2), 8)
    error = (warp(batch.frames[:, 1], batch.labels["flow01"]) - batch.frames[:, 0]).abs().mean(1, keepdim=True)
    hidden = 1 - batch.labels["visible01"]
    assert (error * hidden).sum() / hidden.sum() > 5 * (error * (1 - hidden)).sum() / (1 - hidden).sum()


def test_what_is_hidden_lies_under_a_nearer_layer(textures):
    labels = Synthetic(textures, SIZE, style=WILD).sample(generator(2), 8).labels
    here, flow = labels["layer0"], labels["flow01"]
    there = warp(labels["layer1"], flow)
    inside = warp(torch.ones_like(here), flow, border="zero") > 1 - 1e-4
    pool = torch.nn.functional.max_pool2d
    inside &= (pool(here, 5, 1, 2) == here) & (pool(-here, 5, 1, 2) == -here)  # rims hold two layers each
    visible = labels["visible01"] > 0
    assert (there - here)[inside & visible].abs().max() < 0.1  # another layer has 2 % of a pixel at most
    covered = inside & ~visible & (there != here)
    assert covered.sum() > 500 and (there > here)[covered].float().mean() > 0.99
    assert here.min() == 0 and here.max() <= WILD.layers[1]


def test_at_the_ends_the_target_is_the_end(textures):
    batch = Synthetic(textures, SIZE, targets=(0.0, 0.5, 1.0)).sample(generator(3), 4)
    assert torch.equal(batch.targets[:, 0], batch.frames[:, 0])
    assert torch.equal(batch.targets[:, 2], batch.frames[:, 1])
    assert batch.labels["flow_t0"][:, 0].abs().max() < 2e-3
    assert torch.allclose(batch.labels["flow_t1"][:, 0], batch.labels["flow01"])
    assert not torch.equal(batch.targets[:, 1], batch.frames[:, 0])


def test_flows_at_t_agree_with_those_of_the_ends(textures):
    """From t to 0 and on from there to 1 leads where t to 1 leads, up to the sampling of the flow."""
    batch = Synthetic(textures, SIZE, style=WILD).sample(generator(4), 8)
    labels = batch.labels
    to0, to1 = labels["flow_t0"][:, 0], labels["flow_t1"][:, 0]
    around = to0 + warp(labels["flow01"], to0)
    apart = (around - to1).norm(dim=1, keepdim=True)
    sure = labels["visible_t0"][:, 0] * labels["visible_t1"][:, 0] > 0
    assert apart[sure].median() < 2e-3
    assert apart[sure].quantile(0.95) < 0.2


def test_there_and_back_is_where_one_was(textures):
    labels = Synthetic(textures, SIZE).sample(generator(5), 8).labels
    back = labels["flow01"] + warp(labels["flow10"], labels["flow01"])
    sure = labels["visible01"] > 0
    assert back.norm(dim=1, keepdim=True)[sure].quantile(0.95) < 0.2


def test_motion_is_steady_unless_curved(textures):
    """A thing that moves straight is halfway at t = ½."""
    straight = Style(turn=0, zoom=0, shear=0, vanish=0, bend=0, still=0.0, text=0.0)
    batch = Synthetic(textures, SIZE, targets=(0.25, 0.5), style=straight).sample(generator(6), 6)
    quarter, half = (batch.labels["flow_t1"][:, m] for m in (0, 1))
    sure = batch.labels["visible_t0"][:, 1] > 0
    ends = (half - batch.labels["flow_t0"][:, 1]).norm(dim=1, keepdim=True)
    assert torch.allclose(2 * half.norm(dim=1, keepdim=True)[sure], ends[sure], atol=0.02)
    assert quarter.isfinite().all()


def test_the_same_seed_gives_the_same_scene_whatever_is_beside_it(textures):
    source = Synthetic(textures, SIZE)
    first, again = source.sample(generator(7), 3), source.sample(generator(7), 5)
    assert torch.equal(first.frames, again.frames[:3])
    assert torch.equal(first.labels["flow01"], again.labels["flow01"][:3])
    assert not torch.equal(first.frames, source.sample(generator(8), 3).frames)


def test_scenes_drawn_together_are_those_drawn_one_by_one(textures):
    source = Synthetic(textures, SIZE, style=WILD)
    alone = source.sample(generator(9), 6)
    source._together = 4  # as on a GPU
    together = source.sample(generator(9), 6)
    assert torch.allclose(together.frames, alone.frames, atol=1e-5)
    assert torch.allclose(together.labels["flow01"], alone.labels["flow01"], atol=1e-3)
    assert (together.labels["visible01"] == alone.labels["visible01"]).float().mean() > 0.999


def test_four_inputs_and_any_number_of_targets(textures):
    source = Synthetic(textures, (64, 64), times=(-1, 0, 1, 2), targets=3)
    batch = source.sample(generator(10), 2)
    assert batch.frames.shape == (2, 4, 3, 64, 64) and batch.targets.shape == (2, 3, 3, 64, 64)
    assert batch.times.tolist() == [[-1, 0, 1, 2]] * 2
    times = batch.target_times
    assert (times > 0).all() and (times < 1).all() and (times.diff(dim=1) >= 0).all()
    assert batch.labels["flow_t1"].shape == (2, 3, 2, 64, 64)
    assert batch.frames.min() >= 0 and batch.frames.max() <= 1


def test_without_labels_the_frames_are_the_same(textures):
    plain = Synthetic(textures, SIZE, labels=False).sample(generator(11), 2)
    assert plain.labels == {}
    assert torch.equal(plain.frames, Synthetic(textures, SIZE).sample(generator(11), 2).frames)


def test_scenes_hold_all_kinds_and_captions_that_stand_still(textures):
    style = Style(thin=0.25, fence=0.25, text=0.25)
    kinds, moved = set(), []
    for seed in range(60):
        numbers = draw_scene(np.random.default_rng(seed), SIZE, textures, style)
        of = [textures.kinds[mask] for mask in numbers["mask"]]
        kinds |= set(of[1:])
        for layer, kind in enumerate(of):
            if layer and kind == KINDS.index("text"):
                moved.append(np.abs(numbers["path"][layer, :, 1]).max())
                assert not numbers["turn"][layer].any() and not numbers["bend"][layer].any()
    assert kinds == set(range(len(KINDS)))
    assert 0.2 < np.mean(np.array(moved) == 0) < 0.8


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda textures: Synthetic(textures, (8, 8)), UsageError),
        (lambda textures: Synthetic(textures, times=(-1, 0)), UsageError),
        (lambda textures: Synthetic(textures, targets=0), UsageError),
        (lambda textures: make_textures(side=8), UsageError),
        (lambda textures: find_photos("nowhere"), InputError),
    ],
)
def test_mistakes_get_one_line(textures, call, error):
    with pytest.raises(error) as caught:
        call(textures)
    assert "\n" not in str(caught.value)
