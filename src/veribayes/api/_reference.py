"""The truth alone: of data sets that a task draws, or of one's own data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from veribayes.api._options import split_options
from veribayes.api._tasks import task
from veribayes.errors import InputError, shown
from veribayes.models._contexts import on, read_contexts
from veribayes.models._task import Task
from veribayes.run import pipeline
from veribayes.storage import store

if TYPE_CHECKING:
    import pandas as pd

PREDICTIVE, LATENTS = "/reference/posterior_predictive", "/reference/posterior"


@dataclass(frozen=True, eq=False)
class Reference:
    """A certified posterior; `tree` is all of it, the rest are views."""

    tree: xr.DataTree

    @property
    def entry(self) -> dict[str, Any]:
        """Its JSON document (schema veribayes.reference/1), without the schema."""
        return dict(json.loads(self.tree.attrs["result"]))

    @property
    def certificate(self) -> dict[str, Any]:
        """Why it may be trusted: `verdict`, `method`, `error_bound`, `bound_kind`, `reasons`."""
        return dict(self.entry["reference"]["certificate"])

    def predictive(self) -> pd.DataFrame:
        """One row a query that was asked: its keys, and the mean and sd of a number or the
        probabilities of the categories, at the largest context size.
        """
        import pandas as pd

        if PREDICTIVE not in self.tree.groups:
            return pd.DataFrame()
        law = store.predictive_of(self.tree[PREDICTIVE].to_dataset())[:, -1]
        observed = self.tree["/observed_data"].to_dataset()
        rows = []
        for dataset, query in np.ndindex(law.shape):
            row = _keys(observed, dataset, query)
            if row is None:
                continue
            if law.form == "categorical":
                probs = law.variables()["probs"][dataset, query].tolist()
                row |= {f"probs.{state}": value for state, value in enumerate(probs)}
            else:
                one = law[dataset, query]
                row |= {"mean": float(one.expectation()), "sd": float(one.standard_deviation())}
            rows.append(row)
        return pd.DataFrame(rows)

    def latents(self) -> pd.DataFrame:
        """One row an entry of a latent: its mean and sd at the largest context size."""
        import pandas as pd

        rows = []
        moments = self.tree[LATENTS].to_dataset()
        for name in [str(variable) for variable in moments.data_vars]:
            if not name.endswith("_mean"):
                continue
            latent = name.removesuffix("_mean")
            mean, sd = (
                moments[f"{latent}_{moment}"].to_numpy()[:, -1] for moment in ("mean", "sd")
            )
            for place in map(tuple, np.argwhere(np.isfinite(mean)).tolist()):
                entry = f"{latent}{list(place[1:])}" if place[1:] else latent
                values = {"mean": float(mean[place]), "sd": float(sd[place])}
                rows.append({"dataset": place[0], "latent": entry, **values})
        return pd.DataFrame(rows)

    def save(self, path: str | Path) -> Path:
        """Write one netCDF file; returns its path.

        Raises:
            InputError: a name that does not end in .nc, or a place where nothing can be written.
        """
        file = store.netcdf_path(Path(path))
        store.write_tree(self.tree, file)
        return file

    def __repr__(self) -> str:
        entry = self.entry
        verdict = self.certificate["verdict"]
        size = f"{entry['datasets']} data sets"
        return f"Reference({entry['task']!r}, {entry['reference']['engine']!r}, {verdict}, {size})"


def reference(
    what: str | Path | Any,
    data: object = None,
    *,
    queries: object = None,
    datasets: int | None = None,
    seed: int = 0,
    engine: str | None = None,
    audit: int = 0,
    options: Mapping[str, str] | None = None,
) -> Reference:
    """Compute and certify the truth of a task alone.

    Args:
        what: anything `task` understands.
        data: one's own data, instead of simulated: a file, a mapping of arrays or a data frame;
            docs/own-data.md says what each family has. One data set needs no keys.
        queries: a second table, of what is asked.
        datasets: data sets that are drawn, where no data are given.
        seed: with it every number is determined.
        engine: instead of the task's.
        audit: data sets that NUTS recomputes, latent by latent.
        options: `reference.NAME` and `audit.NAME` options of engines.

    Raises:
        ReferenceRefused: the reference, or its audit, did not earn trust.
        InputError: data that are none of the task's family.
    """
    of_role = split_options(options or {})
    meant = on_data(task(what), data, queries)
    chosen = pipeline.Options(
        datasets=number_of_data_sets(meant, datasets),
        seed=seed,
        audit=audit,
        reference=engine,
        reference_options=of_role["reference"],
        audit_options=of_role["audit"],
    )
    return Reference(pipeline.reference(meant, chosen))


def on_data(meant: Task, data: object, queries: object = None) -> Task:
    """The task on one's own data; the same where none are given.

    Raises:
        InputError: queries without data, or data that are none of the task's family.
    """
    if data is None and queries is not None:
        raise InputError("data beside the queries", "queries alone", "give --data FILE")
    return (
        meant if data is None else on(meant, read_contexts(meant, data, own=True, queries=queries))
    )


def number_of_data_sets(meant: Task, datasets: int | None) -> int:
    """As many as are given, else as many as are asked for.

    Raises:
        InputError: another number than there are.
    """
    if meant.contexts is None:
        usual = 1 if meant.model.given else pipeline.DEFAULT_DATASETS
        return usual if datasets is None else datasets
    count = len(meant.contexts.keys)
    if datasets not in (None, count):
        wanted = f"the {count} data sets of {shown(meant.contexts.name)}"
        raise InputError(wanted, f"{datasets}", "leave out --datasets")
    return count


def _keys(observed: xr.Dataset, dataset: int, query: int) -> dict[str, Any] | None:
    """The keys of a query; None where nothing was asked."""
    if "query_label" not in observed:
        return {"dataset": dataset, "query": query}
    label = str(observed["query_label"].to_numpy()[dataset, query])
    key = str(observed["key"].to_numpy()[dataset])
    return {"dataset": key, "query": label} if label else None
