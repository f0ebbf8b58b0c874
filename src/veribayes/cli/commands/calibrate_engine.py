"""`veribayes calibrate-engine`: simulation-based calibration of one engine."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer

from veribayes.cli import terminal
from veribayes.cli.options import Datasets, Debug, Json, Seed, Set, TaskName, settings

ORDER = 100
ENGINE_HELP = "Engine that is asked."


def command(
    task: TaskName,
    engine: Annotated[str, typer.Option("--engine", help=ENGINE_HELP)] = "hmc",
    datasets: Datasets = 200,
    seed: Seed = 0,
    set_: Set = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Ask whether an engine is calibrated on simulated data.

    The exit code is 0 where it is, 1 where it is not.
    """
    del debug  # read by main, which catches what escapes
    from veribayes import api
    from veribayes.run import calibration

    asked, rest = api.split_program(settings(set_))
    options = api.split_options(rest)["reference"]
    with terminal.progress(task, datasets), redirect_stdout(sys.stderr):
        named_task = api.task(task, **asked, simulated=True)
        document = calibration.calibrate(
            named_task, engine, datasets=datasets, seed=seed, options=options
        )
    print(json.dumps(document, indent=1) if as_json else _sentence(document, datasets))
    raise typer.Exit(0 if document["verdict"] == "calibrated" else 1)


def _sentence(document: Mapping[str, Any], datasets: int) -> str:
    p_values = []
    for name, test in document["tests"].items():
        p_values.append(f"{name} p = {test['p_value']:.3g} (n = {test['n']})")
    outcome = f"{document['engine']} is {document['verdict']} on {datasets} data sets"
    return f"{document['task']}: {outcome}; {', '.join(p_values)}"
