"""Error of the predictive entropy, |H(q) - H(p)| in nats:
how uncertain a candidate is, and not what it is uncertain about.

Any relabelling of the categories leaves it at zero, so that it decides nothing.
"""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from veribayes.predictive import Array, Categorical
from veribayes.validation.metrics._metric import Metric


def _kernel(candidate: Categorical, reference: Categorical) -> Array:
    return np.abs(_entropy(candidate.probs) - _entropy(reference.probs))


def _entropy(probs: Array) -> Array:
    """- sum p log p over the last axis."""
    return np.asarray(entr(probs).sum(-1))


PART = Metric(
    name="entropy_error",
    symbol="|H(q) - H(p)|",
    unit="nats",
    ideal=0.0,
    needs="categories",
    citation="arXiv 2512.22471",
    kernels={("categorical", "categorical"): _kernel},
)
