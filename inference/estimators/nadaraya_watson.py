"""Kernel smoothing: weighted mean and spread of the observations,
what one layer of softmax attention computes.

    w_i = k(x_i, x) / sum_j k(x_j, x),   mean = sum_i w_i y_i,
    variance = s^2 + sum_i w_i (y_i - mean)^2.
Nadaraya, Theory Probab. Appl. 9 (1964) 141, doi:10.1137/1109020. Negative similarities count as
none; where nothing is similar, and without observations, the answer is the prior's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.inference._engine import EPS, certify
from veribayes.inference._gaussian import fixed_gaussian, kernels
from veribayes.models._task import Task
from veribayes.predictive import Array, Normal
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class NadarayaWatson:
    """Average what is near, with the model's own kernel."""

    label: ClassVar[str] = "Nadaraya–Watson"
    about: ClassVar[str] = "a kernel-weighted average of the observations"
    method: ClassVar[Method] = Method.ESTIMATOR
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model, noise = fixed_gaussian(self, task, data)
        _, across, prior = kernels(model, data)
        near = np.maximum(across, 0.0)
        y = data.arrays["y"]
        means, spreads = [], []
        for n in data.positions:
            mean, spread = _smoothed(near[:, :n], y[:, :n], prior)
            means.append(mean)
            spreads.append(spread)
        sd = np.sqrt(noise + np.stack(spreads, axis=1))
        bound = 8 * EPS * max(y.shape[1], 1)
        return Branch(Normal(np.stack(means, axis=1), sd), certify(self.method, bound))


def _smoothed(near: Array, y: Array, prior: Array) -> tuple[Array, Array]:
    """Mean and spread (dataset, query) of y (dataset, n), weighted by near (dataset, n, query)."""
    total = near.sum(1, keepdims=True)
    weight = np.divide(near, total, out=np.zeros_like(near), where=total > 0)
    mean = np.einsum("bnq,bn->bq", weight, y)
    square = (y[..., None] - mean[:, None]) ** 2
    spread = np.einsum("bnq,bnq->bq", weight, square)
    return mean, np.where(total[:, 0] > 0, spread, prior)


PART = NadarayaWatson
