"""Planted defect: right at every query, and independent between queries.

No endpoint that looks at one query at a time can see it. The joint predictive shows it: `joint_kl`
is KL between the joints, by query.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import name_of, require_served
from veribayes.inference.cholesky import Cholesky
from veribayes.models._task import Task
from veribayes.predictive.joint import Joint
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class DroppedCorrelation:
    """The exact joint predictive without its correlations;
    hyperparameters must be known, for KL to have a closed form.
    """

    method: ClassVar[Method] = Method.DEFECT
    seen_by: ClassVar[str] = "joint_kl"
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        branch = Cholesky(latents=False, joint=True)(task, data, seed=seed)
        exact = branch.joint
        if exact is None or exact.weights.shape[-1] != 1:
            wanted = f"known hyperparameters for the engine '{name_of(self)}'"
            raise InputError(wanted, f"the task '{task.name}'")
        alone = exact.covariance * np.eye(exact.covariance.shape[-1])
        return replace(branch, joint=Joint(exact.weights, exact.mean, alone))


PART = DroppedCorrelation
