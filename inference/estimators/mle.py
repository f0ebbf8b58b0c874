"""Maximum likelihood for tables learnt from complete rows:
relative frequencies under the query's parent configuration.

This is what arXiv 2501.02547 says that a transformer computes. It is undefined for a configuration
that was never seen; what is said there is the back-off.
Probabilities may be zero, so that KL(exact || mle) may be infinite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from veribayes.inference._engine import EPS, Variants, certify, require_choice
from veribayes.inference._rows import (
    BACKOFFS,
    at_query,
    closest_counts,
    frequencies,
    inside,
    learning,
    parents_of,
    prefix_counts,
    query_of,
)
from veribayes.models._task import Task
from veribayes.predictive import Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class MaximumLikelihood:
    """Relative frequencies.

    Attributes:
        backoff: what is said of a parent configuration that no row has. `uniform`: every state of
            the target alike; `nearest`: the relative frequencies among the rows that agree with the
            query on the most parents, which softmax attention over agreements does by itself
            (construction `bn_maximum_likelihood`). Without rows both are uniform.
    """

    backoff: str = "uniform"
    label: ClassVar[str] = "maximum likelihood"
    about: ClassVar[str] = "relative frequencies"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)
    variants: ClassVar[Variants] = ({}, {"backoff": "nearest"})

    def __post_init__(self) -> None:
        require_choice(self, "backoff", self.backoff, BACKOFFS)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, _ = learning(self, task, data)
        query = query_of(data)
        if self.backoff == "nearest":
            counts = closest_counts(model, data, parents_of(model, query))
        else:
            by_row = prefix_counts(model, data.arrays["rows"], data.positions)
            counts = at_query(model, by_row, query)
        shares = frequencies(counts, inside(model, query))
        return Branch(Categorical(shares), certify(self.method, EPS))


PART = MaximumLikelihood
