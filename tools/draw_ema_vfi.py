"""The picture of what EMA-VFI computes in docs/models/ema_vfi.md: motion by attention, flow at three times, the frame.

    python tools/draw_ema_vfi.py --weights ema-vfi-xs.safetensors --clip a.mp4
    python tools/draw_ema_vfi.py --weights ema-vfi-xs.safetensors --clip a.png b.png

Of a clip two frames with one between them are read, from its middle or from --first on, so that the true frame can be
shown. Without --weights the network is untrained.
"""

import torch
import torch.nn.functional as F
from contact_sheet import Cell, Picture, draw_sheet, save_sheet
from looking import colour_flow, make_parser, open_model, read_clip, tell
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor
from midframe.models.ema_vfi import EMAVFI
from midframe.nn.layers import merge, warp_pair
from midframe.ops.pad import pad

TIMES = (0.25, 0.5, 0.75)


def main() -> None:
    parser = make_parser(__doc__, "ema-vfi", 2)
    parser.set_defaults(model="ema-vfi-xs")
    options = parser.parse_args()
    model = open_model(parser, options, EMAVFI)
    pair, truth = read_clip(parser, options, 2)
    save_sheet(draw_sheet(look(model, pair, truth), cell_width=256), options.output, colours=96)
    tell(options.output)


@torch.no_grad()
def look(model: EMAVFI, pair: list[Picture], truth: Picture | None) -> list[tuple[str, list[Cell]]]:
    window, (rows, columns) = pad(
        torch.stack([as_tensor(frame) for frame in pair])[None], multiple=model.contract.multiple
    )
    frame0, frame1 = window.unbind(1)
    size = window.shape[-2:]
    state = model.prepare(window)
    found = {t: model.find_flow(state, torch.full((1, 1, 1, 1), t)) for t in TIMES}
    middle, mask = found[0.5][-1]
    merged = merge(*warp_pair(frame0, frame1, middle), torch.sigmoid(mask))
    made = model.render(state, 0.5)
    full = max(1.0, float(middle[0, :2].norm(dim=0).quantile(0.98)))

    def flow(field: Tensor) -> Picture:
        return colour_flow(field[0, :2, rows, columns], full)

    def picture(frame: Tensor) -> Picture:
        return as_8bit(frame[:, rows, columns])

    def colours(motion: Tensor) -> Picture:
        """1 c h w: what varies most in the channels as red, green and blue."""
        maps = F.interpolate(motion, size, mode="nearest")[0]
        values = maps.flatten(1)
        values = values - values.mean(1, keepdim=True)
        axes = torch.linalg.eigh(values @ values.T).eigenvectors[:, -3:].T
        shown = (axes @ values).unflatten(1, size)
        return picture(0.5 + shown / (4 * shown.flatten(1).std(1).clamp(min=1e-6))[:, None, None])

    (fine0, _), (coarse0, _) = state["seen"]["motion"]
    over = picture(window[0].mean(0))
    last: Cell = ("both, laid over each other", over) if truth is None else ("true", truth)
    return [
        (
            "Found once for two frames. Motion: what varies most in its channels, as colours",
            [
                ("frame 0", pair[0]),
                ("frame 1", pair[1]),
                ("motion of frame 0, seen at 1/16", colours(coarse0)),
                ("seen at 1/8", colours(fine0)),
            ],
        ),
        (
            f"Flow to frame 0. Colour is direction, full at {full:.1f} pixels",
            [
                ("t = 0.5, first network", flow(found[0.5][0][0])),
                *((f"t = {t:g}, both", flow(found[t][-1][0])) for t in TIMES),
            ],
        ),
        (
            "The frame at t = 0.5",
            [
                ("mask, white: frame 0", picture(torch.sigmoid(mask[0]).expand(3, -1, -1))),
                ("what is added, 4 times", picture(0.5 + 4 * (made - merged)[0])),
                ("made", picture(made[0])),
                last,
            ],
        ),
    ]


if __name__ == "__main__":
    main()
