"""Drift, lost frames and audio offset over every good file of the test corpus: the bar is 0 of each.

    python benchmarks/corpus.py [--model blend] [--only WORD] [--smoke]

Each file goes through a whole job (factor 2) into its own kind of container, or .mkv where that cannot be written. The
output is decoded anew by PyAV and held against the plan:

  lost     frames promised but not in the file, or there but not promised
  drift    how far the last stamp lies from its exact place, beyond what the container's tick rounds; ms
  sound    how far the sound has moved against the picture, where the file holds flashes and clicks to measure it; ms
"""

import argparse
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import av
from audio_offset import measure_offsets
from corpus import Corpus, CorpusFile, names

from midframe.engine.job import InterpolateJob
from midframe.engine.plan import Plan, make_plan
from midframe.engine.run import run
from midframe.video.probe import probe, scan

WRITTEN = (".mp4", ".mkv", ".mov", ".webm", ".gif", ".apng")
TICKS = {".mkv": Fraction(1, 1000), ".webm": Fraction(1, 1000), ".gif": Fraction(1, 100)}


def plan_of(path: Path, job: InterpolateJob) -> Plan:
    info = probe(path)
    return make_plan(job, scan(info, rate=Fraction(24) if info.is_images else None))


def stamps_of(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[probe(path).stream_index]
        return [Fraction(frame.pts) * Fraction(frame.time_base) for frame in container.decode(stream)]


def measure(file: CorpusFile, folder: Path, model: str) -> tuple[int, float, float | None]:
    """(lost frames, drift in ms, sound in ms or None)."""
    assert file.path is not None
    kind = file.path.suffix if file.path.suffix in WRITTEN and not file.path.is_dir() else ".mkv"
    output = folder / f"{file.name}{kind}"
    job = InterpolateJob(
        input=str(file.path), output=str(output), model=model, factor="2", deinterlace=False, overlays=False
    )
    run(job)
    plan = plan_of(file.path, job)
    stamps = stamps_of(output)
    lost = abs(plan.count - len(stamps))
    span = stamps[-1] - stamps[0]
    promised = plan.time(plan.count - 1) - plan.time(0)
    tick = TICKS.get(kind, Fraction(0))
    if kind == ".apng":  # its reader counts ticks of its own
        tick = Fraction(len(stamps), 10_000)
    drift = max(Fraction(0), abs(span - promised) - tick)
    sound = None
    if file.sync:
        was, now = measure_offsets(file.path), measure_offsets(output)
        sound = 1000 * max(abs(b - a) for a, b in zip(was, now, strict=True))
    return lost, 1000 * float(drift), sound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="blend")
    parser.add_argument("--only", default="", help="only files whose name holds this word")
    parser.add_argument("--smoke", action="store_true", help="every eighth file and those with flashes and clicks")
    options = parser.parse_args()
    chosen = [name for name in names(None) if options.only in name]
    if options.smoke:
        chosen = [name for n, name in enumerate(chosen) if n % 8 == 0 or name.startswith("sync")]
    lost, drift, sounds, count = 0, 0.0, [], 0
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(Path(folder) / "corpus")
        for name in chosen:
            file = corpus[name]
            if file.frames == 0:
                continue
            found = measure(file, Path(folder), options.model)
            count += 1
            lost, drift = lost + found[0], max(drift, found[1])
            if found[2] is not None:
                sounds.append(found[2])
            if found[0] or found[1] or (found[2] or 0) > 1:
                print(f"  {name}: lost {found[0]}, drift {found[1]:.3f} ms, sound {found[2]}")
    print(f"{count} files: {lost} frames lost, largest drift {drift:.3f} ms (bars: 0 and 0)")
    if sounds:
        print(f"sound measured in {len(sounds)} files: moved by at most {max(sounds):.3f} ms (bar: under 1)")
    if lost or drift or any(sound > 1 for sound in sounds):
        sys.exit(1)


if __name__ == "__main__":
    main()
