"""What PhaseNet could reach at best: PSNR of frames put together again from all of their pyramid but the high pass.

    python benchmarks/phase_ceiling.py FOLDER [--clips 10] [--long-side 448]

The second frame of each of the first clips, by name. `high` is the part of the high-pass residual of its neighbours'
mean that takes the place of its own: 0 as published, 0.5 in phasenet/detail.
"""

import argparse

import torch

from midframe.bench.between import as_tensor
from midframe.bench.clips import read_frames
from midframe.data.pack import find_clips
from midframe.models.phasenet import filters_for, from_unit_lab, to_unit_lab
from midframe.ops.steerable import collapse, extract_level, extract_low, invert, transform

PARTS = (0.0, 0.5, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--long-side", type=int, default=448)
    given = parser.parse_args()
    rows = []
    for clip in find_clips([given.folder])[: given.clips]:
        before, frame, after = (as_tensor(one)[None] for one in read_frames(clip, given.long_side)[:3])
        filters = filters_for(frame)
        spectra = transform(to_unit_lab(frame)).flatten(0, 1)
        bands = [extract_level(spectra, filters, level) for level in range(len(filters.radial))]
        whole = collapse(bands, extract_low(spectra, filters), filters)
        around = (transform(to_unit_lab(before)) + transform(to_unit_lab(after))).flatten(0, 1) / 2
        made = [invert(whole + around * (part * filters.high**2)).real for part in PARTS]
        errors = [(from_unit_lab(one[None]).clamp(0, 1) - frame).square().mean() for one in made]
        rows.append(-10 * torch.log10(torch.stack(errors)))
    found = torch.stack(rows)  # clips × PARTS
    for part, column in zip(PARTS, found.T, strict=True):
        print(f"high {part:.1f}: {column.mean():.1f} dB in the mean, {column.min():.1f} to {column.max():.1f}")


if __name__ == "__main__":
    main()
