"""Where the candidate is worst: by context size, by what is asked for, and in which data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.run.comparison import Comparison
from veribayes.run.endpoint import ranking
from veribayes.run.roles import JUDGED
from veribayes.run.sections.primary import Primary
from veribayes.tree import IntArray
from veribayes.tree.plain import number
from veribayes.validation import profiles

WORST = 8  # data sets in the entry
COLUMNS = ("estimate", "low", "high", "share")


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean divergence by context size; Jensen-Shannon where the primary one is infinite."""

    metric: str
    profile: profiles.Profile

    def entry(self) -> dict[str, Any]:
        """For the result's JSON."""
        return {"metric": self.metric, **_columns(self.profile, "context")}


@dataclass(frozen=True, eq=False)
class ByQuery:
    """Mean divergence by what is asked for, with simultaneous limits and the share of the endpoint
    that comes from there.
    """

    profile: profiles.Profile
    names: Sequence[str]

    def entry(self) -> list[dict[str, Any]]:
        """For the result's JSON, a row a name; empty where there is one name alone."""
        if len(self.names) < 2:
            return []
        columns = _columns(self.profile, "query")
        rows = []
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            rows.append({**row, "query": self.names[row["query"]]})
        return rows


@dataclass(frozen=True, eq=False)
class Worst:
    """The worst data sets, each with its worst prediction."""

    found: Sequence[profiles.Worst]
    context: IntArray
    names: Sequence[str]
    labels: IntArray
    keys: Sequence[str] = ()  # of given contexts

    def entry(self) -> list[dict[str, Any]]:
        """For the result's JSON, the worst first."""
        return [self._row(worst) for worst in self.found]

    def _row(self, worst: profiles.Worst) -> dict[str, Any]:
        named = len(self.names) > 1
        key = {"key": self.keys[worst.dataset]} if self.keys else {}
        return {
            "index": worst.dataset,
            **key,
            "mean": number(worst.mean),
            "context": int(self.context[worst.dataset, worst.position]),
            "position": worst.position,
            "query": self.names[self.labels[worst.query]] if named else worst.query,
            "query_index": worst.query,
            "kl": number(worst.score),
        }


@dataclass(frozen=True, eq=False)
class Where:
    """The three together, and the scores that they are of, (dataset, position, query)."""

    curve: Curve
    by_query: ByQuery
    worst: Worst
    ranked: Array


def where_of(comparison: Comparison, primary: Primary) -> Where:
    """Where the candidate of a comparison is worst."""
    scored = comparison.scored
    ranked = ranking(scored, comparison.primary)
    names, labels = query_names(comparison.task, ranked.shape[-1])
    profile = profiles.where(
        ranked, scored.context, label=labels, worst=WORST, seed=comparison.seed
    )
    metric = comparison.primary.metric if primary.is_finite else "js"
    return Where(
        Curve(metric, profile.by_context),
        ByQuery(profile.by_query, names),
        Worst(profile.worst, scored.context, names, labels, _keys(comparison.task)),
        ranked,
    )


def _keys(task: Task) -> Sequence[str]:
    """Keys of the data sets, where they are given."""
    return () if task.contexts is None else task.contexts.keys


def curves_group(comparison: Comparison, primary: Primary, curve: Curve) -> xr.Dataset:
    """The curve with its band, and those of everybody else, as the group /verdict."""
    columns: dict[str, npt.NDArray[Any]] = {
        "context": curve.profile.key,
        "estimate": curve.profile.estimate,
        "low": curve.profile.low,
        "high": curve.profile.high,
    }
    scored = comparison.scored
    metric = comparison.primary.for_others if primary.is_finite else "js"
    for role, scores in scored.scores.items():
        if role != JUDGED:
            profile = profiles.curve(scores[metric], scored.context, seed=comparison.seed)
            columns[f"{role}_estimate"] = profile.estimate
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    return xr.Dataset({name: (("context_size",), values) for name, values in arrays.items()})


def query_names(task: Task, queries: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Names of what is asked for, and for each query the number of its name.

    Queries about one node of a network share a name; the queries of other families are exchangeable
    and share one too.
    """
    nodes = list(task.model.asked)
    return nodes or ["all"], np.arange(queries) % max(len(nodes), 1)


def _columns(profile: profiles.Profile, key: str) -> dict[str, list[Any]]:
    """Columns as JSON; `reason` beside them where a limit is not shown."""
    columns: dict[str, list[Any]] = {key: [int(k) for k in profile.key]}
    for name in COLUMNS:
        columns[name] = [number(value) for value in getattr(profile, name)]
    if any(profile.reasons):
        columns["reason"] = list(profile.reasons)
    return columns
