"""The whole benchmark: suites × models, going on where an earlier run stopped, and the pages made of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from midframe.bench.cases import LIMIT, LONG_SIDE, Cases, open_suite
from midframe.bench.page import format_page, plot_quality, write_sheet
from midframe.bench.quality import Record, hash_weights, measure_suite
from midframe.bench.report import describe_environment, write_text
from midframe.bench.results import put, read_costs, read_records, write_results
from midframe.bench.speed import RUNS, SIZES, VERSION, Cost, measure_costs
from midframe.errors import ModelError
from midframe.models.catalogue import resolve
from midframe.models.load import quicken
from midframe.ops.perception import Network, load_network
from midframe.types import Synthesizer

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Report:
    """Pages, plots and sheets that were written; why a model could not be measured, a line for each."""

    written: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def run_bench(
    suites: Sequence[str],
    models: Sequence[str],
    *,
    load: Callable[[str, str], Synthesizer],
    data: Path | None = None,
    devices: Sequence[str] = ("cpu",),
    sizes: Sequence[tuple[int, int]] = SIZES,
    runs: int = RUNS,
    output: Path = Path("docs/benchmarks"),
    sheets: Path | None = None,
    refresh: bool = False,
    long_side: int = LONG_SIDE,
    limit: int | None = LIMIT,
    on_progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Measure `models` on `suites` and write SUITE.json, .md and .png, and cost.json, to `output`.

    load         from a name and a device to a model, as `midframe.models.load.load`
    devices      times are taken on each; quality on the last
    sizes        for times; none: costs are not measured
    sheets       folder for contact sheets of the worst frames, which hold pictures of the data; None: none are made
    refresh      measure again what was measured before
    on_progress  called with what is going on, steps done and steps in all

    What `output` holds for the same weights, pictures and versions is taken from there. Models that were measured
    earlier stay on the pages. A model that cannot be loaded or fails is reported and the others go on.
    Raises what `open_suite` raises, OutputError if results cannot be written, InputError for damaged results.
    """
    report = Report()
    opened = [open_suite(name, data, long_side=long_side, limit=limit) for name in suites]
    names = list(dict.fromkeys(canonical(name) for name in models))
    loaded = {device: _load_all(names, device, load, report) for device in dict.fromkeys(devices)}
    place = devices[-1]
    tell = on_progress or (lambda what, done, total: None)
    costs = _measure_costs(loaded, sizes, runs, output / "cost.json", refresh, report, tell, say)
    network = _perception(say)
    for cases in opened:
        path = output / f"{cases.suite.replace('-', '_')}.json"
        records = _measure_quality(cases, loaded[place], place, network, path, sheets, refresh, report, tell, say)
        whole = [record for record in records if record.done]
        if not whole:
            continue
        plot = path.with_suffix(".png")
        drawn = plot_quality(whole, costs, plot)
        page = path.with_suffix(".md")
        write_text(page, format_page(cases, whole, costs, picture=plot.name if drawn else None))
        report.written += [page, *([plot] if drawn else [])]
    return report


def canonical(name: str) -> str:
    """The name under which results are kept: "dis" also for "dis/balanced", its default variant."""
    row, variant = resolve(name)
    return row.name if variant == row.default else f"{row.name}/{variant}"


def _load_all(
    names: Sequence[str], device: str, load: Callable[[str, str], Synthesizer], report: Report
) -> dict[str, Synthesizer]:
    found = {}
    for name in names:
        try:
            found[name] = quicken(load(name, device))
        except ModelError as error:
            report.failures.append(f"{name}: {error}")
    return found


def _measure_costs(
    loaded: Mapping[str, Mapping[str, Synthesizer]],
    sizes: Sequence[tuple[int, int]],
    runs: int,
    path: Path,
    refresh: bool,
    report: Report,
    tell: Progress,
    say: Callable[[str], None],
) -> list[Cost]:
    costs = read_costs(path)
    if not sizes:
        return costs
    wanted = {f"{width}x{height}" for width, height in sizes}
    for device, models in loaded.items():
        environment = describe_environment(device)
        machine = f"{environment['device']}, {environment['threads']} threads"
        todo = []
        for name, model in models.items():
            cost = Cost(name, hash_weights(model), device, machine, environment=environment)
            known = next((c for c in costs if _same_cost(c, cost)), None)
            if known is None or refresh or not wanted <= set(known.seconds):
                todo.append(cost)
        if not todo:
            continue
        say(f"cost on {device}: {', '.join(cost.model for cost in todo)}")
        failures = measure_costs(
            models,
            todo,
            device=device,
            sizes=sizes,
            runs=runs,
            on_progress=partial(tell, f"cost on {device}"),
        )
        _report_failures(failures, f"cost on {device}", report)
        for cost in todo:
            if cost.model not in failures:
                put(costs, cost, lambda one: (one.model, one.device))
        write_results(path, costs)
    return costs


def _same_cost(one: Cost, other: Cost) -> bool:
    keys = ("model", "weights", "device", "machine")
    return one.version == VERSION and all(getattr(one, key) == getattr(other, key) for key in keys)


def _measure_quality(
    cases: Cases,
    models: Mapping[str, Synthesizer],
    device: str,
    network: Network | None,
    path: Path,
    sheets: Path | None,
    refresh: bool,
    report: Report,
    tell: Progress,
    say: Callable[[str], None],
) -> list[Record]:
    environment = describe_environment(device)
    # Results of other pictures or of an older version would stand on the page as if they were of these.
    version = Record("", cases.suite, "", cases.digest).version
    records = [r for r in read_records(path) if (r.digest, r.version) == (cases.digest, version)]
    todo = []
    for name, model in models.items():
        fresh = Record(name, cases.suite, hash_weights(model), cases.digest, environment=environment)
        known = next((record for record in records if record.same_as(fresh)), None)
        if known is None or refresh:
            put(records, fresh, lambda one: one.model)
            todo.append(fresh)
        elif not known.done:
            todo.append(known)
    if not todo:
        say(f"{cases.suite}: all measured before; --refresh measures again")
        return records
    say(f"{cases.suite}: {', '.join(record.model for record in todo)}")
    outcome = measure_suite(
        cases,
        models,
        todo,
        device=device,
        network=network,
        on_progress=lambda done, total: tell(cases.suite, done, total),
        save=lambda: write_results(path, records),
    )
    _report_failures(outcome.failures, cases.suite, report)
    if sheets is not None:
        for name, pictures in outcome.pictures.items():
            if pictures:
                sheet = sheets / f"{cases.suite}-{name.replace('/', '-')}.jpg"
                write_sheet(pictures, sheet)
                report.written.append(sheet)
    return records


def _report_failures(failures: Mapping[str, str], where: str, report: Report) -> None:
    report.failures += [f"{name}, {where}: {error}" for name, error in failures.items()]


def _perception(say: Callable[[str], None]) -> Network | None:
    try:
        return load_network("alex")
    except ModelError as error:
        say(f"LPIPS is left out. {error}")
        return None
