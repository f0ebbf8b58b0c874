"""The prior predictive: the exact engine without a context, which still sees the query or the last symbols of the prefix.

It is the yardstick of Bayes recovery (0 %) and the defect "posterior = prior" that every comparison must find.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from veribayes.inference._engine import EPS, certify, require_served
from veribayes.inference._simplex import next_symbol
from veribayes.inference.cholesky import Cholesky
from veribayes.inference.conjugate import Conjugate
from veribayes.inference.junction_tree import JunctionTree
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.mtd import MTD
from veribayes.models.numpyro_model import NumPyroModel
from veribayes.predictive import concatenate, stack
from veribayes.tree import Branch, Data


@dataclass(frozen=True)
class PriorOnly:
    """Ignore the context.

    Networks: the prior mean of the row that governs the query, or the marginal without evidence. Mixtures of transitions:
    equal weights on the last m symbols. Gaussian processes: the prior law at the query. NumPyro programs: the prior moments of
    each latent, from draws.
    """

    method: ClassVar[str] = "prior"
    seen_by: ClassVar[str] = "kl"
    families: ClassVar[tuple[str, ...]] = ("bayesian_network", "mtd", "gaussian_process", "numpyro")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        model = task.model
        if isinstance(model, MTD):
            weights = np.full((data.index.size, data.positions.size, model.m), 1 / model.m)
            return Branch(next_symbol(model, data, weights), certify(self.method, EPS * model.m))
        if isinstance(model, NumPyroModel):
            alike = model.conditional(model.prior_draws(), data, 0)
            return Branch(stack([concatenate([alike] * data.index.size)], axis=1), certify(self.method, 0.0))
        if isinstance(model, BayesianNetwork) and model.cpts is not None:
            return _without_evidence(task, data, seed)
        exact = Conjugate(latents=False) if isinstance(model, BayesianNetwork) else Cholesky(latents=False)
        branch = exact(task, replace(data, positions=np.zeros(1, dtype=np.int64)), seed=seed)
        return replace(branch, predictive=stack([branch.predictive[:, 0]] * data.positions.size, axis=1))


def _without_evidence(task: Task, data: Data, seed: int) -> Branch:
    """Marginals, once for all data sets."""
    one = data.select(datasets=np.arange(min(data.index.size, 1)))
    nothing = {**one.arrays, "evidence": np.full_like(one.arrays["evidence"], -1)}
    branch = JunctionTree()(task, replace(one, arrays=nothing), seed=seed)
    return replace(branch, predictive=branch.predictive[np.zeros(data.index.size, dtype=np.int64)])


PART = PriorOnly
