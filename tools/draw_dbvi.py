"""The picture of what DBVI computes in docs/models/dbvi.md: the frame after each step, its slope, what motion became.

    python tools/draw_dbvi.py --weights dbvi-s.safetensors --clip a.mp4
    python tools/draw_dbvi.py --weights dbvi-s.safetensors --clip a.png b.png c.png d.png

Of a clip every second frame is read, from its middle or from --first on, so that the true frame can be shown. Without
--weights the network is untrained: steps are then plain descent, and motion stays as it is found.
"""

import torch
from contact_sheet import Cell, Picture, draw_sheet, save_sheet
from looking import colour_flow, make_parser, open_model, read_clip, tell
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor
from midframe.models.dbvi import DBVI, descend_image, move
from midframe.ops.pad import pad

T = 0.5


def main() -> None:
    parser = make_parser(__doc__, "dbvi", 4)
    options = parser.parse_args()
    model = open_model(parser, options, DBVI)
    frames, truth = read_clip(parser, options, 4)
    save_sheet(draw_sheet(look(model, frames, truth), cell_width=256), options.output, colours=96)
    tell(options.output)


@torch.no_grad()
def look(model: DBVI, frames: list[Picture], truth: Picture | None) -> list[tuple[str, list[Cell]]]:
    window, (rows, columns) = pad(
        torch.stack([as_tensor(frame) for frame in frames])[None], multiple=model.contract.multiple
    )
    t = torch.full((1, 1, 1, 1), T)
    state = model.prepare(window)
    steps = model.descend(state, t)
    begun = model.inner(move(state["flows"], t))
    full = max(1.0, float(begun[:, :2].norm(dim=1).quantile(0.98)))
    motion = steps[-1][1]
    slopes = [descend_image(picture, window[:, 1], flow[:, :2]) for picture, flow in steps]

    def picture(values: Tensor) -> Picture:
        return as_8bit(values[0, :, rows, columns])

    def flow(field: Tensor, scale: float = 1.0) -> Picture:
        return colour_flow(field[0, :, rows, columns], scale * full)

    over = picture(window[:, 1:3].mean(1))
    last: Cell = ("both inner frames, laid over each other", over) if truth is None else ("true", truth)
    return [
        (
            "The frame, step by step",
            [*((f"after step {k + 1}", picture(one)) for k, (one, _) in enumerate(steps)), last],
        ),
        (
            "What frame 0 still asks for, 4 times; grey: nothing",
            [(f"after step {k + 1}", picture(0.5 + 4 * slope)) for k, slope in enumerate(slopes)],
        ),
        (
            f"Motion from frame 0 to t = {T}: colour is direction, full at {full:.1f} pixels",
            [
                ("frame 0", frames[1]),
                ("as it is found", flow(begun[:, :2])),
                ("after the last step", flow(motion[:, :2])),
                (f"their difference, full at {full / 4:.1f}", flow((motion - begun)[:, :2], 0.25)),
            ],
        ),
    ]


if __name__ == "__main__":
    main()
