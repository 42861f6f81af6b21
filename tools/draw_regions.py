"""The picture of region priors in docs/models/regions.md: areas of two frames, their codes, what they change.

    python tools/draw_regions.py --weights runs/ifrnet-s-regions-cpu/best.safetensors --clip a.mp4
    python tools/draw_regions.py --clip a.png b.png --masks masks_a masks_b

Of a clip two frames with one between them are read, from its middle or from --first on. --masks takes a folder of PNG
masks (white is inside) for each frame, in place of the areas that midframe finds. Without --weights the network is
untrained: codes are those of random numbers, and regions change nothing.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from contact_sheet import Cell, Picture, draw_sheet, save_sheet
from looking import make_parser, open_model, read_clip, tell
from numpy.typing import NDArray
from torch import Tensor

from midframe.bench.between import as_8bit, as_tensor
from midframe.data.pack import read_image
from midframe.models.ifrnet import IFRNet
from midframe.ops.pad import pad
from midframe.ops.regions import find_regions, stack_masks

T = 0.5


def main() -> None:
    parser = make_parser(__doc__, "regions", 2)
    parser.set_defaults(model="ifrnet-s/regions")
    parser.add_argument("--masks", nargs=2, metavar="FOLDER", help="folders of masks of the two frames")
    options = parser.parse_args()
    model = open_model(parser, options, IFRNet)
    if model.regions is None:
        parser.error(f"--model {options.model} takes no regions")
    pair, _ = read_clip(parser, options, 2)
    size = pair[0].shape[:2]
    given = None if options.masks is None else torch.stack([read_masks(Path(one), size) for one in options.masks])
    save_sheet(draw_sheet(look(model, pair, given), cell_width=256), options.output, colours=128)
    tell(options.output)


def read_masks(folder: Path, size: tuple[int, int]) -> Tensor:
    files = sorted(folder.glob("*.png"))
    if not files:
        raise SystemExit(f"{folder} holds no PNG masks.")
    small = [cv2.resize(read_image(file), size[::-1], interpolation=cv2.INTER_NEAREST) for file in files]
    return stack_masks(torch.from_numpy(np.stack(small)[..., 0] > 127))


@torch.no_grad()
def look(model: IFRNet, pair: list[Picture], given: Tensor | None) -> list[tuple[str, list[Cell]]]:
    assert model.regions is not None
    window, (rows, columns) = pad(
        torch.stack([as_tensor(frame) for frame in pair])[None], multiple=model.contract.multiple
    )
    if given is None:
        labels = find_regions(window)
    else:
        labels = torch.zeros(1, 2, *window.shape[-2:], dtype=torch.uint8)
        labels[0, :, rows, columns] = given
    codes, _ = model.regions(window, (window.shape[-2], window.shape[-1]), labels)
    without = model.render(model.prepare(window, regions=torch.zeros_like(labels)), T)
    told = model.render(model.prepare(window, regions=labels), T)
    areas = [colour_areas(one, window.shape[-2:])[rows, columns] for one in labels[0].numpy()]
    shown = colour_codes(codes[0][..., rows, columns])
    made = [as_8bit(frame[0, :, rows, columns]) for frame in (without, told, 0.5 + 8 * (told - without))]
    captions = "made without regions", "made with regions", "what they change, 8 times"
    return [
        *(
            (
                f"Frame {k}",
                [("as it is", pair[k]), (f"its {len(labels[0, k].unique())} areas", areas[k]), ("codes", shown[k])],
            )
            for k in range(2)
        ),
        (f"The frame at t = {T}", list(zip(captions, made, strict=True))),
    ]


def colour_areas(labels: NDArray[np.uint8], size: torch.Size) -> Picture:
    """h w labels at a (height, width), each in a colour of its own; 0 is black."""
    colours = np.random.default_rng(1).integers(40, 256, (256, 3)).astype(np.uint8)
    colours[0] = 0
    return colours[cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)]


def colour_codes(codes: Tensor) -> list[Picture]:
    """2 c H W: the three directions in which the codes of both frames differ most, as red, green, blue."""
    flat = codes.permute(0, 2, 3, 1).flatten(0, 2)
    middle = flat - flat.mean(0)
    _, _, directions = torch.linalg.svd(middle[:: max(1, len(middle) // 20000)], full_matrices=False)
    seen = middle @ directions[:3].T
    shown = (0.5 + seen / (4 * seen.std(0)).clamp(min=1e-6)).clamp(0, 1)
    pictures = (shown * 255).round().to(torch.uint8).view(2, *codes.shape[-2:], 3).numpy()
    return [np.ascontiguousarray(picture) for picture in pictures]


if __name__ == "__main__":
    main()
