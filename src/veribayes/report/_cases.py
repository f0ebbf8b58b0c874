"""Single data sets that a run stored, each at the context size and query where it is worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from veribayes.predictive import FORMS, Array, Predictive
from veribayes.report._run import Run
from veribayes.tree import shown
from veribayes.tree.shown import Shown

NOT_SHOWN = Shown("The context of this example was not stored.")
SHOWN = ("reference", "candidate", "prior_only")  # branches of /examples, in the order of drawing


@dataclass(frozen=True, eq=False)
class Case:
    """One data set at one context size, with every branch's predictive, leading shape (query,).

    Attributes:
        why: `first`, `worst`, `median` or `best`.
        index: the data set's number in its stream.
        query: the query with the largest divergence.
        score: the divergence there.
        context: number of observations.
        outcome: what happened at the query; NaN where that is not known.
        branches: predictives, from `SHOWN`.
        labels: names of the categories at the query; empty where they have none.
        shown: what the candidate saw and what is asked, as the family writes it.
    """

    why: str
    index: int
    query: int
    score: float
    context: int
    outcome: float
    branches: Mapping[str, Predictive]
    labels: tuple[str, ...] = ()
    shown: Shown = NOT_SHOWN


def cases(run: Run, why: str, count: int) -> list[Case]:
    """The first `count` stored examples of a kind (`first`, `worst`, `median`, `best`)."""
    group, reference = run.group("/examples"), run.group("/examples/reference")
    if group is None or reference is None:
        return []
    if "why" not in group.variables or "index" not in group.variables:
        return []
    numbers, reasons = group["index"].values, group["why"].values.astype(str)
    chosen = np.flatnonzero(reasons == why)[:count]
    return [_case(run, int(example), why, int(numbers[example])) for example in chosen]


def _case(run: Run, example: int, why: str, index: int) -> Case:
    laws = _laws(run)
    score = _of_data_set(run.scores, run, index)
    if score is None:
        score = np.zeros(laws["reference"].shape[1:])
    position, query = _place(run, example, score)
    context = _of_data_set(run.array("/observed_data", "context"), run, index)
    outcome = _of_data_set(run.array("/observed_data", "outcome"), run, index)
    seen, labels = _shown(run, example)
    return Case(
        why=why,
        index=index,
        query=query,
        score=float(score[position, query]),
        context=0 if context is None else int(context[position]),
        outcome=np.nan if outcome is None else float(outcome[position, query]),
        branches={name: law[example, position] for name, law in laws.items()},
        labels=labels,
        shown=seen,
    )


def _laws(run: Run) -> dict[str, Predictive]:
    """The stored predictives of all examples, those of `SHOWN` that are there."""
    laws = {}
    for name in SHOWN:
        law = _predictive(run, f"/examples/{name}")
        if law is not None:
            laws[name] = law
    return laws


def _place(run: Run, example: int, score: Array) -> tuple[int, int]:
    """The cell that is shown: the stored one, or in an older run that with the largest score."""
    positions = run.array("/examples", "worst_position")
    queries = run.array("/examples", "worst_query")
    if positions is not None and queries is not None:
        return int(positions[example]), int(queries[example])
    known = np.where(np.isnan(score), -np.inf, score)
    position, query = np.unravel_index(int(np.argmax(known)), score.shape)
    return int(position), int(query)


def _shown(run: Run, example: int) -> tuple[Shown, tuple[str, ...]]:
    group = run.group("/examples")
    if group is None or "shown" not in group.variables:
        return NOT_SHOWN, ()
    text = str(group["shown"].values[example])
    try:
        return shown.from_json(text)
    except (KeyError, TypeError, ValueError):  # no reason to lose the report
        return NOT_SHOWN, ()


def _of_data_set(values: Array | None, run: Run, index: int) -> Array | None:
    """The part of an array over all data sets that belongs to the one with this number."""
    numbers = run.array("/observed_data", "index")
    if values is None or numbers is None or index not in numbers:
        return None
    row = int(np.flatnonzero(numbers == index)[0])
    return np.asarray(values[row])


def _predictive(run: Run, path: str) -> Predictive | None:
    group = run.group(path)
    form = None if group is None else FORMS.get(str(group.attrs.get("form")))
    if group is None or form is None:
        return None
    stored = {name: group[name].values for name in form.trailing if name in group.variables}
    return form(**stored)
