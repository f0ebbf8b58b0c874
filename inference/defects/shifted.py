"""Planted defect: another engine's real-valued predictive,
moved by a share of its standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from veribayes.errors import InputError
from veribayes.inference._engine import require_served
from veribayes.inference._wrapped import inner, spoiled
from veribayes.models._task import Task
from veribayes.predictive import Normal, NormalMixture, Predictive
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class Shifted:
    """Right shape, wrong place.

    Attributes:
        of: the engine to spoil; None: the task's second route.
        by: predictive standard deviations to the right; KL from a normal is by^2 / 2 nats.
    """

    of: str | None = None
    by: float = 0.5
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("reals",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        branch = inner(self.of, task, data, seed)
        return spoiled(branch, shifted(branch.predictive, self.by))


def shifted(predictive: Predictive, by: float) -> Predictive:
    """The same form, `by` predictive standard deviations to the right."""
    step = by * predictive.standard_deviation()
    if isinstance(predictive, Normal):
        return replace(predictive, mean=predictive.mean + step)
    if isinstance(predictive, NormalMixture):
        return replace(predictive, mean=predictive.mean + step[..., None])
    raise InputError("a normal or a mixture to shift", f"'{predictive.form}'")


PART = Shifted
