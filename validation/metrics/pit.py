"""Probability integral transform of the outcome through the candidate:
uniform on (0, 1) for the exact predictive.

Continuous forms: F(y). Atoms are randomised, u = F(y-) + V (F(y) - F(y-)), with V a function of the
data set's number. Categories are taken in the order of their index. Draws: (number below + V (1 +
number equal)) / (S + 1), which is exactly uniform when y and the S draws are exchangeable.
Quantiles say how much lies between two neighbours and beyond the outer ones, and not where: u is
spread evenly over the levels in between.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import FORMS, Array, Categorical, Draws, Predictive, Quantiles
from veribayes.validation.metrics._metric import Kernel, Metric


def _continuous(candidate: Predictive, reference: Predictive, outcome: Array, v: Array) -> Array:
    del reference, v  # the outcome is the judge, and there is no atom
    return candidate.cdf(outcome[:, None])[:, 0]


def _categories(candidate: Categorical, reference: Predictive, outcome: Array, v: Array) -> Array:
    del reference
    y = outcome.astype(np.int64)[:, None]
    mass = np.take_along_axis(candidate.probs, y, -1)
    cumulative = np.cumsum(candidate.probs, -1)
    below = np.take_along_axis(cumulative, y, -1) - mass
    places = below + v[:, None] * mass
    return np.asarray(places[:, 0])


def _draws(candidate: Draws, reference: Predictive, outcome: Array, v: Array) -> Array:
    del reference
    below = (candidate.draws < outcome[:, None]).sum(-1)
    equal = (candidate.draws == outcome[:, None]).sum(-1)
    draws = candidate.draws.shape[-1]
    return (below + v * (1 + equal)) / (draws + 1)


def _quantiles(candidate: Quantiles, reference: Predictive, outcome: Array, v: Array) -> Array:
    del reference
    levels = np.concatenate([[0.0], candidate.levels, [1.0]])
    values = np.pad(candidate.values, ((0, 0), (1, 1)), constant_values=np.inf)
    values[:, 0] = -np.inf
    first = (values < outcome[:, None]).sum(-1)  # first knot at or above the outcome
    reached = (values <= outcome[:, None]).sum(-1)
    last = np.maximum(reached - 1, first)  # last knot of a tie with it
    high = np.take_along_axis(values, first[:, None], -1)[:, 0]
    start, end = np.where(high == outcome, (first, last), (first - 1, first))
    step = levels[end] - levels[start]
    return np.asarray(levels[start] + v * step)


CANDIDATES: dict[str, Kernel] = {
    "categorical": _categories,
    "normal": _continuous,
    "mixture": _continuous,
    "bins": _continuous,
    "quantiles": _quantiles,
    "draws": _draws,
}

KERNELS = {(form, law): kernel for form, kernel in CANDIDATES.items() for law in FORMS}

PART = Metric(
    name="pit",
    symbol="F(y)",
    unit="1",
    ideal=0.5,
    needs="any candidate; the reference is not looked at",
    citation=(
        "Dawid 1984, doi:10.2307/2981683; randomised: Czado, Gneiting & Held 2009, "
        "doi:10.1111/j.1541-0420.2009.01191.x"
    ),
    kernels=KERNELS,
    sees_outcome=True,
)
