"""The table of the field: every system of the catalogue, as published and as it is here, made of what was measured.

Nothing is measured for it. `midframe bench --suite val,middlebury` leaves its figures in a folder; this reads them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from midframe.bench.page import format_table, show, summarise
from midframe.bench.published import FIELD, FieldRow
from midframe.bench.quality import Record
from midframe.bench.results import read_costs, read_records
from midframe.bench.speed import COUNTED, Cost
from midframe.errors import InputError, OutputError
from midframe.files import replacing
from midframe.models.catalogue import System, systems
from midframe.weights import card

_HEADS = (
    "system", "weights", "year", "published: parameters", "Vimeo-90K", "ours: parameters", "GMAC", "seconds",
    "val (dB)", "LPIPS", "Middlebury (dB)",
)  # fmt: skip

_NOTES = """\
**Published**: parameters, and PSNR (dB) / SSIM on Vimeo-90K's test set, of triplets, or of septuplets (*7*) where four
frames are read; sources are below. **Ours**: trained parameters; 10⁹ multiply-accumulates and seconds of one new frame
of 1280 × 720; PSNR of 8-bit RGB and LPIPS on the validation clips, two and four times the frames together; PSNR on
Middlebury "other". “–”: not measured. Most systems of full size have no weights that anybody can pull, and wait for
somebody with a GPU.

Ours and theirs do not compare: what is trained here had the time that its row names, on other clips. Rows of the same
time compare with each other."""


_SOURCES = tuple(dict.fromkeys(row.source for row in FIELD))


def write_field(folder: Path) -> Path:
    """FOLDER/field.md from val.json, middlebury.json and cost.json in it.

    Raises InputError if none of them is there or one is damaged, OutputError if the page cannot be written.
    """
    val, middlebury = (read_records(folder / f"{suite}.json") for suite in ("val", "middlebury"))
    costs = read_costs(folder / "cost.json")
    if not (val or middlebury or costs):
        raise InputError(f"{folder} holds no results: measure first, midframe bench --suite val,middlebury --data DIR.")
    path = folder / "field.md"
    try:
        with replacing(path) as file:
            file.write(format_field(systems(), val, middlebury, costs).encode())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another --output.") from error
    return path


def format_field(
    rows: Iterable[System], val: Sequence[Record], middlebury: Sequence[Record], costs: Sequence[Cost]
) -> str:
    """The page. Systems of one family stand together, in the order of their years."""
    table = [_row(row, val, middlebury, costs) for row in sorted(rows, key=_order) if row.task == "interpolate"]
    sources = {source: ", ".join(row.name for row in FIELD if row.source == source) for source in _SOURCES}
    lines = ["# The field", "", "```sh", "midframe bench --field", "```", ""]
    lines += [*format_table(_HEADS, table, left=2), "", *_NOTES.splitlines(), "", "## Sources", ""]
    return "\n".join([*lines, *(f"* {names}: {source}" for source, names in sources.items())]) + "\n"


def _order(row: System) -> tuple[int, str]:
    return (row.year or 9999, row.page or row.name)


def _row(row: System, val: Sequence[Record], middlebury: Sequence[Record], costs: Sequence[Cost]) -> list[str]:
    published = next((one for one in FIELD if row.name in one.systems), None)
    cost = next((one for one in costs if one.model == row.name and one.device == "cpu"), None)
    seconds = cost.seconds.get(f"{COUNTED[0]}x{COUNTED[1]}") if cost else None
    quality = _means(row.name, val)
    return [
        f"[{row.name}](../models/{row.page or row.name}.md)",
        _trained(row),
        str(row.year or "–"),
        "–" if published is None or published.parameters is None else f"{published.parameters:g} M",
        _vimeo(published),
        f"{row.params / 1e6:.2f} M" if row.params else "none",
        show(cost.macs if cost else None, ".1f", lambda macs: macs / 1e9),
        show(seconds, ".2f"),
        show(quality.get("psnr"), ".2f"),
        show(quality.get("lpips"), ".4f"),
        show(_means(row.name, middlebury).get("psnr"), ".2f"),
    ]


def _means(name: str, records: Sequence[Record]) -> dict[str, float | None]:
    return next((summarise(record) for record in records if record.model == name and record.done), {})


def _vimeo(published: FieldRow | None) -> str:
    if published is None or published.psnr is None:
        return "–"
    ssim = "" if published.ssim is None else f" / {published.ssim:g}"
    return f"{published.psnr:.2f}{ssim}{' *7*' if published.septuplets else ''}"


def _trained(row: System) -> str:
    if not row.needs_weights:
        return "needs none"
    found = next((card(name) for name in row.cards if row.default in card(name).variants), None)
    if found is None:
        return "none"
    if found.recipe is None:
        return "the authors'"
    return f"ours: {found.source.removeprefix('midframe, ')}"
