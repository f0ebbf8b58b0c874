"""What a command or a call leaves in a folder: the JSON document of runs, and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from veribayes import report
from veribayes.errors import InputError
from veribayes.run import results
from veribayes.storage import store


def document(trees: Sequence[xr.DataTree], errors: Sequence[Mapping[str, Any]] = ()) -> str:
    """The JSON document of several runs, and of the tasks that came to no result."""
    entries = [json.loads(tree.attrs["result"]) for tree in trees]
    content = {"schema": results.SCHEMA, "results": entries, "errors": [*errors]}
    return json.dumps(content, indent=1, allow_nan=False)


def write_reports(
    trees: list[xr.DataTree], folder: Path, errors: Sequence[Mapping[str, Any]] = ()
) -> None:
    """`result.json` and `report.html`, each written whole or not at all."""
    store.write_text(folder / "result.json", document(trees, errors) + "\n")
    report.write(trees, folder / "report.html")


def write_folder(
    runs: Mapping[Path, xr.DataTree], out: Path, errors: Sequence[Mapping[str, Any]] = ()
) -> None:
    """The reports of a folder: the runs of this command, by their folders, and those of other tasks
    that are there.

    A run that cannot be read is left out, as `veribayes report` would refuse it.
    """
    trees = list(runs.values())
    for file in store.run_files(out):
        if file.parent not in runs:
            tree = _readable(file)
            if tree is not None:
                trees.append(tree)
    write_reports(trees, out, errors)


def _readable(path: Path) -> xr.DataTree | None:
    try:
        tree = store.read_tree(path)
    except InputError:
        return None
    return tree if tree.attrs.get("schema") == store.SCHEMA else None
