"""`veribayes reference`: the truth of a task alone, computed, certified and stored."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from veribayes.cli import terminal
from veribayes.cli.arguments import whole_number
from veribayes.cli.options import Debug, Json, Seed, Set, TaskName, settings

ORDER = 50
SCHEMA = "veribayes.reference/1"
SHOWN = 20  # rows of a table

ENGINE_HELP = "Engine, instead of the task's."
DATASETS_HELP = "Data sets to draw; default 1000, or the one that is given."
OUT_HELP = "File to write; default TASK-reference.nc."
DATA_HELP = "Your own data set instead of simulated ones: .csv, .jsonl, .npz, .parquet, .nc."
QUERIES_HELP = "A second table: what is asked of the data."
AUDIT_HELP = "Data sets that NUTS recomputes, latent by latent."


def command(
    task: TaskName,
    engine: Annotated[str | None, typer.Option("--engine", help=ENGINE_HELP)] = None,
    datasets: Annotated[
        int | None,
        typer.Option("--datasets", parser=whole_number(1), metavar="N", help=DATASETS_HELP),
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help=OUT_HELP)] = None,
    audit: Annotated[
        int, typer.Option("--audit", parser=whole_number(0), metavar="N", help=AUDIT_HELP)
    ] = 0,
    data: Annotated[Path | None, typer.Option("--data", metavar="FILE", help=DATA_HELP)] = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", metavar="FILE", help=QUERIES_HELP)
    ] = None,
    set_: Set = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compute, certify and store a reference."""
    del debug  # read by main, which catches what escapes
    from veribayes import api
    from veribayes.run import ownership, pipeline
    from veribayes.storage import store

    asked, rest = api.split_program(settings(set_))
    named_task = api.task(task, **asked, simulated=datasets is not None)
    named_task = api.on_data(named_task, data, queries)
    datasets = api.number_of_data_sets(named_task, datasets)
    of_role = api.split_options(rest)
    default_file = Path(f"{ownership.folder_name(task, named_task)}-reference.nc")
    path = store.netcdf_path(out or default_file)
    options = pipeline.Options(
        datasets=datasets,
        seed=seed,
        audit=audit,
        reference=engine,
        reference_options=of_role["reference"],
        audit_options=of_role["audit"],
    )
    with terminal.progress(named_task.name, datasets) as advance, redirect_stdout(sys.stderr):
        tree = pipeline.reference(named_task, options, advance)
    store.write_tree(tree, path)
    entry = json.loads(tree.attrs["result"])
    if as_json:
        print(json.dumps({"schema": SCHEMA, **entry}, indent=1))
        return
    print(f"{named_task.name}: {_size(datasets)} by {_certified(entry['reference'])}; {path}")
    if entry["audit"]:
        print(_audited(entry["audit"]))
    for name, reason in entry["not_asked"].items():
        print(f"not asked for: {name} ({reason})")
    if data is not None:
        print(_tables(api.Reference(tree)))


def _tables(reference: Any) -> str:
    """What is said of the queries and of the latents, the first of them."""
    tables = [reference.predictive(), reference.latents()]
    texts = [_text(table) for table in tables if len(table)]
    return "\n\n".join(texts)


def _text(table: Any) -> str:
    return str(table.head(SHOWN).to_string(index=False, float_format="%.6g"))


def _size(datasets: int) -> str:
    return "1 data set" if datasets == 1 else f"{datasets} data sets"


def _certified(reference: Mapping[str, Any]) -> str:
    """The engine with its certificate."""
    certificate = reference["certificate"]
    error = f"error {certificate['bound_kind']} {certificate['error_bound']:.2g}"
    return f"{reference['engine']}, {certificate['verdict']} ({certificate['method']}, {error})"


def _audited(audit: Mapping[str, Any]) -> str:
    largest_z = math.nan if audit["max_abs_z"] is None else audit["max_abs_z"]
    outcome = f"NUTS on {audit['datasets']} more: {audit['verdict']}"
    return f"{outcome}, largest |z| of {audit['latents']} is {largest_z:.2g}"
