"""Maximum likelihood given all predecessors of the target instead of its parents: the "naive" baseline of arXiv 2501.02547.

Relative frequencies among the rows that agree with the query on every node before the target; uniform where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from veribayes.inference._engine import EPS, certify
from veribayes.inference._rows import frequencies, inside, learning, predecessor_counts, query_of
from veribayes.models._task import Task
from veribayes.predictive import Categorical
from veribayes.tree import Branch, Data


@dataclass(frozen=True)
class NaiveMLE:
    """Count without the graph."""

    method: ClassVar[str] = "estimator"
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, _ = learning(self, task, data)
        probs = frequencies(predecessor_counts(model, data), inside(model, query_of(data)))
        return Branch(Categorical(probs), certify(self.method, EPS))


PART = NaiveMLE
