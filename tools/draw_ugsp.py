"""The picture of what UGSP computes in docs/models/ugsp.md: where each level looks again, at several efforts.

    python tools/draw_ugsp.py --weights ugsp-s.safetensors --clip a.mp4
    python tools/draw_ugsp.py --weights ugsp-s.safetensors --clip a.png b.png

Of a clip two frames with one between them are read, from its middle or from --first on, so that the true frame can be
shown. Tiles that a level leaves out are dark. Without --weights the network is untrained, and so is its choice.
"""

import torch
from contact_sheet import Cell, Picture, draw_sheet, save_sheet
from looking import colour_flow, make_parser, open_model, read_clip, tell
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor
from midframe.models.ugsp import UGSP
from midframe.ops.pad import pad

EFFORTS = (0.2, 0.35, 0.5, 1.0)
DARK = 0.25  # of the brightness, where nothing is computed


def main() -> None:
    parser = make_parser(__doc__, "ugsp", 2)
    options = parser.parse_args()
    model = open_model(parser, options, UGSP)
    pair, truth = read_clip(parser, options, 2)
    save_sheet(draw_sheet(look(model, pair, truth), cell_width=256), options.output, colours=96)
    tell(options.output)


@torch.no_grad()
def look(model: UGSP, pair: list[Picture], truth: Picture | None) -> list[tuple[str, list[Cell]]]:
    window, (rows, columns) = pad(
        torch.stack([as_tensor(frame) for frame in pair])[None], multiple=model.contract.multiple
    )
    over = window.mean(1)
    state = model.prepare(window)

    def picture(frame: Tensor) -> Picture:
        return as_8bit(frame[0, :, rows, columns])

    last: Cell = ("both frames, laid over each other", picture(over)) if truth is None else ("true", truth)
    sheet: list[tuple[str, list[Cell]]] = []
    for effort in (None, *EFFORTS):
        model.set_effort(effort)
        found = model.decode(**state)
        full = max(1.0, float(found["flows"][-1][:, :2].norm(dim=1).quantile(0.98)))
        flow = colour_flow(found["flows"][-1][0, :2, rows, columns], full)
        cells: list[Cell] = [("made", picture(found["frame"])), (f"flow to frame 0, full at {full:.1f} pixels", flow)]
        for k, (mask, tile) in enumerate(zip(found["masks"], model.tiles, strict=False)):
            side = tile * 8 // 2**k  # in pixels of the frame
            share = float(mask.float().mean())
            cells.append((f"1/{8 // 2**k}: {share:.0%} of the tiles", picture(over * shade(mask, side, over))))
        sheet.append(("As it was trained" if effort is None else f"Effort {effort}", cells))
    sheet[-1][1].append(last)
    return sheet


def shade(mask: Tensor, side: int, frame: Tensor) -> Tensor:
    """1 in the tiles that are kept, DARK in the others, as large as `frame`."""
    large = mask.repeat_interleave(side, -2).repeat_interleave(side, -1)[..., : frame.shape[-2], : frame.shape[-1]]
    return DARK + (1 - DARK) * large.to(frame)


if __name__ == "__main__":
    main()
