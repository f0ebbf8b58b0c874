"""Error of the predictive spread, log(sd_q / sd_p):
positive is too vague, negative too sure, .1 is about ten percent.

The only score here with a sign, since the direction is what one wants to know. Draws use the
unbiased variance; the logarithm of its root is low by about 1 / (4 S). A single point is infinitely
too sure.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Predictive
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics._moments import ordered


def _kernel(candidate: Predictive, reference: Predictive) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(candidate.standard_deviation() / reference.standard_deviation())


PART = Metric(
    name="sd_error",
    symbol="log(sd_q / sd_p)",
    unit="1",
    ideal=0.0,
    needs="an ordered candidate, and a normal or mixture reference",
    citation="log ratio of scales: Nakagawa et al. 2015, doi:10.1111/2041-210X.12309",
    kernels=ordered(_kernel),
)
