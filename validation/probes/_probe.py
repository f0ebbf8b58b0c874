"""The frame of a probe: who is looked into, and a number with its interval over data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive
from veribayes.tree import Data, Posterior
from veribayes.validation import bootstrap, stability

LAST = 100  # place of a probe that says none: behind those of this package
Call = Callable[[Any, Any], Any]  # (context, query) -> an answer in one of the forms


@dataclass(frozen=True, eq=False)
class Constructed:
    """A construction that stands beside the candidate: its name, and itself with `attention` and
    `roles`.
    """

    name: str
    call: Any


@dataclass(frozen=True, eq=False)
class Subject:
    """Who is looked into, and what can be asked about it.

    Attributes:
        task: what it answers.
        call: the candidate; it may have `attention(context, query) -> (maps, leading)`.
        data: data sets that nothing else uses.
        seed: of the intervals.
        read: (answer, (dataset, query)) -> the predictive that it is.
        exact: the exact predictive of data with one position, (dataset, query).
        posterior: the exact posterior of the latents, as the reference of the task states it.
        construction: what theory writes down for this task.
        named: whether that construction was asked for by name; else it may be missing.

    `construction` raises an InputError where none serves the task.
    """

    task: Task
    call: Call
    data: Data
    seed: int
    read: Callable[[Any, tuple[int, int]], Predictive]
    exact: Callable[[Data], Predictive]
    posterior: Callable[[Data], Posterior]
    construction: Callable[[], Constructed]
    named: bool = False

    def answers(self, data: Data) -> Predictive:
        """What it says to data with one position, (dataset, query)."""
        context, query = self.task.model.inputs(data, 0)
        queries = self.task.model.layout.queries(data.arrays)
        return self.read(self.call(context, query), (len(data.index), queries))


@dataclass(frozen=True, eq=False)
class Probe:
    """One measure of a candidate.

    Attributes:
        name: the part's name, and the key of what it finds.
        label: what is measured, for a heading.
        about: what a reader learns from it, a sentence.
        ask: subject -> plain data; None where the question makes no sense for the task.
        place: probes are asked and listed by it, then by name.
        rows: what it found -> a table for readers, its heading first. A cell is text, or a mapping
            with `estimate`, `low` and `high`. None: nothing is shown.
    """

    name: str
    label: str
    about: str
    ask: Callable[[Subject], Any]
    place: int = LAST
    rows: Callable[[Any], Sequence[Sequence[Any]]] | None = None


def summary(values: Array, seed: int, lowest: float = 0.0, highest: float = 1.0) -> dict[str, Any]:
    """Mean over data sets with its 95 % limits, cut where the quantity ends; values (dataset,
    *column).

    A limit that the sample does not support is null, with the `reason` in its place in a list of
    the same shape.
    """
    low, high = (np.clip(limit, lowest, highest) for limit in bootstrap.limits(values, seed=seed))
    estimate = values.mean(0)
    shown_low, shown_high = stability.shown(estimate, low, high, values, within=(lowest, highest))
    entry = {
        "estimate": estimate.tolist(),
        "low": _listed(shown_low),
        "high": _listed(shown_high),
    }
    absent = np.isnan(shown_low) | np.isnan(shown_high)
    if not absent.any():
        return entry
    reason = np.full(absent.shape, None, dtype=object)
    reason[absent] = stability.UNSTABLE.format(side="upper")
    return {**entry, "reason": reason.tolist()}


def _listed(values: Array) -> Any:
    """As JSON, in nested lists; null for NaN."""
    listed = values.astype(object)
    listed[np.isnan(values)] = None
    return listed.tolist()
