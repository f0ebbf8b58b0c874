"""Half the chi-square divergence, sum (q - p)^2 / (2 p):
KL to second order, and unbiased from draws.

p is the exact predictive, q the candidate. To second order in q - p it is KL(exact || candidate) in
nats, and never less than half of KL(candidate || exact). It is quadratic in q, so that two
independent answers f1, f2 with any number of draws give

    D = sum (f1 - p)(f2 - p) / (2 p)        with expectation        sum (q - p)^2 / (2 p),

whatever happens inside one answer: noise that the draws do not have is not subtracted. Two equal
answers are scored as they stand. One answer alone is scored over pairs of different draws (the
U-statistic), which assumes that they are independent. D may be negative and is not clipped.
Infinite where a draw, or mass of the candidate, is impossible under the reference.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from veribayes.predictive import Array, Categorical, Draws
from veribayes.validation.metrics._metric import Metric


def _categories(candidate: Categorical, reference: Categorical) -> Array:
    residual = candidate.probs - reference.probs
    return _cross(residual, residual, reference.probs, candidate.probs > 0)


def _draws(candidate: Draws, reference: Categorical) -> Array:
    p = reference.probs
    counts, draws = candidate.frequencies(p.shape[-1])
    if candidate.again is None:
        pairs = counts * (counts - 1) / (draws * (draws - 1))
        impossible = np.where(counts > 0, np.inf, 0.0)
        terms = np.divide(pairs, p, out=impossible, where=p > 0)
        return np.asarray(0.5 * (terms.sum(-1) - 1))
    others, more = candidate.frequencies_again(p.shape[-1])
    one = counts / draws - p
    other = others / more - p
    drawn = (counts > 0) | (others > 0)
    return _cross(one, other, p, drawn)


def _cross(one: Array, other: Array, p: Array, positive: npt.NDArray[np.bool_]) -> Array:
    """Sum of one times other over 2 p; infinite where something positive is impossible."""
    impossible = np.where(positive, np.inf, 0.0)
    terms = np.divide(one * other, 2 * p, out=impossible, where=p > 0)
    return np.asarray(terms.sum(-1))


PART = Metric(
    name="half_chi_square",
    symbol="½ χ²(candidate‖exact)",
    unit="nats",
    ideal=0.0,
    needs="categories, also as draws, and a categorical reference",
    citation=(
        "Pearson 1900, doi:10.1080/14786440009463897; Gibbs & Su 2002, "
        "doi:10.1111/j.1751-5823.2002.tb00178.x"
    ),
    kernels={("categorical", "categorical"): _categories, ("draws", "categorical"): _draws},
)
