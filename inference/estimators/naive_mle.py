"""Maximum likelihood given all predecessors of the target instead of its parents:
the "naive" baseline of arXiv 2501.02547.

Relative frequencies among the rows that agree with the query on every node before the target; where
there is none, the back-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from veribayes.inference._engine import EPS, Variants, certify, require_choice
from veribayes.inference._rows import (
    BACKOFFS,
    closest_counts,
    frequencies,
    inside,
    learning,
    predecessor_counts,
    predecessors_of,
    query_of,
)
from veribayes.models._task import Task
from veribayes.predictive import Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class NaiveMLE:
    """Count without the graph.

    Attributes:
        backoff: what is said where no row agrees on all predecessors. `uniform`: every state alike;
            `nearest`: the relative frequencies among the rows that agree on the most of them.
                Without rows both are uniform.
    """

    backoff: str = "uniform"
    label: ClassVar[str] = "naive maximum likelihood"
    about: ClassVar[str] = "relative frequencies given every earlier node"
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
            counts = closest_counts(model, data, predecessors_of(model, query))
        else:
            counts = predecessor_counts(model, data)
        shares = frequencies(counts, inside(model, query))
        return Branch(Categorical(shares), certify(self.method, EPS))


PART = NaiveMLE
