"""`veribayes probe`: what a candidate reads and what it has learned; nothing is decided."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from veribayes.cli.options import Compared, Debug, Json, Seed

ORDER = 40
OUT = Path("runs/probe")
DATASETS = 64

CANDIDATE_HELP = "Checkpoint, construction, or package.module:object with attention."
TASK_HELP = "Default: the task that the checkpoint was trained for."
AGAINST_HELP = "Default: the one of the task's family."
OUT_HELP = "Folder for probe.json and probe.html; default runs/probe."


def command(
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help=CANDIDATE_HELP)],
    task: Annotated[str | None, typer.Option("--task", help=TASK_HELP)] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="CONSTRUCTION", help=AGAINST_HELP)
    ] = None,
    datasets: Compared = DATASETS,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help=OUT_HELP)] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what a candidate reads, beside what theory writes down, and what it has learned; nothing
    is decided.
    """
    del debug  # read by main, which catches what escapes
    from veribayes import api
    from veribayes.report import probe as pages
    from veribayes.run import ownership, probes
    from veribayes.storage import folders, store

    with redirect_stdout(sys.stderr):
        name = task or probes.task_name(candidate)
        probed_task = api.task(name)
    request = {
        "candidate": ownership.name_of(candidate, probed_task),
        "datasets": datasets,
        "seed": seed,
        "against": against,
    }
    if out is None:
        usual = request == _usual(probed_task.name)
        out = ownership.default_folder(OUT, usual, candidate, request)
    folder = out / ownership.folder_name(name, probed_task)
    owner = {"task": ownership.task_of(probed_task), **request}
    with folders.owned(folder, owner), redirect_stdout(sys.stderr):
        entry = probes.probe(probed_task, candidate, against=against, datasets=datasets, seed=seed)
        text = json.dumps(entry, indent=1, allow_nan=False)
        store.write_text(folder / "probe.json", text + "\n")
        store.write_text(folder / "probe.html", pages.page(entry))
    print(text if as_json else f"{pages.markdown(entry)}\nreport: {folder / 'probe.html'}")


def _usual(candidate: str) -> dict[str, Any]:
    """The request that needs no folder of its own: all defaults."""
    return {"candidate": candidate, "datasets": DATASETS, "seed": 0, "against": None}
