"""Exact probability of what the candidate calls impossible, between 0 and 1: where KL(exact || candidate) is infinite.

The sum of p over the outcomes with q = 0: categories, or the cells of a bar distribution.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array
from veribayes.validation.metrics._cells import discrete
from veribayes.validation.metrics._metric import Metric


def _missed(log_q: Array, log_p: Array) -> Array:
    return np.asarray(np.where(np.isneginf(log_q), np.exp(log_p), 0.0).sum(-1))


PART = Metric(
    name="missed_mass", symbol="P(q = 0)", unit="1", ideal=0.0, needs="categories, or bins",
    citation="the support condition of Kullback & Leibler 1951, doi:10.1214/aoms/1177729694", kernels=discrete(_missed),
)  # fmt: skip
