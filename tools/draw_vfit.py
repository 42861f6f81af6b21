"""The picture of what VFIT computes in docs/models/vfit.md: where it reads, from which frame, and its three pictures.

    python tools/draw_vfit.py --model vfit-xs --weights vfit-xs.safetensors --clip a.mp4
    python tools/draw_vfit.py --model vfit-xs --weights vfit-xs.safetensors --clip a.png b.png c.png d.png

Of a clip every second frame is read, from its middle or from --first on, so that the true frame can be shown. Without
--weights the network is untrained: it reads each pixel where it is and answers with a cross-fade.
"""

import torch
from contact_sheet import Cell, Picture, draw_sheet, save_sheet
from looking import colour_flow, make_parser, open_model, read_clip, tell
from torch import Tensor
from torch.nn.functional import interpolate, leaky_relu

from midframe.bench.between import as_8bit, as_tensor
from midframe.models.vfit import FRAMES, SLOPE, VFIT
from midframe.ops.pad import pad

COARSEST = 4  # times smaller than the frames


def main() -> None:
    parser = make_parser(__doc__, "vfit", 4)
    options = parser.parse_args()
    model = open_model(parser, options, VFIT)
    frames, truth = read_clip(parser, options, 4)
    save_sheet(draw_sheet(look(model, frames, truth), cell_width=256), options.output, colours=96)
    tell(options.output)


@torch.no_grad()
def look(model: VFIT, frames: list[Picture], truth: Picture | None) -> list[tuple[str, list[Cell]]]:
    window, (rows, columns) = pad(
        torch.stack([as_tensor(frame) for frame in frames])[None], multiple=model.contract.multiple
    )
    state = model.prepare(window)
    pictures = model.synthesize(window, state["features"])
    offsets, shares = read_coarsest(model, state["features"][0])
    full = max(1.0, float(offsets.norm(dim=1).quantile(0.98)))

    def picture(made: Tensor) -> Picture:
        return as_8bit(interpolate(made, window.shape[-2:], mode="nearest")[0, :, rows, columns])

    over = as_8bit(window[:, 1:3].mean(1)[0, :, rows, columns])
    last: Cell = ("both inner frames, laid over each other", over) if truth is None else ("true", truth)
    times = (-1, 0, 1, 2)
    flows = interpolate(offsets, window.shape[-2:], mode="nearest")[..., rows, columns]
    return [
        (
            f"Mean place of the taps, at 1/{COARSEST}: colour is direction, full at {full:.1f} pixels",
            [(f"in frame {time}", colour_flow(flow, full)) for time, flow in zip(times, flows, strict=True)],
        ),
        (
            f"Share of each frame, at 1/{COARSEST}; white: all",
            [
                (f"frame {time}", picture(share.expand(1, 3, -1, -1)))
                for time, share in zip(times, shares[0], strict=True)
            ],
        ),
        (
            "The frame, from coarse to fine",
            [
                *((f"at 1/{size}", picture(made)) for size, made in zip((4, 2, 1), pictures, strict=True)),
                last,
            ],
        ),
    ]


def read_coarsest(model: VFIT, features: Tensor) -> tuple[Tensor, Tensor]:
    """Of each frame the mean place of its taps by their weights, 4 2 h w in pixels of the frame; shares, 1 4 h w."""
    part = model.synthesis[0]
    shares = part.share(leaky_relu(part.fuse(features.flatten(1, 2)), SLOPE)).softmax(1)
    places = []
    for k in range(FRAMES):
        weights = part.weights(features[:, k]).softmax(1)
        alpha, beta = part.alpha(features[:, k]), part.beta(features[:, k])
        side = round(weights.shape[1] ** 0.5)
        steps = (torch.arange(side) - side // 2).float()
        down, right = steps.repeat_interleave(side).view(1, -1, 1, 1), steps.repeat(side).view(1, -1, 1, 1)
        places.append(torch.stack([(weights * (beta + right)).sum(1), (weights * (alpha + down)).sum(1)], 1))
    return COARSEST * torch.cat(places), shares


if __name__ == "__main__":
    main()
