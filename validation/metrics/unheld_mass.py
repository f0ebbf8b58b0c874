"""Exact mass on outcomes to which the candidate gives a zero that the type of its numbers may have
made, between 0 and 1.

A softmax in float32 holds nothing below 1e-45, and 1 - p nothing below 6e-8: such a zero says that
the number type ends there, and not that the outcome is impossible. `zero_limit` of the predictive
is the largest exact mass for which this is granted.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Masses, Predictive
from veribayes.validation.metrics._cells import CELLED, masses, rounded_away
from veribayes.validation.metrics._metric import Metric


def _kernel(candidate: Masses, reference: Predictive) -> Array:
    log_q, log_p = masses(candidate, reference)
    rounded = rounded_away(candidate, log_q, log_p)
    return np.where(rounded, np.exp(log_p), 0.0).sum(-1)


PART = Metric(
    name="unheld_mass",
    symbol="exact(candidate rounded to 0)",
    unit="1",
    ideal=0.0,
    needs="categories, or bins",
    citation="half an ulp: Goldberg 1991, doi:10.1145/103162.103163",
    kernels=dict.fromkeys(CELLED, _kernel),
)
