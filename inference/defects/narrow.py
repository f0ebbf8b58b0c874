"""Planted defect: a posterior that is too narrow,
because every observation counts several times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.inference._wrapped import require_strength, reread, strength
from veribayes.models._task import Task
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method


@dataclass(frozen=True)
class Narrow:
    """Overconfident: the likelihood is raised to the power `times`.
    A chain is no list of independent observations.

    Attributes:
        of: the engine to spoil; None: the task's second route.
        times: how often each observation counts. None: what the family says (`Model.strengths`),
            else four.
    """

    of: str | None = None
    times: int | None = None
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("set",)

    def __post_init__(self) -> None:
        require_strength(self, times=self.times)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        times = strength(task, "narrow", self.times, usual=4)

        def repeated(n: int) -> IntArray:
            return np.repeat(np.arange(n), times)

        return reread(self, self.of, task, data, seed, repeated)


PART = Narrow
