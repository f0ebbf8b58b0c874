"""k steps of gradient descent on kernel ridge regression:
what arXiv 2605.26713 says that attention layers compute.

Richardson iteration on (G + s^2 I) u = G v from zero, v = y for the mean and v = k(x, x*) for the
reduction of the variance. With A = G + s^2 I its closed form after k steps is u_k(x*) = k(x, x*)^T
[I - (I - eta A)^k] A^-1 v. It converges for 0 < eta < 2 / lambda_max(A). Chebyshev's step sizes
differ from step to step: the best k steps for a spectrum [s^2, lambda_max].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._engine import (
    EPS,
    Fitted,
    Variants,
    certify,
    float64,
    name_of,
    require_positive,
)
from veribayes.inference._gaussian import LIMIT, chebyshev_steps, fixed_gaussian, kernels
from veribayes.models._task import Task
from veribayes.predictive import Array, Normal
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class KernelDescent:
    """Richardson iteration in closed form.

    Attributes:
        steps: k; a network of L layers makes L - 1.
        eta: step size; None: 1 / lambda_max of each context, the largest for which every direction
            only approaches its limit.
        chebyshev: instead of one step size, those of the Chebyshev polynomial on each context's
            spectrum.
    """

    steps: int = 8
    eta: float | None = None
    chebyshev: bool = False
    label: ClassVar[str] = "kernel descent"
    about: ClassVar[str] = "a few steps of gradient descent on kernel ridge regression"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)
    variants: ClassVar[Variants] = tuple({"steps": 2**k} for k in range(6))
    fitted: ClassVar[Fitted] = {"eta": (1e-3, 1.0)}

    def __post_init__(self) -> None:
        require_positive(self, steps=self.steps, eta=1.0 if self.eta is None else self.eta)
        if self.chebyshev and self.eta is not None:
            raise InputError("either eta or chebyshev", "both")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, noise = fixed_gaussian(self, task, data)
        k, across, prior = kernels(model, data)
        y = data.arrays["y"]
        means, reductions = [], []
        with float64():
            for n in data.positions:
                mean, reduction = self._descend(k[:, :n, :n], across[:, :n], y[:, :n], noise)
                means.append(mean)
                reductions.append(reduction)
        left = prior[:, None] + noise - np.stack(reductions, axis=1)
        answer = Normal(np.stack(means, axis=1), np.sqrt(np.maximum(left, noise)))
        points = k.shape[1]
        # of A; eigenvectors are known to a rounding times this
        condition = 1 + points * float(k.max()) / noise
        bound = EPS * points * condition
        certificate = certify(self.method, bound, kind="estimate", limit=LIMIT, steps=self.steps)
        return Branch(answer, certificate)

    def _descend(self, k: Array, across: Array, y: Array, noise: float) -> tuple[Array, Array]:
        """Mean and reduction of the variance (dataset, query) after the steps,
        along the eigenvectors of A.
        """
        values, vectors = np.linalg.eigh(k)
        values = values + noise
        reached = (1 - self._left(values, y.shape[1])) / values
        rotated = vectors.mT @ across
        projected = (vectors.mT @ y[..., None])[..., 0]
        mean = np.einsum("bnq,bn->bq", rotated, reached * projected)
        reduction = np.einsum("bnq,bn->bq", rotated**2, reached)
        return mean, reduction

    def _left(self, values: Array, n: int) -> Array:
        """Share of each direction that the steps leave undone,
        for eigenvalues (dataset, n) of A.
        """
        if self.chebyshev and n:
            etas = chebyshev_steps(values[:, 0], values[:, -1], self.steps)
            factors = 1 - etas[:, None] * values[..., None]
            return np.asarray(np.prod(factors, axis=-1))
        eta = self.eta or 1 / values[:, -1:]
        if np.any(eta * values >= 2):
            limit = 2 / values.max()
            reason = f"the iteration diverges: eta {eta:g} must be below {limit:.3g} at n = {n}"
            raise ReferenceRefused(name_of(self), [reason])
        return np.asarray((1 - eta * values) ** self.steps)


PART = KernelDescent
