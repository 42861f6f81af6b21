"""The picture of what CSPA computes in docs/models/cspa.md: where each alignment looks, and what the gate takes.

    python tools/draw_cspa.py --weights cspa-s.safetensors --clip a.mp4
    python tools/draw_cspa.py --weights cspa-s.safetensors --clip a.png b.png

Of a clip two frames with one between them are read, from its middle or from --first on, so that the true frame can be
shown. A row for each direction: the mean offset of the nine taps and all groups, weighted by the modulations, from
coarse to fine, in colours, each in pixels of the frame. Last: the aligned features, the gate between them, the frame.
Without --weights the network is untrained: nothing moves then.
"""

import cv2
import numpy as np
import torch
from contact_sheet import Cell, Picture, draw_sheet, save_sheet
from jaxtyping import Float
from looking import colour_flow, make_parser, open_model, read_clip, tell
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor
from midframe.models.cspa import CSPA, Align, CrossScale, Fusion
from midframe.ops.pad import pad


def main() -> None:
    parser = make_parser(__doc__, "cspa", 2)
    options = parser.parse_args()
    model = open_model(parser, options, CSPA)
    pair, truth = read_clip(parser, options, 2)
    save_sheet(draw_sheet(look(model, pair, truth), cell_width=256), options.output, colours=96)
    tell(options.output)


@torch.no_grad()
def look(model: CSPA, pair: list[Picture], truth: Picture | None) -> list[tuple[str, list[Cell]]]:
    """The rows of the sheet."""
    moves: dict[Align, Tensor] = {}
    sides: list[Tensor] = []

    def keep_offset(module: torch.nn.Module, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        assert isinstance(module, Align)
        moves[module] = mean_offset(*module.find(*inputs))

    def keep_sides(module: torch.nn.Module, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        assert isinstance(module, Fusion)
        sides.extend([*inputs, torch.sigmoid(module.conv0(inputs[0]) * module.conv1(inputs[1]))])

    handles = [one.register_forward_hook(keep_offset) for one in model.modules() if isinstance(one, Align)]
    handles.append(model.fusion.register_forward_hook(keep_sides))
    window, (rows, columns) = pad(
        torch.stack([as_tensor(frame) for frame in pair])[None], multiple=model.contract.multiple
    )
    made = model.render(model.prepare(window))
    for handle in handles:
        handle.remove()
    size = window.shape[-2:]

    def spread(maps: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(maps, size, mode="nearest")[0, :, rows, columns]

    def offsets(cross: CrossScale) -> list[Tensor]:
        return [spread(moves[one] * (size[1] / moves[one].shape[-1])) for one in reversed(cross.align)]

    found = [offsets(model.cross0), offsets(model.cross1)]
    full = max(1.0, max(float(one.norm(dim=0).quantile(0.98)) for side in found for one in side))
    sheet: list[tuple[str, list[Cell]]] = []
    for number, side in enumerate(found):
        cells: list[Cell] = [(f"frame {number}", pair[number])]
        cells += [(f"offsets of level {2 - k}", colour_flow(one, full)) for k, one in enumerate(side)]
        sheet.append((f"Features of frame {number}, moved. Colour is direction, full at {full:.1f} pixels", cells))
    gate = spread(sides[2].mean(1, keepdim=True))[0]
    low, high = float(gate.min()), float(gate.max())
    over = as_8bit(window.mean(1)[0, :, rows, columns])
    last: Cell = ("both, laid over each other", over) if truth is None else ("true", truth)
    sheet.append(
        (
            f"What the gate mixes. Light: frame 0 has more of it (mean of all channels, {low:.2f} to {high:.2f})",
            [
                ("how far the two sides differ", grey(spread((sides[0] - sides[1]).abs().mean(1, keepdim=True))[0])),
                ("gate", grey(gate)),
                ("frame made", as_8bit(made[0, :, rows, columns])),
                last,
            ],
        )
    )
    return sheet


def mean_offset(offset: Float[Tensor, "1 o h w"], modulation: Float[Tensor, "1 m h w"]) -> Float[Tensor, "1 2 h w"]:
    """(dx, dy), weighted by the modulations."""
    moved = offset.view(1, -1, 2, *offset.shape[2:])
    weight = modulation[:, :, None]
    return ((moved * weight).sum(1) / weight.sum(1)).flip(1)


def grey(values: Tensor) -> Picture:
    """Stretched from the least to the greatest."""
    low, high = values.aminmax()
    scaled = ((values - low) / (high - low).clamp_min(1e-6) * 255).round().to(torch.uint8).numpy()
    return cv2.cvtColor(np.ascontiguousarray(scaled), cv2.COLOR_GRAY2RGB)


if __name__ == "__main__":
    main()
