"""Planted defect: the prediction is one symbol late: exact for the prefix without its last
symbol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import name_of, require_family
from veribayes.inference._wrapped import reread
from veribayes.models._task import Task
from veribayes.models.markov import Markov
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method


@dataclass(frozen=True)
class StaleHistory:
    """The history is off by one.

    Attributes:
        of: the engine to spoil; None: the task's second route.
    """

    of: str | None = None
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("markov",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_family(self, task)
        if max(cast(Markov, task.model).orders) == 0:
            raise InputError(f"a history for '{name_of(self)}'", "an urn, whose order is 0")
        return reread(self, self.of, task, data, seed, _but_the_last)


def _but_the_last(n: int) -> IntArray:
    return np.arange(max(n - 1, 0))


PART = StaleHistory
