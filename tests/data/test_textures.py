"""Textures and masks: pools of the right kinds, the same from the same seed, from any photograph."""

import cv2
import numpy as np
import pytest
import torch

from midframe.data.synthetic import Synthetic
from midframe.data.textures import KINDS, PATTERNS, find_photos, make_textures
from midframe.errors import InputError, UsageError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_textures_need_no_photographs(tmp_path):
    made = make_textures(side=64, masks=16)
    assert made.colours.shape == (20, 3, 64, 64) and made.masks.shape == (16, 128, 128)
    assert set(made.kinds) == set(range(len(KINDS)))
    again = make_textures(side=64, masks=16)
    assert torch.equal(made.colours, again.colours) and torch.equal(made.masks, again.masks)
    assert made.masks.float().mean((1, 2)).min() > 0
    batch = Synthetic(made.to("cpu"), (32, 32)).sample(generator(), 2)
    assert batch.frames.std() > 0.02


def test_photographs_are_cut_not_stretched(tmp_path):
    """Squares of one photograph, whatever its shape; a small one is enlarged."""
    ramp = np.broadcast_to(np.linspace(0, 255, 400).astype(np.uint8)[None, :, None], (100, 400, 3))
    cv2.imwrite(str(tmp_path / "wide.png"), ramp)
    cv2.imwrite(str(tmp_path / "small.jpg"), ramp[:20, :20])
    (tmp_path / "notes.txt").touch()
    photos = find_photos(tmp_path)
    assert [path.name for path in photos] == ["small.jpg", "wide.png"]
    made = make_textures(photos, count=8, side=64, masks=8)
    assert made.colours.shape[0] == 8 + max(4, round(PATTERNS * 8))
    wide = made.colours[1, 0].float()
    assert (wide.diff(dim=1) >= 0).all() and (wide.diff(dim=0).abs() <= 1).all()
    assert 30 < wide[0, -1] - wide[0, 0] < 70  # a square as high as the photograph spans a quarter of its ramp


def test_patterns_repeat():
    """The spectrum of a pattern is a few lines; that of clouds is not."""
    made = make_textures(side=128, masks=8).colours.float().mean(1)

    def strongest(picture):
        power = torch.fft.rfft2((picture - picture.mean()) * torch.hann_window(128).outer(torch.hann_window(128)))
        power = power.abs().square()
        power[:4, :4] = power[-4:, :4] = 0  # clouds are strong where waves are long
        return (power.flatten().topk(12).values.sum() / power.sum()).item()

    assert min(map(strongest, made[16:])) > max(map(strongest, made[:16]))


def test_thin_things_are_thin_and_fences_let_through():
    made = make_textures(side=32, masks=240)
    cover = {
        kind: np.mean([(m > 127).float().mean().item() for m, k in zip(made.masks, made.kinds, strict=True) if k == n])
        for n, kind in enumerate(KINDS)
    }
    assert cover["thin"] < 0.25 < cover["shape"] and cover["text"] < 0.3 and cover["fence"] < 0.7
    rim = torch.cat([made.masks[:, 0], made.masks[:, -1], made.masks[:, :, 0], made.masks[:, :, -1]], 1)
    assert rim.max() == 0  # a mask that is cut by its square would have a straight edge


def test_mistakes_get_one_line(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    for call, error in [
        (lambda: find_photos(tmp_path / "nowhere"), InputError),
        (lambda: make_textures([tmp_path / "bad.png"]), InputError),
        (lambda: make_textures(side=8), UsageError),
        (lambda: make_textures(masks=2), UsageError),
    ]:
        with pytest.raises(error) as caught:
            call()
        assert "\n" not in str(caught.value)
