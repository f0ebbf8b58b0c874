"""Planted defect: the last parent of every node is ignored, with exact inference in the graph that is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, cast

from veribayes.inference._engine import require_served
from veribayes.inference._wrapped import inner
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.tree import Branch, Data


@dataclass(frozen=True)
class IgnoresParent:
    """Tables are learnt without that parent; known tables are averaged over its states.

    Attributes:
        of: the engine that infers in the poorer graph; None: the task's second route.
    """

    of: str | None = None
    method: ClassVar[str] = "defect"
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        poorer = replace(
            task, model=without_last_parents(cast(BayesianNetwork, task.model)), wrong_prior={}
        )
        return replace(inner(self.of, poorer, data, seed), posterior={})


def without_last_parents(model: BayesianNetwork) -> BayesianNetwork:
    """The network without the last parent of every node."""
    left = [parents[:-1] for parents in model.parents]
    if model.cpts is None:
        return BayesianNetwork(
            model.nodes, left, dict(zip(model.nodes, model.states, strict=True)), prior=model.prior
        )
    tables = [
        model.table(i).mean(-2) if model.parents[i] else model.table(i)
        for i in range(len(model.nodes))
    ]
    return BayesianNetwork(
        model.nodes, left, dict(zip(model.nodes, model.states, strict=True)), cpts=tables
    )


PART = IgnoresParent
