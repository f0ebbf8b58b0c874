"""k steps of mirror descent on the lag weights:
what arXiv 2604.10848 says that a transformer computes.

Exponentiated gradient ascent on the log likelihood l of the prefix, from equal weights:
    lambda_g <- lambda_g exp(eta dl/dlambda_g) / sum,
    dl/dlambda_g = sum_k a_kg / sum_h lambda_h a_kh.
One step with eta = 1 / (concentration m + 1) equals the posterior mean to first order where there
is no evidence (theorem 1), but a stable eta falls like 1 / n (theorem 2), so one eta for all
prefixes is a straw man. The default is the best eta at each prefix length,
found on data sets of the stream `replicate`, which no comparison sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, cast

import numpy as np
from scipy.special import softmax

from veribayes.inference._engine import (
    EPS,
    Fitted,
    Variants,
    certify,
    require_positive,
    require_served,
)
from veribayes.inference._simplex import next_symbol, terms
from veribayes.inference.lag_quasi_monte_carlo import LagQuasiMonteCarlo
from veribayes.inference.simplex_quadrature import SimplexQuadrature
from veribayes.models._task import Design, Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array, Predictive
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

TUNING = 200  # data sets for the choice of eta
GRID = np.geomspace(1e-3, 2.0, 34)  # ratio 1.26; a parabola through the best three does the rest

FLOOR = 1e-12  # a symbol that the current weights call impossible pulls with a bounded force


@dataclass(frozen=True)
class MirrorDescent:
    """Exponentiated gradient.

    Attributes:
        steps: k.
        eta: step size; None: the best for every prefix length.
            `1 / (concentration * m + 1)` is theorem 1's.
    """

    steps: int = 1
    eta: float | None = None
    label: ClassVar[str] = "mirror descent"
    about: ClassVar[str] = "a few steps of mirror descent instead of the posterior"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("mtd",)
    variants: ClassVar[Variants] = ({"steps": 1}, {"steps": 2}, {"steps": 5})
    fitted: ClassVar[Fitted] = {"eta": (1e-3, 2.0)}

    def __post_init__(self) -> None:
        require_positive(self, steps=self.steps, eta=1.0 if self.eta is None else self.eta)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        require_served(self, task, data)
        model = cast(MTD, task.model)
        a = terms(model, data)
        positions = tuple(data.positions.tolist())
        etas = self._etas(model, positions, seed)
        weights = []
        for n, eta in zip(positions, etas, strict=True):
            weights.append(descend(a[:, model.m : n], eta, self.steps))
        answer = next_symbol(model, data, np.stack(weights, axis=1))
        bound = 8 * EPS * a.shape[1] * self.steps
        certificate = certify(self.method, bound, eta_first=etas[0], eta_last=etas[-1])
        return Branch(answer, certificate)

    def _etas(self, model: MTD, positions: tuple[int, ...], seed: int) -> tuple[float, ...]:
        """A step size for every prefix length."""
        if self.eta:
            return (self.eta,) * len(positions)
        return best_etas(model, positions, self.steps, seed)

    def best_options(
        self, task: Task, positions: Sequence[int], seed: int
    ) -> dict[str, dict[int, float]]:
        """The best step size for each prefix length,
        as the option of a construction that makes the same steps.
        """
        model = cast(MTD, task.model)
        etas = best_etas(model, tuple(positions), self.steps, seed)
        return {"eta": dict(zip(positions, etas, strict=True))}


def descend(a: Array, eta: float, steps: int) -> Array:
    """Weights (dataset, lag) after some steps on the terms a (dataset, time, lag)."""
    log_weights = np.zeros((a.shape[0], a.shape[2]))
    for _ in range(steps):
        weights = softmax(log_weights, axis=-1)
        likelihood = np.maximum(np.einsum("btg,bg->bt", a, weights), FLOOR)
        slope = (a / likelihood[..., None]).sum(1)
        log_weights = log_weights + eta * slope
    return np.asarray(softmax(log_weights, axis=-1))


@lru_cache(maxsize=64)
def best_etas(model: MTD, positions: tuple[int, ...], steps: int, seed: int) -> tuple[float, ...]:
    """For each prefix length, the step size with the smallest mean KL(exact || descent)."""
    longest = max(*positions, model.m + 1)
    task = Task("tuning", model, Design((longest,)), "simplex_quadrature", "lag_counts")
    simulation = task.simulate(range(TUNING), seed=seed, stream="replicate")
    data = replace(simulation.data, positions=np.array(positions))
    engine = SimplexQuadrature() if model.m <= 4 else LagQuasiMonteCarlo()
    exact = engine(task, data, seed=seed).predictive
    a = terms(model, data)
    etas = []
    for i, n in enumerate(positions):
        at = slice(i, i + 1)
        etas.append(_best(model, data.select(positions=at), exact[:, at], a[:, model.m : n], steps))
    return tuple(etas)


def _best(model: MTD, data: Data, exact: Predictive, a: Array, steps: int) -> float:
    """The vertex in log eta of the parabola through the best point of the grid and its
    neighbours.
    """
    losses = np.zeros(GRID.size)
    for i, eta in enumerate(GRID):
        weights = descend(a, eta, steps)
        losses[i] = _divergence(exact, next_symbol(model, data, weights[:, None]))
    best = int(np.argmin(losses))
    inside = 0 < best < GRID.size - 1
    if not inside or not np.all(np.isfinite(losses[best - 1 : best + 2])):
        return float(GRID[best])
    left, middle, right = losses[best - 1 : best + 2]
    x = np.log(GRID)
    half_step = (x[1] - x[0]) / 2
    vertex = x[best] + half_step * (left - right) / (left - 2 * middle + right)
    return float(np.exp(vertex))


def _divergence(exact: Predictive, other: Predictive) -> float:
    """Mean KL(exact || other), nats."""
    p = exact.variables()["probs"]
    q = other.variables()["probs"]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / q), 0.0)
    return float(terms.sum(-1).mean())


PART = MirrorDescent
