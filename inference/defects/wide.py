"""Planted defect: a posterior that is too wide, because only some of the observations are used."""

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
class Wide:
    """Underconfident: of every `out_of` observations it uses the last.
    A chain is no list of independent observations.

    Attributes:
        of: the engine to spoil; None: the task's second route.
        out_of: 2 loses half of the data.
    """

    of: str | None = None
    out_of: int = 2
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("set",)

    def __post_init__(self) -> None:
        require_positive(self, out_of=self.out_of)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        return reread(self, self.of, task, data, seed, self._used)

    def _used(self, n: int) -> IntArray:
        return np.arange(self.out_of - 1, n, self.out_of)


PART = Wide
