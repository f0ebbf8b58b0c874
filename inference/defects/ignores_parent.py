"""Planted defect: the last parent of every node is ignored,
with exact inference in the graph that is left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, cast

from veribayes.inference._engine import require_served
from veribayes.inference._wrapped import inner
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class IgnoresParent:
    """Tables are learnt without that parent; known tables are averaged over its states.

    Attributes:
        of: the engine that infers in the poorer graph; None: the task's second route.
    """

    of: str | None = None
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        model = without_last_parents(cast(BayesianNetwork, task.model))
        poorer = replace(task, model=model, wrong_prior={})
        branch = inner(self.of, poorer, data, seed)
        return replace(branch, posterior={})


def without_last_parents(model: BayesianNetwork) -> BayesianNetwork:
    """The network without the last parent of every node."""
    left = [parents[:-1] for parents in model.parents]
    states = dict(zip(model.nodes, model.states, strict=True))
    if model.cpts is None:
        return BayesianNetwork(model.nodes, left, states, prior=model.prior)
    tables = []
    for node, parents in enumerate(model.parents):
        table = model.table(node)
        tables.append(table.mean(-2) if parents else table)
    return BayesianNetwork(model.nodes, left, states, cpts=tables)


PART = IgnoresParent
