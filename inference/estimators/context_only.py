"""What a predictor says of a context switch that always believes the context:
the conjugate normal, whatever the cue is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.inference._engine import EPS, certify, require_served
from veribayes.inference.switch_conjugate import posterior
from veribayes.models._task import Task
from veribayes.models.context_switch import ContextSwitch
from veribayes.predictive import Normal
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class ContextOnly:
    """The posterior predictive of the mean."""

    method: ClassVar[Method] = Method.ESTIMATOR
    label: ClassVar[str] = "the context alone"
    about: ClassVar[str] = "the posterior predictive of the mean, whatever the cue says"
    families: ClassVar[tuple[str, ...]] = ("context_switch",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(ContextSwitch, task.model)
        mean, variance = posterior(model, data)
        shape = (*mean.shape, model.layout.queries(data.arrays))
        sd = np.sqrt(variance + model.noise_variance)
        answer = Normal(
            np.broadcast_to(mean[..., None], shape), np.broadcast_to(sd[..., None], shape)
        )
        return Branch(answer, certify(self.method, 8 * EPS))


PART = ContextOnly
