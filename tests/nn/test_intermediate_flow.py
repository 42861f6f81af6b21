"""The flow blocks' sizes and channels; what they compute is checked with the released weights (RIFE 4.26)."""

import torch

from midframe.nn.intermediate_flow import FEATURES, HANDED_ON, Head, flow_blocks


def test_features_have_their_frames_size():
    assert Head(4)(torch.rand(2, 3, 32, 48)).shape == (2, FEATURES, 32, 48)


def test_a_block_answers_at_the_size_it_is_shown():
    first, second, third = flow_blocks((8, 12, 16))
    seen = 2 * 3 + 2 * FEATURES + 1
    for block, channels in ((first, seen), (second, seen + 1 + HANDED_ON + 4), (third, seen + 1 + HANDED_ON + 4)):
        flow, mask, feature = block(torch.rand(1, channels, 16, 24))
        assert [tuple(part.shape) for part in (flow, mask, feature)] == [
            (1, 4, 16, 24),
            (1, 1, 16, 24),
            (1, HANDED_ON, 16, 24),
        ]
