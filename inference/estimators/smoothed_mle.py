"""Additive smoothing of relative frequencies:
(n_v + c) / (n + K c) under the query's parent configuration.

It is exact Bayes where the rows have a Dirichlet(c) prior, and a rival anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from veribayes.inference._engine import EPS, Fitted, Variants, certify, require_positive
from veribayes.inference._rows import (
    at_query,
    inside,
    learning,
    predecessor_counts,
    prefix_counts,
    query_of,
)
from veribayes.models._task import Task
from veribayes.predictive import Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class SmoothedMLE:
    """Count, with something to begin with.

    Attributes:
        concentration: c, added to the count of every state; 1 is Laplace's rule, 1/2 Krichevsky and
            Trofimov's.
        predecessors: count the rows that agree on all nodes before the target,
            not on its parents alone.
    """

    concentration: float = 1.0
    predecessors: bool = False
    label: ClassVar[str] = "smoothed frequencies"
    about: ClassVar[str] = "relative frequencies with a constant added to every count"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)
    variants: ClassVar[Variants] = ({"predecessors": False}, {"predecessors": True})
    fitted: ClassVar[Fitted] = {"concentration": (0.02, 20.0)}

    def __post_init__(self) -> None:
        require_positive(self, concentration=self.concentration)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, _ = learning(self, task, data)
        query = query_of(data)
        if self.predecessors:
            counts = predecessor_counts(model, data)
        else:
            by_row = prefix_counts(model, data.arrays["rows"], data.positions)
            counts = at_query(model, by_row, query)
        smoothed = counts + self.concentration * inside(model, query)
        answer = Categorical(smoothed / smoothed.sum(-1, keepdims=True))
        return Branch(answer, certify(self.method, 4 * EPS))


PART = SmoothedMLE
