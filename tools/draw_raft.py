"""The picture of raft in docs/models/raft.md: two frames, the flow, and frame 1 brought back by it.

    python tools/draw_raft.py --weights raft-s.safetensors --clip a.mp4

The direction of the flow is the hue, its length the saturation: full at the 98th percentile. Where the last picture is
not as frame 0, something was hidden or the flow is wrong. Without --weights the network is untrained.
"""

import torch
from contact_sheet import draw_sheet, save_sheet
from looking import colour_flow, make_parser, open_model, read_pictures, read_row, tell

from midframe.bench.between import as_8bit, as_tensor
from midframe.nn.raft import RAFT
from midframe.ops.warp import warp


def main() -> None:
    parser = make_parser(__doc__, "raft")
    parser.add_argument("--clip", nargs="+", required=True, help="a clip, or two frames")
    parser.add_argument("--first", type=int, help="number of frame 0 in the clip")
    options = parser.parse_args()
    if len(options.clip) > 2:
        parser.error("--clip takes a clip or two frames")
    model = open_model(parser, options, RAFT)
    frames = read_pictures(options.clip) if len(options.clip) == 2 else read_row(options.clip[0], 2, options.first)
    frame0, frame1 = (as_tensor(frame)[None] for frame in frames)
    with torch.no_grad():
        flow = model.flow(frame0, frame1)
    full = max(1.0, float(flow.norm(dim=1).quantile(0.98)))
    rows = [
        ("", [("frame 0", frames[0]), ("frame 1", frames[1])]),
        (
            "",
            [
                (f"flow from frame 0 to frame 1, full at {full:.1f} pixels", colour_flow(flow[0], full)),
                ("frame 1 brought back", as_8bit(warp(frame1, flow)[0])),
            ],
        ),
    ]
    save_sheet(draw_sheet(rows, cell_width=448), options.output, colours=96)
    tell(options.output)


if __name__ == "__main__":
    main()
