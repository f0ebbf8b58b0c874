"""What the questions beside the primary endpoint are about: one candidate beside the truth on the
first data sets of a run.

Nothing is asked before a question needs it, and nothing twice. The comparison of a run is such a
case: it answers `said` and `truth` with what was scored, so that nobody is asked a second time. A
case by itself asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive
from veribayes.tree import Branch, Data, IntArray, Simulation
from veribayes.validation import again
from veribayes.validation.candidate import Candidate

LISTS_FROM = 2  # observations, from which on they have an order


class Primary(Protocol):
    """What decides: a metric of the scores with its unit and tolerance."""

    @property
    def metric(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def tolerance(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Case:
    """What the questions are about.

    Attributes:
        reference: the truth, with the joint of the queries where its engine has one; None where it
            would be sampled again.
        primary: the endpoint that decides; answers that are asked again are measured in its unit,
            against its tolerance.
        scores: of the candidate on every data set of the run, by metric.
        simulation: the first data sets, on which both are asked again.
    """

    task: Task
    judged: Candidate
    reference: Candidate | None
    primary: Primary
    scores: Mapping[str, Array]
    simulation: Simulation
    seed: int

    @property
    def datasets(self) -> int:
        """Of the whole run."""
        return max((len(values) for values in self.scores.values()), default=0)

    @cached_property
    def said(self) -> Branch:
        """The candidate on the first data sets."""
        return self.judged.infer(self.task, self.simulation.data, self.seed)

    @cached_property
    def truth(self) -> Branch | None:
        """The reference on the first data sets; None where it would be sampled again."""
        if self.reference is None:
            return None
        return self.reference.infer(self.task, self.simulation.data, self.seed)

    @property
    def listed(self) -> tuple[str, ...]:
        """Arrays of a context whose order means nothing; none where it cannot be asked about
        another order.
        """
        layout = self.task.model.layout
        return layout.listed if layout.order == "set" and self.judged.askable else ()

    @cached_property
    def asked_positions(self) -> IntArray:
        """The middle and the largest context size, of those at which an order can matter where
        there are such.
        """
        positions = self.simulation.data.positions
        sizes = np.flatnonzero(positions >= LISTS_FROM)
        if not sizes.size:
            sizes = np.arange(len(positions))
        middle = int(sizes[len(sizes) // 2])
        return np.array(sorted({middle, int(sizes[-1])}))

    @cached_property
    def measured(self) -> tuple[again.Requests, again.Answers, again.Changes] | None:
        """What asking again showed; None where it cannot be asked."""
        if not self.judged.askable:
            return None
        data = self.simulation.data.select(positions=self.asked_positions)
        listed = self.listed if (data.positions >= LISTS_FROM).all() else ()
        batch = self._first_batch(len(data.index))
        requests = again.Requests(self.judged, self.task, data, listed, self.seed, batch)
        answers = again.ask(requests)
        outcome = self.simulation.outcome[:, self.asked_positions]
        changes = again.changes(requests, answers, outcome, self.primary.tolerance)
        return (requests, *changes)

    def _first_batch(self, datasets: int) -> int:
        """Size of the batch in which the run scored its first data sets; 0 where they are not all
        among these.
        """
        batch = min(self.datasets, self.task.design.shard)
        return batch if batch <= datasets else 0

    @cached_property
    def exact(self) -> Predictive | None:
        """The reference's predictive at the context sizes that are asked about again."""
        if self.reference is None:
            return None
        if "truth" in self.__dict__ and self.truth is not None:
            return self.truth.predictive[:, self.asked_positions]
        data = self.simulation.data.select(positions=self.asked_positions)
        return self.reference.infer(self.task, data, self.seed).predictive

    def answers(self, data: Data) -> Predictive:
        """The candidate's predictive, (dataset, position, query)."""
        return self.judged.infer(self.task, data, self.seed).predictive
