"""k steps of gradient descent on kernel ridge regression with normalised attention (arXiv
2605.26713).

Step and skip are divided by s_x = sum_i k(x_i, x), which preconditions by the row sums of the
kernel:
    u(x) <- (1 - eta s^2 / s_x) u(x) + (eta / s_x) sum_i k(x_i, x) (v_i - u(x_i)),   from u = 0,
with v = y for the mean and v = k(x, x*) for the reduction of the variance. The spectrum lies in (0,
1 + s^2 / k(x, x)] for every number of points, so that one step size serves all of them. The row of
the query, too, is divided by its own s_x, which is at least `floor` times k(x, x):
below eta s^2 / 2 it would diverge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError
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

SMALLEST = 1e-300  # instead of a division by zero where nothing is similar


@dataclass(frozen=True)
class PreconditionedDescent:
    """Jacobi-like Richardson iteration.

    Attributes:
        steps: k; a network of L layers makes L - 1.
        eta: step size; None: the inverse of each context's largest eigenvalue.
        chebyshev: instead of one step size, those of the Chebyshev polynomial on each context's
            spectrum.
        floor: least normaliser, as a share of k(x, x).
    """

    steps: int = 8
    eta: float | None = None
    chebyshev: bool = False
    floor: float = 1.0
    label: ClassVar[str] = "preconditioned descent"
    about: ClassVar[str] = "a few steps of gradient descent with normalised attention"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)
    variants: ClassVar[Variants] = tuple({"steps": 2**k} for k in range(6))
    fitted: ClassVar[Fitted] = {"eta": (0.05, 1.9)}

    def __post_init__(self) -> None:
        require_positive(self, steps=self.steps, eta=1.0 if self.eta is None else self.eta)
        if not 0 <= self.floor <= 1 or (self.chebyshev and self.eta is not None):
            wanted = "a floor from 0 to 1, and eta or chebyshev"
            raise InputError(wanted, f"floor {self.floor}, eta {self.eta}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, noise = fixed_gaussian(self, task, data)
        k, across, prior = kernels(model, data)
        if k.min(initial=0.0) < 0 or across.min(initial=0.0) < 0:
            wanted = f"a kernel >= 0 for the engine '{name_of(self)}'"
            raise InputError(wanted, f"'{model.kernel.kind}'")
        y = data.arrays["y"]
        means, reductions = [], []
        with float64():
            for n in data.positions:
                mean, reduction = self._descend(k[:, :n, :n], across[:, :n], y[:, :n], prior, noise)
                means.append(mean)
                reductions.append(reduction)
        left = prior[:, None] - np.stack(reductions, axis=1)
        sd = np.sqrt(noise + np.maximum(left, 0.0))
        bound = EPS * self.steps * max(y.shape[1], 1)
        certificate = certify(self.method, bound, kind="estimate", limit=LIMIT)
        return Branch(Normal(np.stack(means, axis=1), sd), certificate)

    def _descend(
        self, k: Array, across: Array, y: Array, prior: Array, noise: float
    ) -> tuple[Array, Array]:
        """Mean and reduction of the variance, (dataset, query)."""
        scale = self._normaliser(k.sum(-1), np.einsum("bii->bi", k))  # (dataset, n)
        own = self._normaliser(across.sum(1), prior)  # (dataset, query)
        # (dataset, n, 1 + query): v of the mean, v of the variances
        right = np.concatenate([y[..., None], across], axis=-1)
        u = np.zeros_like(right)
        mean = np.zeros_like(own)
        reduction = np.zeros_like(own)
        for eta in self._steps(k, scale, noise):
            rest = right - u
            step = eta[:, None] / own
            kept = 1 - step * noise
            mean = kept * mean + step * np.einsum("bnq,bn->bq", across, rest[..., 0])
            gained = np.einsum("bnq,bnq->bq", across, rest[..., 1:])
            reduction = kept * reduction + step * gained
            u = u + eta[:, None, None] / scale[..., None] * (k @ rest - noise * u)
        return mean, reduction

    def _normaliser(self, total: Array, itself: Array) -> Array:
        """s_x from the sum of the kernel over the context and its value at the point itself."""
        floored = np.maximum(total, self.floor * itself)
        return np.maximum(floored, SMALLEST)

    def _steps(self, k: Array, scale: Array, noise: float) -> Array:
        """Step sizes (step, dataset)."""
        datasets, n = scale.shape
        if self.eta is not None or n == 0:
            return np.full((self.steps, datasets), self.eta or 1.0)
        root = np.sqrt(scale)
        # has the spectrum of the iteration
        similar = (k + noise * np.eye(n)) / root[:, :, None] / root[:, None, :]
        values = np.asarray(np.linalg.eigvalsh(similar), dtype=np.float64)
        if self.chebyshev:
            etas = chebyshev_steps(values[:, 0], values[:, -1], self.steps)
            return np.asarray(etas.T)
        return np.broadcast_to(1 / values[:, -1], (self.steps, datasets))


PART = PreconditionedDescent
