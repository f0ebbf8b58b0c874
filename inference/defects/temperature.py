"""Planted defect: another engine's predictive at the wrong temperature, p^(1/T) normalised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import require_positive
from veribayes.inference._wrapped import inner, spoiled
from veribayes.models._task import Task
from veribayes.predictive import Categorical, Normal, NormalMixture, Predictive
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class Temperature:
    """Too vague (T > 1) or too sure (T < 1).

    Attributes:
        of: the engine to spoil; None: the task's second route.
        temperature: T. A normal's sd grows by sqrt(T);
            in a mixture that happens to every component.
    """

    of: str | None = None
    temperature: float = 1.5
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_positive(self, temperature=self.temperature)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        branch = inner(self.of, task, data, seed)
        return spoiled(branch, tempered(branch.predictive, self.temperature))


def tempered(predictive: Predictive, temperature: float) -> Predictive:
    """The same form at another temperature."""
    if isinstance(predictive, Categorical):
        powers = predictive.probs ** (1 / temperature)
        return Categorical(powers / powers.sum(-1, keepdims=True))
    if isinstance(predictive, Normal | NormalMixture):
        return replace(predictive, sd=predictive.sd * np.sqrt(temperature))
    wanted = "probabilities, a normal or a mixture to change the temperature of"
    raise InputError(wanted, f"'{predictive.form}'")


PART = Temperature
