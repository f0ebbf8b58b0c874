"""Single data sets that a run stored with their predictives, each at the context size and query where it is worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes.predictive import FORMS, Array, Predictive
from veribayes.report._run import Run

SHOWN = ("reference", "candidate", "prior_only")  # branches of /examples, in the order they are drawn


@dataclass(frozen=True, eq=False)
class Case:
    """One data set at one context size, with every branch's predictive at all queries (leading shape: query).

    Attributes:
        why: `first`, `worst`, `median` or `best`.
        index: the data set's number in its stream.
        query: the query with the largest divergence.
        score: the divergence there.
        family: as in `Run.family`.
        context: number of observations.
        outcome: what happened at the query; NaN where that is not known.
        observed: the family's arrays of this data set.
        branches: predictives, from `SHOWN`.
        labels: names of the categories at the query; empty where they have none.
    """

    why: str
    index: int
    query: int
    score: float
    family: str
    context: int
    outcome: float
    observed: Mapping[str, npt.NDArray[Any]]
    branches: Mapping[str, Predictive]
    labels: tuple[str, ...] = ()


def cases(run: Run, why: str, count: int) -> list[Case]:
    """The first `count` stored examples of a kind (`first`, `worst`, `median`, `best`)."""
    group, reference = run.group("/examples"), run.group("/examples/reference")
    if group is None or reference is None or not {"why", "index"} <= {str(v) for v in group.variables}:
        return []
    chosen = np.flatnonzero(group["why"].values.astype(str) == why)[:count]
    return [_case(run, int(example), why, int(group["index"].values[example])) for example in chosen]


def _case(run: Run, example: int, why: str, index: int) -> Case:
    branches = {name: law for name in SHOWN if (law := _predictive(run, f"/examples/{name}")) is not None}
    score = _of_data_set(run.scores, run, index)
    if score is None:
        score = np.zeros(branches["reference"].shape[1:])
    worst = _worst(score, _of_data_set(run.array("/scores/candidate", run.curve_metric), run, index))
    position, query = (int(i) for i in np.unravel_index(worst, score.shape))
    context = _of_data_set(run.array("/observed_data", "context"), run, index)
    outcome = _of_data_set(run.array("/observed_data", "outcome"), run, index)
    observed = _observed(run, example)
    return Case(
        why=why,
        index=index,
        query=query,
        score=float(score[position, query]),
        family=run.family,
        context=0 if context is None else int(context[position]),
        outcome=np.nan if outcome is None else float(outcome[position, query]),
        observed=observed,
        branches={name: law[example, position] for name, law in branches.items()},
        labels=_labels(run, observed, query),
    )


def _worst(score: Array, finite: Array | None) -> int:
    """The cell with the largest score; among several infinite ones that with the largest finite score."""
    applies = ~np.isnan(score)
    top = applies & (score == np.max(score, where=applies, initial=-np.inf))
    among = np.zeros(score.shape) if finite is None else np.nan_to_num(finite)
    return int(np.argmax(np.where(top, among, -np.inf)))


def _of_data_set(values: Array | None, run: Run, index: int) -> Array | None:
    """The part of an array over all data sets that belongs to the one with this number."""
    numbers = run.array("/observed_data", "index")
    if values is None or numbers is None or index not in numbers:
        return None
    return np.asarray(values[int(np.flatnonzero(numbers == index)[0])])


def _observed(run: Run, example: int) -> dict[str, npt.NDArray[Any]]:
    """The family's arrays of one example; those without an example axis are shared."""
    group = run.group("/examples/observed")
    variables = {} if group is None else group.variables
    return {str(n): v.values[example] if "example" in v.dims else v.values for n, v in variables.items()}


def _predictive(run: Run, path: str) -> Predictive | None:
    group = run.group(path)
    form = None if group is None else FORMS.get(str(group.attrs.get("form")))
    if group is None or form is None:
        return None
    return form(**{name: group[name].values for name in form.trailing if name in group.variables})


def _labels(run: Run, observed: Mapping[str, npt.NDArray[Any]], query: int) -> tuple[str, ...]:
    """State names of the node that a query asks for."""
    nodes, states, target = run.model.get("nodes"), run.model.get("states"), observed.get("target")
    if not isinstance(nodes, list) or not isinstance(states, Mapping) or target is None:
        return ()
    asked = int(target[query]) if query < target.size else -1
    return tuple(str(s) for s in states.get(nodes[asked], ())) if 0 <= asked < len(nodes) else ()
