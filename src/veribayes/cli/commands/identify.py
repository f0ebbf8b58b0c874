"""`veribayes identify`: which algorithm a candidate is; the exit code says whether it is Bayes."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from veribayes.cli import terminal
from veribayes.cli.arguments import positive_number
from veribayes.cli.options import Compared, Debug, Json, Seed, Set, TaskName, settings

ORDER = 30
OUT = Path("runs/identify")
DATASETS = 500

CANDIDATE_HELP = "As for verify; default: the shipped checkpoint."
AGAINST_HELP = "A further engine to consider; it may be repeated."
TOLERANCE_HELP = "Predictors nearer to each other than this share a name."
OUT_HELP = "Folder for identify.json and identify.md; default runs/identify."


def command(
    task: TaskName,
    candidate: Annotated[
        str | None, typer.Option("--candidate", metavar="C", help=CANDIDATE_HELP)
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option("--against", metavar="ENGINE", help=AGAINST_HELP)
    ] = None,
    datasets: Compared = DATASETS,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", parser=positive_number, metavar="X", help=TOLERANCE_HELP),
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help=OUT_HELP)] = None,
    set_: Set = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say which algorithm it is.

    0: exact Bayes, or nothing that the tolerance tells from it; 1: another, or none; 3: undecided.
    """
    del debug  # read by main, which catches what escapes
    from veribayes import api, candidates
    from veribayes.report.identification import markdown
    from veribayes.run import identification, ownership, pipeline
    from veribayes.storage import folders, store

    options = api.split_options(settings(set_))["candidate"]
    named_task = candidates.with_tolerance(api.task(task), tolerance)
    request = {
        "candidate": ownership.name_of(candidate, named_task),
        "datasets": datasets,
        "seed": seed,
        "tolerance": tolerance,
        "against": sorted(against or ()),
        "options": options,
    }
    if out is None:
        usual = request == _usual(named_task.name)
        out = ownership.default_folder(OUT, usual, candidate or "shipped", request)
    folder = out / ownership.folder_name(task, named_task)
    owner = {"task": ownership.task_of(named_task), **request}
    with ExitStack() as stack:
        stack.enter_context(folders.owned(folder, owner))
        advance = stack.enter_context(terminal.progress(named_task.name, datasets))
        stack.enter_context(redirect_stdout(sys.stderr))
        frozen_task = pipeline.frozen_tolerance(named_task, pipeline.Options(seed=seed))
        resolved = candidates.resolve(candidate, frozen_task, options)
        entry = identification.identify(
            frozen_task,
            resolved,
            datasets=datasets,
            seed=seed,
            against=against or (),
            progress=advance,
        )
        document = {"schema": identification.SCHEMA, "results": [entry]}
        text = json.dumps(document, indent=1, allow_nan=False)
        store.write_text(folder / "identify.json", text + "\n")
        store.write_text(folder / "identify.md", markdown(entry))
    print(text if as_json else markdown(entry))
    raise typer.Exit(identification.exit_code(entry))


def _usual(candidate: str) -> dict[str, Any]:
    """The request that needs no folder of its own: all defaults."""
    return {
        "candidate": candidate,
        "datasets": DATASETS,
        "seed": 0,
        "tolerance": None,
        "against": [],
        "options": {},
    }
