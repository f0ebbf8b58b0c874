"""Kullback-Leibler divergence of the candidate from the exact predictive, in nats: the primary endpoint.

KL(p || q) = sum p log(p / q), with p exact and q the candidate. Categories: the sum. Two normals: closed form. Mixtures:
quadrature. Bins against a continuous reference: between the masses of all C + 2 cells; a candidate without tails is
compared with the reference given that y lies between the borders (the metric `missed_mass` says how much that leaves out).
0 log 0 = 0; a zero where the exact mass is positive gives infinity. Nothing is clipped: rounding may leave -1e-16.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Bins, Normal, Predictive
from veribayes.validation.metrics._cells import BINNED, conditioned, discrete, log_masses, log_probs
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._quadrature import continuous


def relative_entropy(log_q: Array, log_p: Array) -> Array:
    """Sum of p (log p - log q) over the last axis; infinite where q is zero and p is not."""
    p = np.exp(log_p)
    with np.errstate(invalid="ignore"):
        terms = p * (log_p - log_q)
    return np.asarray(np.where(p > 0, terms, 0.0).sum(-1))


def normals(candidate: Normal, reference: Normal) -> Array:
    """log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2, in a form that does not cancel near equality."""
    excess = (reference.sd - candidate.sd) / candidate.sd  # s_p / s_q - 1
    shift = (reference.mean - candidate.mean) / candidate.sd
    return 0.5 * (excess * (excess + 2) + shift * shift) - np.log1p(excess)


def _bins(candidate: Bins, reference: Predictive) -> Array:
    return relative_entropy(log_probs(candidate), conditioned(log_masses(reference, candidate), candidate))


def _integrand(log_q: Array, log_p: Array) -> Array:
    return np.exp(log_p) * (log_p - log_q)


PART = Metric(
    name="kl",
    symbol="KL(exact‖candidate)",
    unit="nats",
    ideal=0.0,
    needs="categories, or a candidate with a density",
    citation="Kullback & Leibler 1951, doi:10.1214/aoms/1177729694",
    kernels={
        **discrete(relative_entropy),
        **continuous(_integrand),
        ("normal", "normal"): normals,
        **dict.fromkeys(BINNED, _bins),
    },
)
