"""Expectation maximisation of the lag weights of a mixture of transitions;
to convergence it is maximum likelihood.

    lambda_g <- mean_k gamma_k(g),   gamma_k(g) = lambda_g a_kg / sum_h lambda_h a_kh,
    from equal weights.

The log likelihood l is concave and sum_g lambda_g dl/dlambda_g = n, so that its maximum is at most
max_g dl/dlambda_g - n above l(lambda): this gap ends the iteration. Raftery, J. R. Stat. Soc.
B 47 (1985) 528.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import EPS, Variants, certify, name_of, require_served
from veribayes.inference._simplex import next_symbol, terms
from veribayes.models._task import Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

MOST = 5_000  # steps; weights that end at zero with no force on them get there like 1 / steps
GAP = 1e-6  # nats of log likelihood


@dataclass(frozen=True)
class ExpectationMaximization:
    """EM from equal weights.

    Attributes:
        steps: how many; 0: until the log likelihood is within 1e-6 nats of its maximum, or 5,000.
    """

    steps: int = 0
    label: ClassVar[str] = "expectation maximization"
    about: ClassVar[str] = "maximum likelihood of the lag weights, or some steps towards it"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("mtd",)
    variants: ClassVar[Variants] = ({"steps": 0}, {"steps": 1}, {"steps": 2})

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InputError(f"0 or more steps for the engine '{name_of(self)}'", f"{self.steps}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(MTD, task.model)
        a = terms(model, data)
        maxima = [maximise(a[:, model.m : n], self.steps) for n in data.positions]
        weights = np.stack([weights for weights, _ in maxima], axis=1)
        largest_gap = max(float(gaps.max()) for _, gaps in maxima)
        bound = 8 * EPS * a.shape[1] * max(self.steps, 1)
        certificate = certify(self.method, bound, gap=largest_gap)
        return Branch(next_symbol(model, data, weights), certificate)


def maximise(a: Array, steps: int = 0) -> tuple[Array, Array]:
    """Weights (dataset, lag) after some steps (0:
    to convergence) on the terms a (dataset, time, lag), and the gap in nats.
    """
    datasets, n, lags = a.shape
    weights = np.full((datasets, lags), 1 / lags)
    gap = np.zeros(datasets)
    going = np.arange(datasets if n else 0)
    last = steps or MOST
    for step in range(last + 1):
        rows = a[going]
        likelihood = np.einsum("btg,bg->bt", rows, weights[going])
        slope = (rows / likelihood[..., None]).sum(1)
        gap[going] = slope.max(-1, initial=n) - n
        if not steps:
            far = gap[going] > GAP
            going, slope = going[far], slope[far]
        if step == last or not going.size:
            return weights, gap
        weights[going] *= slope / n
    return weights, gap


PART = ExpectationMaximization
