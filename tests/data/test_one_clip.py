import numpy as np
import torch

from midframe.data.one_clip import OneClip, write_frames


def test_frames_are_kept_at_one_size_and_drawn_with_their_times(tmp_path):
    shades = [torch.full((3, 8, 12), n / 10) for n in range(5)]
    heard = []
    write_frames(tmp_path / "f.npy", iter(shades), 5, (4, 6), heard.append)
    pictures = np.load(tmp_path / "f.npy", mmap_mode="r")
    assert pictures.shape == (5, 4, 6, 3) and heard == [1, 2, 3, 4, 5]
    source = OneClip(pictures, [0, 1, 2.5, 3, 4], [0, 2, 4])
    batch = source.sample(torch.Generator().manual_seed(0), 6)
    again = source.sample(torch.Generator().manual_seed(0), 6)
    assert batch.frames.shape == (6, 0, 3, 4, 6) and torch.equal(batch.targets, again.targets)
    assert sorted(batch.target_times.flatten().tolist()) == [0, 0, 2.5, 2.5, 4, 4]  # each once before any twice
    shade = {0: 0.0, 2.5: 0.2, 4: 0.4}
    for time, picture in zip(batch.target_times.flatten().tolist(), batch.targets, strict=True):
        assert torch.allclose(picture, torch.tensor(shade[time]), atol=0.003)
    chance = batch.labels["chance"]
    assert chance.shape == (6,) and bool(((chance >= 0) & (chance < 1)).all())


def test_windows_are_frames_that_follow_each_other():
    pictures = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    source = OneClip(pictures, [0, 1, 2, 3, 4, 5], [0, 2, 3, 5], window=3)
    batch = source.sample(torch.Generator().manual_seed(0), 20)
    assert batch.targets.shape == (20, 3, 3, 2, 2)
    assert {tuple(times) for times in batch.target_times.tolist()} == {(0, 2, 3), (2, 3, 5)}
    assert torch.equal((batch.targets[:, :, 0, 0, 0] * 255).round(), batch.target_times)
    assert OneClip(pictures, range(6), [0, 5], window=9).sample(torch.Generator(), 1).targets.shape[1] == 2
