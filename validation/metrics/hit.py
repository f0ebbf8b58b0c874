"""Whether the outcome is the candidate's most probable category, 1 or 0;
the first of equal ones counts.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Categorical, Predictive
from veribayes.validation.metrics._metric import Metric


def _kernel(candidate: Categorical, reference: Predictive, outcome: Array, v: Array) -> Array:
    del reference, v  # the outcome is the judge, and nothing is randomised
    named = candidate.probs.argmax(-1)
    return np.asarray(named == outcome.astype(np.int64), dtype=np.float64)


PART = Metric(
    name="hit",
    symbol="1[y = argmax q]",
    unit="1",
    ideal=1.0,
    needs="categories; the reference is not looked at",
    citation="Guo et al. 2017, arXiv 1706.04599",
    kernels={("categorical", "categorical"): _kernel},
    sees_outcome=True,
)
