"""Planted defect: the probabilities are right and stand at the wrong categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.inference._engine import require_served
from veribayes.inference._wrapped import inner, probabilities, spoiled
from veribayes.models._task import Task
from veribayes.predictive import Categorical
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method


@dataclass(frozen=True)
class PermutedClasses:
    """Every variable's states are relabelled in a cycle,
    as by a candidate with its own order of classes.

    Attributes:
        of: the engine to spoil; None: the task's second route.
    """

    of: str | None = None
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("categories",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        branch = inner(self.of, task, data, seed)
        probs = probabilities(self, branch.predictive)
        labels = np.broadcast_to(_next_state(task, data, probs.shape[-1]), probs.shape)
        permuted = np.take_along_axis(probs, labels, axis=-1)
        return spoiled(branch, Categorical(permuted))


def _next_state(task: Task, data: Data, width: int) -> IntArray:
    """For each query and category the next one of the query's variable, (query, category);
    padding stays.
    """
    category = np.arange(width)
    states = task.model.widths(data)[:, None]
    return np.where(category < states, (category + 1) % states, category)


PART = PermutedClasses
