"""Planted defect: the early context is forgotten; only the last few observations count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.inference._wrapped import require_strength, reread, strength
from veribayes.models._task import Task
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method


@dataclass(frozen=True)
class ForgetsContext:
    """A window of fixed length, as a network has that was trained on short contexts.

    Attributes:
        of: the engine to spoil; None: the task's second route.
        keep: length of the window; shorter contexts are read whole. None: what the family says
            (`Model.strengths`), else eight.
    """

    of: str | None = None
    keep: int | None = None
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("list",)

    def __post_init__(self) -> None:
        require_strength(self, keep=self.keep)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        keep = strength(task, "forgets_context", self.keep, usual=8)

        def kept(n: int) -> IntArray:
            return np.arange(max(n - keep, 0), n)

        return reread(self, self.of, task, data, seed, kept)


PART = ForgetsContext
