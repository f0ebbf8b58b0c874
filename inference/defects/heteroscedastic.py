"""Planted defect: an uncertainty that is right on average, too large on one side of the input space, too small on the other."""

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


@dataclass(frozen=True)
class Heteroscedastic:
    """Standard deviations times 1 + `by` where the first input lies above the middle of its law, times 1 - `by` below.

    Attributes:
        of: the engine to spoil; None: the task's second route.
        by: relative error of the standard deviation, below 1.
    """

    of: str | None = None
    by: float = 0.3
    method: ClassVar[str] = "defect"
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)

    def __post_init__(self) -> None:
        if not 0 < self.by < 1:
            raise InputError(f"'by' between 0 and 1 for the engine '{name_of(self)}'", f"{self.by}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        branch = inner(self.of, task, data, seed)
        found = branch.predictive
        if not isinstance(found, Normal | NormalMixture):
            raise InputError("a normal or a mixture to change the spread of", f"'{found.form}'")
        middle = 0.5 if cast(GaussianProcess, task.model).input_law == "uniform" else 0.0
        factor = 1 + self.by * np.sign(data.arrays["x_query"][:, None, :, 0] - middle)
        factor = factor.reshape(*factor.shape, *[1] * (found.sd.ndim - factor.ndim))
        return spoiled(branch, replace(found, sd=found.sd * factor))


PART = Heteroscedastic
