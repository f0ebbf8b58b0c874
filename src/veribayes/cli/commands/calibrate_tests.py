"""`veribayes calibrate-tests`: size and power of every test, and coverage of every interval."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from veribayes.cli import terminal
from veribayes.cli.arguments import MOST_PROCESSES, whole_number
from veribayes.cli.options import Json, Seed

ORDER = 90
OUT = Path("runs/calibration")
NULLS_HELP = "Null data for each test and sample size."
OUT_HELP = "Folder of finished parts; an interrupted run continues from it."
WORKERS_HELP = "Processes; default one a core."


def command(
    nulls: Annotated[
        int, typer.Option("--nulls", parser=whole_number(1), metavar="N", help=NULLS_HELP)
    ] = 10_000,
    out: Annotated[Path, typer.Option("--out", help=OUT_HELP)] = OUT,
    seed: Seed = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", parser=whole_number(1, MOST_PROCESSES), metavar="N", help=WORKERS_HELP
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how often every test rejects, under its null and under planted defects, and how often
    intervals cover.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers inherit it, before they import NumPy
    from dataclasses import asdict

    from veribayes.storage import folders
    from veribayes.validation import _shards, intervals
    from veribayes.validation.checks import _measure

    rate_jobs = _measure.jobs(nulls, seed)
    interval_jobs = intervals.jobs(nulls, seed)
    with folders.owned(out, {"seed": seed}):
        with terminal.progress("tests", _shards.blocks(rate_jobs)) as advance:
            rates = _measure.run(rate_jobs, out, advance, workers=workers)
        with terminal.progress("intervals", _shards.blocks(interval_jobs)) as advance:
            coverages = intervals.run(interval_jobs, out, advance, workers=workers)
        waits = _measure.waiting(seed, min(nulls, _measure.POWER_REPLICATES))
        document = _measure.document(rates) | {
            "waiting": [asdict(wait) for wait in waits],
            "intervals": [coverage.plain() for coverage in coverages],
        }
        tables = (
            _measure.tables(rates),
            _measure.waiting_table(waits),
            intervals.tables(coverages),
        )
        text = "\n\n".join(tables)
        _write(out, document, text)
    print(json.dumps(document, indent=1) if as_json else text)


def _write(folder: Path, document: dict[str, Any], text: str) -> None:
    from veribayes.report import calibration
    from veribayes.storage import store

    store.write_text(folder / "calibration.json", json.dumps(document, indent=1))
    store.write_text(folder / "calibration.md", text)
    sizes = calibration.svg(calibration.sizes(document))
    store.write_text(folder / "calibration.svg", sizes)
    coverages = calibration.svg(calibration.coverages(document))
    store.write_text(folder / "coverage.svg", coverages)
