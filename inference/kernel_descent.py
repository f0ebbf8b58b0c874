"""k steps of gradient descent on kernel ridge regression: what arXiv 2605.26713 says that attention layers compute.

Richardson iteration on (G + s^2 I) u = G v from zero, v = y for the mean and v = k(x, x*) for the reduction of the variance.
With A = G + s^2 I its closed form after k steps is u_k(x*) = k(x, x*)^T [I - (I - eta A)^k] A^-1 v. It converges for
0 < eta < 2 / lambda_max(A).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import jax
import numpy as np

from veribayes.errors import InputError, ReferenceRefused
from veribayes.inference._engine import EPS, certify, float64, name_of, require_positive
from veribayes.inference._gaussian import LIMIT, gaussian
from veribayes.models._task import Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.predictive import Array, Normal
from veribayes.tree import Branch, Data


@dataclass(frozen=True)
class KernelDescent:
    """Richardson iteration in closed form.

    Attributes:
        steps: k; a network of L layers makes L - 1.
        eta: step size; None: 1 / lambda_max of each context, the largest for which every direction only approaches its limit.
    """

    steps: int = 8
    eta: float | None = None
    method: ClassVar[str] = "estimator"
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)

    def __post_init__(self) -> None:
        require_positive(self, steps=self.steps, eta=1.0 if self.eta is None else self.eta)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = gaussian(self, task)
        if not isinstance(model.noise_sd, float) or not model.fixed:
            raise InputError(
                f"fixed hyperparameters for the engine '{name_of(self)}'", f"a prior over {', '.join(model.priors)}"
            )
        noise = model.noise_sd**2
        with float64():
            k, across, prior = map(np.asarray, _kernels(model)(data.arrays["x"], data.arrays["x_query"]))
            found = [self._descend(k[:, :n, :n], across[:, :n], data.arrays["y"][:, :n], noise) for n in data.positions]
        mean, reduction = (np.stack(column, axis=1) for column in zip(*found, strict=True))
        condition = 1 + k.shape[1] * float(k.max()) / noise  # of A; eigenvectors are known to a rounding times this
        certificate = certify(self.method, EPS * k.shape[1] * condition, kind="estimate", limit=LIMIT, steps=self.steps)
        return Branch(Normal(mean, np.sqrt(prior[:, None] + noise - reduction)), certificate)

    def _descend(self, k: Array, across: Array, y: Array, noise: float) -> tuple[Array, Array]:
        """Mean and reduction of the variance (dataset, query) after the steps, along the eigenvectors of A."""
        values, vectors = np.linalg.eigh(k)
        values = values + noise
        eta = self.eta or 1 / values[:, -1:]
        if np.any(eta * values >= 2):
            limit = 2 / values.max()
            raise ReferenceRefused(
                name_of(self), [f"the iteration diverges: eta {eta:g} must be below {limit:.3g} at n = {y.shape[1]}"]
            )
        reached = (1 - (1 - eta * values) ** self.steps) / values
        rotated, projected = vectors.mT @ across, (vectors.mT @ y[..., None])[..., 0]
        return np.einsum("bnq,bn->bq", rotated, reached * projected), np.einsum("bnq,bn->bq", rotated**2, reached)


@lru_cache(maxsize=16)
def _kernels(model: GaussianProcess) -> Any:
    """Compiled x (B, N, d), query (B, Q, d) -> K(x, x), K(x, query), k(query, query)."""

    def one(x: jax.Array, query: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        return model.covariance(x, x, {}), model.covariance(x, query, {}), model.variance(query, {})

    return jax.jit(jax.vmap(one))


PART = KernelDescent
