"""Where a candidate stands between two predictors: the relative distance.

    R = sum (|c - a|^2 - |c - b|^2) / sum |b - a|^2

over data sets, queries and categories, with probabilities c of the candidate, a and b of the two
predictors. It is -1 where the candidate is a, +1 where it is b, and 2 w - 1 exactly where it is the
mixture (1 - w) a + w b, since squared distances obey the law of cosines: (R + 1) / 2 is the
coefficient of its projection on the line through both. Off that line it says nothing of how far the
candidate is. The measure of arXiv 2306.15063 with the two distances in one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from veribayes.predictive import Array, Categorical, Predictive
from veribayes.tree.plain import number
from veribayes.validation import bootstrap, stability


@dataclass(frozen=True, eq=False)
class Relative:
    """Sums of squares of each data set at each position, (dataset, position).

    Attributes:
        lead: squared distance of the candidate from a less that from b.
        apart: squared distance of b from a.
    """

    lead: Array
    apart: Array

    def overall(self, seed: int = 0) -> dict[str, Any]:
        """R over all positions, with 95 % limits by data set."""
        values = _linear(self.lead.sum(1, keepdims=True), self.apart.sum(1, keepdims=True))
        if not np.isfinite(values).all():
            return {"estimate": None, "low": None, "high": None}
        return bootstrap.interval(values[:, 0], seed=seed).plain()

    def curve(self, seed: int = 0) -> dict[str, list[float | None]]:
        """R at each position, with simultaneous 95 % limits."""
        values = _linear(self.lead, self.apart)
        estimate, low, high = bootstrap.band(values, seed=seed)
        low, high = stability.shown(estimate, low, high, values)
        columns = {"estimate": estimate, "low": low, "high": high}
        entry = {}
        for name, values_of in columns.items():
            entry[name] = [number(float(value)) for value in values_of]
        return entry


def relative(
    candidate: Predictive, a: Predictive, b: Predictive, outcome: Array
) -> Relative | None:
    """The sums behind R; None where one of them gives no probabilities.

    Args:
        candidate, a, b: (dataset, position, query).
        outcome: of that shape; NaN where a query does not apply.
    """
    laws: Sequence[Predictive] = (candidate, a, b)
    probs = [law.probs for law in laws if isinstance(law, Categorical)]
    if len(probs) < len(laws):
        return None
    asked = ~np.isnan(outcome)[..., None]
    said, of_a, of_b = (np.where(asked, each, 0.0) for each in probs)

    def squared(first: Array, second: Array) -> Array:
        return np.asarray(((first - second) ** 2).sum((2, 3)))

    return Relative(squared(said, of_a) - squared(said, of_b), squared(of_b, of_a))


def _linear(lead: Array, apart: Array) -> Array:
    """One value a data set whose mean is the ratio and whose spread is that of the ratio, (dataset,
    position): R + (lead - R apart) / mean(apart). NaN where a and b coincide.
    """
    size = apart.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(size > 0, lead.mean(0) / size, np.nan)
        return np.asarray(ratio + (lead - ratio * apart) / size)
