"""Bayes under the continuous law that a finite pool of tasks was drawn from: the predictor that
generalises.

Raventos, Paul, Chen & Ganguli, arXiv 2306.15063, who call it ridge where the tasks are regressions.
A stationary start's word about the rows is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from veribayes.errors import InputError
from veribayes.inference._engine import name_of, require_family
from veribayes.inference.estimators.markov_order import MarkovOrder
from veribayes.models._task import Task
from veribayes.models.markov import Markov
from veribayes.models.markov._fields import POOL
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class Generalising:
    """Counts with the pool's concentration added."""

    label: ClassVar[str] = "generalising"
    about: ClassVar[str] = "Bayes under the law that the pool of tasks was drawn from"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("markov",)
    # identify says where a candidate stands between this predictor and that one
    opposite: ClassVar[str] = "memorising"

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_family(self, task)
        model = cast(Markov, task.model)
        if model.rows != POOL:
            raise InputError(f"rows: pool for '{name_of(self)}'", f"the task '{task.name}'")
        return MarkovOrder(order=max(model.orders))(task, data, seed=seed)


PART = Generalising
