"""Planted defect: the early context is forgotten; only the last few observations count."""

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
class ForgetsContext:
    """A window of fixed length, as a network has that was trained on short contexts.

    Attributes:
        of: the engine to spoil; None: the task's second route.
        keep: length of the window; shorter contexts are read whole.
    """

    of: str | None = None
    keep: int = 8
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("list",)

    def __post_init__(self) -> None:
        require_positive(self, keep=self.keep)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        return reread(self, self.of, task, data, seed, self._kept)

    def _kept(self, n: int) -> IntArray:
        return np.arange(max(n - self.keep, 0), n)


PART = ForgetsContext
