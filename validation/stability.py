"""Which limits a sample supports: a number that rests on a tail which nobody has seen is no limit,
and is not shown as one.

An upper limit above the largest value, or above five times a positive mean, says how the resamples
without the largest values
exploded, not where the mean may lie: on the shipped networks it never happens, on log-normal values
with sd 2 in 5 to 25 % of samples. Such a limit is null for a reader, with the reason beside it; a
verdict keeps the number, which errs to the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from veribayes.predictive import Array
from veribayes.statistics import pareto

Mask = npt.NDArray[np.bool_]

STEEP = 5.0  # times the mean: a limit above rests on a tail that the sample does not show
SETTLED = 1.5  # times the mean: where the limit of enough data sets is expected to lie at most
DETECTABLE = 2.8  # 1.96 + 0.84 standard errors: seen with probability 80 %
# 3.7: what happens at a rate of 3.7 / n is absent from n data sets with probability 2.5 %
MISSED = math.log(40)
ROUNDING = 1e-9  # relative; equal values have a limit that is their mean
MOST = 10**9  # data sets; more than that settle nothing in practice
UNSTABLE = "no stable {side} limit at this sample size"


def supported(
    estimate: Array,
    low: Array,
    high: Array,
    smallest: Array,
    largest: Array,
    *,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[Mask, Mask]:
    """Whether the lower and the upper limit of a mean may be shown; every argument (*column,).

    A quantity that is never negative needs no support for its lower limit: zero bounds it. Where a
    quantity can only lie `within` some range, the ends of that range need none either.
    """
    size = np.maximum(np.abs(smallest), np.abs(largest))
    slack = ROUNDING * np.where(np.isfinite(size), size, 0.0)  # an infinite value has no rounding
    signed = smallest < -slack
    first, last = within
    seen = low >= smallest - slack
    below = np.asarray(~signed | seen | (low <= first))
    gentle = signed | (high <= STEEP * estimate + slack)
    near = (high <= largest + slack) & gentle
    at_the_end = (high >= last) & (high < np.inf)
    return below, np.asarray(near | at_the_end)


def shown(
    estimate: Array,
    low: Array,
    high: Array,
    values: Array,
    *,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[Array, Array]:
    """The limits of each column's mean as a reader may see them, NaN where the sample does not
    support one.

    Args:
        estimate, low, high: (*column,).
        values: what was averaged, (dataset, *column); NaN where a data set says nothing about a
            column.
    """
    absent = np.isnan(values)
    smallest = np.where(absent, np.inf, values).min(0)
    largest = np.where(absent, -np.inf, values).max(0)
    below, above = supported(estimate, low, high, smallest, largest, within=within)
    shown_low = np.where(below, low, np.nan)
    return shown_low, np.where(above, high, np.nan)


def holds_negative(values: Array) -> npt.NDArray[np.bool_]:
    """Whether each column holds a value below zero by more than the rounding of its largest one."""
    size = np.abs(values).max(0)
    return np.asarray(values.min(0) < -ROUNDING * size)


def reason(values: Array, below: bool, above: bool) -> str | None:
    """Why a limit of this mean is not shown, one sentence; None where both limits are supported.

    Args:
        values: (dataset,).
        below, above: what `supported` says.
    """
    if below and above:
        return None
    side = "lower and no stable upper"
    if below or above:
        side = "upper" if below else "lower"
    mean, largest = values.mean(), values.max()
    numbers = f"mean {mean:.3g}, largest of {values.size:,} data sets {largest:.3g}"
    more = data_sets(values)
    remedy = (
        f"about {more:,} data sets would be needed"
        if more
        else "no number of data sets is known to give one"
    )
    return f"{UNSTABLE.format(side=side)}: {numbers}; {remedy}"


def data_sets(values: Array) -> int | None:
    """Data sets from which the upper limit is likely to be supported, if mean, spread and largest
    value stay.

    None where the largest values fall off like those of a law without a mean (Pareto shape of .95
    and more), or where no number is enough. Never fewer than twice as many as there are, where the
    formula would be content with what was not.
    """
    mean = float(values.mean())
    top = float(values.max())
    spread = float(values.std(ddof=1)) if values.size > 1 else abs(mean)
    if pareto.heaviness(values) >= pareto.HEAVIEST:
        return None
    if mean <= 0 or bool(holds_negative(values)):
        return 2 * values.size
    found = smallest_number(lambda n: planned(mean, spread, top, n) <= SETTLED * mean, 2)
    return None if found is None else max(found, 2 * values.size)


def planned(mean: float, spread: float, top: float, n: int, *, signed: bool = False) -> float:
    """Where the upper limit of n data sets lies with probability 80 %, its allowance for an unseen
    tail included.

    Args:
        signed: whether values may be negative: the interval is then on their own scale, not that of
            logarithms.
    """
    step = DETECTABLE * spread / math.sqrt(n)
    log = mean > 0 and not signed
    limit = mean * math.exp(min(step / mean, 700.0)) if log else mean + step
    return limit + MISSED * top / n


def smallest_number(settles: Callable[[int], bool], fewest: int) -> int | None:
    """Smallest number of data sets, from `fewest` on, that settles; None where none does. `settles`
    is monotone.
    """
    if not settles(MOST):
        return None
    low, high = fewest - 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return high
