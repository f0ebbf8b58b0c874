"""What a predictor says of a hidden Markov model that sees a window alone:
exact Bayes given the last few observations.

It knows how many observations there were before them, and nothing else of them:
the filter starts in the marginal law.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import Variants, certify, name_of, require_served
from veribayes.inference._hmm import forward
from veribayes.models._task import Task
from veribayes.models.hmm import HMM
from veribayes.models.hmm._filter import marginals
from veribayes.models.hmm._parameters import Tables
from veribayes.predictive import stack
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class HmmWindow:
    """P(next | the last `order` observations).

    Attributes:
        order: length of the window.
    """

    order: int = 2
    method: ClassVar[Method] = Method.ESTIMATOR
    label: ClassVar[str] = "the last symbols alone"
    about: ClassVar[str] = "exact Bayes given a short window"
    families: ClassVar[tuple[str, ...]] = ("hmm",)
    variants: ClassVar[Variants] = ({"order": 1}, {"order": 2}, {"order": 4}, {"order": 8})

    def __post_init__(self) -> None:
        if self.order < 0:
            raise InputError(f"an order of at least 0 for '{name_of(self)}'", f"{self.order}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(HMM, task.model)
        tables = model.tables_of(data)
        starts = marginals(tables, int(data.positions.max(initial=0)))
        laws, bound = [], 0.0
        for n in data.positions.tolist():
            first = max(n - self.order, 0)
            own = Tables(starts[:, first], tables.transition, tables.emission)
            arrays = {**data.arrays, "y": data.arrays["y"][:, first:n]}
            window = replace(data, arrays=arrays, positions=np.array([n - first]))
            known = forward(self, model, window, n - first, own)
            belief = known.ahead[:, -1][:, None, None]
            laws.append(model.emitted(belief, tables.emission)[:, 0])
            bound = max(bound, known.bound)
        return Branch(stack(laws, axis=1), certify(self.method, bound))


PART = HmmWindow
