"""Posterior predictive given all predecessors of the target instead of its parents:
exact Bayes for the complete graph.

A network that has not found the graph does at best this: it conditions on every node before the
target, each configuration with its own row and the task's prior.
Its maximum-likelihood version is the "naive" baseline of arXiv 2501.02547.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from veribayes.inference._engine import certify
from veribayes.inference._rows import inside, learning, predecessor_counts, query_of, row_posterior
from veribayes.models._task import Task
from veribayes.predictive import Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class AllPredecessors:
    """Conjugate counting in the complete graph with the same order of nodes."""

    label: ClassVar[str] = "all predecessors"
    about: ClassVar[str] = "ignores the graph: conditions on every earlier node"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, prior = learning(self, task, data)
        query = query_of(data)
        counts = predecessor_counts(model, data)
        probs, _, bound = row_posterior(prior, counts, inside(model, query))
        return Branch(Categorical(probs), certify(self.method, bound))


PART = AllPredecessors
