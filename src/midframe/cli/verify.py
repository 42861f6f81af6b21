"""`midframe verify`: a finished file against its source and the options it was made with."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from midframe.cli.info import refuse_stdin, scan_source
from midframe.errors import InputError, VerifyError

EXAMPLES = """Examples:
  midframe verify clip.midframe.mp4 --against clip.mp4
  midframe verify smooth.mp4 --against clip.mp4 --fps 60
  midframe verify slow.mkv --against clip.mp4 --slow 4 --audio drop
  midframe verify large.mp4 --against clip.mp4 --size 2x

Give the time and encoding flags the file was made with: they say what is right."""
JOB_OPTIONS = (
    "size", "factor", "fps", "slow", "vfr", "end", "start_time", "end_time", "rate", "audio", "codec", "pix_fmt",
    "allow_damaged",
)  # fmt: skip


def verify(
    output: Annotated[str, typer.Argument(metavar="OUT", help="The file, or folder of images, to check.")],
    against: Annotated[str, typer.Option("--against", metavar="IN", help="The source it was made from.")],
    decode: Annotated[bool, typer.Option("--decode", help="Also decode every frame (slower).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    **options: Any,
) -> None:
    """Check a finished file: frame count, time stamps, duration, sound, colour tags. Exit code 8 if one fails."""
    from midframe.api import UPSCALER, make_job

    refuse_stdin(output)
    refuse_stdin(against)
    model = {} if options["size"] is None else {"model": UPSCALER}  # which one it was cannot be seen
    job = make_job(against, output, **model, **options)
    made = Path(output)
    if not made.exists():
        raise InputError(f"{output}: no such file.")

    from midframe.engine.plan import make_plan, output_rate
    from midframe.engine.run import audio_mode, time_map
    from midframe.engine.size import as_shown
    from midframe.video.probe import probe
    from midframe.video.verify import verify as hold_against
    from midframe.video.writer import CONTAINERS, choose_encoder

    info = probe(job.input)
    plan = make_plan(job, scan_source(job, info))
    # A file that another program made may be in a container that midframe does not write.
    container = "images" if made.is_dir() else CONTAINERS.get(made.suffix.lower())
    settings = None
    if container is not None:
        settings = choose_encoder(
            as_shown(job, info, container),
            container=container,
            codec=job.codec,
            pix_fmt=job.pix_fmt,
            time_base=plan.time_base,
            rate=output_rate(plan),
        )
    report = hold_against(
        made,
        against=info,
        container=container,
        stamps=[plan.stamp(n) * plan.time_base for n in range(plan.count)],
        end=plan.stamp(plan.count) * plan.time_base,
        settings=settings,
        audio=audio_mode(job),
        times=time_map(job, plan),
        decode=decode,
    )
    failed = [check.name for check in report.checks if not check.ok]
    if as_json:
        checks = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in report.checks]
        values = {"output": output, "against": against, "ok": report.ok, "checks": checks}
        typer.echo(json.dumps({**values, "audio_offset": report.audio_offset}, indent=2, ensure_ascii=False))
    elif not quiet:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("ok", "name", "detail"):
            table.add_column(no_wrap=column != "detail", overflow="fold")
        for check in report.checks:
            table.add_row("ok" if check.ok else "FAILED", check.name, check.detail)
        Console(markup=False, highlight=False, emoji=False).print(table)
    if failed:
        raise VerifyError(
            f"{output} is not what these flags make of {against}: {', '.join(failed)}. "
            "Are they the flags it was made with?"
        )
