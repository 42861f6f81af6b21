"""The picture of what AMT computes in docs/models/amt.md: matches of one place, flow by flow, candidates, the frame.

    python tools/draw_amt.py --weights amt-s.safetensors --clip a.mp4
    python tools/draw_amt.py --weights amt-s.safetensors --clip a.png b.png

Of a clip two frames with one between them are read, from its middle or from --first on, so that the true frame can be
shown. --place chooses the place whose matches are drawn. Without --weights the network is untrained.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from contact_sheet import Cell, Picture, draw_sheet, save_sheet
from looking import colour_flow, make_parser, open_model, read_clip, tell
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor
from midframe.models.amt import AMT
from midframe.ops.correlate import correlate_all
from midframe.ops.pad import pad

T = 0.5


def main() -> None:
    parser = make_parser(__doc__, "amt", 2)
    parser.add_argument("--place", nargs=2, type=float, default=(0.5, 0.5), help="x and y, 0 to 1 of the frame")
    options = parser.parse_args()
    if not all(0 <= share < 1 for share in options.place):
        parser.error("--place takes two numbers from 0 up to 1")
    model = open_model(parser, options, AMT)
    pair, truth = read_clip(parser, options, 2)
    sheet = draw_sheet(look(model, pair, truth, tuple(options.place)), cell_width=256)
    save_sheet(sheet, options.output, colours=96)
    tell(options.output)


@torch.no_grad()
def look(
    model: AMT, pair: list[Picture], truth: Picture | None, place: tuple[float, float]
) -> list[tuple[str, list[Cell]]]:
    height, width = pair[0].shape[:2]
    x, y = int(place[0] * width), int(place[1] * height)
    window, (rows, columns) = pad(
        torch.stack([as_tensor(frame) for frame in pair])[None],
        multiple=model.contract.multiple,
        minimum=model.contract.minimum,
    )
    state = model.prepare(window)
    candidates: list[Tensor] = []
    hook = model.comb_block.register_forward_hook(lambda module, given, made: candidates.extend((given[0], made)))
    made, fields, coarse = model.decode(state, torch.full((1, 1, 1, 1), T))
    hook.remove()
    pictures = candidates[0].unflatten(1, (-1, 3))[0]
    full = max(1.0, float(fields[0, :, :2].norm(dim=1).quantile(0.98)))
    size = window.shape[-2:]

    def flow(field: Tensor) -> Picture:
        """2 h w, pixels of its own size."""
        scale = size[1] / field.shape[-1]
        large = F.interpolate(scale * field[None], size, mode="nearest")[0]
        return colour_flow(large[:, rows, columns], full)

    def picture(frame: Tensor) -> Picture:
        return as_8bit(frame[:, rows, columns])

    def matches(volume: Tensor) -> Picture:
        """h w: from the least match, black, to the best, white."""
        shown = (volume - volume.min()) / (volume.max() - volume.min()).clamp(min=1e-6)
        return picture(F.interpolate(shown[None, None], size, mode="nearest")[0].expand(3, -1, -1))

    stride = size[0] // state["compared"][0].shape[-2]  # 8, or more where the network sees smaller frames
    g0, g1 = state["compared"]
    own = g0[:, :, y // stride, x // stride, None, None].expand_as(g1)
    level0, *_, level3 = correlate_all(own, g1, 4)  # any row of it is that of the place
    spread = fields[0].std(0).norm(dim=0) if model.candidates > 1 else torch.zeros(size)
    over = picture(window[0].mean(0))
    last: Cell = ("both, laid over each other", over) if truth is None else ("true", truth)
    return [
        (
            "Found once for two frames: where in frame 1 a place of frame 0 has its like",
            [
                ("frame 0 and the place", mark(pair[0], x, y)),
                ("frame 1", pair[1]),
                ("matches of the place", matches(level0[0, 0])),
                ("at the coarsest level", matches(level3[0, 0])),
            ],
        ),
        (
            f"Flow from t = {T} to frame 0, corrected by matches. Colour is direction, full at {full:.1f} pixels",
            [
                ("at 1/8", flow(coarse[2][0, :2])),
                ("at 1/4", flow(coarse[1][0, :2])),
                ("at 1/2", flow(coarse[0][0, :2])),
                ("first candidate", flow(fields[0, 0, :2])),
            ],
        ),
        (
            "The candidates",
            [
                ("first", picture(pictures[0])),
                ("last", picture(pictures[-1])),
                ("their difference, 4 times", picture(0.5 + 4 * (pictures[-1] - pictures[0]))),
                ("how far their flows part, white: 2 pixels", picture(spread.expand(3, -1, -1) / 2)),
            ],
        ),
        (
            "The frame",
            [
                ("mean of the candidates", picture(pictures.mean(0))),
                ("what is added, 4 times", picture(0.5 + 4 * candidates[1][0])),
                ("made", picture(made[0])),
                last,
            ],
        ),
    ]


def mark(frame: Picture, x: int, y: int) -> Picture:
    return cv2.circle(np.ascontiguousarray(frame), (x, y), max(4, frame.shape[1] // 40), (255, 64, 64), 2, cv2.LINE_AA)


if __name__ == "__main__":
    main()
