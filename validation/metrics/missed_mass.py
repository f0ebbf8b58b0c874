"""Exact mass on what the candidate calls impossible, between 0 and 1;
where it is positive, KL(exact || candidate) is infinite.

A zero counts where the exact mass is larger than what the type of the candidate's numbers rounds to
zero; the rest is `unheld_mass`. For bins without tails it includes the mass outside the borders,
which `kl` leaves out of the comparison.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Masses, Predictive
from veribayes.validation.metrics._cells import CELLED, masses, rounded_away
from veribayes.validation.metrics._metric import Metric


def mass_where_zero(log_zero: Array, log_mass: Array) -> Array:
    """Sum of the second law's mass over the cells where the first has none."""
    return np.where(np.isneginf(log_zero), np.exp(log_mass), 0.0).sum(-1)


def _kernel(candidate: Masses, reference: Predictive) -> Array:
    log_q, log_p = masses(candidate, reference)
    rounded = rounded_away(candidate, log_q, log_p)
    return mass_where_zero(log_q, np.where(rounded, -np.inf, log_p))


PART = Metric(
    name="missed_mass",
    symbol="exact(candidate = 0)",
    unit="1",
    ideal=0.0,
    needs="categories, or bins",
    citation="absolute continuity: Kullback & Leibler 1951, doi:10.1214/aoms/1177729694",
    kernels=dict.fromkeys(CELLED, _kernel),
)
