"""The prior predictive: the exact engine without a context,
which still sees the query or the last symbols of the prefix.

It is the yardstick of Bayes recovery (0 %) and the defect "posterior = prior" that every comparison
must find.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np

from veribayes import registry
from veribayes.inference._engine import EPS, Engine, certify, require_served
from veribayes.models._model import Model
from veribayes.models._task import Task
from veribayes.predictive import stack
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method


@dataclass(frozen=True)
class PriorOnly:
    """Ignore the context.

    The model says what is left of its data without any observation (`Model.without_context`), and
    the task's exact engine answers that; a model whose prior needs no engine says its prior
    predictive itself.
    """

    label: ClassVar[str] = "prior only"
    about: ClassVar[str] = "ignores the context: the prior predictive"
    method: ClassVar[Method] = Method.PRIOR
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        known = task.model.prior_predictive(data)
        if known is not None:
            return Branch(known, certify(self.method, EPS * (task.model.n_categories or 1)))
        rows = _distinct(task.model, data)
        nothing = task.model.without_context(data.select(rows))
        engine = _exact(task)
        branch = engine(task, nothing, seed=seed)
        alike = branch.predictive[np.arange(data.index.size) % rows.size, 0]
        at_positions = stack([alike] * data.positions.size, axis=1)
        return replace(branch, predictive=at_positions, posterior={}, joint=None)


def _distinct(model: Model, data: Data) -> IntArray:
    """Data sets that differ without their context:
    the first alone where all that is left is shared by them.
    """
    left = [column for column in model.layout.columns if column.role in ("query", "given")]
    all_shared = all(column.shared for column in left)
    return np.arange(1 if all_shared else data.index.size)


def _exact(task: Task) -> Engine:
    """The reference, or the family's where that one is a sampler;
    without latents, which nobody asks for.
    """
    part = registry.load("engine", task.reference.replace("-", "_"))
    if part.method == Method.MCMC:
        part = registry.load("engine", task.model.defaults()["reference"])
    options = [field.name for field in fields(part)]
    engine: Engine = part(latents=False) if "latents" in options else part()
    return engine


PART = PriorOnly
