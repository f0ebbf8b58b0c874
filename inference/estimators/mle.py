"""Maximum likelihood for tables learnt from complete rows: relative frequencies under the query's parent configuration.

This is what arXiv 2501.02547 says that a transformer computes. It is undefined for a configuration that was never seen;
there the answer is uniform over the target's states. Probabilities may be zero, so that KL(exact || mle) may be infinite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from veribayes.inference._engine import EPS, certify
from veribayes.inference._rows import at_query, frequencies, inside, learning, prefix_counts, query_of
from veribayes.models._task import Task
from veribayes.predictive import Categorical
from veribayes.tree import Branch, Data


@dataclass(frozen=True)
class MaximumLikelihood:
    """Relative frequencies; uniform where nothing was seen."""

    method: ClassVar[str] = "estimator"
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, _ = learning(self, task, data)
        query = query_of(data)
        counts = at_query(model, prefix_counts(model, data.arrays["rows"], data.positions), query)
        return Branch(Categorical(frequencies(counts, inside(model, query))), certify(self.method, EPS))


PART = MaximumLikelihood
