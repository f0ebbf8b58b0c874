"""Error of the predictive mean in exact standard deviations, |E_q y - E_p y| / sd_p.

Exact for every form but draws, whose mean is off by .8 / sqrt(S) on average even when they are
right: compare it only with the same number of draws.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Predictive
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._moments import EXACT, ordered


def _kernel(candidate: Predictive, reference: Predictive) -> Array:
    shift = candidate.expectation() - reference.expectation()
    return np.abs(shift) / reference.standard_deviation()


PART = Metric(
    name="mean_error",
    symbol="|E_q y - E_p y| / sd_p",
    unit="sd",
    ideal=0.0,
    needs="an ordered candidate or a point, and a normal or mixture reference",
    citation="standardised bias: Cohen 1988, ISBN 978-0-8058-0283-2",
    kernels={**ordered(_kernel), **{("point", law): _kernel for law in EXACT}},
)
