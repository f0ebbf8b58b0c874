"""Bar-distribution algebra: the mass that a law on the real line puts into a candidate's cells.

Cells are always the C bins and the two outer half-lines, C + 2 in all; a candidate without tails
puts nothing outside.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

from veribayes.predictive import (
    Array,
    Bins,
    Categorical,
    Mask,
    Masses,
    Normal,
    NormalMixture,
    Predictive,
    log_normal_interval,
)
from veribayes.validation.metrics._metric import Kernel, log_sum_exp

Formula = Callable[
    [Array, Array], Array
]  # log masses of candidate and reference, (row, cell) each -> (row,)
BINNED = [("bins", "normal"), ("bins", "mixture"), ("bins", "bins")]
CELLED = [("categorical", "categorical"), *BINNED]


def discrete(formula: Formula) -> dict[tuple[str, str], Kernel]:
    """Kernels of a formula on masses: between categories, and between bins and the same cells of
    any other law.
    """

    def categories(candidate: Categorical, reference: Categorical) -> Array:
        return formula(candidate.log_masses, reference.log_masses)

    def bins(candidate: Bins, reference: Predictive) -> Array:
        return formula(log_probs(candidate), log_masses(reference, candidate))

    return {("categorical", "categorical"): categories, **dict.fromkeys(BINNED, bins)}


def log(x: Array) -> Array:
    """Logarithm in which the logarithm of zero is minus infinity, without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(x)


def log_masses(law: Predictive, candidate: Bins) -> Array:
    """Log mass of `law` in each cell of the candidate, (row, cell); no cancellation in
    either tail.
    """
    edges = np.concatenate([[-np.inf], candidate.edges, [np.inf]])
    if isinstance(law, Normal):
        return _normal(law.mean, law.sd, edges)
    if isinstance(law, NormalMixture):
        of_components = _normal(law.mean, law.sd, edges)
        return log_sum_exp(of_components + log(law.weights)[..., None])
    if isinstance(law, Bins) and np.array_equal(law.edges, candidate.edges):
        return log_probs(law)
    below = law.cdf(np.tile(candidate.edges, (*law.shape, 1)))
    return log(
        np.maximum(np.diff(below, prepend=0.0, append=1.0), 0.0)
    )  # rounding may leave -1e-17


def probs(candidate: Bins) -> Array:
    """Probability of the candidate in each cell, (row, cell)."""
    if candidate.tail_scale is not None:
        return candidate.probs
    return np.pad(candidate.probs, ((0, 0), (1, 1)))


def log_probs(candidate: Bins) -> Array:
    """Its logarithm."""
    logs = candidate.log_masses
    if candidate.tail_scale is not None:
        return logs
    return np.pad(logs, ((0, 0), (1, 1)), constant_values=-np.inf)


def rounded_away(candidate: Masses, log_q: Array, log_p: Array) -> Mask:
    """Zeros of the candidate where the exact mass is so small that the type of its numbers may have
    made them, (row, cell).
    """
    small = log_p <= np.log(candidate.zero_limits)[..., None]
    possible = ~np.isneginf(log_p)
    return np.asarray(np.isneginf(log_q) & possible & small)


def held(candidate: Masses, log_q: Array, log_p: Array) -> Array:
    """Log masses of the candidate, with the exact one for a zero that may be nothing but rounding:
    it costs nothing.
    """
    return np.where(rounded_away(candidate, log_q, log_p), log_p, log_q)


def masses(candidate: Masses, reference: Predictive) -> tuple[Array, Array]:
    """Log masses of candidate and reference in the cells of a comparison, (row, cell) each."""
    if isinstance(candidate, Bins):
        return log_probs(candidate), log_masses(reference, candidate)
    assert isinstance(reference, Categorical)
    return candidate.log_masses, reference.log_masses


def conditioned(masses: Array, candidate: Bins) -> Array:
    """The masses, given that the candidate can speak: without tails, given that y lies between the
    borders.
    """
    if candidate.tail_scale is not None:
        return masses
    inner = masses[..., 1:-1]
    inner = inner - logsumexp(inner, axis=-1, keepdims=True)
    return np.pad(inner, ((0, 0), (1, 1)), constant_values=-np.inf)


def _normal(mean: Array, sd: Array, edges: Array) -> Array:
    z = (edges - mean[..., None]) / sd[..., None]
    return log_normal_interval(z[..., :-1], z[..., 1:])
