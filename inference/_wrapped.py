"""What engines that alter or sample another engine's output share.

A planted defect is an engine whose `method` is `defect` and which says in `seen_by` who must see
it: the metric of the primary endpoint, a test, or `leaked_mass`. Its default strength has at least
twice the effect that the endpoint tolerates; what was measured stands in docs/defects.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from veribayes import registry
from veribayes.errors import InputError
from veribayes.inference._engine import Engine, name_of, require_positive, require_served
from veribayes.models._task import Task
from veribayes.predictive import Array, Categorical, Normal, NormalMixture, Predictive, stack
from veribayes.tree import Branch, Data, IntArray


def inner(of: str | None, task: Task, data: Data, seed: int) -> Branch:
    """The output of the engine `of`, or of the task's second route."""
    engine: Engine = registry.load("engine", of or task.second_route)()
    return engine(task, data, seed=seed)


def spoiled(branch: Branch, predictive: Predictive) -> Branch:
    """The branch with another predictive; what it said about latents no longer goes with it."""
    return replace(branch, predictive=predictive, posterior={}, replicates=None)


def strength(task: Task, name: str, given: int | None, *, usual: int) -> int:
    """How strongly a defect is planted: as asked for, else as the task's family says, else as
    usual.
    """
    return given if given is not None else task.model.strengths.get(name, usual)


def require_strength(engine: Engine, **given: int | None) -> None:
    """Raise InputError where a strength that is asked for is not positive."""
    asked = {name: value for name, value in given.items() if value is not None}
    require_positive(engine, **asked)


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
        order: n -> the observations, numbered 0 ..
            n - 1, that are taken for the context of the first n, in their order.
    """
    require_served(engine, task, data)
    layout = task.model.layout
    predictives = []
    for n in data.positions.tolist():
        taken = order(n)
        # an engine that ignores it, rather than an empty array
        padded = taken if len(taken) else np.zeros(1, dtype=np.int64)
        read = replace(layout.taken(data, padded), positions=np.array([len(taken)]))
        branch = inner(of, task, read, seed)
        predictives.append(branch.predictive[:, 0])
    return spoiled(branch, stack(predictives, axis=1))


def probabilities(engine: Engine, predictive: Predictive) -> Array:
    """The probabilities of a categorical predictive, (dataset, position, query, category)."""
    if not isinstance(predictive, Categorical):
        wanted = f"probabilities for the engine '{name_of(engine)}'"
        raise InputError(wanted, f"'{predictive.form}'")
    return predictive.probs


def components(law: Normal | NormalMixture) -> tuple[Array, Array, Array]:
    """Weights, means and sds with the components as their last axis; a normal law has one."""
    if isinstance(law, NormalMixture):
        return law.weights, law.mean, law.sd
    one = np.ones((*law.shape, 1))
    return one, law.mean[..., None], law.sd[..., None]
