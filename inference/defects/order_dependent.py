"""Planted defect: exchangeable observations are not treated alike;
a mask that is off by one hides the last of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.inference._engine import require_positive
from veribayes.inference._wrapped import reread
from veribayes.models._task import Task
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method


@dataclass(frozen=True)
class OrderDependent:
    """The answer changes when the context is permuted.
    Chains depend on their order by right, so it means nothing there.

    Attributes:
        of: the engine to spoil; None: the task's second route.
        skipped: observations at the end that are not read.
    """

    of: str | None = None
    skipped: int = 1
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("set",)

    def __post_init__(self) -> None:
        require_positive(self, skipped=self.skipped)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        return reread(self, self.of, task, data, seed, self._read)

    def _read(self, n: int) -> IntArray:
        return np.arange(max(n - self.skipped, 0))


PART = OrderDependent
