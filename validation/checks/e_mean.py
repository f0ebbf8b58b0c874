"""Anytime-valid: is the mean divergence above the tolerance? Bets on it,
wealth = prod 1 + s (K_i / tolerance - 1).

If data sets are independent, K_i >= 0 and E K_i is at most the tolerance, each factor has
expectation at most 1 for every stake s in [0, 1]: wealth exceeds 1 / alpha with probability at most
alpha, whenever one stops, whatever the law (Ville). It is averaged over stakes, since the best one
depends on the law. Its counterpart, that the mean lies below, cannot be shown this
way: a divergence has no upper bound.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.validation.checks._test import Outcome, Test, axes

STAKES = np.array(
    [0.02, 0.05, 0.1, 0.2, 0.4, 0.8]
)  # the best for means of 1.02 to 5 tolerances, nearly


def log_wealth(values: Array, tolerance: float) -> Array:
    """log wealth after each data set, (dataset,)."""
    if not 0 < tolerance < np.inf or values.min() < 0:
        raise InputError(
            "divergences that are not negative, and a positive tolerance",
            f"{values.min():g}, {tolerance:g}",
        )
    excess = values[:, None] / tolerance - 1
    gains = np.log1p(STAKES * excess).cumsum(0)
    return np.asarray(logsumexp(gains, axis=1) - np.log(STAKES.size))


def _kernel(values: Array, *, tolerance: float, seed: int) -> Outcome:
    del seed  # nothing is simulated
    (n,) = axes(values, "dataset")
    best = max(0.0, float(log_wealth(values, tolerance).max()))
    return Outcome(best, float(np.exp(-best)), n)


PART = Test(
    name="e_mean",
    needs="values (dataset,), not negative; tolerance=",
    null="the mean is at most the tolerance",
    minimum=1,
    exactness="conservative",
    citation="Ville 1939; Waudby-Smith & Ramdas 2024, doi:10.1093/jrsssb/qkad009",
    kernel=_kernel,
    infinite=True,
)
