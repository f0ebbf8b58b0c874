"""`veribayes verify`: a candidate beside the truth of tasks; the exit code is the verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veribayes.cli import console, terminal
from veribayes.cli.arguments import one_of, positive_number, whole_number
from veribayes.cli.options import Compared, Debug, Json, Seed, Set, settings

if TYPE_CHECKING:
    import xarray as xr

    from veribayes.api import Task
    from veribayes.run.pipeline import Options

ORDER = 20
OUT = Path("runs/verify")
PAGES = ("report.html", "result.json")  # what is written beside a run
# Of --tests; `validation.checks` has them too, and is too heavy for a list of options.
LEVELS = ("none", "standard", "all")

TASKS_HELP = "Shipped name, model file, or package.module:object."
CANDIDATE_HELP = "Checkpoint, engine, predictions file, or package.module:callable."
REFERENCE_HELP = "Engine that computes the truth."
TOLERANCE_HELP = "Tolerance of the primary endpoint, instead of the task's."
AUDIT_HELP = "Data sets on which NUTS checks an exact reference."
OUT_HELP = (
    "Folder of shards, runs and the report; an interrupted run resumes from it. Default: "
    "runs/verify, and for another candidate or other options a folder beside it."
)
KEEP_HELP = "Store every prediction of the candidate."
TESTS_HELP = "How much is asked beside the primary endpoint."
CONTEXTS_HELP = "Your own data sets, instead of simulated ones: .csv, .jsonl, .npz, .parquet, .nc."
SEQUENTIAL_HELP = "Stop as soon as it is sure that the candidate is different."


def command(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK...", help=TASKS_HELP)],
    candidate: Annotated[
        str | None, typer.Option("--candidate", metavar="C", help=CANDIDATE_HELP)
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="ENGINE", help=REFERENCE_HELP)
    ] = None,
    datasets: Compared = 1000,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", parser=positive_number, metavar="X", help=TOLERANCE_HELP),
    ] = None,
    seed: Seed = 0,
    audit: Annotated[
        int, typer.Option("--audit", parser=whole_number(0), metavar="N", help=AUDIT_HELP)
    ] = 4,
    out: Annotated[Path | None, typer.Option("--out", help=OUT_HELP)] = None,
    set_: Set = None,
    keep_predictions: Annotated[bool, typer.Option("--keep-predictions", help=KEEP_HELP)] = False,
    tests: Annotated[
        str,
        typer.Option("--tests", parser=one_of(*LEVELS), metavar="|".join(LEVELS), help=TESTS_HELP),
    ] = "standard",
    sequential: Annotated[bool, typer.Option("--sequential", help=SEQUENTIAL_HELP)] = False,
    contexts: Annotated[
        Path | None, typer.Option("--contexts", metavar="FILE", help=CONTEXTS_HELP)
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare a candidate with the certified truth of one or several tasks, and decide."""
    from veribayes import api
    from veribayes.run import ownership, pipeline
    from veribayes.storage import folders

    given = settings(set_)
    asked, rest = api.split_program(given)
    of_role = api.split_options(rest)
    options = pipeline.Options(
        datasets=datasets,
        seed=seed,
        audit=audit,
        reference=reference,
        reference_options=of_role["reference"],
        candidate_options=of_role["candidate"],
        audit_options=of_role["audit"],
        keep_predictions=keep_predictions,
        tests=tests,
        sequential=sequential,
    )
    if out is None:
        named = given if contexts is None else {**given, "contexts": str(contexts.resolve())}
        out = ownership.folder_of_command(OUT, candidate, options, tolerance, named)
    runs: dict[Path, xr.DataTree] = {}
    errors: list[dict[str, Any]] = []
    for name in dict.fromkeys(tasks):
        with console.caught(name, errors, debug):
            task = _task(name, asked, tolerance, contexts)
            number = datasets if task.contexts is None else len(task.contexts.sizes)
            with terminal.progress(name, number) as advance:
                folder, tree = _run(name, task, candidate, options, out, advance)
            runs[folder] = tree
    trees = list(runs.values())
    if trees:
        with console.caught("report", errors, debug), folders.locked(out, wait=True):
            api.write_folder(runs, out, errors)
    entries = [json.loads(tree.attrs["result"]) for tree in trees]
    if as_json:
        print(api.document(trees, errors))
    elif trees:
        print(terminal.table(entries))
        print(f"report: {out / 'report.html'}")
    codes = [error["exit_code"] for error in errors]
    codes += [console.EXIT_OF_VERDICT[entry["verdict"]] for entry in entries]
    raise typer.Exit(console.first(codes))


def _task(name: str, asked: dict[str, Any], tolerance: float | None, contexts: Path | None) -> Task:
    """The task that is meant, on the contexts that are given."""
    from veribayes import api, candidates

    task = candidates.with_tolerance(api.task(name, **asked, simulated=True), tolerance)
    return api.with_contexts(task, contexts)


def _run(
    name: str,
    task: Task,
    candidate: str | None,
    options: Options,
    out: Path,
    advance: Callable[[int], None],
) -> tuple[Path, xr.DataTree]:
    """The folder of one task, and its run."""
    from veribayes.run import ownership, pipeline
    from veribayes.storage import folders

    options = pipeline.on_contexts(task, options)
    folder = out / ownership.folder_name(name, task)
    with ownership.claimed(folder, task, candidate, options):
        for file in PAGES:
            folders.require_writable(out / file)
        return folder, pipeline.run(task, candidate, options, out=folder, progress=advance)
