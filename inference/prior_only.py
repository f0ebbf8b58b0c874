"""The prior predictive: the exact engine without a context, which still sees the query or the last symbols of the prefix.

It is the yardstick of Bayes recovery (0 %) and the defect "posterior = prior" that every comparison must find.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from veribayes.inference._engine import EPS, certify
from veribayes.inference._simplex import next_symbol
from veribayes.inference.cholesky import Cholesky
from veribayes.inference.conjugate import Conjugate
from veribayes.inference.elimination import Elimination
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.mtd import MTD
from veribayes.predictive import stack
from veribayes.tree import Branch, Data


@dataclass(frozen=True)
class PriorOnly:
    """Ignore the context.

    Networks: the prior mean of the row that governs the query, or the marginal without evidence. Mixtures of transitions:
    equal weights on the last m symbols. Gaussian processes: the prior law at the query.
    """

    method: ClassVar[str] = "prior"
    families: ClassVar[tuple[str, ...]] = ("bayesian_network", "mtd", "gaussian_process")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        model = task.model
        if isinstance(model, MTD):
            weights = np.full((data.index.size, data.positions.size, model.m), 1 / model.m)
            return Branch(next_symbol(model, data, weights), certify(self.method, EPS * model.m))
        if isinstance(model, BayesianNetwork) and model.cpts is not None:
            return Elimination()(task, _without(data, "evidence"), seed=seed)
        exact = Conjugate(latents=False) if isinstance(model, BayesianNetwork) else Cholesky(latents=False)
        branch = exact(task, replace(data, positions=np.zeros(1, dtype=np.int64)), seed=seed)
        return replace(branch, predictive=stack([branch.predictive[:, 0]] * data.positions.size, axis=1))


def _without(data: Data, name: str) -> Data:
    return replace(data, arrays={**data.arrays, name: np.full_like(data.arrays[name], -1)})


PART = PriorOnly
