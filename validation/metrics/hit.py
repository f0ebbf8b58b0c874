"""Whether the outcome is the category that a candidate names as its most probable one, 1 or 0.

Of several equal ones one is named at random. Probabilities that differ by no more than rounding are
equal (`TIED`): the last bit of a number, which depends on the processor, decides nothing.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array, Categorical, Predictive
from veribayes.validation.metrics._metric import TIED, Metric


def _kernel(candidate: Categorical, reference: Predictive, outcome: Array, v: Array) -> Array:
    del reference  # the outcome is the judge
    largest = candidate.probs.max(-1, keepdims=True)
    tied = candidate.probs >= largest * (1 - TIED)
    chosen = np.floor(v * tied.sum(-1))
    place = tied.cumsum(-1) - 1  # of each category among the tied ones
    named = tied & (place == chosen[:, None])
    category = outcome.astype(np.int64)[:, None]
    return np.asarray(np.take_along_axis(named, category, -1)[:, 0], dtype=np.float64)


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
