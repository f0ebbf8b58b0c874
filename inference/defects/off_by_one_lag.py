"""Planted defect: the weight of each lag is applied one lag too far back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import name_of, require_family
from veribayes.inference._simplex import next_symbol
from veribayes.inference._wrapped import inner, spoiled
from veribayes.models._task import Task
from veribayes.models.mtd import MTD
from veribayes.tree import Branch, Data


@dataclass(frozen=True)
class OffByOneLag:
    """The right posterior of the weights, read with positions that are off by one; the last lag's goes to the first.

    Attributes:
        of: the engine to spoil, which must say the posterior of the weights; None: the task's second route.
    """

    of: str | None = None
    method: ClassVar[str] = "defect"
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("mtd",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_family(self, task)
        branch = inner(self.of, task, data, seed)
        if "weights" not in branch.posterior:
            raise InputError(f"an engine that says the weights for '{name_of(self)}'", f"'{self.of}'")
        shifted = np.roll(branch.posterior["weights"]["mean"], 1, axis=-1)
        return spoiled(branch, next_symbol(cast(MTD, task.model), data, shifted))


PART = OffByOneLag
