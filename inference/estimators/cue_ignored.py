"""What a predictor says of a context switch that does not look at the cue:
the mixture of both laws, whatever the cue is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np

from veribayes.inference._engine import EPS, certify, require_served
from veribayes.inference.switch_conjugate import posterior, predictive
from veribayes.models._task import Task
from veribayes.models.context_switch import HIDDEN, ContextSwitch
from veribayes.predictive import NormalMixture
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class CueIgnored:
    """Exact Bayes for a hidden cue."""

    method: ClassVar[Method] = Method.ESTIMATOR
    label: ClassVar[str] = "the cue ignored"
    about: ClassVar[str] = "exact Bayes for a cue that nobody sees"
    families: ClassVar[tuple[str, ...]] = ("context_switch",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = replace(cast(ContextSwitch, task.model), cue=HIDDEN)
        blind = cast(NormalMixture, predictive(model, data, *posterior(model, data)))
        queries = task.model.layout.queries(data.arrays)
        parts = {
            name: np.repeat(values, queries, axis=2) for name, values in blind.variables().items()
        }
        return Branch(NormalMixture(**parts), certify(self.method, 8 * EPS))


PART = CueIgnored
