"""The picture of what DAIN computes in docs/models/dain.md: depth, flow with and without it, kernels, the frame.

    python tools/draw_dain.py --weights dain-s.safetensors --clip a.mp4
    python tools/draw_dain.py --weights dain-s.safetensors --clip a.png b.png

Of a clip two frames with one between them are read, from its middle or from --first on, so that the true frame can be
shown. Without --weights the network is untrained: depth is flat then, and the kernels are plain bilinear sampling.
"""

import torch
from contact_sheet import Cell, Picture, draw_sheet, save_sheet
from looking import colour_flow, make_parser, open_model, read_clip, tell
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor
from midframe.models.dain import DAIN
from midframe.ops.adaptive_warp import TAPS, adaptive_warp
from midframe.ops.pad import pad

T = 0.5
DOT = 4  # pixels of the picture for one value of a kernel


def main() -> None:
    parser = make_parser(__doc__, "dain", 2)
    options = parser.parse_args()
    model = open_model(parser, options, DAIN)
    pair, truth = read_clip(parser, options, 2)
    save_sheet(draw_sheet(look(model, pair, truth), cell_width=256), options.output, colours=96)
    tell(options.output)


@torch.no_grad()
def look(model: DAIN, pair: list[Picture], truth: Picture | None) -> list[tuple[str, list[Cell]]]:
    window, (rows, columns) = pad(
        torch.stack([as_tensor(frame) for frame in pair])[None], multiple=model.contract.multiple
    )
    t = torch.full((1, 1, 1, 1), T)
    state = model.prepare(window)
    with_depth = model.project_flows(state, t)
    without = model.project_flows({**state, "log_depth": torch.zeros_like(state["log_depth"])}, t)
    warped = [adaptive_warp(window[:, k], flow, state["kernels"][:, k]) for k, flow in enumerate(with_depth)]
    blend, made = (warped[0] + warped[1]) / 2, model.render(state, T)
    full = max(1.0, float(with_depth[0].norm(dim=1).quantile(0.98)))

    def flow(field: Tensor, scale: float = 1.0) -> Picture:
        return colour_flow(field[0, :, rows, columns], scale * full)

    def picture(frame: Tensor) -> Picture:
        return as_8bit(frame[0, :, rows, columns])

    over = as_8bit(window.mean(1)[0, :, rows, columns])
    last: Cell = ("both, laid over each other", over) if truth is None else ("true", truth)
    return [
        (
            f"Found once for two frames. Flow: colour is direction, full at {2 * full:.1f} pixels",
            [
                ("frame 0", pair[0]),
                ("flow from frame 0 to frame 1", flow(state["flow01"], 2)),
                ("depth of frame 0, light: near", grey(-state["log_depth"][0, 0, 0, rows, columns])),
                (f"kernels, one in {DOT * TAPS} pixels", mosaic(state["kernels"][0, 0, :, rows, columns])),
            ],
        ),
        (
            f"Seen from t = {T}: flow to frame 0, full at {full:.1f} pixels",
            [
                ("all depths alike", flow(without[0])),
                ("near before far", flow(with_depth[0])),
                (f"their difference, full at {full / 4:.1f}", flow(with_depth[0] - without[0], 0.25)),
                ("frame 0 moved to t", picture(warped[0])),
            ],
        ),
        (
            "The frame",
            [
                ("blend", picture(blend)),
                ("what is added, 4 times", picture(0.5 + 4 * (made - blend))),
                ("made", picture(made)),
                last,
            ],
        ),
    ]


def grey(values: Tensor) -> Picture:
    """H W: black to white from the 2nd to the 98th of a hundred."""
    low, high = values.flatten().quantile(torch.tensor([0.02, 0.98]))
    share = ((values - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    return (share * 255).round().to(torch.uint8)[..., None].expand(-1, -1, 3).contiguous().numpy()


def mosaic(kernels: Tensor) -> Picture:
    """16 H W: each tile of the picture is the kernel in its middle, a square a value; grey 0, white 1, black −1."""
    side = DOT * TAPS
    height, width = kernels.shape[-2:]
    middles = kernels[:, side // 2 :: side, side // 2 :: side].unflatten(0, (TAPS, TAPS))  # 4 4 tiles_y tiles_x
    tiles = middles.permute(2, 0, 3, 1).flatten(2, 3).flatten(0, 1).repeat_interleave(DOT, 0).repeat_interleave(DOT, 1)
    shown = torch.full((height, width), 0.5)
    shown[: tiles.shape[0], : tiles.shape[1]] = 0.5 + tiles[:height, :width] / 2
    return (shown.clamp(0, 1) * 255).round().to(torch.uint8)[..., None].expand(-1, -1, 3).contiguous().numpy()


if __name__ == "__main__":
    main()
