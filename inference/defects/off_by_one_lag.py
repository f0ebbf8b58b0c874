"""Planted defect: the weight of each lag is applied one lag too far back."""

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
class OffByOneLag:
    """The right posterior of the weights, read with positions that are off by one;
    the last lag's goes to the first.

    Attributes:
        of: the engine to spoil, which must say the posterior of the weights;
            None: the task's second route.
    """

    of: str | None = None
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("mtd",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        return reweighted(self, self.of, task, data, seed, one_back)


def one_back(weights: Array) -> Array:
    """Every weight at the lag after its own, the last at the first."""
    return np.roll(weights, 1, axis=-1)


PART = OffByOneLag
