"""k steps of gradient descent on kernel ridge regression with normalised attention (arXiv 2605.26713).

Step and skip are divided by s_x = sum_i k(x_i, x), which preconditions by the row sums of the kernel:
    u(x) <- (1 - eta s^2 / s_x) u(x) + (eta / s_x) sum_i k(x_i, x) (v_i - u(x_i)),   from u = 0,
with v = y for the mean and v = k(x, x*) for the reduction of the variance. The spectrum lies in (0, 1 + s^2 / k(x, x)] for
every number of points, so that one step size serves all of them. The row of the query, too, is divided by its own s_x, which
is at least `floor` times k(x, x): below eta s^2 / 2 it would diverge.
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

SMALLEST = 1e-300  # instead of a division by zero where nothing is similar


@dataclass(frozen=True)
class PreconditionedDescent:
    """Jacobi-like Richardson iteration.

    Attributes:
        steps: k; a network of L layers makes L - 1.
        eta: step size; None: the inverse of each context's largest eigenvalue.
        chebyshev: instead of one step size, those of the Chebyshev polynomial on each context's spectrum.
        floor: least normaliser, as a share of k(x, x).
    """

    steps: int = 8
    eta: float | None = None
    chebyshev: bool = False
    floor: float = 1.0
    method: ClassVar[str] = "estimator"
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)
    variants: ClassVar[Variants] = (
        {"steps": 1},
        {"steps": 2},
        {"steps": 4},
        {"steps": 8},
        {"steps": 16},
        {"steps": 32},
    )
    fitted: ClassVar[Fitted] = {"eta": (0.05, 1.9)}

    def __post_init__(self) -> None:
        require_positive(self, steps=self.steps, eta=1.0 if self.eta is None else self.eta)
        if not 0 <= self.floor <= 1 or (self.chebyshev and self.eta is not None):
            raise InputError(
                "a floor from 0 to 1, and eta or chebyshev", f"floor {self.floor}, eta {self.eta}"
            )

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, noise = fixed_gaussian(self, task, data)
        k, across, prior = kernels(model, data)
        if k.min(initial=0.0) < 0 or across.min(initial=0.0) < 0:
            raise InputError(
                f"a kernel >= 0 for the engine '{name_of(self)}'", f"'{model.kernel.kind}'"
            )
        y = data.arrays["y"]
        with float64():
            found = [
                self._descend(k[:, :n, :n], across[:, :n], y[:, :n], prior, noise)
                for n in data.positions
            ]
        mean, reduction = (np.stack(column, axis=1) for column in zip(*found, strict=True))
        variance = noise + np.maximum(prior[:, None] - reduction, 0.0)
        bound = EPS * self.steps * max(y.shape[1], 1)
        return Branch(
            Normal(mean, np.sqrt(variance)),
            certify(self.method, bound, kind="estimate", limit=LIMIT),
        )

    def _descend(
        self, k: Array, across: Array, y: Array, prior: Array, noise: float
    ) -> tuple[Array, Array]:
        """Mean and reduction of the variance, (dataset, query)."""
        scale = np.maximum(np.maximum(k.sum(-1), self.floor * np.einsum("bii->bi", k)), SMALLEST)[
            ..., None
        ]
        own = np.maximum(
            np.maximum(across.sum(1), self.floor * prior), SMALLEST
        )  # (dataset, query)
        right = np.concatenate(
            [y[..., None], across], axis=-1
        )  # (dataset, n, 1 + query): v of the mean, v of the variances
        u, mean, reduction = np.zeros_like(right), np.zeros_like(own), np.zeros_like(own)
        for eta in self._steps(k, scale[..., 0], noise):
            rest = right - u
            step = eta[:, None] / own
            mean = (1 - step * noise) * mean + step * np.einsum("bnq,bn->bq", across, rest[..., 0])
            reduction = (1 - step * noise) * reduction + step * np.einsum(
                "bnq,bnq->bq", across, rest[..., 1:]
            )
            u = u + eta[:, None, None] / scale * (k @ rest - noise * u)
        return mean, reduction

    def _steps(self, k: Array, scale: Array, noise: float) -> Array:
        """Step sizes (step, dataset)."""
        datasets, n = scale.shape
        if self.eta is not None or n == 0:
            return np.full((self.steps, datasets), self.eta or 1.0)
        root = np.sqrt(scale)
        similar = (
            (k + noise * np.eye(n)) / root[:, :, None] / root[:, None, :]
        )  # has the spectrum of the iteration
        values = np.asarray(np.linalg.eigvalsh(similar), dtype=np.float64)
        if self.chebyshev:
            return np.asarray(chebyshev_steps(values[:, 0], values[:, -1], self.steps).T)
        return np.broadcast_to(1 / values[:, -1], (self.steps, datasets))


PART = PreconditionedDescent
