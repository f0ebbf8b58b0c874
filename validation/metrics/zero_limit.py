"""The largest exact mass that a zero of the candidate may stand for:
half an ulp of 1 in the type of its numbers.

No divergence: a property of how the answer was written, kept so that a run can say what its zeros
mean.
"""

from __future__ import annotations

from veribayes.predictive import Array, Masses, Predictive
from veribayes.validation.metrics._cells import CELLED
from veribayes.validation.metrics._metric import Metric


def _kernel(candidate: Masses, reference: Predictive) -> Array:
    del reference  # what the candidate's numbers can hold
    return candidate.zero_limits


PART = Metric(
    name="zero_limit",
    symbol="half an ulp of 1",
    unit="1",
    ideal=0.0,
    needs="categories, or bins; the reference is not looked at",
    citation="half an ulp: Goldberg 1991, doi:10.1145/103162.103163",
    kernels=dict.fromkeys(CELLED, _kernel),
)
