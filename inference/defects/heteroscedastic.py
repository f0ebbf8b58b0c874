"""Planted defect: an uncertainty that is right on average,
too large on one side of the input space, too small on the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import name_of, require_served
from veribayes.inference._wrapped import inner, spoiled
from veribayes.models._task import Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.predictive import Normal, NormalMixture
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class Heteroscedastic:
    """Standard deviations times 1 + `by` where the first input lies above the middle of its law,
    times 1 - `by` below.

    Attributes:
        of: the engine to spoil; None: the task's second route.
        by: relative error of the standard deviation, below 1.
    """

    of: str | None = None
    by: float = 0.3
    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)

    def __post_init__(self) -> None:
        if not 0 < self.by < 1:
            wanted = f"'by' between 0 and 1 for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.by}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        branch = inner(self.of, task, data, seed)
        law = branch.predictive
        if not isinstance(law, Normal | NormalMixture):
            raise InputError("a normal or a mixture to change the spread of", f"'{law.form}'")
        model = cast(GaussianProcess, task.model)
        middle = 0.5 if model.input_law == "uniform" else 0.0
        first_input = data.arrays["x_query"][:, None, :, 0]
        factor = 1 + self.by * np.sign(first_input - middle)
        component_axes = [1] * (law.sd.ndim - factor.ndim)
        factor = factor.reshape(*factor.shape, *component_axes)
        return spoiled(branch, replace(law, sd=law.sd * factor))


PART = Heteroscedastic
