"""Kullback-Leibler divergence of the candidate from the exact predictive, in nats:
the primary endpoint.

KL(p || q) = sum p log(p / q), with p exact and q the candidate. Categories: the sum. Two normals:
closed form. Mixtures: quadrature. Bins against a continuous reference: between the masses of all C
+ 2 cells; a candidate without tails is compared with the reference given that y lies between the
borders (the metric `missed_mass` says how much that leaves out). 0 log 0 = 0; a zero where the
exact mass is positive gives infinity, unless the type of the candidate's numbers rounds such a mass
to zero (`zero_limit` of the predictive): there it costs nothing here, and `unheld_mass` says how
much it is. Nothing is
clipped: rounding may leave -1e-16.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Bins, Categorical, Normal, Predictive
from veribayes.validation.metrics._cells import BINNED, conditioned, held, log_masses, log_probs
from veribayes.validation.metrics._metric import Kernel, Metric
from veribayes.validation.metrics._quadrature import continuous


def relative_entropy(log_q: Array, log_p: Array) -> Array:
    """Sum of p (log p - log q) over the last axis; infinite where q is zero and p is not."""
    p = np.exp(log_p)
    with np.errstate(invalid="ignore"):
        terms = p * (log_p - log_q)
    return np.asarray(np.where(p > 0, terms, 0.0).sum(-1))


def normals(candidate: Normal, reference: Normal) -> Array:
    """log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2, in a form that does not cancel
    near equality.
    """
    with np.errstate(over="ignore"):  # what is beyond float64 is infinite
        excess = (reference.sd - candidate.sd) / candidate.sd  # s_p / s_q - 1
        shift = (reference.mean - candidate.mean) / candidate.sd
        square = 0.5 * (excess * (excess + 2) + shift * shift)
    near = np.abs(excess) < 0.5
    small = np.log1p(np.where(near, excess, 0.0))
    large = np.log(reference.sd) - np.log(candidate.sd)
    log_ratio = np.where(near, small, large)
    return np.asarray(square - log_ratio)


def _categories(candidate: Categorical, reference: Categorical) -> Array:
    log_p = reference.log_masses
    return relative_entropy(held(candidate, candidate.log_masses, log_p), log_p)


def _bins(candidate: Bins, reference: Predictive) -> Array:
    log_p = conditioned(log_masses(reference, candidate), candidate)
    return relative_entropy(held(candidate, log_probs(candidate), log_p), log_p)


def _integrand(log_q: Array, log_p: Array) -> Array:
    return np.exp(log_p) * (log_p - log_q)


KERNELS: dict[tuple[str, str], Kernel] = {
    ("categorical", "categorical"): _categories,
    **continuous(_integrand),
    ("normal", "normal"): normals,
    **dict.fromkeys(BINNED, _bins),
}

PART = Metric(
    name="kl",
    symbol="KL(exact‖candidate)",
    unit="nats",
    ideal=0.0,
    needs="categories, or a candidate with a density",
    citation="Kullback & Leibler 1951, doi:10.1214/aoms/1177729694",
    kernels=KERNELS,
)
