"""Probability that the candidate gives to its most probable category:
what `hit` should be on average where it says so.
"""

from __future__ import annotations

from veribayes.predictive import Array, Categorical, Predictive
from veribayes.validation.metrics._metric import Metric


def _kernel(candidate: Categorical, reference: Predictive) -> Array:
    del reference  # what the candidate says of itself
    return candidate.probs.max(-1)


PART = Metric(
    name="confidence",
    symbol="max q",
    unit="1",
    ideal=1.0,
    needs="categories; the reference is not looked at",
    citation="Guo et al. 2017, arXiv 1706.04599",
    kernels={("categorical", "categorical"): _kernel},
)
