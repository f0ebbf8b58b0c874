"""Planted defect: the right mean and standard deviation,
and too much mass far out and near the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import name_of, require_served
from veribayes.inference._wrapped import components, inner, spoiled
from veribayes.models._task import Task
from veribayes.predictive import Array, Normal, NormalMixture, Predictive
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class HeavyTails:
    """Each normal becomes two with its mean and together its variance:
    a share of mass is some times as wide as the rest.

    Attributes:
        of: the engine to spoil; None: the task's second route.
        share: mass of the wide part.
        times: ratio of the two standard deviations.
    """

    of: str | None = None
    share: float = 0.1
    times: float = 4.0
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("reals",)

    def __post_init__(self) -> None:
        if not (0 < self.share < 1 and self.times > 1):
            wanted = f"a share inside (0, 1) and times above 1 for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.share} and {self.times}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        branch = inner(self.of, task, data, seed)
        return spoiled(branch, self._contaminated(branch.predictive))

    def _contaminated(self, law: Predictive) -> NormalMixture:
        if not isinstance(law, Normal | NormalMixture):
            raise InputError("a normal or a mixture to widen the tails of", f"'{law.form}'")
        weights, mean, sd = components(law)
        inside = sd / np.sqrt(1 + self.share * (self.times**2 - 1))
        both_weights = _both((1 - self.share) * weights, self.share * weights)
        both_sds = _both(inside, self.times * inside)
        return NormalMixture(both_weights, _both(mean, mean), both_sds)


def _both(core: Array, tails: Array) -> Array:
    return np.concatenate([core, tails], axis=-1)


PART = HeavyTails
