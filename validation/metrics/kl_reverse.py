"""Reverse Kullback-Leibler divergence KL(candidate || exact), in nats.

0 log 0 = 0, so categories that the candidate rules out cost nothing here; infinite where it puts
mass on impossible ones (the metric `impossible_mass` says how much). Bins are compared with the
whole reference, also when they have no tails.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Normal
from veribayes.validation.metrics._cells import discrete
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._quadrature import continuous
from veribayes.validation.metrics.kl import normals, relative_entropy


def _formula(log_q: Array, log_p: Array) -> Array:
    return relative_entropy(log_p, log_q)


def _normals(candidate: Normal, reference: Normal) -> Array:
    return normals(reference, candidate)


def _integrand(log_q: Array, log_p: Array) -> Array:
    return np.exp(log_q) * (log_q - log_p)


KERNELS = {**discrete(_formula), **continuous(_integrand), ("normal", "normal"): _normals}

PART = Metric(
    name="kl_reverse",
    symbol="KL(candidate‖exact)",
    unit="nats",
    ideal=0.0,
    needs="categories, or a candidate with a density",
    citation="Kullback & Leibler 1951, doi:10.1214/aoms/1177729694",
    kernels=KERNELS,
)
