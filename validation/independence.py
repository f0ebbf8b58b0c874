"""Whether draws scatter as independent draws do,
and whether the data sets of one request share their randomness.

Draws are looked at through the exact distribution function, u = G(x) (middle of the step for
categories), so that all laws have one scale. Every statistic below is a number a data set, position
and query, with expectation 0 for draws that are independent of each other and between data sets,
from *any* law: a wrong candidate has it too.

    draw_scatter    two answers    1/2 (E|u1 - u2| - 1/2 E|u1 - u1'| - 1/2 E|u2 - u2'|) over pairs
                    of different draws:
                                   what two answers differ by, less what the spread inside them lets
                                   expect. A score that assumes independence is off by it. Negative
                                   for systematic and antithetic draws and for repeated answers,
                                   positive for repeated draws and for chains.
    draw_shift      two answers    mean u1^2 - mean u2^2: data sets of one request must not move
                    together
    draw_repeat     two answers    1 where both hold the same draws
    draw_order      one answer     lag-one covariance of u, less its mean over all orders of these
                    draws
    draw_halves     one answer     `draw_scatter` of its first against its second half

What has been shuffled within one answer cannot be seen in it. `draw_scatter` is an energy statistic
(Székely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2
from scipy.stats import t as student

from veribayes.predictive import Array, Categorical, Draws, Predictive
from veribayes.validation import decision
from veribayes.validation.checks._null import holm
from veribayes.validation.metrics._metric import rowwise
from veribayes.validation.metrics.crps import fair_spread, gap

TWO, ONE = ("draw_scatter", "draw_shift", "draw_repeat"), ("draw_order", "draw_halves")
LEVEL = 0.01  # of all tests of one run together
FEWEST = 30  # data sets from which the mean of a bounded statistic is normal enough
SHORTEST = 4  # draws of one answer that can be cut into halves


@dataclass(frozen=True)
class Independence:
    """What is known about the draws of a run.

    Attributes:
        answers: 1 or 2 a context.
        statement: both answers hold the same draws everywhere: nothing is random.
        p_values: by test, adjusted (Holm); empty where nothing could be tested.
        scatter: mean of `draw_scatter`, or of `draw_halves` for one answer.
    """

    answers: int
    statement: bool
    p_values: Mapping[str, float]
    scatter: float

    @property
    def rejected(self) -> tuple[str, ...]:
        """Tests that independent draws fail in 1 % of runs."""
        return tuple(name for name, p in self.p_values.items() if p <= LEVEL)


def scores(candidate: Draws, reference: Predictive, outcome: Array) -> dict[str, Array]:
    """The statistics by name, each (dataset, position, query); NaN where `outcome` is. Few draws of
    one answer have none.
    """
    names = ONE if candidate.again is None else TWO
    if candidate.again is None and candidate.draws.shape[-1] < SHORTEST:
        return {}
    asked = ~np.isnan(outcome)
    flat = rowwise(_kernel, candidate[asked], reference[asked])
    rows = flat.reshape(-1, len(names))
    found = {}
    for name, values in zip(names, rows.T, strict=True):
        found[name] = np.full(outcome.shape, np.nan)
        found[name][asked] = values
    return found


def judge(found: Mapping[str, Array], shard: int) -> Independence | None:
    """Test them; None where a run has no such statistics.

    Args:
        found: what `scores` returned, for all data sets of a run.
        shard: data sets that were asked for in one request.
    """
    if "draw_scatter" in found:
        means = {name: decision.cluster_means(found[name]) for name in TWO}
        statement = bool((means["draw_repeat"] == 1).all())
        scatter = means["draw_scatter"]
        shift = _together(means["draw_shift"], shard)
        p = {"draw_scatter": _mean_zero(scatter), "draw_shift": shift}
        adjusted = {} if statement else _adjusted(p)
        return Independence(2, statement, adjusted, float(scatter.mean()))
    if "draw_halves" in found:
        means = {name: decision.cluster_means(found[name]) for name in ONE}
        p = {name: _mean_zero(values) for name, values in means.items()}
        return Independence(1, False, _adjusted(p), float(means["draw_halves"].mean()))
    return None


def _adjusted(p: Mapping[str, float | None]) -> dict[str, float]:
    return holm({name: value for name, value in p.items() if value is not None})


def _kernel(candidate: Draws, reference: Predictive) -> Array:
    """(row, statistic), flat."""
    first = places(candidate.draws, reference)
    if candidate.again is None:
        half = first.shape[-1] // 2
        halves = _scatter(first[:, :half], first[:, half:])
        return np.stack([_lag(first), halves], -1).ravel()
    second = places(candidate.again, reference)
    shift = (first**2).mean(-1) - (second**2).mean(-1)
    scatter = _scatter(first, second)
    same = _same(candidate.draws, candidate.again)
    return np.stack([scatter, shift, same], -1).ravel()


def places(draws: Array, reference: Predictive) -> Array:
    """Exact distribution function at the draws, (row, draw); for categories the middle of
    its step.
    """
    if not isinstance(reference, Categorical):
        return reference.cdf(draws)
    middle = np.cumsum(reference.probs, -1) - 0.5 * reference.probs
    return np.asarray(np.take_along_axis(middle, draws.astype(np.int64), -1))


def _scatter(one: Array, other: Array) -> Array:
    own, others = fair_spread(one), fair_spread(other)
    return np.asarray(0.5 * (gap(one, other) - 0.5 * own - 0.5 * others))


def _lag(u: Array) -> Array:
    """Mean of neighbours' products, circular, of centred u; its mean over all orders is -sum of
    squares / (S (S - 1)).
    """
    centred = u - u.mean(-1, keepdims=True)
    products = (centred * np.roll(centred, 1, -1)).mean(-1)
    expected = (centred**2).mean(-1) / (u.shape[-1] - 1)
    return np.asarray(products + expected)


def _same(one: Array, other: Array) -> npt.NDArray[np.float64]:
    if one.shape != other.shape:
        return np.zeros(len(one))
    equal = np.sort(one, -1) == np.sort(other, -1)
    return equal.all(-1).astype(np.float64)


def _mean_zero(values: Array) -> float | None:
    """Two-sided t-test; None where there are too few data sets or nothing varies."""
    spread = float(values.std(ddof=1)) if values.size >= FEWEST else 0.0
    if not spread > 0:
        return None
    t = abs(values.mean()) / spread * np.sqrt(values.size)
    return float(2 * student.sf(t, values.size - 1))


def _together(values: Array, shard: int) -> float | None:
    """Sum over requests of (sum of values)^2 / (sum of squares), one degree of freedom each.

    If data sets are independent and the two answers exchangeable, signs are free and each term has
    expectation 1, whatever the law.
    """
    if values.size < FEWEST:
        return None
    edges = np.arange(0, values.size, shard)
    total = np.add.reduceat(values, edges)
    squares = np.add.reduceat(values**2, edges)
    moving = squares > 0
    terms = total[moving] ** 2 / squares[moving]
    return float(chi2.sf(terms.sum(), terms.size)) if terms.size else None
