"""Planted defect: one component of a mixture is lost, the second heaviest,
and its mass goes to the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.inference._simplex import reweighted
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class DroppedMode:
    """A lag of a chain, by its posterior weight.

    Attributes:
        of: the engine to spoil, which must say the posterior of the weights;
            None: the task's second route.
    """

    of: str | None = None
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("mtd",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        return reweighted(self, self.of, task, data, seed, without_second)


def without_second(weights: Array) -> Array:
    """Weights on the last axis with the second largest set to zero, normalised."""
    second = np.argsort(weights, axis=-1)[..., -2:-1]
    kept = weights.copy()
    np.put_along_axis(kept, second, 0.0, axis=-1)
    return np.asarray(kept / kept.sum(-1, keepdims=True))


PART = DroppedMode
