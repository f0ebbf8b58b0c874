"""Largest error of a single probability, max |p - q|, between 0 and 1.

Over categories, or over the C + 2 cells of bins. It is the total variation restricted to single
outcomes: half of that at least for two categories, and never more than it.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array
from veribayes.validation.metrics._cells import discrete
from veribayes.validation.metrics._metric import Metric


def _formula(log_q: Array, log_p: Array) -> Array:
    apart = np.exp(log_p) - np.exp(log_q)
    return np.abs(apart).max(-1)


PART = Metric(
    name="max_error",
    symbol="max |p - q|",
    unit="1",
    ideal=0.0,
    needs="categories, or bins",
    citation=(
        "Chebyshev distance of two mass functions; Gibbs & Su 2002, "
        "doi:10.1111/j.1751-5823.2002.tb00178.x"
    ),
    kernels=discrete(_formula),
)
