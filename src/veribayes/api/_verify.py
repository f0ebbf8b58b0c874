"""A candidate beside the certified truth, and what a run says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from veribayes.api._documents import write_reports
from veribayes.api._options import split_options
from veribayes.api._tasks import task
from veribayes.models._contexts import Table, read_table, table_in_memory, with_contexts
from veribayes.run import ownership, pipeline
from veribayes.storage import folders, store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over data sets; None where it is infinite or undefined."""

    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Result:
    """What a run says. `tree` is the whole run; the rest are views of it."""

    tree: xr.DataTree

    @property
    def entry(self) -> dict[str, Any]:
        """This task's entry of the JSON document (schema veribayes.result/1)."""
        return dict(json.loads(self.tree.attrs["result"]))

    @property
    def verdict(self) -> str:
        """`equivalent`, `different` or `undecided`."""
        return str(self.entry["verdict"])

    @property
    def primary(self) -> Estimate:
        """The primary endpoint, usually mean KL(exact || candidate) in nats."""
        return _estimate(self.entry["primary"])

    @property
    def recovery(self) -> Estimate:
        """Bayes recovery: 1 - KL(exact || candidate) / KL(exact || prior predictive)."""
        return _estimate(self.entry["recovery"])

    def table(self) -> pd.DataFrame:
        """One row a context size: the candidate's mean divergence with its band,
        and the rivals'.
        """
        curve = self.tree["verdict"].to_dataset()
        return curve.to_dataframe().set_index("context")

    def plot(self) -> Figure:
        """The curve over context size, with the rivals."""
        from veribayes.report import figures

        return figures.curve(self.tree)

    def save(self, folder: str | Path) -> Path:
        """Write `run.nc`, `result.json` and `report.html` into a folder; returns the folder.

        Raises:
            InputError: the folder holds another run, has a writer, or cannot be written.
        """
        folder = Path(folder)
        with ownership.saved(folder, self.tree):
            store.write_tree(self.tree, folder / "run.nc")
            write_reports([self.tree], folder)
        return folder

    def __repr__(self) -> str:
        entry = self.entry
        primary = entry["primary"]
        size = f"{primary['metric']}={primary['estimate']} {primary['unit']}"
        return f"Result({entry['task']!r}, {entry['candidate']!r}, {entry['verdict']}, {size})"


def verify(
    what: str | Path | Any,
    candidate: object = None,
    *,
    datasets: int = pipeline.DEFAULT_DATASETS,
    seed: int = 0,
    tolerance: float | None = None,
    reference: str | None = None,
    audit: int = pipeline.DEFAULT_AUDIT,
    out: str | Path | None = None,
    options: Mapping[str, str] | None = None,
    keep_predictions: bool = False,
    tests: str = "standard",
    sequential: bool = False,
    contexts: object = None,
) -> Result:
    """Compare a candidate with the certified truth of a task, as distributions.

    Args:
        what: anything `task` understands.
        candidate: a callable (context, query) -> one of the seven predictive forms, a torch module,
            an engine, recorded predictions (a DataTree or its file), or the name of a checkpoint or
            engine; None is the task's own checkpoint.
        datasets: independent data sets; they are the unit of replication. A verdict `equivalent`
            needs 400.
        seed: with it every number of the run is determined.
        tolerance: of the primary endpoint, instead of the task's.
        reference: engine that computes the truth, instead of the task's.
        audit: data sets on which NUTS checks an exact reference; 0 for none.
        out: folder for shards, run and report; the run resumes from it.
        options: `reference.NAME`, `candidate.NAME` and `audit.NAME` options of engines.
        keep_predictions: keep all answers of the candidate in the tree; it is then a candidate
            itself.
        tests: how much is asked beside the primary endpoint: `none`, `standard` or `all`.
        sequential: stop as soon as it is sure that the candidate is different.
        contexts: data sets that somebody has, instead of simulated ones: a file (CSV, JSON lines,
            npz, Parquet, netCDF), a mapping of arrays, or a data frame; docs/own-data.md shows
            each.

    Returns:
        Result with verdict, recovery, table, plot and save.
    """
    from veribayes.candidates import with_tolerance

    meant = with_contexts(with_tolerance(task(what), tolerance), contexts)
    of_role = split_options(options or {})
    chosen = pipeline.Options(
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
    chosen = pipeline.on_contexts(meant, chosen)
    if out is None:
        return Result(pipeline.run(meant, candidate, chosen))
    folder = Path(out)
    with ownership.claimed(folder, meant, candidate, chosen):
        for file in ("report.html", "result.json"):
            folders.require_writable(folder / file)
        tree = pipeline.run(meant, candidate, chosen, out=folder)
        write_reports([tree], folder)
    return Result(tree)


def recorded(what: str | Path | Any) -> Table:
    """Predictions that were recorded, as a candidate for contexts that are given.

    Args:
        what: a file (CSV, JSON lines, npz, Parquet, netCDF), a mapping of arrays, or a data frame,
            with the keys `dataset` and `query` and the variables of one predictive form.

    Raises:
        InputError: no table.
    """
    if isinstance(what, str | Path):
        return read_table(what)
    return table_in_memory(what, "recorded predictions")


def _estimate(plain: Mapping[str, Any]) -> Estimate:
    return Estimate(plain["estimate"], plain["low"], plain["high"])
