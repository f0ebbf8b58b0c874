"""Error of the predictive entropy, |H(q) - H(p)| in bits:
how uncertain a candidate is, and not what it is uncertain about.

It does not see a permutation of the categories: any relabelling leaves it at zero, however large
the divergence, so that it decides nothing. One nat is 1 / log 2 = 1.4427 bits.
"""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from veribayes.predictive import Array, Categorical
from veribayes.validation.metrics._metric import Metric

LOG_2 = float(np.log(2))


def _kernel(candidate: Categorical, reference: Categorical) -> Array:
    return np.abs(_entropy(candidate.probs) - _entropy(reference.probs))


def _entropy(probs: Array) -> Array:
    """- sum p log2 p over the last axis."""
    return np.asarray(entr(probs).sum(-1) / LOG_2)


PART = Metric(
    name="entropy_error",
    symbol="|H(q) - H(p)|",
    unit="bits",
    ideal=0.0,
    needs="categories",
    citation="arXiv 2512.22471",
    kernels={("categorical", "categorical"): _kernel},
)
