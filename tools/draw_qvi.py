"""The picture of what QVI computes in docs/models/qvi.md: flow along a line and along a parabola, reversed, filtered.

    python tools/draw_qvi.py --weights qvi-s.safetensors --clip a.mp4
    python tools/draw_qvi.py --weights qvi-s.safetensors --clip a.png b.png c.png d.png

Of a clip every second frame is read, from its middle or from --first on, so that the true frame can be shown. Without
--weights the network is untrained: filtered flow is then hardly other than reversed flow.
"""

import numpy as np
import torch
from contact_sheet import Cell, Picture, draw_sheet, save_sheet
from looking import colour_flow, make_parser, open_model, read_clip, tell
from numpy.typing import NDArray
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor
from midframe.models.qvi import QVI, blend, move
from midframe.ops.pad import pad

T = 0.5


def main() -> None:
    parser = make_parser(__doc__, "qvi", 4)
    options = parser.parse_args()
    model = open_model(parser, options, QVI)
    frames, truth = read_clip(parser, options, 4)
    save_sheet(draw_sheet(look(model, frames, truth), cell_width=256), options.output, colours=96)
    tell(options.output)


@torch.no_grad()
def look(model: QVI, frames: list[Picture], truth: Picture | None) -> list[tuple[str, list[Cell]]]:
    window, cut = pad(torch.stack([as_tensor(frame) for frame in frames])[None], multiple=model.contract.multiple)
    t = torch.full((1, 1, 1, 1), T)
    state = model.prepare(window)
    straight = {**state, "accelerations": torch.zeros_like(state["accelerations"])}
    flow01, acceleration = state["flows"][:, :2], state["accelerations"][:, :2]
    arrived = model.arrive(state, t)
    filtered0, filtered1, feature = model.filter(state, arrived)
    warped0, warped1, logit = model.decide(state, filtered0, filtered1, feature)
    made, line = blend(warped0, warped1, logit, t), model.render(straight, T)
    full = max(1.0, float(move(flow01, acceleration, t).norm(dim=1).quantile(0.98)))

    def flow(field: Tensor, scale: float = 1.0) -> Picture:
        return colour_flow(field[0][:, cut[0], cut[1]], scale * full)

    def picture(frame: Tensor) -> Picture:
        return as_8bit(frame[0][:, cut[0], cut[1]])

    share = torch.sigmoid(logit).expand(-1, 3, -1, -1)
    last: Cell = ("both, laid over each other", mean_of(frames[1], frames[2])) if truth is None else ("true", truth)
    return [
        (
            f"Motion of frame 0 to t = {T}: colour is direction, full at {full:.1f} pixels",
            [
                ("frame 0", frames[1]),
                ("along a line", flow(move(flow01, torch.zeros_like(acceleration), t))),
                ("with acceleration", flow(move(flow01, acceleration, t))),
                (f"their difference, full at {full / 4:.1f}", flow(-t * (1 - t) / 2 * acceleration, 0.25)),
            ],
        ),
        (
            "Seen from t: flow to frame 0, and the mask",
            [
                ("reversed", flow(-arrived[0])),
                ("filtered", flow(-filtered0)),
                (f"what the filter changed, full at {full / 4:.1f}", flow(arrived[0] - filtered0, 0.25)),
                ("mask, white: frame 0", picture(share)),
            ],
        ),
        (
            "The frame",
            [
                ("made along a line", picture(line)),
                ("made with acceleration", picture(made)),
                ("their difference, 4 times", shown_difference(picture(made), picture(line))),
                last,
            ],
        ),
    ]


def shown_difference(one: Picture, other: Picture) -> Picture:
    """Grey where they are equal."""
    return (128 + 4 * (one.astype(np.int16) - other)).clip(0, 255).astype(np.uint8)


def mean_of(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Picture:
    return ((one.astype(np.uint16) + other) // 2).astype(np.uint8)


if __name__ == "__main__":
    main()
