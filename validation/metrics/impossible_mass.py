"""Candidate mass on what is impossible under the exact predictive, between 0 and 1;
where positive, reverse KL is infinite.
"""

from __future__ import annotations

from veribayes.predictive import Array
from veribayes.validation.metrics._cells import discrete
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics.missed_mass import mass_where_zero


def _formula(log_q: Array, log_p: Array) -> Array:
    return mass_where_zero(log_p, log_q)


PART = Metric(
    name="impossible_mass",
    symbol="candidate(exact = 0)",
    unit="1",
    ideal=0.0,
    needs="categories, or bins",
    citation="absolute continuity: Kullback & Leibler 1951, doi:10.1214/aoms/1177729694",
    kernels=discrete(_formula),
)
