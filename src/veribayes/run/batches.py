"""Data sets of a run, a range at a time: simulated, inferred and asked once, whoever needs it.

A request is always about a whole range. An answer that was dropped, because memory forbids to keep
it, or because its shard was read back from a file, comes from the same request again: a candidate
that keeps to its seed gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from veribayes.models._task import Task
from veribayes.predictive import Predictive, concatenate
from veribayes.run.options import Options
from veribayes.run.roles import JUDGED, TRUTH, Roles
from veribayes.tree import Branch, IntArray, Simulation, merge_branches
from veribayes.tree.parts import merge_simulations, select_branch, select_simulation
from veribayes.validation import questions

# data sets in which a concentration is looked for; they hold in memory what each group contains
SEARCHED = 2000


class Batch:
    """One range of the data sets of a run.

    Attributes:
        rows: numbers of the data sets.
        is_first: whether questions beside the primary endpoint are about them: what the reference
            and the candidate say about them is kept whole, with latents and joints.
    """

    def __init__(self, task: Task, roles: Roles, options: Options, rows: range) -> None:
        self.rows = rows
        self.is_first = options.tests != "none" and rows.start < questions.ASKED
        self._task = task
        self._roles = roles
        self._seed = options.seed
        self._keeps_all = True
        self._simulation: Simulation | None = None
        self._branches: dict[str, Branch] = {}

    @property
    def simulation(self) -> Simulation:
        """The data sets with what happened; simulated again where `drop` has dropped them."""
        if self._simulation is not None:
            return self._simulation
        simulation = self._task.simulate(self.rows, seed=self._seed)
        if self._keeps(self.rows.start < SEARCHED):
            self._simulation = simulation
        return simulation

    def branch(self, role: str) -> Branch:
        """What somebody says about the data sets; asked again where `drop` has dropped it.

        Raises:
            ReferenceRefused: the reference did not earn trust.
        """
        if role in self._branches:
            return self._branches[role]
        branch = self._asked(role)
        if self._keeps(self.is_first and role in (TRUTH, JUDGED)):
            self._branches[role] = branch
        return branch

    def drop(self) -> None:
        """Forget what only the scores of these data sets needed."""
        self._keeps_all = False
        kept = (TRUTH, JUDGED) if self.is_first else ()
        self._branches = {role: b for role, b in self._branches.items() if role in kept}
        if self.rows.start >= SEARCHED:
            self._simulation = None

    def _keeps(self, wanted_later: bool) -> bool:
        return self._keeps_all or wanted_later

    def _asked(self, role: str) -> Branch:
        who = self._roles.named[role]
        if role == TRUTH and self.is_first and self._roles.questioned is not None:
            who = self._roles.questioned
        branch = who.infer(self._task, self.simulation.data, self._seed)
        if role == TRUTH:
            branch.certificate.require(who.name)
        return branch


def ranges(task: Task, datasets: int) -> Iterator[range]:
    """The ranges into which a task cuts its data sets."""
    for start in range(0, datasets, task.design.shard):
        yield range(start, min(start + task.design.shard, datasets))


def first_simulations(batches: Sequence[Batch], count: int) -> Simulation:
    """The first data sets."""
    some = [batch.simulation for batch in batches if batch.rows.start < count]
    return select_simulation(merge_simulations(some), slice(count))


def first_branch(batches: Sequence[Batch], role: str, count: int) -> Branch:
    """What somebody says about the first data sets."""
    some = [batch.branch(role) for batch in batches if batch.rows.start < count]
    return select_branch(merge_branches(some), slice(count))


def simulation_of(batches: Sequence[Batch], numbers: IntArray) -> Simulation:
    """The data sets with these numbers, in their order; some may come twice."""
    holding = _holding(batches, numbers)
    merged = merge_simulations([batch.simulation for batch in holding])
    return select_simulation(merged, _places(merged.data.index, numbers))


def predictive_of(batches: Sequence[Batch], role: str, numbers: IntArray) -> Predictive:
    """What somebody predicts for the data sets with these numbers; asked again about the batches
    that hold them.
    """
    parts, numbers_of_parts = [], []
    for batch in _holding(batches, numbers):
        inside = np.array([n for n in np.unique(numbers).tolist() if n in batch.rows])
        parts.append(batch.branch(role).predictive[inside - batch.rows.start])
        numbers_of_parts.append(inside)
    return concatenate(parts)[_places(np.concatenate(numbers_of_parts), numbers)]


def _holding(batches: Sequence[Batch], numbers: IntArray) -> list[Batch]:
    wanted = set(numbers.tolist())
    return [batch for batch in batches if not wanted.isdisjoint(batch.rows)]


def _places(index: IntArray, numbers: IntArray) -> IntArray:
    """Where each number stands in an index."""
    place = {number: row for row, number in enumerate(index.tolist())}
    return np.array([place[number] for number in numbers.tolist()], dtype=np.int64)
