"""Largest error of the 5, 25, 50, 75 and 95 % quantiles, in exact standard deviations.

Quantiles that are given as levels and values are read linearly between them. Draws are off by about
2.6 / sqrt(S) on average
even when they are right, most of it at the outer quantiles: compare only with the same number of
draws.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Predictive
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._moments import ordered

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def _kernel(candidate: Predictive, reference: Predictive) -> Array:
    levels = np.broadcast_to(LEVELS, (*reference.shape, len(LEVELS)))
    apart = candidate.quantile(levels) - reference.quantile(levels)
    errors = np.abs(apart).max(-1)
    return np.asarray(errors / reference.standard_deviation())


PART = Metric(
    name="quantile_error",
    symbol="max |Q_q(u) - Q_p(u)| / sd_p",
    unit="sd",
    ideal=0.0,
    needs="an ordered candidate, and a normal or mixture reference",
    citation="Hyndman & Fan 1996, doi:10.1080/00031305.1996.10473566",
    kernels=ordered(_kernel),
)
