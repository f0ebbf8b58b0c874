"""Hellinger distance, between 0 and 1.

H = sqrt(sum (sqrt p - sqrt q)^2 / 2). Bins are compared with the whole reference, tails included.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Normal, Predictive
from veribayes.validation.metrics._cells import discrete
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._quadrature import DENSITIES, integrate


def _terms(log_q: Array, log_p: Array) -> Array:
    difference = np.exp(0.5 * log_p) - np.exp(0.5 * log_q)
    return 0.5 * difference**2


def _formula(log_q: Array, log_p: Array) -> Array:
    return np.sqrt(_terms(log_q, log_p).sum(-1))


def _normals(candidate: Normal, reference: Normal) -> Array:
    """sqrt(1 - BC), BC = sqrt(2 s t / (s^2 + t^2)) exp(-(m - n)^2 / (4 (s^2 + t^2))), without
    cancellation.
    """
    total = candidate.sd**2 + reference.sd**2
    spreads = (candidate.sd - reference.sd) ** 2
    shift = (candidate.mean - reference.mean) ** 2
    by_spread = 0.5 * np.log1p(-spreads / total)
    log_affinity = by_spread - shift / (4 * total)
    return np.sqrt(-np.expm1(log_affinity))


def _densities(candidate: Predictive, reference: Predictive) -> Array:
    return np.sqrt(integrate(_terms, [candidate, reference]))


KERNELS = {
    **discrete(_formula),
    **dict.fromkeys(DENSITIES, _densities),
    ("normal", "normal"): _normals,
}

PART = Metric(
    name="hellinger",
    symbol="H(exact, candidate)",
    unit="1",
    ideal=0.0,
    needs="categories, or a candidate with a density",
    citation="Hellinger 1909, doi:10.1515/crll.1909.136.210",
    kernels=KERNELS,
)
