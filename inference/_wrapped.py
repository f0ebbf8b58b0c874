"""What engines that alter or sample another engine's output share.

A planted defect is an engine whose `method` is `defect` and which says in `seen_by` who must see it: the metric of the primary
endpoint, a test, or `leaked_mass`. Its default strength has at least twice the effect that the endpoint tolerates; what was
measured stands in docs/defects.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from veribayes import registry
from veribayes.errors import InputError
from veribayes.inference._engine import Engine, name_of, require_served
from veribayes.models._task import Task
from veribayes.predictive import Array, Categorical, Predictive, stack
from veribayes.tree import Branch, Data, IntArray


def inner(of: str | None, task: Task, data: Data, seed: int) -> Branch:
    """The output of the engine `of`, or of the task's second route."""
    branch: Branch = registry.load("engine", of or task.second_route)()(task, data, seed=seed)
    return branch


def spoiled(branch: Branch, predictive: Predictive) -> Branch:
    """The branch with another predictive; what it said about latents no longer goes with it."""
    return replace(branch, predictive=predictive, posterior={}, replicates=None)


def reread(
    engine: Engine,
    of: str | None,
    task: Task,
    data: Data,
    seed: int,
    order: Callable[[int], IntArray],
) -> Branch:
    """The inner engine's answer at every position to a context that was read otherwise.

    Args:
        order: n -> the observations, numbered 0 .. n - 1, that are taken for the context of the first n, in their order.
    """
    require_served(engine, task, data)
    layout = task.model.layout
    branches = []
    for n in data.positions.tolist():
        taken = order(n)
        seen = (
            taken if len(taken) else np.zeros(1, dtype=np.int64)
        )  # an engine that ignores it, rather than an empty array
        read = replace(layout.taken(data, seen), positions=np.array([len(taken)]))
        branches.append(inner(of, task, read, seed))
    return spoiled(branches[-1], stack([branch.predictive[:, 0] for branch in branches], axis=1))


def probabilities(engine: Engine, predictive: Predictive) -> Array:
    """The probabilities of a categorical predictive, (dataset, position, query, category)."""
    if not isinstance(predictive, Categorical):
        raise InputError(
            f"probabilities for the engine '{name_of(engine)}'", f"'{predictive.form}'"
        )
    return predictive.probs
